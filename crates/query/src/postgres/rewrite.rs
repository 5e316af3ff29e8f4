//! Makes what PostgreSQL's clients write into what the planner understands, without changing what it means: schema
//! prefixes, operators and types by their long names, and questions about things that do not exist here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use arrow::datatypes::DataType as ArrowType;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, LimitClause, ObjectName, Query, Select, SelectItem, SetExpr,
    Statement, TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::{DATABASE, PostgresType, empty};

/// Rewrites `statement`, asked by `user`.
pub(super) fn statement(statement: &mut Statement, user: &str) {
    let _ = VisitMut::visit(statement, &mut Rewriter { user });
}

/// Types of the parameters of `statement` that are cast, or count rows, where they stand.
pub(super) fn parameter_casts(statement: &Statement) -> BTreeMap<String, ArrowType> {
    let mut casts = ParameterCasts::default();
    let _ = Visit::visit(statement, &mut casts);
    casts.0
}

#[derive(Default)]
struct ParameterCasts(BTreeMap<String, ArrowType>);

impl Visitor for ParameterCasts {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
            let counts = limit.iter().chain(offset.iter().map(|offset| &offset.value));
            self.0.extend(counts.filter_map(parameter).map(|name| (name.to_owned(), ArrowType::Int64)));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Cast { expr, data_type, .. } = expr
            && let Some(name) = parameter(expr)
            && let Some(kind) = type_name(data_type).as_deref().and_then(PostgresType::named)
        {
            self.0.insert(name.to_owned(), kind.data_type());
        }
        ControlFlow::Continue(())
    }
}

/// The name of the parameter that `expr` is.
fn parameter(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// The same question with every parameter said to be a text, except for those in `casts`: where a question does not
/// tell what a parameter is, PostgreSQL takes it for a text as well.
pub(super) fn parameters_as_text(parsed: Parsed, casts: &BTreeMap<String, ArrowType>) -> Parsed {
    match parsed {
        Parsed::Statement(mut statement) => {
            let _ = VisitMut::visit(&mut statement, &mut TextParameters { casts });
            Parsed::Statement(statement)
        }
        other => other,
    }
}

struct TextParameters<'a> {
    casts: &'a BTreeMap<String, ArrowType>,
}

impl VisitorMut for TextParameters<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if parameter(expr).is_some_and(|name| !self.casts.contains_key(name)) {
            let parameter = std::mem::replace(expr, null());
            *expr = cast(parameter, DataType::Text);
        }
        ControlFlow::Continue(())
    }
}

struct Rewriter<'a> {
    user: &'a str,
}

impl VisitorMut for Rewriter<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if empty::is_empty(query) {
            query.order_by = None;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if empty::is_empty_select(select)
            && let Some(nothing) = nothing(select)
        {
            *select = nothing;
        }
        alias_twins(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        match idents(relation).as_deref() {
            // The catalogue is always looked up, whatever the search path is.
            Some([table]) if table.starts_with("pg_") => {
                *relation = ObjectName::from(vec![Ident::new("pg_catalog"), Ident::new(*table)]);
            }
            Some([database, _, _]) if *database == DATABASE => drop(relation.0.remove(0)),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let replaced = match expr {
            Expr::Subquery(query) if empty::is_empty(query) => Some(null()),
            Expr::Exists { subquery, negated } if empty::is_empty(subquery) => {
                Some(Expr::value(Value::Boolean(*negated)))
            }
            Expr::InSubquery { subquery, negated, .. } if empty::is_empty(subquery) => {
                Some(Expr::value(Value::Boolean(*negated)))
            }
            Expr::InSubquery { expr, subquery, negated } if is_search_path(subquery) => {
                let list = vec![text("public")];
                Some(Expr::InList { expr: expr.clone(), list, negated: *negated })
            }
            Expr::Function(function) => match &function.args {
                FunctionArguments::Subquery(query) if empty::is_empty(query) => Some(null()),
                _ => None,
            },
            _ => None,
        };
        if let Some(replaced) = replaced {
            *expr = replaced;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::BinaryOp { op, .. } => plain_operator(op),
            Expr::Collate { expr: inner, .. } => *expr = std::mem::replace(inner, null()),
            Expr::Function(function) => {
                if let Some(constant) = self.function(function) {
                    *expr = constant;
                }
            }
            Expr::Cast { expr: inner, data_type, .. } => {
                if let Some(replaced) = plain_cast(inner, data_type) {
                    *expr = replaced;
                }
            }
            Expr::TypedString(typed) => {
                if let Some(Cast::To(plain)) = plain_type(&typed.data_type) {
                    typed.data_type = plain;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Rewriter<'_> {
    /// A function by its short name; those that ask for the user have the name as their answer.
    fn function(&self, function: &mut Function) -> Option<Expr> {
        let parts = idents(&function.name)?;
        let short = match parts[..] {
            ["pg_catalog", name] => name.to_owned(),
            [name] => name.to_owned(),
            _ => return None,
        };
        let lower = short.to_ascii_lowercase();
        if ["user", "current_user", "session_user", "current_role"].contains(&lower.as_str()) {
            return Some(text(self.user));
        }
        if parts.len() == 2 {
            function.name = ObjectName::from(Ident::new(short));
        }
        if lower == "current_catalog" && matches!(function.args, FunctionArguments::None) {
            return Some(text(DATABASE));
        }
        None
    }
}

/// The name's parts, when all are plain words.
fn idents(name: &ObjectName) -> Option<Vec<&str>> {
    name.0.iter().map(|part| part.as_ident().map(|ident| ident.value.as_str())).collect()
}

/// `OPERATOR(pg_catalog.~)` is `~`.
fn plain_operator(operator: &mut BinaryOperator) {
    let BinaryOperator::PGCustomBinaryOperator(words) = operator else { return };
    let plain = match words.last().map(String::as_str) {
        Some("~") => BinaryOperator::PGRegexMatch,
        Some("!~") => BinaryOperator::PGRegexNotMatch,
        Some("~*") => BinaryOperator::PGRegexIMatch,
        Some("!~*") => BinaryOperator::PGRegexNotIMatch,
        Some("~~") => BinaryOperator::PGLikeMatch,
        Some("!~~") => BinaryOperator::PGNotLikeMatch,
        Some("=") => BinaryOperator::Eq,
        Some("<>") => BinaryOperator::NotEq,
        Some("||") => BinaryOperator::StringConcat,
        _ => return,
    };
    *operator = plain;
}

/// What a cast to a type of PostgreSQL's own becomes.
enum Cast {
    /// A cast to a type that the planner knows.
    To(DataType),
    /// A call of a function.
    Call(&'static str),
}

fn plain_type(data_type: &DataType) -> Option<Cast> {
    let name = match data_type {
        DataType::Regclass => "regclass".to_owned(),
        DataType::JSON | DataType::JSONB | DataType::Uuid => "text".to_owned(),
        DataType::Custom(name, _) => idents(name)?.last()?.to_ascii_lowercase(),
        _ => return None,
    };
    Some(match name.as_str() {
        "regclass" => Cast::Call("to_regclass"),
        "regtype" => Cast::Call("format_type"),
        "oid" | "int8" | "xid" => Cast::To(DataType::BigInt(None)),
        "int4" => Cast::To(DataType::Integer(None)),
        "int2" => Cast::To(DataType::SmallInt(None)),
        "float8" => Cast::To(DataType::Double(ExactNumberInfo::None)),
        "float4" => Cast::To(DataType::Real),
        "bool" => Cast::To(DataType::Boolean),
        "text" | "name" | "char" | "varchar" | "bpchar" | "regproc" | "regrole" | "regnamespace" | "unknown" => {
            Cast::To(DataType::Text)
        }
        _ => return None,
    })
}

fn plain_cast(inner: &mut Expr, data_type: &DataType) -> Option<Expr> {
    let cast_to = plain_type(data_type)?;
    let inner = std::mem::replace(inner, null());
    let is_text = |expr: &Expr| {
        matches!(expr, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)))
            || matches!(expr, Expr::Cast { data_type: DataType::Text, .. })
    };
    Some(match cast_to {
        Cast::To(plain) => cast(inner, plain),
        Cast::Call("to_regclass") if !is_text(&inner) => cast(inner, DataType::Text),
        Cast::Call("format_type") => call("format_type", vec![inner, null()]),
        Cast::Call(name) => call(name, vec![inner]),
    })
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Expr::Function(Function {
        name: ObjectName::from(Ident::new(name)),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn null() -> Expr {
    Expr::value(Value::Null)
}

fn text(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_owned()))
}

/// Whether `query` takes the search path apart, as Grafana does with functions that have no table here.
fn is_search_path(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    select.from.iter().any(|from| match &from.relation {
        TableFactor::Table { name, args: Some(args), .. } => {
            let of_path = args.args.iter().any(|arg| arg.to_string().contains("current_setting('search_path')"));
            idents(name).is_some_and(|name| name.last() == Some(&"string_to_array")) && of_path
        }
        _ => false,
    })
}

/// A `SELECT` with the columns of `select` and no rows.
fn nothing(select: &Select) -> Option<Select> {
    let mut seen = BTreeSet::new();
    let columns = select.projection.iter().enumerate().map(|(place, item)| {
        let name = item_name(item).unwrap_or_else(|| "oid".to_owned());
        // The planner wants names that differ; what the client sees is told by `names`.
        let name = if seen.insert(name.clone()) { name } else { format!("column{place}") };
        format!("CAST(NULL AS TEXT) AS \"{}\"", name.replace('"', "\"\""))
    });
    let sql = format!("SELECT {} WHERE false", columns.collect::<Vec<_>>().join(", "));
    let statement = Parser::parse_sql(&PostgreSqlDialect {}, &sql).ok()?.pop()?;
    let Statement::Query(query) = statement else { return None };
    match *query.body {
        SetExpr::Select(select) => Some(*select),
        _ => None,
    }
}

/// Gives a name to what stands twice among the columns, which PostgreSQL allows and the planner does not.
fn alias_twins(select: &mut Select) {
    let mut seen = BTreeSet::new();
    for (place, item) in select.projection.iter_mut().enumerate() {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        if !seen.insert(expr.to_string()) {
            let expr = std::mem::replace(expr, null());
            *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', format!("column{place}")) };
        }
    }
}

/// What PostgreSQL calls the columns of `statement`, where that stands in the question.
pub(super) fn names(statement: &Statement) -> Option<Vec<String>> {
    let Statement::Query(query) = statement else { return None };
    let mut body = query.body.as_ref();
    loop {
        match body {
            SetExpr::Select(select) => return select.projection.iter().map(item_name).collect(),
            SetExpr::Query(query) => body = &query.body,
            SetExpr::SetOperation { left, .. } => body = left,
            _ => return None,
        }
    }
}

fn item_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) => Some(expr_name(expr).unwrap_or_else(|| "?column?".to_owned())),
        SelectItem::ExprWithAlias { alias, .. } => Some(word(alias)),
        _ => None,
    }
}

/// A word as it is meant: in lower case, unless it stands in quotes.
fn word(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn expr_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(word(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().map(word),
        Expr::Function(function) => function.name.0.last().and_then(|part| part.as_ident()).map(word),
        Expr::Cast { expr, data_type, .. } => expr_name(expr).or_else(|| type_name(data_type)),
        Expr::Nested(expr) | Expr::Collate { expr, .. } => expr_name(expr),
        Expr::Case { else_result, .. } => {
            let of_else = else_result.as_deref().and_then(expr_name);
            Some(of_else.unwrap_or_else(|| "case".to_owned()))
        }
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => select.projection.first().and_then(item_name),
            _ => None,
        },
        Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => Some("bool".to_owned()),
        Expr::Exists { .. } => Some("exists".to_owned()),
        Expr::Extract { .. } => Some("extract".to_owned()),
        Expr::Floor { .. } => Some("floor".to_owned()),
        Expr::Ceil { .. } => Some("ceil".to_owned()),
        Expr::Substring { .. } => Some("substring".to_owned()),
        Expr::Trim { .. } => Some("btrim".to_owned()),
        Expr::Position { .. } => Some("position".to_owned()),
        Expr::AtTimeZone { .. } => Some("timezone".to_owned()),
        Expr::Array(_) => Some("array".to_owned()),
        Expr::TypedString(typed) => type_name(&typed.data_type),
        _ => None,
    }
}

fn type_name(data_type: &DataType) -> Option<String> {
    let name = data_type.to_string().to_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name).to_owned();
    Some(match name.as_str() {
        "int" | "integer" => "int4".to_owned(),
        "bigint" => "int8".to_owned(),
        "double precision" | "float" => "float8".to_owned(),
        "boolean" => "bool".to_owned(),
        "smallint" => "int2".to_owned(),
        "real" => "float4".to_owned(),
        "decimal" => "numeric".to_owned(),
        "timestamp with time zone" => "timestamptz".to_owned(),
        _ => name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, expected: &str) {
        let parsed = super::super::parse(sql).pop_front();
        let Some(Parsed::Statement(mut parsed)) = parsed else { panic!("{sql}: {parsed:?}") };
        statement(&mut parsed, "ann");
        assert_eq!(parsed.to_string(), expected);
    }

    #[test]
    fn long_names_become_short_ones() {
        check("SELECT pg_catalog.version()", "SELECT version()");
        check("SELECT 1 FROM pg_class", "SELECT 1 FROM pg_catalog.pg_class");
        check("SELECT 1 FROM tongmai.public.w", "SELECT 1 FROM public.w");
        check("SELECT a OPERATOR(pg_catalog.~) '^(w)$' COLLATE pg_catalog.default FROM w", "SELECT a ~ '^(w)$' FROM w");
        check("SELECT oid::pg_catalog.text, 'w'::regclass FROM t", "SELECT CAST(oid AS TEXT), to_regclass('w') FROM t");
        check("SELECT current_user, user", "SELECT 'ann', 'ann'");
        check("SELECT '', ''", "SELECT '', '' AS \"column1\"");
    }

    #[test]
    fn what_is_asked_of_empty_tables_is_answered_at_once() {
        let nothing = "SELECT CAST(NULL AS TEXT) AS \"polname\" WHERE false";
        check("SELECT pol.polname FROM pg_catalog.pg_policy pol WHERE pol.polrelid = '1' ORDER BY 1", nothing);
        check("SELECT (SELECT d.x FROM pg_attrdef d) FROM t", "SELECT NULL FROM t");
        check("SELECT EXISTS (SELECT 1 FROM pg_index) FROM t", "SELECT false FROM t");
        check("SELECT count(*) FROM pg_index", "SELECT count(*) FROM pg_catalog.pg_index");
        let kept = "SELECT a FROM t LEFT JOIN pg_catalog.pg_index i ON i.indrelid = t.oid";
        check("SELECT a FROM t LEFT JOIN pg_index i ON i.indrelid = t.oid", kept);
    }

    #[test]
    fn columns_are_called_what_postgresql_calls_them() {
        let sql = "SELECT Speed, w.asset, avg(speed), 1, a + b, 'x'::int, \"Q\", max(x) AS \"Peak\", count(*), \
                   floor(x) FROM w";
        let Some(Parsed::Statement(parsed)) = super::super::parse(sql).pop_front() else { panic!("no statement") };
        let expected =
            ["speed", "asset", "avg", "?column?", "?column?", "int4", "Q", "Peak", "count", "floor"].map(str::to_owned);
        assert_eq!(names(&parsed), Some(expected.to_vec()));
        let Some(Parsed::Statement(parsed)) = super::super::parse("SELECT * FROM w").pop_front() else { panic!() };
        assert_eq!(names(&parsed), None);
    }
}

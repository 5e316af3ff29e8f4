//! Questions as PostgreSQL's clients ask them: their commands, their catalogue, their functions and their names of
//! types, on top of the same tables. Knows nothing of the protocol that carries them.

mod catalog;
mod empty;
mod functions;
mod rewrite;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParserBuilder, Statement as Parsed};
use datafusion::sql::sqlparser::ast::{self, Set, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use model::Timestamp;

pub use types::{PostgresType, Scalar};

use crate::depth;
use crate::error::QueryError;

/// The database that clients believe to be connected to.
pub const DATABASE: &str = "tongmai";
/// The version of PostgreSQL whose clients are answered.
pub const SERVER_VERSION: &str = "15.0";

/// One command of a client.
#[derive(Debug, Clone)]
pub enum Command {
    /// Has rows as its answer.
    Ask(Arc<Question>),
    /// `SET` of a parameter that clients set, with its value as text.
    Set(String, String),
    /// `BEGIN`.
    Begin,
    /// `COMMIT`.
    Commit,
    /// `ROLLBACK`.
    Rollback,
    /// `DISCARD`.
    Discard,
    /// `RESET`.
    Reset,
    /// `DEALLOCATE` of one prepared statement, or of all.
    Deallocate(Option<String>),
    /// Ends what cannot have been begun here; the words say what.
    Nothing(&'static str),
    /// Would change something, or is none of the above: names it.
    Refused(String),
}

/// A question, understood but not planned.
#[derive(Debug, Clone)]
pub struct Question {
    statement: Parsed,
    text: String,
    /// Types of parameters that are cast where they stand, as in `$1::bigint`.
    casts: BTreeMap<String, DataType>,
    /// The first word of the command, for its closing tag.
    pub tag: &'static str,
    /// What PostgreSQL would call the columns, where it and the planner differ.
    pub names: Option<Vec<String>>,
}

impl Question {
    /// The question as it was understood.
    pub(crate) fn text(&self) -> String {
        self.text.clone()
    }
}

/// What a question takes and gives, before it has run.
#[derive(Debug, Clone)]
pub struct Description {
    /// Names and types of the columns.
    pub columns: SchemaRef,
    /// Types of the parameters, `$1` first; `None` where the question does not tell.
    pub parameters: Vec<Option<DataType>>,
}

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// No value.
    Null,
    /// Truth.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A text, or anything that is read from text.
    Text(String),
    /// A moment.
    Time(Timestamp),
}

/// The largest number of a parameter: `$1024`.
pub const PARAMETERS_MAX: usize = 1_024;

/// The commands in `sql`, asked by `user`.
///
/// # Errors
/// When it is no SQL.
pub(crate) fn commands(sql: &str, user: &str) -> Result<Vec<Command>, QueryError> {
    depth::check(sql)?;
    let parsed = DFParserBuilder::new(sql).with_dialect(&PostgreSqlDialect {}).build();
    let parsed = parsed.and_then(|mut parser| parser.parse_statements());
    let parsed = match parsed {
        Ok(parsed) => parsed,
        // Whoever writes a change that is not understood wants to know first that there are none here.
        Err(_) if is_change(sql) => return Ok(vec![Command::Refused(first_word(sql))]),
        Err(error) => return Err(QueryError::new(&error, 0)),
    };
    parsed.into_iter().map(|statement| command(statement, user)).collect()
}

fn first_word(sql: &str) -> String {
    sql.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default().to_ascii_uppercase()
}

fn is_change(sql: &str) -> bool {
    const CHANGES: [&str; 12] = [
        "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "TRUNCATE", "COPY", "GRANT", "REVOKE", "VACUUM",
        "MERGE",
    ];
    CHANGES.contains(&first_word(sql).as_str())
}

fn command(parsed: Parsed, user: &str) -> Result<Command, QueryError> {
    let statement = match parsed {
        Parsed::Statement(statement) => *statement,
        Parsed::Explain(mut explain) => {
            if let Parsed::Statement(inner) = explain.statement.as_mut() {
                if !matches!(**inner, Statement::Query(_)) {
                    return Ok(Command::Refused(first_word(&inner.to_string())));
                }
                rewrite::statement(inner, user);
                return Ok(ask(Parsed::Explain(explain), "EXPLAIN", None));
            }
            return Ok(Command::Refused("EXPLAIN".to_owned()));
        }
        Parsed::Reset(_) => return Ok(Command::Reset),
        other => return Ok(Command::Refused(first_word(&other.to_string()))),
    };
    Ok(match statement {
        Statement::Query(query) if changes(&query.body) => Command::Refused(first_word(&query.body.to_string())),
        mut statement @ Statement::Query(_) => {
            let names = rewrite::names(&statement);
            rewrite::statement(&mut statement, user);
            ask(Parsed::Statement(Box::new(statement)), "SELECT", names)
        }
        Statement::ShowVariable { variable } => return show(&variable),
        Statement::Set(set) => setting(set),
        Statement::StartTransaction { .. } => Command::Begin,
        Statement::Commit { .. } => Command::Commit,
        Statement::Rollback { .. } => Command::Rollback,
        Statement::Discard { .. } => Command::Discard,
        Statement::Reset(_) => Command::Reset,
        Statement::Deallocate { name, .. } if name.value.eq_ignore_ascii_case("all") => Command::Deallocate(None),
        Statement::Deallocate { name, .. } => Command::Deallocate(Some(name.value)),
        Statement::Close { .. } => Command::Nothing("CLOSE CURSOR ALL"),
        Statement::UNLISTEN { .. } => Command::Nothing("UNLISTEN"),
        other => Command::Refused(first_word(&other.to_string())),
    })
}

fn ask(statement: Parsed, tag: &'static str, names: Option<Vec<String>>) -> Command {
    // Written here, on a thread with a stack for it, and not where the questions under way are listed.
    let text = statement.to_string();
    let casts = match &statement {
        Parsed::Statement(statement) => rewrite::parameter_casts(statement),
        _ => BTreeMap::new(),
    };
    Command::Ask(Arc::new(Question { statement, text, casts, tag, names }))
}

/// Whether something that changes stands where a query could: `WITH … INSERT`, `SELECT … INTO`.
fn changes(body: &ast::SetExpr) -> bool {
    match body {
        ast::SetExpr::Select(select) => select.into.is_some(),
        ast::SetExpr::Query(query) => changes(&query.body),
        ast::SetExpr::SetOperation { left, right, .. } => changes(left) || changes(right),
        ast::SetExpr::Values(_) | ast::SetExpr::Table(_) => false,
        _ => true,
    }
}

/// `SHOW x` is `SELECT current_setting('x') AS x`.
fn show(variable: &[ast::Ident]) -> Result<Command, QueryError> {
    let words: Vec<String> = variable.iter().map(|word| word.value.to_ascii_lowercase()).collect();
    let name = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["transaction", "isolation", "level"] => "transaction_isolation".to_owned(),
        ["time", "zone"] => "timezone".to_owned(),
        ["all"] => return select("SELECT name, setting FROM pg_catalog.pg_settings ORDER BY name"),
        _ => words.join("."),
    };
    let quoted = name.replace('\'', "''");
    select(&format!("SELECT current_setting('{quoted}') AS \"{}\"", name.replace('"', "\"\"")))
}

fn select(sql: &str) -> Result<Command, QueryError> {
    let parsed = DFParserBuilder::new(sql).with_dialect(&PostgreSqlDialect {}).build();
    let mut parsed =
        parsed.and_then(|mut parser| parser.parse_statements()).map_err(|error| QueryError::new(&error, 0))?;
    let statement = parsed.pop_front().ok_or_else(|| QueryError::Invalid("nothing to show".to_owned()))?;
    Ok(ask(statement, "SHOW", None))
}

fn setting(set: Set) -> Command {
    match set {
        Set::SingleAssignment { variable, values, .. } => {
            let value = values.iter().map(plain).collect::<Vec<_>>().join(", ");
            Command::Set(variable.to_string().to_ascii_lowercase().replace('"', ""), value)
        }
        Set::SetTimeZone { value, .. } => Command::Set("timezone".to_owned(), plain(&value)),
        Set::SetNames { charset_name, .. } => Command::Set("client_encoding".to_owned(), charset_name.value),
        Set::SetTransaction { modes, .. } => {
            let writes = ast::TransactionMode::AccessMode(ast::TransactionAccessMode::ReadWrite);
            if modes.contains(&writes) {
                return Command::Refused("READ WRITE".to_owned());
            }
            Command::Set("transaction_isolation".to_owned(), String::new())
        }
        other => Command::Refused(other.to_string()),
    }
}

/// A literal without its quotes.
fn plain(value: &ast::Expr) -> String {
    match value {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        ast::Expr::Identifier(word) => word.value.clone(),
        other => other.to_string(),
    }
}

/// Whether clients may set the parameter `name`; only `statement_timeout` has an effect.
pub fn is_setting(name: &str) -> bool {
    functions::SETTINGS.iter().any(|(known, _)| *known == name) || name.contains('.')
}

/// Makes PostgreSQL's catalogue and functions known to `context`, whose tables are registered.
pub(crate) fn register(context: &SessionContext) -> Result<(), DataFusionError> {
    context.state_ref().write().config_mut().options_mut().catalog.information_schema = false;
    functions::register(context);
    catalog::register(context)
}

/// Plans `question`, with the values of its parameters where they are known.
pub(crate) async fn plan(
    context: &SessionContext,
    question: &Question,
    parameters: Option<&[Parameter]>,
) -> Result<LogicalPlan, DataFusionError> {
    let plan = match context.state().statement_to_plan(question.statement.clone()).await {
        Err(error) if error.strip_backtrace().contains("Placeholder type could not be resolved") => {
            let statement = rewrite::parameters_as_text(question.statement.clone(), &question.casts);
            context.state().statement_to_plan(statement).await?
        }
        plan => plan?,
    };
    let Some(parameters) = parameters else { return Ok(plan) };
    let types = parameter_types(&plan, question)?;
    let values = parameters.iter().enumerate().map(|(place, value)| {
        let value = scalar(value);
        match types.get(place) {
            Some(Some(data_type)) => value.cast_to(data_type),
            _ => Ok(value),
        }
    });
    plan.with_param_values(values.collect::<Result<Vec<_>, _>>()?)
}

/// The types of the parameters of `plan`, as far as it tells.
pub(crate) fn parameter_types(
    plan: &LogicalPlan,
    question: &Question,
) -> Result<Vec<Option<DataType>>, DataFusionError> {
    let mut types = Vec::new();
    let found = plan.get_parameter_types()?;
    let names: BTreeSet<String> = plan.get_parameter_names()?.into_iter().chain(found.keys().cloned()).collect();
    for name in names {
        let number = name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
        let place = number.filter(|number| (1..=PARAMETERS_MAX).contains(number)).map(|number| number - 1);
        let place = place.ok_or_else(|| DataFusionError::Plan(format!("there is no parameter `{name}`")))?;
        if types.len() <= place {
            types.resize(place + 1, None);
        }
        types[place] = question.casts.get(&name).cloned().or_else(|| found.get(&name).cloned().flatten());
    }
    Ok(types)
}

fn scalar(parameter: &Parameter) -> ScalarValue {
    match parameter {
        Parameter::Null => ScalarValue::Null,
        Parameter::Boolean(value) => ScalarValue::Boolean(Some(*value)),
        Parameter::Integer(value) => ScalarValue::Int64(Some(*value)),
        Parameter::Number(value) => ScalarValue::Float64(Some(*value)),
        Parameter::Text(value) => ScalarValue::Utf8(Some(value.clone())),
        Parameter::Time(value) => ScalarValue::TimestampNanosecond(Some(value.nanos()), Some("UTC".into())),
    }
}

/// The parts of `sql` as the parser has them, for tests of the rewriting.
#[cfg(test)]
fn parse(sql: &str) -> std::collections::VecDeque<Parsed> {
    DFParserBuilder::new(sql).with_dialect(&PostgreSqlDialect {}).build().unwrap().parse_statements().unwrap()
}

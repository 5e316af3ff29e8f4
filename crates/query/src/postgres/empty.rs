//! Tables of PostgreSQL's catalogue that have no rows here, since there are no indexes, constraints, triggers and the
//! like. What asks only for them has its answer before it is planned.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{
    Expr, JoinOperator, ObjectName, Query, Select, SelectItem, SetExpr, TableFactor, Visit, Visitor,
};

/// Names, and the columns by which others are joined to them: `#` marks numbers, `?` truths.
const TABLES: [(&str, &str); 35] = [
    ("pg_aggregate", "#aggfnoid"),
    ("pg_attrdef", "#oid #adrelid #adnum adbin"),
    ("pg_auth_members", "#roleid #member #grantor"),
    ("pg_available_extensions", "name default_version installed_version comment"),
    ("pg_cast", "#oid #castsource #casttarget"),
    ("pg_collation", "#oid collname #collnamespace"),
    ("pg_constraint", "#oid conname #connamespace contype #conrelid #conindid #confrelid ?condeferrable"),
    ("pg_conversion", "#oid conname"),
    ("pg_db_role_setting", "#setdatabase #setrole"),
    ("pg_default_acl", "#oid"),
    ("pg_depend", "#classid #objid #objsubid #refclassid #refobjid #refobjsubid deptype"),
    ("pg_description", "#objoid #classoid #objsubid description"),
    ("pg_enum", "#oid #enumtypid #enumsortorder enumlabel"),
    ("pg_event_trigger", "#oid evtname"),
    ("pg_extension", "#oid extname #extowner #extnamespace extversion"),
    ("pg_foreign_server", "#oid srvname #srvfdw"),
    ("pg_foreign_table", "#ftrelid #ftserver ftoptions"),
    ("pg_index", "#indexrelid #indrelid ?indisunique ?indisprimary ?indisclustered ?indisvalid #indnatts"),
    ("pg_indexes", "schemaname tablename indexname tablespace indexdef"),
    ("pg_inherits", "#inhrelid #inhparent #inhseqno"),
    ("pg_matviews", "schemaname matviewname matviewowner"),
    ("pg_partitioned_table", "#partrelid partstrat"),
    ("pg_policy", "#oid polname #polrelid"),
    ("pg_proc", "#oid proname #pronamespace"),
    ("pg_publication", "#oid pubname ?puballtables"),
    ("pg_publication_namespace", "#oid #pnpubid #pnnspid"),
    ("pg_publication_rel", "#oid #prpubid #prrelid"),
    ("pg_range", "#rngtypid #rngsubtype"),
    ("pg_rewrite", "#oid rulename #ev_class"),
    ("pg_sequence", "#seqrelid #seqtypid"),
    ("pg_shdescription", "#objoid #classoid description"),
    ("pg_statistic_ext", "#oid #stxrelid stxname"),
    ("pg_stat_activity", "#datid datname #pid usename application_name state query"),
    ("pg_trigger", "#oid #tgrelid tgname ?tgisinternal"),
    ("pg_views", "schemaname viewname viewowner definition"),
];

/// The columns of the empty table `name`.
pub(super) fn columns(name: &str) -> Option<SchemaRef> {
    let (_, columns) = TABLES.iter().find(|(table, _)| *table == name)?;
    let fields = columns.split(' ').map(|column| match column.split_at(1) {
        ("#", name) => Field::new(name, DataType::Int64, true),
        ("?", name) => Field::new(name, DataType::Boolean, true),
        _ => Field::new(column, DataType::Utf8, true),
    });
    Some(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// The names of the empty tables.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|(name, _)| *name)
}

/// Whether `query` has no rows for the reason that this module is about.
pub(super) fn is_empty(query: &Query) -> bool {
    is_empty_body(&query.body)
}

fn is_empty_body(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => is_empty_select(select),
        SetExpr::Query(query) => is_empty(query),
        SetExpr::SetOperation { left, right, .. } => is_empty_body(left) && is_empty_body(right),
        _ => false,
    }
}

/// Whether one `SELECT` has no rows: an empty table is joined in such a way that nothing can remain.
pub(super) fn is_empty_select(select: &Select) -> bool {
    let outer = |join: &JoinOperator| {
        matches!(join, JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_))
    };
    let inner = |join: &JoinOperator| {
        matches!(join, JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_))
    };
    let empty = select.from.iter().any(|from| {
        let joined = from.joins.iter().any(|join| inner(&join.join_operator) && is_empty_factor(&join.relation));
        (is_empty_factor(&from.relation) || joined) && !from.joins.iter().any(|join| outer(&join.join_operator))
    });
    empty && !select.projection.iter().any(is_aggregate)
}

fn is_empty_factor(factor: &TableFactor) -> bool {
    match factor {
        // No table has options, so that none come out of them.
        TableFactor::Table { args: Some(args), .. } => {
            args.args.iter().any(|arg| arg.to_string().ends_with(".reloptions"))
        }
        TableFactor::Table { name, .. } => is_empty_table(name),
        TableFactor::Derived { subquery, .. } => is_empty(subquery),
        _ => false,
    }
}

fn is_empty_table(name: &ObjectName) -> bool {
    let parts: Option<Vec<_>> = name.0.iter().map(|part| part.as_ident()).collect();
    let found = |table: &str| names().any(|name| name == table);
    match parts.as_deref() {
        Some([table]) => found(&table.value),
        Some([schema, table]) => schema.value == "pg_catalog" && found(&table.value),
        _ => false,
    }
}

/// Whether an item has a value even where there are no rows: it has an aggregate that is not that of a subquery.
fn is_aggregate(item: &SelectItem) -> bool {
    let mut search = Search { depth: 0, found: false };
    let _ = Visit::visit(item, &mut search);
    search.found
}

struct Search {
    depth: usize,
    found: bool,
}

impl Visitor for Search {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        const AGGREGATES: [&str; 9] =
            ["count", "sum", "min", "max", "avg", "array_agg", "string_agg", "bool_and", "bool_or"];
        if let (0, Expr::Function(function)) = (self.depth, expr) {
            let name = function.name.0.last().and_then(|part| part.as_ident());
            self.found |= name.is_some_and(|name| AGGREGATES.iter().any(|word| name.value.eq_ignore_ascii_case(word)));
        }
        ControlFlow::Continue(())
    }
}

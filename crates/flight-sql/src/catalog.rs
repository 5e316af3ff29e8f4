//! What can be asked for, as drivers and the trees of their tools list it: one catalogue, one schema, the tables of the
//! store, and facts about the server.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables, SqlInfo, SqlSupportedTransaction,
};
use query::RESERVED_TABLES;
use query::postgres::DATABASE;
use tonic::Status;

use crate::server::Service;
use crate::statement::Statement;

/// The schema that all tables are in.
const SCHEMA: &str = "public";
const TABLE: &str = "TABLE";

pub(crate) fn catalogs(command: CommandGetCatalogs) -> Result<RecordBatch, Status> {
    let mut builder = command.into_builder();
    builder.append(DATABASE);
    Ok(builder.build()?)
}

pub(crate) fn schemas(command: CommandGetDbSchemas) -> Result<RecordBatch, Status> {
    let mut builder = command.into_builder();
    builder.append(DATABASE, SCHEMA);
    Ok(builder.build()?)
}

pub(crate) fn table_types(command: CommandGetTableTypes) -> Result<RecordBatch, Status> {
    let mut builder = command.into_builder();
    builder.append(TABLE);
    Ok(builder.build()?)
}

/// The tables, with their columns if `command` wants them.
///
/// # Errors
/// When a table cannot be described in time.
pub(crate) async fn tables(service: &Service, user: &str, command: CommandGetTables) -> Result<RecordBatch, Status> {
    let mut builder = command.into_builder();
    let snapshot = service.store.snapshot();
    let own = snapshot.tables.iter().map(|table| table.profile.id()).filter(|name| !RESERVED_TABLES.contains(name));
    for name in own.chain(RESERVED_TABLES) {
        let columns = if builder.include_schema() { columns(service, user, name).await? } else { empty() };
        builder.append(DATABASE, SCHEMA, name, TABLE, &columns)?;
    }
    Ok(builder.build()?)
}

fn empty() -> SchemaRef {
    Arc::new(Schema::empty())
}

/// The columns of a table are those of everything in it.
async fn columns(service: &Service, user: &str, table: &str) -> Result<SchemaRef, Status> {
    let sql = format!("SELECT * FROM \"{}\"", table.replace('"', "\"\""));
    Ok(Statement::new(service, &sql, user).await?.columns)
}

/// Facts about the server, for clients that adapt themselves.
///
/// # Errors
/// When they cannot be written as the specification says; that is a mistake in this program.
pub(crate) fn facts(service: &Service) -> Result<SqlInfoData, Status> {
    let mut facts = SqlInfoDataBuilder::new();
    facts.append(SqlInfo::FlightSqlServerName, "Tongmai");
    facts.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    facts.append(SqlInfo::FlightSqlServerArrowVersion, arrow::ARROW_VERSION);
    facts.append(SqlInfo::FlightSqlServerReadOnly, true);
    facts.append(SqlInfo::FlightSqlServerSql, true);
    facts.append(SqlInfo::FlightSqlServerSubstrait, false);
    facts.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    facts.append(SqlInfo::FlightSqlServerCancel, true);
    facts.append(SqlInfo::FlightSqlServerBulkIngestion, false);
    let timeout_ms = i32::try_from(service.timeout.as_millis()).unwrap_or(i32::MAX);
    facts.append(SqlInfo::FlightSqlServerStatementTimeout, timeout_ms);
    facts.append(SqlInfo::FlightSqlServerTransactionTimeout, 0);
    for changes in [SqlInfo::SqlDdlCatalog, SqlInfo::SqlDdlSchema, SqlInfo::SqlDdlTable] {
        facts.append(changes, false);
    }
    facts.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    facts.append(SqlInfo::SqlAllTablesAreSelectable, true);
    Ok(facts.build()?)
}

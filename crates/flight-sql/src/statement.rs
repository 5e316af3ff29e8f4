//! A question: understood, described, and refused where it is none. Knows nothing of calls and handles.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow_flight::encode::FlightDataEncoderBuilder;
use query::postgres::{Command, Question};
use tonic::Status;

use crate::error::{no_transactions, read_only, status};
use crate::server::Service;

/// A question whose columns are known.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) question: Arc<Question>,
    /// Names and types of the columns, as they are sent.
    pub(crate) columns: SchemaRef,
}

impl Statement {
    /// Understands `sql`, asked by `user`.
    ///
    /// # Errors
    /// When it is no question, or not exactly one.
    pub(crate) async fn new(service: &Service, sql: &str, user: &str) -> Result<Self, Status> {
        let commands = service.engine.understand(sql, user).await.map_err(|error| status(&error))?;
        let count = commands.len();
        let Ok([command]) = <[Command; 1]>::try_from(commands) else {
            return Err(Status::invalid_argument(format!("expected one question, got {count}")));
        };
        let question = match command {
            Command::Ask(question) => question,
            Command::Refused(what) => return Err(read_only(&what)),
            Command::Begin | Command::Commit | Command::Rollback => return Err(no_transactions()),
            _ => return Err(Status::unimplemented("only SELECT, EXPLAIN and SHOW are answered here")),
        };
        let described = service.engine.describe(&service.store.snapshot(), &question, service.timeout).await;
        let described = described.map_err(|error| status(&error))?;
        if !described.parameters.is_empty() {
            return Err(no_parameters());
        }
        Ok(Self { question, columns: as_sent(described.columns) })
    }
}

/// There is no way yet to give values apart from the text.
pub(crate) fn no_parameters() -> Status {
    // Not "unimplemented", at which drivers go on without a prepared statement and lose the reason.
    Status::invalid_argument("parameters are not supported here: write the values into the question")
}

/// Columns that repeat their values are sent with the values in place, since few clients take them otherwise.
pub(crate) fn as_sent(columns: SchemaRef) -> SchemaRef {
    let encoder = FlightDataEncoderBuilder::new().with_schema(Arc::clone(&columns));
    encoder.build(futures::stream::empty()).known_schema().unwrap_or(columns)
}

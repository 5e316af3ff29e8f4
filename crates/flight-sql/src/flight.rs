//! What each call of Flight SQL means. Whoever gets here has been let in; what would change something is refused by name.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::metadata::SqlInfoData;
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionRequest,
    ActionBeginTransactionResult, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    ActionEndSavepointRequest, ActionEndTransactionRequest, Any, Command, CommandGetCatalogs, CommandGetDbSchemas,
    CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandPreparedStatementQuery,
    CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery, CommandStatementSubstraitPlan,
    CommandStatementUpdate, DoPutPreparedStatementResult, ProstMessageExt, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightDescriptor,
    FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage, SchemaAsIpc, Ticket,
};
use futures::{StreamExt, stream};
use prost::Message;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use crate::access::Access;
use crate::answer::{Answer, Sent};
use crate::catalog;
use crate::error::{no_transactions, read_only, unknown};
use crate::handles::{Bounds, Handle, Handles};
use crate::server::Service;
use crate::statement::{Statement, no_parameters};

/// Prepared statements of all clients; bytes are those of their text.
const STATEMENTS: Bounds = Bounds { count_max: 1_024, bytes_max: 4 << 20, idle_max: Duration::from_secs(24 * 3_600) };
/// Questions that may be fetched; a client does so at once.
const TICKETS: Bounds = Bounds { count_max: 1_024, bytes_max: 4 << 20, idle_max: Duration::from_secs(300) };
/// The action of Flight itself that ends a question; that of Flight SQL is older.
const CANCEL: &str = "CancelFlightInfo";

type Reply<T> = Result<Response<T>, Status>;

/// See the module.
pub(crate) struct Flight {
    service: Service,
    user: String,
    access: Arc<Access>,
    statements: Handles<(Arc<Statement>, usize)>,
    tickets: Handles<Asked>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// A question that may be fetched, or is.
#[derive(Clone)]
struct Asked {
    statement: Arc<Statement>,
    /// Ends every answer to it.
    cancelled: CancellationToken,
}

impl Flight {
    /// Answers `user` until `stop`; what fetches rows meanwhile runs as `tasks`.
    pub(crate) fn new(
        service: Service,
        user: String,
        access: Arc<Access>,
        random: fn(&mut [u8]) -> io::Result<()>,
        (stop, tasks): (CancellationToken, TaskTracker),
    ) -> Self {
        let (statements, tickets) = (Handles::new(STATEMENTS, random), Handles::new(TICKETS, random));
        Self { service, user, access, statements, tickets, stop, tasks }
    }

    async fn understand(&self, sql: &str) -> Result<Arc<Statement>, Status> {
        Ok(Arc::new(Statement::new(&self.service, sql, &self.user).await?))
    }

    /// Says where `statement`, a text of `bytes`, can be fetched.
    fn ticket(&self, statement: Arc<Statement>, bytes: usize, descriptor: FlightDescriptor) -> Reply<FlightInfo> {
        let columns = Arc::clone(&statement.columns);
        let asked = Asked { statement, cancelled: self.stop.child_token() };
        let handle = kept(self.tickets.keep(asked, bytes))?;
        info(&columns, &TicketStatementQuery { statement_handle: handle.to_vec().into() }, descriptor)
    }

    fn facts(&self) -> Result<SqlInfoData, Status> {
        catalog::facts(&self.service)
    }

    /// Ends every question that `info` says how to fetch.
    fn cancel(&self, info: &FlightInfo) -> Result<(), Status> {
        let mut found = false;
        for ticket in info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref()) {
            let message = Any::decode(&*ticket.ticket).ok().and_then(|any| Command::try_from(any).ok());
            let Some(Command::TicketStatementQuery(ticket)) = message else { continue };
            if let Some(asked) = self.tickets.find(&ticket.statement_handle) {
                asked.cancelled.cancel();
                found = true;
            }
        }
        if found { Ok(()) } else { Err(unknown("question")) }
    }
}

fn kept(handle: io::Result<Handle>) -> Result<Handle, Status> {
    handle.map_err(|_| Status::internal("there is no source of randomness"))
}

/// Says that `columns` can be fetched with `ticket`.
fn info(columns: &Schema, ticket: &impl ProstMessageExt, descriptor: FlightDescriptor) -> Reply<FlightInfo> {
    let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket.as_any().encode_to_vec()));
    let info = FlightInfo::new().try_with_schema(columns).map_err(|error| Status::internal(error.to_string()))?;
    Ok(Response::new(info.with_endpoint(endpoint).with_descriptor(descriptor)))
}

/// An answer that is there already.
fn whole(batch: RecordBatch) -> Response<Sent> {
    let encoder = FlightDataEncoderBuilder::new().with_schema(batch.schema());
    let sent = encoder.build(stream::iter([Ok(batch)]));
    Response::new(Box::pin(sent.map(|data| data.map_err(Status::from))))
}

#[tonic::async_trait]
impl FlightSqlService for Flight {
    type FlightService = Self;

    async fn do_handshake(
        &self,
        _request: Request<Streaming<HandshakeRequest>>,
    ) -> Reply<<Self as FlightService>::HandshakeStream> {
        let token = self.access.grant()?;
        let header = token.parse().map_err(|_| Status::internal("the token is no header"))?;
        let mut response = Response::new(Box::pin(stream::iter([Ok(HandshakeResponse::default())])) as _);
        response.metadata_mut().insert("authorization", header);
        Ok(response)
    }

    // Questions.

    async fn get_flight_info_statement(
        &self,
        command: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        if command.transaction_id.is_some() {
            return Err(no_transactions());
        }
        let statement = self.understand(&command.query).await?;
        self.ticket(statement, command.query.len(), request.into_inner())
    }

    async fn get_flight_info_prepared_statement(
        &self,
        command: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        let statement = self.statements.find(&command.prepared_statement_handle);
        let (statement, bytes) = statement.ok_or_else(|| unknown("prepared statement"))?;
        self.ticket(statement, bytes, request.into_inner())
    }

    async fn get_flight_info_substrait_plan(
        &self,
        _command: CommandStatementSubstraitPlan,
        _request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        Err(Status::unimplemented("Substrait plans are not understood here: ask in SQL"))
    }

    async fn do_get_statement(&self, ticket: TicketStatementQuery, _request: Request<Ticket>) -> Reply<Sent> {
        let asked = self.tickets.find(&ticket.statement_handle).ok_or_else(|| unknown("question"))?;
        let answer = Answer::begin(&self.service, &asked.statement, asked.cancelled).await?;
        let (fetch, sent) = answer.send();
        self.tasks.spawn(fetch);
        Ok(Response::new(sent))
    }

    async fn do_action_create_prepared_statement(
        &self,
        command: ActionCreatePreparedStatementRequest,
        _request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        if command.transaction_id.is_some() {
            return Err(no_transactions());
        }
        let statement = self.understand(&command.query).await?;
        let options = IpcWriteOptions::default();
        let columns = IpcMessage::try_from(SchemaAsIpc::new(&statement.columns, &options));
        let columns = columns.map_err(|error| Status::internal(error.to_string()))?;
        let bytes = command.query.len();
        let handle = kept(self.statements.keep((statement, bytes), bytes))?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle.to_vec().into(),
            dataset_schema: columns.0,
            // There are none.
            parameter_schema: Vec::new().into(),
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        command: ActionClosePreparedStatementRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        self.statements.forget(&command.prepared_statement_handle);
        Ok(())
    }

    async fn do_put_prepared_statement_query(
        &self,
        _command: CommandPreparedStatementQuery,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        Err(no_parameters())
    }

    async fn do_action_cancel_query(
        &self,
        command: ActionCancelQueryRequest,
        _request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        let info = FlightInfo::decode(&*command.info);
        self.cancel(&info.map_err(|error| Status::invalid_argument(error.to_string()))?)?;
        // Its own outcomes have the same numbers.
        Ok(ActionCancelQueryResult { result: CancelStatus::Cancelled.into() })
    }

    async fn do_action_fallback(&self, request: Request<Action>) -> Reply<<Self as FlightService>::DoActionStream> {
        let action = request.into_inner();
        if action.r#type != CANCEL {
            return Err(Status::unimplemented(format!("there is no action `{}` here", action.r#type)));
        }
        let request = CancelFlightInfoRequest::decode(&*action.body);
        let request = request.map_err(|error| Status::invalid_argument(error.to_string()))?;
        self.cancel(&request.info.unwrap_or_default())?;
        let result = CancelFlightInfoResult::new(CancelStatus::Cancelled).encode_to_vec();
        let result = arrow_flight::Result { body: result.into() };
        Ok(Response::new(Box::pin(stream::iter([Ok(result)]))))
    }

    async fn list_custom_actions(&self) -> Option<Vec<Result<ActionType, Status>>> {
        let description = "Ends a question.\nRequest: CancelFlightInfoRequest\nResponse: CancelFlightInfoResult";
        Some(vec![Ok(ActionType { r#type: CANCEL.to_owned(), description: description.to_owned() })])
    }

    // What there is.

    async fn get_flight_info_catalogs(
        &self,
        command: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        info(&command.into_builder().schema(), &command, request.into_inner())
    }

    async fn do_get_catalogs(&self, command: CommandGetCatalogs, _request: Request<Ticket>) -> Reply<Sent> {
        Ok(whole(catalog::catalogs(command)?))
    }

    async fn get_flight_info_schemas(
        &self,
        command: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        info(&command.clone().into_builder().schema(), &command, request.into_inner())
    }

    async fn do_get_schemas(&self, command: CommandGetDbSchemas, _request: Request<Ticket>) -> Reply<Sent> {
        Ok(whole(catalog::schemas(command)?))
    }

    async fn get_flight_info_tables(
        &self,
        command: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        info(&command.clone().into_builder().schema(), &command, request.into_inner())
    }

    async fn do_get_tables(&self, command: CommandGetTables, _request: Request<Ticket>) -> Reply<Sent> {
        Ok(whole(catalog::tables(&self.service, &self.user, command).await?))
    }

    async fn get_flight_info_table_types(
        &self,
        command: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        info(&command.into_builder().schema(), &command, request.into_inner())
    }

    async fn do_get_table_types(&self, command: CommandGetTableTypes, _request: Request<Ticket>) -> Reply<Sent> {
        Ok(whole(catalog::table_types(command)?))
    }

    async fn get_flight_info_sql_info(
        &self,
        command: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        info(&self.facts()?.schema(), &command, request.into_inner())
    }

    async fn do_get_sql_info(&self, command: CommandGetSqlInfo, _request: Request<Ticket>) -> Reply<Sent> {
        Ok(whole(self.facts()?.record_batch(command.info)?))
    }

    // What would change something, or belongs to that.

    async fn do_put_statement_update(
        &self,
        _command: CommandStatementUpdate,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(read_only("an update"))
    }

    async fn do_put_prepared_statement_update(
        &self,
        _command: CommandPreparedStatementUpdate,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(read_only("an update"))
    }

    async fn do_put_statement_ingest(
        &self,
        _command: CommandStatementIngest,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(read_only("an ingestion"))
    }

    async fn do_put_substrait_plan(
        &self,
        _command: CommandStatementSubstraitPlan,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(read_only("a plan"))
    }

    async fn do_action_begin_transaction(
        &self,
        _command: ActionBeginTransactionRequest,
        _request: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        Err(no_transactions())
    }

    async fn do_action_end_transaction(
        &self,
        _command: ActionEndTransactionRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        Err(no_transactions())
    }

    async fn do_action_begin_savepoint(
        &self,
        _command: ActionBeginSavepointRequest,
        _request: Request<Action>,
    ) -> Result<ActionBeginSavepointResult, Status> {
        Err(no_transactions())
    }

    async fn do_action_end_savepoint(
        &self,
        _command: ActionEndSavepointRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        Err(no_transactions())
    }

    /// Facts are the same for as long as the server runs.
    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}

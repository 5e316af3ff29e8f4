//! Why a call failed, with the codes of gRPC that drivers turn into their own kinds of error.

use query::QueryError;
use tonic::Status;

/// The status for a question that has no answer.
pub(crate) fn status(error: &QueryError) -> Status {
    let message = error.to_string();
    match error {
        QueryError::Invalid(_) => Status::invalid_argument(message),
        QueryError::Timeout { .. } => Status::deadline_exceeded(message),
        QueryError::Cancelled => Status::cancelled(message),
        QueryError::Busy { .. } | QueryError::Memory { .. } | QueryError::TooLarge { .. } => {
            Status::resource_exhausted(message)
        }
        QueryError::Unread { .. } => Status::data_loss(message),
        QueryError::Failed(_) => Status::internal(message),
    }
}

/// Somebody wants to change something.
pub(crate) fn read_only(command: &str) -> Status {
    Status::permission_denied(format!("cannot execute {command}: this server only reads"))
}

/// There is nothing to begin or to end.
pub(crate) fn no_transactions() -> Status {
    Status::unimplemented("there are no transactions: every question sees what is there when it begins; use autocommit")
}

/// What was asked for by a handle is not there.
pub(crate) fn unknown(what: &str) -> Status {
    Status::not_found(format!(
        "there is no such {what}: it was closed, was not used for too long, or many others came after it"
    ))
}

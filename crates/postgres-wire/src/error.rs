//! Errors as PostgreSQL's clients expect them: a SQLSTATE for programs, a message for people.

use query::QueryError;

/// Whether the connection goes on after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Error,
    Fatal,
}

impl Severity {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

/// An error for the client. The codes are those of PostgreSQL's manual, appendix A.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct SqlError {
    pub(crate) severity: Severity,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl SqlError {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, message: message.into() }
    }

    pub(crate) fn fatal(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Fatal, ..Self::new(code, message) }
    }

    /// The bytes are not what the protocol says; nobody knows where the next message begins.
    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::fatal("08P01", message)
    }

    pub(crate) fn read_only(command: &str) -> Self {
        let message = format!("cannot execute {command}: this connection only reads");
        Self::new("25006", message)
    }

    pub(crate) fn cancelled() -> Self {
        Self::new("57014", "canceling statement due to user request")
    }
}

impl From<QueryError> for SqlError {
    fn from(error: QueryError) -> Self {
        let message = error.to_string();
        let code = match error {
            QueryError::Timeout { .. } | QueryError::Cancelled => "57014",
            QueryError::Busy { .. } => "53300",
            QueryError::Memory { .. } => "53200",
            QueryError::TooLarge { .. } => "54000",
            QueryError::Invalid(text) => code_of(&text),
            QueryError::Unread { .. } => "XX001",
            _ => "XX000",
        };
        Self::new(code, message)
    }
}

/// The planner has words instead of codes.
fn code_of(text: &str) -> &'static str {
    const WORDS: [(&str, &str); 8] = [
        ("this is no SQL", "42601"),
        ("nested too deeply", "54001"),
        ("No field named", "42703"),
        ("Invalid function", "42883"),
        ("unrecognized configuration parameter", "42704"),
        ("Divide by zero", "22012"),
        ("not found", "42P01"),
        ("cast", "22P02"),
    ];
    let lower = text.to_ascii_lowercase();
    let found = WORDS.iter().find(|(words, _)| lower.contains(&words.to_ascii_lowercase()));
    found.map_or("42000", |(_, code)| code)
}

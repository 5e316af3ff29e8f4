//! Why a query has no answer, for the person who asked it.

use std::path::PathBuf;
use std::time::Duration;

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

use crate::files::Unread;

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is no query, or asks for what is not there.
    #[error("{0}")]
    Invalid(String),
    /// It took too long.
    #[error("the query was stopped after {} s: ask for less, or allow more time", limit.as_secs_f64())]
    Timeout {
        /// The time that it had.
        limit: Duration,
    },
    /// It needed too much memory.
    #[error("the query needs more than the {} MiB of memory that it may use: {detail}", limit_bytes >> 20)]
    Memory {
        /// The memory that it had.
        limit_bytes: usize,
        /// What wanted more.
        detail: String,
    },
    /// The answer is too large.
    #[error("the answer is larger than {} MiB: ask for fewer rows or columns", limit_bytes >> 20)]
    TooLarge {
        /// The bytes that it may have.
        limit_bytes: usize,
    },
    /// Somebody ended it.
    #[error("the query was cancelled")]
    Cancelled,
    /// Too many are being answered.
    #[error("{limit} queries are being answered already: ask again later")]
    Busy {
        /// How many there may be.
        limit: usize,
    },
    /// A file is damaged, or does not read for another reason: see [`put_right`](crate::put_right).
    #[error("failed to answer: {detail}")]
    Unread {
        /// The file.
        file: PathBuf,
        /// What is known of the reason.
        detail: String,
    },
    /// The engine failed.
    #[error("failed to answer: {0}")]
    Failed(String),
}

impl QueryError {
    /// A word that programs can rely on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid_query",
            Self::Timeout { .. } => "query_timeout",
            Self::Memory { .. } => "query_memory_exhausted",
            Self::TooLarge { .. } => "answer_too_large",
            Self::Cancelled => "query_cancelled",
            Self::Busy { .. } => "too_many_queries",
            Self::Unread { .. } => "file_unreadable",
            Self::Failed(_) => "query_failed",
        }
    }

    pub(crate) fn new(error: &DataFusionError, limit_bytes: usize) -> Self {
        if let Some(unread) = Unread::within(error) {
            return Self::Unread { file: unread.path.clone(), detail: unread.to_string() };
        }
        let root = error.find_root();
        let text = match root {
            DataFusionError::SQL(error, _) => match &**error {
                ParserError::TokenizerError(text) | ParserError::ParserError(text) => format!("this is no SQL: {text}"),
                ParserError::RecursionLimitExceeded => "the question is nested too deeply".to_owned(),
            },
            DataFusionError::Plan(text) | DataFusionError::Execution(text) => text.clone(),
            _ => root.strip_backtrace(),
        };
        match root {
            DataFusionError::ResourcesExhausted(_) => Self::Memory { limit_bytes, detail: text },
            DataFusionError::SQL(..)
            | DataFusionError::Plan(_)
            | DataFusionError::SchemaError(..)
            | DataFusionError::NotImplemented(_)
            | DataFusionError::Configuration(_)
            | DataFusionError::Diagnostic(..)
            | DataFusionError::ArrowError(..)
            | DataFusionError::Execution(_) => Self::Invalid(text),
            _ => Self::Failed(text),
        }
    }
}

//! Backups of the running server, to where the configuration says and nowhere else.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::{Deserialize, Serialize};
use store::BackupError;
use tokio::sync::Mutex;

use super::App;
use super::error::ApiError;

/// Characters of a name.
const NAME_MAX: usize = 64;

/// Where backups go, one at a time.
pub(crate) struct Backups {
    dir: Option<PathBuf>,
    turn: Arc<Mutex<()>>,
}

impl Backups {
    /// Backups in `dir`; none, if there is no such folder.
    pub(crate) fn new(dir: Option<PathBuf>) -> Self {
        Self { dir, turn: Arc::default() }
    }
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupOrder {
    /// A name of your choice: 1 to 64 letters, digits, `-`, `_` or `.`. What an earlier backup of this name has is not
    /// copied again.
    name: String,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BackupJson {
    name: String,
    /// Everything acknowledged before is in it.
    taken: String,
    /// All rows in it.
    rows: u64,
    /// All files in it.
    files: u64,
    bytes: u64,
    /// The files that were not there before.
    files_copied: u64,
    bytes_copied: u64,
}

/// Makes a backup, or brings one up to date; answers when it is durable.
#[utoipa::path(
    post,
    path = "/api/v1/backups",
    request_body = BackupOrder,
    responses(
        (status = 200, body = BackupJson),
        (status = 400, body = ApiError, description = "No name, or one with other characters"),
        (status = 404, body = ApiError, description = "The configuration has no backup.dir"),
        (status = 409, body = ApiError, description = "Another backup is under way, or the folder has something else"),
        (status = 500, body = ApiError, description = "It could not be written, or something to copy is damaged"),
    )
)]
pub(crate) async fn backup(
    State(app): State<Arc<App>>,
    order: Result<Json<BackupOrder>, JsonRejection>,
) -> Result<Json<BackupJson>, ApiError> {
    let Json(BackupOrder { name }) =
        order.map_err(|rejection| ApiError::bad_request("invalid_request", rejection.body_text()))?;
    let Some(dir) = &app.backups.dir else {
        let message = "the configuration does not say where backups go: set backup.dir";
        return Err(ApiError::not_found("backups_not_configured", message));
    };
    if !is_name(&name) {
        let message = format!("`{name}` is no name: expected 1 to {NAME_MAX} letters, digits, `-`, `_` or `.`");
        return Err(ApiError::bad_request("invalid_name", message));
    }
    let Ok(turn) = Arc::clone(&app.backups.turn).try_lock_owned() else {
        return Err(ApiError::conflict("backup_running", "another backup is under way"));
    };
    let (store, to, now) = (Arc::clone(&app.store), dir.join(&name), app.clock.now());
    // It goes on to its end, also when whoever asked goes away.
    let copying = tokio::spawn(async move {
        let outcome = store.backup(&to, now).await;
        drop(turn);
        outcome
    });
    let backup = match copying.await {
        Ok(Ok(backup)) => backup,
        Ok(Err(error)) => return Err(refusal(&error)),
        Err(_) => return Err(ApiError::failed("backup_failed", "the backup broke down")),
    };
    tracing::info!(name, rows = backup.rows, bytes = backup.bytes, bytes_copied = backup.bytes_copied, "backed up");
    Ok(Json(BackupJson {
        name,
        taken: backup.taken.to_string(),
        rows: backup.rows,
        files: backup.files,
        bytes: backup.bytes,
        files_copied: backup.files_copied,
        bytes_copied: backup.bytes_copied,
    }))
}

fn is_name(name: &str) -> bool {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    plain && (1..=NAME_MAX).contains(&name.len()) && !name.starts_with('.')
}

fn refusal(error: &BackupError) -> ApiError {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    match error {
        BackupError::NotOurs(_) | BackupError::OtherData { .. } | BackupError::Open(_) => {
            ApiError::conflict("backup_refused", message)
        }
        BackupError::Damaged(_) => ApiError::failed("backup_damaged", message),
        _ => ApiError::failed("backup_failed", message),
    }
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn a_name_stays_within_its_folder() {
        for name in ["nightly", "2026-11-22", "a.b_c-d"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "..", ".hidden", "a/b", "a\\b", "/etc", "a b", "a\0", "夜", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}

//! `tongmai backup`: a copy of all data at one moment, of a data directory that nobody writes to or by the server that
//! does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use model::Clock;
use serde_json::{Value, json};
use server::SystemClock;
use store::{OpenError, Store, StoreOptions, SystemDisk};

/// See the module.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("source").required(true))]
pub(crate) struct BackupArguments {
    /// The data directory, while no server runs there.
    #[arg(long, value_name = "DIR", group = "source")]
    data: Option<PathBuf>,
    /// The server that writes to the data directory, for example http://127.0.0.1:7878.
    #[arg(long, value_name = "URL", group = "source")]
    server: Option<String>,
    /// The folder of the backup; with --server, its name in the folder `backup.dir` of the server's configuration. What
    /// an earlier backup left there is not copied again.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

pub(crate) async fn run(arguments: BackupArguments) -> Result<()> {
    let told = match (&arguments.data, &arguments.server) {
        (Some(data), _) => of_directory(data, &arguments.to).await?,
        (None, Some(server)) => of_server(server, &arguments.to).await?,
        (None, None) => bail!("name a data directory with --data, or a server with --server"),
    };
    crate::say(&told)
}

async fn of_directory(data: &Path, to: &Path) -> Result<String> {
    if !data.join("manifest.json").exists() {
        bail!("`{}` is no Tongmai data directory: it has no manifest.json", data.display());
    }
    let options = StoreOptions::new(data);
    let opened = tokio::task::spawn_blocking(move || Store::open(options, Arc::new(SystemDisk))).await?;
    let (store, recovery) = match opened {
        Err(error @ OpenError::InUse(_)) => {
            return Err(error)
                .context("a server runs there; ask it for the backup: --server http://ADDRESS:PORT --to NAME");
        }
        opened => opened.with_context(|| format!("failed to open `{}`", data.display()))?,
    };
    recovery.tell();
    let outcome = store.backup(to, SystemClock.now()).await;
    tokio::task::spawn_blocking(move || store.close()).await?;
    let backup = outcome.with_context(|| format!("failed to back up to `{}`", to.display()))?;
    Ok(told(
        &to.display().to_string(),
        &backup.taken.to_string(),
        [backup.rows, backup.files, backup.bytes, backup.files_copied, backup.bytes_copied],
    ))
}

async fn of_server(server: &str, to: &Path) -> Result<String> {
    let name = to.to_str().filter(|name| !name.contains(['/', '\\']));
    let Some(name) = name else {
        bail!("--to is a name in the server's `backup.dir`, and no path: `{}`", to.display());
    };
    let url = format!("{}/api/v1/backups", server.trim_end_matches('/'));
    let order = json!({ "name": name }).to_string();
    let request = reqwest::Client::new().post(&url).header("content-type", "application/json").body(order);
    let answer = request.send().await.with_context(|| format!("failed to reach `{server}`"))?;
    let status = answer.status();
    let text = answer.text().await.context("failed to read what the server answered")?;
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    if !status.is_success() {
        bail!("the server answered {status}: {}", body["message"].as_str().unwrap_or(&text));
    }
    let number = |key: &str| body[key].as_u64().with_context(|| format!("the server did not say `{key}`: {text}"));
    let numbers =
        [number("rows")?, number("files")?, number("bytes")?, number("files_copied")?, number("bytes_copied")?];
    Ok(told(name, body["taken"].as_str().unwrap_or_default(), numbers))
}

/// The summary, for people.
fn told(to: &str, taken: &str, [rows, files, bytes, files_copied, bytes_copied]: [u64; 5]) -> String {
    format!(
        "backed up to {to}, as of {taken}\n\
         rows    {rows:>16}\n\
         files   {files:>16}  of which copied {files_copied:>12}\n\
         bytes   {bytes:>16}  of which copied {bytes_copied:>12}\n"
    )
}

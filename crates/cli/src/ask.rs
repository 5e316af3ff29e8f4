//! `tongmai sql`: one question, answered as a table or as a file, also while a server writes to the directory.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, bail};
use clap::ValueEnum;
use query::format::{AnswerWriter, Format};
use query::{Engine, QueryError};
use store::Snapshot;

/// See the module.
#[derive(clap::Args)]
pub(crate) struct SqlArguments {
    /// The question; one SELECT. `tongmai tables` shows what can be asked for.
    query: String,
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t = AnswerFormat::Table)]
    format: AnswerFormat,
    /// Write the answer to this file.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Seconds the question may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout_secs: u64,
    /// Memory the question may use.
    #[arg(long, value_name = "MIB", default_value_t = 1_024)]
    memory_mib: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AnswerFormat {
    Table,
    Csv,
    Json,
    Parquet,
}

impl From<AnswerFormat> for Format {
    fn from(format: AnswerFormat) -> Self {
        match format {
            AnswerFormat::Table => Self::Table,
            AnswerFormat::Csv => Self::Csv,
            AnswerFormat::Json => Self::Json,
            AnswerFormat::Parquet => Self::Parquet,
        }
    }
}

pub(crate) async fn run(arguments: SqlArguments) -> Result<()> {
    if arguments.format == AnswerFormat::Parquet && arguments.output.is_none() && io::stdout().is_terminal() {
        bail!("a Parquet file is not for the terminal: name one with --output, or send it on with `>`");
    }
    let snapshot = read(&arguments.data)?;
    let engine = Engine::new(arguments.memory_mib << 20)?;
    let timeout = Duration::from_secs(arguments.timeout_secs);
    let mut rows = engine.stream(&snapshot, &arguments.query, timeout).await.map_err(told)?;
    let output: Box<dyn Write + Send> = match &arguments.output {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("failed to make `{}`", path.display()))?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(BufWriter::new(io::stdout())),
    };
    let mut writer = AnswerWriter::new(arguments.format.into(), rows.schema(), output)?;
    while let Some(batch) = rows.next().await.map_err(told)? {
        writer.write(&batch)?;
    }
    writer.finish()?;
    Ok(())
}

/// `error` for whoever asked a data directory; with what to do about it where this program, which only reads, may not.
pub(crate) fn told(error: QueryError) -> Error {
    match &error {
        QueryError::Unread { .. } => anyhow!(
            "{error}: a server over this directory saves what can be read when it is asked; where there is none, \
             `tongmai store repair` does"
        ),
        _ => error.into(),
    }
}

/// All that is in the data directory `dir`.
pub(crate) fn read(dir: &Path) -> Result<Snapshot> {
    let (snapshot, recovery) = store::read(dir)?;
    recovery.tell();
    Ok(snapshot)
}

//! The program `tongmai`: one command per file, and nothing that a library could not do as well.

mod ask;
mod backup;
mod decode;
mod demo;
mod diagnose;
mod encode;
mod export;
mod frames;
mod import;
mod order;
mod restore;
mod serve;
mod sim;
mod store;
mod tables;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

/// Keeps machine tools, vehicles and people in good health: connects them, remembers everything, answers in SQL, shows
/// it live.
#[derive(Parser)]
#[command(name = "tongmai", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server: gateways, HTTP API and console.
    Serve(serve::ServeArguments),
    /// Run a simulated plant with server and console.
    Demo(demo::DemoArguments),
    /// Show what recorded frames say.
    Decode(decode::DecodeArguments),
    /// Make frames of what is described.
    Encode(encode::EncodeArguments),
    /// Run simulated vehicles against any platform.
    Sim(sim::SimArguments),
    /// Try a platform of vehicles: recorded frames, or what it has to know of manners.
    Frames(frames::FramesArguments),
    /// Ask something of a vehicle, through a running server.
    Order(order::OrderArguments),
    /// Import recorded files.
    Import(import::ImportArguments),
    /// Ask a question in SQL.
    Sql(ask::SqlArguments),
    /// Write rows into a Parquet, CSV or JSON Lines file.
    Export(export::ExportArguments),
    /// Check rules, and run them over what is stored.
    Diagnose(diagnose::DiagnoseArguments),
    /// Copy all data at one moment, also while a server writes.
    Backup(backup::BackupArguments),
    /// Make a data directory of a backup.
    Restore(restore::RestoreArguments),
    /// Look after a data directory: verify, repair, compact.
    Store(store::StoreArguments),
    /// Describe the tables and columns that can be asked for.
    Tables(tables::TablesArguments),
    /// Print a commented configuration to begin with.
    Config,
    /// Print a generated document.
    Docs {
        #[arg(value_enum)]
        document: Document,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Document {
    /// The manual of the configuration, as Markdown.
    Configuration,
    /// The OpenAPI document of the HTTP API, as JSON.
    Openapi,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr(&arguments.command);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("failed to start the program's threads")),
    };
    match runtime.block_on(run(arguments.command)) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads from us may stop reading, `head` for example: no mistake of anybody.
        Err(error) if error.chain().any(is_broken_pipe) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Serve(arguments) => serve::run(arguments).await,
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Decode(arguments) => decode::run(arguments),
        Command::Encode(arguments) => encode::run(arguments),
        Command::Sim(arguments) => sim::run(arguments).await,
        Command::Frames(arguments) => frames::run(arguments).await,
        Command::Order(arguments) => order::run(arguments).await,
        Command::Import(arguments) => import::run(arguments).await,
        Command::Sql(arguments) => ask::run(arguments).await,
        Command::Export(arguments) => export::run(arguments).await,
        Command::Diagnose(arguments) => diagnose::run(arguments),
        Command::Backup(arguments) => backup::run(arguments).await,
        Command::Restore(arguments) => restore::run(arguments).await,
        Command::Store(arguments) => store::run(arguments).await,
        Command::Tables(arguments) => tables::run(&arguments),
        Command::Config => say(server::config::EXAMPLE),
        Command::Docs { document: Document::Configuration } => say(&server::manual::configuration()),
        Command::Docs { document: Document::Openapi } => say(&server::http::openapi()),
    }
}

/// Writes `text` to the standard output at once.
fn say(text: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()?;
    Ok(())
}

fn is_broken_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// What a command fails with whose other failures mean something else.
#[derive(Debug)]
struct CannotRead;

impl std::fmt::Display for CannotRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the data directory cannot be read")
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(io::stderr(), "error: {error:#}");
    if error.is::<CannotRead>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// Servers tell what they do, commands only what goes wrong; `TONGMAI_LOG` says otherwise.
fn log_to_stderr(command: &Command) {
    let default = if matches!(command, Command::Serve(_)) { "info" } else { "warn" };
    let filter = EnvFilter::try_from_env("TONGMAI_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    // A log line that cannot be written, on a full disk for example, must not take the program down.
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    lines.with_ansi(io::stderr().is_terminal()).log_internal_errors(false).init();
}

//! `tongmai import`: recorded files into a data directory, with a progress bar and a closing summary.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use server::import::{ImportSummary, ShdrImport};
use server::{FileQuarantine, NoQuarantine, SystemClock};
use store::{Store, StoreOptions, SystemDisk};

/// Bytes of rejected input that `--quarantine` keeps of one file.
const QUARANTINE_BYTES_MAX: u64 = 64 << 20;

/// See the module.
#[derive(clap::Args)]
pub(crate) struct ImportArguments {
    #[command(subcommand)]
    format: Format,
}

#[derive(clap::Subcommand)]
enum Format {
    /// What an MTConnect adapter said: lines of SHDR.
    Shdr(ShdrArguments),
}

#[derive(clap::Args)]
struct ShdrArguments {
    /// The recorded lines.
    log: PathBuf,
    /// The device model, an MTConnect Devices.xml.
    #[arg(long, value_name = "FILE")]
    devices: PathBuf,
    /// The data directory; made if it is not there.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Keep the signals under this profile; without it, one is made of the device's name.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Keep what is rejected, as JSON lines, in this folder; without a name, in `quarantine` of the data directory.
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    quarantine: Option<Option<PathBuf>>,
}

pub(crate) async fn run(arguments: ImportArguments) -> Result<()> {
    let Format::Shdr(arguments) = arguments.format;
    // The files come first: a mistake in them leaves no data directory behind.
    let import = ShdrImport::open(&arguments.log, &arguments.devices, arguments.profile.as_deref())?;
    let options = StoreOptions::new(arguments.data.clone());
    let opened = tokio::task::spawn_blocking(move || Store::open(options, Arc::new(SystemDisk)));
    let (store, recovery) = opened.await?.with_context(|| format!("failed to open `{}`", arguments.data.display()))?;
    recovery.tell();
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{bar:32} {percent:>3} % {decimal_bytes:>9} of {decimal_total_bytes}, {eta} left")
            .context("the progress bar is no template")?,
    );
    let progress = |read, total| {
        bar.set_length(total);
        bar.set_position(read);
    };
    let quarantine = arguments.quarantine.map(|dir| dir.unwrap_or_else(|| arguments.data.join("quarantine")));
    let outcome = match &quarantine {
        Some(dir) => {
            let quarantine = FileQuarantine::new(dir.clone(), QUARANTINE_BYTES_MAX, Arc::new(SystemClock));
            import.run(&store, &quarantine, progress).await
        }
        None => import.run(&store, &NoQuarantine, progress).await,
    };
    bar.finish_and_clear();
    let outcome = match outcome {
        Ok(summary) => match store.seal().await {
            Ok(()) => crate::say(&told(&summary, quarantine.as_ref())),
            // The rows are in the log: what cannot be written to a segment now is written the next time.
            Err(error) => Err(error).context("everything is safe in the log, but not yet in segments"),
        },
        Err(error) => Err(error.into()),
    };
    tokio::task::spawn_blocking(move || store.close()).await?;
    outcome
}

/// The summary, for people.
fn told(summary: &ImportSummary, quarantine: Option<&PathBuf>) -> String {
    let (counts, receipt) = (&summary.counts, &summary.receipt);
    let mut text = String::new();
    let mut line = |name: &str, count: u64| {
        let _ = writeln!(text, "{name:<34}{count:>10}");
    };
    line("lines", counts.lines);
    line("  understood", counts.lines_clean);
    line("  part of a value of several lines", counts.lines_continued);
    line("  about the adapter", counts.lines_command);
    line("  empty", counts.lines_blank);
    line("  in part rejected", counts.lines_partial);
    line("  rejected", counts.lines_rejected);
    line("observations", counts.observations);
    line("  new", receipt.accepted);
    line("  there already", receipt.duplicates);
    line("rejections", counts.rejections);
    for (reason, count) in &summary.rejected {
        line(&format!("  {reason}"), *count);
    }
    for warning in &summary.warnings {
        let _ = writeln!(text, "note on the device model: {warning}");
    }
    if let Some(dir) = quarantine.filter(|_| counts.rejections > 0) {
        let _ = writeln!(text, "what was rejected is in {}", dir.display());
    }
    text
}

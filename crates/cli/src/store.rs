//! `tongmai store`: looks after a data directory without a server. What is found is told one line each.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use store::{Loss, Report, Salvage, Store, StoreOptions, SystemDisk, Weight};

use crate::CannotRead;

/// See the module.
#[derive(clap::Args)]
pub(crate) struct StoreArguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(clap::Subcommand)]
enum Task {
    /// Read all files, compare them with their checksums, and say what is damaged. Changes nothing; a server may be running.
    ///
    /// Ends with 0 if nothing is damaged, 1 if something is, and 2 if the directory cannot be read.
    Verify(Directory),
    /// Save what can be read of damaged files, put these aside, and say exactly what is lost.
    ///
    /// Ends with 0 if nothing is damaged any more, 1 if something still is or could not be repaired, and 2 if the
    /// directory cannot be read.
    Repair(Directory),
    /// Put segments together, as small as can be.
    Compact(Directory),
}

#[derive(clap::Args)]
struct Directory {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Tell it as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: StoreArguments) -> Result<()> {
    match arguments.task {
        Task::Verify(directory) => {
            let Directory { data, json } = directory;
            let looked = tokio::task::spawn_blocking(move || store::verify(&data));
            let report = looked.await?.context(CannotRead)?;
            crate::say(&if json { pretty(&report_json(&report)) } else { told(&report) })?;
            unless_damaged(&report)
        }
        Task::Repair(directory) => repair(directory).await,
        Task::Compact(directory) => compact(directory).await,
    }
}

async fn repair(directory: Directory) -> Result<()> {
    let repair = match store::repair(&directory.data, Arc::new(SystemDisk)).await {
        Err(error @ store::RepairError::Verify(_)) => return Err(error).context(CannotRead),
        repaired => repaired?,
    };
    if directory.json {
        let salvaged: Vec<Value> = repair.salvaged.iter().map(salvage_json).collect();
        let (found, left) = (report_json(&repair.found), report_json(&repair.left));
        crate::say(&pretty(&json!({
            "found": found, "salvaged": salvaged, "put_aside": repair.put_aside, "left": left
        })))?;
    } else {
        let mut text = String::new();
        for damage in repair.found.damages() {
            let _ = writeln!(text, "{damage}");
        }
        for salvage in &repair.salvaged {
            let _ = writeln!(text, "repaired: {salvage}");
        }
        for file in &repair.put_aside {
            let _ = writeln!(text, "put aside: {}", file.display());
        }
        let lost: u64 = repair.salvaged.iter().map(|salvage| salvage.rows - salvage.rows_kept).sum();
        let (found, left) = (repair.found.damages().count(), repair.left.damages().count());
        let _ = writeln!(text, "{found} damages found, {left} left; {lost} rows of segments lost");
        crate::say(&text)?;
    }
    unless_damaged(&repair.left)
}

async fn compact(directory: Directory) -> Result<()> {
    let Directory { data, json } = directory;
    let path = data.clone();
    let opened = tokio::task::spawn_blocking(move || Store::open(StoreOptions::new(path), Arc::new(SystemDisk)));
    let (store, recovery) = opened.await?.with_context(|| format!("failed to open `{}`", data.display()))?;
    recovery.tell();
    let before = store.stats();
    let compacted = store.compact().await;
    let after = store.stats();
    tokio::task::spawn_blocking(move || store.close()).await?;
    compacted.context("not all segments could be put together; nothing is lost")?;
    let (segments, bytes) = ((before.segments, after.segments), (before.segment_bytes, after.segment_bytes));
    crate::say(&if json {
        let of = |segments: usize, bytes: u64| json!({ "segments": segments, "bytes": bytes });
        pretty(&json!({ "before": of(segments.0, bytes.0), "after": of(segments.1, bytes.1) }))
    } else {
        format!("{} segments of {} bytes became {} of {}\n", segments.0, bytes.0, segments.1, bytes.1)
    })
}

fn unless_damaged(report: &Report) -> Result<()> {
    match report.damages().count() {
        0 => Ok(()),
        count => bail!("{count} damages"),
    }
}

fn told(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let _ = writeln!(text, "{finding}");
    }
    let Report { segments, rollups, segment_rows, log_files, log_batches, bytes, .. } = report;
    let damages = report.damages().count();
    let _ = writeln!(
        text,
        "{segments} segments with {segment_rows} rows, {rollups} roll-ups, {log_files} log files with {log_batches} \
         batches, {bytes} bytes: {}",
        if damages == 0 { "nothing is damaged".to_owned() } else { format!("{damages} damages") }
    );
    text
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn report_json(report: &Report) -> Value {
    let findings = report.findings.iter().map(|finding| {
        json!({
            "damage": finding.weight == Weight::Damage,
            "file": path(&finding.file),
            "offset": finding.place.map(|(offset, _)| offset),
            "bytes": finding.place.map(|(_, bytes)| bytes),
            "what": finding.what,
            "affected": finding.affected.iter().map(loss_json).collect::<Vec<_>>(),
        })
    });
    json!({
        "findings": findings.collect::<Vec<_>>(),
        "segments": report.segments,
        "segment_rows": report.segment_rows,
        "rollups": report.rollups,
        "log_files": report.log_files,
        "log_batches": report.log_batches,
        "bytes": report.bytes,
    })
}

fn salvage_json(salvage: &Salvage) -> Value {
    let damaged = salvage.damaged.iter().map(|(file, what)| json!({ "file": path(file), "what": what }));
    json!({
        "damaged": damaged.collect::<Vec<_>>(),
        "profile": salvage.profile,
        "rows": salvage.rows,
        "rows_kept": salvage.rows_kept,
        "lost": salvage.lost.iter().map(loss_json).collect::<Vec<_>>(),
    })
}

fn loss_json(loss: &Loss) -> Value {
    json!({
        "rows": loss.rows,
        "columns": loss.columns,
        "asset_first": loss.assets.as_ref().map(|(first, _)| first),
        "asset_last": loss.assets.as_ref().map(|(_, last)| last),
        "time_min": loss.time_min.to_string(),
        "time_max": loss.time_max.to_string(),
    })
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

//! `tongmai export`: rows into one file that other programs read, asset by asset in the order of time. Takes as much memory
//! as one asset's rows need to be put in order, and no more than it may.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use model::{Profile, Shape, Timestamp, matches};
use query::Engine;
use query::format::{AnswerWriter, Format};
use store::{Snapshot, table};

use crate::ask::told;

/// Queries that one export is made of at most; where there are more assets, several are asked for at once.
const QUERIES_MAX: usize = 256;

/// See the module.
#[derive(clap::Args)]
pub(crate) struct ExportArguments {
    /// The data directory, also while a server writes to it.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The file to write, which appears under this name when it is whole; `-` is the standard output.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How it is written; without it the name's end says so: .parquet, .csv or .jsonl.
    #[arg(long, value_enum)]
    format: Option<ExportFormat>,
    /// Only rows from this source time or day on, for example 2026-01-31T08:00:00Z or 2026-01-31 (UTC).
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Only rows before this source time or day.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
    /// Only this asset; `*` stands for any characters. May be repeated.
    #[arg(long, value_name = "ASSET")]
    asset: Vec<String>,
    /// Only this signal; `*` stands for any characters. May be repeated.
    #[arg(long, value_name = "SIGNAL")]
    signal: Vec<String>,
    /// Only rows of this profile.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// One row for each time, with a column for each signal, instead of one row for each observation; of one profile.
    #[arg(long)]
    wide: bool,
    /// Memory that it may use; what needs more is put in order on the disk.
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    memory_mib: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    Parquet,
    Csv,
    Jsonl,
}

impl From<ExportFormat> for Format {
    fn from(format: ExportFormat) -> Self {
        match format {
            ExportFormat::Parquet => Self::Parquet,
            ExportFormat::Csv => Self::Csv,
            ExportFormat::Jsonl => Self::JsonLines,
        }
    }
}

pub(crate) async fn run(arguments: ExportArguments) -> Result<()> {
    let format = arguments.format()?;
    let mut snapshot = crate::ask::read(&arguments.data)?;
    let wanted = Wanted::choose(&arguments, &mut snapshot)?;
    let engine = Engine::new(arguments.memory_mib << 20)?;
    let output = Output::create(&arguments.out)?;
    let bar = ProgressBar::new(wanted.assets.len() as u64).with_style(
        ProgressStyle::with_template("{bar:32} {pos} of {len} assets, {msg}, {eta} left")
            .context("the progress bar is no template")?,
    );
    let rows = write(&engine, &snapshot, &wanted, format, &output, &bar).await?;
    bar.finish_and_clear();
    output.put()?;
    let _ = writeln!(io::stderr(), "{rows} rows of {} assets", wanted.assets.len());
    Ok(())
}

async fn write(
    engine: &Engine,
    snapshot: &Snapshot,
    wanted: &Wanted,
    format: ExportFormat,
    output: &Output,
    bar: &ProgressBar,
) -> Result<u64> {
    let mut writer: Option<(AnswerWriter<Box<dyn Write + Send>>, SchemaRef)> = None;
    let mut written = 0;
    for assets in wanted.assets.chunks(wanted.assets.len().div_ceil(QUERIES_MAX).max(1)) {
        let mut rows = engine.stream(snapshot, &wanted.query(assets), Duration::MAX).await.map_err(told)?;
        let (writer, schema) = match &mut writer {
            Some(writer) => writer,
            None => {
                let schema = wanted.described(&rows.schema());
                let begun = AnswerWriter::new(format.into(), Arc::clone(&schema), output.writer()?)?;
                writer.insert((begun, schema))
            }
        };
        while let Some(batch) = rows.next().await.map_err(told)? {
            writer.write(&RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec())?)?;
            written += batch.num_rows() as u64;
            bar.set_message(format!("{written} rows"));
        }
        bar.inc(assets.len() as u64);
    }
    if let Some((writer, _)) = writer {
        writer.finish()?;
    }
    Ok(written)
}

impl ExportArguments {
    fn format(&self) -> Result<ExportFormat> {
        let is_standard = self.out == Path::new("-");
        let format = match (self.format, self.out.extension().and_then(|end| end.to_str())) {
            (Some(format), _) => format,
            (None, Some("parquet")) => ExportFormat::Parquet,
            (None, Some("csv")) => ExportFormat::Csv,
            (None, Some("jsonl" | "ndjson")) => ExportFormat::Jsonl,
            _ => bail!("name the format with --format, or let the name of --out end with .parquet, .csv or .jsonl"),
        };
        if is_standard && format == ExportFormat::Parquet && io::stdout().is_terminal() {
            bail!("a Parquet file is not for the terminal: name a file with --out, or send it on with `>`");
        }
        Ok(format)
    }
}

/// What is to be exported.
struct Wanted {
    assets: Vec<String>,
    /// The signals, if not all of them.
    signals: Option<Vec<String>>,
    /// The profile whose table is exported as it is; none, for the long form.
    wide: Option<Arc<Profile>>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Wanted {
    /// Chooses from what is in `snapshot`, which then has no tables but those wanted.
    fn choose(arguments: &ExportArguments, snapshot: &mut Snapshot) -> Result<Self> {
        let known: Vec<String> = snapshot.tables.iter().map(|table| table.profile.id().to_owned()).collect();
        if let Some(profile) = &arguments.profile {
            snapshot.tables.retain(|table| table.profile.id() == profile);
            if snapshot.tables.is_empty() {
                bail!("there is no profile `{profile}`; there are: {}", known.join(", "));
            }
        }
        let wide = match (arguments.wide, &snapshot.tables[..]) {
            (false, _) => None,
            (true, [table]) => Some(Arc::clone(&table.profile)),
            (true, _) => bail!("--wide is for one profile: name it with --profile; there are: {}", known.join(", ")),
        };
        let tables = || snapshot.tables.iter();
        let assets = tables().flat_map(|table| table.assets.iter().map(|asset| asset.as_str().to_owned()));
        let signals = tables().flat_map(|table| table.profile.signals().iter().map(|signal| signal.id.to_string()));
        let assets = matching("asset", &arguments.asset, assets.collect())?;
        let signals = match arguments.signal.is_empty() {
            true => None,
            false => Some(matching("signal", &arguments.signal, signals.collect())?),
        };
        if let (Some(from), Some(to)) = (arguments.from, arguments.to)
            && from >= to
        {
            bail!("--from ({from}) has to be before --to ({to})");
        }
        if assets.is_empty() {
            bail!("there is nothing to export: no asset has said anything yet");
        }
        Ok(Self { assets, signals, wide, from: arguments.from, to: arguments.to })
    }

    /// The question for the rows of `assets`, in order.
    fn query(&self, assets: &[String]) -> String {
        let texts = |texts: &[String]| {
            let texts = texts.iter().map(|text| format!("'{}'", text.replace('\'', "''")));
            texts.collect::<Vec<_>>().join(", ")
        };
        let name = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let mut conditions = vec![format!("asset IN ({})", texts(assets))];
        conditions.extend(self.from.map(|from| format!("time >= '{from}'")));
        conditions.extend(self.to.map(|to| format!("time < '{to}'")));
        let has_signals = self.wide.as_ref().is_none_or(|profile| profile.shape() == Shape::Changes);
        let signals = self.signals.as_ref().filter(|_| has_signals);
        conditions.extend(signals.map(|signals| format!("signal IN ({})", texts(signals))));
        let conditions = conditions.join(" AND ");
        let Some(profile) = &self.wide else {
            let columns = "asset, signal, time, received, value, text, quality";
            return format!("SELECT {columns} FROM observations WHERE {conditions} ORDER BY asset, time, signal");
        };
        let columns = match (&self.signals, profile.shape()) {
            (Some(signals), Shape::Frames) => {
                let own = signals.iter().map(|signal| name(signal)).collect::<Vec<_>>().join(", ");
                format!("asset, time, received, sequence, {own}, exceptions")
            }
            _ => "*".to_owned(),
        };
        let order = if has_signals { "asset, time, signal, sequence" } else { "asset, time, sequence" };
        format!("SELECT {columns} FROM {} WHERE {conditions} ORDER BY {order}", name(profile.id()))
    }

    /// `schema` with what its columns mean, as formats that can say so will.
    fn described(&self, schema: &Schema) -> SchemaRef {
        let meant = self.wide.as_ref().map(|profile| table::schema(profile));
        let fields = schema.fields().iter().map(|field| {
            let known = meant.as_ref().and_then(|meant| meant.field_with_name(field.name()).ok());
            let mut metadata = known.map(|known| known.metadata().clone()).unwrap_or_default();
            // The values here are physical ones.
            metadata.retain(|key, _| key == table::META_MEANING || key == table::META_UNIT);
            field.as_ref().clone().with_metadata(metadata)
        });
        let metadata = meant.as_ref().map(|meant| meant.metadata().clone()).unwrap_or_default();
        Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), metadata))
    }
}

/// What of `known` one of `patterns` means, in order; all of it, if there are none.
fn matching(what: &str, patterns: &[String], known: BTreeSet<String>) -> Result<Vec<String>> {
    if patterns.is_empty() {
        return Ok(known.into_iter().collect());
    }
    for pattern in patterns {
        if !known.iter().any(|name| matches(pattern, name)) {
            let some: Vec<&str> = known.iter().take(5).map(String::as_str).collect();
            bail!("no {what} is called `{pattern}`; there are {}, for example {}", known.len(), some.join(", "));
        }
    }
    Ok(known.into_iter().filter(|name| patterns.iter().any(|pattern| matches(pattern, name))).collect())
}

/// A point in time, or the beginning of a day in UTC.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    whole.parse().map_err(|_| format!("`{text}` is no time: expected 2026-01-31T08:00:00Z or 2026-01-31"))
}

/// Where the rows go: a file gets its name when it is whole.
struct Output {
    /// The file, and what it is called before; none, for the standard output.
    file: Option<(PathBuf, PathBuf)>,
}

impl Output {
    fn create(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self { file: None });
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        Ok(Self { file: Some((path.to_owned(), partial.into())) })
    }

    fn writer(&self) -> Result<Box<dyn Write + Send>> {
        let Some((_, partial)) = &self.file else { return Ok(Box::new(BufWriter::new(io::stdout()))) };
        let file = File::create(partial).with_context(|| format!("failed to make `{}`", partial.display()))?;
        Ok(Box::new(BufWriter::with_capacity(256 << 10, file)))
    }

    fn put(mut self) -> Result<()> {
        let Some((path, partial)) = &self.file else { return Ok(()) };
        let put = File::open(partial).and_then(|file| file.sync_all()).and_then(|()| fs::rename(partial, path));
        put.with_context(|| format!("failed to finish `{}`", path.display()))?;
        self.file = None;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((_, partial)) = &self.file {
            let _ = fs::remove_file(partial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight() {
        assert_eq!(time("2026-01-31"), time("2026-01-31T01:00:00+01:00"));
        assert!(time("yesterday").is_err() && time("2026-13-01").is_err());
    }
}

//! `tongmai tables`: what can be asked for, in words.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use store::TableSnapshot;

const OBSERVATIONS: &str = "observations — everything, in long form
  asset     who, for example machine/lathe-01
  signal    what, see the table signals
  time      when the source says that it was so
  received  when it came in
  value     the physical value, if it is a number
  text      the text; of a condition, its level; of a vector, its numbers
  quality   good, abnormal, invalid or unavailable

assets — which assets there are: asset, profile
signals — what they can say: profile, signal, meaning, kind, unit, description
";

/// See the module.
#[derive(clap::Args)]
pub(crate) struct TablesArguments {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

pub(crate) fn run(arguments: &TablesArguments) -> Result<()> {
    let snapshot = crate::ask::read(&arguments.data)?;
    let mut text = OBSERVATIONS.to_owned();
    for table in &snapshot.tables {
        describe(&mut text, table);
    }
    crate::say(&text)
}

fn describe(text: &mut String, table: &TableSnapshot) {
    let profile = &table.profile;
    let _ = writeln!(
        text,
        "\n{} — {} of {} signals; {} assets, {} segments, {} rows in memory",
        profile.id(),
        profile.shape().as_str(),
        profile.signals().len(),
        table.assets.len(),
        table.segments.len(),
        table.rows.iter().map(store::RecordBatch::num_rows).sum::<usize>(),
    );
    let signals: Vec<&str> = profile.signals().iter().map(|signal| &*signal.id).collect();
    for field in table.schema.fields().iter().filter(|field| !signals.contains(&field.name().as_str())) {
        let _ = writeln!(text, "  {:<28} {}", field.name(), plain_type(field.data_type()));
    }
    let _ = writeln!(text, "  its signals:");
    for signal in profile.signals() {
        let unit = signal.unit.as_deref().map_or_else(String::new, |unit| format!(" in {unit}"));
        let place = signal.description.as_deref().map_or_else(String::new, |place| format!(", {place}"));
        let _ = writeln!(text, "  {:<28} {}{unit} — {}{place}", signal.id, signal.kind.as_str(), signal.meaning);
    }
}

/// The type of a column in plain words.
fn plain_type(data_type: &store::DataType) -> String {
    match data_type {
        store::DataType::Dictionary(_, word) => plain_type(word),
        store::DataType::Utf8 => "text".to_owned(),
        store::DataType::Float64 => "number".to_owned(),
        store::DataType::UInt32 | store::DataType::Int64 => "integer".to_owned(),
        store::DataType::Timestamp(..) => "time".to_owned(),
        store::DataType::List(element) => format!("list of {}", plain_type(element.data_type())),
        store::DataType::Struct(_) => "signal and quality".to_owned(),
        other => other.to_string(),
    }
}

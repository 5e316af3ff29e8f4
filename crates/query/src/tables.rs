//! What can be asked for: how the tables of a snapshot look in SQL. Knows nothing of how a query is run.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::datasource::{MemTable, TableProvider};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::functions_nested::expr_fn::array_to_string;
use datafusion::prelude::{DataFrame, Expr, SessionContext, cast, col, ident, lit};
use model::{Profile, Shape, Signal, ValueKind};
use store::{Snapshot, TableSnapshot, table};
use url::Url;

use crate::quality::signal_quality;

/// Names that no profile can have as a table.
pub const RESERVED_TABLES: [&str; 3] = ["observations", "assets", "signals"];

/// Makes all tables of `snapshot` known to `context`.
pub(crate) fn register(context: &SessionContext, snapshot: &Snapshot) -> Result<()> {
    let mut long: Option<DataFrame> = None;
    for table in &snapshot.tables {
        let kept = rows(context, table)?;
        let shown = shown(&table.profile, kept.clone())?;
        if !RESERVED_TABLES.contains(&table.profile.id()) {
            context.register_table(table.profile.id(), shown.into_view())?;
        }
        for part in observations(&table.profile, &kept)? {
            long = Some(match long {
                Some(before) => before.union(part)?,
                None => part,
            });
        }
    }
    let long = match long {
        Some(long) => long,
        None => context.read_batch(RecordBatch::new_empty(Arc::new(observations_schema())))?,
    };
    context.register_table("observations", long.into_view())?;
    context.register_table("assets", Arc::new(assets(snapshot)?))?;
    context.register_table("signals", Arc::new(signals(snapshot)?))?;
    Ok(())
}

/// All rows of one table as they are kept, from segments and from memory.
fn rows(context: &SessionContext, table: &TableSnapshot) -> Result<DataFrame> {
    let schema = bare(&table.schema);
    let chunks = table.rows.iter().map(|rows| RecordBatch::try_new(Arc::clone(&schema), rows.columns().to_vec()));
    let memory = MemTable::try_new(Arc::clone(&schema), vec![chunks.collect::<Result<_, _>>()?])?;
    let memory = context.read_table(Arc::new(memory))?;
    if table.segments.is_empty() {
        return Ok(memory);
    }
    let paths: Result<Vec<_>> = table.segments.iter().map(|path| file_url(path)).collect();
    let format = ParquetFormat::default().with_enable_pruning(true);
    let options = ListingOptions::new(Arc::new(format)).with_file_extension(".parquet");
    let config = ListingTableConfig::new_with_multi_paths(paths?).with_listing_options(options).with_schema(schema);
    let segments: Arc<dyn TableProvider> = Arc::new(ListingTable::try_new(config)?);
    context.read_table(segments)?.union(memory)
}

/// The file `path` and no other: a path is not read as a pattern, whatever characters it has.
fn file_url(path: &Path) -> Result<ListingTableUrl> {
    let url = std::path::absolute(path).ok().and_then(|path| Url::from_file_path(path).ok());
    let url = url.ok_or_else(|| DataFusionError::External(format!("`{}` is no path", path.display()).into()))?;
    ListingTableUrl::try_new(url, None)
}

/// The schema without its metadata: tables that are put together differ in it, which the engine takes for a mistake.
fn bare(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_metadata(HashMap::new()));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The table of a profile: wire integers become physical values.
fn shown(profile: &Profile, kept: DataFrame) -> Result<DataFrame> {
    if profile.shape() == Shape::Changes {
        return Ok(kept);
    }
    let mut columns = ["asset", "time", "received", "sequence"].map(col).to_vec();
    columns.extend(profile.signals().iter().map(|signal| physical(signal).alias(&*signal.id)));
    columns.push(col("exceptions"));
    kept.select(columns)
}

/// The physical value of a signal's column in frames.
fn physical(signal: &Signal) -> Expr {
    let raw = ident(&*signal.id);
    match signal.kind {
        ValueKind::Integer if signal.scale == model::Scale::ONE => cast(raw, DataType::Float64),
        ValueKind::Integer => cast(raw, DataType::Float64) / lit(signal.scale.divisor) + lit(signal.scale.offset),
        _ => raw,
    }
}

fn observations_schema() -> Schema {
    Schema::new(vec![
        Field::new("asset", table::word_type(), false),
        Field::new("signal", table::word_type(), false),
        Field::new("time", table::time_type(), false),
        Field::new("received", table::time_type(), false),
        Field::new("value", DataType::Float64, true),
        Field::new("text", DataType::Utf8, true),
        Field::new("quality", table::word_type(), false),
    ])
}

/// One table's share of the view `observations`: of frames, one part for each signal.
fn observations(profile: &Profile, kept: &DataFrame) -> Result<Vec<DataFrame>> {
    if profile.shape() == Shape::Changes {
        let text = coalesce(vec![col("text"), array_to_string(col("vector"), lit(" "))]).alias("text");
        let columns = ["asset", "signal", "time", "received", "value"].map(col).into_iter();
        return Ok(vec![kept.clone().select(columns.chain([text, col("quality")]))?]);
    }
    let part = |signal: &Signal| {
        let name = ScalarValue::Utf8(Some(signal.id.to_string()));
        let word = ScalarValue::Dictionary(Box::new(DataType::Int32), Box::new(name.clone()));
        let quality = signal_quality().call(vec![col("exceptions"), lit(name)]);
        let is_text = signal.kind == ValueKind::Text;
        let value = if is_text { lit(ScalarValue::Float64(None)) } else { physical(signal) };
        let text = if is_text { ident(&*signal.id) } else { lit(ScalarValue::Utf8(None)) };
        let said = ident(&*signal.id).is_not_null().or(cast(quality.clone(), DataType::Utf8).not_eq(lit("good")));
        kept.clone().filter(said)?.select(vec![
            col("asset"),
            lit(word).alias("signal"),
            col("time"),
            col("received"),
            value.alias("value"),
            text.alias("text"),
            quality.alias("quality"),
        ])
    };
    profile.signals().iter().map(part).collect()
}

fn texts<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(texts.collect::<StringArray>())
}

/// The table `assets`: which assets there are, and of what profile.
fn assets(snapshot: &Snapshot) -> Result<MemTable> {
    let all = || snapshot.tables.iter().flat_map(|table| table.assets.iter().map(|asset| (table.profile.id(), asset)));
    let rows = RecordBatch::try_from_iter([
        ("asset", texts(all().map(|(_, asset)| Some(asset.as_str())))),
        ("profile", texts(all().map(|(profile, _)| Some(profile)))),
    ])?;
    MemTable::try_new(rows.schema(), vec![vec![rows]])
}

/// The table `signals`: what each profile can say, and what it means.
fn signals(snapshot: &Snapshot) -> Result<MemTable> {
    let all = || {
        let signals = |table: &'_ TableSnapshot| {
            let profile = Arc::clone(&table.profile);
            (0..profile.signals().len()).map(move |place| (Arc::clone(&profile), place)).collect::<Vec<_>>()
        };
        snapshot.tables.iter().flat_map(signals).collect::<Vec<_>>()
    };
    let all = all();
    let column =
        |of: fn(&Profile, usize) -> Option<&str>| texts(all.iter().map(|(profile, place)| of(profile, *place)));
    let rows = RecordBatch::try_from_iter_with_nullable([
        ("profile", column(|profile, _| Some(profile.id())), false),
        ("signal", column(|profile, place| Some(&*profile.signals()[place].id)), false),
        ("meaning", column(|profile, place| Some(&*profile.signals()[place].meaning)), false),
        ("kind", column(|profile, place| Some(profile.signals()[place].kind.as_str())), false),
        ("unit", column(|profile, place| profile.signals()[place].unit.as_deref()), true),
        ("description", column(|profile, place| profile.signals()[place].description.as_deref()), true),
    ])?;
    MemTable::try_new(rows.schema(), vec![vec![rows]])
}

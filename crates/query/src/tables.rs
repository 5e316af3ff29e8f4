//! What can be asked for: the tables of a snapshot by their names. A table is made when a question names it. Knows
//! nothing of how a query is run.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use model::Profile;
use store::{Snapshot, TableSnapshot};

use crate::files::Files;
use crate::observations::ObservationsTable;
use crate::profile_table::ProfileTable;

/// Names that no profile can have as a table.
pub const RESERVED_TABLES: [&str; 3] = ["observations", "assets", "signals"];

/// The tables of one snapshot.
#[derive(Debug)]
pub(crate) struct Tables {
    tables: Vec<Arc<TableSnapshot>>,
    files: Arc<Files>,
}

impl Tables {
    pub(crate) fn new(snapshot: Snapshot, files: Arc<Files>) -> Self {
        Self { tables: snapshot.tables.into_iter().map(Arc::new).collect(), files }
    }

    fn own(&self, name: &str) -> Option<&Arc<TableSnapshot>> {
        let own = |table: &&Arc<TableSnapshot>| table.profile.id() == name && !RESERVED_TABLES.contains(&name);
        self.tables.iter().find(own)
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        let own = self.tables.iter().map(|table| table.profile.id()).filter(|name| !RESERVED_TABLES.contains(name));
        own.chain(RESERVED_TABLES).map(str::to_owned).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(match name {
            "observations" => Some(Arc::new(ObservationsTable::new(self.tables.clone(), Arc::clone(&self.files))) as _),
            "assets" => Some(Arc::new(assets(&self.tables)?)),
            "signals" => Some(Arc::new(signals(&self.tables)?)),
            _ => {
                let own = self.own(name);
                own.map(|table| Arc::new(ProfileTable::new(Arc::clone(table), Arc::clone(&self.files))) as _)
            }
        })
    }

    fn table_exist(&self, name: &str) -> bool {
        RESERVED_TABLES.contains(&name) || self.own(name).is_some()
    }
}

fn texts<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(texts.collect::<StringArray>())
}

/// The table `assets`: which assets there are, and of what profile.
fn assets(tables: &[Arc<TableSnapshot>]) -> Result<MemTable> {
    let all = || tables.iter().flat_map(|table| table.assets.iter().map(|asset| (table.profile.id(), asset)));
    let rows = RecordBatch::try_from_iter([
        ("asset", texts(all().map(|(_, asset)| Some(asset.as_str())))),
        ("profile", texts(all().map(|(profile, _)| Some(profile)))),
    ])?;
    MemTable::try_new(rows.schema(), vec![vec![rows]])
}

/// The table `signals`: what each profile can say, and what it means.
fn signals(tables: &[Arc<TableSnapshot>]) -> Result<MemTable> {
    let all = || {
        let signals = |table: &'_ Arc<TableSnapshot>| {
            let profile = Arc::clone(&table.profile);
            (0..profile.signals().len()).map(move |place| (Arc::clone(&profile), place)).collect::<Vec<_>>()
        };
        tables.iter().flat_map(signals).collect::<Vec<_>>()
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

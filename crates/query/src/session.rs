//! What a question is planned with: made once, and lent to each question together with the tables of its snapshot.
//! Knows nothing of how answers travel.

use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList};
use datafusion::common::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use store::Snapshot;

use crate::bounded;
use crate::files::Files;
use crate::pauses::Pauses;
use crate::rollups::UseRollups;
use crate::tables::Tables;
use crate::vectors;

/// See the module.
pub(crate) struct Sessions {
    state: SessionState,
    files: Arc<Files>,
}

impl Sessions {
    /// What plans questions whose plans run in `environment` with `partitions` side by side.
    ///
    /// # Errors
    /// When a function that is to be withheld cannot be; that is a mistake in this program.
    pub(crate) fn new(environment: Arc<RuntimeEnv>, partitions: usize) -> Result<Self> {
        let config = SessionConfig::new().with_information_schema(true).with_target_partitions(partitions);
        let mut state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(environment)
            .with_default_features()
            .with_optimizer_rule(Arc::new(UseRollups))
            .with_physical_optimizer_rule(Arc::new(Pauses))
            .build();
        state.register_udf(Arc::new(vectors::indexed()))?;
        state.register_udf(Arc::new(vectors::grouped()))?;
        bounded::bound(&mut state)?;
        Ok(Self { state, files: Arc::new(Files::default()) })
    }

    /// A session that sees the tables of `snapshot`.
    ///
    /// # Errors
    /// When the catalogue refuses the tables; that is a mistake in this program.
    pub(crate) fn over(&self, snapshot: Snapshot) -> Result<SessionContext> {
        let mut state = self.state.clone();
        let names = &state.config_options().catalog;
        let (catalog, schema) = (names.default_catalog.clone(), names.default_schema.clone());
        let tables = MemoryCatalogProvider::new();
        tables.register_schema(&schema, Arc::new(Tables::new(snapshot, Arc::clone(&self.files))))?;
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(catalog, Arc::new(tables));
        state.register_catalog_list(Arc::new(catalogs));
        Ok(SessionContext::new_with_state(state))
    }
}

//! How many alarms of each asset want somebody: one pass over all alarms, for those who look at many assets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use diagnosis::{Alarm, Priority};
use model::{AssetId, Timestamp};
use tokio::time::Instant;

use super::Alarms;

/// They are counted anew at most this often, however many look at them.
const COUNTED_FOR: Duration = Duration::from_secs(1);

/// Alarms of one asset that want somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OpenOf {
    /// The most urgent priority among them.
    pub(crate) priority: Priority,
    pub(crate) count: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Open(HashMap<AssetId, OpenOf>);

impl Open {
    /// Counts those of `alarms` that want somebody at `now`.
    pub(crate) fn count<'a>(alarms: impl Iterator<Item = &'a Alarm>, now: Timestamp) -> Self {
        let mut open: HashMap<AssetId, OpenOf> = HashMap::new();
        for alarm in alarms.filter(|alarm| alarm.state(now).wants_somebody()) {
            let priority = alarm.said.priority;
            match open.get_mut(&alarm.asset) {
                Some(known) => *known = OpenOf { priority: known.priority.max(priority), count: known.count + 1 },
                None => {
                    open.insert(alarm.asset.clone(), OpenOf { priority, count: 1 });
                }
            }
        }
        Self(open)
    }

    /// Those of `asset`, if there are any.
    pub(crate) fn of(&self, asset: &AssetId) -> Option<OpenOf> {
        self.0.get(asset).copied()
    }

    #[cfg(test)]
    pub(crate) fn with(asset: AssetId, priority: Priority, count: u32) -> Self {
        Self(HashMap::from([(asset, OpenOf { priority, count })]))
    }
}

impl Alarms {
    /// How many alarms want somebody, as of a second ago at most.
    pub(crate) fn open_by_asset(&self) -> Arc<Open> {
        let mut counted = self.counted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((at, open)) = &*counted
            && at.elapsed() < COUNTED_FOR
        {
            return Arc::clone(open);
        }
        let now = self.now();
        let (open, _) = self.read(|book| Arc::new(Open::count(book.alarms(), now)));
        *counted = Some((Instant::now(), Arc::clone(&open)));
        open
    }
}

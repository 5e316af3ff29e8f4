//! Alarms counted asset by asset, for boards.

use std::collections::BTreeMap;

use diagnosis::Alarm;
use serde::Serialize;

/// Assets of an answer.
const ASSETS_MAX: usize = 10_000;

/// Alarms of one asset.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AlarmsOfAsset)]
pub(super) struct OfAssetJson {
    alarms: usize,
    /// The most urgent priority among them.
    #[schema(value_type = String)]
    priority: &'static str,
}

/// How many there are of each asset; `alarms` begin with the most urgent.
pub(super) fn by_asset(alarms: &[&Alarm]) -> BTreeMap<String, OfAssetJson> {
    let mut assets: BTreeMap<String, OfAssetJson> = BTreeMap::new();
    for alarm in alarms {
        if let Some(known) = assets.get_mut(alarm.asset.as_str()) {
            known.alarms += 1;
        } else if assets.len() < ASSETS_MAX {
            let first = OfAssetJson { alarms: 1, priority: alarm.said.priority.as_str() };
            assets.insert(alarm.asset.to_string(), first);
        }
    }
    assets
}

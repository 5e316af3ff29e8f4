//! What is remembered from one request to the next: metrics, and the assets of label sets. Everything has a bound; at a
//! bound series that need more are refused, and those that do not are kept.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use gateway::series::SeriesNames;
use model::{AssetId, Profile, Shape, Signal, SignalIndex, ValueKind};

use crate::error::{self, SeriesError};
use crate::wire::Label;

/// The profile of all metrics, and so the name of their table.
pub const PROFILE: &str = "prometheus";
/// The label that holds the name of the metric.
const NAME: &str = "__name__";
/// The longest name of a metric, in bytes.
const METRIC_BYTES_MAX: usize = 128;
/// Labels of one series.
const LABELS_MAX: usize = 64;
/// The longest name or value of a label, in bytes.
const LABEL_BYTES_MAX: usize = 4_096;

/// How much a sender may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteLimits {
    /// Metrics; at most 8,192.
    pub metrics_max: usize,
    /// Assets.
    pub assets_max: usize,
}

impl Default for RemoteLimits {
    fn default() -> Self {
        Self { metrics_max: 8_192, assets_max: 100_000 }
    }
}

/// See the module.
#[derive(Debug)]
pub struct RemoteSeries {
    limits: RemoteLimits,
    names: SeriesNames,
    profile: Arc<Profile>,
    signals: Vec<Signal>,
    by_metric: HashMap<Box<str>, SignalIndex, RandomState>,
    assets: HashMap<AssetId, (), RandomState>,
}

fn refused(reason: &'static str, detail: impl Into<String>) -> SeriesError {
    SeriesError { series: 0, bytes: 0..0, reason, detail: detail.into() }
}

impl RemoteSeries {
    /// Nothing is known yet.
    pub fn new(limits: RemoteLimits, names: SeriesNames) -> Self {
        let profile = Profile::new(PROFILE, Shape::Changes, Vec::new()).expect("the name is a plain one");
        Self {
            limits,
            names,
            profile: Arc::new(profile),
            signals: Vec::new(),
            by_metric: HashMap::default(),
            assets: HashMap::default(),
        }
    }

    /// Remembers the metrics of an earlier run; any other profile means nothing here.
    pub fn remember(&mut self, profile: &Arc<Profile>) {
        if profile.id() == PROFILE && profile.shape() == Shape::Changes && self.signals.is_empty() {
            self.signals = profile.signals().to_vec();
            let metrics = (0..).zip(profile.signals());
            self.by_metric = metrics.map(|(place, signal)| ((*signal.id).into(), place)).collect();
            self.profile = Arc::clone(profile);
        }
    }

    /// The profile with all metrics so far; the same one as long as no metric was added.
    pub(crate) fn profile(&mut self) -> Arc<Profile> {
        if self.profile.signals().len() != self.signals.len() {
            let grown = Profile::new(PROFILE, Shape::Changes, self.signals.clone());
            self.profile = Arc::new(grown.expect("every metric was checked when it was added"));
        }
        Arc::clone(&self.profile)
    }

    /// Signal and asset of the series with these labels.
    pub(crate) fn find(&mut self, labels: &[Label]) -> Result<(SignalIndex, AssetId), SeriesError> {
        if labels.len() > LABELS_MAX {
            let detail = format!("expected at most {LABELS_MAX} labels, got {}", labels.len());
            return Err(refused(error::LIMIT, detail));
        }
        if labels.iter().any(|label| label.name.len().max(label.value.len()) > LABEL_BYTES_MAX) {
            return Err(refused(error::LIMIT, "expected labels of at most 4,096 bytes"));
        }
        // A label without a value is the same as none.
        let mut pairs: Vec<(&str, &str)> =
            labels.iter().filter(|label| !label.value.is_empty()).map(|label| (&*label.name, &*label.value)).collect();
        pairs.sort_unstable();
        if pairs.windows(2).any(|pair| pair[0].0 == pair[1].0) || pairs.iter().any(|(name, _)| name.is_empty()) {
            return Err(refused(error::INVALID_LABELS, "expected names, each once"));
        }
        let Some(place) = pairs.iter().position(|(name, _)| *name == NAME) else {
            return Err(refused(error::NO_NAME, "expected the label `__name__`"));
        };
        let (_, metric) = pairs.remove(place);
        let asset = self.names.asset("", &pairs);
        let known = self.assets.get_key_value(&asset).map(|(known, ())| known.clone());
        if known.is_none() && self.assets.len() >= self.limits.assets_max {
            let detail = format!("expected at most {} assets (write.assets_max)", self.limits.assets_max);
            return Err(refused(error::LIMIT, detail));
        }
        // The metric first: an asset of which nothing can be said is not remembered.
        let signal = self.signal(metric)?;
        Ok((signal, known.unwrap_or_else(|| self.remember_asset(asset))))
    }

    fn signal(&mut self, metric: &str) -> Result<SignalIndex, SeriesError> {
        if let Some(signal) = self.by_metric.get(metric) {
            return Ok(*signal);
        }
        if metric.len() > METRIC_BYTES_MAX || metric.chars().any(char::is_control) {
            return Err(refused(error::INVALID_LABELS, "expected a metric name of at most 128 bytes in one line"));
        }
        if self.signals.len() >= self.limits.metrics_max {
            let detail = format!("expected at most {} metrics (write.metrics_max)", self.limits.metrics_max);
            return Err(refused(error::LIMIT, detail));
        }
        let signal = self.signals.len() as SignalIndex;
        self.signals.push(Signal::new(metric, &format!("prometheus:{metric}"), ValueKind::Number));
        self.by_metric.insert(metric.into(), signal);
        Ok(signal)
    }

    fn remember_asset(&mut self, asset: AssetId) -> AssetId {
        self.assets.insert(asset.clone(), ());
        asset
    }
}

//! Times in which something really was wrong, as somebody has found out otherwise. Must not know in which files they stand.

use std::collections::{HashMap, HashSet};

use model::{AssetId, Timestamp};

/// Times that can be told apart from alarms; more are refused.
const LABELS_MAX: usize = 1_000_000;

/// A time in which something was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// With whom.
    pub asset: AssetId,
    /// From then on …
    pub from: Timestamp,
    /// … until then.
    pub to: Timestamp,
    /// The rule that should have found it; any, where none is named.
    pub rule: Option<String>,
    /// The line where it stands.
    pub line: usize,
}

/// What is wrong with a label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct LabelMistake {
    /// The line where it stands.
    pub line: usize,
    /// What was expected, and what is there.
    pub problem: String,
}

/// Labels of assets, those of each in the order of time.
#[derive(Debug, Default)]
pub struct Labels(Vec<Label>);

impl Labels {
    /// `labels` of assets that are there, for rules that are there.
    ///
    /// # Errors
    /// What is wrong with them: whoever is not there, or ends before it begins.
    pub fn new<'a>(
        mut labels: Vec<Label>,
        assets: impl Iterator<Item = &'a AssetId>,
        rules: impl Iterator<Item = &'a str>,
    ) -> Result<Self, Vec<LabelMistake>> {
        let (assets, rules): (HashSet<&AssetId>, HashSet<&str>) = (assets.collect(), rules.collect());
        let mut mistakes: Vec<LabelMistake> =
            labels.iter().filter_map(|label| label.mistake(&assets, &rules)).collect();
        if labels.len() > LABELS_MAX {
            let problem = format!("expected at most {LABELS_MAX} labels");
            mistakes.push(LabelMistake { line: labels[LABELS_MAX].line, problem });
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        labels.sort_by(|one, other| (one.asset.as_str(), one.from).cmp(&(other.asset.as_str(), other.from)));
        Ok(Self(labels))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Label] {
        &self.0
    }

    /// Their places, by asset.
    pub(super) fn by_asset(&self) -> HashMap<&AssetId, std::ops::Range<usize>> {
        let mut places: HashMap<&AssetId, std::ops::Range<usize>> = HashMap::new();
        for (place, label) in self.0.iter().enumerate() {
            places.entry(&label.asset).or_insert(place..place).end = place + 1;
        }
        places
    }
}

impl Label {
    fn mistake(&self, assets: &HashSet<&AssetId>, rules: &HashSet<&str>) -> Option<LabelMistake> {
        let unknown = || self.rule.as_ref().filter(|rule| !rules.contains(rule.as_str()));
        let problem = if !assets.contains(&self.asset) {
            format!("asset: there are no rows of `{}` that the rules are about", self.asset)
        } else if self.from >= self.to {
            format!("to: expected a time after {}, got {}", self.from, self.to)
        } else {
            format!("rule: there is no rule `{}` among those that run", unknown()?)
        };
        Some(LabelMistake { line: self.line, problem })
    }
}

//! What all assets that a rule is about said last of a number, so that each can be compared with the others.

use std::collections::BTreeMap;

use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::input::AssetNumber;

/// Assets that are compared; of more, nothing is told.
const SIBLINGS_MAX: usize = 256;
/// What was said longer ago says nothing of now, in nanoseconds.
const FRESH_NANOS: i64 = 10 * 60 * 1_000_000_000;

/// See the module.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Siblings(BTreeMap<AssetNumber, (f64, i64)>);

impl Siblings {
    /// Takes in what `asset` says at `time`, and tells what the others said.
    pub(crate) fn take(&mut self, asset: AssetNumber, value: f64, time: Timestamp) -> Vec<f64> {
        if self.0.len() >= SIBLINGS_MAX {
            self.0.retain(|_, (_, said)| time.nanos().saturating_sub(*said) <= FRESH_NANOS);
        }
        // One more is enough to see that there are too many.
        if !value.is_nan() && (self.0.len() <= SIBLINGS_MAX || self.0.contains_key(&asset)) {
            self.0.insert(asset, (value, time.nanos()));
        }
        if self.0.len() > SIBLINGS_MAX {
            return Vec::new();
        }
        let is_fresh = |said: i64| time.nanos().saturating_sub(said) <= FRESH_NANOS;
        let others = self.0.iter().filter(|(other, (_, said))| **other != asset && is_fresh(*said));
        others.map(|(_, (value, _))| *value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn each_is_told_of_the_others_as_far_as_they_are_few_and_spoke_of_late() {
        let mut siblings = Siblings::default();
        assert!(siblings.take(1, 10.0, at(0)).is_empty());
        assert_eq!(siblings.take(2, 20.0, at(1)), [10.0]);
        assert_eq!(siblings.take(3, f64::NAN, at(2)), [10.0, 20.0]);
        assert_eq!(siblings.take(1, 11.0, at(601)), [20.0]);
        assert!(siblings.take(1, 11.0, at(602)).is_empty());
        for asset in 0..300 {
            let told = siblings.take(asset + 10, 1.0, at(700));
            assert_eq!(told.is_empty(), asset >= 255, "{asset}");
        }
        assert!(siblings.take(1, 1.0, at(2_000)).is_empty());
        assert_eq!(siblings.take(2, 1.0, at(2_000)), [1.0]);
    }
}

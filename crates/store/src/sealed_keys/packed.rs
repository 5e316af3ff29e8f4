//! The keys of one row group, as small as lets them be found: times as multiples of what divides all of them, and sequences
//! only where there are other ones than 0. Knows nothing of files.

use std::ops::Range;

use model::{SignalIndex, Timestamp};

use crate::generation::RowKey;

/// See the module. In the order of the rows.
#[derive(Debug)]
pub(super) struct PackedKeys {
    /// In the order of asset and signal.
    runs: Vec<Run>,
    first: i64,
    unit: u64,
    times: Times,
    /// Empty where all are 0.
    sequences: Vec<u32>,
}

/// Rows of one asset and signal whose times do not fall.
#[derive(Debug, Clone, Copy)]
struct Run {
    asset: u32,
    signal: SignalIndex,
    begin: u32,
    end: u32,
}

/// How many units each time is after the first one of all.
#[derive(Debug)]
enum Times {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

impl PackedKeys {
    pub(super) fn new(keys: &[(u32, RowKey)]) -> Self {
        let nanos = || keys.iter().map(|(_, key)| key.1.nanos());
        let first = nanos().min().unwrap_or(0);
        let after = |nanos: i64| nanos.abs_diff(first);
        let unit = nanos().fold(0, |unit, nanos| common_divisor(unit, after(nanos))).max(1);
        let units = || nanos().map(|nanos| after(nanos) / unit);
        let times = if units().all(|units| u32::try_from(units).is_ok()) {
            Times::Narrow(units().map(|units| units as u32).collect())
        } else {
            Times::Wide(units().collect())
        };
        let mut runs: Vec<Run> = Vec::new();
        for (row, (asset, (signal, ..))) in (0..).zip(keys) {
            let goes_on = |run: &&mut Run| {
                (run.asset, run.signal) == (*asset, *signal) && keys[row as usize - 1].1.1 <= keys[row as usize].1.1
            };
            match runs.last_mut().filter(goes_on) {
                Some(run) => run.end = row + 1,
                None => runs.push(Run { asset: *asset, signal: *signal, begin: row, end: row + 1 }),
            }
        }
        runs.sort_unstable_by_key(|run| (run.asset, run.signal));
        runs.shrink_to_fit();
        let has_sequences = keys.iter().any(|(_, key)| key.2 != 0);
        let sequences = if has_sequences { keys.iter().map(|(_, key)| key.2).collect() } else { Vec::new() };
        Self { runs, first, unit, times, sequences }
    }

    pub(super) fn bytes(&self) -> usize {
        let times = match &self.times {
            Times::Narrow(times) => size_of_val(&**times),
            Times::Wide(times) => size_of_val(&**times),
        };
        size_of::<Self>() + size_of_val(&*self.runs) + times + size_of_val(&*self.sequences)
    }

    pub(super) fn contains(&self, asset: u32, (signal, time, sequence): RowKey) -> bool {
        self.rows_of(asset, signal, time).any(|(_, known)| known == sequence)
    }

    /// The rows of one asset, signal and time, each with its sequence.
    pub(super) fn rows_of(&self, asset: u32, signal: SignalIndex, time: Timestamp) -> impl Iterator<Item = (u32, u32)> {
        let begin = self.runs.partition_point(|run| (run.asset, run.signal) < (asset, signal));
        let runs = self.runs[begin..].iter().take_while(move |run| (run.asset, run.signal) == (asset, signal));
        let units = self.units_of(time);
        let rows = runs.flat_map(move |run| units.map_or(0..0, |units| self.rows_at(run, units)));
        rows.map(|row| (row, self.sequences.get(row as usize).copied().unwrap_or(0)))
    }

    /// How many units `time` is after the first one, if it is so many.
    fn units_of(&self, time: Timestamp) -> Option<u64> {
        let after = (time.nanos() >= self.first).then(|| time.nanos().abs_diff(self.first))?;
        after.is_multiple_of(self.unit).then_some(after / self.unit)
    }

    fn rows_at(&self, run: &Run, units: u64) -> Range<u32> {
        let rows = run.begin as usize..run.end as usize;
        let (begin, count) = match &self.times {
            Times::Narrow(times) => equal_to(&times[rows], |known| u64::from(*known).cmp(&units)),
            Times::Wide(times) => equal_to(&times[rows], |known| known.cmp(&units)),
        };
        run.begin + begin as u32..run.begin + (begin + count) as u32
    }
}

/// Where those stand that compare as equal, and how many they are.
fn equal_to<T>(sorted: &[T], compare: impl Fn(&T) -> std::cmp::Ordering) -> (usize, usize) {
    let begin = sorted.partition_point(|one| compare(one).is_lt());
    (begin, sorted[begin..].iter().take_while(|one| compare(one).is_eq()).count())
}

fn common_divisor(mut one: u64, mut other: u64) -> u64 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(signal: SignalIndex, nanos: i64, sequence: u32) -> RowKey {
        (signal, Timestamp::from_nanos(nanos), sequence)
    }

    fn check(keys: &[(u32, RowKey)], others: &[(u32, RowKey)]) {
        let packed = PackedKeys::new(keys);
        for (asset, key) in keys {
            assert!(packed.contains(*asset, *key), "{asset} {key:?}");
        }
        for (asset, key) in others {
            assert!(!packed.contains(*asset, *key), "{asset} {key:?}");
        }
    }

    #[test]
    fn every_key_is_found_and_no_other() {
        check(&[], &[(0, key(0, 0, 0))]);
        check(&[(3, key(0, 5, 0))], &[(3, key(0, 5, 1)), (3, key(0, 4, 0)), (3, key(0, 6, 0)), (2, key(0, 5, 0))]);
        // In the order of their texts, which is not that of their codes.
        let seconds = 1_000_000_000;
        let two: Vec<_> = [7, 2].iter().flat_map(|asset| (0..50).map(|at| (*asset, key(1, at * seconds, 0)))).collect();
        check(&two, &[(7, key(1, 50 * seconds, 0)), (2, key(1, 1, 0)), (2, key(0, 0, 0)), (7, key(1, -seconds, 0))]);
        check(
            &[(1, key(0, 10, 0)), (1, key(0, 10, 8_192)), (1, key(0, 10, 9_000)), (1, key(0, 12, 4))],
            &[(1, key(0, 10, 1)), (1, key(0, 12, 0)), (1, key(0, 11, 0))],
        );
        check(&[(1, key(0, i64::MIN, 0)), (1, key(0, 1, 2)), (1, key(0, i64::MAX, 0))], &[(1, key(0, 0, 0))]);
        // A file that is not in order, as none should be.
        check(&[(1, key(0, 9, 0)), (1, key(0, 3, 0)), (2, key(0, 5, 0)), (1, key(0, 4, 0))], &[(1, key(0, 5, 0))]);
    }

    #[test]
    fn a_second_of_a_vehicle_takes_four_bytes() {
        let start = 1_767_225_600_000_000_000;
        let keys: Vec<_> = (0..86_400).map(|second| (1, key(0, start + second * 1_000_000_000, 0))).collect();
        assert!(PackedKeys::new(&keys).bytes() < 4 * 86_400 + 256);
    }
}

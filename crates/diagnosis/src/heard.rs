//! What was heard of the assets of one profile, whatever the rules are. An asset is read in the order of its time. What comes after
//! something newer is read by itself, in the order in which it comes, as long as more of it comes: a second reading, such as that of
//! reports that were kept while there was no connection. Knows nothing of rules.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;
use model::{AssetId, SignalIndex, Timestamp};

use crate::input::{AssetNumber, Last};

/// A second reading is over when nothing has come of it for so long, in nanoseconds.
const READING_NANOS: i64 = 10 * 60 * 1_000_000_000;

/// Whose turn it is when a row comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing newer is known.
    OnTime,
    /// It goes on with what is read a second time.
    Late,
    /// It begins a second reading; the one before went until then.
    LateAnew(Timestamp),
    /// What is read a second time is newer as well.
    TooLate,
}

/// A second reading of an asset.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Reading {
    /// The newest source time in it.
    pub(crate) newest: Timestamp,
    /// When something came of it last.
    pub(crate) received: Timestamp,
    /// What each signal said last in it.
    pub(crate) last: BTreeMap<SignalIndex, Last>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Heard {
    assets: HashMap<AssetId, AssetNumber, FixedState>,
    pub(crate) names: Vec<AssetId>,
    pub(crate) newest: Vec<Timestamp>,
    /// What each signal said last, of rows that say only what changes.
    pub(crate) last: HashMap<(AssetNumber, SignalIndex), Last>,
    pub(crate) readings: BTreeMap<AssetNumber, Reading>,
    /// Rows that came late.
    pub(crate) late: u64,
    /// Those of them that no reading has.
    pub(crate) too_late: u64,
}

impl Reading {
    fn is_over(&self, now: Timestamp) -> bool {
        now.nanos().saturating_sub(self.received.nanos()) >= READING_NANOS
    }
}

impl Heard {
    pub(crate) fn number_of(&mut self, asset: &AssetId) -> AssetNumber {
        if let Some(number) = self.assets.get(asset) {
            return *number;
        }
        let number = self.names.len() as AssetNumber;
        self.assets.insert(asset.clone(), number);
        self.names.push(asset.clone());
        self.newest.push(Timestamp::MIN);
        number
    }

    /// Takes in that there is a row of `asset`, of `time`, which came in at `received`.
    pub(crate) fn turn(&mut self, asset: AssetNumber, time: Timestamp, received: Timestamp) -> Turn {
        let newest = &mut self.newest[asset as usize];
        if time >= *newest {
            *newest = time;
            return Turn::OnTime;
        }
        self.late += 1;
        let begun = || Reading { newest: time, received, last: BTreeMap::new() };
        let Some(reading) = self.readings.get_mut(&asset) else {
            self.readings.insert(asset, begun());
            return Turn::Late;
        };
        if reading.is_over(received) {
            let until = std::mem::replace(reading, begun()).newest;
            return Turn::LateAnew(until);
        }
        reading.received = received;
        if time < reading.newest {
            self.too_late += 1;
            return Turn::TooLate;
        }
        reading.newest = time;
        Turn::Late
    }

    /// Takes in what `signal` of `asset` says in a row.
    pub(crate) fn hear(&mut self, turn: Turn, asset: AssetNumber, signal: SignalIndex, said: Last) {
        match turn {
            Turn::OnTime => {
                self.last.insert((asset, signal), said);
            }
            Turn::Late | Turn::LateAnew(_) => {
                self.readings.entry(asset).or_default().last.insert(signal, said);
            }
            Turn::TooLate => {}
        }
    }

    /// What `signal` of `asset` said last, as far as that counts for such a row.
    pub(crate) fn last_said(&self, turn: Turn, asset: AssetNumber, signal: SignalIndex) -> Option<&Last> {
        match turn {
            Turn::OnTime => self.last.get(&(asset, signal)),
            _ => self.readings.get(&asset)?.last.get(&signal),
        }
    }

    /// Forgets the second readings that are over at `now`: whose, and until when they went.
    pub(crate) fn end_readings(&mut self, now: Timestamp) -> Vec<(AssetNumber, Timestamp)> {
        let over = self.readings.iter().filter(|(_, reading)| reading.is_over(now));
        let over: Vec<_> = over.map(|(asset, reading)| (*asset, reading.newest)).collect();
        over.iter().for_each(|(asset, _)| drop(self.readings.remove(asset)));
        over
    }
}

//! Which vehicles are wanted, and in which order: what a table shows of a large fleet. Pure.

use diagnosis::Priority;

use super::{Fleet, Kept, LEVELS, Sight, State, Vehicle};

/// Characters of a search; a VIN has 17.
const SEARCH_CHARACTERS_MAX: usize = 64;

/// What a table can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Vin,
    State,
    Heard,
    /// By the most urgent of the alarms that want somebody, and how many there are.
    Alarms,
    Value(Kept),
}

impl Sort {
    /// The words that name them.
    pub(crate) const ALL: [(&'static str, Self); 11] = [
        ("vin", Self::Vin),
        ("edition", Self::Value(Kept::Edition)),
        ("state", Self::State),
        ("soc", Self::Value(Kept::Soc)),
        ("speed", Self::Value(Kept::Speed)),
        ("odometer", Self::Value(Kept::Odometer)),
        ("voltage", Self::Value(Kept::Voltage)),
        ("current", Self::Value(Kept::Current)),
        ("level", Self::Value(Kept::Level)),
        ("heard", Self::Heard),
        ("alarms", Self::Alarms),
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Ascending,
    Descending,
}

/// Which vehicles are wanted: those that meet all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Filter {
    /// Empty: whatever they do.
    pub(crate) states: Vec<State>,
    /// Empty: whatever their alarms.
    pub(crate) levels: Vec<usize>,
    /// Empty: whatever the most urgent of their alarms that want somebody.
    priorities: Vec<Priority>,
    /// Part of a VIN, in capitals.
    search: String,
}

impl Filter {
    pub(crate) fn new(states: Vec<State>, levels: Vec<usize>, search: &str) -> Self {
        let search = search.trim().chars().take(SEARCH_CHARACTERS_MAX).collect::<String>().to_ascii_uppercase();
        debug_assert!(levels.iter().all(|level| *level < LEVELS), "levels are checked where they are read");
        Self { states, levels, priorities: Vec::new(), search }
    }

    /// Also only those the most urgent of whose alarms is of one of `priorities`.
    #[must_use]
    pub(crate) fn of_priorities(self, priorities: Vec<Priority>) -> Self {
        Self { priorities, ..self }
    }

    pub(crate) fn admits(&self, vehicle: &Vehicle, sight: &Sight) -> bool {
        (self.states.is_empty() || self.states.contains(&vehicle.state(sight)))
            && (self.levels.is_empty() || vehicle.level().is_some_and(|level| self.levels.contains(&level)))
            && (self.priorities.is_empty()
                || vehicle.open(sight).is_some_and(|open| self.priorities.contains(&open.priority)))
            && (self.search.is_empty() || vehicle.vin().contains(&self.search))
    }
}

/// The places of the vehicles that `filter` admits, from `offset` on, `limit` at the most; and how many it admits. Those
/// without a value stand last in either order; equal ones in that of their places, so that pages fit together.
pub(crate) fn page(
    fleet: &Fleet,
    sight: &Sight,
    filter: &Filter,
    (sort, order): (Sort, Order),
    (offset, limit): (usize, usize),
) -> (usize, Vec<u32>) {
    let admitted = (0..).zip(fleet.vehicles()).filter(|(_, vehicle)| filter.admits(vehicle, sight));
    let mut keys: Vec<(u128, u32)> =
        admitted.map(|(place, vehicle)| (ordered(key(vehicle, sight, sort), order), place)).collect();
    let total = keys.len();
    let (from, to) = (offset.min(total), offset.saturating_add(limit).min(total));
    // Only the page itself is sorted: what is before it and behind it stays in any order.
    if to < total {
        keys.select_nth_unstable(to);
        keys.truncate(to);
    }
    if from < keys.len() {
        keys.select_nth_unstable(from);
    }
    keys[from..].sort_unstable();
    (total, keys[from..].iter().map(|(_, place)| *place).collect())
}

/// What a vehicle is sorted by, as a number that is ordered like it; none where it has none.
fn key(vehicle: &Vehicle, sight: &Sight, sort: Sort) -> Option<u128> {
    match sort {
        // Seven bits are enough for a character of a VIN, and eighteen of them for 128 bits.
        Sort::Vin => {
            let bytes = vehicle.vin().bytes().chain(std::iter::repeat(0)).take(18);
            Some(bytes.fold(0, |key, byte| key << 7 | u128::from(byte & 0x7f)))
        }
        Sort::State => Some(vehicle.state(sight) as u128),
        Sort::Heard => vehicle.heard.map(|heard| u128::from(heard.nanos().cast_unsigned() ^ 1 << 63)),
        Sort::Alarms => vehicle.open(sight).map(|open| (open.priority as u128) << 32 | u128::from(open.count)),
        Sort::Value(kept) => vehicle.value(kept).map(|value| {
            let bits = value.to_bits();
            u128::from(if bits >> 63 == 1 { !bits } else { bits | 1 << 63 })
        }),
    }
}

fn ordered(key: Option<u128>, order: Order) -> u128 {
    // No key takes all 128 bits.
    match (key, order) {
        (Some(key), Order::Ascending) => key,
        (Some(key), Order::Descending) => (u128::MAX >> 1) - key,
        (None, _) => u128::MAX,
    }
}

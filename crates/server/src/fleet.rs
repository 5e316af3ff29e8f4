//! The fleet as it is now: of every vehicle the few values that counts, tables and maps are made of, kept up to date by
//! what becomes durable, and only while somebody looks. Must not know of HTTP.

pub(crate) mod coordinates;
pub(crate) mod follow;
pub(crate) mod frames;
pub(crate) mod page;
mod vehicle;

use std::collections::HashMap;

use diagnosis::Priority;
use gateway_gbt32960::SESSION_PROFILE;
use model::{AssetId, Batch, Changes, Column, Frames, Profile, Quality, Rows, SignalIndex, Timestamp, Value};
use store::LatestFew;

pub(crate) use self::vehicle::{Kept, Sight, State, Vehicle};
use self::vehicle::{SIGNALS, Session, VALUES};

/// The signal of [`SESSION_PROFILE`] that says what happened.
const SESSION_SIGNAL: &str = "session";
/// The levels of alarms: none, 1 to 3, and from 2025 on 4, a thermal event.
pub(crate) const LEVELS: usize = 5;

/// How many vehicles are how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) vehicles: usize,
    /// In the order of [`State::ALL`].
    pub(crate) states: [usize; State::ALL.len()],
    /// By the highest level of alarm that each vehicle has.
    pub(crate) levels: [usize; LEVELS],
    /// Those that never told a level.
    pub(crate) level_unknown: usize,
    /// By the most urgent of the alarms that want somebody, in the order of [`Priority::ALL`].
    pub(crate) priorities: [usize; Priority::ALL.len()],
    /// Alarms that want somebody.
    pub(crate) open: usize,
}

/// See the module. A vehicle keeps its place for as long as the program runs.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    vehicles: Vec<Vehicle>,
    places: HashMap<AssetId, u32>,
}

impl Fleet {
    pub(crate) fn vehicles(&self) -> &[Vehicle] {
        &self.vehicles
    }

    /// Takes in a batch of new rows, whatever they are about.
    pub(crate) fn take(&mut self, batch: &Batch) {
        match &batch.rows {
            Rows::Frames(frames) if batch.profile.id() == gbt32960::PROFILE => self.take_reports(batch, frames),
            Rows::Changes(changes) if batch.profile.id() == SESSION_PROFILE => self.take_sessions(batch, changes),
            _ => {}
        }
    }

    /// What to ask the store for: profiles and their signals. The answers go to [`Fleet::take_latest`].
    pub(crate) fn wanted() -> [(&'static str, &'static [&'static str]); 2] {
        [(gbt32960::PROFILE, &SIGNALS), (SESSION_PROFILE, &[SESSION_SIGNAL])]
    }

    /// Takes in what the store had as the latest values of `profile`.
    pub(crate) fn take_latest(&mut self, profile: &str, scales: &[model::Scale], latest: &[LatestFew]) {
        for LatestFew { asset, said } in latest {
            let place = self.place(asset);
            let vehicle = &mut self.vehicles[place];
            if profile == SESSION_PROFILE {
                if let Some(Some((observation, _))) = said.first() {
                    vehicle.take_session(Session::of(&observation.value), observation.time);
                }
                continue;
            }
            let heard = said.iter().flatten().map(|(_, received)| *received).max();
            let time = said.iter().flatten().map(|(observation, _)| observation.time).max();
            let (Some(heard), Some(time)) = (heard, time) else { continue };
            vehicle.heard = vehicle.heard.max(Some(heard));
            if vehicle.time > Some(time) {
                continue;
            }
            vehicle.time = Some(time);
            for ((value, one), scale) in vehicle.values.iter_mut().zip(said).zip(scales) {
                let Some((observation, _)) = one else { continue };
                *value = match observation.value {
                    Value::Integer(raw) if observation.quality == Quality::Good => scale.physical(raw),
                    _ => f64::NAN,
                };
            }
        }
    }

    fn place(&mut self, asset: &AssetId) -> usize {
        if let Some(place) = self.places.get(asset) {
            return *place as usize;
        }
        let place = self.vehicles.len();
        self.vehicles.push(Vehicle::new(asset.clone()));
        self.places.insert(asset.clone(), place as u32);
        place
    }

    fn take_reports(&mut self, batch: &Batch, frames: &Frames) {
        let columns: [Option<SignalIndex>; VALUES] = SIGNALS.map(|signal| batch.profile.signal_index(signal));
        let scales = scales(&batch.profile);
        let places: Vec<usize> = frames.assets.iter().map(|asset| self.place(asset)).collect();
        for row in 0..frames.len() {
            let vehicle = &mut self.vehicles[places[usize::from(frames.asset[row])]];
            vehicle.heard = vehicle.heard.max(Some(batch.received));
            let time = Some(frames.time[row]);
            if vehicle.time > time {
                // A report that was reissued says nothing of now.
                continue;
            }
            vehicle.time = time;
            for ((value, column), scale) in vehicle.values.iter_mut().zip(columns).zip(scales) {
                let column = column.map(|column| &frames.columns[usize::from(column)]);
                if let Some(Column::Integers(rows)) = column
                    && let Some(raw) = rows[row]
                {
                    *value = scale.physical(raw);
                }
            }
            let exceptions = if frames.exceptions.is_empty() { &[] } else { frames.exceptions_of(row) };
            for exception in exceptions.iter().filter(|exception| exception.element.is_none()) {
                if let Some(place) = columns.iter().position(|column| *column == Some(exception.signal)) {
                    vehicle.values[place] = f64::NAN;
                }
            }
        }
    }

    fn take_sessions(&mut self, batch: &Batch, changes: &Changes) {
        let Some(signal) = batch.profile.signal_index(SESSION_SIGNAL) else { return };
        for row in (0..changes.len()).filter(|row| changes.signal[*row] == signal) {
            let place = self.place(changes.asset_of(row));
            self.vehicles[place].take_session(Session::of(&changes.value[row]), changes.time[row]);
        }
    }

    /// How many vehicles are how at the time of `sight`.
    pub(crate) fn counts(&self, sight: &Sight) -> Counts {
        let mut counts = Counts { vehicles: self.vehicles.len(), ..Counts::default() };
        for vehicle in &self.vehicles {
            counts.states[vehicle.state(sight) as usize] += 1;
            match vehicle.level() {
                Some(level) => counts.levels[level] += 1,
                None => counts.level_unknown += 1,
            }
            if let Some(open) = vehicle.open(sight) {
                counts.priorities[open.priority as usize] += 1;
                counts.open += open.count as usize;
            }
        }
        counts
    }

    /// The places of the `count` vehicles that have been silent longest, among those that are offline.
    pub(crate) fn offline_longest(&self, sight: &Sight, count: usize) -> Vec<u32> {
        let offline = |(place, vehicle): (u32, &Vehicle)| {
            (vehicle.state(sight) == State::Offline).then_some((vehicle.heard, place))
        };
        let mut silent: Vec<(Option<Timestamp>, u32)> = (0..).zip(&self.vehicles).filter_map(offline).collect();
        if silent.len() > count {
            silent.select_nth_unstable(count);
            silent.truncate(count);
        }
        silent.sort_unstable();
        silent.into_iter().map(|(_, place)| place).collect()
    }
}

/// How the raw values of [`SIGNALS`] become physical.
pub(crate) fn scales(profile: &Profile) -> [model::Scale; VALUES] {
    SIGNALS.map(|signal| profile.signal_index(signal).map_or(model::Scale::ONE, |at| profile.signal(at).scale))
}

#[cfg(test)]
mod tests;

//! Many observations of one profile, columnar. Knows neither how they came nor where they go.

use std::sync::Arc;

use crate::{AssetId, Profile, Quality, Shape, SignalIndex, Timestamp, Value, Vectors};

/// One signal of one asset at one source time.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The place of the signal in the batch's profile.
    pub signal: SignalIndex,
    /// When the source says that it was so.
    pub time: Timestamp,
    /// The how-manieth observation of this signal at this very time, from 0; tells repeats apart from news.
    pub sequence: u32,
    /// How far the value can be trusted.
    pub quality: Quality,
    /// What was said.
    pub value: Value,
    /// What was said about how the value came to be, seldom present.
    pub statistic: Option<Box<Statistic>>,
}

/// How a value came to be (MTConnect part 3: `duration`, `resetTriggered`, `sampleRate`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Statistic {
    /// The span over which the value was calculated, in seconds.
    pub duration_secs: Option<f64>,
    /// Why an accumulated value started anew.
    pub reset_triggered: Option<Box<str>>,
    /// Values per second in a time series.
    pub sample_rate_hz: Option<f64>,
}

/// Event-like observations: a signal speaks when it changes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// The assets that the column `asset` points into.
    pub assets: Vec<AssetId>,
    /// Which of `assets`, row by row.
    pub asset: Vec<u16>,
    /// See [`Observation::signal`].
    pub signal: Vec<SignalIndex>,
    /// See [`Observation::time`].
    pub time: Vec<Timestamp>,
    /// See [`Observation::sequence`].
    pub sequence: Vec<u32>,
    /// See [`Observation::quality`].
    pub quality: Vec<Quality>,
    /// See [`Observation::value`].
    pub value: Vec<Value>,
    /// The rows that have a statistic, ascending.
    pub statistic: Vec<(u32, Box<Statistic>)>,
}

impl Changes {
    /// The place of `asset` in `assets`, added if need be.
    pub fn intern(&mut self, asset: &AssetId) -> u16 {
        if let Some(place) = self.assets.iter().position(|known| known == asset) {
            return place as u16;
        }
        assert!(self.assets.len() < usize::from(u16::MAX), "a batch holds fewer than 65,535 assets");
        self.assets.push(asset.clone());
        (self.assets.len() - 1) as u16
    }

    /// Adds one observation of the asset at `asset` (see [`Changes::intern`]).
    pub fn push(&mut self, asset: u16, observation: Observation) {
        if let Some(statistic) = observation.statistic {
            self.statistic.push((self.time.len() as u32, statistic));
        }
        self.asset.push(asset);
        self.signal.push(observation.signal);
        self.time.push(observation.time);
        self.sequence.push(observation.sequence);
        self.quality.push(observation.quality);
        self.value.push(observation.value);
    }

    /// The number of observations.
    pub fn len(&self) -> usize {
        self.time.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    /// The asset of row `row`.
    pub fn asset_of(&self, row: usize) -> &AssetId {
        &self.assets[usize::from(self.asset[row])]
    }

    fn only(&self, keep: &[bool]) -> Self {
        let rows = kept_rows(keep);
        let statistic = self.statistic.iter().filter_map(|(row, one)| Some((rows[*row as usize]?, one.clone())));
        Self {
            assets: self.assets.clone(),
            asset: kept(&self.asset, keep),
            signal: kept(&self.signal, keep),
            time: kept(&self.time, keep),
            sequence: kept(&self.sequence, keep),
            quality: kept(&self.quality, keep),
            value: kept(&self.value, keep),
            statistic: statistic.collect(),
        }
    }

    /// The statistic of row `row`, if it has one.
    pub fn statistic_of(&self, row: usize) -> Option<&Statistic> {
        let place = self.statistic.binary_search_by_key(&(row as u32), |(row, _)| *row).ok()?;
        Some(&self.statistic[place].1)
    }
}

/// Periodic, wide observations: all signals speak together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Frames {
    /// The assets that the column `asset` points into.
    pub assets: Vec<AssetId>,
    /// Which of `assets`, row by row.
    pub asset: Vec<u16>,
    /// When the source says that it was so.
    pub time: Vec<Timestamp>,
    /// Tells frames of one asset at the same time apart.
    pub sequence: Vec<u32>,
    /// One column per signal of the profile, each as long as `time`.
    pub columns: Vec<Column>,
    /// Where the quality is not good, in the order of the rows.
    pub exceptions: Vec<FrameException>,
}

impl Frames {
    /// The number of frames.
    pub fn len(&self) -> usize {
        self.time.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    /// The exceptions of row `row`.
    pub fn exceptions_of(&self, row: usize) -> &[FrameException] {
        let first = self.exceptions.partition_point(|exception| (exception.row as usize) < row);
        let count = self.exceptions[first..].partition_point(|exception| exception.row as usize == row);
        &self.exceptions[first..first + count]
    }

    /// What row `row` says of each signal that it speaks of.
    pub fn observations_of(&self, row: usize) -> impl Iterator<Item = Observation> {
        let exceptions = self.exceptions_of(row);
        self.columns.iter().enumerate().filter_map(move |(signal, column)| {
            let value = match column {
                Column::Integers(rows) => rows[row].map(Value::Integer),
                Column::Numbers(rows) => rows[row].map(Value::Number),
                Column::Texts(rows) => rows[row].clone().map(Value::Text),
                Column::Vectors(rows) => rows.row(row).map(|elements| Value::Integers(elements.into())),
            };
            let signal = signal as SignalIndex;
            // That of an element is not that of the whole.
            let is_of_all = |exception: &&FrameException| exception.signal == signal && exception.element.is_none();
            let exception = exceptions.iter().find(is_of_all);
            if value.is_none() && exception.is_none() {
                return None;
            }
            Some(Observation {
                signal,
                time: self.time[row],
                sequence: self.sequence[row],
                quality: exception.map_or(Quality::Good, |exception| exception.quality),
                value: value.unwrap_or_default(),
                statistic: None,
            })
        })
    }

    fn only(&self, keep: &[bool]) -> Self {
        let columns = self.columns.iter().map(|column| match column {
            Column::Integers(rows) => Column::Integers(kept(rows, keep)),
            Column::Numbers(rows) => Column::Numbers(kept(rows, keep)),
            Column::Texts(rows) => Column::Texts(kept(rows, keep)),
            Column::Vectors(rows) => Column::Vectors(rows.only(keep)),
        });
        let rows = kept_rows(keep);
        let exceptions = self
            .exceptions
            .iter()
            .filter_map(|exception| rows[exception.row as usize].map(|row| FrameException { row, ..*exception }));
        Self {
            assets: self.assets.clone(),
            asset: kept(&self.asset, keep),
            time: kept(&self.time, keep),
            sequence: kept(&self.sequence, keep),
            columns: columns.collect(),
            exceptions: exceptions.collect(),
        }
    }
}

/// The values of one signal in [`Frames`]; `None` where the frame does not speak of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Wire integers, made physical by the signal's scale.
    Integers(Vec<Option<i64>>),
    /// Physical numbers.
    Numbers(Vec<Option<f64>>),
    /// Texts.
    Texts(Vec<Option<Box<str>>>),
    /// Lists of wire integers, made physical by the signal's scale.
    Vectors(Vectors),
}

impl Column {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Integers(rows) => rows.len(),
            Self::Numbers(rows) => rows.len(),
            Self::Texts(rows) => rows.len(),
            Self::Vectors(rows) => rows.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One value in [`Frames`] whose quality is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameException {
    /// Which frame.
    pub row: u32,
    /// Which signal.
    pub signal: SignalIndex,
    /// Which element of a vector, from 0; `None` where it is the whole value.
    pub element: Option<u16>,
    /// What is wrong with it.
    pub quality: Quality,
}

/// The rows of a batch, in the shape of its profile.
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    /// For [`Shape::Changes`].
    Changes(Changes),
    /// For [`Shape::Frames`].
    Frames(Frames),
}

impl Rows {
    /// The source time of each row.
    pub fn times(&self) -> &[Timestamp] {
        match self {
            Self::Changes(changes) => &changes.time,
            Self::Frames(frames) => &frames.time,
        }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.times().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.times().is_empty()
    }
}

/// Observations of one profile that were received together.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// What the rows are about.
    pub profile: Arc<Profile>,
    /// When they came in.
    pub received: Timestamp,
    /// What was said.
    pub rows: Rows,
}

impl Batch {
    /// A batch of changes.
    ///
    /// # Panics
    /// When the profile has another shape: a mistake of the gateway, not of the source.
    pub fn changes(profile: Arc<Profile>, received: Timestamp, changes: Changes) -> Self {
        assert_eq!(profile.shape(), Shape::Changes, "profile {}", profile.id());
        Self { profile, received, rows: Rows::Changes(changes) }
    }

    /// A batch of frames.
    ///
    /// # Panics
    /// When the profile has another shape, or the columns do not fit it.
    pub fn frames(profile: Arc<Profile>, received: Timestamp, frames: Frames) -> Self {
        assert_eq!(profile.shape(), Shape::Frames, "profile {}", profile.id());
        assert_eq!(profile.signals().len(), frames.columns.len(), "columns of profile {}", profile.id());
        assert!(frames.columns.iter().all(|column| column.len() == frames.len()), "every column has every row");
        assert!(frames.exceptions.is_sorted_by_key(|exception| exception.row), "exceptions are in the order of rows");
        Self { profile, received, rows: Rows::Frames(frames) }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same batch with only the rows for which `keep` says so.
    ///
    /// # Panics
    /// When `keep` does not speak of every row.
    #[must_use]
    pub fn only(&self, keep: &[bool]) -> Self {
        assert_eq!(keep.len(), self.len(), "one decision per row");
        let rows = match &self.rows {
            Rows::Changes(changes) => Rows::Changes(changes.only(keep)),
            Rows::Frames(frames) => Rows::Frames(frames.only(keep)),
        };
        Self { profile: Arc::clone(&self.profile), received: self.received, rows }
    }
}

/// The elements of `column` whose row is kept.
fn kept<T: Clone>(column: &[T], keep: &[bool]) -> Vec<T> {
    column.iter().zip(keep).filter(|(_, keep)| **keep).map(|(element, _)| element.clone()).collect()
}

/// What each row becomes, if it is kept.
fn kept_rows(keep: &[bool]) -> Vec<Option<u32>> {
    let mut kept = 0;
    let row = |keep: &bool| {
        keep.then(|| {
            kept += 1;
            kept - 1
        })
    };
    keep.iter().map(row).collect()
}

/// How far a source has been read. Becomes durable in one step with the batch that it came with, so that after a
/// restart reading goes on exactly there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The gateway that reads the source.
    pub source: Box<str>,
    /// The position, in the words of that gateway.
    pub position: Box<str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AssetKind, Signal, ValueKind};

    #[test]
    fn a_batch_can_lose_rows_and_keeps_what_belongs_to_the_others() {
        let profile = Profile::new("press", Shape::Changes, vec![Signal::new("force", "x:F", ValueKind::Number)]);
        let mut changes = Changes::default();
        let asset = changes.intern(&AssetId::new(AssetKind::Machine, "p1").unwrap());
        for second in 0..4 {
            let statistic = Statistic { duration_secs: Some(second as f64), ..Statistic::default() };
            changes.push(
                asset,
                Observation {
                    signal: 0,
                    time: Timestamp::from_millis(second * 1_000),
                    sequence: 0,
                    quality: Quality::Good,
                    value: Value::Number(second as f64),
                    statistic: (second >= 2).then(|| Box::new(statistic)),
                },
            );
        }
        let batch = Batch::changes(Arc::new(profile.unwrap()), Timestamp::default(), changes);
        let Rows::Changes(left) = batch.only(&[false, true, false, true]).rows else { panic!("changes stay changes") };
        assert_eq!(left.value, [Value::Number(1.0), Value::Number(3.0)]);
        assert_eq!(left.statistic_of(0), None);
        assert_eq!(left.statistic_of(1).unwrap().duration_secs, Some(3.0));
    }

    #[test]
    fn a_frame_says_what_it_has_a_value_or_an_exception_for() {
        let exception = |row, signal| FrameException { row, signal, element: None, quality: Quality::Invalid };
        let frames = Frames {
            time: vec![Timestamp::from_millis(1), Timestamp::from_millis(2)],
            sequence: vec![0, 7],
            columns: vec![
                Column::Integers(vec![Some(5), None]),
                Column::Numbers(vec![None, Some(0.5)]),
                Column::Texts(vec![None, None]),
            ],
            exceptions: vec![exception(1, 1), exception(1, 2)],
            ..Frames::default()
        };
        let said = |row| -> Vec<_> {
            frames.observations_of(row).map(|one| (one.signal, one.sequence, one.quality, one.value)).collect()
        };
        assert_eq!(said(0), [(0, 0, Quality::Good, Value::Integer(5))]);
        let number = (1, 7, Quality::Invalid, Value::Number(0.5));
        assert_eq!(said(1), [number, (2, 7, Quality::Invalid, Value::Absent)]);
    }
}

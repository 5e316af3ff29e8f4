//! A fleet as a gateway tells it: batches of wire integers, from workload W or made up, from a seed, in any size.
//!
//! What is made up moves as workload W does, signal by signal, but is another draw. Must not know what becomes of a batch.

use std::sync::Arc;

use anyhow::{Result, ensure};
use model::{AssetId, AssetKind, Batch, Column, Frames, Profile, Scale, Shape, Signal, Timestamp, ValueKind};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::workload::{BEGIN_SECS, Kind, SECONDS_OF_BATCH, SIGNALS, Workload};

/// As a gateway makes them: 20 s of 100 vehicles.
pub(crate) const ROWS_OF_BATCH: usize = 2_000;
const SEED: u64 = 20_261_121;
/// How long a batch is under way before it is received.
const LATENCY_MILLIS: i64 = 500;

/// What every batch of the fleet has in common.
struct Fleet {
    profile: Arc<Profile>,
    assets: Vec<AssetId>,
}

impl Fleet {
    fn new(kinds: &[Kind], vehicles: usize) -> Result<Self> {
        let signals = kinds.iter().map(|Kind { name, divisor }| Signal {
            scale: Scale { divisor: *divisor, offset: 0.0 },
            ..Signal::new(name, &format!("bench:{name}"), ValueKind::Integer)
        });
        let profile = Arc::new(Profile::new("wide", Shape::Frames, signals.collect())?);
        let assets: Result<Vec<_>, _> =
            (0..vehicles).map(|vehicle| AssetId::new(AssetKind::Vehicle, &format!("v{vehicle:04}"))).collect();
        Ok(Self { profile, assets: assets? })
    }

    /// The seconds from `first` on, each vehicle's values asked of `value_of` (second, vehicle, where to put them).
    fn batch(&self, first: usize, seconds: usize, mut values_of: impl FnMut(usize, usize, &mut [i64])) -> Arc<Batch> {
        let rows = seconds * self.assets.len();
        let mut columns: Vec<Vec<Option<i64>>> = (0..SIGNALS).map(|_| Vec::with_capacity(rows)).collect();
        let mut frames = Frames { assets: self.assets.clone(), sequence: vec![0; rows], ..Frames::default() };
        let mut values = [0; SIGNALS];
        for second in first..first + seconds {
            let time = Timestamp::from_millis((BEGIN_SECS + second as i64) * 1_000);
            for vehicle in 0..self.assets.len() {
                values_of(second, vehicle, &mut values);
                frames.asset.push(vehicle as u16);
                frames.time.push(time);
                for (column, value) in columns.iter_mut().zip(values) {
                    column.push(Some(value));
                }
            }
        }
        frames.columns = columns.into_iter().map(Column::Integers).collect();
        let end = (BEGIN_SECS + (first + seconds) as i64) * 1_000;
        Arc::new(Batch::frames(Arc::clone(&self.profile), Timestamp::from_millis(end + LATENCY_MILLIS), frames))
    }
}

/// All batches of workload W.
pub(crate) fn of_workload(workload: &Workload) -> Result<Vec<Arc<Batch>>> {
    let (fleet, values) = (Fleet::new(&workload.kinds, workload.vehicles)?, workload.values()?);
    let row_of = |second: usize, vehicle: usize| (second * workload.vehicles + vehicle) * SIGNALS;
    let batches = (0..workload.seconds / SECONDS_OF_BATCH).map(|batch| {
        fleet.batch(batch * SECONDS_OF_BATCH, SECONDS_OF_BATCH, |second, vehicle, raw| {
            let row = row_of(second, vehicle);
            for ((raw, value), kind) in raw.iter_mut().zip(&values[row..row + SIGNALS]).zip(&workload.kinds) {
                *raw = (value * kind.divisor).round() as i64;
            }
        })
    });
    Ok(batches.collect())
}

/// The batches of a made-up fleet, in the order of time.
pub(crate) fn made_up(kinds: &[Kind], vehicles: usize, seconds: usize) -> Result<impl Iterator<Item = Arc<Batch>>> {
    ensure!(vehicles > 0 && ROWS_OF_BATCH.is_multiple_of(vehicles), "batches of {ROWS_OF_BATCH} rows");
    let fleet = Fleet::new(kinds, vehicles)?;
    let mut noise = Noise { random: StdRng::seed_from_u64(SEED), spare: None };
    let mut all: Vec<Vehicle> = (0..vehicles).map(|_| Vehicle::new(&mut noise)).collect();
    let divisors: Vec<f64> = kinds.iter().map(|kind| kind.divisor).collect();
    let each = ROWS_OF_BATCH / vehicles;
    Ok((0..seconds / each).map(move |batch| {
        fleet.batch(batch * each, each, |second, vehicle, raw| {
            let values = all[vehicle].next(second, &mut noise);
            for ((raw, value), divisor) in raw.iter_mut().zip(values).zip(&divisors) {
                *raw = (value * divisor).round() as i64;
            }
        })
    }))
}

/// Normally distributed numbers.
struct Noise {
    random: StdRng,
    spare: Option<f64>,
}

impl Noise {
    /// One with mean 0 and deviation 1 (Box and Muller: two at a time).
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * (1.0 - self.random.random_range(0.0..1.0_f64)).ln()).sqrt();
        let (sine, cosine) = self.random.random_range(0.0..std::f64::consts::TAU).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }
}

/// A value that wanders between two bounds and is thrown back by them.
#[derive(Clone, Copy)]
struct Walk {
    value: f64,
    step: f64,
    chance: f64,
    bounds: (f64, f64),
}

impl Walk {
    fn new(step: f64, bounds: (f64, f64), start: f64, chance: f64) -> Self {
        Self { value: start, step, chance, bounds }
    }

    fn next(&mut self, noise: &mut Noise) -> f64 {
        if self.chance >= 1.0 || noise.random.random_bool(self.chance) {
            self.value += self.step * noise.normal();
            let (low, high) = self.bounds;
            if self.value < low {
                self.value = 2.0 * low - self.value;
            } else if self.value > high {
                self.value = 2.0 * high - self.value;
            }
        }
        self.value
    }
}

/// One vehicle of the made-up fleet.
struct Vehicle {
    current: Walk,
    speed: Walk,
    voltage: Walk,
    headings: [Walk; 2],
    /// Charge lost in a second, and the position and counters at the start.
    discharge: f64,
    odometer: f64,
    energy: f64,
    position: [f64; 2],
    /// Gear, status, mode, alarm: their walks are rounded.
    states: [Walk; 4],
    insulation: Walk,
    temperatures: [Walk; 6],
    settings: [Walk; 5],
    cells: [f64; 20],
    cell_temperatures: [Walk; 8],
    flow: Walk,
}

impl Vehicle {
    fn new(noise: &mut Noise) -> Self {
        let mut from = |low: f64, high: f64| noise.random.random_range(low..high);
        let state = |step, high, start, chance| Walk::new(step, (0.0, high), start, chance);
        let heading = Walk::new(0.02, (-3.0, 3.0), 0.0, 1.0);
        Self {
            current: Walk::new(3.0, (-200.0, 300.0), from(0.0, 50.0), 1.0),
            speed: Walk::new(1.2, (0.0, 120.0), from(0.0, 80.0), 1.0),
            voltage: Walk::new(0.05, (-8.0, 8.0), 0.0, 1.0),
            headings: [heading; 2],
            discharge: from(0.002, 0.008),
            odometer: from(1e3, 1e5),
            energy: from(1e2, 1e4),
            position: [116.0 + from(-1.0, 1.0), 40.0 + from(-1.0, 1.0)],
            states: [
                state(0.5, 6.0, 3.0, 0.05),
                state(1.0, 3.0, 0.0, 0.002),
                state(1.0, 3.0, 0.0, 0.001),
                state(1.0, 3.0, 0.0, 0.0005),
            ],
            insulation: Walk::new(2.0, (500.0, 5_000.0), from(1_000.0, 4_000.0), 0.3),
            temperatures: std::array::from_fn(|_| Walk::new(0.15, (10.0, 90.0), from(20.0, 50.0), 0.3)),
            settings: std::array::from_fn(|_| Walk::new(1.0, (0.0, 100.0), from(10.0, 60.0), 1.0)),
            cell_temperatures: std::array::from_fn(|_| Walk::new(0.05, (15.0, 45.0), from(22.0, 32.0), 0.2)),
            flow: Walk::new(0.3, (0.0, 30.0), from(5.0, 20.0), 1.0),
            cells: std::array::from_fn(|_| 0.003 * noise.normal()),
        }
    }

    /// The values of the second `second`, in the order of the workload's signals.
    fn next(&mut self, second: usize, noise: &mut Noise) -> [f64; SIGNALS] {
        let current = (self.current.next(noise) * 10.0).round() / 10.0;
        let speed = (self.speed.next(noise) * 10.0).round() / 10.0;
        self.odometer += speed / 3_600.0;
        self.energy += current.abs() * 380.0 / 3.6e6;
        self.position[0] += speed * 1e-6 * self.headings[0].next(noise).cos();
        self.position[1] += speed * 1e-6 * self.headings[1].next(noise).sin();
        let mut values = [0.0; SIGNALS];
        let mut place = 0;
        let mut put = |value| {
            values[place] = value;
            place += 1;
        };
        put(speed);
        put(current);
        put(380.0 - current * 0.08 + self.voltage.next(noise));
        // Charged when it is nearly empty.
        put(80.0 - (second as f64 * self.discharge) % 75.0);
        put(self.odometer);
        put(self.energy);
        self.position.into_iter().for_each(&mut put);
        self.states.iter_mut().for_each(|state| put(state.next(noise)));
        put(self.insulation.next(noise));
        put(speed * 95.0 + 4.0 * noise.normal());
        put(current * 1.4 + 0.3 * noise.normal());
        self.temperatures.iter_mut().for_each(|one| put(one.next(noise)));
        self.settings.iter_mut().for_each(|one| put(one.next(noise)));
        for cell in self.cells {
            put(3.65 - current * 0.0004 + cell + 0.0006 * noise.normal());
        }
        self.cell_temperatures.iter_mut().for_each(|one| put(one.next(noise)));
        (0..5).for_each(|_| put(noise.normal()));
        put(self.flow.next(noise));
        assert_eq!(place, SIGNALS, "every signal has a value");
        values
    }
}

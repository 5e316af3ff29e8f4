//! What a vehicle's sensors show of what is: with noise, and with what troubles do to them.

use super::body::{State, Traits};
use super::fault::{FaultKind, Trouble};
use super::noise::Noise;
use super::pack::Short;

/// What sensors show at one second.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) volts: Box<[f32]>,
    pub(super) celsius: Box<[f32]>,
    pub(super) pack_volts: f64,
    pub(super) charge: f64,
    pub(super) volts_most: f64,
    pub(super) volts_least: f64,
    pub(super) celsius_most: f64,
    pub(super) celsius_least: f64,
    pub(super) insulation_kiloohms: f64,
    pub(super) motor_celsius: f64,
    /// Places of the four extremes, from 0.
    pub(super) cell_most: usize,
    pub(super) cell_least: usize,
    pub(super) probe_most: usize,
    pub(super) probe_least: usize,
}

/// The sensors of a vehicle.
#[derive(Debug)]
pub(super) struct Sensors {
    healthy_kiloohms: f64,
    /// By how much each probe is warmer than the pack: always, and in the middle when the pack is warmed from inside.
    probes: Box<[[f32; 2]]>,
    troubles: Box<[Trouble]>,
    /// The cell that troubles are about.
    bad_cell: usize,
    /// What frozen sensors show.
    frozen: Box<[f32]>,
    noise_seed: u64,
}

impl Sensors {
    pub(super) fn new(traits: &Traits, troubles: Vec<Trouble>) -> Self {
        let mut noise = Noise::of(traits.seed, 7);
        let count = traits.figures().probes;
        let probes = (0..count)
            .map(|place| {
                let middle = 1.0 - (2.0 * place as f64 / (count - 1) as f64 - 1.0).abs();
                [(0.5 * noise.normal()) as f32, (middle - 0.5) as f32]
            })
            .collect();
        Self {
            healthy_kiloohms: noise.between(1_500.0, 9_000.0),
            probes,
            troubles: troubles.into(),
            bad_cell: noise.below(traits.cells.count()),
            frozen: Box::default(),
            noise_seed: noise.bits(),
        }
    }

    /// Nothing seen yet.
    pub(super) fn seen(&self, traits: &Traits) -> Seen {
        Seen {
            volts: vec![0.0; traits.cells.count()].into(),
            celsius: vec![0.0; self.probes.len()].into(),
            pack_volts: 0.0,
            charge: 0.0,
            volts_most: 0.0,
            volts_least: 0.0,
            celsius_most: 0.0,
            celsius_least: 0.0,
            insulation_kiloohms: 0.0,
            motor_celsius: 0.0,
            cell_most: 0,
            cell_least: 0,
            probe_most: 0,
            probe_least: 0,
        }
    }

    pub(super) fn has_troubles(&self) -> bool {
        !self.troubles.is_empty()
    }

    /// For how long there has been a trouble of this kind, and which one.
    pub(super) fn trouble(&self, kind: FaultKind, at_ms: i64) -> Option<(&Trouble, f64)> {
        let troubles = self.troubles.iter().filter(|trouble| trouble.kind == kind);
        troubles.filter_map(|trouble| Some((trouble, trouble.secs_at(at_ms)?))).next_back()
    }

    /// The short circuit that there is at `at_ms`.
    pub(super) fn short(&self, at_ms: i64) -> Option<Short> {
        let (trouble, secs) = self.trouble(FaultKind::Short, at_ms)?;
        Some(Short { cell: self.bad_cell, ohms: trouble.short_ohms(secs) })
    }

    /// Looks at `state`.
    pub(super) fn look(&mut self, traits: &Traits, state: &State, at_ms: i64, seen: &mut Seen) {
        let body = &state.body;
        let mut noise = Noise::of(self.noise_seed, at_ms as u64);
        state.pack.volts(&traits.cells, &body.flow, self.short(at_ms), &mut seen.volts);
        seen.pack_volts = seen.volts.iter().map(|volts| f64::from(*volts)).sum();
        for volts in &mut seen.volts {
            // A thousandth of a volt is as fine as it gets; this is half of it.
            *volts += (noise.bits() >> 40) as f32 * (0.001 / (1_u64 << 24) as f32) - 0.000_5;
        }
        self.freeze(at_ms, seen);
        let warmth = (body.heat_watts / traits.figures().cooling_watts * 5.0) as f32;
        for (celsius, [always, middle]) in seen.celsius.iter_mut().zip(&self.probes) {
            *celsius = body.pack_celsius as f32 + always + middle * (0.6 + warmth);
        }
        let probe = self.bad_cell * self.probes.len() / traits.cells.count();
        seen.celsius[probe] += body.short_kelvin as f32;
        seen.charge = state.pack.charge().clamp(0.0, 1.0);
        seen.motor_celsius = body.motor_celsius;
        let healthy = self.healthy_kiloohms * (1.0 + 0.02 * noise.normal());
        seen.insulation_kiloohms = match self.trouble(FaultKind::Insulation, at_ms) {
            Some((trouble, secs)) => trouble.insulation_kiloohms(secs, healthy),
            None => healthy,
        };
        let ((cell_least, volts_least), (cell_most, volts_most)) = extremes(&seen.volts);
        let ((probe_least, celsius_least), (probe_most, celsius_most)) = extremes(&seen.celsius);
        (seen.cell_least, seen.volts_least, seen.cell_most, seen.volts_most) =
            (cell_least, volts_least, cell_most, volts_most);
        (seen.probe_least, seen.celsius_least, seen.probe_most, seen.celsius_most) =
            (probe_least, celsius_least, probe_most, celsius_most);
    }

    fn freeze(&mut self, at_ms: i64, seen: &mut Seen) {
        let Some((trouble, _)) = self.trouble(FaultKind::Freeze, at_ms) else { return };
        let count = (trouble.severity as usize).min(seen.volts.len());
        let first = self.bad_cell.min(seen.volts.len() - count);
        let cells = &mut seen.volts[first..first + count];
        if self.frozen.len() != count {
            self.frozen = cells.iter().copied().collect();
        }
        cells.copy_from_slice(&self.frozen);
    }
}

/// Place and value of the least and of the greatest.
fn extremes(values: &[f32]) -> ((usize, f64), (usize, f64)) {
    let (mut least, mut most) = (0, 0);
    for (place, value) in values.iter().enumerate() {
        if *value < values[least] {
            least = place;
        }
        if *value > values[most] {
            most = place;
        }
    }
    ((least, f64::from(values[least])), (most, f64::from(values[most])))
}

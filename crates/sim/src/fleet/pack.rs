//! The pack: what each of its cells holds and shows. Cells differ in capacity, resistance and how fast they lose charge;
//! what flows through all of them is added up by the second and given to each when somebody looks.

use super::chemistry::Chemistry;
use super::kind::Figures;
use super::noise::Noise;

/// Bleeding a cell that is fuller than the emptiest one.
const BALANCE_AMPS: f64 = 0.12;
const BALANCE_MARGIN: f64 = 0.004;
/// Share of the resistance that shows at once; the rest follows with the slow current.
const AT_ONCE: f64 = 0.6;

/// What a cell is like for good.
#[derive(Debug, Clone, Copy)]
struct Cell {
    amp_secs: f64,
    /// 1 for the usual resistance.
    resistance: f64,
    leak_amps: f64,
}

/// A cell that has a short circuit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Short {
    pub(super) cell: usize,
    pub(super) ohms: f64,
}

/// What flows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    /// Positive is out of the pack, as in the standard.
    pub(super) amps: f64,
    /// The same as the slow processes in the cells follow it.
    pub(super) slow_amps: f64,
    /// Of one cell with the usual resistance, as warm as it is.
    pub(super) ohms: f64,
}

/// What does not change while the simulation runs.
#[derive(Debug)]
pub(super) struct Cells {
    chemistry: Chemistry,
    cells: Box<[Cell]>,
}

/// What does.
#[derive(Debug, Clone)]
pub(super) struct Pack {
    /// The share that each cell holds of its own capacity.
    charge: Box<[f64]>,
    mean_charge: f64,
    /// Of the cell with the highest voltage at rest above the mean one, in volts.
    lead_volts: f64,
}

impl Cells {
    pub(super) fn new(figures: &Figures, seed: u64) -> Self {
        let mut noise = Noise::of(seed, 3);
        let age = noise.between(0.86, 1.0);
        let cells = (0..figures.cells)
            .map(|_| Cell {
                amp_secs: 3_600.0 * figures.cell_amp_hours * age * (1.0 + 0.006 * noise.normal()),
                resistance: (1.35 - 0.35 * age) * (1.0 + 0.05 * noise.normal()),
                // Two to four per cent a month.
                leak_amps: figures.cell_amp_hours * noise.between(0.02, 0.04) / 720.0,
            })
            .collect();
        Self { chemistry: figures.chemistry, cells }
    }

    /// The pack, charged to the share `charge`.
    pub(super) fn pack(&self, charge: f64, seed: u64) -> Pack {
        let mut noise = Noise::of(seed, 4);
        let charge: Box<[f64]> = self.cells.iter().map(|_| charge + 0.004 * noise.normal()).collect();
        let mut pack = Pack { charge, mean_charge: 0.0, lead_volts: 0.0 };
        pack.measure(self);
        pack
    }

    /// What the pack holds when it is full, in ampere seconds.
    pub(super) fn amp_secs(&self) -> f64 {
        self.cells.iter().map(|cell| cell.amp_secs).sum::<f64>() / self.cells.len() as f64
    }

    pub(super) fn count(&self) -> usize {
        self.cells.len()
    }
}

impl Pack {
    /// How full it is: the mean of its cells.
    pub(super) fn charge(&self) -> f64 {
        self.mean_charge
    }

    pub(super) fn lead_volts(&self) -> f64 {
        self.lead_volts
    }

    /// Takes over what `other` is, without asking for memory.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.charge.copy_from_slice(&other.charge);
        (self.mean_charge, self.lead_volts) = (other.mean_charge, other.lead_volts);
    }

    /// Lets `amp_secs` out of every cell, within `secs` seconds.
    pub(super) fn discharge(
        &mut self,
        cells: &Cells,
        amp_secs: f64,
        secs: f64,
        balances: Balance,
        short: Option<Short>,
    ) {
        let least = self.charge.iter().copied().fold(f64::INFINITY, f64::min);
        let (limit, bleeds) = match balances {
            Balance::On => (least + BALANCE_MARGIN, BALANCE_AMPS * secs),
            Balance::Off => (f64::INFINITY, 0.0),
        };
        for (charge, cell) in self.charge.iter_mut().zip(&cells.cells) {
            let bled = if *charge > limit { bleeds } else { 0.0 };
            *charge -= (amp_secs + cell.leak_amps * secs + bled) / cell.amp_secs;
        }
        if let Some(short) = short {
            let volts = cells.chemistry.rest_volts(self.charge[short.cell]);
            self.charge[short.cell] -= volts / short.ohms * secs / cells.cells[short.cell].amp_secs;
            // An empty cell has nothing left to lose.
            self.charge[short.cell] = self.charge[short.cell].max(-0.2);
        }
        self.measure(cells);
    }

    fn measure(&mut self, cells: &Cells) {
        let (mut sum, mut most) = (0.0, f64::NEG_INFINITY);
        for charge in &self.charge {
            sum += charge;
            most = most.max(*charge);
        }
        self.mean_charge = sum / self.charge.len() as f64;
        self.lead_volts = cells.chemistry.rest_volts(most) - cells.chemistry.rest_volts(self.mean_charge);
    }

    /// What a short circuit turns into heat.
    pub(super) fn short_watts(&self, cells: &Cells, short: Short) -> f64 {
        let volts = cells.chemistry.rest_volts(self.charge[short.cell]);
        volts * volts / short.ohms
    }

    /// What each cell shows while `flow` flows.
    pub(super) fn volts(&self, cells: &Cells, flow: &Flow, short: Option<Short>, output: &mut [f32]) {
        let drop = flow.ohms * (AT_ONCE * flow.amps + (1.0 - AT_ONCE) * flow.slow_amps);
        for ((volts, charge), cell) in output.iter_mut().zip(&self.charge).zip(&cells.cells) {
            *volts = (cells.chemistry.rest_volts(*charge) - drop * cell.resistance).max(0.0) as f32;
        }
        if let Some(short) = short {
            output[short.cell] *= (short.ohms / (short.ohms + 4.0 * flow.ohms)) as f32;
        }
    }
}

/// Whether cells are bled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Balance {
    On,
    Off,
}

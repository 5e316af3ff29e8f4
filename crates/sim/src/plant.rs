//! The plant: which machines stand in it. Knows neither what they do nor how they are heard.

use std::time::Duration;

use model::Timestamp;

use crate::{Machine, MachineType};

/// The kinds in the order in which machines are set up: five lathes, four three-axis and three five-axis mills a dozen.
const FLOOR: [MachineType; 12] = [
    MachineType::Lathe,
    MachineType::Mill3Axis,
    MachineType::Lathe,
    MachineType::Mill5Axis,
    MachineType::Lathe,
    MachineType::Mill3Axis,
    MachineType::Lathe,
    MachineType::Mill3Axis,
    MachineType::Mill5Axis,
    MachineType::Lathe,
    MachineType::Mill3Axis,
    MachineType::Mill5Axis,
];

/// What decides everything that happens in the plant.
#[derive(Debug, Clone)]
pub struct PlantOptions {
    /// Another seed is another plant.
    pub seed: u64,
    /// How many machines; a dozen by default.
    pub machines: usize,
    /// How long before `start` the machines began to work; they speak less often about that time.
    pub history: Duration,
    /// From here on they speak as often as live machines do.
    pub start: Timestamp,
    /// Tools that break, of a thousand parts.
    pub breakages: f64,
    /// Tools that are missing, of a thousand parts.
    pub missing: f64,
}

impl PlantOptions {
    /// A dozen machines with four hours behind them.
    pub fn new(seed: u64, start: Timestamp) -> Self {
        Self {
            seed,
            machines: FLOOR.len(),
            history: Duration::from_secs(4 * 3600),
            start,
            breakages: 0.0,
            missing: 0.0,
        }
    }
}

/// A workshop full of machines.
#[derive(Debug)]
pub struct Plant {
    machines: Vec<Machine>,
}

impl Plant {
    /// Sets the machines up; all stand at `start - history` and have said nothing yet.
    pub fn new(options: &PlantOptions) -> Self {
        let mut numbers = [0_usize; 3];
        let machines = (0..options.machines)
            .map(|place| {
                let kind = FLOOR[place % FLOOR.len()];
                numbers[kind as usize] += 1;
                Machine::new(options, place, kind, numbers[kind as usize])
            })
            .collect();
        Self { machines }
    }

    /// The machines, as they stand on the floor.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// Takes the plant apart, so that each machine can be served by a task of its own.
    pub fn into_machines(self) -> Vec<Machine> {
        self.machines
    }
}

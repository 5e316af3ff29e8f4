//! The kinds of vehicles, in figures: what they weigh, what drives them, what their pack is. Knows nothing of their day.

use super::chemistry::Chemistry;

/// What a vehicle is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VehicleKind {
    /// To work and back, charged slowly at home.
    Commuter,
    /// All day and half the night, charged fast between rides.
    Taxi,
    /// From terminus to terminus, charged at noon and at night.
    Bus,
    /// Between a depot and a site, loaded one way.
    Truck,
}

/// See the module. What seems not to fit any vehicle in the world is made up.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) chemistry: Chemistry,
    pub(super) cells: usize,
    pub(super) probes: usize,
    pub(super) motors: usize,
    pub(super) cell_amp_hours: f64,
    /// Of a cell at 25 °C, at once and after a while.
    pub(super) cell_ohms: f64,
    pub(super) mass_kg: f64,
    pub(super) load_kg: f64,
    /// Air density, drag and area, halved.
    pub(super) drag: f64,
    pub(super) rolling: f64,
    pub(super) drive_watts: f64,
    pub(super) braking_watts: f64,
    pub(super) accelerate_m_per_s2: f64,
    pub(super) motor_turns_per_m: f64,
    pub(super) motor_newton_metres_max: f64,
    pub(super) base_watts: f64,
    /// Of heating and air conditioning, for each degree away from 22 °C, and at the most.
    pub(super) climate_watts_per_k: f64,
    pub(super) climate_watts_max: f64,
    pub(super) pack_joules_per_k: f64,
    /// From the pack to the air, standing.
    pub(super) pack_watts_per_k: f64,
    /// What the cooling takes away at the most.
    pub(super) cooling_watts: f64,
}

const COMMUTER: Figures = Figures {
    chemistry: Chemistry::Nmc,
    cells: 96,
    probes: 24,
    motors: 1,
    cell_amp_hours: 170.0,
    cell_ohms: 0.000_75,
    mass_kg: 1_850.0,
    load_kg: 150.0,
    drag: 0.37,
    rolling: 0.009,
    drive_watts: 120e3,
    braking_watts: 60e3,
    accelerate_m_per_s2: 1.5,
    motor_turns_per_m: 4.4,
    motor_newton_metres_max: 310.0,
    base_watts: 320.0,
    climate_watts_per_k: 85.0,
    climate_watts_max: 2_600.0,
    pack_joules_per_k: 360e3,
    pack_watts_per_k: 9.0,
    cooling_watts: 2_500.0,
};

const TAXI: Figures = Figures {
    cells: 100,
    probes: 26,
    cell_amp_hours: 155.0,
    cell_ohms: 0.000_85,
    mass_kg: 1_720.0,
    load_kg: 230.0,
    drag: 0.40,
    base_watts: 380.0,
    ..COMMUTER
};

const BUS: Figures = Figures {
    chemistry: Chemistry::Lfp,
    cells: 104,
    probes: 36,
    cell_amp_hours: 600.0,
    cell_ohms: 0.000_22,
    mass_kg: 12_500.0,
    load_kg: 3_000.0,
    drag: 3.0,
    rolling: 0.008,
    drive_watts: 150e3,
    braking_watts: 110e3,
    accelerate_m_per_s2: 0.9,
    motor_turns_per_m: 2.2,
    motor_newton_metres_max: 2_400.0,
    base_watts: 2_200.0,
    climate_watts_per_k: 700.0,
    climate_watts_max: 14_000.0,
    pack_joules_per_k: 1.75e6,
    pack_watts_per_k: 28.0,
    cooling_watts: 7_000.0,
    ..COMMUTER
};

/// Has more cells than a report of 2016 can tell.
const TRUCK: Figures = Figures {
    cells: 216,
    probes: 34,
    motors: 2,
    cell_amp_hours: 404.0,
    cell_ohms: 0.000_33,
    mass_kg: 12_000.0,
    load_kg: 20_000.0,
    drag: 3.4,
    rolling: 0.006,
    drive_watts: 240e3,
    braking_watts: 150e3,
    accelerate_m_per_s2: 0.55,
    motor_turns_per_m: 3.1,
    motor_newton_metres_max: 1_500.0,
    base_watts: 1_200.0,
    climate_watts_per_k: 110.0,
    climate_watts_max: 3_000.0,
    pack_joules_per_k: 2.4e6,
    pack_watts_per_k: 34.0,
    cooling_watts: 9_000.0,
    ..BUS
};

impl VehicleKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Commuter, Self::Taxi, Self::Bus, Self::Truck];

    /// The kind of the vehicle `number`: of ten, five commute, two are taxis, two are buses, one is a truck.
    pub(super) fn of_number(number: u32) -> Self {
        match number % 10 {
            2 | 7 => Self::Taxi,
            3 | 8 => Self::Bus,
            5 => Self::Truck,
            _ => Self::Commuter,
        }
    }

    pub(super) fn figures(self) -> &'static Figures {
        match self {
            Self::Commuter => &COMMUTER,
            Self::Taxi => &TAXI,
            Self::Bus => &BUS,
            Self::Truck => &TRUCK,
        }
    }

    /// The letter that stands for it in a VIN.
    pub(super) fn letter(self) -> char {
        match self {
            Self::Commuter => 'C',
            Self::Taxi => 'T',
            Self::Bus => 'B',
            Self::Truck => 'K',
        }
    }
}

//! What a vehicle reports: fills the form of its edition with what its sensors show. Knows fields by their names in the
//! layouts and no bytes.

use gbt32960::{Layout, WireTime};

use super::alarms::Alarms;
use super::body::{Body, Plug};
use super::form::{BLOCKS, Form, Slot, Slots, cells_max};
use super::kind::Figures;
use super::sensors::Seen;
use super::town::Town;

const RADIANS_PER_TURN: f64 = std::f64::consts::TAU;

/// The fields of a motor.
#[derive(Debug)]
struct Motor {
    number: Slot,
    state: Slot,
    controller_temperature: Slot,
    speed: Slot,
    torque: Slot,
    temperature: Slot,
    controller_voltage: Option<Slot>,
    controller_current: Option<Slot>,
}

/// The fields of the extremes, which 2025 has no more.
#[derive(Debug)]
struct Extreme {
    subsystems: [Slot; 4],
    places: [Slot; 4],
    values: [Slot; 4],
}

/// The codes that single values stand for.
#[derive(Debug)]
struct Codes {
    on: u32,
    off: u32,
    charging: u32,
    charged: u32,
    not_charging: u32,
    electric: u32,
    dc_dc_on: u32,
    dc_dc_off: u32,
    drive: u32,
    park: u32,
    driving_force: u32,
    braking_force: u32,
    wgs_84: u32,
    consuming: u32,
    generating: u32,
    ready: u32,
    motor_off: u32,
}

/// The report of vehicles with as many cells, probes and motors, in one edition.
#[derive(Debug)]
pub(super) struct ReportForm {
    form: Form,
    codes: Codes,
    state: Slot,
    charging: Slot,
    mode: Slot,
    speed: Slot,
    odometer: Slot,
    voltage: Slot,
    current: Slot,
    soc: Slot,
    dc_dc: Slot,
    gear: Slot,
    insulation: Slot,
    accelerator: Option<Slot>,
    brake: Option<Slot>,
    motors: Vec<Motor>,
    coordinate_system: Option<Slot>,
    longitude: Slot,
    latitude: Slot,
    extreme: Option<Extreme>,
    pack: Pack,
    probe_pack_number: Slot,
    cell_temperatures: Slots,
    alarm_level: Slot,
    alarm_level_max: u8,
    alarm_flags: Slot,
    /// Whether the alarms end with a list of bits and their levels.
    has_levels: bool,
    /// The cells that go beyond one report, in reports of their own.
    more: Vec<(Form, Pack)>,
}

/// The fields of a pack and of some of its cells.
#[derive(Debug)]
struct Pack {
    number: Slot,
    voltage: Slot,
    current: Slot,
    /// How many cells it has, and which of them is the first here: 2025 tells all at once.
    cells: Option<[Slot; 2]>,
    voltages: Slots,
    told: std::ops::Range<usize>,
}

/// Everything that a report is made of.
pub(super) struct Told<'a> {
    pub(super) figures: &'a Figures,
    pub(super) town: &'a Town,
    pub(super) body: &'a Body,
    pub(super) seen: &'a Seen,
    pub(super) alarms: &'a Alarms,
}

/// Whether a report has the block of cell voltages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CellBlock {
    There,
    Missing,
}

impl ReportForm {
    pub(super) fn new(layout: &Layout, figures: &Figures) -> Self {
        let at_once = cells_max(layout);
        let form = Form::new(layout, figures, &BLOCKS, figures.cells.min(at_once));
        let rest = (at_once..figures.cells).step_by(at_once).map(|first| first..figures.cells.min(first + at_once));
        let more = rest.map(|cells| {
            let form = Form::new(layout, figures, &["cell_voltages"], cells.len());
            let pack = Pack::new(&form, cells);
            (form, pack)
        });
        let vehicle = |field: &str| form.always(&format!("vehicle.{field}"));
        let level = layout.blocks().iter().find(|block| block.id == "alarm").map(|block| &block.group.fields);
        let has_levels = level.is_some_and(|fields| fields.iter().any(|field| field.id == "levels"));
        Self {
            codes: Codes::new(&form),
            state: vehicle("state"),
            charging: vehicle("charging"),
            mode: vehicle("mode"),
            speed: vehicle("speed"),
            odometer: vehicle("odometer"),
            voltage: vehicle("voltage"),
            current: vehicle("current"),
            soc: vehicle("soc"),
            dc_dc: vehicle("dc_dc"),
            gear: vehicle("gear"),
            insulation: vehicle("insulation"),
            accelerator: form.slot("vehicle.accelerator"),
            brake: form.slot("vehicle.brake"),
            motors: (0..figures.motors).map(|place| Motor::new(&form, place)).collect(),
            coordinate_system: form.slot("position.coordinate_system"),
            longitude: form.always("position.longitude"),
            latitude: form.always("position.latitude"),
            extreme: form.slot("extreme.voltage_max").map(|_| Extreme::new(&form)),
            pack: Pack::new(&form, 0..figures.cells.min(at_once)),
            probe_pack_number: form.always("cell_temperatures.packs[0].number"),
            cell_temperatures: form.slots("cell_temperatures.packs[0].temperatures"),
            alarm_level: form.always("alarm.level"),
            alarm_level_max: if has_levels { 4 } else { 3 },
            alarm_flags: form.always("alarm.flags"),
            has_levels,
            more: more.collect(),
            form,
        }
    }

    /// The data unit of a report.
    pub(super) fn write(&self, told: &Told<'_>, time: WireTime, cells: CellBlock, data: &mut Vec<u8>) {
        self.form.begin(time, data);
        self.write_vehicle(told, data);
        for (place, motor) in self.motors.iter().enumerate() {
            motor.write(told, &self.codes, place, self.motors.len(), data);
        }
        let (longitude, latitude) = told.town.degrees(told.body.motion.place);
        self.longitude.put(data, longitude);
        self.latitude.put(data, latitude);
        if let Some(slot) = self.coordinate_system {
            slot.put_raw(data, self.codes.wgs_84);
        }
        if let Some(extreme) = &self.extreme {
            extreme.write(told.seen, data);
        }
        self.pack.write(told, data);
        self.probe_pack_number.put(data, 1.0);
        self.cell_temperatures.put(data, &told.seen.celsius);
        self.write_alarms(told.alarms, data);
        if cells == CellBlock::Missing {
            data.drain(self.form.block("cell_voltages"));
        }
    }

    /// The data units of the reports that tell the cells which have no place in the first one, of the same time.
    pub(super) fn more(&self, told: &Told<'_>, time: WireTime) -> impl Iterator<Item = Vec<u8>> {
        self.more.iter().map(move |(form, pack)| {
            let mut data = Vec::new();
            form.begin(time, &mut data);
            pack.write(told, &mut data);
            data
        })
    }

    fn write_vehicle(&self, told: &Told<'_>, data: &mut [u8]) {
        let (codes, body, seen) = (&self.codes, told.body, told.seen);
        let speed = body.motion.speed_m_per_s;
        let is_on = body.is_on();
        self.state.put_raw(data, if is_on { codes.on } else { codes.off });
        self.charging.put_raw(
            data,
            match body.plug {
                Plug::Charging => codes.charging,
                Plug::Charged => codes.charged,
                Plug::Out => codes.not_charging,
            },
        );
        self.mode.put_raw(data, codes.electric);
        self.speed.put(data, speed * 3.6);
        self.odometer.put(data, body.motion.odometer_m / 1_000.0);
        self.voltage.put(data, seen.pack_volts);
        self.current.put(data, body.flow.amps);
        self.soc.put(data, seen.charge * 100.0);
        self.dc_dc.put_raw(data, if is_on || body.plug == Plug::Charging { codes.dc_dc_on } else { codes.dc_dc_off });
        let slows = body.motion.acceleration_m_per_s2 < -0.3;
        let force = match body.motor_watts {
            watts if speed > 0.0 && watts > 0.0 && !slows => codes.driving_force,
            _ if speed > 0.0 && slows => codes.braking_force,
            _ => 0,
        };
        self.gear.put_raw(data, force | if is_on { codes.drive } else { codes.park });
        self.insulation.put(data, seen.insulation_kiloohms);
        if let (Some(accelerator), Some(brake)) = (self.accelerator, self.brake) {
            let effort = (body.motor_watts / told.figures.drive_watts).clamp(0.0, 1.0).sqrt();
            accelerator.put(data, if slows { 0.0 } else { 100.0 * effort });
            let stands = is_on && speed == 0.0;
            brake.put(
                data,
                match slows {
                    true => (-30.0 * body.motion.acceleration_m_per_s2).min(100.0),
                    false if stands => 20.0,
                    false => 0.0,
                },
            );
        }
    }

    fn write_alarms(&self, alarms: &Alarms, data: &mut Vec<u8>) {
        let levels = alarms.levels();
        let known = || self.form.alarm_bits().iter().zip(levels).filter_map(|(bit, level)| Some(((*bit)?, level)));
        let raised = || known().filter(|(_, level)| *level > 0);
        let highest = raised().map(|(_, level)| level).max().unwrap_or(0);
        self.alarm_level.put(data, f64::from(highest.min(self.alarm_level_max)));
        self.alarm_flags.put_raw(data, raised().fold(0, |flags, (bit, _)| flags | 1 << bit));
        if self.has_levels {
            // The list is the last thing of the last block, and its number the byte before it.
            if let Some(count) = data.last_mut() {
                *count = raised().count() as u8;
            }
            data.extend(raised().flat_map(|(bit, level)| [bit, level]));
        }
    }
}

impl Pack {
    fn new(form: &Form, told: std::ops::Range<usize>) -> Self {
        let at = |field: &str| format!("cell_voltages.packs[0].{field}");
        let always = |field: &str| form.always(&at(field));
        Self {
            number: always("number"),
            voltage: always("voltage"),
            current: always("current"),
            cells: form.slot(&at("cells")).zip(form.slot(&at("first"))).map(|(cells, first)| [cells, first]),
            voltages: form.slots(&at("voltages")),
            told,
        }
    }

    fn write(&self, told: &Told<'_>, data: &mut [u8]) {
        let seen = told.seen;
        self.number.put(data, 1.0);
        self.voltage.put(data, seen.pack_volts);
        self.current.put(data, told.body.flow.amps);
        if let Some([cells, first]) = self.cells {
            cells.put(data, seen.volts.len() as f64);
            first.put(data, self.told.start as f64 + 1.0);
        }
        self.voltages.put(data, &seen.volts[self.told.clone()]);
    }
}

impl Motor {
    fn new(form: &Form, place: usize) -> Self {
        let at = |field: &str| format!("motor.motors[{place}].{field}");
        let always = |field: &str| form.always(&at(field));
        Self {
            number: always("number"),
            state: always("state"),
            controller_temperature: always("controller_temperature"),
            speed: always("speed"),
            torque: always("torque"),
            temperature: always("temperature"),
            controller_voltage: form.slot(&at("controller_voltage")),
            controller_current: form.slot(&at("controller_current")),
        }
    }

    fn write(&self, told: &Told<'_>, codes: &Codes, place: usize, motors: usize, data: &mut [u8]) {
        let body = told.body;
        let watts = body.motor_watts / motors as f64;
        let turns_per_s = body.motion.speed_m_per_s * told.figures.motor_turns_per_m;
        let most = told.figures.motor_newton_metres_max;
        let torque = (watts * 0.92 / (turns_per_s.max(1.0) * RADIANS_PER_TURN)).clamp(-most, most);
        self.number.put(data, place as f64 + 1.0);
        self.state.put_raw(
            data,
            match watts {
                _ if !body.is_on() => codes.motor_off,
                watts if watts > 0.0 => codes.consuming,
                watts if watts < 0.0 => codes.generating,
                _ => codes.ready,
            },
        );
        // The second motor of a truck sits where more air passes.
        self.controller_temperature.put(data, body.controller_celsius - place as f64);
        self.speed.put(data, turns_per_s * 60.0);
        self.torque.put(data, torque);
        self.temperature.put(data, body.motor_celsius - 2.0 * place as f64);
        if let (Some(voltage), Some(current)) = (self.controller_voltage, self.controller_current) {
            voltage.put(data, told.seen.pack_volts);
            current.put(data, watts / told.seen.pack_volts.max(1.0));
        }
    }
}

impl Extreme {
    fn new(form: &Form) -> Self {
        let at = |field: &str| form.always(&format!("extreme.{field}"));
        let names = ["voltage_max", "voltage_min", "temperature_max", "temperature_min"];
        let places = ["voltage_max_cell", "voltage_min_cell", "temperature_max_probe", "temperature_min_probe"];
        Self {
            subsystems: names.map(|name| at(&format!("{name}_subsystem"))),
            places: places.map(at),
            values: names.map(at),
        }
    }

    fn write(&self, seen: &Seen, data: &mut [u8]) {
        let places = [seen.cell_most, seen.cell_least, seen.probe_most, seen.probe_least];
        let values = [seen.volts_most, seen.volts_least, seen.celsius_most, seen.celsius_least];
        for extreme in 0..values.len() {
            self.subsystems[extreme].put(data, 1.0);
            self.places[extreme].put(data, places[extreme] as f64 + 1.0);
            self.values[extreme].put(data, values[extreme]);
        }
    }
}

impl Codes {
    fn new(form: &Form) -> Self {
        let vehicle = |field: &str, name: &str| form.code(&format!("vehicle.{field}"), name);
        let motor = |name: &str| form.code("motor.motors[0].state", name);
        Self {
            on: vehicle("state", "on"),
            off: vehicle("state", "off"),
            charging: vehicle("charging", "parked charging"),
            charged: vehicle("charging", "charged"),
            not_charging: vehicle("charging", "not charging"),
            electric: vehicle("mode", "electric"),
            dc_dc_on: vehicle("dc_dc", "on"),
            dc_dc_off: vehicle("dc_dc", "off"),
            drive: vehicle("gear", "D"),
            park: vehicle("gear", "P"),
            driving_force: vehicle("gear", "driving force"),
            braking_force: vehicle("gear", "braking force"),
            wgs_84: form.code("position.coordinate_system", "WGS-84"),
            consuming: motor("consuming"),
            generating: motor("generating"),
            ready: motor("ready"),
            motor_off: motor("off"),
        }
    }
}

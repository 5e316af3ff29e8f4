//! One electric car of a made-up fleet, from a seed: how it is driven, charged and left alone, and the frames of GB/T 32960,
//! edition of 2016, in which it says so. The bytes are written here and not by `gbt32960`, so that the program is measured
//! with frames that it had no part in. Must not know of connections.
//!
//! What is assumed: 104 cells of 150 Ah in series, 34 probes. Cells differ by a few millivolts and by 5 % in resistance, and
//! are read with 1 mV of noise; a pack warms with the square of its current. A private car is driven for an hour in the
//! morning and one in the evening, charged at 18 A from 22 o'clock until it is full, and stands still for the rest of the day
//! with its electronics on. A taxi is driven all day but for three charges at 120 A.

/// Bytes of every report.
pub(crate) const REPORT_BYTES: usize = 360;
/// Bytes of an answer to one.
pub(crate) const ANSWER_BYTES: usize = 31;
/// Bytes before the data unit.
const HEADER_BYTES: usize = 24;
const CELLS: usize = 104;
const PROBES: usize = 34;
const CAPACITY_AMPERE_SECS: f32 = 150.0 * 3_600.0;
const CELL_OHM: f32 = 0.000_8;
const MASS_KG: f32 = 1_600.0;
const DAY_SECS: i64 = 86_400;
/// Beijing time, which frames are in.
const ZONE_SECS: i64 = 8 * 3_600;

/// Small numbers without a pattern.
#[derive(Debug, Clone)]
struct Noise(u64);

impl Noise {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1.
    fn share(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// About normal, with deviation 1.
    fn normal(&mut self) -> f32 {
        let bits = self.bits();
        let sum: u32 = (0..8).map(|byte| (bits >> (8 * byte)) as u32 & 0xFF).sum();
        (sum as f32 - 1_020.0) / 209.0
    }
}

/// How a car is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Private,
    Taxi,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Doing {
    Driving,
    Charging { amperes: f32 },
    Standing,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Vehicle {
    vin: [u8; 17],
    usage: Use,
    /// Its day is so much later than that of others.
    late_secs: i64,
    noise: Noise,
    cell_offset_mv: [f32; CELLS],
    cell_resistance: [f32; CELLS],
    probe_offset: [f32; PROBES],
    soc: f32,
    speed_kmh: f32,
    target_kmh: f32,
    heading: f32,
    odometer_km: f64,
    position: [f64; 2],
    pack_temperature: f32,
    motor_temperature: f32,
    amperes: f32,
    torque: f32,
    accelerator: f32,
    is_full: bool,
}

impl Vehicle {
    /// The vehicle `number`.
    pub(crate) fn new(number: u32, usage: Use) -> Self {
        let mut noise = Noise(0x5EED ^ u64::from(number) << 20);
        let mut vin = *b"LBENCH00000000000";
        let mut rest = number;
        for place in (8..17).rev() {
            vin[place] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let cell_offset_mv = std::array::from_fn(|_| 3.0 * noise.normal());
        let cell_resistance = std::array::from_fn(|_| 1.0 + 0.05 * noise.normal());
        let probe_offset = std::array::from_fn(|_| 1.2 * noise.normal());
        Self {
            vin,
            usage,
            late_secs: (3_600.0 * noise.normal()) as i64,
            cell_offset_mv,
            cell_resistance,
            probe_offset,
            soc: 0.55 + 0.4 * noise.share(),
            speed_kmh: 0.0,
            target_kmh: 0.0,
            heading: std::f32::consts::TAU * noise.share(),
            odometer_km: f64::from(120_000.0 * noise.share()),
            position: [116.4 + f64::from(0.2 * noise.normal()), 39.9 + f64::from(0.2 * noise.normal())],
            pack_temperature: 22.0 + 4.0 * noise.normal(),
            motor_temperature: 30.0,
            amperes: 0.0,
            torque: 0.0,
            accelerator: 0.0,
            is_full: false,
            noise,
        }
    }

    /// What it is doing at a time of its day.
    fn doing(&mut self, unix_secs: i64) -> Doing {
        let second = (unix_secs + ZONE_SECS - self.late_secs).rem_euclid(DAY_SECS);
        let within = |from: i64, hours: f32| (from..from + (hours * 3_600.0) as i64).contains(&second);
        let doing = match self.usage {
            Use::Private if within(7 * 3_600, 1.0) || within(18 * 3_600, 1.0) => Doing::Driving,
            Use::Private if !(6 * 3_600..22 * 3_600).contains(&second) => Doing::Charging { amperes: 18.0 },
            Use::Private => Doing::Standing,
            Use::Taxi if within(3 * 3_600, 1.0) || within(11 * 3_600, 1.0) || within(19 * 3_600, 1.0) => {
                Doing::Charging { amperes: 120.0 }
            }
            Use::Taxi => Doing::Driving,
        };
        match doing {
            Doing::Charging { .. } if self.is_full => Doing::Standing,
            Doing::Driving if self.soc < 0.05 => Doing::Standing,
            _ => {
                self.is_full &= doing != Doing::Driving;
                doing
            }
        }
    }

    fn open_circuit_volts(soc: f32) -> f32 {
        3.42 + 0.36 * soc + 0.40 * soc * soc
    }

    /// Lets `secs` pass until `unix_secs`.
    fn live(&mut self, unix_secs: i64, secs: f32) -> Doing {
        let doing = self.doing(unix_secs);
        let volts = CELLS as f32 * Self::open_circuit_volts(self.soc);
        let before = self.speed_kmh;
        match doing {
            Doing::Driving => {
                if self.noise.share() < secs / 25.0 {
                    let stops = self.noise.share() < 0.3;
                    self.target_kmh = if stops { 0.0 } else { (45.0 + 22.0 * self.noise.normal()).clamp(5.0, 118.0) };
                }
                let share = 1.0 - (-secs / 6.0).exp();
                self.speed_kmh += (self.target_kmh - self.speed_kmh) * share + 0.4 * self.noise.normal();
                self.speed_kmh =
                    if self.target_kmh == 0.0 && self.speed_kmh < 2.0 { 0.0 } else { self.speed_kmh.max(0.0) };
                let (mean, change) = ((before + self.speed_kmh) / 7.2, (self.speed_kmh - before) / 3.6 / secs.max(1.0));
                let newtons = MASS_KG * (change + 0.1) + 0.42 * mean * mean;
                let watts = newtons * mean;
                self.torque = (newtons * 0.033).clamp(-180.0, 300.0);
                self.amperes = (if watts > 0.0 { watts / 0.88 } else { watts * 0.6 } + 700.0) / volts;
                self.accelerator = (newtons / 45.0).clamp(0.0, 100.0);
                self.heading += 0.15 * self.noise.normal();
            }
            Doing::Charging { amperes } => {
                // Towards the end the current falls.
                self.amperes = -amperes * ((1.0 - self.soc) / 0.08).clamp(0.05, 1.0) + 0.05 * self.noise.normal();
                self.is_full |= self.soc >= 0.995;
            }
            Doing::Standing => self.amperes = 0.4 + 0.05 * self.noise.normal(),
        }
        if doing != Doing::Driving {
            (self.speed_kmh, self.target_kmh, self.torque, self.accelerator) = (0.0, 0.0, 0.0, 0.0);
        }
        let km = f64::from((before + self.speed_kmh) / 2.0 * secs / 3_600.0);
        self.odometer_km += km;
        self.position[0] += km / 85.0 * f64::from(self.heading.cos());
        self.position[1] += km / 111.0 * f64::from(self.heading.sin());
        self.soc = (self.soc - self.amperes * secs / CAPACITY_AMPERE_SECS).clamp(0.01, 1.0);
        let warmth = self.amperes * self.amperes * CELL_OHM * CELLS as f32 / 300_000.0;
        self.pack_temperature += secs * (warmth - (self.pack_temperature - 22.0) / 20_000.0);
        self.motor_temperature += secs * (self.torque.abs() * 0.000_8 - (self.motor_temperature - 25.0) / 600.0);
        doing
    }

    /// Adds the report of `unix_secs`, `secs` after the one before.
    pub(crate) fn report(&mut self, unix_secs: i64, secs: i64, output: &mut Vec<u8>) {
        let doing = self.live(unix_secs, secs as f32);
        let begin = output.len();
        let mut cells = [0_u16; CELLS];
        let volts = 1_000.0 * Self::open_circuit_volts(self.soc);
        let drop = 1_000.0 * self.amperes * CELL_OHM;
        for (place, cell) in cells.iter_mut().enumerate() {
            let said =
                volts + self.cell_offset_mv[place] - drop * self.cell_resistance[place] + 0.7 * self.noise.normal();
            *cell = said.round().clamp(2_000.0, 4_400.0) as u16;
        }
        let mut probes = [0_u8; PROBES];
        for (probe, offset) in probes.iter_mut().zip(self.probe_offset) {
            *probe = (self.pack_temperature + offset + 40.0).round() as u8;
        }
        let sum: u32 = cells.iter().map(|cell| u32::from(*cell)).sum();
        let (pack_decivolts, deciamperes) = ((sum / 100) as u16, (self.amperes * 10.0).round() as i32 + 10_000);
        output.extend(header(self.vin, 2, REPORT_BYTES - HEADER_BYTES - 1));
        output.extend(time(unix_secs));
        let (state, charging) = match doing {
            Doing::Driving => (1, 3),
            Doing::Charging { .. } => (2, 1),
            Doing::Standing => (2, if self.is_full { 4 } else { 3 }),
        };
        let (speed, deciamperes) = ((self.speed_kmh * 10.0).round() as u16, (deciamperes as u16).to_be_bytes());
        output.extend([1, state, charging, 1]);
        output.extend(speed.to_be_bytes());
        output.extend(((self.odometer_km * 10.0) as u32).to_be_bytes());
        output.extend(pack_decivolts.to_be_bytes());
        output.extend(deciamperes);
        output.extend([(self.soc * 100.0) as u8, 1, if doing == Doing::Driving { 0x0E } else { 0x0F }]);
        output.extend((5_000 + (40.0 * self.noise.normal()) as i32 as u16 % 200).to_be_bytes());
        output.extend([self.accelerator as u8, if self.torque < -20.0 { 30 } else { 0 }]);
        let motor = (self.motor_temperature + 40.0).clamp(0.0, 250.0) as u8;
        let turns = 20_000 + (self.speed_kmh * 75.0) as u16;
        let torque = (20_000.0 + self.torque * 10.0) as u16;
        let motor_state = if doing != Doing::Driving {
            3
        } else if self.torque < 0.0 {
            2
        } else {
            1
        };
        output.extend([2, 1, 1, motor_state, motor.saturating_sub(6)]);
        [turns, torque].iter().for_each(|number| output.extend(number.to_be_bytes()));
        output.push(motor);
        output.extend(pack_decivolts.to_be_bytes());
        output.extend(deciamperes);
        output.extend([5, 0]);
        self.position.iter().for_each(|degrees| output.extend(((degrees * 1e6) as u32).to_be_bytes()));
        put_extremes(&cells, &probes, output);
        output.extend([7, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        output.extend([8, 1, 1]);
        output.extend(pack_decivolts.to_be_bytes());
        output.extend(deciamperes);
        output.extend([0, CELLS as u8, 0, 1, CELLS as u8]);
        cells.iter().for_each(|cell| output.extend(cell.to_be_bytes()));
        output.extend([9, 1, 1, 0, PROBES as u8]);
        output.extend(probes);
        seal(output, begin);
        assert_eq!(output.len() - begin, REPORT_BYTES, "every report has the same blocks");
    }

    /// The frame with which it logs in.
    pub(crate) fn login(&self, unix_secs: i64) -> Vec<u8> {
        let mut frame = header(self.vin, 1, 30).to_vec();
        frame.extend(time(unix_secs));
        frame.extend([0, 1]);
        frame.extend(b"89860000000000000000");
        frame.extend([1, 0]);
        seal(&mut frame, 0);
        frame
    }

    /// The frame that only says that it is there.
    pub(crate) fn heartbeat(&self) -> Vec<u8> {
        let mut frame = header(self.vin, 7, 0).to_vec();
        seal(&mut frame, 0);
        frame
    }
}

/// The frame with which a platform logs in.
pub(crate) fn platform_login(unix_secs: i64, user: &str, password: &str) -> Vec<u8> {
    let mut frame = header(*b"PLATFORM000000000", 5, 41).to_vec();
    frame.extend(time(unix_secs));
    frame.extend([0, 1]);
    for (text, bytes) in [(user, 12), (password, 20)] {
        let end = frame.len() + bytes;
        frame.extend(text.as_bytes());
        frame.resize(end, 0);
    }
    frame.push(1);
    seal(&mut frame, 0);
    frame
}

fn header(vin: [u8; 17], command: u8, data_bytes: usize) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&[0x23, 0x23, command, 0xFE]);
    header[4..21].copy_from_slice(&vin);
    header[21] = 1;
    header[22..].copy_from_slice(&(data_bytes as u16).to_be_bytes());
    header
}

/// The six bytes of a time.
fn time(unix_secs: i64) -> [u8; 6] {
    // The text of a time in Beijing, read as if it were one of UTC: 2026-11-26T14:30:00Z.
    let text = model::Timestamp::from_millis((unix_secs + ZONE_SECS) * 1_000).to_string();
    let digits = |at: usize| text.get(at..at + 2).and_then(|digits| digits.parse().ok()).unwrap_or_default();
    [2, 5, 8, 11, 14, 17].map(digits)
}

/// Adds the check byte of the frame that begins at `begin`.
fn seal(output: &mut Vec<u8>, begin: usize) {
    let check = output[begin + 2..].iter().fold(0, |all, byte| all ^ byte);
    output.push(check);
}

fn put_extremes(cells: &[u16], probes: &[u8], output: &mut Vec<u8>) {
    // The first one of several.
    fn of<T: Ord + Copy>(values: &[T], is_better: fn(&T, &T) -> bool) -> (u8, T) {
        let best = (1..values.len()).fold(0, |best, at| if is_better(&values[at], &values[best]) { at } else { best });
        (best as u8 + 1, values[best])
    }
    output.push(6);
    for (place, value) in [of(cells, |one, best| one > best), of(cells, |one, best| one < best)] {
        output.extend([1, place]);
        output.extend(value.to_be_bytes());
    }
    for (place, value) in [of(probes, |one, best| one > best), of(probes, |one, best| one < best)] {
        output.extend([1, place, value]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_whole_frames_and_no_two_are_alike() {
        let mut vehicle = Vehicle::new(7, Use::Taxi);
        let mut frames = Vec::new();
        (0..3).for_each(|turn| vehicle.report(1_764_000_000 + turn, 1, &mut frames));
        let frames: Vec<&[u8]> = frames.chunks(REPORT_BYTES).collect();
        for frame in &frames {
            assert_eq!(usize::from(u16::from_be_bytes([frame[22], frame[23]])) + HEADER_BYTES + 1, REPORT_BYTES);
            assert_eq!(frame[2..].iter().fold(0, |all, byte| all ^ byte), 0, "with its check byte all is 0");
            assert_eq!(&frame[4..21], b"LBENCH00000000007");
        }
        assert_ne!(frames[0], frames[1]);
        // 2025-11-24T16:00:00Z is midnight in Beijing.
        assert_eq!(time(1_764_000_000), [25, 11, 25, 0, 0, 0]);
    }
}

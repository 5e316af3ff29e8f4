//! One machine, told as SHDR lines: merges the steps of its work, the ticks of its sensors, the shift calendar and what
//! clears by itself into one order of time. Pure: time is an argument, and how it is cut into steps does not show.

use model::Timestamp;

use crate::PlantOptions;
use crate::alarms::{Language, coolant_low};
use crate::board::Board;
use crate::calendar::Shift;
use crate::device_model::{Identity, device_xml};
use crate::physics::{Body, Pace};
use crate::signals::{MachineType, Signal, Source, signals_of};
use crate::work::{Action, Fates, ProcessFault, Work};

/// How often sensors are looked at, live and in the history before.
const TICK_LIVE_MS: i64 = 250;
const TICK_HISTORY_MS: i64 = 1_000;
const COOLANT_LOW_PCT: f64 = 25.0;
const COOLANT_FULL_PCT: f64 = 92.0;
const COOLANT_ATTENTION_MS: i64 = 20 * 60_000;

/// A simulated machine tool.
#[derive(Debug)]
pub struct Machine {
    kind: MachineType,
    place: usize,
    seed: u64,
    identity: Identity,
    language: Language,
    live_from_ms: i64,
    /// Everything up to here has been told.
    now_ms: i64,
    has_begun: bool,
    step_end_ms: i64,
    shift_end_ms: i64,
    next_tick_ms: i64,
    /// What is bound to happen whatever the machine does, in no order.
    bound: Vec<(i64, Action)>,
    part_count: u32,
    scrap: u32,
    pace: Pace,
    work: Work,
    body: Body,
    board: Board,
}

impl Machine {
    /// Machine `number` of its kind, at `place` on the floor.
    pub(crate) fn new(options: &PlantOptions, place: usize, kind: MachineType, number: usize) -> Self {
        let live_from_ms = options.start.millis();
        let history_ms = i64::try_from(options.history.as_millis()).unwrap_or(i64::MAX);
        let begin_ms = live_from_ms.saturating_sub(history_ms);
        let name = format!("{}-{number:02}", kind.prefix());
        let seed = mixed(options.seed ^ (place as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let language = if (place / 2).is_multiple_of(2) { Language::Chinese } else { Language::English };
        let serial_number = format!("TM{:06}", seed % 1_000_000);
        Self {
            kind,
            place,
            seed,
            language,
            live_from_ms,
            now_ms: begin_ms,
            has_begun: false,
            step_end_ms: begin_ms,
            shift_end_ms: begin_ms,
            next_tick_ms: begin_ms,
            bound: Vec::new(),
            part_count: 0,
            scrap: 0,
            pace: Pace::Rest,
            work: Work::new(kind, place, &name, language, mixed(seed ^ 1), begin_ms)
                .with_fates(Fates::new((options.breakages, options.missing), mixed(seed ^ 4))),
            body: Body::new(kind, mixed(seed ^ 2), begin_ms),
            board: Board::new(signals_of(kind), begin_ms),
            identity: Identity { uuid: name.clone(), name, model: kind.model(), serial_number },
        }
    }

    /// The name of the device, for example `lathe-01`.
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// The `uuid` of the device; simulated machines are named uniquely, so it is the name.
    pub fn uuid(&self) -> &str {
        &self.identity.uuid
    }

    /// What type of machine it is.
    pub fn machine_type(&self) -> MachineType {
        self.kind
    }

    /// The id of the profile that it shares with the machines of its type: `lathe`, `mill_3_axis` or `mill_5_axis`.
    pub fn profile(&self) -> &'static str {
        self.kind.profile()
    }

    /// Up to when everything has been told.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms)
    }

    /// The `MTConnectDevices` document (version 2.0) that describes this machine and no other.
    pub fn device_xml(&self) -> String {
        device_xml(&self.identity, self.board.signals(), Timestamp::from_millis(self.live_from_ms))
    }

    /// Another seed for what surrounds the machine.
    pub(crate) fn seed(&self) -> u64 {
        mixed(self.seed ^ 3)
    }

    /// What has been wrong with tools so far, and was planned: what process monitoring should find.
    pub fn process_faults(&self) -> &[ProcessFault] {
        self.work.fates.faults()
    }

    /// Appends the lines of what has happened up to and including `to`; a time in the past adds nothing.
    pub fn advance(&mut self, to: Timestamp, out: &mut Vec<u8>) {
        let to_ms = to.millis();
        if to_ms < self.now_ms {
            return;
        }
        if !self.has_begun {
            // What happens at the very beginning belongs to the first values; it is not news.
            let mut unsaid = Vec::new();
            while self.step_once(self.now_ms, &mut unsaid) {
                self.board.flush(&mut unsaid);
            }
            self.has_begun = true;
            self.board.snapshot(out);
        }
        while self.step_once(to_ms, out) {
            self.board.flush(out);
        }
        self.now_ms = to_ms;
    }

    /// Appends the present values, each with the time since when it has been so: what an adapter tells a new client.
    /// Before the first [`Machine::advance`] there are none.
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        if self.has_begun {
            self.board.snapshot(out);
        }
    }

    /// Does what comes next, if it comes before or at `to_ms`. The order of what happens at one time is fixed.
    fn step_once(&mut self, to_ms: i64, out: &mut Vec<u8>) -> bool {
        let bound_ms = self.bound.iter().map(|(at_ms, _)| *at_ms).min().unwrap_or(i64::MAX);
        let next_ms = self.shift_end_ms.min(bound_ms).min(self.step_end_ms).min(self.next_tick_ms);
        if next_ms > to_ms {
            return false;
        }
        self.body.evolve(next_ms);
        if next_ms == self.shift_end_ms {
            self.change_shift(next_ms, out);
        } else if next_ms == bound_ms {
            if let Some(place) = self.bound.iter().position(|(at_ms, _)| *at_ms == bound_ms) {
                let (_, action) = self.bound.remove(place);
                self.act(action, next_ms, out);
            }
        } else if next_ms == self.step_end_ms {
            self.begin_step(next_ms, out);
        } else {
            self.tick(next_ms, out);
        }
        true
    }

    fn change_shift(&mut self, at_ms: i64, out: &mut Vec<u8>) {
        let shift = Shift::at(at_ms);
        self.shift_end_ms = shift.end_ms();
        self.part_count = 0;
        self.scrap = 0;
        self.board.set("operator", shift.operator(self.place), at_ms, out);
        self.board.set("part_count", "0", at_ms, out);
        self.board.set("shift", &shift.entries(0), at_ms, out);
    }

    fn begin_step(&mut self, at_ms: i64, out: &mut Vec<u8>) {
        let step = self.work.next_step();
        self.step_end_ms = at_ms + step.duration_ms;
        self.body.begin(step.motion, step.duration_ms);
        for action in step.actions {
            self.act(action, at_ms, out);
        }
        // Standing still is told at once: a feed hold shows a feed of zero from its first moment on.
        if (step.motion.pace == Pace::Rest) != (self.pace == Pace::Rest) {
            self.read_those(at_ms, out, |signal| signal.name == "feedrate");
        }
        self.pace = step.motion.pace;
    }

    fn act(&mut self, action: Action, at_ms: i64, out: &mut Vec<u8>) {
        match action {
            Action::Set(signal, value) => self.board.set(signal, &value, at_ms, out),
            Action::Tell { native_code, text } => self.board.tell(native_code, &text, at_ms, out),
            Action::Raise(alarm) => {
                self.board.raise(&alarm, at_ms, out);
            }
            Action::RaiseFor { alarm, lasting_ms } => {
                if self.board.raise(&alarm, at_ms, out) {
                    self.bound.push((at_ms + lasting_ms, Action::Clear(alarm)));
                }
            }
            Action::Clear(alarm) => {
                if alarm.is_same(&coolant_low(self.language)) {
                    self.body.coolant_level_pct = COOLANT_FULL_PCT;
                }
                self.board.clear(&alarm, at_ms, out);
            }
            Action::PartDone => {
                self.part_count += 1;
                self.board.set("part_count", &self.part_count.to_string(), at_ms, out);
            }
            Action::PartScrapped => {
                self.scrap += 1;
                let all = Shift::at(at_ms).entries(self.scrap);
                self.board.set_entries("shift", &format!("scrap={}", self.scrap), all, at_ms, out);
            }
        }
    }

    /// Reads the sensors whose turn it is.
    fn tick(&mut self, at_ms: i64, out: &mut Vec<u8>) {
        let tick_ms = if at_ms < self.live_from_ms { TICK_HISTORY_MS } else { TICK_LIVE_MS };
        self.next_tick_ms = (at_ms.div_euclid(tick_ms) + 1) * tick_ms;
        let is_first = !self.has_begun;
        let number = at_ms.div_euclid(tick_ms);
        let mut turn = 0;
        self.read_those(at_ms, out, |signal| {
            let Source::Sample { ticks, .. } = signal.source else { return false };
            // Signals of the same period take turns.
            turn += 3;
            is_first || (number + turn) % ticks == 0
        });
        if self.body.coolant_level_pct < COOLANT_LOW_PCT {
            let alarm = coolant_low(self.language);
            self.act(Action::RaiseFor { alarm, lasting_ms: COOLANT_ATTENTION_MS }, at_ms, out);
        }
    }

    fn read_those(&mut self, at_ms: i64, out: &mut Vec<u8>, mut wanted: impl FnMut(&Signal) -> bool) {
        for place in 0..self.board.signals().len() {
            let signal = self.board.signals()[place];
            let Source::Sample { reading, .. } = signal.source else { continue };
            if wanted(&signal) && (self.board.is_silent(place, at_ms) || !self.has_begun) {
                let text = self.body.read(reading);
                self.board.set_at(place, &text, at_ms, out);
            }
        }
    }
}

/// SplitMix64: seeds that lie close together must not give machines that act alike.
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

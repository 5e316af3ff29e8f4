//! What a machine and its people do next: set-ups, parts, waits, breaks, tool replacements. It plans a piece of work at a time
//! as steps of known length. Knows no line format and no sensors; troubles are in `work/disturbance.rs`,
//! what becomes of tools in `work/fate.rs`.

mod disturbance;
mod fate;

use std::borrow::Cow;
use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::alarms::{Alarm, Language, Level, tool_life};
use crate::calendar::absent_until_ms;
use crate::physics::{Motion, Pace};
use crate::program::{
    Coolant, HOME, LATHE_PARTS, MILL_3_AXIS_PARTS, MILL_5_AXIS_PARTS, Operation, Part, Position, Stroke,
};
use crate::signals::MachineType;

use fate::{Fate, WORN};

pub(crate) use fate::Fates;
pub use fate::{ProcessFault, ProcessFaultKind};

/// How long a rapid move takes to start and stop.
const RAPID_SETTLE_MS: i64 = 250;
/// The spindle comes up to speed before the tool approaches.
const SPIN_UP_MS: i64 = 1_800;
/// What is left of the load where nothing is cut.
const AIR_CUT_PCT: f64 = 1.0;
/// From this share of its life on, a tool is warned about.
const WEAR_WARNING: f64 = 0.9;
/// Where nobody heeds the warning for so long, the expired tool becomes a fault.
const TOOL_GRACE_MS: i64 = 150_000;

/// Something that happens at the beginning of a step.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// A signal takes a value.
    Set(&'static str, Cow<'static, str>),
    /// A message appears on the screen.
    Tell {
        native_code: &'static str,
        text: String,
    },
    Raise(Alarm),
    /// As `Raise`; it clears by itself after a while.
    RaiseFor {
        alarm: Alarm,
        lasting_ms: i64,
    },
    Clear(Alarm),
    PartDone,
    PartScrapped,
}

/// A stretch of time in which the machine does one thing.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) duration_ms: i64,
    pub(crate) actions: Vec<Action>,
    pub(crate) motion: Motion,
}

/// Whether the program goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    GoesOn,
    Lost,
}

/// A tool in the turret or magazine.
#[derive(Debug)]
struct Tool {
    number: u8,
    life_min: f64,
    used_min: f64,
    /// How many tools have stood in this place.
    generation: u32,
    /// Cuts nothing, and for how many parts nobody will notice.
    broken: Option<u32>,
    is_missing: bool,
}

impl Tool {
    fn wear(&self) -> f64 {
        self.used_min / self.life_min
    }
}

/// The planner of one machine.
#[derive(Debug)]
pub(crate) struct Work {
    kind: MachineType,
    place: usize,
    name: String,
    language: Language,
    random: StdRng,
    /// Everything is planned up to here.
    planned_ms: i64,
    steps: VecDeque<Step>,
    /// What will happen at the beginning of the next step.
    actions: Vec<Action>,
    part: &'static Part,
    /// How much larger or smaller this machine's variant of the part is.
    scale: f64,
    loading_secs: f64,
    batch_left: u32,
    until_inspection: u32,
    is_first_off: bool,
    feed_override_pct: u32,
    pallet: u32,
    position: Position,
    mounted: u8,
    tools: Vec<Tool>,
    pub(crate) fates: Fates,
}

impl Work {
    pub(crate) fn new(kind: MachineType, place: usize, name: &str, language: Language, seed: u64, at_ms: i64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let parts = parts_of(kind);
        let part = &parts[random.random_range(0..parts.len())];
        let scale = random.random_range(0.9..1.15);
        let loading_secs = random.random_range(14.0..34.0);
        let batch_left = random.random_range(4..40);
        let mut work = Self {
            kind,
            place,
            name: name.to_owned(),
            language,
            random,
            planned_ms: at_ms,
            steps: VecDeque::new(),
            actions: Vec::new(),
            part,
            scale,
            loading_secs,
            batch_left,
            until_inspection: 5,
            is_first_off: false,
            feed_override_pct: 100,
            pallet: 1,
            position: HOME,
            mounted: 0,
            tools: Vec::new(),
            fates: Fates::new((0.0, 0.0), seed),
        };
        work.set("program", part.program);
        work
    }

    /// The same, whose tools have `fates`.
    pub(crate) fn with_fates(self, fates: Fates) -> Self {
        Self { fates, ..self }
    }

    /// The next step; its beginning is the end of the one before.
    pub(crate) fn next_step(&mut self) -> Step {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return step;
            }
            self.plan();
        }
    }

    fn plan(&mut self) {
        let runs_alone =
            self.kind == MachineType::Mill5Axis || (self.kind == MachineType::Lathe && self.place.is_multiple_of(4));
        let absent = absent_until_ms(self.planned_ms, self.place);
        if let Some(until_ms) = absent
            && !(runs_alone && self.chance(0.8))
        {
            self.stand_until(until_ms);
        } else if let Some(worn) = self.tools.iter().position(|tool| tool.wear() >= 1.0 || tool.broken == Some(0)) {
            self.replace_tool(worn);
        } else if self.batch_left == 0 {
            self.set_up();
        } else if self.chance([0.035, 0.07, 0.12][self.kind as usize]) {
            self.wait_for_material();
        } else {
            self.make_part();
        }
    }

    /// Nobody is there: the finished part stays in the machine, and after a while the control has nothing to do.
    fn stand_until(&mut self, until_ms: i64) {
        let late_ms = self.random.random_range(10_000..150_000);
        let span_ms = until_ms - self.planned_ms + late_ms;
        self.rest(span_ms.min(60_000));
        if span_ms > 60_000 {
            self.set("execution", "READY");
            self.rest(span_ms - 60_000);
        }
    }

    fn wait_for_material(&mut self) {
        let span_ms = self.between_secs(100.0, 600.0);
        if self.kind == MachineType::Mill5Axis {
            self.set("execution", "WAIT");
            self.tell("M210", "Waiting for pallet from loading station", "等待装夹站托盘");
        } else {
            self.set("execution", "READY");
            self.tell("M205", "Waiting for material", "等待毛坯");
        }
        self.rest(span_ms);
    }

    /// The next batch: another fixture, another program, tools measured, and the first part checked.
    fn set_up(&mut self) {
        let parts = parts_of(self.kind);
        self.part = &parts[self.random.random_range(0..parts.len())];
        let (least, most) = [(60, 130), (22, 48), (10, 22)][self.kind as usize];
        self.batch_left = self.random.random_range(least..most);
        self.is_first_off = true;
        self.set("mode", "MANUAL");
        self.set("execution", "READY");
        self.set("rapid_override", "25");
        self.tell("M100", "Set-up", "换型调整中");
        let strip_ms = self.between_secs(360.0, 900.0);
        self.rest(strip_ms);
        self.set("mode", "EDIT");
        self.set("program", self.part.program);
        self.set("block", "UNAVAILABLE");
        let edit_ms = self.between_secs(90.0, 240.0);
        self.rest(edit_ms);
        self.set("mode", "MANUAL");
        for _ in 0..self.random.random_range(4..8) {
            let touch = [self.random.random_range(10.0..60.0), 0.0, self.random.random_range(1.0..20.0), 0.0, 0.0];
            self.jog(touch);
            let measure_ms = self.between_secs(40.0, 110.0);
            self.rest(measure_ms);
        }
        self.jog(HOME);
        self.set("rapid_override", "100");
        self.tell("M101", "First-off inspection", "请检查首件尺寸");
        self.rest(20_000);
    }

    fn replace_tool(&mut self, place: usize) {
        let alarm = tool_life(Level::Fault, self.tools[place].number, self.language);
        self.set("execution", "READY");
        let attention_ms = self.attention_ms();
        if attention_ms > TOOL_GRACE_MS {
            self.actions.push(Action::Raise(alarm.clone()));
        }
        self.rest(attention_ms);
        self.set("mode", "MANUAL_DATA_INPUT");
        let replacing_ms = self.between_secs(60.0, 160.0);
        self.rest(replacing_ms);
        self.renew(place);
        self.actions.push(Action::Clear(alarm));
        self.set("mode", "AUTOMATIC");
        self.rest(5_000);
    }

    fn renew(&mut self, place: usize) {
        let tool = &mut self.tools[place];
        tool.used_min = 0.0;
        tool.generation += 1;
        tool.broken = None;
        self.fates.end(&[ProcessFaultKind::Breakage, ProcessFaultKind::Wear], self.planned_ms, tool.number);
        if tool.number == self.mounted {
            let asset = format!("{}.T{}.{}", self.name, tool.number, tool.generation);
            self.set("tool_asset_id", asset);
        }
    }

    fn make_part(&mut self) {
        self.load();
        self.set("mode", if self.is_first_off { "SEMI_AUTOMATIC" } else { "AUTOMATIC" });
        self.set("program", self.part.program);
        self.set("execution", "ACTIVE");
        if self.is_first_off {
            self.override_feed(60);
        } else if self.feed_override_pct < 80 {
            self.override_feed(100);
        } else if self.chance(0.05) {
            let pct = [80, 90, 100, 100, 110][self.random.random_range(0..5_usize)];
            self.override_feed(pct);
        }
        self.block(1, "G40 G80 G90");
        self.rest(1_500);
        for (place, operation) in self.part.operations.iter().enumerate() {
            if self.operate(place, operation) == Flow::Lost {
                return;
            }
        }
        self.rapid(HOME, 0.0, Coolant::Off);
        if self.until_inspection == 0 || self.is_first_off {
            self.inspect();
        }
        self.until_inspection = self.until_inspection.saturating_sub(1);
        self.is_first_off = false;
        self.batch_left -= 1;
        for parts in self.tools.iter_mut().filter_map(|tool| tool.broken.as_mut()) {
            *parts = parts.saturating_sub(1);
        }
        self.block(9999, "M30");
        self.set("execution", "PROGRAM_COMPLETED");
        self.actions.push(Action::PartDone);
        self.rest(2_000);
    }

    /// By hand, or by a pallet change within the program.
    fn load(&mut self) {
        let span_ms = (self.loading_secs * self.random.random_range(0.85..1.3) * 1000.0) as i64;
        if self.kind == MachineType::Mill5Axis {
            self.pallet = 3 - self.pallet;
            self.set("execution", "ACTIVE");
            self.block(2, "M60");
            self.set("pallet", self.pallet.to_string());
        }
        self.rest(span_ms);
    }

    /// The programmed optional stop (M01), at which the operator measures.
    fn inspect(&mut self) {
        self.until_inspection = self.random.random_range(8..14);
        self.block(9000, "M01");
        self.set("execution", "OPTIONAL_STOP");
        let attention_ms = self.attention_ms() / 3;
        let measuring_ms = self.between_secs(40.0, 120.0);
        self.rest(attention_ms + measuring_ms);
        self.set("execution", "ACTIVE");
        self.rest(600);
    }

    /// One tool's share: change, approach, cut.
    fn operate(&mut self, place: usize, operation: &Operation) -> Flow {
        self.change_tool(operation);
        let strokes = operation.strokes(self.scale);
        let cuts = strokes.iter().filter(|stroke| stroke.feed_mm_per_s.is_some()).count();
        let fate = self.fates.draw(self.part.operations.len(), cuts);
        if fate == Fate::Missing {
            self.tool(operation.tool).is_missing = true;
            self.fates.begin(ProcessFaultKind::Missing, self.planned_ms, operation.tool, self.part.program);
        }
        let flow = self.cut_all(place, operation, &strokes, fate);
        if fate == Fate::Missing {
            self.tool(operation.tool).is_missing = false;
            self.fates.end(&[ProcessFaultKind::Missing], self.planned_ms, operation.tool);
        }
        flow
    }

    fn tool(&mut self, number: u8) -> &mut Tool {
        self.tools.iter_mut().find(|tool| tool.number == number).expect("it was mounted")
    }

    fn cut_all(&mut self, place: usize, operation: &Operation, strokes: &[Stroke], fate: Fate) -> Flow {
        let mut cuts = 0;
        if let Some(first) = strokes.first() {
            let (spindle_rpm, coolant) = (first.spindle_rpm, operation.coolant);
            self.push(SPIN_UP_MS, Motion { spindle_rpm, coolant, ..Motion::rest(self.position) });
        }
        for (number, stroke) in strokes.iter().enumerate() {
            let line = 100 * (place as u32 + 1) + number as u32;
            let flow = match stroke.feed_mm_per_s {
                Some(feed_mm_per_s) => {
                    let [x, y, z, ..] = stroke.to;
                    let feed = feed_mm_per_s * 60.0;
                    if self.kind == MachineType::Lathe {
                        self.block(line, format!("G01 X{:.3} Z{z:.3} F{:.2}", 2.0 * x, operation.feed_mm_per_rev));
                    } else {
                        self.block(line, format!("G01 X{x:.3} Y{y:.3} Z{z:.3} F{feed:.0}"));
                    }
                    if fate == Fate::Breaks(cuts) {
                        self.break_tool(operation);
                    }
                    cuts += 1;
                    self.cut(operation, stroke, feed_mm_per_s)
                }
                None => {
                    self.rapid(stroke.to, stroke.spindle_rpm, operation.coolant);
                    Flow::GoesOn
                }
            };
            if flow == Flow::Lost {
                return flow;
            }
        }
        Flow::GoesOn
    }

    /// It breaks: from here on it cuts nothing.
    fn break_tool(&mut self, operation: &Operation) {
        if self.tool(operation.tool).broken.is_some() {
            return;
        }
        let unnoticed = self.fates.unnoticed_parts();
        self.tool(operation.tool).broken = Some(unnoticed);
        self.fates.begin(ProcessFaultKind::Breakage, self.planned_ms, operation.tool, self.part.program);
    }

    fn change_tool(&mut self, operation: &Operation) {
        let number = operation.tool;
        if !self.tools.iter().any(|tool| tool.number == number) {
            let used_min = operation.tool_life_min * self.random.random_range(0.0..0.85);
            let generation = self.random.random_range(1..60);
            self.tools.push(Tool {
                number,
                life_min: operation.tool_life_min,
                used_min,
                generation,
                broken: None,
                is_missing: false,
            });
        }
        if self.mounted == number {
            return;
        }
        self.rapid(HOME, 0.0, Coolant::Off);
        self.mounted = number;
        let generation = self.tools.iter().find(|tool| tool.number == number).map_or(0, |tool| tool.generation);
        let is_lathe = self.kind == MachineType::Lathe;
        self.block(
            u32::from(number) * 100,
            if is_lathe { format!("T{number:02}{number:02}") } else { format!("T{number} M6") },
        );
        self.set("tool_number", number.to_string());
        self.set("tool_asset_id", format!("{}.T{number}.{generation}", self.name));
        self.rest(if is_lathe { 1_200 } else { 4_500 });
    }

    fn motion_of(&self, operation: &Operation, stroke: &Stroke, feed_mm_per_s: f64) -> Motion {
        let tool = self.tools.iter().find(|tool| tool.number == operation.tool);
        let cuts = tool.is_none_or(|tool| tool.broken.is_none() && !tool.is_missing);
        let wear = tool.filter(|_| cuts).map_or(0.0, Tool::wear);
        Motion {
            from: self.position,
            to: stroke.to,
            pace: Pace::Cut,
            feed_mm_per_s,
            spindle_rpm: stroke.spindle_rpm,
            cutting_load_pct: if cuts { operation.load_pct } else { AIR_CUT_PCT },
            wear,
            coolant: operation.coolant,
        }
    }

    /// Wears the tool in use, and warns once it comes near its end.
    fn wear(&mut self, number: u8, duration_ms: i64) {
        let Some(tool) = self.tools.iter_mut().find(|tool| tool.number == number) else { return };
        let before = tool.wear();
        tool.used_min += duration_ms as f64 / 60_000.0;
        if before < WEAR_WARNING && tool.wear() >= WEAR_WARNING {
            self.actions.push(Action::Raise(tool_life(Level::Warning, number, self.language)));
        }
        if before < WORN && self.tool(number).wear() >= WORN {
            self.fates.begin(ProcessFaultKind::Wear, self.planned_ms, number, self.part.program);
        }
    }

    fn rapid(&mut self, to: Position, spindle_rpm: f64, coolant: Coolant) {
        let rapid = self.kind.rapid_mm_per_s();
        let duration_ms = (distance_mm(self.position, to) / rapid * 1000.0) as i64 + RAPID_SETTLE_MS;
        let feed_mm_per_s = distance_mm(self.position, to) / (duration_ms as f64 / 1000.0);
        let pace = Pace::Rapid;
        let motion = Motion { to, pace, feed_mm_per_s, spindle_rpm, coolant, ..Motion::rest(self.position) };
        self.push(duration_ms, motion);
    }

    /// A move by hand, slow.
    fn jog(&mut self, to: Position) {
        let feed_mm_per_s = 20.0;
        let duration_ms = (distance_mm(self.position, to) / feed_mm_per_s * 1000.0) as i64 + RAPID_SETTLE_MS;
        self.push(duration_ms, Motion { to, pace: Pace::Rapid, feed_mm_per_s, ..Motion::rest(self.position) });
    }

    fn rest(&mut self, duration_ms: i64) {
        self.push(duration_ms, Motion::rest(self.position));
    }

    fn push(&mut self, duration_ms: i64, motion: Motion) {
        let duration_ms = duration_ms.max(1);
        self.position = motion.to;
        self.planned_ms += duration_ms;
        self.steps.push_back(Step { duration_ms, actions: std::mem::take(&mut self.actions), motion });
    }

    fn set(&mut self, signal: &'static str, value: impl Into<Cow<'static, str>>) {
        self.actions.push(Action::Set(signal, value.into()));
    }

    fn block(&mut self, line: u32, text: impl Into<Cow<'static, str>>) {
        self.set("line_number", line.to_string());
        self.set("block", format!("N{line} {}", text.into()));
    }

    fn tell(&mut self, native_code: &'static str, english: &str, chinese: &str) {
        let text = self.language.pick(english, chinese).to_owned();
        self.actions.push(Action::Tell { native_code, text });
    }

    fn override_feed(&mut self, pct: u32) {
        self.feed_override_pct = pct;
        self.set("feed_override", pct.to_string());
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.random.random_range(0.0..1.0) < probability
    }

    fn between_secs(&mut self, least: f64, most: f64) -> i64 {
        (self.random.random_range(least..most) * 1000.0) as i64
    }

    /// How long until somebody comes, from the end of what is planned.
    fn attention_ms(&mut self) -> i64 {
        let delay_ms = self.between_secs(25.0, 200.0);
        match absent_until_ms(self.planned_ms, self.place) {
            Some(until_ms) => until_ms - self.planned_ms + delay_ms,
            None => delay_ms,
        }
    }
}

fn parts_of(kind: MachineType) -> &'static [Part] {
    [LATHE_PARTS, MILL_3_AXIS_PARTS, MILL_5_AXIS_PARTS][kind as usize]
}

/// Along the linear axes.
fn distance_mm(from: Position, to: Position) -> f64 {
    (0..3).map(|axis| (to[axis] - from[axis]).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(kind: MachineType, count: usize) -> Vec<Step> {
        let mut work = Work::new(kind, 1, "m", Language::English, 7, 1_795_000_000_000);
        (0..count).map(|_| work.next_step()).collect()
    }

    #[test]
    fn steps_join_in_space_and_cut_at_their_feed() {
        for kind in [MachineType::Lathe, MachineType::Mill3Axis, MachineType::Mill5Axis] {
            let steps = steps(kind, 2_000);
            for pair in steps.windows(2) {
                assert_eq!(pair[0].motion.to, pair[1].motion.from);
            }
            for step in steps.iter().filter(|step| step.motion.pace == Pace::Cut && step.duration_ms > 500) {
                let feed = distance_mm(step.motion.from, step.motion.to) / (step.duration_ms as f64 / 1000.0);
                let told = step.motion.feed_mm_per_s;
                assert!((feed / told - 1.0).abs() < 0.01, "{kind:?}: told {told} mm/s, moves at {feed}");
            }
        }
    }

    #[test]
    fn the_machine_stands_while_nobody_is_there() {
        let mut work = Work::new(MachineType::Mill3Axis, 1, "m", Language::English, 7, 0);
        work.stand_until(600_000);
        let span_ms: i64 = work.steps.iter().map(|step| step.duration_ms).sum();
        assert!((600_000..760_000).contains(&span_ms));
        assert!(work.steps.iter().all(|step| step.motion.pace == Pace::Rest && step.motion.spindle_rpm == 0.0));
    }
}

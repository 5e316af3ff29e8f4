//! What gets in the way of a cut: feed holds, warnings, faults and what people do about them. Knows the plan, not the lines.

use rand::RngExt;

use super::{Action, Flow, Work, distance_mm};
use crate::alarms::{Effect, TROUBLES, Trouble};
use crate::physics::Motion;
use crate::program::{HOME, Operation, Position, Stroke};

/// How often things happen, per hour of cutting.
const FAULTS_PER_HOUR: f64 = 0.30;
const FEED_HOLDS_PER_HOUR: f64 = 0.9;
const WARNINGS_PER_HOUR: f64 = 0.30;

impl Work {
    /// One cutting stroke, with whatever befalls it.
    pub(super) fn cut(&mut self, operation: &Operation, stroke: &Stroke, feed_mm_per_s: f64) -> Flow {
        let feed_mm_per_s = feed_mm_per_s * f64::from(self.feed_override_pct) / 100.0;
        let motion = self.motion_of(operation, stroke, feed_mm_per_s);
        let duration_ms = (distance_mm(motion.from, motion.to) / feed_mm_per_s * 1000.0) as i64;
        self.wear(operation.tool, duration_ms);
        let hours = duration_ms as f64 / 3_600_000.0;
        if self.chance(WARNINGS_PER_HOUR * hours) {
            self.warn();
        }
        let fault = self.chance(FAULTS_PER_HOUR * hours);
        let held = self.chance(FEED_HOLDS_PER_HOUR * hours);
        if !fault && !held {
            self.push(duration_ms, motion);
            return Flow::GoesOn;
        }
        let share = self.random.random_range(0.2..0.8);
        let (first, rest) = split(&motion, share);
        let first_ms = (duration_ms as f64 * share) as i64;
        self.push(first_ms, first);
        let flow = if fault { self.fail() } else { self.hold_feed(&first) };
        if flow == Flow::GoesOn {
            self.push(duration_ms - first_ms, rest);
        }
        flow
    }

    /// The operator looks at something; the spindle goes on turning.
    fn hold_feed(&mut self, before: &Motion) -> Flow {
        self.set("execution", "FEED_HOLD");
        let span_ms = self.between_secs(8.0, 50.0);
        let motion = Motion { spindle_rpm: before.spindle_rpm, coolant: before.coolant, ..Motion::rest(self.position) };
        self.push(span_ms, motion);
        self.set("execution", "ACTIVE");
        Flow::GoesOn
    }

    fn warn(&mut self) {
        let trouble = self.draw(|effect| effect == Effect::None);
        let attention_ms = self.attention_ms();
        let lasting_ms = attention_ms + self.random.random_range(trouble.repair_secs.clone()) * 1000;
        self.actions.push(Action::RaiseFor { alarm: trouble.alarm(self.language), lasting_ms });
    }

    /// Production stands until somebody has come and mended it.
    fn fail(&mut self) -> Flow {
        let trouble = self.draw(|effect| effect != Effect::None);
        let alarm = trouble.alarm(self.language);
        let is_lost = trouble.effect != Effect::Interrupts;
        self.actions.push(Action::Raise(alarm.clone()));
        if trouble.effect == Effect::EmergencyStop {
            self.set("estop", "TRIGGERED");
        }
        self.set("execution", if is_lost { "STOPPED" } else { "INTERRUPTED" });
        if is_lost {
            self.actions.push(Action::PartScrapped);
        }
        let attention_ms = self.attention_ms();
        self.rest(attention_ms);
        self.set("mode", "MANUAL");
        let repair_ms = self.random.random_range(trouble.repair_secs.clone()) * 1000;
        self.rest(repair_ms);
        self.actions.push(Action::Clear(alarm.clone()));
        if alarm.signal == "tool_life"
            && let Some(place) = self.tools.iter().position(|tool| tool.number == self.mounted)
        {
            self.renew(place);
            let number = self.mounted;
            self.actions.push(Action::Clear(crate::alarms::tool_life(
                crate::alarms::Level::Warning,
                number,
                self.language,
            )));
        }
        if is_lost {
            self.set("estop", "ARMED");
            self.set("execution", "READY");
            self.jog(HOME);
            self.set("mode", "AUTOMATIC");
            self.rest(10_000);
            return Flow::Lost;
        }
        self.set("mode", "AUTOMATIC");
        self.rest(8_000);
        self.set("execution", "ACTIVE");
        Flow::GoesOn
    }

    /// One of the troubles with a fitting effect, the frequent ones more often.
    fn draw(&mut self, fits: impl Fn(Effect) -> bool) -> &'static Trouble {
        let possible: Vec<_> =
            TROUBLES.iter().filter(|trouble| fits(trouble.effect) && trouble.befalls(self.kind)).collect();
        let total: u32 = possible.iter().map(|trouble| trouble.weight).sum();
        let mut lot = self.random.random_range(0..total);
        for trouble in &possible {
            if lot < trouble.weight {
                return trouble;
            }
            lot -= trouble.weight;
        }
        unreachable!("the lot is below the sum of the weights")
    }
}

/// Cuts a motion in two at `share` of its way.
fn split(motion: &Motion, share: f64) -> (Motion, Motion) {
    let middle: Position =
        std::array::from_fn(|axis| motion.from[axis] + (motion.to[axis] - motion.from[axis]) * share);
    (Motion { to: middle, ..*motion }, Motion { from: middle, ..*motion })
}

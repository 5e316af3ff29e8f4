//! What the functions of expressions mean. Part of reading expressions; knows nothing of assets or of time that passes.

use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue};

use crate::expression::{Kind, Meant, Mistake, Outcome, Quantity, Reader};
use crate::rule::duration;
use crate::steps::{Bits, OfList, Op, OverTime, Step};
use crate::units::Unit;

/// The longest stretch of time that is looked back over.
const WINDOW_MAX_SECS: f64 = 31.0 * 86_400.0;

impl Reader<'_> {
    /// What the function `name` of `arguments` comes to.
    pub(crate) fn function(&mut self, part: &IdedExpr, name: &str, arguments: &[IdedExpr]) -> Outcome<Meant> {
        let wrong = |problem: String| Mistake { part: part.id, problem };
        match (name, arguments) {
            ("unit", [number, unit]) => {
                let (step, known) = self.number(number)?;
                if known.is_some() {
                    return Err(wrong("unit: expected a number without a unit".to_owned()));
                }
                let unit = Unit::parse(&text(unit)?).map_err(wrong)?;
                Ok(Meant { step, kind: Kind::Number(Some(unit)) })
            }
            ("to", [a, unit]) => {
                let (of, to) = (self.quantity(a)?, Unit::parse(&text(unit)?).map_err(wrong)?);
                let from = of.unit.clone().unwrap_or_else(Unit::one);
                if !from.measures_as(&to) {
                    return Err(wrong(format!("to: {from} and {to} measure different things")));
                }
                let (factor, offset) = from.to(&to);
                let step = self.add(Op::Scaled { of: of.step, factor: Bits::of(factor), offset: Bits::of(offset) });
                Ok(of.meant(step, Some(to)))
            }
            ("abs", [a]) => {
                let of = self.quantity(a)?;
                let step = self.add(Op::Magnitude(of.step));
                Ok(of.meant(step, of.unit.clone()))
            }
            ("is_known", [a]) => {
                let of = self.read(a)?.step;
                Ok(self.truth(Op::IsKnown(of)))
            }
            ("floor", [a]) => {
                let (of, unit) = self.number(a)?;
                Ok(Meant { step: self.add(Op::Floor(of)), kind: Kind::Number(unit) })
            }
            ("the", [meaning, rest @ ..]) if rest.len() < 2 => {
                let described = rest.first().map(text).transpose()?.unwrap_or_else(|| "*".to_owned());
                self.by_meaning(part.id, &text(meaning)?, &described)
            }
            ("only", [a, condition]) => {
                let ((of, unit), condition) = (self.number(a)?, self.condition(condition)?);
                let unknown = self.add(Op::Number(Bits::of(f64::NAN)));
                Ok(Meant { step: self.add(Op::Choice(condition, of, unknown)), kind: Kind::Number(unit) })
            }
            ("bit", [a, bit]) => {
                let (of, _) = self.number(a)?;
                let bit = literal(bit).filter(|bit| (0.0..53.0).contains(bit) && bit.fract() == 0.0);
                let bit = bit.ok_or_else(|| wrong("bit: expected its number from 0 to 52".to_owned()))?;
                Ok(self.truth(Op::Bit { of, bit: bit as u8 }))
            }
            (
                "min" | "max" | "mean" | "median" | "spread" | "size" | "second_min" | "second_max" | "argmin"
                | "argmax",
                [a],
            ) => self.of_list(part, name, a),
            ("at", [list, place]) => {
                let list = self.list(part, name, list)?;
                let (place, _) = self.number(place)?;
                Ok(Meant { step: self.add(Op::At(list.step, place)), kind: Kind::Number(list.unit) })
            }
            ("min" | "max", [a, rest @ ..]) if !rest.is_empty() => self.of_several(part, name, a, rest),
            _ => self.of_past(part, name, arguments),
        }
    }

    /// What a function comes to that depends on what was before, or on others.
    fn of_past(&mut self, part: &IdedExpr, name: &str, arguments: &[IdedExpr]) -> Outcome<Meant> {
        let wrong = |problem: String| Mistake { part: part.id, problem };
        match (name, arguments) {
            ("siblings", [a]) => {
                let (of, unit) = self.number(a)?;
                Ok(Meant { step: self.add(Op::Siblings(of)), kind: Kind::List(unit) })
            }
            ("unchanged", [a]) => {
                let of = self.circumstance(a)?;
                Ok(Meant { step: self.add(Op::Unchanged(of)), kind: Kind::Number(Some(Unit::second())) })
            }
            ("previous", [a]) => {
                let (of, unit) = self.number(a)?;
                Ok(Meant { step: self.add(Op::Previous(of)), kind: Kind::Number(unit) })
            }
            ("rate", [a]) => {
                let (of, unit) = self.number(a)?;
                let unit = unit.unwrap_or_else(Unit::one).difference();
                let unit = unit.times(&Unit::second(), -1).map_err(wrong)?;
                Ok(Meant { step: self.add(Op::Rate(of)), kind: Kind::Number(Some(unit)) })
            }
            ("lasts", [a]) => {
                let of = self.condition(a)?;
                Ok(Meant { step: self.add(Op::Lasts(of)), kind: Kind::Number(Some(Unit::second())) })
            }
            ("mean_over" | "min_over" | "max_over" | "change_over" | "slope_over" | "times_over", [a, window]) => {
                self.over_time(part, name, a, window)
            }
            (
                "usual" | "usual_spread" | "usual_count" | "so_far" | "last" | "last_usual" | "last_spread"
                | "last_count" | "last_first" | "last_level" | "last_trend",
                [a, circumstances, rest @ ..],
            ) if rest.len() < 2 => self.usual(name, a, circumstances, rest.first()),
            ("mean_during", [a, condition, options @ ..]) => self.mean_during(part, a, condition, options),
            ("correlation_over", [list, number, window]) => {
                let list = self.list(part, name, list)?;
                let (with, _) = self.number(number)?;
                let step = self.steps.add(Op::Correlation { of: list.step, with, nanos: nanos(part, name, window)? });
                Ok(Meant { step, kind: Kind::List(Some(Unit::one())) })
            }
            _ => Err(wrong(format!(
                "`{name}` of {} is not known: expected unit, to, the, abs, floor, is_known, only, siblings, unchanged, bit, min, max, \
                 mean, median, spread, size, second_min, second_max, argmin, argmax, at, previous, rate, lasts, mean_over, min_over, max_over, change_over, slope_over, \
                 times_over, mean_during, correlation_over, usual, usual_spread, usual_count, so_far, last, last_usual, last_spread, \
                 last_count, last_first, last_level or last_trend",
                arguments.len()
            ))),
        }
    }

    /// The least or the greatest of several numbers.
    fn of_several(&mut self, part: &IdedExpr, name: &str, a: &IdedExpr, rest: &[IdedExpr]) -> Outcome<Meant> {
        let mut all = self.number(a)?;
        for one in rest {
            let one = self.number(one)?;
            let (a, b, unit) = self.in_one_unit(part.id, all, one)?;
            let op = if name == "min" { Op::Lesser(a, b) } else { Op::Greater(a, b) };
            all = (self.add(op), unit);
        }
        Ok(Meant { step: all.0, kind: Kind::Number(all.1) })
    }

    fn list(&mut self, part: &IdedExpr, name: &str, list: &IdedExpr) -> Outcome<Quantity> {
        let list = self.quantity(list)?;
        if list.is_list {
            return Ok(list);
        }
        Err(Mistake { part: part.id, problem: format!("{name}: expected a list, got a number") })
    }

    fn of_list(&mut self, part: &IdedExpr, name: &str, list: &IdedExpr) -> Outcome<Meant> {
        let list = self.list(part, name, list)?;
        let (of, unit) = (list.step, list.unit);
        let (what, unit) = match name {
            "min" => (OfList::Least, unit),
            "max" => (OfList::Most, unit),
            "mean" => (OfList::Mean, unit),
            "median" => (OfList::Median, unit),
            "second_min" => (OfList::LeastButOne, unit),
            "second_max" => (OfList::MostButOne, unit),
            "spread" => (OfList::Spread, unit.map(|unit| unit.difference())),
            "size" => (OfList::Size, Some(Unit::one())),
            "argmin" => (OfList::PlaceOfLeast, Some(Unit::one())),
            _ => (OfList::PlaceOfMost, Some(Unit::one())),
        };
        Ok(Meant { step: self.add(Op::OfList { of, what }), kind: Kind::Number(unit) })
    }

    fn over_time(&mut self, part: &IdedExpr, name: &str, a: &IdedExpr, window: &IdedExpr) -> Outcome<Meant> {
        let nanos = nanos(part, name, window)?;
        if name == "times_over" {
            let of = self.condition(a)?;
            let step = self.add(Op::OverTime { of, what: OverTime::Times, nanos });
            return Ok(Meant { step, kind: Kind::Number(Some(Unit::one())) });
        }
        let (of, unit) = self.number(a)?;
        let (what, unit) = match name {
            "mean_over" => (OverTime::Mean, unit),
            "min_over" => (OverTime::Least, unit),
            "max_over" => (OverTime::Most, unit),
            "slope_over" => {
                let unit = unit.unwrap_or_else(Unit::one).difference().times(&Unit::second(), -1);
                (OverTime::Slope, Some(unit.map_err(|problem| Mistake { part: part.id, problem })?))
            }
            _ => (OverTime::Change, unit.map(|unit| unit.difference())),
        };
        Ok(Meant { step: self.add(Op::OverTime { of, what, nanos }), kind: Kind::Number(unit) })
    }

    /// What is the same or not: a number, words, or several of them.
    pub(crate) fn circumstance(&mut self, part: &IdedExpr) -> Outcome<Step> {
        let meant = self.read(part)?;
        match meant.kind {
            Kind::Number(_) | Kind::Word(_) | Kind::Together => Ok(meant.step),
            _ => {
                Err(Mistake { part: part.id, problem: "expected a number or words, or several in brackets".to_owned() })
            }
        }
    }

    /// What is usual of a number under circumstances.
    fn usual(
        &mut self,
        name: &str,
        a: &IdedExpr,
        circumstances: &IdedExpr,
        accepted: Option<&IdedExpr>,
    ) -> Outcome<Meant> {
        let (of, unit) = self.number(a)?;
        let context = self.circumstance(circumstances)?;
        let accepted = accepted.map(|accepted| self.condition(accepted)).transpose()?;
        let all = self.steps.add(Op::Usual { of, context, accepted });
        let difference = unit.as_ref().map(Unit::difference);
        let (place, unit) = match name {
            "usual" => (1, unit),
            "usual_spread" => (2, difference),
            "usual_count" => (3, Some(Unit::one())),
            "so_far" => (4, unit),
            "last" => (5, unit),
            "last_usual" => (6, unit),
            "last_spread" => (7, difference),
            "last_count" => (8, Some(Unit::one())),
            "last_first" => (9, unit),
            "last_level" => (10, unit),
            _ => (11, difference),
        };
        let place = self.steps.add(Op::Number(Bits::of(f64::from(place))));
        Ok(Meant { step: self.steps.add(Op::At(all, place)), kind: Kind::Number(unit) })
    }

    /// The mean over the last time in which a condition was true; options are how many such times before, and how many rows one has
    /// at least.
    fn mean_during(
        &mut self,
        part: &IdedExpr,
        a: &IdedExpr,
        condition: &IdedExpr,
        options: &[IdedExpr],
    ) -> Outcome<Meant> {
        let wrong = |problem: &str| Mistake { part: part.id, problem: format!("mean_during: {problem}") };
        let whole = |option: Option<&IdedExpr>, default: f64, most: f64, problem: &str| match option {
            None => Ok(default),
            Some(option) => {
                let is_fit = |number: &f64| (0.0..=most).contains(number) && number.fract() == 0.0;
                literal(option).filter(is_fit).ok_or_else(|| wrong(problem))
            }
        };
        let back = whole(options.first(), 0.0, 7.0, "expected how many times before the last one, from 0 to 7")? as u8;
        let rows_min = whole(options.get(1), 1.0, 10_000.0, "expected how many rows at least, up to 10000")? as u16;
        if options.len() > 2 {
            return Err(wrong("expected at most four arguments"));
        }
        let (of, during) = (self.quantity(a)?, self.condition(condition)?);
        let episodes = self.steps.add(Op::Episodes { of: of.step, during, rows_min });
        let step = self.steps.add(Op::MeanDuring { episodes, back, is_list: of.is_list });
        Ok(of.meant(step, of.unit.clone()))
    }
}

/// The stretch of time that is written as `window`.
fn nanos(part: &IdedExpr, name: &str, window: &IdedExpr) -> Outcome<i64> {
    let text = text(window)?;
    let span = duration(&text).filter(|span| !span.is_zero() && span.as_secs_f64() <= WINDOW_MAX_SECS);
    let span = span.ok_or_else(|| Mistake {
        part: part.id,
        problem: format!("{name}: expected a stretch of time of at most 31 days, such as \"5min\", got \"{text}\""),
    })?;
    Ok(span.as_nanos() as i64)
}

fn text(part: &IdedExpr) -> Outcome<String> {
    match &part.expr {
        Expr::Literal(LiteralValue::String(text)) => Ok(text.inner().to_owned()),
        _ => Err(Mistake { part: part.id, problem: "expected a text in quotes".to_owned() }),
    }
}

fn literal(part: &IdedExpr) -> Option<f64> {
    match &part.expr {
        Expr::Literal(LiteralValue::Int(number)) => Some(*number.inner() as f64),
        Expr::Literal(LiteralValue::Double(number)) => Some(*number.inner()),
        _ => None,
    }
}

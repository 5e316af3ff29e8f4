//! What the expressions of rules mean: the Common Expression Language (CEL), read by the crate `cel`, checked here against the
//! signals of a profile and their units, and made into steps. Knows nothing of assets or of time that passes.

use std::collections::HashMap;
use std::thread;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, SourceInfo, operators};
use cel::parser::Parser;
use model::{Profile, SignalIndex, ValueKind, matches};

use crate::rule::Written;
use crate::steps::{Bits, Op, Step, Steps};
use crate::units::Unit;

/// How deep an expression may be: brackets, and choices, within one another.
const DEPTH_MAX: usize = 16;
/// How long an expression may be, in bytes.
const BYTES_MAX: usize = 1_024;
/// The stack of who reads an expression that is as deep and as long as it may be.
const STACK_BYTES: usize = 64 << 20;

/// What a part of an expression comes to.
#[derive(Debug, Clone)]
pub(crate) struct Meant {
    pub(crate) step: Step,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// A number in a unit; one that was written without takes that of what it stands with.
    Number(Option<Unit>),
    /// A list of numbers in a unit.
    List(Option<Unit>),
    /// The words that a signal says.
    Word(SignalIndex),
    /// Numbers and words together.
    Together,
    Truth,
}

/// What is wrong, and with which part.
#[derive(Debug)]
pub(crate) struct Mistake {
    pub(crate) part: u64,
    pub(crate) problem: String,
}

/// Why an expression comes to nothing.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Where, what was expected, and what was found.
    pub(crate) problem: String,
    /// Whether it is that the profile has no such signal.
    pub(crate) is_absent: bool,
}

pub(crate) type Outcome<T> = Result<T, Mistake>;

/// Names that stand for expressions.
pub(crate) type Lets = [(String, Written)];

/// Makes the condition `text` about assets of `profile` into steps.
///
/// # Errors
/// When it is no condition; says where, what was expected, and what was found.
pub(crate) fn condition(text: &str, lets: &Lets, profile: &Profile, steps: &mut Steps) -> Result<Step, Refusal> {
    meant((text, lets), profile, steps, Meant::truth)
}

/// Makes the number `text` about assets of `profile` into steps.
///
/// # Errors
/// When it is no number; says where, what was expected, and what was found.
pub(crate) fn number(text: &str, lets: &Lets, profile: &Profile, steps: &mut Steps) -> Result<Numbered, Refusal> {
    meant((text, lets), profile, steps, Meant::number)
}

fn meant<T: Send>(
    (text, lets): (&str, &Lets),
    profile: &Profile,
    steps: &mut Steps,
    wanted: fn(Meant) -> Result<T, String>,
) -> Result<T, Refusal> {
    // The parser needs more stack for each bracket than a thread usually has for a few of them.
    thread::scope(|scope| {
        let reading = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, || {
            let mut reader = Reader { profile, steps, lets, known: HashMap::new(), is_absent: false };
            let meant = reader.whole(text).and_then(wanted);
            meant.map_err(|problem| Refusal { problem, is_absent: reader.is_absent })
        });
        let refused = |problem: String| Refusal { problem, is_absent: false };
        let reading = reading.map_err(|error| refused(format!("there is no thread to read it: {error}")))?;
        reading.join().unwrap_or_else(|_| Err(refused("expected an expression that can be read".to_owned())))
    })
}

/// How deep the expression `text` is at most. The parser goes down by one call for each level, and many within.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for sign in text.chars() {
        match sign {
            '(' | '[' | '{' | '?' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

impl Mistake {
    /// What is wrong with the part of `text`, which was read as `all`.
    fn told(self, text: &str, all: &IdedExpr, source: &SourceInfo) -> String {
        let span = parts(all).into_iter().find(|part| part.id == self.part).and_then(|part| {
            let spans = parts(part).into_iter().filter_map(|part| source.offset_for(part.id));
            spans.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
        });
        // Offsets count characters, and that of a function is where its parenthesis stands.
        let part = span.map(|(start, stop)| {
            let before: Vec<char> = text.chars().take(start as usize).collect();
            let name = before.iter().rev().take_while(|sign| sign.is_ascii_alphanumeric() || **sign == '_').count();
            let name = if text.chars().nth(start as usize) == Some('(') { name } else { 0 };
            let count = (stop as usize + 1).saturating_sub(start as usize) + name;
            text.chars().skip(start as usize - name).take(count.min(80)).collect::<String>()
        });
        match part.filter(|part| !part.trim().is_empty()) {
            Some(part) => format!("at `{part}`: {}", self.problem),
            None => self.problem,
        }
    }
}

/// `all` and what it is made of.
fn parts(all: &IdedExpr) -> Vec<&IdedExpr> {
    let mut found = vec![all];
    let mut next = 0;
    while let Some(part) = found.get(next) {
        next += 1;
        match &part.expr {
            Expr::Call(call) => found.extend(call.target.as_deref().into_iter().chain(&call.args)),
            Expr::List(list) => found.extend(&list.elements),
            Expr::Select(select) => found.push(&select.operand),
            _ => {}
        }
    }
    found
}

impl Meant {
    fn truth(self) -> Result<Step, String> {
        match self.kind {
            Kind::Truth => Ok(self.step),
            Kind::Number(_) => Err("expected a condition, got a number".to_owned()),
            Kind::List(_) => Err("expected a condition, got a list".to_owned()),
            Kind::Together => Err("expected a condition, got several things in brackets".to_owned()),
            Kind::Word(_) => {
                Err("expected a condition, got words: compare them with one, as in x == \"READY\"".to_owned())
            }
        }
    }

    fn number(self) -> Result<(Step, Option<Unit>), String> {
        match self.kind {
            Kind::Number(unit) => Ok((self.step, unit)),
            Kind::Truth => Err("expected a number, got a condition".to_owned()),
            Kind::Together => Err("expected a number, got several things in brackets".to_owned()),
            Kind::Word(_) => {
                Err("expected a number, got words: compare them with one, as in x == \"READY\"".to_owned())
            }
            Kind::List(_) => {
                let ways = "min, max, mean, median, spread, size, second_min, second_max, argmin, argmax or at";
                Err(format!("expected a number, got a list: use {ways}"))
            }
        }
    }

    /// A number, or a list.
    fn quantity(self) -> Result<Quantity, String> {
        let step = self.step;
        match self.kind {
            Kind::Number(unit) => Ok(Quantity { step, unit, is_list: false }),
            Kind::List(unit) => Ok(Quantity { step, unit, is_list: true }),
            Kind::Truth => Err("expected a number or a list, got a condition".to_owned()),
            Kind::Word(_) => Err("expected a number or a list, got words".to_owned()),
            Kind::Together => Err("expected a number or a list, got several things in brackets".to_owned()),
        }
    }
}

/// A number, or a list of numbers, in a unit.
pub(crate) struct Quantity {
    pub(crate) step: Step,
    pub(crate) unit: Option<Unit>,
    pub(crate) is_list: bool,
}

impl Quantity {
    /// What `step`, which is of the same form, comes to in `unit`.
    pub(crate) fn meant(&self, step: Step, unit: Option<Unit>) -> Meant {
        Meant { step, kind: if self.is_list { Kind::List(unit) } else { Kind::Number(unit) } }
    }
}

/// Reads the parts of an expression.
pub(crate) struct Reader<'a> {
    profile: &'a Profile,
    pub(crate) steps: &'a mut Steps,
    lets: &'a Lets,
    /// What names stand for that have been read; nothing, where one is being read.
    known: HashMap<&'a str, Option<Meant>>,
    /// Whether a signal was asked for that the profile does not have.
    is_absent: bool,
}

pub(crate) type Numbered = (Step, Option<Unit>);

impl<'a> Reader<'a> {
    /// What the expression `text` comes to.
    fn whole(&mut self, text: &str) -> Result<Meant, String> {
        if text.len() > BYTES_MAX {
            return Err(format!("expected at most {BYTES_MAX} bytes, got {}", text.len()));
        }
        if depth(text) > DEPTH_MAX {
            return Err(format!("expected at most {DEPTH_MAX} brackets and choices within one another"));
        }
        let parsed = Parser::new().error_recovery_limit(1).parse_with_source_info(text);
        let (all, source) = parsed.map_err(|errors| match errors.errors.first() {
            Some(error) => format!("column {}: {}", error.pos.1.max(1), error.msg),
            None => "expected an expression".to_owned(),
        })?;
        self.read(&all).map_err(|mistake| mistake.told(text, &all, &source))
    }

    /// What `name` stands for, if the rule gives it to a part of itself.
    fn named(&mut self, part: u64, name: &str) -> Outcome<Option<Meant>> {
        let lets: &'a Lets = self.lets;
        let Some((name, written)) = lets.iter().find(|(known, _)| known == name) else { return Ok(None) };
        let wrong = |problem: String| Mistake { part, problem };
        match self.known.get(name.as_str()) {
            Some(Some(meant)) => return Ok(Some(meant.clone())),
            Some(None) => return Err(wrong(format!("let: `{name}` stands for itself"))),
            None => {}
        }
        self.known.insert(name, None);
        let meant = self.whole(&written.text).map_err(|problem| wrong(format!("let: {problem}")))?;
        self.known.insert(name, Some(meant.clone()));
        Ok(Some(meant))
    }

    pub(crate) fn add(&mut self, op: Op) -> Step {
        self.steps.add(op)
    }

    pub(crate) fn read(&mut self, part: &IdedExpr) -> Outcome<Meant> {
        let wrong = |problem: &str| Mistake { part: part.id, problem: problem.to_owned() };
        match &part.expr {
            Expr::Literal(literal) => match literal {
                LiteralValue::Boolean(truth) => Ok(self.truth(Op::Truth(*truth.inner()))),
                LiteralValue::Double(number) => Ok(self.constant(*number.inner())),
                LiteralValue::Int(number) => Ok(self.constant(*number.inner() as f64)),
                LiteralValue::UInt(number) => Ok(self.constant(*number.inner() as f64)),
                _ => Err(wrong("a text can only be compared with a signal that says words")),
            },
            Expr::Ident(name) => self.signal(part.id, name),
            Expr::Call(call) => self.call(part, call),
            Expr::List(list) if !list.elements.is_empty() => {
                let of = list.elements.iter().map(|one| self.circumstance(one)).collect::<Outcome<_>>()?;
                Ok(Meant { step: self.add(Op::Together(of)), kind: Kind::Together })
            }
            Expr::Select(_) => Err(wrong("expected the name of a signal without a dot")),
            _ => Err(wrong("maps and loops have no meaning here")),
        }
    }

    fn constant(&mut self, number: f64) -> Meant {
        Meant { step: self.add(Op::Number(Bits::of(number))), kind: Kind::Number(None) }
    }

    pub(crate) fn truth(&mut self, op: Op) -> Meant {
        Meant { step: self.add(op), kind: Kind::Truth }
    }

    fn find(&mut self, part: u64, name: &str) -> Outcome<SignalIndex> {
        let found = self.profile.signal_index(name);
        self.is_absent |= found.is_none();
        found.ok_or_else(|| {
            let near = self.profile.signals().iter().map(|signal| &*signal.id).min_by_key(|id| distance(id, name));
            let hint =
                near.filter(|id| distance(id, name) <= 3).map(|id| format!("; is it `{id}`?")).unwrap_or_default();
            let profile = self.profile.id();
            Mistake { part, problem: format!("the profile {profile} has no signal `{name}`{hint}") }
        })
    }

    fn signal(&mut self, part: u64, name: &str) -> Outcome<Meant> {
        if let Some(meant) = self.named(part, name)? {
            return Ok(meant);
        }
        let index = self.find(part, name)?;
        self.said(part, index)
    }

    /// The one signal that means `meaning`, of what `described` says.
    pub(crate) fn by_meaning(&mut self, part: u64, meaning: &str, described: &str) -> Outcome<Meant> {
        let signals = (0..).zip(self.profile.signals());
        let found: Vec<SignalIndex> = signals
            .filter(|(_, signal)| *signal.meaning == *meaning)
            .filter(|(_, signal)| matches(described, signal.description.as_deref().unwrap_or_default()))
            .map(|(index, _)| index)
            .collect();
        let profile = self.profile.id();
        match &found[..] {
            [index] => self.said(part, *index),
            [] => {
                self.is_absent = true;
                let problem = format!("the profile {profile} has no signal that means `{meaning}` of `{described}`");
                Err(Mistake { part, problem })
            }
            several => {
                let names: Vec<&str> = several.iter().map(|index| &*self.profile.signal(*index).id).collect();
                let problem = format!("expected one signal, the profile {profile} has `{}`", names.join("`, `"));
                Err(Mistake { part, problem })
            }
        }
    }

    fn said(&mut self, part: u64, index: SignalIndex) -> Outcome<Meant> {
        let signal = self.profile.signal(index);
        match signal.kind {
            ValueKind::Number | ValueKind::Integer => {
                let unit = self.unit_of(part, index)?;
                Ok(Meant { step: self.add(Op::Signal(index)), kind: Kind::Number(Some(unit)) })
            }
            ValueKind::Vector => {
                let unit = self.unit_of(part, index)?;
                Ok(Meant { step: self.add(Op::Elements(index)), kind: Kind::List(Some(unit)) })
            }
            ValueKind::Text => Ok(Meant { step: self.add(Op::Word(index)), kind: Kind::Word(index) }),
            kind => {
                let (id, kind) = (&self.profile.signal(index).id, kind.as_str());
                Err(Mistake { part, problem: format!("`{id}` is a {kind}, of which rules cannot speak") })
            }
        }
    }

    pub(crate) fn unit_of(&self, part: u64, index: SignalIndex) -> Outcome<Unit> {
        let Some(unit) = &self.profile.signal(index).unit else { return Ok(Unit::one()) };
        Unit::parse(unit).map_err(|problem| Mistake { part, problem })
    }

    pub(crate) fn number(&mut self, part: &IdedExpr) -> Outcome<Numbered> {
        self.read(part)?.number().map_err(|problem| Mistake { part: part.id, problem })
    }

    /// A number, or a list.
    pub(crate) fn quantity(&mut self, part: &IdedExpr) -> Outcome<Quantity> {
        self.read(part)?.quantity().map_err(|problem| Mistake { part: part.id, problem })
    }

    pub(crate) fn condition(&mut self, part: &IdedExpr) -> Outcome<Step> {
        self.read(part)?.truth().map_err(|problem| Mistake { part: part.id, problem })
    }

    fn call(&mut self, part: &IdedExpr, call: &CallExpr) -> Outcome<Meant> {
        if call.target.is_some() {
            let problem = format!("write {}(…) with what it is about in parentheses", call.func_name);
            return Err(Mistake { part: part.id, problem });
        }
        match (call.func_name.as_str(), &call.args[..]) {
            (operators::LOGICAL_AND, [a, b]) => self.both(a, b, Op::And),
            (operators::LOGICAL_OR, [a, b]) => self.both(a, b, Op::Or),
            (operators::LOGICAL_NOT, [a]) => {
                let of = self.condition(a)?;
                Ok(self.truth(Op::Not(of)))
            }
            (operators::CONDITIONAL, [a, b, c]) => {
                let condition = self.condition(a)?;
                let (b, c, unit) = self.alike(part.id, b, c)?;
                Ok(Meant { step: self.add(Op::Choice(condition, b, c)), kind: Kind::Number(unit) })
            }
            (operators::EQUALS, [a, b]) => self.equals(part, a, b),
            (operators::NOT_EQUALS, [a, b]) => {
                let equals = self.equals(part, a, b)?.step;
                Ok(self.truth(Op::Not(equals)))
            }
            (operators::IN, [a, b]) => self.is_one_of(part, a, b),
            (operators::LESS, [a, b]) => self.compare(part, a, b, Op::IsLess),
            (operators::LESS_EQUALS, [a, b]) => self.compare(part, a, b, Op::IsLessOrEqual),
            (operators::GREATER, [a, b]) => self.compare(part, b, a, Op::IsLess),
            (operators::GREATER_EQUALS, [a, b]) => self.compare(part, b, a, Op::IsLessOrEqual),
            (operators::ADD, [a, b]) => self.sum(part, a, b, false),
            (operators::SUBSTRACT, [a, b]) => self.sum(part, a, b, true),
            (operators::MULTIPLY, [a, b]) => self.product(part, a, b, 1),
            (operators::DIVIDE, [a, b]) => self.product(part, a, b, -1),
            (operators::NEGATE, [a]) => {
                let of = self.quantity(a)?;
                let (factor, offset) = (Bits::of(-1.0), Bits::of(0.0));
                let step = self.add(Op::Scaled { of: of.step, factor, offset });
                Ok(of.meant(step, of.unit.clone()))
            }
            (name, arguments) => self.function(part, name, arguments),
        }
    }

    fn both(&mut self, a: &IdedExpr, b: &IdedExpr, op: fn(Step, Step) -> Op) -> Outcome<Meant> {
        let (a, b) = (self.condition(a)?, self.condition(b)?);
        Ok(self.truth(op(a, b)))
    }

    /// Two numbers in the same unit: that of the first one, or of the other where the first has none.
    fn alike(&mut self, part: u64, a: &IdedExpr, b: &IdedExpr) -> Outcome<(Step, Step, Option<Unit>)> {
        let ((a, unit_a), (b, unit_b)) = (self.number(a)?, self.number(b)?);
        self.in_one_unit(part, (a, unit_a), (b, unit_b))
    }

    pub(crate) fn in_one_unit(&mut self, part: u64, a: Numbered, b: Numbered) -> Outcome<(Step, Step, Option<Unit>)> {
        match (a, b) {
            ((a, Some(to)), (b, Some(from))) => {
                if !from.measures_as(&to) {
                    let problem = format!("{to} and {from} measure different things, and cannot be compared or added");
                    return Err(Mistake { part, problem });
                }
                let (factor, offset) = from.to(&to);
                let b = if (factor, offset) == (1.0, 0.0) {
                    b
                } else {
                    self.add(Op::Scaled { of: b, factor: Bits::of(factor), offset: Bits::of(offset) })
                };
                Ok((a, b, Some(to)))
            }
            ((a, unit_a), (b, unit_b)) => Ok((a, b, unit_a.or(unit_b))),
        }
    }

    fn compare(&mut self, part: &IdedExpr, a: &IdedExpr, b: &IdedExpr, op: fn(Step, Step) -> Op) -> Outcome<Meant> {
        let (a, b, _) = self.alike(part.id, a, b)?;
        Ok(self.truth(op(a, b)))
    }

    fn sum(&mut self, part: &IdedExpr, a: &IdedExpr, b: &IdedExpr, is_difference: bool) -> Outcome<Meant> {
        let (one, other) = (self.quantity(a)?, self.quantity(b)?);
        let form = Quantity { is_list: one.is_list || other.is_list, ..one };
        let (a, b, unit_a, unit_b) = (form.step, other.step, form.unit.clone(), other.unit);
        let points = [&unit_a, &unit_b].map(|unit| unit.as_ref().is_some_and(Unit::is_point));
        let op = if is_difference { Op::Difference } else { Op::Sum };
        let (a, b, unit) = match (points, unit_a, unit_b) {
            // A point and a distance from it.
            ([true, false], Some(point), distance) => {
                let difference = point.difference();
                let (_, b, _) = self.in_one_unit(part.id, (a, Some(difference)), (b, distance))?;
                (a, b, Some(point))
            }
            ([true, true], Some(one), other) if is_difference => {
                let (a, b, unit) = self.in_one_unit(part.id, (a, Some(one)), (b, other))?;
                (a, b, unit.map(|unit| unit.difference()))
            }
            ([false, false], unit_a, unit_b) => self.in_one_unit(part.id, (a, unit_a), (b, unit_b))?,
            _ => {
                let problem = "of two temperatures only the difference makes sense".to_owned();
                return Err(Mistake { part: part.id, problem });
            }
        };
        let step = self.add(op(a, b));
        Ok(form.meant(step, unit))
    }

    fn product(&mut self, part: &IdedExpr, a: &IdedExpr, b: &IdedExpr, sign: i8) -> Outcome<Meant> {
        let (one, other) = (self.quantity(a)?, self.quantity(b)?);
        let form = Quantity { is_list: one.is_list || other.is_list, ..one };
        let (a, b, unit_a, unit_b) = (form.step, other.step, form.unit.clone(), other.unit);
        if let (-1, Op::Number(number)) = (sign, &self.steps.ops()[b as usize])
            && number.number() == 0.0
        {
            return Err(Mistake { part: part.id, problem: "this divides by zero".to_owned() });
        }
        let unit = match (unit_a, unit_b) {
            (None, None) => None,
            (a, b) => {
                let (a, b) = (a.unwrap_or_else(Unit::one), b.unwrap_or_else(Unit::one));
                Some(a.times(&b, sign).map_err(|problem| Mistake { part: part.id, problem })?)
            }
        };
        let step = self.add(if sign < 0 { Op::Quotient(a, b) } else { Op::Product(a, b) });
        Ok(form.meant(step, unit))
    }

    /// The signal that says words, if `part` is one.
    fn words_of(&mut self, part: &IdedExpr) -> Outcome<Option<SignalIndex>> {
        if let Expr::Literal(_) | Expr::List(_) = &part.expr {
            return Ok(None);
        }
        Ok(if let Kind::Word(signal) = self.read(part)?.kind { Some(signal) } else { None })
    }

    fn equals(&mut self, part: &IdedExpr, a: &IdedExpr, b: &IdedExpr) -> Outcome<Meant> {
        let word = |part: &IdedExpr| match &part.expr {
            Expr::Literal(LiteralValue::String(word)) => Some(Box::<str>::from(word.inner())),
            _ => None,
        };
        match (self.words_of(a)?, word(b), self.words_of(b)?, word(a)) {
            (Some(signal), Some(word), ..) | (.., Some(signal), Some(word)) => {
                Ok(self.truth(Op::IsOneOf { signal, words: Box::new([word]) }))
            }
            _ => self.compare(part, a, b, Op::IsEqual),
        }
    }

    fn is_one_of(&mut self, part: &IdedExpr, a: &IdedExpr, b: &IdedExpr) -> Outcome<Meant> {
        let wrong = |problem: &str| Mistake { part: part.id, problem: problem.to_owned() };
        let Expr::List(list) = &b.expr else { return Err(wrong("expected a list in brackets behind `in`")) };
        if list.elements.is_empty() {
            return Err(wrong("expected a list that is not empty"));
        }
        let Some(signal) = self.words_of(a)? else {
            let mut any = None;
            for element in &list.elements {
                let equals = self.compare(part, a, element, Op::IsEqual)?.step;
                any = Some(any.map_or(equals, |any| self.add(Op::Or(any, equals))));
            }
            return Ok(Meant { step: any.expect("it is not empty"), kind: Kind::Truth });
        };
        let word = |element: &IdedExpr| match &element.expr {
            Expr::Literal(LiteralValue::String(word)) => Ok(Box::<str>::from(word.inner())),
            _ => Err(Mistake { part: element.id, problem: "expected a word in quotes".to_owned() }),
        };
        let mut words = list.elements.iter().map(word).collect::<Outcome<Vec<_>>>()?;
        words.sort();
        Ok(self.truth(Op::IsOneOf { signal, words: words.into() }))
    }
}

/// How many signs have to be changed, added or left out to make one name of another.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (place, sign) in a.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], place + 1);
        for (column, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(sign != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[b.len()]
}

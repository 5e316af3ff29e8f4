//! Both editions, as the pack `vehicle` describes them, and the columns that their reports are kept in.
//!
//! A field of both editions has one column, whatever its width and offset on the wire: what is kept is the physical value
//! times its divisor, a whole number. Fields that are there several times in a report, motors and cells, are vectors.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Profile, Scale, Shape, Signal, ValueKind};

use crate::edition::Edition;
use crate::layout::{BlockLayout, Field, Group, Kept, Layout, LayoutError, Number, What, error};

/// The layouts that come with the program.
const TEXTS: [&str; 2] = [
    include_str!("../../../packs/vehicle/gbt32960-2016.toml"),
    include_str!("../../../packs/vehicle/gbt32960-2025.toml"),
];

/// The profile that reports are kept in.
pub const PROFILE: &str = "vehicle";

/// What is kept of a report besides its fields: enough to put the same data unit together again. Whether it was reissued is
/// not kept: a report that comes again, by command 3 after command 2, has to be the same row.
pub(crate) struct Own;

impl Own {
    /// The year of the edition.
    pub(crate) const EDITION: u16 = 0;
    /// The types of its blocks, in their order.
    pub(crate) const BLOCKS: u16 = 1;
    /// The bytes of blocks that have no columns, one after another.
    pub(crate) const OTHER: u16 = 2;

    const SIGNALS: [(&'static str, &'static str, ValueKind, &'static str); 3] = [
        ("report_edition", "report.edition", ValueKind::Integer, "版本 Edition"),
        ("report_blocks", "report.blocks", ValueKind::Text, "信息类型标志 Types of the blocks, hexadecimal"),
        ("report_other", "report.other", ValueKind::Text, "其他数据 Other blocks, hexadecimal"),
    ];
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Standard {
    layouts: [Layout; 2],
    profile: Arc<Profile>,
}

impl Standard {
    /// What the pack `vehicle` says.
    ///
    /// # Panics
    /// When the pack that this program was built with contradicts itself; a test keeps it from that.
    pub fn built_in() -> Self {
        Self::read(TEXTS).unwrap_or_else(|error| panic!("packs/vehicle: {error}"))
    }

    /// Reads the layouts of 2016 and of 2025.
    ///
    /// # Errors
    /// When one of them cannot be read, or they contradict each other; says where.
    pub fn read(texts: [&str; 2]) -> Result<Self, LayoutError> {
        let [old, new] = texts.map(Layout::read);
        let mut layouts = [old?, new?];
        let mut columns = Columns::default();
        for (signal, meaning, kind, title) in Own::SIGNALS {
            let signal = Signal::new(signal, &format!("gbt32960:{meaning}"), kind);
            columns.add(Signal { description: Some(title.into()), ..signal });
        }
        let blocks = || layouts.iter().flat_map(Layout::blocks);
        blocks().try_for_each(|block| columns.collect(block, &block.group, Times::of(block)))?;
        // Only now is it known which divisor each column has.
        for block in layouts.iter_mut().flat_map(|layout| &mut layout.blocks) {
            block.has_columns = columns.place(&mut block.group) && !is_nested(&block.group, Times::of(block));
        }
        let profile = Profile::new(PROFILE, Shape::Frames, columns.signals);
        let profile = Arc::new(profile.map_err(|problem| error(PROFILE, problem.to_string()))?);
        Ok(Self { layouts, profile })
    }

    /// What stands in the data units of `edition`.
    pub fn layout(&self, edition: Edition) -> &Layout {
        match edition {
            Edition::E2016 => &self.layouts[0],
            Edition::E2025 => &self.layouts[1],
        }
    }

    /// What reports of both editions are kept as.
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }
}

/// Whether a field can be there several times in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    Once,
    Many,
}

impl Times {
    fn of(block: &BlockLayout) -> Self {
        if block.repeats { Self::Many } else { Self::Once }
    }

    fn kind(self) -> ValueKind {
        match self {
            Self::Once => ValueKind::Integer,
            Self::Many => ValueKind::Vector,
        }
    }
}

/// The columns as they come up.
#[derive(Default)]
struct Columns {
    signals: Vec<Signal>,
    places: HashMap<String, u16>,
}

impl Columns {
    fn add(&mut self, signal: Signal) {
        self.places.insert(signal.id.to_string(), self.signals.len() as u16);
        self.signals.push(signal);
    }

    /// Finds out which columns `group`, a part of `block`, needs.
    fn collect(&mut self, block: &BlockLayout, group: &Group, times: Times) -> Result<(), LayoutError> {
        for field in &group.fields {
            match &field.what {
                What::Number(number) => self.of(block, field, number, times.kind())?,
                What::Array(_, each, _) => {
                    self.of(block, field, each, ValueKind::Vector)?;
                    if times == Times::Many {
                        self.of_count(block, field);
                    }
                }
                What::List(_, group) => self.collect(block, group, Times::Many)?,
                What::Time | What::Text(_) | What::TextOf(_) | What::Blob(_) | What::Rest => {}
            }
        }
        Ok(())
    }

    fn of(&mut self, block: &BlockLayout, field: &Field, number: &Number, kind: ValueKind) -> Result<(), LayoutError> {
        let place = format!("{}.{}", block.id, field.id);
        let Some(known) = self.places.get(&field.signal).map(|place| &mut self.signals[usize::from(*place)]) else {
            let mut signal = Signal::new(&field.signal, &format!("gbt32960:{place}"), kind);
            signal.unit = number.unit.as_deref().map(Into::into);
            signal.scale = Scale { divisor: number.divisor as f64, offset: 0.0 };
            signal.description = Some(format!("{} {}", field.title.zh, field.title.en).into());
            self.add(signal);
            return Ok(());
        };
        if known.kind != kind || known.unit.as_deref() != number.unit.as_deref() {
            return Err(error(&place, format!("`{}` has another unit or form elsewhere", field.signal)));
        }
        let (divisor, known_divisor) = (number.divisor, known.scale.divisor as i64);
        let finer = divisor.max(known_divisor);
        if finer % divisor != 0 || finer % known_divisor != 0 {
            return Err(error(
                &place,
                format!("its divisor goes with no multiple of {known_divisor}, that of `{}`", field.signal),
            ));
        }
        known.scale.divisor = finer as f64;
        Ok(())
    }

    /// How many values of `field` each item of a list has.
    fn of_count(&mut self, block: &BlockLayout, field: &Field) {
        let id = count_signal(field);
        if !self.places.contains_key(&id) {
            let meaning = format!("gbt32960:{}.{}.count", block.id, field.id);
            let signal = Signal::new(&id, &meaning, ValueKind::Vector);
            let title = format!("{}个数 {}, how many", field.title.zh, field.title.en);
            self.add(Signal { description: Some(title.into()), ..signal });
        }
    }

    /// Tells the fields of `group` where they are kept, and whether all are.
    fn place(&self, group: &mut Group) -> bool {
        let mut whole = true;
        for field in &mut group.fields {
            let count = self.places.get(&count_signal(field)).copied();
            let column = self.places.get(&field.signal).copied();
            match (&mut field.what, column) {
                (What::Number(number), Some(column)) => number.kept = Some(self.kept(number, column)),
                (What::Array(_, each, counted), Some(column)) => {
                    each.kept = Some(self.kept(each, column));
                    *counted = count;
                }
                (What::List(_, group), _) => whole &= self.place(group),
                _ => whole = false,
            }
        }
        whole
    }

    fn kept(&self, number: &Number, column: u16) -> Kept {
        let divisor = self.signals[usize::from(column)].scale.divisor as i64;
        Kept { column, multiply: divisor / number.divisor, add: number.offset * divisor }
    }
}

/// Whether `group` has lists in lists: columns do not say which items belong to which list.
fn is_nested(group: &Group, times: Times) -> bool {
    group.fields.iter().any(|field| match &field.what {
        What::List(_, group) => times == Times::Many || is_nested(group, Times::Many),
        _ => false,
    })
}

fn count_signal(field: &Field) -> String {
    format!("{}_count", field.signal)
}

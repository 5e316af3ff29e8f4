//! Reports as a form that is filled in: the bytes of a data unit, and where in them each field of the layout stands. Made
//! once for all vehicles that have as many cells, probes and motors; what a field is like, only the layout knows.

use std::collections::HashMap;

use gbt32960::{Count, Group, Layout, Number, What, WireTime};

use super::alarms::NAMES;
use super::kind::Figures;

/// Six bytes of time come first.
const TIME_BYTES: usize = 6;

/// How many cells of a pack a report tells at the most.
pub(super) fn cells_max(layout: &Layout) -> usize {
    let block = layout.blocks().iter().find(|block| block.id == "cell_voltages");
    let packs = block.and_then(|block| block.group.fields.iter().find(|field| field.id == "packs"));
    let Some(What::List(_, pack)) = packs.map(|field| &field.what) else { unreachable!("packs are a list") };
    let voltages = pack.fields.iter().find(|field| field.id == "voltages").map(|field| &field.what);
    match voltages {
        Some(What::Array(Count::Prefix { max, .. }, ..)) => *max as usize,
        _ => unreachable!("cells have their number before them"),
    }
}

/// Where a number stands, and how it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    at: usize,
    bytes: usize,
    divisor: f64,
    offset: f64,
    least: f64,
    most: f64,
}

impl Slot {
    fn new(at: usize, number: &Number) -> Self {
        // The two highest values say that there is no number.
        let most = number.range.1.min((1_u64 << (8 * number.bytes)) - if number.plain { 1 } else { 3 });
        Self {
            at,
            bytes: usize::from(number.bytes),
            divisor: number.divisor as f64,
            offset: number.offset as f64,
            least: number.range.0 as f64,
            most: most as f64,
        }
    }

    /// Writes a physical value, or the nearest one that the standard allows.
    #[inline]
    pub(super) fn put(&self, data: &mut [u8], physical: f64) {
        let raw = ((physical - self.offset) * self.divisor + 0.5).clamp(self.least, self.most);
        write(&mut data[self.at..self.at + self.bytes], raw as u32);
    }

    /// Writes a code as it is.
    pub(super) fn put_raw(&self, data: &mut [u8], raw: u32) {
        write(&mut data[self.at..self.at + self.bytes], raw);
    }
}

/// Numbers that are alike and follow one another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slots {
    first: Slot,
}

impl Slots {
    pub(super) fn put(&self, data: &mut [u8], physical: &[f32]) {
        let Slot { at, bytes, divisor, offset, least, most } = self.first;
        let data = &mut data[at..at + bytes * physical.len()];
        let raw = |physical: f32| ((f64::from(physical) - offset) * divisor + 0.5).clamp(least, most) as u32;
        for (value, physical) in data.chunks_exact_mut(bytes).zip(physical) {
            write(value, raw(*physical));
        }
    }
}

#[inline]
fn write(bytes: &mut [u8], raw: u32) {
    match bytes {
        [one] => *one = raw as u8,
        [high, low] => [*high, *low] = (raw as u16).to_be_bytes(),
        _ => bytes.copy_from_slice(&raw.to_be_bytes()),
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Form {
    /// The data unit, with zeros for what is to be filled in.
    data: Vec<u8>,
    slots: HashMap<String, Slot>,
    codes: HashMap<String, u32>,
    /// The bytes of each block, by its name.
    blocks: HashMap<String, std::ops::Range<usize>>,
    /// The bit of each of [`NAMES`], where the edition has it.
    alarm_bits: [Option<u8>; NAMES.len()],
}

/// The blocks of an electric vehicle, as far as an edition has them. The alarms come last: only they change their length.
pub(super) const BLOCKS: [&str; 7] =
    ["vehicle", "motor", "position", "extreme", "cell_voltages", "cell_temperatures", "alarm"];

impl Form {
    /// The form of vehicles like this one, with these blocks and so many cells.
    pub(super) fn new(layout: &Layout, figures: &Figures, blocks: &[&str], cells: usize) -> Self {
        let mut form = Self {
            data: vec![0; TIME_BYTES],
            slots: HashMap::new(),
            codes: HashMap::new(),
            blocks: HashMap::new(),
            alarm_bits: [None; NAMES.len()],
        };
        let counts = |place: &str| match place {
            "motor.motors" => figures.motors,
            "cell_voltages.packs" | "cell_temperatures.packs" => 1,
            "cell_voltages.packs[0].voltages" => cells,
            "cell_temperatures.packs[0].temperatures" => figures.probes,
            _ => 0,
        };
        for block in blocks.iter().filter_map(|id| layout.blocks().iter().find(|block| block.id == *id)) {
            let begin = form.data.len();
            form.data.push(block.kind);
            form.add(&block.id, &block.group, &counts);
            form.blocks.insert(block.id.clone(), begin..form.data.len());
        }
        let bit = |name: &str| form.codes.get(&format!("alarm.flags={name}")).map(|mask| mask.trailing_zeros() as u8);
        form.alarm_bits = NAMES.map(bit);
        form
    }

    fn add(&mut self, place: &str, group: &Group, counts: &impl Fn(&str) -> usize) {
        for field in &group.fields {
            let place = format!("{place}.{}", field.id);
            match &field.what {
                What::Number(number) => {
                    let slot = Slot::new(self.data.len(), number);
                    self.data.resize(slot.at + slot.bytes, 0);
                    for (code, name) in &number.values {
                        self.codes.insert(format!("{place}={name}"), *code as u32);
                    }
                    for (bit, name) in &number.flags {
                        self.codes.insert(format!("{place}={name}"), 1 << bit);
                    }
                    self.slots.insert(place, slot);
                }
                What::List(count, group) => {
                    let items = counts(&place);
                    self.add_count(count, items);
                    for item in 0..items {
                        self.add(&format!("{place}[{item}]"), group, counts);
                    }
                }
                What::Array(count, each, _) => {
                    let items = counts(&place);
                    self.add_count(count, items);
                    let slot = Slot::new(self.data.len(), each);
                    self.data.resize(slot.at + slot.bytes * items, 0);
                    self.slots.insert(place, slot);
                }
                What::Time | What::Text(_) | What::TextOf(_) | What::Blob(_) | What::Rest => {
                    unreachable!("blocks of a vehicle have numbers only")
                }
            }
        }
    }

    fn add_count(&mut self, count: &Count, items: usize) {
        let Count::Prefix { bytes, .. } = count else { unreachable!("lists in blocks have their number before them") };
        let begin = self.data.len();
        self.data.resize(begin + usize::from(*bytes), 0);
        write(&mut self.data[begin..], items as u32);
    }

    /// Where `place` stands, in editions that have it.
    pub(super) fn slot(&self, place: &str) -> Option<Slot> {
        self.slots.get(place).copied()
    }

    /// Where `place` stands, which every edition has.
    pub(super) fn always(&self, place: &str) -> Slot {
        self.slot(place).unwrap_or_else(|| panic!("packs/vehicle has no field `{place}`"))
    }

    /// Where the numbers at `place` stand.
    pub(super) fn slots(&self, place: &str) -> Slots {
        Slots { first: self.always(place) }
    }

    /// The code, or the bit, that stands for `name` at `place`; what an edition has no word for is 0.
    pub(super) fn code(&self, place: &str, name: &str) -> u32 {
        self.codes.get(&format!("{place}={name}")).copied().unwrap_or(0)
    }

    /// The bytes of the block `id`.
    pub(super) fn block(&self, id: &str) -> std::ops::Range<usize> {
        self.blocks.get(id).cloned().unwrap_or_else(|| panic!("packs/vehicle has no block `{id}`"))
    }

    pub(super) fn alarm_bits(&self) -> &[Option<u8>; NAMES.len()] {
        &self.alarm_bits
    }

    /// A data unit of `time` that nothing has been filled in yet.
    pub(super) fn begin(&self, time: WireTime, data: &mut Vec<u8>) {
        data.clear();
        data.extend_from_slice(&self.data);
        data[..TIME_BYTES].copy_from_slice(&time);
    }
}

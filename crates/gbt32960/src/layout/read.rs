//! Layouts as TOML. What does not fit together is told with the place and what was expected.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    BlockLayout, Count, Field, Group, Layout, MessageLayout, NO_BLOCK, Number, ParameterLayout, REFERRED_MAX, Title,
    What,
};
use crate::edition::{Command, Edition};

/// A layout that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct LayoutError {
    place: String,
    problem: String,
}

pub(crate) fn error(place: &str, problem: impl Into<String>) -> LayoutError {
    LayoutError { place: place.to_owned(), problem: problem.into() }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LayoutText {
    edition: u16,
    header: u8,
    block: Vec<BlockText>,
    message: Vec<MessageText>,
    #[serde(default)]
    parameter: Vec<ParameterText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockText {
    r#type: u8,
    id: String,
    zh: String,
    en: String,
    #[serde(default)]
    repeats: bool,
    #[serde(default)]
    last: bool,
    fields: Vec<FieldText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageText {
    command: u8,
    id: String,
    zh: String,
    en: String,
    fields: Vec<FieldText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParameterText {
    number: u8,
    #[serde(default)]
    read_only: bool,
    field: FieldText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldText {
    id: String,
    zh: String,
    en: String,
    #[serde(default)]
    signal: Option<String>,
    #[serde(default)]
    secret: bool,
    #[serde(default)]
    bytes: Option<u8>,
    #[serde(default)]
    time: bool,
    #[serde(default)]
    text: Option<usize>,
    #[serde(default)]
    text_of: Option<String>,
    #[serde(default)]
    blob: Option<u8>,
    #[serde(default)]
    rest: bool,
    #[serde(default)]
    count: Option<u8>,
    #[serde(default)]
    times: Option<String>,
    #[serde(default)]
    times_sum: Option<String>,
    #[serde(default)]
    of: Option<Vec<FieldText>>,
    #[serde(default)]
    each: Option<NumberText>,
    #[serde(default)]
    divisor: Option<i64>,
    #[serde(default)]
    offset: Option<i64>,
    #[serde(default)]
    unit: Option<String>,
    #[serde(default)]
    min: Option<u64>,
    #[serde(default)]
    max: Option<u64>,
    #[serde(default)]
    plain: bool,
    #[serde(default)]
    values: BTreeMap<String, String>,
    #[serde(default)]
    value_bits: Option<u8>,
    #[serde(default)]
    flags: BTreeMap<String, String>,
    #[serde(default)]
    negative: Option<NegativeText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NumberText {
    bytes: u8,
    #[serde(default)]
    divisor: Option<i64>,
    #[serde(default)]
    offset: Option<i64>,
    #[serde(default)]
    unit: Option<String>,
    #[serde(default)]
    min: Option<u64>,
    #[serde(default)]
    max: Option<u64>,
    #[serde(default)]
    plain: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NegativeText {
    field: String,
    bit: u8,
}

impl Layout {
    /// Reads a layout.
    ///
    /// # Errors
    /// When it is no TOML, or its parts do not fit together; says where.
    pub fn read(text: &str) -> Result<Self, LayoutError> {
        let text: LayoutText = toml::from_str(text).map_err(|problem| error("layout", problem.to_string()))?;
        let edition = Edition::of_year(text.edition).filter(|edition| edition.start() == text.header);
        let Some(edition) = edition else {
            return Err(error("edition", "expected 2016 with header 0x23, or 2025 with 0x24"));
        };
        let mut layout = Self {
            edition,
            blocks: Vec::new(),
            places: [NO_BLOCK; 256],
            messages: Vec::new(),
            parameters: BTreeMap::new(),
        };
        for block in text.block {
            let place = std::mem::replace(&mut layout.places[usize::from(block.r#type)], layout.blocks.len() as u8);
            if place != NO_BLOCK || layout.blocks.len() >= usize::from(NO_BLOCK) {
                return Err(error(&block.id, format!("the type {:#04x} is there twice", block.r#type)));
            }
            let group = group(&block.id, &block.id, block.fields)?;
            let title = Title { zh: block.zh, en: block.en };
            let (repeats, last) = (block.repeats, block.last);
            let kind = block.r#type;
            layout.blocks.push(BlockLayout { has_columns: false, kind, id: block.id, title, repeats, last, group });
        }
        for message in text.message {
            let group = group(&message.id, &message.id, message.fields)?;
            let title = Title { zh: message.zh, en: message.en };
            layout.messages.push(MessageLayout { command: Command(message.command), id: message.id, title, group });
        }
        // Parameters refer to parameters before them, as the fields of a group do.
        let numbers: Vec<(u8, bool)> =
            text.parameter.iter().map(|parameter| (parameter.number, parameter.read_only)).collect();
        let fields = text.parameter.into_iter().map(|parameter| parameter.field).collect();
        for ((number, read_only), field) in numbers.into_iter().zip(group("parameters", "parameter", fields)?.fields) {
            layout.parameters.insert(number, ParameterLayout { field, read_only });
        }
        Ok(layout)
    }
}

/// The group of `fields` at `place`, whose columns begin with `prefix`.
fn group(place: &str, prefix: &str, fields: Vec<FieldText>) -> Result<Group, LayoutError> {
    let mut group = Group { fields: Vec::with_capacity(fields.len()) };
    let mut noted = 0;
    for text in fields {
        let place = format!("{place}.{}", text.id);
        if group.fields.iter().any(|field: &Field| field.id == text.id) {
            return Err(error(&place, "the id is there twice"));
        }
        let field = field(&place, prefix, text, &mut group.fields, &mut noted)?;
        group.fields.push(field);
    }
    Ok(group)
}

/// Where the number called `id` before is noted.
fn refer(place: &str, id: &str, before: &mut [Field], noted: &mut u8) -> Result<u8, LayoutError> {
    let number = before.iter_mut().find(|field| field.id == id && matches!(field.what, What::Number(_)));
    let Some(number) = number else { return Err(error(place, format!("there is no number `{id}` before it"))) };
    let slot = *number.noted.get_or_insert(*noted);
    if slot == *noted {
        *noted += 1;
    }
    if usize::from(slot) >= REFERRED_MAX {
        return Err(error(place, format!("more than {REFERRED_MAX} fields are referred to")));
    }
    Ok(slot)
}

fn field(
    place: &str,
    prefix: &str,
    text: FieldText,
    before: &mut [Field],
    noted: &mut u8,
) -> Result<Field, LayoutError> {
    let title = Title { zh: text.zh.clone(), en: text.en.clone() };
    let signal = text.signal.clone().unwrap_or_else(|| format!("{prefix}_{}", text.id));
    let listed = text.of.is_some() || text.each.is_some();
    let mut ways = Vec::new();
    if let Some(bytes) = text.bytes {
        let negative = match &text.negative {
            Some(negative) => Some((refer(place, &negative.field, before, noted)?, negative.bit)),
            None => None,
        };
        let number = NumberText {
            bytes,
            divisor: text.divisor,
            offset: text.offset,
            unit: text.unit.clone(),
            min: text.min,
            max: text.max,
            plain: text.plain,
        };
        let mut number = number_of(place, number)?;
        number.negative = negative;
        number.values = keyed(place, &text.values)?;
        number.value_mask = text.value_bits.map_or(u64::MAX, |bits| (1 << bits) - 1);
        number.flags = keyed(place, &text.flags)?;
        ways.push(What::Number(number));
    }
    if text.time {
        ways.push(What::Time);
    }
    if let Some(bytes) = text.text {
        ways.push(What::Text(bytes));
    }
    if let Some(id) = &text.text_of {
        ways.push(What::TextOf(refer(place, id, before, noted)?));
    }
    if let Some(bytes) = text.blob {
        ways.push(What::Blob(width(place, bytes)?));
    }
    if text.rest {
        ways.push(What::Rest);
    }
    if listed {
        let count = count_of(place, &text, before, noted)?;
        ways.push(match (text.of, text.each) {
            (Some(fields), None) => What::List(count, inner(place, prefix, fields, before, noted)?),
            (None, Some(each)) => What::Array(count, number_of(place, each)?, None),
            _ => return Err(error(place, "expected one of `of` and `each`")),
        });
    }
    let mut ways = ways.into_iter();
    match (ways.next(), ways.next()) {
        (Some(what), None) => Ok(Field { id: text.id, title, what, signal, secret: text.secret, noted: None }),
        _ => Err(error(place, "expected one of `bytes`, `time`, `text`, `text_of`, `blob`, `rest`, `of` and `each`")),
    }
}

/// How many items the list `text` has.
fn count_of(place: &str, text: &FieldText, before: &mut [Field], noted: &mut u8) -> Result<Count, LayoutError> {
    match (text.count, &text.times, &text.times_sum) {
        (Some(bytes), None, None) => {
            let bytes = width(place, bytes)?;
            Ok(Count::Prefix { bytes, max: text.max.unwrap_or((1 << (8 * bytes)) - 3) })
        }
        (None, Some(id), None) => Ok(Count::Noted(refer(place, id, before, noted)?)),
        (None, None, Some(id)) => {
            let array = before.iter().position(|field| field.id == *id && matches!(field.what, What::Array(..)));
            Ok(Count::SumOf(array.ok_or_else(|| error(place, format!("there is no array `{id}` before it")))?))
        }
        _ => Err(error(place, "expected one of `count`, `times` and `times_sum`")),
    }
}

/// A group within a group: it may refer to a text length outside of itself.
fn inner(
    place: &str,
    prefix: &str,
    mut fields: Vec<FieldText>,
    before: &mut [Field],
    noted: &mut u8,
) -> Result<Group, LayoutError> {
    if let [only] = &mut fields[..]
        && let Some(id) = only.text_of.take()
    {
        let slot = refer(place, &id, before, noted)?;
        let title = Title { zh: only.zh.clone(), en: only.en.clone() };
        let (id, what, signal) = (only.id.clone(), What::TextOf(slot), format!("{prefix}_{}", only.id));
        return Ok(Group { fields: vec![Field { id, title, what, signal, secret: false, noted: None }] });
    }
    group(place, prefix, fields)
}

fn width(place: &str, bytes: u8) -> Result<u8, LayoutError> {
    if matches!(bytes, 1 | 2) { Ok(bytes) } else { Err(error(place, "a count has 1 or 2 bytes")) }
}

fn number_of(place: &str, text: NumberText) -> Result<Number, LayoutError> {
    if !matches!(text.bytes, 1 | 2 | 4) || text.divisor.is_some_and(|divisor| divisor < 1) {
        return Err(error(place, "a number has 1, 2 or 4 bytes and a divisor of at least 1"));
    }
    let mut number = Number {
        bytes: text.bytes,
        divisor: text.divisor.unwrap_or(1),
        offset: text.offset.unwrap_or(0),
        unit: text.unit,
        range: (0, 0),
        plain: text.plain,
        values: BTreeMap::new(),
        value_mask: u64::MAX,
        flags: BTreeMap::new(),
        negative: None,
        kept: None,
    };
    let highest = number.abnormal() + 1;
    number.range = (text.min.unwrap_or(0), text.max.unwrap_or(highest));
    if number.range.1 > highest {
        return Err(error(place, format!("`max` does not fit into {} bytes", number.bytes)));
    }
    Ok(number)
}

/// TOML's keys are texts; these are numbers.
fn keyed<K: std::str::FromStr + Ord>(
    place: &str,
    named: &BTreeMap<String, String>,
) -> Result<BTreeMap<K, String>, LayoutError> {
    let read = |(key, name): (&String, &String)| match key.parse() {
        Ok(key) => Ok((key, name.clone())),
        Err(_) => Err(error(place, format!("`{key}` is no number"))),
    };
    named.iter().map(read).collect()
}

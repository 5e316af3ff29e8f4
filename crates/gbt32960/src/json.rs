//! Frames as JSON: every value raw and physical, with its quality and the byte where it stands; and back.
//!
//! A number is `{"raw": 3643, "value": 364.3, "unit": "V", "at": 41}`; a raw value is enough to make a frame of it, and so
//! is a physical one by itself. What is secret is shown as its length.

use model::Quality;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::content::{Block, BlockContent, Content, Node, Unit};
use crate::edition::{Command, Edition, Encryption, Response};
use crate::error::{DecodeError, EncodeError};
use crate::frame::{Frame, HEADER_BYTES, Header, Vin};
use crate::layout::{Field, Group, Layout, Number, REFERRED_MAX, What};
use crate::standard::Standard;
use crate::time::{WireTime, from_wire, to_wire};
use crate::walk::Noted;

/// What a frame says, as JSON in the order of the frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// A number, a text, or a list of numbers.
    Value(Value),
    /// A list.
    List(Vec<Shown>),
    /// What has a name, in its order.
    Object(Vec<(String, Shown)>),
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(entries) => serializer.collect_map(entries.iter().map(|(name, value)| (name, value))),
        }
    }
}

impl<T: Into<Value>> From<T> for Shown {
    fn from(value: T) -> Self {
        Self::Value(value.into())
    }
}

/// An object that is being put together.
#[derive(Default)]
struct Object(Vec<(String, Shown)>);

impl Object {
    fn with(mut self, name: &str, value: impl Into<Shown>) -> Self {
        self.put(name, value);
        self
    }

    fn put(&mut self, name: &str, value: impl Into<Shown>) {
        self.0.push((name.to_owned(), value.into()));
    }
}

impl From<Object> for Shown {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

/// `frame` as JSON, its data unit too, unless it is encrypted.
///
/// # Errors
/// When the data unit is not what the edition says.
pub fn frame_to_json(standard: &Standard, frame: &Frame<'_>) -> Result<Shown, DecodeError> {
    let Header { edition, command, response, vin, encryption } = frame.header;
    let code = |code: u8, word: Option<&'static str>| {
        Object::default().with("code", code).with("meaning", word.unwrap_or("unknown"))
    };
    let shown = Object::default()
        .with("edition", edition.year())
        .with("command", code(command.0, command.word()))
        .with("response", code(response.0, response.word()))
        .with("vin", vin_to_json(&vin))
        .with("encryption", code(encryption.0, encryption.word()))
        .with("data_bytes", frame.data.len());
    if encryption != Encryption::NONE && !frame.data.is_empty() {
        return Ok(shown.with("data", Object::default().with("encrypted", hex(frame.data))).into());
    }
    let layout = standard.layout(edition);
    let unit = Unit::parse(layout, &frame.header, frame.data)?;
    Ok(shown.with("data", unit_to_json(layout, command, &unit)).into())
}

fn unit_to_json(layout: &Layout, command: Command, unit: &Unit) -> Shown {
    let mut at = HEADER_BYTES;
    match &unit.content {
        Content::Empty => Object::default().into(),
        Content::Time(time) => Object::default().with("time", time_to_json(*time)).into(),
        Content::Bytes(bytes) => bytes_to_json(bytes, at).into(),
        Content::Message(nodes) => {
            let group = &layout.message(command).expect("it was read by this layout").group;
            fields_to_json(group, nodes, [0; REFERRED_MAX], &mut at)
        }
        Content::Report { time, blocks } => {
            let blocks = blocks.iter().zip(&unit.blocks_at).map(|(block, at)| block_to_json(layout, block, *at));
            let blocks = Shown::List(blocks.collect());
            Object::default().with("time", time_to_json(*time)).with("blocks", blocks).into()
        }
        Content::Parameters { time, count, values } => {
            at += 7;
            let mut noted = [0; REFERRED_MAX];
            let mut parameters = Vec::new();
            for (number, node) in values {
                at += 1;
                let field = &layout.parameter(*number).expect("it was read by this layout").field;
                let value = field_to_json(field, node, &mut noted, &mut at);
                let parameter = Object::default().with("number", *number).with("id", field.id.as_str());
                parameters.push(parameter.with("value", value).into());
            }
            let shown = Object::default().with("time", time_to_json(*time)).with("count", *count);
            shown.with("parameters", Shown::List(parameters)).into()
        }
    }
}

fn bytes_to_json(bytes: &[u8], at: usize) -> Object {
    Object::default().with("bytes", hex(bytes)).with("at", at)
}

fn vin_to_json(vin: &Vin) -> Shown {
    // What fills it up is part of the frame.
    if vin.as_str().len() == vin.0.len() {
        vin.as_str().into()
    } else {
        Object::default().with("text", vin.as_str()).with("bytes", hex(&vin.0)).into()
    }
}

fn block_to_json(layout: &Layout, block: &Block, at: usize) -> Shown {
    let shown = Object::default().with("type", block.kind);
    let shown = match &block.content {
        BlockContent::Fields(nodes) => {
            let layout = layout.block(block.kind).expect("it was read by this layout");
            let fields = fields_to_json(&layout.group, nodes, [0; REFERRED_MAX], &mut (at + 1));
            shown.with("id", layout.id.as_str()).with("at", at).with("fields", fields)
        }
        BlockContent::User(bytes) => shown.with("at", at).with("user_bytes", hex(bytes)),
        BlockContent::Unknown(bytes) => shown.with("at", at).with("unknown_bytes", hex(bytes)),
    };
    shown.into()
}

fn fields_to_json(group: &Group, nodes: &[Node], mut noted: Noted, at: &mut usize) -> Shown {
    let mut shown = Object::default();
    for (field, node) in group.fields.iter().zip(nodes) {
        shown.put(&field.id, field_to_json(field, node, &mut noted, at));
    }
    shown.into()
}

fn field_to_json(field: &Field, node: &Node, noted: &mut Noted, at: &mut usize) -> Shown {
    let begin = *at;
    match (&field.what, node) {
        (What::Number(number), Node::Number(raw)) => {
            *at += usize::from(number.bytes);
            if let Some(slot) = field.noted {
                noted[usize::from(slot)] = *raw;
            }
            number_to_json(number, *raw, number.is_negative(noted)).with("at", begin).into()
        }
        (What::Time, Node::Bytes(bytes)) => {
            *at += bytes.len();
            (**bytes).try_into().map_or(Value::Null.into(), time_to_json)
        }
        (what, Node::Bytes(bytes)) => {
            let prefix = if let What::Blob(width) = what { usize::from(*width) } else { 0 };
            *at += prefix + bytes.len();
            if field.secret {
                return Object::default().with("secret_bytes", bytes.len()).with("at", begin).into();
            }
            match (what, std::str::from_utf8(bytes)) {
                (What::Blob(_), _) => bytes_to_json(bytes, begin).into(),
                (_, Ok(text)) if !text.chars().any(char::is_control) => {
                    Object::default().with("text", text).with("at", begin).into()
                }
                _ => bytes_to_json(bytes, begin).into(),
            }
        }
        (What::List(count, group), Node::List(raw, items)) => {
            *at += count.width();
            if count.is_special(*raw) {
                return Object::default().with("count", *raw).into();
            }
            Shown::List(items.iter().map(|item| fields_to_json(group, item, *noted, at)).collect())
        }
        (What::Array(count, each, _), Node::Array(raw, values)) => {
            *at += count.width();
            let first = *at;
            *at += values.len() * usize::from(each.bytes);
            if count.is_special(*raw) {
                return Object::default().with("count", *raw).into();
            }
            array_to_json(each, values, first).into()
        }
        _ => Value::Null.into(),
    }
}

fn number_to_json(number: &Number, raw: u64, negative: bool) -> Object {
    let mut shown = Object::default().with("raw", raw);
    let quality = number.quality(raw);
    if quality != Quality::Good {
        return shown.with("quality", quality.as_str());
    }
    shown.put("value", physical(number, raw, negative));
    if let Some(unit) = &number.unit {
        shown.put("unit", unit.as_str());
    }
    let meanings = number.meanings(raw);
    if !meanings.is_empty() {
        shown.put("meaning", meanings);
    }
    if !number.is_in_range(raw) {
        shown.put("out_of_range", vec![number.range.0, number.range.1]);
    }
    shown
}

fn physical(number: &Number, raw: u64, negative: bool) -> Value {
    let value = number.physical(raw, negative);
    if number.divisor == 1 { (value as i64).into() } else { value.into() }
}

fn array_to_json(each: &Number, values: &[u64], at: usize) -> Object {
    let mut shown = Object::default().with("raw", values);
    let is_good = |raw: u64| each.quality(raw) == Quality::Good;
    if each.is_scaled() {
        let value = |raw: &u64| if is_good(*raw) { physical(each, *raw, false) } else { Value::Null };
        shown.put("value", values.iter().map(value).collect::<Vec<Value>>());
    }
    if let Some(unit) = &each.unit {
        shown.put("unit", unit.as_str());
    }
    let mut bad = Object::default();
    for (place, raw) in values.iter().enumerate().filter(|(_, raw)| !is_good(**raw)) {
        bad.put(&place.to_string(), each.quality(*raw).as_str());
    }
    if !bad.0.is_empty() {
        shown.put("quality", bad);
    }
    shown.with("at", at)
}

fn time_to_json(time: WireTime) -> Shown {
    match from_wire(time) {
        Ok(known) => known.to_string().into(),
        Err(_) => Object::default().with("bytes", hex(&time)).into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that the hexadecimal digits of `text` stand for.
fn unhex(text: &str) -> Option<Box<[u8]>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// The bytes of the frame that `shown` describes, as [`frame_to_json`] shows it.
///
/// # Errors
/// When something is missing or does not fit; names the field.
pub fn frame_from_json(standard: &Standard, shown: &Value) -> Result<Vec<u8>, EncodeError> {
    let year = shown["edition"].as_u64().and_then(|year| Edition::of_year(u16::try_from(year).ok()?));
    let edition = year.ok_or_else(|| expected("edition", "2016 or 2025", &shown["edition"]))?;
    let header = Header {
        edition,
        command: Command(code(shown, "command", None)?),
        response: Response(code(shown, "response", Some(Response::COMMAND.0))?),
        vin: vin_from_json(&shown["vin"])?,
        encryption: Encryption(code(shown, "encryption", Some(Encryption::NONE.0))?),
    };
    let data = data_from_json(standard, &header, &shown["data"]).map_err(|error| error.within("data"))?;
    let mut output = Vec::new();
    header.write(&data, &mut output)?;
    Ok(output)
}

fn expected(place: &str, what: &str, found: &Value) -> EncodeError {
    let text = found.to_string();
    EncodeError::new(place, what, if found.is_null() { "nothing" } else { &text[..text.floor_char_boundary(80)] })
}

fn code(shown: &Value, key: &str, default: Option<u8>) -> Result<u8, EncodeError> {
    let value = &shown[key];
    let code = value.as_u64().or_else(|| value["code"].as_u64()).and_then(|code| u8::try_from(code).ok());
    code.or(default.filter(|_| value.is_null())).ok_or_else(|| expected(key, "a code from 0 to 255", value))
}

fn vin_from_json(shown: &Value) -> Result<Vin, EncodeError> {
    let filled = || unhex(shown["bytes"].as_str()?).and_then(|bytes| Some(Vin((*bytes).try_into().ok()?)));
    let vin = shown.as_str().and_then(Vin::new).or_else(filled);
    vin.ok_or_else(|| expected("vin", "17 characters of ASCII", shown))
}

fn data_from_json(standard: &Standard, header: &Header, shown: &Value) -> Result<Vec<u8>, EncodeError> {
    let layout = standard.layout(header.edition);
    if let Some(encrypted) = shown["encrypted"].as_str() {
        return unhex(encrypted).map(Into::into).ok_or_else(|| expected("encrypted", "hexadecimal digits", shown));
    }
    let fields = shown.as_object().map_or(0, Map::len);
    let content = match header.command {
        _ if fields == 0 => Content::Empty,
        _ if shown["bytes"].is_string() => Content::Bytes(bytes_from_json("bytes", &shown["bytes"])?),
        _ if fields == 1 && shown["time"].is_string() && !header.command.is_report() => {
            Content::Time(time_from_json(&shown["time"])?)
        }
        command if command.is_report() => {
            let blocks = shown["blocks"].as_array().map_or(&[][..], Vec::as_slice);
            let blocks: Result<_, EncodeError> = (0..)
                .zip(blocks)
                .map(|(place, block)| {
                    let block = block_from_json(standard, header.edition, block);
                    block.map_err(|error| error.within(&format!("blocks[{place}]")))
                })
                .collect();
            Content::Report { time: time_from_json(&shown["time"])?, blocks: blocks? }
        }
        Command::PARAMETER_QUERY | Command::PARAMETER_SET if shown["parameters"].is_array() => {
            let mut values = Vec::new();
            for one in shown["parameters"].as_array().into_iter().flatten() {
                let number = code(one, "number", None)?;
                let parameter =
                    layout.parameter(number).ok_or_else(|| expected("parameters", "a known number", one))?;
                let node = node_from_json(&parameter.field, &one["value"]);
                values.push((number, node.map_err(|error| error.within("parameters"))?));
            }
            let count = code(shown, "count", Some(values.len() as u8))?;
            Content::Parameters { time: time_from_json(&shown["time"])?, count, values }
        }
        command => match layout.message(command) {
            Some(message) => Content::Message(group_from_json(&message.group, shown)?),
            None => return Err(expected("bytes", "hexadecimal digits", shown)),
        },
    };
    content.write(layout, header.command)
}

fn block_from_json(standard: &Standard, edition: Edition, shown: &Value) -> Result<Block, EncodeError> {
    let kind = code(shown, "type", None)?;
    let bytes = |key: &str| bytes_from_json(key, &shown[key]);
    let content = if shown["user_bytes"].is_string() {
        BlockContent::User(bytes("user_bytes")?)
    } else if shown["unknown_bytes"].is_string() {
        BlockContent::Unknown(bytes("unknown_bytes")?)
    } else {
        let layout = standard.layout(edition).block(kind);
        let layout = layout.ok_or_else(|| expected("type", "a type whose fields are known", &shown["type"]))?;
        let nodes = group_from_json(&layout.group, &shown["fields"]);
        BlockContent::Fields(nodes.map_err(|error| error.within(&layout.id))?)
    };
    Ok(Block { kind, content })
}

fn group_from_json(group: &Group, shown: &Value) -> Result<Vec<Node>, EncodeError> {
    let node = |field: &Field| node_from_json(field, &shown[&field.id]).map_err(|error| error.within(&field.id));
    group.fields.iter().map(node).collect()
}

pub(crate) fn node_from_json(field: &Field, shown: &Value) -> Result<Node, EncodeError> {
    match &field.what {
        What::Number(number) => number_from_json(number, shown).map(Node::Number),
        What::Time => Ok(Node::Bytes(time_from_json(shown)?.into())),
        What::Text(bytes) => {
            let mut text = bytes_from_json("", shown)?.into_vec();
            // Shorter texts are filled up.
            text.resize(text.len().max(*bytes), 0);
            Ok(Node::Bytes(text.into()))
        }
        What::TextOf(_) | What::Rest | What::Blob(_) => bytes_from_json("", shown).map(Node::Bytes),
        What::List(_, group) => {
            if let Some(count) = shown["count"].as_u64() {
                return Ok(Node::List(count, Vec::new()));
            }
            let items = shown.as_array().ok_or_else(|| expected("", "a list", shown))?;
            let items: Result<Vec<_>, EncodeError> = (0..)
                .zip(items)
                .map(|(place, item)| group_from_json(group, item).map_err(|error| error.within(&format!("[{place}]"))))
                .collect();
            let items = items?;
            Ok(Node::List(items.len() as u64, items))
        }
        What::Array(_, each, _) => {
            if let Some(count) = shown["count"].as_u64() {
                return Ok(Node::Array(count, Vec::new()));
            }
            let values = shown.as_array().or_else(|| shown["raw"].as_array()).or_else(|| shown["value"].as_array());
            let is_raw = shown["raw"].is_array();
            let values = values.ok_or_else(|| expected("", "a list of numbers", shown))?;
            let values: Result<Vec<u64>, EncodeError> = values
                .iter()
                .map(|value| match value.as_u64().filter(|_| is_raw) {
                    Some(raw) => Ok(raw),
                    None => number_from_json(each, value),
                })
                .collect();
            let values = values?;
            Ok(Node::Array(values.len() as u64, values))
        }
    }
}

fn number_from_json(number: &Number, shown: &Value) -> Result<u64, EncodeError> {
    if let Some(raw) = shown["raw"].as_u64() {
        return Ok(raw);
    }
    let quality = shown["quality"].as_str().or_else(|| shown.as_str());
    match quality {
        Some("abnormal") => return Ok(number.abnormal()),
        Some("invalid") => return Ok(number.abnormal() + 1),
        _ => {}
    }
    let physical = shown.as_f64().or_else(|| shown["value"].as_f64());
    let raw = physical.and_then(|physical| number.raw(physical));
    raw.ok_or_else(|| expected("", "a number that fits, or `abnormal` or `invalid`", shown))
}

pub(crate) fn bytes_from_json(place: &str, shown: &Value) -> Result<Box<[u8]>, EncodeError> {
    let text = shown["text"].as_str();
    let bytes = shown["bytes"].as_str().or_else(|| shown.as_str());
    let bytes = text.map(|text| text.as_bytes().into()).or_else(|| unhex(bytes?));
    bytes.ok_or_else(|| expected(place, "`text`, or `bytes` in hexadecimal digits", shown))
}

fn time_from_json(shown: &Value) -> Result<WireTime, EncodeError> {
    let known = shown.as_str().and_then(|text| to_wire(text.parse().ok()?));
    let bytes = || unhex(shown["bytes"].as_str()?).and_then(|bytes| (*bytes).try_into().ok());
    known.or_else(bytes).ok_or_else(|| expected("time", "a time with its offset, in the years 2000 to 2099", shown))
}

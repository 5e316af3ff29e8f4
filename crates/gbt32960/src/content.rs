//! A data unit as a tree of raw values, and back to the same bytes. For tools; reports on their way into columns go
//! through `rows` instead.

use crate::edition::{Command, Response};
use crate::error::{BAD_BLOCK, DecodeError, EncodeError, LEFT_OVER, TOO_MANY};
use crate::frame::{HEADER_BYTES, Header};
use crate::layout::{Count, Field, Group, Layout, Number, REFERRED_MAX, What};
use crate::time::WireTime;
use crate::walk::{self, Items, Noted, Reader, Sink};

/// The first type of block that makers define themselves; such blocks have a length.
pub(crate) const USER_BLOCK_MIN: u8 = 0x80;
/// The last one; what follows it is the signature of 2025.
pub(crate) const USER_BLOCK_MAX: u8 = 0xFE;
/// Parameters in one message.
const PARAMETERS_MAX: u64 = 252;

/// What a data unit holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing.
    Empty,
    /// A time and nothing else, as most answers do (clause 6.3.2).
    Time(WireTime),
    /// A report.
    Report {
        /// When it was so.
        time: WireTime,
        /// What was so.
        blocks: Vec<Block>,
    },
    /// Fields, in the order of the message's layout.
    Message(Vec<Node>),
    /// Parameters and their values.
    Parameters {
        /// When.
        time: WireTime,
        /// How many there are, as it stands there.
        count: u8,
        /// Number and value.
        values: Vec<(u8, Node)>,
    },
    /// Bytes that the standard says nothing about.
    Bytes(Box<[u8]>),
}

/// A block of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The type that it begins with.
    pub kind: u8,
    /// What follows.
    pub content: BlockContent,
}

/// What a block holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockContent {
    /// Fields, in the order of the block's layout.
    Fields(Vec<Node>),
    /// Bytes that a maker has defined (types 0x80 to 0xFE).
    User(Box<[u8]>),
    /// A type that the standard leaves open, and everything after it: it says of no such block where it ends.
    Unknown(Box<[u8]>),
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A raw number.
    Number(u64),
    /// A time, a text, or bytes.
    Bytes(Box<[u8]>),
    /// Groups, and how many there are as it stands there: abnormal and invalid numbers mean none.
    List(u64, Vec<Vec<Node>>),
    /// Raw numbers, and how many there are.
    Array(u64, Vec<u64>),
}

/// A content, and where in the frame each of its blocks begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// What the data unit holds.
    pub content: Content,
    /// For each block of a report, the byte of the frame that it begins with.
    pub blocks_at: Vec<usize>,
}

impl Unit {
    /// Reads the data unit `data` of a frame with `header`. It has to be decrypted.
    ///
    /// # Errors
    /// When it is not what the edition says; offsets are those of the frame.
    pub fn parse(layout: &Layout, header: &Header, data: &[u8]) -> Result<Self, DecodeError> {
        parse(layout, header, data).map_err(|error| error.shifted(HEADER_BYTES))
    }
}

fn parse(layout: &Layout, header: &Header, data: &[u8]) -> Result<Unit, DecodeError> {
    let mut reader = Reader::new(data);
    let mut blocks_at = Vec::new();
    let is_answer = header.response != Response::COMMAND;
    let content = match header.command {
        _ if data.is_empty() => Content::Empty,
        _ if is_answer && data.len() == 6 => Content::Time(time(&mut reader)?),
        command if command.is_report() => {
            let time = time(&mut reader)?;
            let mut blocks = Vec::new();
            while reader.left() > 0 {
                blocks_at.push(HEADER_BYTES + reader.at);
                blocks.push(block(layout, &mut reader)?);
            }
            Content::Report { time, blocks }
        }
        Command::PARAMETER_QUERY if is_answer => parameters(layout, &mut reader)?,
        Command::PARAMETER_SET => parameters(layout, &mut reader)?,
        Command::HEARTBEAT | Command::TIME_SYNC => Content::Empty,
        command => match layout.message(command) {
            Some(message) => Content::Message(nodes(&message.group, &mut reader)?),
            None => Content::Bytes(reader.take(reader.left())?.into()),
        },
    };
    if reader.left() > 0 {
        let found = format!("{} more", reader.left());
        return Err(DecodeError::new(reader.at, LEFT_OVER, "the end of the data unit", found));
    }
    Ok(Unit { content, blocks_at })
}

pub(crate) fn time(reader: &mut Reader<'_>) -> Result<WireTime, DecodeError> {
    let bytes = reader.take(6).map_err(|error| error.within("time"))?;
    Ok(bytes.try_into().expect("six bytes"))
}

fn block(layout: &Layout, reader: &mut Reader<'_>) -> Result<Block, DecodeError> {
    let kind = walk::number(reader.take(1)?) as u8;
    let content = match layout.block(kind) {
        Some(known) => {
            let fields = nodes(&known.group, reader).map_err(|error| error.within(&known.id))?;
            check_last(known.last, &known.id, reader)?;
            BlockContent::Fields(fields)
        }
        None => match unknown(kind, reader)? {
            (bytes, true) => BlockContent::User(bytes.into()),
            (bytes, false) => BlockContent::Unknown(bytes.into()),
        },
    };
    Ok(Block { kind, content })
}

/// Nothing may follow a block that is the last one.
pub(crate) fn check_last(is_last: bool, id: &str, reader: &Reader<'_>) -> Result<(), DecodeError> {
    if is_last && reader.left() > 0 {
        let found = format!("{} more bytes", reader.left());
        return Err(DecodeError::new(reader.at, BAD_BLOCK, format!("nothing after the block `{id}`"), found));
    }
    Ok(())
}

/// The bytes of a block that the edition does not know, and whether it is one that a maker has defined.
pub(crate) fn unknown<'a>(kind: u8, reader: &mut Reader<'a>) -> Result<(&'a [u8], bool), DecodeError> {
    if (USER_BLOCK_MIN..=USER_BLOCK_MAX).contains(&kind) {
        let length = reader.take(2).map(walk::number).map_err(|error| error.within("length"))?;
        let bytes = reader.take(length as usize).map_err(|error| error.within(&format!("block {kind:#04x}")))?;
        Ok((bytes, true))
    } else {
        Ok((reader.take(reader.left())?, false))
    }
}

fn parameters(layout: &Layout, reader: &mut Reader<'_>) -> Result<Content, DecodeError> {
    let time = time(reader)?;
    let at = reader.at;
    let count = walk::number(reader.take(1)?);
    let is_special = count >= 0xFE;
    if count > PARAMETERS_MAX && !is_special {
        let expected = format!("at most {PARAMETERS_MAX} parameters");
        return Err(DecodeError::new(at, TOO_MANY, expected, count.to_string()));
    }
    let mut values = Vec::new();
    let mut noted = Noted::default();
    for _ in 0..if is_special { 0 } else { count } {
        let at = reader.at;
        let number = walk::number(reader.take(1)?) as u8;
        let Some(parameter) = layout.parameter(number) else {
            let found = format!("{number:#04x}");
            return Err(DecodeError::new(at, BAD_BLOCK, "a parameter whose length is known", found));
        };
        let mut tree = Tree::default();
        let one = Group { fields: vec![parameter.field.clone()] };
        walk::group_with(&one, reader, &mut tree, &mut noted).map_err(|error| error.within("parameters"))?;
        values.extend(tree.group.pop().map(|node| (number, node)));
    }
    Ok(Content::Parameters { time, count: count as u8, values })
}

fn nodes(group: &Group, reader: &mut Reader<'_>) -> Result<Vec<Node>, DecodeError> {
    let mut tree = Tree::default();
    walk::group(group, reader, &mut tree)?;
    Ok(tree.group)
}

/// Builds nodes.
#[derive(Default)]
struct Tree {
    group: Vec<Node>,
    /// What encloses it: the group before, the raw count, the items so far.
    enclosing: Vec<(Vec<Node>, u64, Vec<Vec<Node>>)>,
}

impl Tree {
    fn end_item(&mut self, next: bool) {
        let group = std::mem::take(&mut self.group);
        if let Some((_, _, items)) = self.enclosing.last_mut()
            && (next || !group.is_empty())
        {
            items.push(group);
        }
    }
}

impl Sink for Tree {
    fn number(&mut self, _: &Field, _: &Number, _: usize, raw: u64, _: &Noted) {
        self.group.push(Node::Number(raw));
    }

    fn bytes(&mut self, _: &Field, _: usize, bytes: &[u8]) {
        self.group.push(Node::Bytes(bytes.into()));
    }

    fn open(&mut self, _: &Field, _: usize, items: Items) {
        self.enclosing.push((std::mem::take(&mut self.group), items.raw, Vec::new()));
    }

    fn item(&mut self, place: usize) {
        if place > 0 {
            self.end_item(true);
        }
    }

    fn close(&mut self) {
        self.end_item(false);
        if let Some((group, count, items)) = self.enclosing.pop() {
            self.group = group;
            self.group.push(Node::List(count, items));
        }
    }

    fn array(&mut self, _: &Field, each: &Number, _: usize, items: Items, values: &[u8]) {
        let values = values.chunks_exact(usize::from(each.bytes)).map(walk::number).collect();
        self.group.push(Node::Array(items.raw, values));
    }
}

impl Content {
    /// The bytes of the data unit.
    ///
    /// # Errors
    /// When a value does not fit the layout.
    pub fn write(&self, layout: &Layout, command: Command) -> Result<Vec<u8>, EncodeError> {
        let mut output = Vec::new();
        match self {
            Self::Empty => {}
            Self::Time(time) => output.extend(time),
            Self::Bytes(bytes) => output.extend(bytes),
            Self::Report { time, blocks } => {
                output.extend(time);
                for (place, block) in blocks.iter().enumerate() {
                    write_block(layout, block, &mut output)
                        .map_err(|error| error.within(&format!("blocks[{place}]")))?;
                }
            }
            Self::Message(nodes) => {
                let message = layout.message(command).ok_or_else(|| {
                    EncodeError::new("command", "one whose fields are known", format!("{:#04x}", command.0))
                })?;
                write_group(&message.group, nodes, &mut output)?;
            }
            Self::Parameters { time, count, values } => {
                output.extend(time);
                output.push(*count);
                let mut noted = [0; REFERRED_MAX];
                for (number, value) in values {
                    let place = format!("parameters.{number:#04x}");
                    let parameter = layout.parameter(*number).ok_or_else(|| {
                        EncodeError::new(place.as_str(), "a known parameter", format!("{number:#04x}"))
                    })?;
                    output.push(*number);
                    write_field(&parameter.field, value, &mut noted, &mut output)
                        .map_err(|error| error.within(&place))?;
                }
            }
        }
        Ok(output)
    }
}

fn write_block(layout: &Layout, block: &Block, output: &mut Vec<u8>) -> Result<(), EncodeError> {
    output.push(block.kind);
    match (&block.content, layout.block(block.kind)) {
        (BlockContent::Fields(nodes), Some(known)) => {
            write_group(&known.group, nodes, output).map_err(|error| error.within(&known.id))
        }
        (BlockContent::Fields(_), None) => {
            Err(EncodeError::new("type", "a type whose fields are known", format!("{:#04x}", block.kind)))
        }
        (BlockContent::User(bytes), _) => {
            let length = u16::try_from(bytes.len())
                .map_err(|_| EncodeError::new("data", "at most 65535 bytes", bytes.len().to_string()))?;
            output.extend(length.to_be_bytes());
            output.extend(bytes);
            Ok(())
        }
        (BlockContent::Unknown(bytes), _) => {
            output.extend(bytes);
            Ok(())
        }
    }
}

fn write_group(group: &Group, nodes: &[Node], output: &mut Vec<u8>) -> Result<(), EncodeError> {
    write_fields(group, nodes, [0; REFERRED_MAX], output)
}

fn write_fields(group: &Group, nodes: &[Node], mut noted: Noted, output: &mut Vec<u8>) -> Result<(), EncodeError> {
    if nodes.len() != group.fields.len() {
        return Err(EncodeError::new("fields", group.fields.len().to_string(), nodes.len().to_string()));
    }
    for (field, node) in group.fields.iter().zip(nodes) {
        write_field(field, node, &mut noted, output).map_err(|error| error.within(&field.id))?;
    }
    Ok(())
}

fn write_number(bytes: u8, raw: u64, output: &mut Vec<u8>) -> Result<(), EncodeError> {
    if raw >> (8 * bytes) != 0 {
        return Err(EncodeError::new("", format!("a number of {bytes} bytes"), raw.to_string()));
    }
    output.extend(&raw.to_be_bytes()[8 - usize::from(bytes)..]);
    Ok(())
}

fn write_field(field: &Field, node: &Node, noted: &mut Noted, output: &mut Vec<u8>) -> Result<(), EncodeError> {
    let length = |expected: usize, found: usize| match expected == found {
        true => Ok(()),
        false => Err(EncodeError::new("", format!("{expected} bytes"), found.to_string())),
    };
    match (&field.what, node) {
        (What::Number(number), Node::Number(raw)) => {
            if let Some(slot) = field.noted {
                noted[usize::from(slot)] = *raw;
            }
            write_number(number.bytes, *raw, output)
        }
        (What::Time, Node::Bytes(bytes)) => {
            length(6, bytes.len())?;
            output.extend(bytes);
            Ok(())
        }
        (What::Text(expected), Node::Bytes(bytes)) => {
            length(*expected, bytes.len())?;
            output.extend(bytes);
            Ok(())
        }
        (What::TextOf(slot), Node::Bytes(bytes)) => {
            length(noted[usize::from(*slot)] as usize, bytes.len())?;
            output.extend(bytes);
            Ok(())
        }
        (What::Blob(width), Node::Bytes(bytes)) => {
            write_number(*width, bytes.len() as u64, output)?;
            output.extend(bytes);
            Ok(())
        }
        (What::Rest, Node::Bytes(bytes)) => {
            output.extend(bytes);
            Ok(())
        }
        (What::List(count, group), Node::List(raw, items)) => {
            write_count(count, *raw, items.len(), output)?;
            for (place, item) in items.iter().enumerate() {
                write_fields(group, item, *noted, output).map_err(|error| error.within(&format!("[{place}]")))?;
            }
            Ok(())
        }
        (What::Array(count, each, _), Node::Array(raw, values)) => {
            write_count(count, *raw, values.len(), output)?;
            for (place, value) in values.iter().enumerate() {
                write_number(each.bytes, *value, output).map_err(|error| error.within(&format!("[{place}]")))?;
            }
            Ok(())
        }
        (what, _) => Err(EncodeError::new("", what.word(), node.word())),
    }
}

fn write_count(count: &Count, raw: u64, items: usize, output: &mut Vec<u8>) -> Result<(), EncodeError> {
    let Count::Prefix { bytes, .. } = count else { return Ok(()) };
    let expected = if count.is_special(raw) { 0 } else { raw };
    if items as u64 != expected {
        return Err(EncodeError::new("", format!("{expected} items, as their number says"), items.to_string()));
    }
    write_number(*bytes, raw, output)
}

impl What {
    fn word(&self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Time => "a time",
            Self::Text(_) | Self::TextOf(_) | Self::Rest => "a text",
            Self::Blob(_) => "bytes",
            Self::List(..) => "a list",
            Self::Array(..) => "a list of numbers",
        }
    }
}

impl Node {
    fn word(&self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Bytes(_) => "a text or bytes",
            Self::List(..) => "a list",
            Self::Array(..) => "a list of numbers",
        }
    }
}

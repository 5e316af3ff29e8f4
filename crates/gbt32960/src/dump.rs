//! A frame as people read it: every byte, and what it means, line by line.

use std::fmt::Write as _;

use crate::edition::Encryption;
use crate::error::DecodeError;
use crate::frame::{Frame, HEADER_BYTES};
use crate::layout::{Field, Layout, Number};
use crate::standard::Standard;
use crate::time::from_wire;
use crate::walk::{self, Items, Noted, Reader, Sink};
use crate::{Block, BlockContent, Content, Unit};

/// Bytes that one line shows.
const LINE_BYTES: usize = 12;

/// The annotated bytes of `frame`.
///
/// # Errors
/// When the data unit is not what the edition says.
pub fn dump(standard: &Standard, frame: &Frame<'_>) -> Result<String, DecodeError> {
    let layout = standard.layout(frame.header.edition);
    let mut lines = Lines { bytes: frame.bytes, base: HEADER_BYTES, depth: 0, text: String::new() };
    lines.header(frame);
    if frame.header.encryption != Encryption::NONE && !frame.data.is_empty() {
        lines.line(HEADER_BYTES, frame.data.len(), "data unit, encrypted");
    } else {
        let unit = Unit::parse(layout, &frame.header, frame.data)?;
        lines.unit(layout, frame, &unit)?;
    }
    lines.line(frame.bytes.len() - 1, 1, "check byte");
    Ok(lines.text)
}

struct Lines<'a> {
    /// The whole frame.
    bytes: &'a [u8],
    /// Where what is being read begins.
    base: usize,
    depth: usize,
    text: String,
}

impl Lines<'_> {
    fn line(&mut self, at: usize, length: usize, meaning: &str) {
        let bytes = &self.bytes[at..at + length];
        let (first, rest) = bytes.split_at(length.min(LINE_BYTES));
        let spaced = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        let indent = 2 * self.depth;
        let _ =
            writeln!(self.text, "{at:5}  {:<width$}  {:indent$}{meaning}", spaced(first), "", width = 3 * LINE_BYTES);
        for (place, more) in (1..).zip(rest.chunks(LINE_BYTES)) {
            let _ = writeln!(self.text, "{:5}  {}", at + place * LINE_BYTES, spaced(more));
        }
    }

    fn header(&mut self, frame: &Frame<'_>) {
        let header = &frame.header;
        let word = |word: Option<&'static str>| word.unwrap_or("unknown");
        self.line(0, 2, &format!("start, edition {}", header.edition.year()));
        self.line(2, 1, &format!("command: {}", word(header.command.word())));
        self.line(3, 1, &format!("response: {}", word(header.response.word())));
        self.line(4, 17, &format!("VIN: {}", header.vin));
        self.line(21, 1, &format!("encryption: {}", word(header.encryption.word())));
        self.line(22, 2, &format!("length of the data unit: {}", frame.data.len()));
    }

    fn unit(&mut self, layout: &Layout, frame: &Frame<'_>, unit: &Unit) -> Result<(), DecodeError> {
        let data = frame.data;
        match &unit.content {
            Content::Empty => {}
            Content::Bytes(bytes) => self.line(HEADER_BYTES, bytes.len(), "bytes that the standard leaves open"),
            Content::Time(time) => self.time(HEADER_BYTES, *time),
            Content::Message(_) => {
                let message = layout.message(frame.header.command).expect("it was read by this layout");
                self.depth = 0;
                walk::group(&message.group, &mut Reader::new(data), self)?;
            }
            Content::Parameters { time, values, .. } => {
                self.time(HEADER_BYTES, *time);
                self.line(HEADER_BYTES + 6, 1, "number of parameters");
                let mut reader = Reader::new(data);
                reader.take(7)?;
                let mut noted = Noted::default();
                for (number, _) in values {
                    let parameter = layout.parameter(*number).expect("it was read by this layout");
                    self.line(HEADER_BYTES + reader.at, 1, &format!("parameter {number:#04x}"));
                    reader.take(1)?;
                    let group = crate::Group { fields: vec![parameter.field.clone()] };
                    self.depth = 1;
                    walk::group_with(&group, &mut reader, self, &mut noted)?;
                    self.depth = 0;
                }
            }
            Content::Report { time, blocks } => {
                self.time(HEADER_BYTES, *time);
                let ends = unit.blocks_at.iter().skip(1).copied().chain([HEADER_BYTES + data.len()]);
                for ((block, at), end) in blocks.iter().zip(&unit.blocks_at).zip(ends) {
                    self.block(layout, block, *at, end)?;
                }
            }
        }
        Ok(())
    }

    fn time(&mut self, at: usize, time: [u8; 6]) {
        let meaning = from_wire(time).map_or_else(|error| error.to_string(), |time| format!("time: {time}"));
        self.line(at, 6, &meaning);
    }

    fn block(&mut self, layout: &Layout, block: &Block, at: usize, end: usize) -> Result<(), DecodeError> {
        match (&block.content, layout.block(block.kind)) {
            (BlockContent::Fields(_), Some(known)) => {
                self.line(at, 1, &format!("{} {}", known.title.en, known.title.zh));
                self.depth = 1;
                let mut reader = Reader::new(&self.bytes[..end]);
                reader.at = at + 1;
                self.base = 0;
                let walked = walk::group(&known.group, &mut reader, self);
                (self.base, self.depth) = (HEADER_BYTES, 0);
                walked
            }
            (BlockContent::User(bytes), _) => {
                self.line(at, 1, "defined by the maker");
                self.line(at + 1, 2, &format!("  {} bytes", bytes.len()));
                self.line(at + 3, bytes.len(), "  data");
                Ok(())
            }
            _ => {
                self.line(at, end - at, "a block that the edition leaves open, and all after it");
                Ok(())
            }
        }
    }

    fn value(number: &Number, raw: u64, negative: bool) -> String {
        let quality = number.quality(raw);
        if quality != model::Quality::Good {
            return quality.as_str().to_owned();
        }
        let mut text = if number.is_scaled() { number.physical(raw, negative).to_string() } else { raw.to_string() };
        if let Some(unit) = &number.unit {
            let _ = write!(text, " {unit}");
        }
        let meanings = number.meanings(raw);
        if !meanings.is_empty() {
            let _ = write!(text, " ({})", meanings.join(", "));
        }
        if !number.is_in_range(raw) {
            text.push_str(", out of range");
        }
        text
    }
}

impl Sink for Lines<'_> {
    fn number(&mut self, field: &Field, number: &Number, at: usize, raw: u64, noted: &Noted) {
        let value = Self::value(number, raw, number.is_negative(noted));
        self.line(self.base + at, usize::from(number.bytes), &format!("{}: {value}", field.title.en));
    }

    fn bytes(&mut self, field: &Field, at: usize, bytes: &[u8]) {
        let prefix = if let crate::What::Blob(width) = field.what { usize::from(width) } else { 0 };
        let text = std::str::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control));
        let value = match (&field.what, text) {
            _ if field.secret => "(secret)".to_owned(),
            (crate::What::Time, _) => bytes
                .try_into()
                .map_err(|_| ())
                .and_then(|time| from_wire(time).map_err(|_| ()))
                .map_or_else(|()| "no time".to_owned(), |time| time.to_string()),
            (crate::What::Blob(_), _) | (_, None) => format!("{} bytes", bytes.len()),
            (_, Some(text)) => text.trim_end().to_owned(),
        };
        self.line(self.base + at, prefix + bytes.len(), &format!("{}: {value}", field.title.en));
    }

    fn open(&mut self, field: &Field, at: usize, items: Items) {
        if items.bytes > 0 {
            let count = if items.count as u64 == items.raw { items.count.to_string() } else { "none".to_owned() };
            self.line(self.base + at, usize::from(items.bytes), &format!("{}: {count}", field.title.en));
        }
        self.depth += 1;
    }

    fn item(&mut self, _: usize) {}

    fn close(&mut self) {
        self.depth -= 1;
    }

    fn array(&mut self, field: &Field, each: &Number, at: usize, items: Items, values: &[u8]) {
        self.open(field, at, items);
        let width = usize::from(each.bytes);
        let per_line = LINE_BYTES / width;
        let first = self.base + at + usize::from(items.bytes);
        for (place, line) in values.chunks(per_line * width).enumerate() {
            let shown: Vec<String> =
                line.chunks_exact(width).map(|raw| Self::value(each, walk::number(raw), false)).collect();
            self.line(first + place * per_line * width, line.len(), &shown.join("  "));
        }
        self.close();
    }
}

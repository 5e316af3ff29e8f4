//! From bytes to batches: puts lines together, finds signals, tells what could not be understood.

use std::sync::Arc;

use gateway::Rejection;
use memchr::{memchr, memmem};
use model::{Batch, Entry, Quality, SignalIndex, Timestamp};

use super::fields::{Field, Fields};
use super::rows::Rows;
use super::time::TimeReader;
use super::value::{self, Context, Problem};
use super::{Counts, EVENTS_MAX, FIELDS_MAX, LINE_BYTES_MAX, MULTI_LINE_BYTES_MAX, ProtocolEvent, REJECTED_BYTES_MAX};
use crate::mapping::Mapping;

/// What begins and ends a value that spans lines; a tag of the adapter's choice follows.
const MULTI_LINE: &[u8] = b"--multiline--";
/// After so many rows a batch is closed, so that none grows without bound.
const BATCH_ROWS_MAX: usize = 65_536;
/// The most bytes of a wrong field that are shown.
const SHOWN_BYTES_MAX: usize = 64;

/// Where rejections go.
type Reject<'r> = dyn FnMut(Rejection<'_>) + 'r;

/// Decodes one stream of SHDR.
pub struct ShdrDecoder {
    devices: Vec<Rows>,
    /// The device that keys without device belong to.
    current: usize,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    /// Whether the rest of a line that is too long is being skipped.
    skipping: bool,
    multi_line: Option<MultiLine>,
    multi_line_finder: memmem::Finder<'static>,
    times: TimeReader,
    converts: bool,
    events: Vec<ProtocolEvent>,
    counts: Counts,
    received: Timestamp,
    done: Vec<Batch>,
}

/// A value that spans lines and has not ended yet.
#[derive(Default)]
struct MultiLine {
    /// The line on which it began, up to the marker.
    head: Vec<u8>,
    /// The marker with its tag: the line that ends the value.
    marker: Vec<u8>,
    content: Vec<u8>,
}

impl ShdrDecoder {
    /// A decoder for a stream that speaks of the devices of `mappings`; keys that name no device are looked for in
    /// the first, then in the others.
    ///
    /// # Panics
    /// When there is no mapping at all: a mistake of the caller, not of the source.
    pub fn new(mappings: Vec<Arc<Mapping>>) -> Self {
        assert!(!mappings.is_empty(), "a stream speaks of at least one device");
        Self {
            devices: mappings.into_iter().map(Rows::new).collect(),
            current: 0,
            partial: Vec::new(),
            skipping: false,
            multi_line: None,
            multi_line_finder: memmem::Finder::new(MULTI_LINE),
            times: TimeReader::default(),
            converts: true,
            events: Vec::new(),
            counts: Counts::default(),
            received: Timestamp::MIN,
            done: Vec::new(),
        }
    }

    /// Takes the next piece of the stream, cut anywhere. Lines without a time stamp of their own get `received`.
    pub fn decode(&mut self, bytes: &[u8], received: Timestamp, rejections: &mut dyn FnMut(Rejection<'_>)) {
        self.receive_at(received);
        self.counts.bytes += bytes.len() as u64;
        let mut rest = bytes;
        while let Some(end) = memchr(b'\n', rest) {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if self.skipping {
                self.skipping = false;
            } else if self.partial.is_empty() {
                self.line(line, rejections);
            } else if self.gather(line, rejections) {
                let whole = std::mem::take(&mut self.partial);
                self.line(&whole, rejections);
                self.reuse(whole);
            } else {
                self.skipping = false;
            }
        }
        if !self.skipping {
            self.gather(rest, rejections);
        }
    }

    /// The stream ends here, as a file does: the last line needs no line feed.
    pub fn finish(&mut self, received: Timestamp, rejections: &mut dyn FnMut(Rejection<'_>)) {
        self.receive_at(received);
        self.skipping = false;
        let last = std::mem::take(&mut self.partial);
        if !last.is_empty() {
            self.line(&last, rejections);
        }
        self.reject_multi_line("multi-line value not ended", rejections);
    }

    /// The connection was lost, as noticed at `now`: what was half said is rejected, all that was heard of becomes
    /// unavailable, and what the source says later of times up to now is recorded at its receipt.
    pub fn lose(&mut self, now: Timestamp, rejections: &mut dyn FnMut(Rejection<'_>)) {
        self.receive_at(now);
        self.skipping = false;
        let half = std::mem::take(&mut self.partial);
        if !half.is_empty() {
            self.counts.lines += 1;
            self.counts.lines_rejected += 1;
            self.reject("line cut off", "expected the end of the line, the connection was lost", &half, rejections);
        }
        self.reject_multi_line("multi-line value not ended", rejections);
        self.times.forget_base();
        self.current = 0;
        self.converts = true;
        for rows in &mut self.devices {
            let lost = rows.lose(now);
            self.counts.observations += lost;
            self.counts.unavailable += lost;
        }
    }

    /// What was decoded since the last time: batches, at most one per device and receive time unless they grew large,
    /// and the counts.
    pub fn take(&mut self) -> (Vec<Batch>, Counts) {
        self.close_batches();
        (std::mem::take(&mut self.done), std::mem::take(&mut self.counts))
    }

    /// What the adapter said about itself since the last time.
    pub fn take_events(&mut self) -> Vec<ProtocolEvent> {
        std::mem::take(&mut self.events)
    }

    fn receive_at(&mut self, received: Timestamp) {
        if received != self.received {
            self.close_batches();
            self.received = received;
        }
    }

    fn close_batches(&mut self) {
        let received = self.received;
        self.done.extend(self.devices.iter_mut().filter_map(|rows| rows.take(received)));
    }

    /// Adds a piece to the line whose end has not come yet; false when it became too long.
    fn gather(&mut self, piece: &[u8], rejections: &mut Reject<'_>) -> bool {
        let room = LINE_BYTES_MAX - self.partial.len();
        self.partial.extend_from_slice(&piece[..piece.len().min(room)]);
        if piece.len() <= room {
            return true;
        }
        let line = std::mem::take(&mut self.partial);
        self.reject_long_line(&line, rejections);
        self.skipping = true;
        false
    }

    fn reuse(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= 64 << 10 {
            buffer.clear();
            self.partial = buffer;
        }
    }

    fn reject_long_line(&mut self, line: &[u8], rejections: &mut Reject<'_>) {
        self.counts.lines += 1;
        self.counts.lines_rejected += 1;
        self.reject("line too long", "expected at most 1,048,576 bytes", line, rejections);
    }

    fn reject(&mut self, reason: &'static str, detail: &str, bytes: &[u8], rejections: &mut Reject<'_>) {
        self.counts.rejections += 1;
        let bytes = &bytes[..bytes.len().min(REJECTED_BYTES_MAX)];
        rejections(Rejection { reason, detail, bytes });
    }

    fn reject_multi_line(&mut self, reason: &'static str, rejections: &mut Reject<'_>) {
        if let Some(open) = self.multi_line.take() {
            let detail = format!("expected the line `{}`", open.marker.escape_ascii());
            let mut shown = open.head;
            shown.extend_from_slice(&open.content[..open.content.len().min(REJECTED_BYTES_MAX)]);
            self.reject(reason, &detail, &shown, rejections);
        }
    }

    fn line(&mut self, line: &[u8], rejections: &mut Reject<'_>) {
        if line.len() > LINE_BYTES_MAX {
            return self.reject_long_line(line, rejections);
        }
        self.counts.lines += 1;
        let before = (self.counts.observations, self.counts.rejections);
        let trimmed = line.trim_ascii_start();
        let first = trimmed.first();
        if self.multi_line.is_some() {
            if !self.continue_multi_line(line, rejections) {
                self.counts.lines_continued += 1;
                return;
            }
        } else if trimmed.is_empty() {
            self.counts.lines_blank += 1;
            return;
        } else if first == Some(&b'*') {
            self.command(&trimmed[1..], rejections);
            if self.counts.rejections == before.1 {
                self.counts.lines_command += 1;
                return;
            }
        } else if first == Some(&b'-') && trimmed.starts_with(MULTI_LINE) {
            let detail = "byte 0: expected a line that begins with a time stamp";
            self.reject("stray end of a multi-line value", detail, line, rejections);
        } else if let Some(at) = self.multi_line_finder.find(line) {
            let (head, marker) = (line[..at].to_vec(), line[at..].trim_ascii_end().to_vec());
            self.multi_line = Some(MultiLine { head, marker, content: Vec::new() });
            self.counts.lines_continued += 1;
            return;
        } else {
            self.data(line, None, rejections);
        }
        match (self.counts.observations > before.0, self.counts.rejections > before.1) {
            (_, false) => self.counts.lines_clean += 1,
            (true, true) => self.counts.lines_partial += 1,
            (false, true) => self.counts.lines_rejected += 1,
        }
        if self.devices.iter().any(|rows| rows.len() >= BATCH_ROWS_MAX) {
            self.close_batches();
        }
    }

    /// Takes one more line of a value that spans lines; true when that ended it, one way or another.
    fn continue_multi_line(&mut self, line: &[u8], rejections: &mut Reject<'_>) -> bool {
        let Some(open) = &mut self.multi_line else { return true };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let ends = match &open.marker[..] {
            // Without a tag, any tag ends it.
            MULTI_LINE => line.starts_with(MULTI_LINE),
            marker => line.trim_ascii_end() == marker,
        };
        if ends {
            let MultiLine { head, content, .. } = self.multi_line.take().unwrap_or_default();
            let begun = head.rsplit(|byte| *byte == b'|').next().unwrap_or_default().trim_ascii();
            let whole = [begun, if begun.is_empty() { &b""[..] } else { b"\n" }, &content].concat();
            self.data(&head, Some(&whole), rejections);
            return true;
        }
        if open.content.len() + line.len() >= MULTI_LINE_BYTES_MAX {
            self.reject_multi_line("multi-line value too long", rejections);
            return true;
        }
        if !open.content.is_empty() {
            open.content.push(b'\n');
        }
        open.content.extend_from_slice(line);
        false
    }

    fn data(&mut self, line: &[u8], last: Option<&[u8]>, rejections: &mut Reject<'_>) {
        let received = self.received;
        let mut fields = Fields::new(line, last);
        let stamp = fields.next().unwrap_or_else(|| unreachable!("every line has a first field"));
        let (time, duration_secs) = match self.times.read(stamp.bytes, received) {
            Ok(stamp) => (stamp.time, stamp.duration_secs),
            Err(expected) => {
                let problem = Problem::of(stamp, "invalid time stamp", expected);
                self.tell(problem, fields.since(0), rejections);
                (received, None)
            }
        };
        let context = Context { duration_secs, converts: self.converts };
        while let Some(key) = fields.next() {
            if fields.taken() > FIELDS_MAX {
                let problem = Problem::of(key, "too many fields", "at most 65,536 fields in a line");
                return self.tell(problem, key.bytes, rejections);
            }
            match key.bytes.first() {
                None => self.without_key(key, &mut fields, rejections),
                Some(b'@') => self.asset_command(key, &mut fields, time, rejections),
                Some(_) => self.observation(key, &mut fields, (time, context), rejections),
            }
        }
    }

    /// An empty key: nothing at all at the end of a line, a mistake where a value follows.
    fn without_key<'a>(&mut self, key: Field<'a>, fields: &mut Fields<'a>, rejections: &mut Reject<'_>) {
        if fields.next().is_some_and(|value| !value.bytes.is_empty()) {
            let problem = Problem::of(key, "empty key", "the key of a data item");
            self.tell(problem, fields.since(key.offset), rejections);
        }
    }

    #[inline]
    fn observation<'a>(
        &mut self,
        key: Field<'a>,
        fields: &mut Fields<'a>,
        (time, context): (Timestamp, Context),
        rejections: &mut Reject<'_>,
    ) {
        let found = self.find(key.bytes);
        let Some(first) = fields.next() else {
            let problem = Problem::of(key, "value missing", "a value behind the key");
            return self.tell(problem, key.bytes, rejections);
        };
        let Some((device, signal)) = found else {
            return self.unknown(key, first, fields, rejections);
        };
        let rows = &mut self.devices[device];
        match value::read(rows.mapping.wire(signal), context, first, fields) {
            Ok((said, more)) => {
                let received = self.received;
                for said in [Some(said), more].into_iter().flatten() {
                    self.counts.observations += 1;
                    self.counts.unavailable += u64::from(said.quality == Quality::Unavailable);
                    rows.push(signal, time, received, said);
                }
            }
            Err(problem) => self.tell(problem, fields.since(key.offset), rejections),
        }
    }

    /// The signal of a key: in the current device, in any other, or in the one that stands before a colon.
    #[inline]
    fn find(&self, key: &[u8]) -> Option<(usize, SignalIndex)> {
        match self.devices[self.current].mapping.signal_of_key(key) {
            Some(signal) => Some((self.current, signal)),
            None => self.find_elsewhere(key),
        }
    }

    #[cold]
    fn find_elsewhere(&self, key: &[u8]) -> Option<(usize, SignalIndex)> {
        let devices = || self.devices.iter().enumerate();
        let other = devices().find_map(|(place, rows)| Some((place, rows.mapping.signal_of_key(key)?)));
        other.or_else(|| {
            let at = memchr(b':', key)?;
            let device = std::str::from_utf8(key[..at].trim_ascii()).ok()?;
            let (place, rows) = devices().find(|(_, rows)| rows.mapping.is_called(device))?;
            Some((place, rows.mapping.signal_of_key(key[at + 1..].trim_ascii())?))
        })
    }

    /// A key of no data item. What belongs to it goes with it: one field, or five where it looks like a condition.
    #[cold]
    fn unknown<'a>(&mut self, key: Field<'a>, first: Field<'a>, fields: &mut Fields<'a>, rejections: &mut Reject<'_>) {
        if matches!(first.bytes, b"NORMAL" | b"WARNING" | b"FAULT") {
            fields.by_ref().take(4).for_each(drop);
        }
        let problem = match std::str::from_utf8(key.bytes) {
            Ok(_) => Problem::of(key, "unknown data item", "the name, id or source of a data item"),
            Err(_) => Problem::of(key, "invalid UTF-8", "UTF-8"),
        };
        self.tell(problem, fields.since(key.offset), rejections);
    }

    #[cold]
    fn tell(&mut self, problem: Problem<'_>, bytes: &[u8], rejections: &mut Reject<'_>) {
        let got = &problem.got[..problem.got.len().min(SHOWN_BYTES_MAX)];
        let more = if got.len() < problem.got.len() { "…" } else { "" };
        let detail =
            format!("byte {}: expected {}, got `{}{more}`", problem.offset, problem.expected, got.escape_ascii());
        self.reject(problem.reason, &detail, bytes, rejections);
    }

    fn asset_command<'a>(
        &mut self,
        command: Field<'a>,
        fields: &mut Fields<'a>,
        time: Timestamp,
        rejections: &mut Reject<'_>,
    ) {
        let mapping = &self.devices[self.current].mapping;
        let (changed, removed) = (mapping.asset_changed(), mapping.asset_removed());
        let read = match command.bytes {
            b"@ASSET@" => asset_changed(command, fields).map(|entries| (changed, entries)),
            b"@UPDATE_ASSET@" => asset_updated(command, fields).map(|entries| (changed, entries)),
            b"@REMOVE_ASSET@" => entry(command, "assetId", fields.next()).map(|id| (removed, vec![id])),
            b"@REMOVE_ALL_ASSETS@" => {
                let kind = fields.next().filter(|kind| !kind.bytes.is_empty());
                let kind = kind.map(|kind| entry(command, "type", Some(kind))).transpose();
                kind.map(|kind| (removed, kind.into_iter().collect()))
            }
            _ => {
                let expected = "@ASSET@, @UPDATE_ASSET@, @REMOVE_ASSET@ or @REMOVE_ALL_ASSETS@";
                fields.rest();
                Err(Problem::of(command, "unknown asset command", expected))
            }
        };
        match read {
            Ok((signal, entries)) => {
                self.counts.observations += 1;
                self.devices[self.current].push_asset(signal, time, entries.into());
            }
            Err(problem) => self.tell(problem, fields.since(command.offset), rejections),
        }
    }

    /// What an adapter says behind a `*`.
    fn command(&mut self, text: &[u8], rejections: &mut Reject<'_>) {
        let Ok(text) = std::str::from_utf8(text) else {
            return self.reject("invalid UTF-8", "byte 1: expected UTF-8", text, rejections);
        };
        let text = text.trim();
        let event = match text.strip_prefix("PONG") {
            Some(rest) => ProtocolEvent::Pong { heartbeat_ms: rest.trim().parse().ok() },
            None => {
                let (key, value) = text.split_once(':').unwrap_or((text, ""));
                let (key, value) = (key.trim(), value.trim());
                match key {
                    "device" => self.choose_device(value, text, rejections),
                    "conversionRequired" => self.converts = !matches!(value, "no" | "No" | "NO" | "false"),
                    _ => {}
                }
                let bounded = |text: &str| text.chars().take(1_024).collect();
                ProtocolEvent::Command { key: bounded(key), value: bounded(value) }
            }
        };
        if self.events.len() >= EVENTS_MAX {
            self.events.remove(0);
        }
        self.events.push(event);
    }

    /// With one device only, any name means that one: adapters are seldom told what the model calls it.
    fn choose_device(&mut self, name: &str, text: &str, rejections: &mut Reject<'_>) {
        match self.devices.iter().position(|rows| rows.mapping.is_called(name)) {
            Some(place) => self.current = place,
            None if self.devices.len() == 1 => {}
            None => {
                let detail = "expected the uuid, name or id of a device of the model";
                self.reject("unknown device", detail, text.as_bytes(), rejections);
            }
        }
    }
}

type Pair = (Box<str>, Entry);

/// One entry of what is told of an asset; the field has to be there and may not be empty.
fn entry<'a>(command: Field<'a>, key: &str, field: Option<Field<'a>>) -> Result<Pair, Problem<'a>> {
    let missing = Problem::of(command, "malformed asset command", "the id of the asset, then what the command needs");
    let field = field.filter(|field| !field.bytes.is_empty()).ok_or(missing)?;
    let text = field.text().map_err(|_| Problem::of(field, "invalid UTF-8", "UTF-8"))?;
    Ok((key.into(), Entry::Text(text.into())))
}

/// `id|type|document`. A document may hold bars: it is all that is left of the line.
fn asset_changed<'a>(command: Field<'a>, fields: &mut Fields<'a>) -> Result<Vec<Pair>, Problem<'a>> {
    let (id, kind) = (fields.next(), fields.next());
    let document = if fields.next_begins_with(b'<') { fields.rest() } else { fields.next() };
    Ok(vec![entry(command, "assetId", id)?, entry(command, "type", kind)?, entry(command, "document", document)?])
}

/// `id|` and either a piece of XML or keys and values.
fn asset_updated<'a>(command: Field<'a>, fields: &mut Fields<'a>) -> Result<Vec<Pair>, Problem<'a>> {
    let id = fields.next();
    if fields.next_begins_with(b'<') {
        let document = fields.rest();
        return Ok(vec![entry(command, "assetId", id)?, entry(command, "document", document)?]);
    }
    let mut updates = Vec::new();
    // All of the line belongs to the command, so it is read to its end before anything can be refused.
    while let Some(key) = fields.next() {
        updates.push((key, fields.next()));
    }
    let id = entry(command, "assetId", id)?;
    let mut row = Vec::with_capacity(updates.len());
    for (key, value) in updates {
        let name = key.text().map_err(|_| Problem::of(key, "invalid UTF-8", "UTF-8"))?;
        row.push(entry(command, &name, value)?);
    }
    Ok(vec![id, ("update".into(), Entry::Row(row.into()))])
}

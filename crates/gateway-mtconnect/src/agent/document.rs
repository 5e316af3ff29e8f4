//! Reads what an agent answers: `MTConnectStreams` of MTConnect 1.0 to 2.7 and `MTConnectError` (parts 1 and 3).
//!
//! Lenient as to name spaces, prefixes and order. Must not know of HTTP, of device models or of how values are kept:
//! an observation comes out as it was said.

use std::borrow::Cow;
use std::ops::Range;

use model::Timestamp;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::device::Category;

/// The deepest nesting of elements.
const DEPTH_MAX: usize = 64;
/// The most errors of one answer, and problems of one document, that are kept.
const PROBLEMS_MAX: usize = 100;

/// What an agent answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Document {
    Streams(Streams),
    Error(Vec<AgentError>),
}

/// One error that an agent told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct AgentError {
    pub(super) code: String,
    pub(super) message: String,
}

/// The observations of one answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Streams {
    pub(super) header: Header,
    pub(super) devices: Vec<DeviceStream>,
    /// Observations that cannot be used, each by itself.
    pub(super) problems: Vec<Problem>,
}

/// What the header of an answer says of the agent's buffer. Old and odd agents leave things out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Header {
    pub(super) instance_id: Box<str>,
    pub(super) first_sequence: Option<u64>,
    pub(super) last_sequence: Option<u64>,
    pub(super) next_sequence: Option<u64>,
    pub(super) device_model_change_time: Option<Box<str>>,
}

/// What one device said.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct DeviceStream {
    pub(super) uuid: String,
    pub(super) name: String,
    pub(super) said: Vec<Said>,
}

/// One observation as it was said.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    pub(super) category: Category,
    /// The element: the type in Pascal case, or the level of a condition.
    pub(super) element: Box<str>,
    pub(super) data_item_id: Box<str>,
    pub(super) sequence: u64,
    pub(super) time: Timestamp,
    pub(super) text: String,
    pub(super) entries: Vec<SaidEntry>,
    pub(super) attributes: Vec<(Name, Box<str>)>,
    /// Where it stands in the document.
    pub(super) place: Range<usize>,
}

impl Said {
    /// The value of an attribute, where it was given.
    pub(super) fn attribute(&self, name: Name) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }
}

/// An entry of a data set or table.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct SaidEntry {
    pub(super) key: Box<str>,
    pub(super) removed: bool,
    pub(super) text: String,
    pub(super) cells: Vec<(Box<str>, String)>,
}

/// Attributes of observations that carry meaning beyond the data item's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    AssetType,
    Code,
    ConditionId,
    Duration,
    NativeCode,
    NativeSeverity,
    Qualifier,
    ResetTriggered,
    SampleCount,
    SampleRate,
    Severity,
    State,
}

impl Name {
    const ALL: [(&str, Self); 12] = [
        ("assetType", Self::AssetType),
        ("code", Self::Code),
        ("conditionId", Self::ConditionId),
        ("duration", Self::Duration),
        ("nativeCode", Self::NativeCode),
        ("nativeSeverity", Self::NativeSeverity),
        ("qualifier", Self::Qualifier),
        ("resetTriggered", Self::ResetTriggered),
        ("sampleCount", Self::SampleCount),
        ("sampleRate", Self::SampleRate),
        ("severity", Self::Severity),
        ("state", Self::State),
    ];
}

/// An observation that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) reason: &'static str,
    pub(super) detail: String,
    pub(super) place: Range<usize>,
}

/// An answer that cannot be read. Offsets are in bytes from the answer's begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DocumentError {
    #[error("offset {offset}: expected well-formed XML, {problem}")]
    Malformed { offset: usize, problem: String },
    #[error("expected an MTConnectStreams document, got {got}")]
    Unexpected { got: String },
}

/// Reads one answer.
///
/// # Errors
/// When it is not well-formed XML, or XML of something else.
pub(super) fn read_document(bytes: &[u8]) -> Result<Document, DocumentError> {
    let text = as_text(bytes)?;
    let mut reader = Reader::from_str(&text);
    let mut state = State::default();
    loop {
        let offset = reader.buffer_position() as usize;
        let event = reader.read_event().map_err(|error| DocumentError::Malformed {
            offset: reader.error_position() as usize,
            problem: error.to_string(),
        })?;
        let end = reader.buffer_position() as usize;
        match event {
            Event::Start(element) => state.start(&element, offset)?,
            Event::Empty(element) => {
                state.start(&element, offset)?;
                state.end(end)?;
            }
            Event::End(_) => state.end(end)?,
            Event::Text(text) => state.text(&text.xml10_content()),
            Event::CData(text) => state.text(&text.xml10_content()),
            Event::GeneralRef(reference) => state.reference(&reference),
            Event::Eof => return state.finish(offset),
            Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Comment(_) => {}
        }
    }
}

/// The answer as text: UTF-8, or Latin-1 where it says so.
fn as_text(bytes: &[u8]) -> Result<Cow<'_, str>, DocumentError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(error) => {
            let declaration = String::from_utf8_lossy(&bytes[..bytes.len().min(128)]).to_ascii_lowercase();
            if ["iso-8859-1", "latin1", "windows-1252"].iter().any(|name| declaration.contains(name)) {
                return Ok(Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()));
            }
            let offset = error.valid_up_to();
            Err(DocumentError::Malformed {
                offset,
                problem: format!("got the byte 0x{:02X}, not UTF-8", bytes[offset]),
            })
        }
    }
}

/// An element whose end has not come yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Plain,
    /// Nothing within is of interest.
    Muted,
    DeviceStream,
    /// `Samples`, `Events` or `Condition`: each child is an observation.
    Category(Category),
    Observation,
    Entry,
    Cell,
    /// An error: its text, or that of its `ErrorMessage`, is wanted.
    Error,
    ErrorMessage,
}

#[derive(Default)]
struct State {
    open: Vec<Open>,
    root: Option<Root>,
    streams: Streams,
    errors: Vec<AgentError>,
    said: Option<Unchecked>,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Root {
    Streams,
    Error,
}

/// An observation whose attributes were not judged yet.
#[derive(Default)]
struct Unchecked {
    category: Category,
    element: Box<str>,
    data_item_id: Box<str>,
    sequence: Box<str>,
    time: Box<str>,
    text: String,
    entries: Vec<SaidEntry>,
    attributes: Vec<(Name, Box<str>)>,
    start: usize,
}

impl State {
    fn start(&mut self, element: &BytesStart<'_>, offset: usize) -> Result<(), DocumentError> {
        if self.open.len() >= DEPTH_MAX {
            let problem = format!("got more than {DEPTH_MAX} levels of nested elements");
            return Err(DocumentError::Malformed { offset, problem });
        }
        let local = element.local_name();
        let name = local.as_ref();
        let open = match (self.open.last(), name) {
            (None, _) => self.start_root(name)?,
            (Some(Open::Muted), _) => Open::Muted,
            (Some(Open::Category(category)), _) => {
                self.said = Some(start_observation(*category, name, element, offset));
                self.text.clear();
                Open::Observation
            }
            (Some(Open::Observation), "Entry") => self.start_entry(element),
            (Some(Open::Entry), "Cell") => self.start_cell(element),
            (Some(Open::Observation | Open::Entry | Open::Cell), _) => Open::Muted,
            (Some(Open::Error), "ErrorMessage") => {
                self.text.clear();
                Open::ErrorMessage
            }
            (Some(Open::Error | Open::ErrorMessage), _) => Open::Muted,
            (_, "Header") => {
                self.read_header(element);
                Open::Muted
            }
            (_, "DeviceStream") => {
                let [uuid, name] = ["uuid", "name"].map(|key| attribute(element, key).unwrap_or_default());
                self.streams.devices.push(DeviceStream { uuid, name, said: Vec::new() });
                Open::DeviceStream
            }
            (_, "Samples" | "Sample") => Open::Category(Category::Sample),
            (_, "Events" | "Event") => Open::Category(Category::Event),
            (_, "Condition" | "Conditions") => Open::Category(Category::Condition),
            (_, "Errors") => Open::Plain,
            _ if self.root == Some(Root::Error) => self.start_error(element),
            _ => Open::Plain,
        };
        self.open.push(open);
        Ok(())
    }

    fn start_root(&mut self, name: &str) -> Result<Open, DocumentError> {
        self.root = Some(match name {
            "MTConnectStreams" => Root::Streams,
            "MTConnectError" => Root::Error,
            _ => return Err(DocumentError::Unexpected { got: format!("the element `{name:.64}`") }),
        });
        Ok(Open::Plain)
    }

    fn read_header(&mut self, element: &BytesStart<'_>) {
        let number = |key| attribute(element, key).and_then(|text| text.parse().ok());
        self.streams.header = Header {
            instance_id: attribute(element, "instanceId").unwrap_or_default().into(),
            first_sequence: number("firstSequence"),
            last_sequence: number("lastSequence"),
            next_sequence: number("nextSequence"),
            device_model_change_time: attribute(element, "deviceModelChangeTime").map(Into::into),
        };
    }

    fn start_error(&mut self, element: &BytesStart<'_>) -> Open {
        if self.errors.len() >= PROBLEMS_MAX {
            return Open::Muted;
        }
        self.text.clear();
        // Since 2.6 the element itself is the code, such as `OutOfRange`.
        let code = attribute(element, "errorCode").unwrap_or_else(|| element.local_name().as_ref().to_owned());
        self.errors.push(AgentError { code, message: String::new() });
        Open::Error
    }

    fn start_entry(&mut self, element: &BytesStart<'_>) -> Open {
        let Some(said) = &mut self.said else { return Open::Muted };
        said.entries.push(SaidEntry {
            key: attribute(element, "key").unwrap_or_default().into(),
            removed: attribute(element, "removed").is_some_and(|word| word == "true" || word == "1"),
            ..SaidEntry::default()
        });
        self.text.clear();
        Open::Entry
    }

    fn start_cell(&mut self, element: &BytesStart<'_>) -> Open {
        if let Some(entry) = self.said.as_mut().and_then(|said| said.entries.last_mut()) {
            entry.cells.push((attribute(element, "key").unwrap_or_default().into(), String::new()));
        }
        self.text.clear();
        Open::Cell
    }

    fn text(&mut self, text: &str) {
        if matches!(
            self.open.last(),
            Some(Open::Observation | Open::Entry | Open::Cell | Open::Error | Open::ErrorMessage)
        ) {
            self.text.push_str(text);
        }
    }

    fn reference(&mut self, reference: &BytesRef<'_>) {
        if let Ok(Some(character)) = reference.resolve_char_ref() {
            self.text(character.encode_utf8(&mut [0; 4]));
            return;
        }
        let name = reference.xml10_content();
        match quick_xml::escape::resolve_predefined_entity(&name) {
            Some(text) => self.text(text),
            // An unknown entity is kept as it is written: better an odd text than none.
            None => self.text(&format!("&{name};")),
        }
    }

    fn end(&mut self, offset: usize) -> Result<(), DocumentError> {
        let Some(open) = self.open.pop() else {
            return Err(DocumentError::Malformed { offset, problem: "got an end tag without a start tag".into() });
        };
        let text = self.text.trim();
        match open {
            Open::Observation => {
                if let Some(mut said) = self.said.take() {
                    if said.entries.is_empty() {
                        text.clone_into(&mut said.text);
                    }
                    self.finish_observation(said, offset);
                }
            }
            Open::Entry => {
                if let Some(entry) = self.said.as_mut().and_then(|said| said.entries.last_mut()) {
                    text.clone_into(&mut entry.text);
                }
            }
            Open::Cell => {
                let entry = self.said.as_mut().and_then(|said| said.entries.last_mut());
                if let Some((_, cell)) = entry.and_then(|entry| entry.cells.last_mut()) {
                    text.clone_into(cell);
                }
            }
            Open::Error | Open::ErrorMessage => {
                if let Some(error) = self.errors.last_mut()
                    && !text.is_empty()
                {
                    text.clone_into(&mut error.message);
                }
            }
            Open::Plain | Open::Muted | Open::DeviceStream | Open::Category(_) => return Ok(()),
        }
        self.text.clear();
        Ok(())
    }

    fn finish_observation(&mut self, said: Unchecked, end: usize) {
        let place = said.start..end;
        let (reason, detail) = match said.check(place.clone()) {
            Ok(said) => {
                if self.streams.devices.is_empty() {
                    self.streams.devices.push(DeviceStream::default());
                }
                if let Some(device) = self.streams.devices.last_mut() {
                    device.said.push(said);
                }
                return;
            }
            Err(problem) => problem,
        };
        if self.streams.problems.len() < PROBLEMS_MAX {
            self.streams.problems.push(Problem { reason, detail, place });
        }
    }

    fn finish(self, offset: usize) -> Result<Document, DocumentError> {
        if !self.open.is_empty() {
            let problem = format!("got its end while {} elements are still open", self.open.len());
            return Err(DocumentError::Malformed { offset, problem });
        }
        match self.root {
            Some(Root::Streams) => Ok(Document::Streams(self.streams)),
            Some(Root::Error) => Ok(Document::Error(self.errors)),
            None => Err(DocumentError::Unexpected { got: "no element at all".into() }),
        }
    }
}

impl Unchecked {
    fn check(self, place: Range<usize>) -> Result<Said, (&'static str, String)> {
        let at = format!("offset {}", place.start);
        if self.data_item_id.is_empty() {
            return Err(("observation without data item", format!("{at}: expected dataItemId")));
        }
        let sequence = self.sequence.parse().map_err(|_| {
            ("observation without sequence", format!("{at}: expected a sequence, got `{:.32}`", self.sequence))
        })?;
        let time = time_of(&self.time)
            .ok_or_else(|| ("invalid time", format!("{at}: expected a time, got `{:.64}`", self.time)))?;
        Ok(Said {
            category: self.category,
            element: self.element,
            data_item_id: self.data_item_id,
            sequence,
            time,
            text: self.text,
            entries: self.entries,
            attributes: self.attributes,
            place,
        })
    }
}

/// RFC 3339; a time without zone is UTC, as the standard wants it.
fn time_of(text: &str) -> Option<Timestamp> {
    text.parse().or_else(|_| format!("{text}Z").parse()).ok()
}

fn start_observation(category: Category, name: &str, element: &BytesStart<'_>, start: usize) -> Unchecked {
    let mut said = Unchecked { category, element: name.into(), start, ..Unchecked::default() };
    for attribute in element.attributes().with_checks(false).flatten() {
        let value = || value_of(&attribute).trim().into();
        match attribute.key.local_name().as_ref() {
            "dataItemId" => said.data_item_id = value(),
            "sequence" => said.sequence = value(),
            "timestamp" => said.time = value(),
            other => {
                if let Some((_, name)) = Name::ALL.iter().find(|(known, _)| *known == other) {
                    let value: Box<str> = value();
                    if !value.is_empty() {
                        said.attributes.push((*name, value));
                    }
                }
            }
        }
    }
    said
}

fn attribute(element: &BytesStart<'_>, wanted: &str) -> Option<String> {
    let mut all = element.attributes();
    let all = all.with_checks(false);
    all.flatten()
        .find(|attribute| attribute.key.local_name().as_ref() == wanted)
        .map(|attribute| value_of(&attribute).trim().to_owned())
        .filter(|value| !value.is_empty())
}

fn value_of<'a>(attribute: &Attribute<'a>) -> Cow<'a, str> {
    // An unknown entity is kept as it is written: better an odd text than none.
    attribute.normalized_value(XmlVersion::Implicit1_0).unwrap_or_else(|_| attribute.value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(xml: &str) -> Streams {
        match read_document(xml.as_bytes()) {
            Ok(Document::Streams(streams)) => streams,
            other => panic!("{xml}: {other:?}"),
        }
    }

    /// A document of one device with `said` within `Events`, as agents of 2.x write it.
    fn events(said: &str) -> Streams {
        streams(&format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><MTConnectStreams xmlns=\"urn:mtconnect.org:MTConnectStreams:2.0\">\
             <Header instanceId=\"7\" firstSequence=\"1\" lastSequence=\"9\" nextSequence=\"10\"/><Streams>\
             <DeviceStream name=\"mill\" uuid=\"M-1\"><ComponentStream component=\"Path\"><Events>{said}</Events>\
             </ComponentStream></DeviceStream></Streams></MTConnectStreams>"
        ))
    }

    const COMMON: &str = "dataItemId='a' sequence='3' timestamp='2026-01-05T08:00:00Z'";

    #[test]
    fn header_and_devices_are_read_whatever_the_name_space() {
        for (open, prefix) in [
            ("xmlns='urn:mtconnect.org:MTConnectStreams:1.2'", ""),
            ("xmlns:m='urn:mtconnect.org:MTConnectStreams:2.7'", "m:"),
            ("", ""),
        ] {
            let xml = "\u{feff}<!-- agent --><P_MTConnectStreams NS><P_Header instanceId='18446744073709551615' firstSequence='1' \
                       nextSequence='4' lastSequence='3' bufferSize='10'/><P_Streams><P_DeviceStream name='mill' uuid='M-1'>\
                       <P_ComponentStream><P_Samples><P_Load dataItemId='l' sequence='3' timestamp='2026-01-05T08:00:00Z'>12.5\
                       </P_Load></P_Samples></P_ComponentStream></P_DeviceStream></P_Streams></P_MTConnectStreams>";
            let streams = streams(&xml.replace("P_", prefix).replace("NS", open));
            assert_eq!(&*streams.header.instance_id, "18446744073709551615");
            assert_eq!((streams.header.first_sequence, streams.header.next_sequence), (Some(1), Some(4)));
            let said = &streams.devices[0].said[0];
            assert_eq!((streams.devices[0].uuid.as_str(), &*said.element, said.text.as_str()), ("M-1", "Load", "12.5"));
            assert_eq!((said.category, said.sequence), (Category::Sample, 3));
        }
    }

    #[test]
    fn texts_are_read_with_references_and_character_data() {
        for (xml, expected) in [
            ("  O 1 &lt; 2 &amp; &#x4e3b;&#36724; ", "O 1 < 2 & 主轴"),
            ("<![CDATA[G0 <X1>]]>", "G0 <X1>"),
            ("&unknown;", "&unknown;"),
            ("", ""),
        ] {
            let streams = events(&format!("<Program {COMMON}>{xml}</Program>"));
            assert_eq!(streams.devices[0].said[0].text, expected, "{xml}");
        }
    }

    #[test]
    fn entries_and_cells_are_read() {
        let said = events(&format!(
            "<T {COMMON} count='3'><Entry key='a'>1</Entry><Entry key='b' removed='true'/>\
             <Entry key='c'><Cell key='X'>1.5</Cell><Cell key='Y'/></Entry></T>"
        ));
        let entry = |key: &str, removed, text: &str, cells: &[(&str, &str)]| SaidEntry {
            key: key.into(),
            removed,
            text: text.into(),
            cells: cells.iter().map(|(key, text)| ((*key).into(), (*text).into())).collect(),
        };
        let expected =
            [entry("a", false, "1", &[]), entry("b", true, "", &[]), entry("c", false, "", &[("X", "1.5"), ("Y", "")])];
        assert_eq!(said.devices[0].said[0].entries, expected);
    }

    #[test]
    fn an_observation_that_cannot_be_used_leaves_the_others() {
        for (attributes, reason, detail) in [
            ("sequence='1' timestamp='2026-01-05T08:00:00Z'", "observation without data item", "expected dataItemId"),
            ("dataItemId='b' timestamp='2026-01-05T08:00:00Z'", "observation without sequence", "got ``"),
            ("dataItemId='b' sequence='x' timestamp='2026-01-05T08:00:00Z'", "observation without sequence", "got `x`"),
            ("dataItemId='b' sequence='1' timestamp='noon'", "invalid time", "got `noon`"),
        ] {
            let streams = events(&format!("<Block {attributes}>N1</Block><Block {COMMON}>N2</Block>"));
            assert_eq!(streams.devices[0].said.len(), 1, "{attributes}");
            let problem = &streams.problems[0];
            assert_eq!(problem.reason, reason);
            assert!(problem.detail.starts_with("offset ") && problem.detail.ends_with(detail), "{}", problem.detail);
        }
        // A time without zone is UTC.
        let streams = events("<Block dataItemId='b' sequence='1' timestamp='2026-01-05T08:00:00.5'>N1</Block>");
        assert_eq!(streams.devices[0].said[0].time.to_string(), "2026-01-05T08:00:00.5Z");
    }

    #[test]
    fn errors_of_all_versions_are_read() {
        for (xml, code, message) in [
            ("<Error errorCode='OUT_OF_RANGE'>too old</Error>", "OUT_OF_RANGE", "too old"),
            ("<Errors><Error errorCode='NO_DEVICE'>none</Error></Errors>", "NO_DEVICE", "none"),
            (
                "<Errors><OutOfRange><QueryParameter name='from'><Value>0</Value></QueryParameter><URI>/s</URI>\
                 <ErrorMessage>too old</ErrorMessage></OutOfRange></Errors>",
                "OutOfRange",
                "too old",
            ),
        ] {
            let document = read_document(format!("<MTConnectError><Header/>{xml}</MTConnectError>").as_bytes());
            let expected = AgentError { code: code.into(), message: message.into() };
            assert_eq!(document, Ok(Document::Error(vec![expected])));
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_offset() {
        let deep = "<a>".repeat(DEPTH_MAX);
        for (xml, expected) in [
            (&b"<MTConnectStreams><a></b></MTConnectStreams>"[..], "offset 21: expected well-formed XML"),
            (b"<MTConnectStreams><Header/>", "offset 27: expected well-formed XML, got its end while 1 elements"),
            (b"<MTConnectStreams>\xff</MTConnectStreams>", "offset 18: expected well-formed XML, got the byte 0xFF"),
            (b"<html><body>Busy</body></html>", "expected an MTConnectStreams document, got the element `html`"),
            (b"", "expected an MTConnectStreams document, got no element at all"),
            (format!("<MTConnectStreams>{deep}").as_bytes(), "expected well-formed XML, got more than 64 levels"),
        ] {
            let error = read_document(xml).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><MTConnectError><Error errorCode='X'>hei\xdf</Error></MTConnectError>";
        let expected = AgentError { code: "X".into(), message: "heiß".into() };
        assert_eq!(read_document(latin), Ok(Document::Error(vec![expected])));
    }

    proptest::proptest! {
        /// Whatever comes, reading ends without a panic, and mistakes are within the answer.
        #[test]
        fn mangled_documents_are_answered(place in 0_usize..700, byte: u8, cut in 0_usize..700) {
            let mut xml = format!(
                "<MTConnectStreams><Header instanceId='7'/><DeviceStream uuid='M'><Events><Block {COMMON}>N1</Block>\
                 <V {COMMON}><Entry key='a'>1</Entry><Entry key='b'><Cell key='c'>&lt;</Cell></Entry></V></Events>\
                 <Condition><Fault {COMMON} nativeCode='1'>hot</Fault></Condition></DeviceStream></MTConnectStreams>"
            )
            .into_bytes();
            if let Some(spot) = xml.get_mut(place) {
                *spot = byte;
            }
            xml.truncate(cut.max(1));
            match read_document(&xml) {
                Err(DocumentError::Malformed { offset, .. }) => assert!(offset <= xml.len()),
                Ok(Document::Streams(streams)) => {
                    let said = streams.devices.iter().flat_map(|device| &device.said).map(|said| &said.place);
                    assert!(said.chain(streams.problems.iter().map(|p| &p.place)).all(|place| place.end <= xml.len()));
                }
                Ok(Document::Error(_)) | Err(DocumentError::Unexpected { .. }) => {}
            }
        }
    }
}

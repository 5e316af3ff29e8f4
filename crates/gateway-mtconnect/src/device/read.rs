//! Reads `MTConnectDevices` documents, lenient where real files deviate from the standard: what can be put up with
//! becomes a warning, and only what would make observations ambiguous is an error.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::{Category, DataItem, Description, Device, DeviceModelError, Devices, Filter, ModelWarning, Representation};

/// The largest document, in bytes.
const DOCUMENT_BYTES_MAX: usize = 32 << 20;
/// The deepest nesting of elements.
const DEPTH_MAX: usize = 64;
/// The most devices in one document.
const DEVICES_MAX: usize = 1_024;
/// The most data items in one document.
const DATA_ITEMS_MAX: usize = 65_536;
/// The most warnings that are kept.
const WARNINGS_MAX: usize = 1_000;
/// The most allowed values or filters of one data item that are kept.
const CONSTRAINTS_MAX: usize = 1_000;

/// Elements that only hold other components together, so that their own name says nothing.
const ORGANIZERS: [&str; 14] = [
    "Adapters",
    "Auxiliaries",
    "Axes",
    "Controller",
    "Controllers",
    "Interfaces",
    "Materials",
    "Parts",
    "Processes",
    "Resources",
    "Structures",
    "Systems",
    "Actuators",
    "Sensors",
];

/// Reads a document of device models.
///
/// # Errors
/// When it is not well-formed XML, holds no device, has data items or devices that cannot be told apart, or exceeds
/// a bound; every error tells the line.
pub fn read_devices(xml: &[u8]) -> Result<Devices, DeviceModelError> {
    if xml.len() > DOCUMENT_BYTES_MAX {
        return Err(DeviceModelError::TooLarge { line: 1, limit: DOCUMENT_BYTES_MAX, what: "bytes in the document" });
    }
    let text = as_text(xml)?;
    let mut reader = Reader::from_str(&text);
    let mut lines = Lines { text: text.as_bytes(), counted: 0, line: 1 };
    let mut state = State::default();
    loop {
        // The position before an event is that of its first byte: the one a person looks for.
        let line = lines.at(reader.buffer_position());
        match reader.read_event() {
            Ok(Event::Start(element)) => state.start(&element, line)?,
            Ok(Event::Empty(element)) => {
                state.start(&element, line)?;
                state.end(line)?;
            }
            Ok(Event::End(_)) => state.end(line)?,
            Ok(Event::Text(text)) => state.text(&text.xml10_content()),
            Ok(Event::CData(text)) => state.text(&text.xml10_content()),
            Ok(Event::GeneralRef(reference)) => state.text(&resolve(&reference)),
            Ok(Event::Eof) => return state.finish(line),
            Ok(Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Comment(_)) => {}
            Err(error) => {
                let line = lines.at(reader.error_position());
                return Err(DeviceModelError::Malformed { line, problem: error.to_string() });
            }
        }
    }
}

/// The document as UTF-8 without byte order mark. Old tools write Latin-1, some without saying so; that is told from
/// the declaration or not at all.
fn as_text(xml: &[u8]) -> Result<Cow<'_, str>, DeviceModelError> {
    if xml.starts_with(&[0xFE, 0xFF]) || xml.starts_with(&[0xFF, 0xFE]) {
        return Err(DeviceModelError::Unexpected { line: 1, expected: "UTF-8", got: "UTF-16".into() });
    }
    let xml = xml.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(xml);
    match std::str::from_utf8(xml) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(error) => {
            let declaration = String::from_utf8_lossy(&xml[..xml.len().min(128)]).to_ascii_lowercase();
            if ["iso-8859-1", "latin1", "windows-1252"].iter().any(|name| declaration.contains(name)) {
                return Ok(Cow::Owned(xml.iter().map(|byte| char::from(*byte)).collect()));
            }
            let line = Lines { text: xml, counted: 0, line: 1 }.at(error.valid_up_to() as u64);
            Err(DeviceModelError::Unexpected {
                line,
                expected: "UTF-8",
                got: format!("the byte 0x{:02X}", xml[error.valid_up_to()]),
            })
        }
    }
}

/// Counts lines as reading goes on.
struct Lines<'a> {
    text: &'a [u8],
    counted: usize,
    line: u32,
}

impl Lines<'_> {
    fn at(&mut self, position: u64) -> u32 {
        let position = usize::try_from(position).unwrap_or(usize::MAX).min(self.text.len());
        if position > self.counted {
            self.line += memchr::memchr_iter(b'\n', &self.text[self.counted..position]).count() as u32;
            self.counted = position;
        }
        self.line
    }
}

fn resolve(reference: &BytesRef<'_>) -> String {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return character.to_string();
    }
    let name = reference.xml10_content();
    quick_xml::escape::resolve_predefined_entity(&name).map_or_else(|| format!("&{name};"), str::to_owned)
}

/// An element whose end has not come yet.
enum Open {
    /// Of no interest itself.
    Plain,
    /// Of no interest, nor is anything within.
    Muted,
    /// `Components` or `Compositions`: each child is a component.
    Components,
    /// A device.
    Device,
    /// A component, as it is shown.
    Component(String),
    /// A data item.
    DataItem,
    /// An element whose text is wanted.
    Text(Wanted),
}

/// What an element's text is wanted for.
#[derive(Clone, Copy)]
enum Wanted {
    Description,
    Source,
    Value,
    Minimum,
    Maximum,
    Nominal,
    MinimumDelta,
    Period,
    InitialValue,
    ResetTrigger,
}

#[derive(Default)]
struct State {
    open: Vec<Open>,
    seen_root: bool,
    devices: Devices,
    device: Option<Device>,
    item: Option<DataItem>,
    /// Kept apart from the text wanted above it: an extension may nest elements.
    text: String,
    /// Line and device of every data item id seen.
    ids: HashMap<String, (usize, u32)>,
    names: HashMap<String, u32>,
    uuids: HashMap<String, u32>,
    items_total: usize,
}

impl State {
    fn warn(&mut self, line: u32, message: String) {
        if self.devices.warnings.len() < WARNINGS_MAX {
            self.devices.warnings.push(ModelWarning { line, message });
        }
    }

    fn start(&mut self, element: &BytesStart<'_>, line: u32) -> Result<(), DeviceModelError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(DeviceModelError::TooLarge { line, limit: DEPTH_MAX, what: "levels of nested elements" });
        }
        let name = element.local_name();
        let name = name.as_ref();
        if !self.seen_root {
            self.root(name, element, line)?;
        }
        let open = match (self.open.last(), name) {
            (Some(Open::Muted), _) => Open::Muted,
            _ if self.item.is_some() => self.start_in_item(name, element),
            (_, "Header") if self.device.is_none() => {
                let version = attribute(element, "version").and_then(|text| version_of(&text));
                self.devices.version = self.devices.version.or(version);
                Open::Muted
            }
            (_, "Device" | "Agent") if self.device.is_none() => self.start_device(element, line)?,
            _ if self.device.is_none() => Open::Plain,
            (Some(Open::Components), _) => Open::Component(label(name, element)),
            (_, "Components" | "Compositions") => Open::Components,
            (_, "Configuration" | "References" | "Relationships") => Open::Muted,
            (_, "DataItem") => self.start_item(element, line)?,
            (Some(Open::Device), "Description") => {
                self.describe(element);
                self.text.clear();
                Open::Text(Wanted::Description)
            }
            _ => Open::Plain,
        };
        self.open.push(open);
        Ok(())
    }

    fn root(&mut self, name: &str, element: &BytesStart<'_>, line: u32) -> Result<(), DeviceModelError> {
        self.seen_root = true;
        if !matches!(name, "MTConnectDevices" | "Devices" | "Device" | "Agent") {
            return Err(DeviceModelError::Unexpected {
                line,
                expected: "an MTConnectDevices document",
                got: format!("the element `{name}`"),
            });
        }
        for attribute in element.attributes().with_checks(false).flatten() {
            if let Some(at) = attribute.value.find(":MTConnectDevices:") {
                let rest = &attribute.value[at + ":MTConnectDevices:".len()..];
                self.devices.version = self.devices.version.or(version_of(rest));
            }
        }
        Ok(())
    }

    fn start_device(&mut self, element: &BytesStart<'_>, line: u32) -> Result<Open, DeviceModelError> {
        if self.devices.devices.len() >= DEVICES_MAX {
            return Err(DeviceModelError::TooLarge { line, limit: DEVICES_MAX, what: "devices" });
        }
        let [uuid, name, id] = ["uuid", "name", "id"].map(|key| attribute(element, key));
        let Some(chosen) = uuid.clone().or_else(|| name.clone()).or_else(|| id.clone()) else {
            return Err(DeviceModelError::Unexpected {
                line,
                expected: "a device with a uuid",
                got: "one with neither uuid, name nor id".into(),
            });
        };
        if uuid.is_none() {
            self.warn(line, format!("the device has no uuid; `{chosen}` is taken instead"));
        }
        match self.uuids.entry(chosen.clone()) {
            Entry::Occupied(first) => {
                return Err(DeviceModelError::DuplicateDevice { uuid: chosen, first_line: *first.get(), line });
            }
            Entry::Vacant(place) => _ = place.insert(line),
        }
        self.names.clear();
        self.device = Some(Device { uuid: chosen, name, id, line, ..Device::default() });
        Ok(Open::Device)
    }

    fn describe(&mut self, element: &BytesStart<'_>) {
        if let Some(device) = &mut self.device {
            device.description = Description {
                manufacturer: attribute(element, "manufacturer"),
                model: attribute(element, "model"),
                serial_number: attribute(element, "serialNumber"),
                station: attribute(element, "station"),
                text: None,
            };
        }
    }

    fn start_item(&mut self, element: &BytesStart<'_>, line: u32) -> Result<Open, DeviceModelError> {
        if self.items_total >= DATA_ITEMS_MAX {
            return Err(DeviceModelError::TooLarge { line, limit: DATA_ITEMS_MAX, what: "data items" });
        }
        let mut item = ItemAttributes::read(element);
        let Some(id) = item.0.remove("id").or_else(|| item.0.get("name").cloned()) else {
            self.warn(line, "a data item without id and name is left out: nothing can refer to it".into());
            return Ok(Open::Muted);
        };
        self.check_unique(&id, item.0.get("name"), line)?;
        self.items_total += 1;
        let (item, warnings) = item.into_data_item(id, self.component_path(), line);
        for warning in warnings {
            self.warn(line, warning);
        }
        self.item = Some(item);
        Ok(Open::DataItem)
    }

    fn check_unique(&mut self, id: &str, name: Option<&String>, line: u32) -> Result<(), DeviceModelError> {
        let device = self.devices.devices.len();
        match self.ids.insert(id.to_owned(), (device, line)) {
            Some((first_device, first_line)) if first_device == device => {
                return Err(DeviceModelError::DuplicateId { id: id.to_owned(), first_line, line });
            }
            Some((_, first_line)) => self
                .warn(line, format!("the data item id `{id}` is already used by another device in line {first_line}")),
            None => {}
        }
        if let Some(name) = name
            && let Some(first_line) = self.names.insert(name.clone(), line)
        {
            let message = format!(
                "the data item name `{name}` is already used in line {first_line}; both are known by their ids instead"
            );
            self.warn(line, message);
        }
        Ok(())
    }

    /// The innermost component and the one above.
    fn component_path(&self) -> String {
        let mut labels = self.open.iter().rev().filter_map(|open| match open {
            Open::Component(label) => Some(label.as_str()),
            _ => None,
        });
        match (labels.next(), labels.next()) {
            (Some(inner), Some(outer)) => format!("{outer}/{inner}"),
            (Some(inner), None) => inner.to_owned(),
            (None, _) => "Device".to_owned(),
        }
    }

    fn start_in_item(&mut self, name: &str, element: &BytesStart<'_>) -> Open {
        let wanted = match name {
            "Source" => Wanted::Source,
            "Value" => Wanted::Value,
            "Minimum" => Wanted::Minimum,
            "Maximum" => Wanted::Maximum,
            "Nominal" => Wanted::Nominal,
            "InitialValue" => Wanted::InitialValue,
            "ResetTrigger" => Wanted::ResetTrigger,
            "Filter" if attribute(element, "type").is_some_and(|kind| kind == "PERIOD") => Wanted::Period,
            "Filter" => Wanted::MinimumDelta,
            "Constraints" | "Filters" => return Open::Plain,
            _ => return Open::Muted,
        };
        self.text.clear();
        Open::Text(wanted)
    }

    fn text(&mut self, text: &str) {
        if matches!(self.open.last(), Some(Open::Text(_))) {
            self.text.push_str(text);
        }
    }

    fn end(&mut self, line: u32) -> Result<(), DeviceModelError> {
        let Some(open) = self.open.pop() else {
            return Err(DeviceModelError::Malformed { line, problem: "got an end tag without a start tag".into() });
        };
        match open {
            Open::Text(wanted) => self.end_text(wanted, line),
            Open::DataItem => {
                if let (Some(device), Some(item)) = (&mut self.device, self.item.take()) {
                    device.data_items.push(item);
                }
            }
            Open::Device => self.devices.devices.extend(self.device.take()),
            Open::Plain | Open::Muted | Open::Components | Open::Component(_) => {}
        }
        Ok(())
    }

    fn end_text(&mut self, wanted: Wanted, line: u32) {
        let text = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.text.clear();
        if text.is_empty() {
            return;
        }
        if let (Wanted::Description, Some(device)) = (wanted, &mut self.device) {
            device.description.text = Some(text);
            return;
        }
        let Some(item) = &mut self.item else { return };
        if !keep_text(item, wanted, &text) {
            let message = format!("a constraint or filter of the data item `{}` is not a number: `{text}`", item.id);
            self.warn(line, message);
        }
    }

    fn finish(self, line: u32) -> Result<Devices, DeviceModelError> {
        if !self.open.is_empty() {
            let problem = format!("got its end while {} elements are still open", self.open.len());
            return Err(DeviceModelError::Malformed { line, problem });
        }
        if self.devices.devices.is_empty() {
            let got = if self.seen_root { "none" } else { "no element at all" };
            return Err(DeviceModelError::Unexpected { line, expected: "a `Device` element", got: got.into() });
        }
        Ok(self.devices)
    }
}

/// Keeps the text of an element of `item`; false where it should be a number and is none.
fn keep_text(item: &mut DataItem, wanted: Wanted, text: &str) -> bool {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    let numeric = !matches!(wanted, Wanted::Value | Wanted::Source | Wanted::InitialValue | Wanted::ResetTrigger);
    if numeric && number.is_none() {
        return false;
    }
    let filter = match wanted {
        Wanted::MinimumDelta => number.map(Filter::MinimumDelta),
        Wanted::Period => number.map(Filter::PeriodSecs),
        _ => None,
    };
    match wanted {
        Wanted::Minimum => item.constraints.minimum = number,
        Wanted::Maximum => item.constraints.maximum = number,
        Wanted::Nominal => item.constraints.nominal = number,
        Wanted::Source => item.source = Some(text.to_owned()),
        Wanted::InitialValue => item.initial_value = Some(text.to_owned()),
        Wanted::ResetTrigger => item.reset_trigger = Some(text.to_owned()),
        Wanted::Value if item.constraints.values.len() < CONSTRAINTS_MAX => {
            item.constraints.values.push(text.to_owned());
        }
        Wanted::MinimumDelta | Wanted::Period if item.filters.len() < CONSTRAINTS_MAX => item.filters.extend(filter),
        Wanted::Value | Wanted::MinimumDelta | Wanted::Period | Wanted::Description => {}
    }
    true
}

/// The attributes of a data item, by local name.
struct ItemAttributes(HashMap<String, String>);

impl ItemAttributes {
    fn read(element: &BytesStart<'_>) -> Self {
        let mut all = HashMap::new();
        for attribute in element.attributes().with_checks(false).flatten() {
            let value = value_of(&attribute);
            if !value.is_empty() {
                all.entry(attribute.key.local_name().as_ref().to_owned()).or_insert(value);
            }
        }
        Self(all)
    }

    fn into_data_item(self, id: String, component_path: String, line: u32) -> (DataItem, Vec<String>) {
        let Self(mut all) = self;
        let mut warnings = Vec::new();
        let category = match all.remove("category").map(|word| word.to_ascii_uppercase()).as_deref() {
            Some("SAMPLE") => Category::Sample,
            Some("EVENT") => Category::Event,
            Some("CONDITION") => Category::Condition,
            other => {
                let got = other.unwrap_or("none");
                warnings.push(format!("the data item `{id}` has the category `{got}`; it is taken for an EVENT"));
                Category::Event
            }
        };
        let representation = match all.remove("representation").as_deref() {
            None | Some("VALUE") => Representation::Value,
            Some("DISCRETE") => Representation::Discrete,
            Some("TIME_SERIES") => Representation::TimeSeries,
            Some("DATA_SET") => Representation::DataSet,
            Some("TABLE") => Representation::Table,
            Some(other) => {
                warnings.push(format!("the data item `{id}` has the representation `{other}`; VALUE is assumed"));
                Representation::Value
            }
        };
        let type_ = all.remove("type").unwrap_or_else(|| {
            warnings.push(format!("the data item `{id}` has no type"));
            "UNKNOWN".into()
        });
        let item = DataItem {
            name: all.remove("name"),
            source: None,
            category,
            type_,
            sub_type: all.remove("subType"),
            units: all.remove("units"),
            native_units: all.remove("nativeUnits"),
            native_scale: all.remove("nativeScale").and_then(|text| text.trim().parse().ok()),
            representation,
            discrete: representation == Representation::Discrete || all.remove("discrete").is_some_and(|v| v == "true"),
            statistic: all.remove("statistic"),
            sample_rate_hz: all.remove("sampleRate").and_then(|text| text.trim().parse().ok()),
            significant_digits: all.remove("significantDigits").and_then(|text| text.trim().parse().ok()),
            composition_id: all.remove("compositionId"),
            coordinate_system: all.remove("coordinateSystemIdRef").or_else(|| all.remove("coordinateSystem")),
            reset_trigger: None,
            initial_value: None,
            constraints: super::Constraints::default(),
            filters: Vec::new(),
            component_path,
            line,
            id,
        };
        (item, warnings)
    }
}

fn label(element: &str, attributes: &BytesStart<'_>) -> String {
    if ORGANIZERS.contains(&element) {
        return element.to_owned();
    }
    let word = ["name", "id", "type"].into_iter().find_map(|key| attribute(attributes, key));
    word.map_or_else(|| element.to_owned(), |word| format!("{element}[{word}]"))
}

/// The value of the attribute `wanted`, whatever its prefix; empty ones count as missing.
fn attribute(element: &BytesStart<'_>, wanted: &str) -> Option<String> {
    let mut all = element.attributes();
    let all = all.with_checks(false);
    all.flatten()
        .find(|attribute| attribute.key.local_name().as_ref() == wanted && attribute.key.prefix().is_none())
        .map(|attribute| value_of(&attribute))
        .filter(|value| !value.is_empty())
}

fn value_of(attribute: &quick_xml::events::attributes::Attribute<'_>) -> String {
    // An unknown entity is kept as it is written: better an odd name than no device.
    let value = attribute.normalized_value(XmlVersion::Implicit1_0);
    value.unwrap_or_else(|_| attribute.value.clone()).trim().to_owned()
}

fn version_of(text: &str) -> Option<(u8, u8)> {
    let (major, rest) = text.trim().split_once('.')?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    Some((major.parse().ok()?, rest[..digits].parse().ok()?))
}

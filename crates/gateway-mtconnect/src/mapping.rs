//! From a device model to a profile: which signal a key means, of what kind it is, and how native values become
//! published ones. Must not know of sockets, lines or XML.

use std::collections::HashMap as StdHashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use model::{AssetId, AssetKind, InvalidAssetId, InvalidProfile, Profile, Shape, Signal, SignalIndex, ValueKind};

use crate::device::{Category, DataItem, Device, Representation};
use crate::units::{self, Conversion};

/// The longest id of a signal, in bytes, as the profile demands.
const SIGNAL_ID_BYTES_MAX: usize = 128;

/// Events whose values the standard defines as integers or decimal numbers (part 3; `IntegerEventType` and
/// `FloatEventType` of the schemas). Tool numbers and the older `LINE` are texts there, and stay so.
const NUMERIC_EVENTS: [&str; 26] = [
    "ACTIVATION_COUNT",
    "ASSET_COUNT",
    "AXIS_FEEDRATE_OVERRIDE",
    "BLOCK_COUNT",
    "CYCLE_COUNT",
    "DEACTIVATION_COUNT",
    "DEPTH",
    "HARDNESS",
    "LINE_NUMBER",
    "LOAD_COUNT",
    "MATERIAL_LAYER",
    "MEASUREMENT_VALUE",
    "NETWORK_PORT",
    "PART_COUNT",
    "PART_INDEX",
    "PATH_FEEDRATE_OVERRIDE",
    "PROGRAM_NEST_LEVEL",
    "ROTARY_VELOCITY_OVERRIDE",
    "SWING_ANGLE",
    "SWING_DIAMETER",
    "SWING_RADIUS",
    "THICKNESS",
    "TOOL_OFFSET",
    "TRANSFER_COUNT",
    "UNCERTAINTY",
    "UNLOAD_COUNT",
];

/// Types whose values are positions, orientations or moves in space (`ThreeSpaceSampleType`, `ThreeSpaceEventType`).
const THREE_SPACE: [&str; 5] = ["ORIENTATION", "PATH_POSITION", "POSITION_CARTESIAN", "ROTATION", "TRANSLATION"];

/// In which form a source says the values of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One number.
    Number,
    /// One word or text.
    Text,
    /// Three numbers.
    ThreeSpace,
    /// Count, rate and that many numbers.
    TimeSeries,
    /// Keyed values.
    DataSet,
    /// Keyed rows of keyed values.
    Table,
    /// Level, native code, native severity, qualifier and text.
    Condition,
    /// Native code and text.
    Message,
    /// Code, native code, severity, state and text (MTConnect 1.0; a condition since).
    Alarm,
    /// Type and id of an asset.
    Asset,
}

/// What a decoder has to know of one signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Wire {
    /// In which form values come.
    pub form: Form,
    /// What the data item is: only an event may hold a text where a number is expected.
    pub category: Category,
    /// From native to published units, where these differ.
    pub conversion: Option<Conversion>,
    /// Whether the model says that the value may start anew.
    pub resets: bool,
    /// Values per second as the model has it, for time series that do not say.
    pub sample_rate_hz: Option<f64>,
    /// Whether it is one of our own signals, of which no source speaks by name.
    pub made: bool,
}

/// One device as the rest of the house sees it.
#[derive(Debug)]
pub struct Mapping {
    profile: Arc<Profile>,
    asset: AssetId,
    wires: Vec<Wire>,
    keys: HashMap<Box<[u8]>, SignalIndex, FixedState>,
    ids: HashMap<Box<[u8]>, SignalIndex, FixedState>,
    device_names: Vec<String>,
    asset_changed: SignalIndex,
    asset_removed: SignalIndex,
    gap: SignalIndex,
    warnings: Vec<String>,
}

/// A device of which no profile can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// The signals do not fit a profile.
    #[error("failed to make a profile of the device `{device}`")]
    Profile {
        /// Its uuid.
        device: String,
        /// What does not fit.
        #[source]
        source: InvalidProfile,
    },
    /// The uuid names no asset.
    #[error("failed to make an asset of the device `{device}`")]
    Asset {
        /// Its uuid.
        device: String,
        /// What is wrong with it.
        #[source]
        source: InvalidAssetId,
    },
}

impl Mapping {
    /// Makes the profile `profile_id` of `device`.
    ///
    /// # Errors
    /// When the profile id is no name of a table, the device has too many data items, or an empty uuid.
    pub fn new(device: &Device, profile_id: &str) -> Result<Self, MappingError> {
        let asset = AssetId::new(AssetKind::Machine, &sanitized(&device.uuid))
            .map_err(|source| MappingError::Asset { device: device.uuid.clone(), source })?;
        let names = Names::of(device);
        let mut building = Building { mapping_warnings: Vec::new(), signals: Vec::new(), wires: Vec::new() };
        for item in &device.data_items {
            building.add(item, names.signal_id(item));
        }
        let asset_changed = building.made("asset_changed", "mtconnect:ASSET_CHANGED", Form::Asset);
        let asset_removed = building.made("asset_removed", "mtconnect:ASSET_REMOVED", Form::Asset);
        let gap = building.made("gap", "tongmai:gap", Form::DataSet);
        let Building { mapping_warnings, signals, wires } = building;
        let profile = Profile::new(profile_id, Shape::Changes, signals)
            .map_err(|source| MappingError::Profile { device: device.uuid.clone(), source })?;
        let (keys, ids) = lookups(device, &names);
        let device_names = [Some(&device.uuid), device.name.as_ref(), device.id.as_ref()];
        Ok(Self {
            profile: Arc::new(profile),
            asset,
            wires,
            keys,
            ids,
            device_names: device_names.into_iter().flatten().cloned().collect(),
            asset_changed,
            asset_removed,
            gap,
            warnings: mapping_warnings,
        })
    }

    /// The profile.
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// The machine.
    pub fn asset(&self) -> &AssetId {
        &self.asset
    }

    /// The signal that an adapter means by `key`: a name, an id or the text of a `Source`.
    pub fn signal_of_key(&self, key: &[u8]) -> Option<SignalIndex> {
        self.keys.get(key).copied()
    }

    /// The signal that an agent means by `data_item_id`.
    pub fn signal_of_id(&self, data_item_id: &str) -> Option<SignalIndex> {
        self.ids.get(data_item_id.as_bytes()).copied()
    }

    /// Whether the device is called `name`: by its uuid, its name or its id.
    pub fn is_called(&self, name: &str) -> bool {
        self.device_names.iter().any(|known| known == name)
    }

    /// What a decoder has to know of the signal at `index`.
    ///
    /// # Panics
    /// When the index is not of this profile.
    pub fn wire(&self, index: SignalIndex) -> &Wire {
        &self.wires[usize::from(index)]
    }

    /// The signal that tells of new and changed assets: entries `assetId`, `type`, `document`.
    pub fn asset_changed(&self) -> SignalIndex {
        self.asset_changed
    }

    /// The signal that tells of removed assets: entries `assetId` and, where known, `type`; without `assetId` all of
    /// that type.
    pub fn asset_removed(&self) -> SignalIndex {
        self.asset_removed
    }

    /// The signal that tells of what a source could no longer deliver.
    pub fn gap(&self) -> SignalIndex {
        self.gap
    }

    /// What could not be done as the model has it: units that cannot be converted, for example.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// A message as one text: `[code] text`, so that the native code is not lost.
pub fn message_text(native_code: &str, text: &str) -> Box<str> {
    match (native_code, text) {
        ("", text) => text.into(),
        (code, "") => format!("[{code}]").into(),
        (code, text) => format!("[{code}] {text}").into(),
    }
}

/// The uuid without what an asset may not hold, cut where it is too long.
fn sanitized(uuid: &str) -> String {
    let mut clean: String = uuid.chars().map(|c| if c.is_whitespace() || c.is_control() { '_' } else { c }).collect();
    let mut end = clean.len().min(128);
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    clean.truncate(end);
    clean
}

/// How often each name and id is used, so that a name becomes a signal id only where nothing else could be meant.
struct Names<'a>(StdHashMap<&'a str, u32>);

impl<'a> Names<'a> {
    fn of(device: &'a Device) -> Self {
        let mut uses = StdHashMap::new();
        for item in &device.data_items {
            *uses.entry(item.id.as_str()).or_insert(0) += 1;
            if let Some(name) = item.name.as_deref().filter(|name| *name != item.id) {
                *uses.entry(name).or_insert(0) += 1;
            }
        }
        Self(uses)
    }

    fn is_unique(&self, word: &str) -> bool {
        self.0.get(word) == Some(&1)
    }

    fn signal_id<'i>(&self, item: &'i DataItem) -> &'i str {
        let name = item.name.as_deref().filter(|name| self.is_unique(name) && name.len() <= SIGNAL_ID_BYTES_MAX);
        name.unwrap_or(&item.id)
    }
}

type Lookup = HashMap<Box<[u8]>, SignalIndex, FixedState>;

/// By key (name first, then id, then source) and by data item id.
fn lookups(device: &Device, names: &Names<'_>) -> (Lookup, Lookup) {
    let mut keys = Lookup::with_hasher(FixedState::default());
    let mut ids = Lookup::with_hasher(FixedState::default());
    let items = || device.data_items.iter().enumerate().map(|(place, item)| (place as SignalIndex, item));
    for (place, item) in items() {
        ids.entry(item.id.as_bytes().into()).or_insert(place);
        if let Some(name) = item.name.as_deref().filter(|name| names.is_unique(name)) {
            keys.entry(name.as_bytes().into()).or_insert(place);
        }
    }
    for (place, item) in items() {
        keys.entry(item.id.as_bytes().into()).or_insert(place);
    }
    for (place, item) in items() {
        if let Some(source) = &item.source {
            keys.entry(source.as_bytes().into()).or_insert(place);
        }
    }
    (keys, ids)
}

struct Building {
    mapping_warnings: Vec<String>,
    signals: Vec<Signal>,
    wires: Vec<Wire>,
}

impl Building {
    fn add(&mut self, item: &DataItem, id: &str) {
        let form = form_of(item);
        let meaning = match &item.sub_type {
            Some(sub_type) => format!("mtconnect:{}.{sub_type}", item.type_),
            None => format!("mtconnect:{}", item.type_),
        };
        let mut signal = Signal::new(id, &meaning, kind_of(form));
        signal.description = Some(item.component_path.as_str().into());
        let units = item.units.as_deref().or(item.native_units.as_deref());
        let numeric = matches!(form, Form::Number | Form::ThreeSpace | Form::TimeSeries);
        if !matches!(form, Form::Condition | Form::Alarm | Form::Message | Form::Asset) {
            signal.unit = units.and_then(units::ucum).map(Into::into);
        }
        let mut conversion = None;
        if numeric {
            match Conversion::between(item.native_units.as_deref(), item.native_scale, item.units.as_deref()) {
                Ok(found) => conversion = found,
                Err(problem) => self.mapping_warnings.push(format!(
                    "line {}: values of the data item `{}` are kept as they come: {problem}",
                    item.line, item.id
                )),
            }
        }
        self.signals.push(signal);
        self.wires.push(Wire {
            form,
            category: item.category,
            conversion,
            resets: item.reset_trigger.is_some(),
            sample_rate_hz: item.sample_rate_hz,
            made: false,
        });
    }

    /// A signal with `meaning`: the one of the model, or one of our own named `id`.
    fn made(&mut self, id: &str, meaning: &str, form: Form) -> SignalIndex {
        let given = self.signals.iter().zip(&self.wires);
        if let Some(place) =
            given.into_iter().position(|(signal, wire)| &*signal.meaning == meaning && wire.form == form)
        {
            return place as SignalIndex;
        }
        let taken = |id: &str| self.signals.iter().any(|signal| &*signal.id == id);
        let free = (1..).map(|n| if n == 1 { id.to_owned() } else { format!("{id}_{n}") }).find(|id| !taken(id));
        self.signals.push(Signal::new(&free.unwrap_or_default(), meaning, kind_of(form)));
        self.wires.push(Wire {
            form,
            category: Category::Event,
            conversion: None,
            resets: false,
            sample_rate_hz: None,
            made: true,
        });
        (self.signals.len() - 1) as SignalIndex
    }
}

fn form_of(item: &DataItem) -> Form {
    if item.category == Category::Condition {
        return Form::Condition;
    }
    let three = |units: &Option<String>| units.as_deref().is_some_and(|units| units.ends_with("_3D"));
    match (item.representation, item.category, item.type_.as_str()) {
        (Representation::DataSet, ..) => Form::DataSet,
        (Representation::Table, ..) => Form::Table,
        (Representation::TimeSeries, Category::Sample, _) => Form::TimeSeries,
        (_, Category::Event, "ASSET_CHANGED" | "ASSET_REMOVED") => Form::Asset,
        (_, Category::Event, "MESSAGE") => Form::Message,
        (_, Category::Event, "ALARM") => Form::Alarm,
        (.., type_) if THREE_SPACE.contains(&type_) || three(&item.units) || three(&item.native_units) => {
            Form::ThreeSpace
        }
        (_, Category::Sample, _) => Form::Number,
        (.., type_) if NUMERIC_EVENTS.binary_search(&type_).is_ok() => Form::Number,
        _ => Form::Text,
    }
}

fn kind_of(form: Form) -> ValueKind {
    match form {
        Form::Number => ValueKind::Number,
        Form::Text | Form::Message => ValueKind::Text,
        Form::ThreeSpace | Form::TimeSeries => ValueKind::Vector,
        Form::DataSet | Form::Table | Form::Asset => ValueKind::Entries,
        Form::Condition | Form::Alarm => ValueKind::Condition,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::read_devices;

    fn mapping(items: &str) -> Mapping {
        let xml = format!("<Devices><Device uuid='M 1' name='lathe'><DataItems>{items}</DataItems></Device></Devices>");
        let devices = read_devices(xml.as_bytes()).unwrap();
        Mapping::new(&devices.devices[0], "lathe").unwrap()
    }

    #[test]
    fn kind_unit_and_meaning_follow_the_standard() {
        use ValueKind::{Condition, Entries, Number, Text, Vector};
        for (attributes, meaning, kind, unit) in [
            (
                "category='SAMPLE' type='POSITION' subType='ACTUAL' units='MILLIMETER'",
                "POSITION.ACTUAL",
                Number,
                Some("mm"),
            ),
            ("category='SAMPLE' type='PATH_POSITION' units='MILLIMETER_3D'", "PATH_POSITION", Vector, Some("mm")),
            ("category='SAMPLE' type='x:TORQUE' units='FOO'", "x:TORQUE", Number, None),
            ("category='SAMPLE' type='AMPERAGE' nativeUnits='AMPERE'", "AMPERAGE", Number, Some("A")),
            (
                "category='SAMPLE' type='AMPERAGE' representation='TIME_SERIES' units='AMPERE'",
                "AMPERAGE",
                Vector,
                Some("A"),
            ),
            ("category='EVENT' type='PART_COUNT' subType='ALL'", "PART_COUNT.ALL", Number, None),
            ("category='EVENT' type='LINE_NUMBER'", "LINE_NUMBER", Number, None),
            (
                "category='EVENT' type='PATH_FEEDRATE_OVERRIDE' units='PERCENT'",
                "PATH_FEEDRATE_OVERRIDE",
                Number,
                Some("%"),
            ),
            ("category='EVENT' type='TOOL_NUMBER'", "TOOL_NUMBER", Text, None),
            ("category='EVENT' type='LINE'", "LINE", Text, None),
            ("category='EVENT' type='EXECUTION'", "EXECUTION", Text, None),
            ("category='EVENT' type='MESSAGE'", "MESSAGE", Text, None),
            ("category='EVENT' type='ALARM'", "ALARM", Condition, None),
            ("category='EVENT' type='ROTATION' units='DEGREE_3D'", "ROTATION", Vector, Some("deg")),
            ("category='EVENT' type='VARIABLE' representation='DATA_SET'", "VARIABLE", Entries, None),
            (
                "category='EVENT' type='WORK_OFFSET' representation='TABLE' units='MILLIMETER'",
                "WORK_OFFSET",
                Entries,
                Some("mm"),
            ),
            ("category='EVENT' type='ASSET_CHANGED'", "ASSET_CHANGED", Entries, None),
            ("category='CONDITION' type='LOAD'", "LOAD", Condition, None),
        ] {
            let mapping = mapping(&format!("<DataItem id='a' {attributes}/>"));
            let signal = mapping.profile().signal(0);
            assert_eq!(&*signal.meaning, format!("mtconnect:{meaning}"));
            assert_eq!((signal.kind, signal.unit.as_deref()), (kind, unit), "{attributes}");
            assert_eq!(signal.description.as_deref(), Some("Device"));
        }
        assert!(NUMERIC_EVENTS.is_sorted());
    }

    #[test]
    fn a_name_becomes_the_signal_id_only_where_nothing_else_could_be_meant() {
        let event = |id: &str, name: &str| format!("<DataItem id='{id}' name='{name}' category='EVENT' type='X'/>");
        let mapping = mapping(
            &[event("1", "a"), event("2", "b"), event("3", "b"), event("4", "5"), event("5", "c"), event("d", "d")]
                .concat(),
        );
        let ids: Vec<&str> = mapping.profile().signals().iter().map(|signal| &*signal.id).collect();
        assert_eq!(ids, ["a", "2", "3", "4", "c", "d", "asset_changed", "asset_removed", "gap"]);
        for (key, place) in [("a", 0), ("1", 0), ("2", 1), ("3", 2), ("4", 3), ("5", 4), ("c", 4), ("d", 5)] {
            assert_eq!(mapping.signal_of_key(key.as_bytes()), Some(place), "{key}");
        }
        assert_eq!(mapping.signal_of_key(b"b"), None, "two data items have that name");
        assert_eq!(mapping.signal_of_id("5"), Some(4));
        assert_eq!(mapping.signal_of_id("a"), None, "an agent speaks of ids only");
    }

    #[test]
    fn a_source_is_a_key_and_our_own_signals_give_way_to_the_model() {
        let mapping = mapping(
            "<DataItem id='1' name='gap' category='EVENT' type='X'><Source>PLC:7</Source></DataItem>\
             <DataItem id='chg' category='EVENT' type='ASSET_CHANGED'/>",
        );
        assert_eq!(mapping.signal_of_key(b"PLC:7"), Some(0));
        assert_eq!(mapping.asset_changed(), 1);
        assert_eq!(&*mapping.profile().signal(mapping.gap()).id, "gap_2");
        assert_eq!(&*mapping.profile().signal(mapping.gap()).meaning, "tongmai:gap");
        assert_eq!(mapping.profile().signal(mapping.asset_removed()).kind, ValueKind::Entries);
        assert_eq!(mapping.asset().as_str(), "machine/M_1");
        assert!(mapping.is_called("lathe") && mapping.is_called("M 1") && !mapping.is_called("mill"));
    }

    #[test]
    fn units_that_cannot_be_converted_are_told() {
        let mapping = mapping("<DataItem id='a' category='SAMPLE' type='X' units='MILLIMETER' nativeUnits='SECOND'/>");
        assert_eq!(mapping.wire(0).conversion, None);
        assert!(mapping.warnings()[0].contains("`a` are kept as they come: cannot convert SECOND to MILLIMETER"));
    }

    #[test]
    fn a_device_without_place_in_the_house_is_refused() {
        let device = Device { uuid: "u".into(), ..Device::default() };
        assert!(Mapping::new(&device, "Lathe 1").unwrap_err().to_string().contains("profile of the device `u`"));
        assert!(Mapping::new(&Device::default(), "lathe").unwrap_err().to_string().contains("asset of the device"));
    }
}

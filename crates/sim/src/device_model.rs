//! The device model of a machine, as MTConnect part 2 writes it, version 2.0. Knows the table of signals, not their values.

use std::fmt::Write;

use crate::signals::{Place, Signal, Source};

/// Who the machine is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) uuid: String,
    pub(crate) model: &'static str,
    pub(crate) serial_number: String,
}

/// An `MTConnectDevices` document that describes one machine; valid against the official schema of MTConnect 2.0.
pub(crate) fn device_xml(identity: &Identity, signals: &[Signal], created: model::Timestamp) -> String {
    let Identity { name, uuid, model, serial_number } = identity;
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <MTConnectDevices xmlns=\"urn:mtconnect.org:MTConnectDevices:2.0\">\n\
         <Header creationTime=\"{created}\" deviceModelChangeTime=\"{created}\" sender=\"{name}\" instanceId=\"1\" version=\"2.0\" \
         bufferSize=\"131072\" assetBufferSize=\"1024\" assetCount=\"0\"/>\n<Devices>\n\
         <Device id=\"{name}\" uuid=\"{uuid}\" name=\"{name}\">\n\
         <Description manufacturer=\"Tongmai\" model=\"{model}\" serialNumber=\"{serial_number}\">\
         Simulated machine tool</Description>\n"
    );
    let mut writer = Writer { xml: &mut xml, name, signals };
    writer.data_items(&[Place::Device]);
    writer.xml.push_str("<Components>\n");
    writer.axes();
    writer.open("Controller", "controller", "Controller");
    writer.data_items(&[Place::Controller]);
    writer.xml.push_str("<Components>\n");
    writer.component("Path", "path", "P1", &[Place::Path, Place::Pallet]);
    writer.xml.push_str("</Components>\n</Controller>\n");
    writer.group(
        "Systems",
        &[
            ("Electric", "electric", Place::Electric),
            ("Coolant", "coolant", Place::Coolant),
            ("Hydraulic", "hydraulic", Place::Hydraulic),
            ("Pneumatic", "pneumatic", Place::Pneumatic),
        ],
    );
    writer.group("Auxiliaries", &[("Turret", "turret", Place::Turret), ("ToolMagazine", "magazine", Place::Magazine)]);
    xml.push_str("</Components>\n</Device>\n</Devices>\n</MTConnectDevices>\n");
    xml
}

/// `type` and `subType`, `category`, `units` and the rest follow from the signal; ids are unique by the machine's name.
struct Writer<'a> {
    xml: &'a mut String,
    name: &'a str,
    signals: &'a [Signal],
}

impl Writer<'_> {
    fn axes(&mut self) {
        self.open("Axes", "axes", "Axes");
        self.xml.push_str("<Components>\n");
        for axis in ["X", "Y", "Z"] {
            self.component("Linear", &axis.to_lowercase(), axis, &[Place::Linear(axis)]);
        }
        for axis in ["B", "C"] {
            self.component("Rotary", &axis.to_lowercase(), axis, &[Place::Rotary(axis)]);
        }
        self.component("Rotary", "s1", "S1", &[Place::Spindle]);
        self.xml.push_str("</Components>\n</Axes>\n");
    }

    fn group(&mut self, group: &str, members: &[(&str, &str, Place)]) {
        self.open(group, &group.to_lowercase(), group);
        self.xml.push_str("<Components>\n");
        for (element, id, place) in members {
            self.component(element, id, element, &[*place]);
        }
        let _ = writeln!(self.xml, "</Components>\n</{group}>");
    }

    /// A component that has signals; one without is left out.
    fn component(&mut self, element: &str, id: &str, component_name: &str, places: &[Place]) {
        if self.signals.iter().any(|signal| places.contains(&signal.place)) {
            self.open(element, id, component_name);
            self.data_items(places);
            let _ = writeln!(self.xml, "</{element}>");
        }
    }

    fn open(&mut self, element: &str, id: &str, component_name: &str) {
        let _ = writeln!(self.xml, "<{element} id=\"{}.{id}\" name=\"{component_name}\">", self.name);
    }

    fn data_items(&mut self, places: &[Place]) {
        self.xml.push_str("<DataItems>\n");
        for signal in self.signals.iter().filter(|signal| places.contains(&signal.place)) {
            let _ = write!(self.xml, "<DataItem id=\"{}.{}\" name=\"{}\"", self.name, signal.name, signal.name);
            let (meaning, sub_type) = signal.meaning.split_once('.').unwrap_or((signal.meaning, ""));
            let category = match signal.source {
                Source::Sample { .. } => "SAMPLE",
                Source::Condition => "CONDITION",
                Source::Event(_) | Source::Message | Source::DataSet(_) => "EVENT",
            };
            let _ = write!(self.xml, " category=\"{category}\" type=\"{meaning}\"");
            if !sub_type.is_empty() {
                let _ = write!(self.xml, " subType=\"{sub_type}\"");
            }
            if let Source::Sample { units, .. } = signal.source {
                let _ = write!(self.xml, " units=\"{units}\" nativeUnits=\"{units}\"");
            }
            if signal.duration_secs().is_some() {
                self.xml.push_str(" statistic=\"ROOT_MEAN_SQUARE\"");
            }
            if matches!(signal.source, Source::DataSet(_)) {
                self.xml.push_str(" representation=\"DATA_SET\"");
            }
            self.xml.push_str("/>\n");
        }
        self.xml.push_str("</DataItems>\n");
    }
}

//! Device models, good and bad, ours and real ones, against what the standard says of them.

use std::path::Path;

use super::*;

const ROOT: &str = r#"<MTConnectDevices xmlns="urn:mtconnect.org:MTConnectDevices:1.7">"#;

/// A document with one device that holds `inside`, on line 2.
fn document(inside: &str) -> String {
    format!("{ROOT}\n<Devices><Device uuid=\"u1\" name=\"M1\" id=\"d1\">{inside}</Device></Devices></MTConnectDevices>")
}

fn items(inside: &str) -> String {
    document(&format!("<DataItems>{inside}</DataItems>"))
}

#[track_caller]
fn read_item(attributes_and_children: &str) -> DataItem {
    let xml = items(&format!("<DataItem {attributes_and_children}"));
    let devices = read_devices(xml.as_bytes()).unwrap();
    assert_eq!(devices.warnings, []);
    devices.devices[0].data_items[0].clone()
}

#[test]
fn a_data_item_is_read_with_all_it_says() {
    let item = read_item(
        r#"id="a" name="Xpos" category="SAMPLE" type="POSITION" subType="ACTUAL" units="MILLIMETER" nativeUnits="INCH"
           nativeScale="0.5" sampleRate="100" statistic="AVERAGE" compositionId="m" significantDigits="4" coordinateSystem="WORK">
           <Source>axes:X&amp;1</Source><Constraints><Minimum>-1</Minimum><Maximum>2</Maximum><Nominal>0.5</Nominal></Constraints>
           <Filters><Filter type="MINIMUM_DELTA">.5</Filter><Filter type="PERIOD">10</Filter></Filters>
           <InitialValue>1</InitialValue><ResetTrigger>DAY</ResetTrigger></DataItem>"#,
    );
    assert_eq!((item.id.as_str(), item.name.as_deref()), ("a", Some("Xpos")));
    assert_eq!(
        (item.category, item.type_.as_str(), item.sub_type.as_deref()),
        (Category::Sample, "POSITION", Some("ACTUAL"))
    );
    assert_eq!((item.units.as_deref(), item.native_units.as_deref()), (Some("MILLIMETER"), Some("INCH")));
    assert_eq!((item.native_scale, item.sample_rate_hz, item.significant_digits), (Some(0.5), Some(100.0), Some(4)));
    assert_eq!((item.statistic.as_deref(), item.composition_id.as_deref()), (Some("AVERAGE"), Some("m")));
    assert_eq!((item.source.as_deref(), item.coordinate_system.as_deref()), (Some("axes:X&1"), Some("WORK")));
    let Constraints { values, minimum, maximum, nominal } = item.constraints;
    assert_eq!((values, minimum, maximum, nominal), (vec![], Some(-1.0), Some(2.0), Some(0.5)));
    assert_eq!(item.filters, [Filter::MinimumDelta(0.5), Filter::PeriodSecs(10.0)]);
    assert_eq!((item.initial_value.as_deref(), item.reset_trigger.as_deref()), (Some("1"), Some("DAY")));
    assert_eq!((item.component_path.as_str(), item.line), ("Device", 2));
}

#[test]
fn representations_of_all_ages_are_known() {
    for (attributes, representation, discrete) in [
        ("", Representation::Value, false),
        ("representation='DISCRETE'", Representation::Discrete, true),
        ("discrete='true'", Representation::Value, true),
        ("representation='TIME_SERIES'", Representation::TimeSeries, false),
        ("representation='DATA_SET'", Representation::DataSet, false),
        ("representation='TABLE'", Representation::Table, false),
    ] {
        let item = read_item(&format!("id='a' category='EVENT' type='X' {attributes}/>"));
        assert_eq!((item.representation, item.discrete), (representation, discrete), "{attributes}");
    }
}

#[test]
fn a_single_allowed_value_is_constant_and_definitions_are_no_constraints() {
    let one = "<Constraints><Value>INDEX</Value></Constraints>";
    let two = "<Constraints><Value>INDEX</Value><Value>SPINDLE</Value></Constraints>";
    let cell = "<Definition><CellDefinitions><CellDefinition key='X'><Constraints><Value>1</Value></Constraints>\
                </CellDefinition></CellDefinitions></Definition>";
    for (inside, constant) in [(one, Some("INDEX")), (two, None), (cell, None)] {
        let item = read_item(&format!("id='a' category='EVENT' type='ROTARY_MODE'>{inside}</DataItem>"));
        assert_eq!(item.constraints.constant(), constant, "{inside}");
    }
}

#[test]
fn the_path_names_the_component_and_the_one_above() {
    let item = "<DataItems><DataItem id='a' category='EVENT' type='X'/></DataItems>";
    for (before, after, path) in [
        ("", "", "Device"),
        ("<Components><Controller id='c'>", "</Controller></Components>", "Controller"),
        (
            "<Components><Axes id='x' name='base'><Components><Rotary id='r' name='S1'>",
            "</Rotary></Components></Axes></Components>",
            "Axes/Rotary[S1]",
        ),
        (
            "<Components><Axes id='x'><Components><x:Spin id='r7'><Components><Motor id='m'>",
            "</Motor></Components></x:Spin></Components></Axes></Components>",
            "Spin[r7]/Motor[m]",
        ),
        (
            "<Components><Linear id='l' name='X'><Compositions><Composition type='MOTOR' id='m'>",
            "</Composition></Compositions></Linear></Components>",
            "Linear[X]/Composition[m]",
        ),
    ] {
        let devices = read_devices(document(&format!("{before}{item}{after}")).as_bytes()).unwrap();
        assert_eq!(devices.devices[0].data_items[0].component_path, path);
    }
}

#[test]
fn what_can_be_put_up_with_becomes_a_warning() {
    for (xml, warning) in [
        (
            "<Device name='M1'><DataItems><DataItem id='a' category='EVENT' type='X'/></DataItems></Device>".to_owned(),
            "line 1: the device has no uuid; `M1` is taken instead",
        ),
        (items("\n<DataItem category='EVENT' type='X'/>"), "line 3: a data item without id and name is left out"),
        (items("<DataItem id='a' category='EVENTS' type='X'/>"), "the category `EVENTS`; it is taken for an EVENT"),
        (items("<DataItem id='a' category='EVENT' type='X' representation='LIST'/>"), "representation `LIST`; VALUE"),
        (items("<DataItem id='a' category='EVENT'/>"), "`a` has no type"),
        (
            items(
                "<DataItem id='a' name='n' category='EVENT' type='X'/>\n<DataItem id='b' name='n' category='EVENT' type='X'/>",
            ),
            "line 3: the data item name `n` is already used in line 2; both are known by their ids",
        ),
        (
            format!(
                "<Devices>{0}\n{1}</Devices>",
                "<Device uuid='1'><DataItems><DataItem id='a' category='EVENT' type='X'/></DataItems></Device>",
                "<Device uuid='2'><DataItems><DataItem id='a' category='EVENT' type='X'/></DataItems></Device>"
            ),
            "line 2: the data item id `a` is already used by another device in line 1",
        ),
        (
            items(
                "<DataItem id='a' category='SAMPLE' type='X'><Constraints><Minimum>low</Minimum></Constraints></DataItem>",
            ),
            "`a` is not a number: `low`",
        ),
    ] {
        let devices = read_devices(xml.as_bytes()).unwrap();
        let warnings: Vec<String> = devices.warnings.iter().map(ToString::to_string).collect();
        assert!(warnings.len() == 1 && warnings[0].contains(warning), "{warnings:?}, expected {warning}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_line_and_reason() {
    let twice = "<DataItem id='a' category='EVENT' type='X'/>\n\n<DataItem id='a' category='EVENT' type='Y'/>";
    for (xml, expected) in [
        (items(twice), "line 4: the data item id `a` is already used in line 2"),
        (
            "<Devices><Device uuid='1'/>\n<Device uuid='1'/></Devices>".into(),
            "line 2: the device uuid `1` is already used in line 1",
        ),
        ("<Devices><Device/></Devices>".into(), "expected a device with a uuid, got one with neither"),
        ("<Devices>\n<Device uuid='1'>\n".into(), "line 3: expected well-formed XML, got its end while 2 elements"),
        ("<Devices>\n<Device uuid='1'>\n</Devize></Devices>".into(), "line 3: expected well-formed XML"),
        ("<Devices/>".into(), "expected a `Device` element, got none"),
        (String::new(), "expected a `Device` element, got no element at all"),
        (
            "\n<MTConnectStreams/>".into(),
            "line 2: expected an MTConnectDevices document, got the element `MTConnectStreams`",
        ),
        ("<html><body>login</body></html>".into(), "got the element `html`"),
        ("<Devices>".repeat(65), "more than 64 levels"),
    ] {
        let error = read_devices(xml.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}, expected {expected}");
    }
    let bytes = b"<Devices>\n<Device uuid='\xFF'/></Devices>";
    assert_eq!(read_devices(bytes).unwrap_err().to_string(), "line 2: expected UTF-8, got the byte 0xFF");
    let error = read_devices(b"\xFF\xFE<\0").unwrap_err().to_string();
    assert_eq!(error, "line 1: expected UTF-8, got UTF-16");
}

#[test]
fn prefixes_marks_comments_and_older_encodings_do_no_harm() {
    let prefixed = "\u{FEFF}<?xml version='1.0'?><!-- <Device/> --><m:MTConnectDevices xmlns:m='urn:mtconnect.org:MTConnectDevices:2.7'>\
        <m:Header version='1.2'/><m:Devices><m:Device uuid='u' id='d'><m:Description manufacturer='M'> a\n <![CDATA[b]]> </m:Description>\
        <m:DataItems><m:DataItem id='a' x:id='b' category='EVENT' type='X'/></m:DataItems></m:Device></m:Devices></m:MTConnectDevices>";
    let devices = read_devices(prefixed.as_bytes()).unwrap();
    assert_eq!(devices.version, Some((2, 7)));
    let device = devices.find("d").unwrap();
    assert_eq!(device.description.text.as_deref(), Some("a b"));
    assert_eq!(device.description.manufacturer.as_deref(), Some("M"));
    assert_eq!(device.data_items[0].id, "a");
    let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><Devices><Device uuid='Fr\xE4se'/></Devices>";
    assert_eq!(read_devices(latin).unwrap().devices[0].uuid, "Fräse");
    let header = "<MTConnectDevices><Header version='1.4.0'/><Devices><Device uuid='u'/></Devices></MTConnectDevices>";
    assert_eq!(read_devices(header.as_bytes()).unwrap().version, Some((1, 4)));
}

#[test]
fn real_models_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/mtconnect");
    let Ok(samples) = std::fs::read_dir(folder.join("samples")) else {
        eprintln!("skipped: ../shared/data/mtconnect is not there");
        return;
    };
    let mut read = 0;
    for path in samples.map(|entry| entry.unwrap().path()).chain([folder.join("okuma-devices.xml")]) {
        let xml = std::fs::read(&path).unwrap();
        let devices = read_devices(&xml).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // What is commented out is no data item.
        let text = String::from_utf8_lossy(&xml);
        let bare: String = text
            .split("<!--")
            .enumerate()
            .map(|(n, part)| if n == 0 { part } else { part.split_once("-->").map_or("", |(_, rest)| rest) })
            .collect();
        let expected = bare.matches("<DataItem ").count()
            + bare.matches("<DataItem\n").count()
            + bare.matches("<DataItem\t").count();
        let got: usize = devices.devices.iter().map(|device| device.data_items.len()).sum();
        assert_eq!(got, expected, "{}: {:?}", path.display(), devices.warnings);
        eprintln!("{}: {got} data items, {:?}", path.display(), devices.warnings);
        read += 1;
    }
    assert_eq!(read, 14);
}

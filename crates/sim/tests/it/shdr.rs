//! The rules of SHDR, written down from the protocol's own words as a check of lines. Shares no code with any gateway.

use std::collections::BTreeMap;

/// What a device model says about one data item.
#[derive(Debug)]
pub(crate) struct Item {
    attributes: BTreeMap<String, String>,
}

impl Item {
    fn is(&self, attribute: &str, value: &str) -> bool {
        self.attributes.get(attribute).is_some_and(|known| known == value)
    }
}

/// One value, condition entry or message.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) name: String,
    pub(crate) at_ms: i64,
    pub(crate) fields: Vec<String>,
}

/// The data items of a device model by name. Panics when two share a name or an id.
pub(crate) fn data_items(xml: &str) -> BTreeMap<String, Item> {
    let mut items = BTreeMap::new();
    let mut ids = std::collections::BTreeSet::new();
    for element in xml.split("<DataItem ").skip(1) {
        let (head, _) = element.split_once('>').unwrap();
        let mut attributes = BTreeMap::new();
        for pair in head.trim_end_matches('/').split_inclusive("\" ").map(str::trim) {
            let (key, value) = pair.split_once("=\"").unwrap();
            attributes.insert(key.to_owned(), value.trim_end_matches('"').to_owned());
        }
        assert!(ids.insert(attributes["id"].clone()), "two data items have the id {}", attributes["id"]);
        let name = attributes["name"].clone();
        assert!(items.insert(name.clone(), Item { attributes }).is_none(), "two data items are named {name}");
    }
    items
}

/// Splits at bars; a field in quotes may hold escaped ones.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars().peekable();
    let mut quoted = false;
    while let Some(character) = characters.next() {
        let field = fields.last_mut().unwrap();
        match character {
            '"' if field.is_empty() && !quoted => quoted = true,
            '"' if quoted => quoted = false,
            '\\' if quoted && characters.peek() == Some(&'|') => field.extend(characters.next()),
            '|' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    assert!(!quoted, "a quote is left open: {line}");
    fields
}

/// Reads lines and checks each on its own.
pub(crate) fn read_lines(text: &str, items: &BTreeMap<String, Item>) -> Result<Vec<Said>, String> {
    assert!(text.ends_with('\n'), "the last line is complete");
    let mut said = Vec::new();
    for line in text.lines() {
        said.extend(read_line(line, items).map_err(|problem| format!("{problem}: {line}"))?);
    }
    Ok(said)
}

/// As [`read_lines`], for news: time does not go back, and nothing is said twice of one signal at one time.
pub(crate) fn check_lines(text: &str, items: &BTreeMap<String, Item>) -> Result<Vec<Said>, String> {
    let said = read_lines(text, items)?;
    let mut seen = std::collections::BTreeSet::new();
    for pair in said.windows(2) {
        if pair[1].at_ms < pair[0].at_ms {
            return Err(format!("time goes back: {pair:?}"));
        }
    }
    for said in &said {
        let code = if items[&said.name].is("category", "CONDITION") { said.fields[1].clone() } else { String::new() };
        if !seen.insert((said.name.clone(), said.at_ms, code)) {
            return Err(format!("said twice at one time: {said:?}"));
        }
    }
    Ok(said)
}

fn read_line(line: &str, items: &BTreeMap<String, Item>) -> Result<Vec<Said>, String> {
    let fields = fields(line);
    let (time, duration) = match fields[0].split_once('@') {
        Some((time, duration)) => (time, Some(duration.parse::<f64>().map_err(|_| "the duration is no number")?)),
        None => (fields[0].as_str(), None),
    };
    let at_ms = time.parse::<model::Timestamp>().map_err(|error| error.to_string())?.millis();
    let name = fields.get(1).ok_or("no data item")?;
    let item = items.get(name).ok_or("an unknown data item")?;
    if item.attributes.contains_key("statistic") != duration.is_some() {
        return Err("a statistic needs a duration, and only a statistic has one".into());
    }
    let alone = |count: usize| {
        if fields.len() == count + 2 {
            Ok(vec![Said { name: name.clone(), at_ms, fields: fields[2..].to_vec() }])
        } else {
            Err(format!("expected {count} fields behind the name, got {}", fields.len() - 2))
        }
    };
    if item.is("category", "CONDITION") {
        check_condition(&fields[2..])?;
        return alone(5);
    }
    if item.is("type", "MESSAGE") {
        return alone(2);
    }
    let mut said = Vec::new();
    for pair in fields[1..].chunks(2) {
        let [name, value] = pair else { return Err("a data item without a value".into()) };
        let item = items.get(name).ok_or("an unknown data item")?;
        if item.is("category", "CONDITION") || item.is("type", "MESSAGE") {
            return Err("conditions and messages stand on a line of their own".into());
        }
        check_value(item, value)?;
        said.push(Said { name: name.clone(), at_ms, fields: vec![value.clone()] });
    }
    Ok(said)
}

fn check_condition(fields: &[String]) -> Result<(), String> {
    let [level, native_code, _severity, qualifier, message] = fields else {
        return Err("a condition has five fields".into());
    };
    if !["", "HIGH", "LOW"].contains(&qualifier.as_str()) {
        return Err(format!("`{qualifier}` is no qualifier"));
    }
    match level.as_str() {
        "NORMAL" if message.is_empty() => Ok(()),
        "WARNING" | "FAULT" if !message.is_empty() && !native_code.is_empty() => Ok(()),
        _ => Err(format!("`{level}` is no level, or a part is missing")),
    }
}

fn check_value(item: &Item, value: &str) -> Result<(), String> {
    if value == "UNAVAILABLE" {
        return Ok(());
    }
    if item.is("category", "SAMPLE") {
        let count = if item.is("units", "MILLIMETER_3D") { 3 } else { 1 };
        let numbers: Vec<f64> =
            value.split(' ').filter_map(|number| number.parse().ok()).filter(|n: &f64| n.is_finite()).collect();
        return if numbers.len() == count { Ok(()) } else { Err(format!("`{value}` is not {count} numbers")) };
    }
    if item.is("representation", "DATA_SET") {
        let entries = value
            .split(' ')
            .all(|entry| entry.split_once('=').is_some_and(|(key, value)| !key.is_empty() && !value.is_empty()));
        return if entries { Ok(()) } else { Err(format!("`{value}` is no data set")) };
    }
    let vocabulary: &[&str] = match item.attributes["type"].as_str() {
        "AVAILABILITY" => &["AVAILABLE"],
        "EMERGENCY_STOP" => &["ARMED", "TRIGGERED"],
        "CONTROLLER_MODE" => &["AUTOMATIC", "MANUAL", "MANUAL_DATA_INPUT", "SEMI_AUTOMATIC", "EDIT"],
        "EXECUTION" => &[
            "READY",
            "ACTIVE",
            "INTERRUPTED",
            "FEED_HOLD",
            "STOPPED",
            "OPTIONAL_STOP",
            "PROGRAM_STOPPED",
            "PROGRAM_COMPLETED",
            "WAIT",
        ],
        _ => return if value.is_empty() { Err("an empty value".into()) } else { Ok(()) },
    };
    if vocabulary.contains(&value) { Ok(()) } else { Err(format!("`{value}` is not in the vocabulary {vocabulary:?}")) }
}

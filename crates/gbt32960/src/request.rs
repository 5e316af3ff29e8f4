//! What a platform can ask of a vehicle (commands 0x80 to 0x82), said by names: it becomes the data unit that the edition of
//! the vehicle has for it. Knows neither vehicles nor connections.

use model::Quality;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::content::{Content, Node};
use crate::edition::Command;
use crate::error::EncodeError;
use crate::json::{bytes_from_json, node_from_json};
use crate::layout::{Field, Layout, MessageLayout, ParameterLayout, What};
use crate::time::WireTime;

/// Parameters that one data unit can name.
const PARAMETERS_MAX: usize = 252;
/// The control command whose arguments begin with a level of alarm.
const ALARM: u8 = 0x06;

/// What is asked of a vehicle, as JSON: `{"command": "query_parameters", "parameters": ["report_period"]}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The values of parameters.
    QueryParameters {
        /// Their names.
        parameters: Vec<String>,
    },
    /// New values for parameters.
    SetParameters {
        /// Names and physical values.
        parameters: Map<String, Value>,
    },
    /// That it does something.
    Control {
        /// What.
        control: Control,
    },
}

/// What a vehicle is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// The word that the layout has for it, such as `reset`.
    pub kind: String,
    /// What it needs to know: of `alarm` a `level` and a `text`, of `upgrade` a `text`, of others `bytes` in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub arguments: Value,
}

impl Request {
    /// The command of the frame that asks for it.
    pub fn command(&self) -> Command {
        match self {
            Self::QueryParameters { .. } => Command::PARAMETER_QUERY,
            Self::SetParameters { .. } => Command::PARAMETER_SET,
            Self::Control { .. } => Command::CONTROL,
        }
    }

    /// The data unit that asks for it at `time`.
    ///
    /// # Errors
    /// When the edition has no such parameter or control, or a value is not allowed; names it.
    pub fn data_unit(&self, layout: &Layout, time: WireTime) -> Result<Vec<u8>, EncodeError> {
        let content = match self {
            Self::QueryParameters { parameters } => query(layout, parameters, time),
            Self::SetParameters { parameters } => set(layout, parameters, time),
            Self::Control { control } => command(layout, control, time).map_err(|error| error.within("control")),
        };
        content?.write(layout, self.command())
    }
}

fn query(layout: &Layout, names: &[String], time: WireTime) -> Result<Content, EncodeError> {
    check_number(names.len())?;
    let mut numbers = Vec::new();
    for name in names {
        let (number, parameter) = parameter(layout, name)?;
        // What tells the length of a text comes before it.
        let length = length_of(layout, parameter).map(|(number, _)| number);
        numbers.extend(length.into_iter().chain([number]).map(u64::from));
    }
    let mut asked = [false; 256];
    numbers.retain(|number| !std::mem::replace(&mut asked[*number as usize], true));
    Ok(Content::Message(vec![Node::Bytes(time.into()), Node::Array(numbers.len() as u64, numbers)]))
}

fn set(layout: &Layout, parameters: &Map<String, Value>, time: WireTime) -> Result<Content, EncodeError> {
    check_number(parameters.len())?;
    let mut values = Vec::new();
    for (name, shown) in parameters {
        let (number, known) = parameter(layout, name)?;
        if known.read_only || known.field.noted.is_some() {
            let why = if known.read_only { "one that can only be asked for" } else { "the length of another one" };
            return Err(EncodeError::new(format!("parameters.{name}"), "a parameter that can be set", why));
        }
        let value = value(&known.field, shown).map_err(|error| error.within(name).within("parameters"))?;
        if let (Some((length, _)), Node::Bytes(text)) = (length_of(layout, known), &value) {
            values.push((length, Node::Number(text.len() as u64)));
        }
        values.push((number, value));
    }
    Ok(Content::Parameters { time, count: values.len() as u8, values })
}

fn command(layout: &Layout, control: &Control, time: WireTime) -> Result<Content, EncodeError> {
    let kinds = layout.message(Command::CONTROL).map(controls).unwrap_or_default();
    let wanted = control.kind.replace('_', " ");
    let Some((code, _)) = kinds.iter().find(|(_, word)| **word == wanted) else {
        let words: Vec<&str> = kinds.iter().map(|(_, word)| *word).collect();
        return Err(EncodeError::new("kind", format!("one of: {}", words.join(", ")), &*control.kind));
    };
    let arguments = arguments(*code, &control.arguments).map_err(|error| error.within("arguments"))?;
    Ok(Content::Message(vec![Node::Bytes(time.into()), Node::Number(u64::from(*code)), Node::Bytes(arguments.into())]))
}

/// The codes and words of what a vehicle can be told to do.
fn controls(message: &MessageLayout) -> Vec<(u8, &str)> {
    let numbers = message.group.fields.iter().filter_map(|field| match &field.what {
        What::Number(number) => Some(number),
        _ => None,
    });
    numbers.flat_map(|number| number.values.iter().map(|(code, word)| (*code as u8, word.as_str()))).collect()
}

fn arguments(control: u8, shown: &Value) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    if control == ALARM {
        let level = shown["level"].as_u64().and_then(|level| u8::try_from(level).ok());
        bytes.push(level.ok_or_else(|| EncodeError::new("level", "a level of alarm", shown["level"].to_string()))?);
    }
    let is_said = shown["text"].is_string() || shown["bytes"].is_string();
    if is_said {
        bytes.extend(bytes_from_json("", shown)?);
    } else if !shown.is_null() && control != ALARM {
        return Err(EncodeError::new("", "`text`, or `bytes` in hexadecimal digits", shown.to_string()));
    }
    Ok(bytes)
}

fn check_number(parameters: usize) -> Result<(), EncodeError> {
    match parameters {
        1..=PARAMETERS_MAX => Ok(()),
        _ => Err(EncodeError::new("parameters", format!("1 to {PARAMETERS_MAX}"), parameters.to_string())),
    }
}

fn parameter<'a>(layout: &'a Layout, name: &str) -> Result<(u8, &'a ParameterLayout), EncodeError> {
    layout.parameters().find(|(_, parameter)| parameter.field.id == name).ok_or_else(|| {
        let known: Vec<&str> = layout.parameters().map(|(_, parameter)| parameter.field.id.as_str()).collect();
        let edition = layout.edition.year();
        EncodeError::new("parameters", format!("parameters of {edition} ({})", known.join(", ")), format!("`{name}`"))
    })
}

/// The parameter that tells how long the text `parameter` is.
fn length_of<'a>(layout: &'a Layout, parameter: &ParameterLayout) -> Option<(u8, &'a ParameterLayout)> {
    let What::TextOf(slot) = parameter.field.what else { return None };
    layout.parameters().find(|(_, length)| length.field.noted == Some(slot))
}

/// A value that the standard allows; texts are of ASCII.
fn value(field: &Field, shown: &Value) -> Result<Node, EncodeError> {
    let is_text = !matches!(field.what, What::Number(_));
    let node = match shown.as_str() {
        Some(text) if is_text => node_from_json(field, &json!({ "text": text })),
        _ => node_from_json(field, shown),
    }?;
    match (&field.what, &node) {
        (What::Number(number), Node::Number(raw))
            if number.quality(*raw) != Quality::Good || !number.is_in_range(*raw) =>
        {
            let (least, most) = (number.physical(number.range.0, false), number.physical(number.range.1, false));
            Err(EncodeError::new("", format!("{least} to {most}"), shown.to_string()))
        }
        (What::TextOf(_), Node::Bytes(text)) if !text.is_ascii() || text.len() > 255 => {
            Err(EncodeError::new("", "at most 255 characters of ASCII", shown.to_string()))
        }
        _ => Ok(node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edition::{Edition, Response};
    use crate::frame::{Frame, Header, Vin};
    use crate::json::frame_to_json;
    use crate::standard::Standard;
    use crate::{Encryption, Unit};

    const TIME: WireTime = [26, 7, 7, 18, 0, 0];

    fn data(edition: Edition, request: Value) -> Result<String, String> {
        let request: Request = serde_json::from_value(request).map_err(|error| error.to_string())?;
        let standard = Standard::built_in();
        let layout = standard.layout(edition);
        let data = request.data_unit(layout, TIME).map_err(|error| error.to_string())?;
        let vin = Vin::new("LTMTEST0000000001").unwrap();
        let (command, response) = (request.command(), Response::COMMAND);
        let header = Header { edition, command, response, vin, encryption: Encryption::NONE };
        Unit::parse(layout, &header, &data).expect("what was written can be read");
        Ok(data.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    #[test]
    fn an_order_is_written_as_the_edition_has_it() {
        let query = json!({ "command": "query_parameters", "parameters": ["report_period", "host", "host_bytes"] });
        assert_eq!(data(Edition::E2016, query).unwrap(), "1a0707120000 03 020405".replace(' ', ""));
        let set = json!({ "command": "set_parameters", "parameters": { "report_period": 30, "host": "a.cn" } });
        assert_eq!(
            data(Edition::E2016, set.clone()).unwrap(),
            "1a0707120000 03 0404 05612e636e 02001e".replace(' ', "")
        );
        assert_eq!(data(Edition::E2025, set).unwrap(), "1a0707120000 03 0404 05612e636e 021e".replace(' ', ""));
        for (control, expected) in [
            (json!({ "kind": "reset" }), "03"),
            (json!({ "kind": "power_off" }), "02"),
            (json!({ "kind": "alarm", "arguments": { "level": 2, "text": "stop" } }), "060273746f70"),
            (json!({ "kind": "upgrade", "arguments": { "text": "ftp://a;b" } }), "016674703a2f2f613b62"),
            (json!({ "kind": "disconnect", "arguments": { "bytes": "00ff" } }), "0500ff"),
        ] {
            let said = data(Edition::E2016, json!({ "command": "control", "control": control })).unwrap();
            assert_eq!(said, format!("1a0707120000{expected}"));
        }
    }

    #[test]
    fn what_cannot_be_asked_is_named() {
        let set = |name: &str, value: Value| json!({ "command": "set_parameters", "parameters": { name: value } });
        let control = |control: Value| json!({ "command": "control", "control": control });
        for (edition, request, expected) in [
            (Edition::E2016, set("report_period", json!(601)), "parameters.report_period: expected 1 to 600, got 601"),
            (Edition::E2025, set("report_period", json!(31)), "parameters.report_period: expected 1 to 30, got 31"),
            (
                Edition::E2016,
                set("report_period", json!("soon")),
                "parameters.report_period: expected a number that fits",
            ),
            (Edition::E2016, set("report_period", json!("abnormal")), "expected 1 to 600, got \"abnormal\""),
            (Edition::E2016, set("firmware_version", json!("1")), "got one that can only be asked for"),
            (Edition::E2016, set("host_bytes", json!(3)), "got the length of another one"),
            (Edition::E2016, set("host", json!("平台")), "at most 255 characters of ASCII"),
            (Edition::E2016, set("speed", json!(3)), "expected parameters of 2016 (storage_period, report_period"),
            (Edition::E2016, json!({ "command": "query_parameters", "parameters": [] }), "expected 1 to 252, got 0"),
            (Edition::E2016, control(json!({ "kind": "fly" })), "control.kind: expected one of: upgrade, power off"),
            (Edition::E2016, control(json!({ "kind": "alarm" })), "control.arguments.level: expected a level"),
            (Edition::E2016, control(json!({ "kind": "reset", "arguments": 3 })), "control.arguments: expected `text`"),
            (Edition::E2016, json!({ "command": "destroy" }), "unknown variant `destroy`"),
        ] {
            let error = data(edition, request).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn the_answer_to_a_query_is_shown_by_names() {
        let bytes = "2323 80 01 4c544d54455354303030303030303030 31 01 0010 1a0707120000 03 02001e 0404 05612e636e";
        let digits: String = bytes.split(' ').collect();
        let mut frame: Vec<u8> =
            (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect();
        let length = frame.len() - 24;
        frame[23] = length as u8;
        frame.push(frame[2..].iter().fold(0, |all, byte| all ^ byte));
        let shown = frame_to_json(&Standard::built_in(), &Frame::parse(&frame).unwrap()).unwrap();
        let shown = serde_json::to_value(shown).unwrap();
        let parameters = shown["data"]["parameters"].as_array().unwrap();
        assert_eq!((&parameters[0]["id"], &parameters[0]["value"]["value"]), (&json!("report_period"), &json!(30)));
        assert_eq!((&parameters[2]["id"], &parameters[2]["value"]["text"]), (&json!("host"), &json!("a.cn")));
    }
}

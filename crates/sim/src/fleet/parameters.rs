//! What a platform may ask of a terminal: its parameters (80, 81) and a few orders (82). Parameters are kept for each
//! vehicle; what they look like, only the layout knows.

use std::collections::BTreeMap;

use gbt32960::{Command, Content, Edition, Field, Frame, Layout, Node, Response, Unit, What, WireTime};

use model::Quality;

/// The orders that a terminal knows, by their names in the layouts.
const DISCONNECTING: [&str; 3] = ["power off", "reset", "disconnect"];
const SILENT: [&str; 3] = ["upgrade", "alarm", "factory reset"];
const SAMPLING: &str = "start sampling link";

/// What a command changes besides the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// Reports come so often from now on, in seconds.
    ReportPeriod(u32),
    /// The connection ends, and begins anew.
    Reconnect,
}

/// An answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) response: Response,
    pub(super) data: Vec<u8>,
    pub(super) effect: Effect,
}

/// The parameters that were set; all others are what they are by default.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    set: BTreeMap<u8, Node>,
}

impl Parameters {
    /// Answers a command of the platform.
    pub(super) fn answer(&mut self, layout: &Layout, frame: &Frame<'_>, now: WireTime) -> Answer {
        // Clause 6.3.2: an answer keeps the time, of a command that cannot be read its own.
        let time = frame.data.get(..6).unwrap_or(&now);
        let plain = |response| Answer { response, data: time.to_vec(), effect: Effect::Nothing };
        let answer = match Unit::parse(layout, &frame.header, frame.data).map(|unit| unit.content) {
            Ok(Content::Message(nodes)) if frame.header.command == Command::PARAMETER_QUERY => {
                let data = self.query(layout, &nodes);
                data.map(|data| Answer { response: Response::OK, data, effect: Effect::Nothing })
            }
            Ok(Content::Parameters { values, .. }) => {
                self.set(layout, values).map(|effect| Answer { effect, ..plain(Response::OK) })
            }
            Ok(Content::Message(nodes)) if frame.header.command == Command::CONTROL => {
                self.control(layout, &nodes).map(|effect| Answer { effect, ..plain(Response::OK) })
            }
            Ok(_) | Err(_) => None,
        };
        answer.unwrap_or_else(|| plain(Response::ERROR))
    }

    /// Seconds between heartbeats.
    pub(super) fn heartbeat_secs(&self, layout: &Layout) -> u64 {
        match self.by_name(layout, "heartbeat_period") {
            Some(Node::Number(secs)) => secs.max(1),
            _ => 60,
        }
    }

    fn by_name(&self, layout: &Layout, name: &str) -> Option<Node> {
        let (number, parameter) = layout.parameters().find(|(_, parameter)| parameter.field.id == name)?;
        Some(self.value(layout, number, &parameter.field))
    }

    fn value(&self, layout: &Layout, number: u8, field: &Field) -> Node {
        self.set.get(&number).cloned().unwrap_or_else(|| usual(layout.edition, field))
    }

    /// The data unit of the answer to a query: time, number of parameters, and each with its value.
    fn query(&self, layout: &Layout, nodes: &[Node]) -> Option<Vec<u8>> {
        let [Node::Bytes(time), Node::Array(_, numbers)] = nodes else { return None };
        let mut values: Vec<(u8, Node)> = Vec::new();
        for number in numbers {
            let number = u8::try_from(*number).ok()?;
            let field = &layout.parameter(number)?.field;
            // A text comes behind its length, also where only the text was asked for.
            let length = layout.parameter(number.wrapping_sub(1)).filter(|_| matches!(field.what, What::TextOf(_)));
            if let Some(length) = length
                && !values.iter().any(|(known, _)| *known == number - 1)
            {
                values.push((number - 1, self.value(layout, number - 1, &length.field)));
            }
            values.push((number, self.value(layout, number, field)));
        }
        let time = (**time).try_into().ok()?;
        let count = u8::try_from(values.len()).ok()?;
        Content::Parameters { time, count, values }.write(layout, Command::PARAMETER_QUERY).ok()
    }

    /// Sets all of `values`, or none where one of them cannot be.
    fn set(&mut self, layout: &Layout, values: Vec<(u8, Node)>) -> Option<Effect> {
        let mut effect = Effect::Nothing;
        for (number, value) in &values {
            let parameter = layout.parameter(*number).filter(|parameter| !parameter.read_only)?;
            if let (What::Number(number), Node::Number(raw)) = (&parameter.field.what, value) {
                if number.quality(*raw) != Quality::Good || !number.is_in_range(*raw) {
                    return None;
                }
                if parameter.field.id == "report_period" {
                    effect = Effect::ReportPeriod(*raw as u32);
                }
            }
        }
        self.set.extend(values);
        Some(effect)
    }

    fn control(&mut self, layout: &Layout, nodes: &[Node]) -> Option<Effect> {
        let [_, Node::Number(order), _] = nodes else { return None };
        let field = &layout.message(Command::CONTROL)?.group.fields[1];
        let What::Number(number) = &field.what else { return None };
        let name = number.values.get(order)?.as_str();
        if name == SAMPLING {
            let (number, _) = layout.parameters().find(|(_, parameter)| parameter.field.id == "sampling")?;
            self.set.insert(number, Node::Number(1));
        } else if name == "factory reset" {
            self.set.clear();
        }
        match name {
            name if DISCONNECTING.contains(&name) => Some(Effect::Reconnect),
            name if name == SAMPLING || SILENT.contains(&name) => Some(Effect::Nothing),
            _ => None,
        }
    }
}

/// What a parameter is before anybody sets it.
fn usual(edition: Edition, field: &Field) -> Node {
    const HOST: &str = "platform.invalid";
    let text = |text: &str| Node::Bytes(text.as_bytes().into());
    Node::Number(match field.id.as_str() {
        "storage_period" => 10_000,
        "report_period" => 30,
        "alarm_report_period" if edition == Edition::E2016 => 1_000,
        "alarm_report_period" => 1,
        "host_bytes" | "public_host_bytes" => HOST.len() as u64,
        "host" | "public_host" => return text(HOST),
        "port" | "public_port" => 32_960,
        "hardware_version" => return text("TM1.0"),
        "firmware_version" => return text("SIM01"),
        "heartbeat_period" => 60,
        "terminal_timeout" | "platform_timeout" => 60,
        "login_pause" => 30,
        "sampling" => 2,
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use gbt32960::{Encryption, Header, Standard, Vin};

    use super::*;

    const NOW: WireTime = [26, 11, 26, 8, 0, 0];

    fn ask(parameters: &mut Parameters, edition: Edition, command: Command, data: &[u8]) -> Answer {
        let standard = Standard::built_in();
        let (response, encryption) = (Response::COMMAND, Encryption::NONE);
        let header = Header { edition, command, response, vin: Vin([b'1'; 17]), encryption };
        let mut bytes = Vec::new();
        header.write(data, &mut bytes).unwrap();
        parameters.answer(standard.layout(edition), &Frame::parse(&bytes).unwrap(), NOW)
    }

    fn with_time(rest: &[u8]) -> Vec<u8> {
        [&[26, 7, 7, 18, 0, 0], rest].concat()
    }

    #[test]
    fn parameters_are_told_in_the_form_of_the_standard() {
        let mut parameters = Parameters::default();
        let answer = ask(&mut parameters, Edition::E2016, Command::PARAMETER_QUERY, &with_time(&[3, 2, 9, 5]));
        assert_eq!(answer.response, Response::OK);
        let expected = [&[4, 2, 0, 30, 9, 60, 4, 16, 5][..], b"platform.invalid"].concat();
        assert_eq!(answer.data, with_time(&expected));
        let answer = ask(&mut parameters, Edition::E2025, Command::PARAMETER_QUERY, &with_time(&[1, 2]));
        assert_eq!(answer.data, with_time(&[1, 2, 30]), "of 2025 it has one byte");
    }

    #[test]
    fn every_parameter_of_both_editions_can_be_asked_for() {
        for edition in Edition::ALL {
            let numbers: Vec<u8> = (0x01..=0x10).collect();
            let data = with_time(&[&[16][..], &numbers].concat());
            let answer = ask(&mut Parameters::default(), edition, Command::PARAMETER_QUERY, &data);
            assert_eq!((answer.response, answer.data[6]), (Response::OK, 16), "{edition:?}");
        }
    }

    #[test]
    fn parameters_are_set_all_or_none() {
        let mut parameters = Parameters::default();
        let mut set = |rest: &[u8]| ask(&mut parameters, Edition::E2016, Command::PARAMETER_SET, &with_time(rest));
        let answer = set(&[2, 2, 0, 10, 9, 20]);
        assert_eq!((answer.response, answer.effect), (Response::OK, Effect::ReportPeriod(10)));
        // The second one cannot be set at all, and in the second try is too large.
        for bad in [&[2, 9, 30, 7, b'1', b'2', b'3', b'4', b'5'][..], &[2, 9, 30, 2, 3, 0]] {
            let answer = set(bad);
            assert_eq!((answer.response, answer.data.as_slice()), (Response::ERROR, &with_time(&[])[..]));
        }
        let answer = ask(&mut parameters, Edition::E2016, Command::PARAMETER_QUERY, &with_time(&[2, 2, 9]));
        assert_eq!(answer.data, with_time(&[2, 2, 0, 10, 9, 20]));
        let answer = ask(&mut parameters, Edition::E2016, Command::CONTROL, &with_time(&[4]));
        assert_eq!(answer.response, Response::OK, "factory reset");
        let answer = ask(&mut parameters, Edition::E2016, Command::PARAMETER_QUERY, &with_time(&[1, 9]));
        assert_eq!(answer.data, with_time(&[1, 9, 60]));
    }

    #[test]
    fn orders_are_answered_and_those_that_nobody_knows_refused() {
        for (rest, response, effect) in [
            (&[3][..], Response::OK, Effect::Reconnect),
            (&[6, 2, b'!'], Response::OK, Effect::Nothing),
            (&[7], Response::OK, Effect::Nothing),
            (&[99], Response::ERROR, Effect::Nothing),
            (&[], Response::ERROR, Effect::Nothing),
        ] {
            let answer = ask(&mut Parameters::default(), Edition::E2025, Command::CONTROL, &with_time(rest));
            assert_eq!((answer.response, answer.effect), (response, effect), "{rest:?}");
        }
        let answer = ask(&mut Parameters::default(), Edition::E2016, Command(0xC0), &[]);
        assert_eq!((answer.response, answer.data.as_slice()), (Response::ERROR, &NOW[..]));
    }
}

//! Tells through a broker of MQTT 3.1.1, with QoS 1: the broker has it when it says so. One connection for each message.

use std::path::Path;
use std::time::Duration;

use rumqttc::{AsyncClient, ConnectionError, Event, Incoming, MqttOptions, Outgoing, QoS, TlsConfiguration, Transport};

use super::message::{Entry, Message};
use super::target::{Failure, secret, tls};
use crate::config::MqttConfig;

/// Bytes of what is received, and of what is sent.
const PACKET_BYTES_MAX: (usize, usize) = (64 << 10, 8 << 20);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// What stands in a topic in place of what a message of several alarms has none of.
const SEVERAL: &str = "summary";

/// See the module.
pub(crate) struct Broker {
    options: MqttOptions,
    topic: String,
    retain: bool,
}

impl Broker {
    pub(crate) fn new(name: &str, config: &MqttConfig, ca: Option<&Path>) -> Result<Self, String> {
        let id = config.client_id.clone().unwrap_or_else(|| format!("tongmai-{name}"));
        let port = config.port.unwrap_or(if config.tls { 8883 } else { 1883 });
        let mut options = MqttOptions::new(id, config.host.clone(), port);
        options.set_keep_alive(KEEP_ALIVE).set_clean_session(true).set_inflight(1);
        options.set_max_packet_size(PACKET_BYTES_MAX.0, PACKET_BYTES_MAX.1);
        if config.tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls(ca)?)));
        }
        let password = secret(config.password.as_ref(), config.password_file.as_deref())?;
        if let (Some(user), Some(password)) = (&config.user, password) {
            options.set_credentials(user.clone(), password);
        }
        Ok(Self { options, topic: config.topic.clone(), retain: config.retain })
    }

    pub(crate) async fn tell(&self, message: &Message) -> Result<(), Failure> {
        let (client, mut connection) = AsyncClient::new(self.options.clone(), 2);
        let published =
            client.publish(topic(&self.topic, message), QoS::AtLeastOnce, self.retain, message.body()).await;
        published.map_err(|error| Failure { is_refusal: true, ..Failure::new("it cannot be published", &error) })?;
        loop {
            let event = connection.poll().await;
            if let Event::Incoming(Incoming::PubAck(_)) = event.map_err(|error| failure(&error))? {
                break;
            }
        }
        // It has been taken, whatever becomes of the farewell.
        if client.disconnect().await.is_ok() {
            while let Ok(event) = connection.poll().await {
                if matches!(event, Event::Outgoing(Outgoing::Disconnect)) {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn failure(error: &ConnectionError) -> Failure {
    Failure::new("not taken", error)
}

/// The topic of `message`, by `template`.
fn topic(template: &str, message: &Message) -> String {
    let of = |part: fn(&Entry) -> &str| match &message.alarms[..] {
        [one] => plain(part(one)),
        [] => "test".to_owned(),
        _ => SEVERAL.to_owned(),
    };
    template
        .replace("{target}", &plain(&message.target))
        .replace("{priority}", message.priority().as_str())
        .replace("{event}", &of(|entry| &entry.event))
        .replace("{asset}", &of(|entry| &entry.asset))
        .replace("{rule}", &of(|entry| &entry.rule))
}

/// `text` without what means something else in a topic. The slash of an asset makes a level.
fn plain(text: &str) -> String {
    let is_special = |c: char| matches!(c, '+' | '#' | '{' | '}') || c.is_control();
    text.chars().map(|c| if is_special(c) { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::super::message::tests::entry;
    use super::*;

    #[test]
    fn a_topic_says_what_it_is_about() {
        let template = "{target}/{priority}/{event}/{asset}/{rule}";
        let now = Timestamp::from_millis(9_000);
        let odd = Entry { rule: "condition:a/b:+{asset}#".to_owned(), ..entry("a", 1) };
        for (alarms, expected) in [
            (vec![entry("a", 1)], "a/high/raised/machine/M1/hot"),
            (vec![odd], "a/high/raised/machine/M1/condition:a/b:__asset__"),
            (vec![entry("a", 1), entry("a", 2)], "a/high/summary/summary/summary"),
            (vec![], "a/low/test/test/test"),
        ] {
            assert_eq!(topic(template, &Message::new("a", alarms, now)), expected);
        }
    }
}

//! What a connection does with encrypted data units, and with vehicles that make keys known. Must not know how anything is
//! encrypted or signed.

use std::borrow::Cow;

use gateway::Rejection;
use gbt32960::{Command, Edition, Encryption, Frame, Header, Response, from_wire};
use gbt32960_security::{Activation, ActivationReply, KeyExchange};
use model::Timestamp;

use super::{Connection, Speaker, malformed, undecryptable, unknown_vin};
use crate::collector::Full;
use crate::security::{Begins, SignatureOutcome};

impl Connection {
    /// Takes in a frame whose data unit is encrypted.
    pub(super) fn encrypted(&mut self, frame: &Frame<'_>) -> Result<u64, Full> {
        let (header, now) = (&frame.header, self.shared.link.clock().now());
        let begins = if header.command == Command::KEY_EXCHANGE { Begins::Otherwise } else { Begins::WithTime };
        match self.shared.security.decrypt(header, frame.data, begins, now) {
            Ok(data) => self.understood(&Frame { data: &data, ..*frame }),
            Err(error) => {
                let detail = format!("byte 24: expected {}, got {}", error.expected, error.found);
                self.refuse_without_time(frame, error.reason, &detail, undecryptable(header.edition));
                Ok(0)
            }
        }
    }

    /// Takes in what a vehicle answers to what it was asked, encrypted or not.
    pub(super) fn answered(&mut self, frame: &Frame<'_>) {
        let (header, now) = (&frame.header, self.shared.link.clock().now());
        let data = match header.encryption {
            Encryption::NONE => Cow::Borrowed(frame.data),
            _ => match self.shared.security.decrypt(header, frame.data, Begins::WithTime, now) {
                Ok(data) => Cow::Owned(data),
                Err(error) => {
                    let detail = format!("byte 24: expected {}, got {}", error.expected, error.found);
                    return self.shared.link.reject(Rejection {
                        reason: error.reason,
                        detail: &detail,
                        bytes: frame.bytes,
                    });
                }
            },
        };
        let header = Header { encryption: Encryption::NONE, ..*header };
        if !self.shared.orders.answered(&Frame { header, data: &data, ..*frame }) {
            self.shared.link.counters().reject("answer to nothing that was asked");
        }
    }

    /// Like `refuse`, where the data unit does not begin with a time, or with one that nobody could read.
    fn refuse_without_time(&mut self, frame: &Frame<'_>, reason: &'static str, detail: &str, response: Response) {
        self.refuse(&Frame { data: &[], ..*frame }, reason, detail, response);
    }

    /// Compares the signature of a report. False if it was refused.
    pub(super) fn is_signed_well(&mut self, frame: &Frame<'_>, outcome: Option<SignatureOutcome>) -> bool {
        let Some(reason) = outcome.and_then(SignatureOutcome::reason) else { return true };
        if self.shared.security.requires_signatures() {
            let detail = "byte 24: expected a report with a signature that verifies, got another one";
            self.refuse(frame, reason, detail, unverified(frame.header.edition));
            return false;
        }
        self.shared.link.counters().reject(reason);
        true
    }

    /// A vehicle's chip makes its public key known.
    pub(super) fn activation(&mut self, frame: &Frame<'_>) {
        let header = &frame.header;
        let activation = match Activation::parse(self.shared.standard.layout(header.edition), header, frame.data) {
            Ok(activation) => activation,
            Err(error) => {
                self.reject(&error, frame.bytes);
                return self.reply(frame, malformed(header.edition), self.round);
            }
        };
        if self.shared.security.store.is_none() {
            let detail = "byte 2: expected no activation where no keys are kept, got one";
            return self.refuse(frame, "activation not wanted", detail, Response::ERROR);
        }
        if activation.vin != header.vin || !is_nameable(frame) || !self.shared.registry.may_log_in(&header.vin) {
            let detail = "byte 4: expected a VIN that is registered and is that of the data unit, got another one";
            return self.refuse(frame, "activation refused", detail, unknown_vin(header.edition));
        }
        let security = &self.shared.security;
        let outcome = activation
            .verified_key(&security.user_id)
            .map(|key| security.keyring.activate(header.vin, &activation.chip, key));
        match outcome {
            Ok(Some(reply)) => {
                if reply != ActivationReply::Activated {
                    self.shared.link.counters().reject("activation refused");
                }
                self.round = self.shared.collector.keys();
                let response = if reply == ActivationReply::Activated { Response::OK } else { Response::ERROR };
                let header = Header { command: Command::ACTIVATION_REPLY, ..*header };
                self.answer_with(header.answered(response), &reply.to_bytes(), self.round);
            }
            Ok(None) => {
                let detail = "byte 46: expected the public key that is configured for the vehicle, got another one";
                self.refuse(frame, "activation refused", detail, unverified(header.edition));
            }
            Err(error) => {
                let detail = format!("byte 24: expected {}, got {}", error.expected, error.found);
                self.refuse(frame, error.reason, &detail, unverified(header.edition));
            }
        }
    }

    /// A key for data units is exchanged.
    pub(super) fn key_exchange(&mut self, frame: &Frame<'_>) {
        let (header, now) = (&frame.header, self.shared.link.clock().now());
        let exchange = match KeyExchange::parse(self.shared.standard.layout(header.edition), header, frame.data) {
            Ok(exchange) => exchange,
            Err(error) => {
                // Its bytes hold a key, which belongs into no quarantine.
                self.reject(&error, &[]);
                return self.reply(&Frame { data: &[], ..*frame }, malformed(header.edition), self.round);
            }
        };
        let hidden = Frame { bytes: &[], ..*frame };
        if self.shared.security.store.is_none() {
            let detail = "byte 2: expected no key exchange where no keys are kept, got one";
            return self.refuse_without_time(&hidden, "key exchange not wanted", detail, Response::ERROR);
        }
        if !is_nameable(frame) || !self.may_exchange(frame, now) {
            let detail = "byte 4: expected the VIN of a vehicle that may exchange its key here, got another one";
            return self.refuse_without_time(&hidden, "key exchange refused", detail, unknown_vin(header.edition));
        }
        let (enabled, expires) = match (from_wire(exchange.enabled), from_wire(exchange.expires)) {
            (Ok(enabled), Ok(expires)) if now < expires && enabled < expires => (enabled, expires),
            _ => {
                let detail = "byte 24: expected two times, the second one later and not past, got others";
                return self.refuse_without_time(&hidden, "invalid time", detail, malformed(header.edition));
            }
        };
        let security = &self.shared.security;
        match exchange.unwrap(&security.keyring.own, security.mode, header.encryption, &mut security.random()) {
            Ok(key) => {
                if security.keyring.exchange(header.vin, key, enabled, expires) {
                    self.round = self.shared.collector.keys();
                    self.answer_with(header.answered(Response::OK), &exchange.enabled, self.round);
                } else {
                    let detail = "byte 4: expected a vehicle whose keys are known already, got one too many";
                    self.refuse_without_time(&hidden, "too many keys", detail, Response::ERROR);
                }
            }
            Err(error) => {
                let detail = format!("byte 24: expected {}, got {}", error.expected, error.found);
                self.refuse_without_time(&hidden, error.reason, &detail, undecryptable(header.edition));
            }
        }
    }

    /// Who has logged in may. Before that, who may log in and either has no key yet or shows that it has it: a stranger
    /// cannot take a vehicle's key away by knowing its VIN.
    fn may_exchange(&self, frame: &Frame<'_>, now: Timestamp) -> bool {
        let header = &frame.header;
        match &self.speaker {
            Speaker::Vehicle(login) => login.vin == header.vin,
            Speaker::Platform => true,
            Speaker::Stranger => {
                let shows_key = matches!(header.encryption, Encryption::AES_128 | Encryption::SM4);
                self.shared.registry.may_log_in(&header.vin)
                    && (shows_key || !self.shared.security.keyring.has_exchanged(&header.vin, now))
            }
        }
    }
}

/// Whether the VIN can stand in a line of text.
fn is_nameable(frame: &Frame<'_>) -> bool {
    frame.header.vin.0.iter().all(u8::is_ascii_graphic)
}

/// What is answered to a signature that does not verify.
fn unverified(edition: Edition) -> Response {
    if edition == Edition::E2016 { Response::ERROR } else { Response::BAD_SIGNATURE }
}

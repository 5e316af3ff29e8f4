//! Tells by e-mail, through a mail server that SMTP reaches. One connection for each message.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use diagnosis::{Priority, Text};
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::message::{Entry, Kind, Message};
use super::target::{Failure, authorities, secret};
use crate::config::{EncryptionConfig, LanguageConfig, SmtpConfig};

/// How long one command of SMTP may take.
const COMMAND_MAX: Duration = Duration::from_secs(20);
/// Characters of a subject.
const SUBJECT_CHARS_MAX: usize = 200;

/// See the module.
pub(crate) struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    language: LanguageConfig,
}

impl Mail {
    pub(crate) fn new(config: &SmtpConfig, ca: Option<&Path>) -> Result<Self, String> {
        let address = |text: &String| {
            let read = text.parse::<Mailbox>();
            read.map_err(|_| format!("smtp: `{text}` is no address, expected `name@domain` or `Name <name@domain>`"))
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .timeout(Some(COMMAND_MAX))
            .port(config.port.unwrap_or(match config.encryption {
                EncryptionConfig::Starttls => 587,
                EncryptionConfig::Tls => 465,
                EncryptionConfig::None => 25,
            }));
        transport = match config.encryption {
            EncryptionConfig::Starttls => transport.tls(Tls::Required(parameters(&config.host, ca)?)),
            EncryptionConfig::Tls => transport.tls(Tls::Wrapper(parameters(&config.host, ca)?)),
            EncryptionConfig::None => transport.tls(Tls::None),
        };
        let password = secret(config.password.as_ref(), config.password_file.as_deref())?;
        if let (Some(user), Some(password)) = (&config.user, password) {
            transport = transport.credentials(Credentials::new(user.clone(), password));
        }
        let to = config.to.iter().map(address).collect::<Result<_, _>>()?;
        Ok(Self { transport: transport.build(), from: address(&config.from)?, to, language: config.language })
    }

    pub(crate) async fn tell(&self, message: &Message) -> Result<(), Failure> {
        let domain = self.from.email.domain();
        let mut mail = lettre::Message::builder()
            .from(self.from.clone())
            .message_id(Some(format!("<{}@{domain}>", message.id)))
            .subject(subject(message, self.language))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        let mail = mail.body(text(message, self.language));
        let mail = mail.map_err(|error| Failure { is_refusal: true, ..Failure::new("it makes no mail", &error) })?;
        match self.transport.send(mail).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let is_refusal = error.is_permanent();
                Err(Failure { is_refusal, ..Failure::new("not taken", &error) })
            }
        }
    }
}

fn parameters(host: &str, ca: Option<&Path>) -> Result<TlsParameters, String> {
    let mut parameters = TlsParameters::builder(host.to_owned());
    for certificate in ca.map_or(Ok(Vec::new()), authorities)? {
        let certificate = Certificate::from_der(certificate.to_vec());
        let certificate = certificate.map_err(|error| format!("a certificate in ca_file cannot be used: {error}"))?;
        parameters = parameters.add_root_certificate(certificate);
    }
    parameters.build().map_err(|error| format!("smtp: {error}"))
}

/// A word in both languages.
type Word = (&'static str, &'static str);

fn word(word: Word, language: LanguageConfig) -> &'static str {
    match language {
        LanguageConfig::Zh => word.0,
        LanguageConfig::En => word.1,
    }
}

fn say(text: &Text, language: LanguageConfig) -> &str {
    match language {
        LanguageConfig::Zh => &text.zh,
        LanguageConfig::En => &text.en,
    }
}

fn priority(priority: Priority) -> Word {
    match priority {
        Priority::Low => ("低", "low"),
        Priority::Medium => ("中", "medium"),
        Priority::High => ("高", "high"),
        Priority::Critical => ("紧急", "critical"),
    }
}

fn event(event: &str) -> Word {
    match event {
        "raised" => ("发生", "raised"),
        "returned" => ("恢复", "returned"),
        "withdrawn" => ("撤销", "withdrawn"),
        "suppressed" => ("设计抑制", "suppressed by design"),
        "unsuppressed" => ("解除抑制", "no longer suppressed"),
        "acknowledged" => ("已确认", "acknowledged"),
        "commented" => ("备注", "commented"),
        "reset" => ("复位", "reset"),
        "shelved" => ("搁置", "shelved"),
        "unshelved" => ("取消搁置", "no longer shelved"),
        "out_of_service" => ("停用", "out of service"),
        "in_service" => ("恢复服务", "in service again"),
        _ => ("变化", "changed"),
    }
}

fn subject(message: &Message, language: LanguageConfig) -> String {
    let level = word(priority(message.priority()), language);
    let text = match (message.kind, &message.alarms[..]) {
        (Kind::Test, _) => word(("通脉:测试消息", "Tongmai: a test message"), language).to_owned(),
        (_, [one]) => {
            let (title, event) = (say(&one.title, language), word(event(&one.event), language));
            format!("[{level}] {title} · {} · {event}", one.asset)
        }
        (_, all) => match language {
            LanguageConfig::Zh => format!("[{level}] 通脉:{} 条报警消息", all.len()),
            LanguageConfig::En => format!("[{level}] Tongmai: {} alarm messages", all.len()),
        },
    };
    text.chars().filter(|c| !c.is_control()).take(SUBJECT_CHARS_MAX).collect()
}

fn text(message: &Message, language: LanguageConfig) -> String {
    let mut text = String::new();
    if message.kind == Kind::Test {
        text.push_str(word(("这是一条测试消息。", "This is a test message."), language));
    }
    if message.kind == Kind::Summary {
        let why = ("一分钟内的报警太多,汇总如下。", "There were too many alarms within a minute; this is all of them.");
        text.push_str(word(why, language));
        text.push_str("\n\n");
    }
    for entry in &message.alarms {
        put(&mut text, entry, language);
    }
    text.push_str("\n-- \n通脉 Tongmai\n");
    text
}

fn put(text: &mut String, entry: &Entry, language: LanguageConfig) {
    let says = |both: Word| word(both, language);
    let level = says(priority(entry.priority));
    let _ = writeln!(text, "[{level}] {} · {}", say(&entry.title, language), says(event(&entry.event)));
    let explanation = say(&entry.explanation, language);
    if !explanation.is_empty() {
        let _ = writeln!(text, "    {explanation}");
    }
    for (name, value) in [
        (says(("对象", "asset")), Some(&entry.asset)),
        (says(("规则", "rule")), Some(&entry.rule)),
        (says(("发生时间", "raised")), Some(&entry.raised)),
        (says(("时间", "time")), Some(&entry.time)),
        (says(("操作人", "by")), entry.by.as_ref()),
        (says(("备注", "comment")), entry.comment.as_ref()),
    ] {
        if let Some(value) = value {
            let _ = writeln!(text, "    {name}: {value}");
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::super::message::tests::entry;
    use super::*;

    #[test]
    fn one_alarm_stands_in_the_subject_and_several_are_counted() {
        let message = |seconds: std::ops::Range<i64>| {
            Message::new("a", seconds.map(|second| entry("a", second)).collect(), Timestamp::from_millis(9_000))
        };
        let (one, more) = (message(1..2), message(1..4));
        assert_eq!(subject(&one, LanguageConfig::Zh), "[高] 过热 · machine/M1 · 发生");
        assert_eq!(subject(&one, LanguageConfig::En), "[high] too hot · machine/M1 · raised");
        assert_eq!(subject(&more, LanguageConfig::En), "[high] Tongmai: 3 alarm messages");
        assert_eq!(text(&more, LanguageConfig::En).matches("too hot · raised").count(), 3);
        assert_eq!(subject(&message(0..0), LanguageConfig::Zh), "通脉:测试消息");
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_told() {
        let mut config: SmtpConfig =
            toml::from_str("host = \"h\"\nfrom = \"Tongmai <a@b.cn>\"\nto = [\"c@d.cn\"]\nencryption = \"none\"")
                .unwrap();
        assert!(Mail::new(&config, None).is_ok());
        config.to.push("nobody".to_owned());
        let error = Mail::new(&config, None).err().unwrap();
        assert!(error.contains("`nobody` is no address"), "{error}");
    }
}

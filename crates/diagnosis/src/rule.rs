//! Rules as they are written: files of TOML that people read, review and test. Reads them and says where a mistake is; what their
//! expressions mean is another module's.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::units::Unit;

/// How soon somebody has to act (IEC 62682: priority).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// When there is time.
    Low,
    /// Within the shift.
    Medium,
    /// Soon.
    High,
    /// At once: people or the asset are in danger.
    Critical,
}

impl Priority {
    /// All of them, the least urgent first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The one whose word is `word`.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.as_str() == word)
    }

    /// The word that is written, kept and shown.
    pub fn as_str(self) -> &'static str {
        ["low", "medium", "high", "critical"][self as usize]
    }
}

/// The same in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

/// A rule as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Names it, among all rules.
    pub id: String,
    /// Counts up with each change of what it says.
    pub version: u32,
    /// The profile whose signals it speaks of.
    pub profile: String,
    /// Which assets of the profile: a name in which `*` stands for any characters.
    pub assets: String,
    /// How soon somebody has to act.
    pub priority: Priority,
    /// What is wrong, in a few words.
    pub title: Text,
    /// What to do.
    pub advice: Text,
    /// Why it is so.
    pub rationale: Text,
    /// Where that is written.
    pub source: String,
    /// What is said of an alarm, with the names of `shows` in braces.
    pub explanation: Text,
    /// Whether it raises alarms; one that does not can be tried on what is stored.
    pub enabled: bool,
    /// Stays until somebody resets it, though what raised it is over.
    pub latched: bool,
    /// How long it has to be so.
    pub on_delay: Duration,
    /// How long it has to be over.
    pub off_delay: Duration,
    /// How long nothing has to be heard of an asset after it was so; left out, it is so whether or not more is heard.
    pub silent: Option<Duration>,
    /// Names that its expressions give to parts of themselves.
    pub lets: Vec<(String, Written)>,
    /// When it is so.
    pub when: Written,
    /// When it is over; left out, when it is not so any more.
    pub clear: Option<Written>,
    /// While that is so, the alarm is nobody's concern (IEC 62682: suppressed by design).
    pub suppressed_when: Option<Written>,
    /// Rules whose alarm, of the same asset, explains this one.
    pub consequence_of: Vec<String>,
    /// Values that are kept with an alarm, by name.
    pub shows: Vec<(String, Written)>,
    /// Where it stands.
    pub place: Place,
}

/// An expression as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// What stands there.
    pub text: String,
    /// Where it begins.
    pub place: Place,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {}{problem}", .rule.as_ref().map(|rule| format!("rule {rule}: ")).unwrap_or_default())]
pub struct RuleError {
    /// Where.
    pub place: Place,
    /// The rule's id, as far as it is known.
    pub rule: Option<String>,
    /// What was expected, and what is there.
    pub problem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "rule")]
    rules: Vec<Spanned<RuleTable>>,
}

/// Where the rules of a file stand, whatever they say.
#[derive(Deserialize)]
struct Loose {
    #[serde(rename = "rule")]
    rules: Vec<Spanned<IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    id: String,
    version: u32,
    profile: String,
    #[serde(default = "every")]
    assets: String,
    priority: Priority,
    title: Text,
    advice: Text,
    rationale: Text,
    source: String,
    explanation: Option<Text>,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    latched: bool,
    on_delay: Option<Spanned<String>>,
    off_delay: Option<Spanned<String>>,
    silent: Option<Spanned<String>>,
    #[serde(default, rename = "let")]
    lets: BTreeMap<String, Spanned<String>>,
    when: Spanned<String>,
    clear: Option<Spanned<String>>,
    suppressed_when: Option<Spanned<String>>,
    #[serde(default)]
    consequence_of: Vec<String>,
    #[serde(default)]
    shows: BTreeMap<String, Spanned<String>>,
}

fn every() -> String {
    "*".to_owned()
}

fn yes() -> bool {
    true
}

/// Delays beyond this are a mistake.
const DELAY_MAX: Duration = Duration::from_secs(31 * 24 * 3_600);
/// Silence that is shorter is a mistake.
const SILENCE_MIN: Duration = Duration::from_secs(60);
/// Values that an alarm shows.
const SHOWS_MAX: usize = 16;
/// Names that a rule gives to parts of its expressions.
const LETS_MAX: usize = 32;
/// Rules of which one is a consequence.
const CAUSES_MAX: usize = 32;
/// Signs of any text of a rule.
const TEXT_MAX: usize = 2_000;

/// The rules that stand in `text`, the content of `file`, and what is wrong with the others.
///
/// # Errors
/// When the file is no TOML, or not of this form.
pub fn read(file: &str, text: &str) -> Result<Vec<Result<Rule, RuleError>>, RuleError> {
    let lines = Lines { file, text };
    let whole = match lines.rules(text) {
        Ok(rules) => return Ok(rules),
        Err(error) => error,
    };
    // A mistake in the form of one rule is no reason to do without the others.
    let Ok(Loose { rules }) = toml::from_str(text) else { return Err(whole) };
    let starts: Vec<usize> = rules.iter().map(|rule| rule.span().start).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let alone = |(start, end): (&usize, usize)| {
        let above: String = text[..*start].chars().filter(|c| *c == '\n').collect();
        lines.rules(&(above + &text[*start..end]))
    };
    let read: Vec<_> = starts.iter().zip(ends).map(alone).collect();
    if read.iter().all(Result::is_ok) {
        return Err(whole);
    }
    Ok(read.into_iter().flat_map(|read| read.unwrap_or_else(|mistake| vec![Err(mistake)])).collect())
}

struct Lines<'a> {
    file: &'a str,
    text: &'a str,
}

impl Lines<'_> {
    /// The rules in `text`, which has the lines of the file.
    fn rules(&self, text: &str) -> Result<Vec<Result<Rule, RuleError>>, RuleError> {
        let lines = Lines { text, ..*self };
        let parsed: File = toml::from_str(text).map_err(|error| RuleError {
            place: lines.place(error.span().map_or(0, |span| span.start)),
            rule: None,
            problem: error.message().to_owned(),
        })?;
        Ok(parsed.rules.into_iter().map(|rule| lines.rule(rule)).collect())
    }

    fn place(&self, byte: usize) -> Place {
        let before = &self.text.as_bytes()[..byte.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Place { file: self.file.to_owned(), line }
    }

    fn written(&self, text: Spanned<String>) -> Written {
        Written { place: self.place(text.span().start), text: text.into_inner() }
    }

    fn rule(&self, table: Spanned<RuleTable>) -> Result<Rule, RuleError> {
        let place = self.place(table.span().start);
        let table = table.into_inner();
        let wrong = |place: &Place, problem: String| wrong(&table.id, place, problem);
        let is_name = |name: &str| {
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
            (1..=64).contains(&name.len()) && name.chars().all(is_plain)
        };
        if !is_name(&table.id) {
            return Err(wrong(&place, "id: expected 1 to 64 lower-case letters, digits and hyphens".to_owned()));
        }
        let empty = |text: &Text| text.zh.trim().is_empty() || text.en.trim().is_empty();
        for (name, text) in [("title", &table.title), ("advice", &table.advice), ("rationale", &table.rationale)] {
            if empty(text) || text.zh.len().max(text.en.len()) > TEXT_MAX {
                return Err(wrong(&place, format!("{name}: expected zh and en, of at most {TEXT_MAX} bytes each")));
            }
        }
        if table.shows.len() > SHOWS_MAX || !table.shows.keys().all(|name| is_name(name)) {
            return Err(wrong(&place, format!("shows: expected at most {SHOWS_MAX} names of lower-case letters")));
        }
        if table.lets.len() > LETS_MAX || !table.lets.keys().all(|name| is_name(name) && !name.contains('-')) {
            return Err(wrong(&place, format!("let: expected at most {LETS_MAX} names of lower-case letters")));
        }
        if table.consequence_of.len() > CAUSES_MAX || table.consequence_of.contains(&table.id) {
            return Err(wrong(&place, format!("consequence_of: expected at most {CAUSES_MAX} other rules")));
        }
        let explanation = table.explanation.clone().unwrap_or_default();
        for text in [&explanation.zh, &explanation.en] {
            if let Some(name) = names_in(text).find(|name| !table.shows.contains_key(*name)) {
                return Err(wrong(&place, format!("explanation: expected names of `shows` in braces, got {{{name}}}")));
            }
        }
        let delay = |delay: &Option<Spanned<String>>, name: &str| match delay {
            None => Ok(Duration::ZERO),
            Some(text) => duration(text.get_ref())
                .filter(|delay| *delay <= DELAY_MAX)
                .ok_or_else(|| wrong(&self.place(text.span().start), format!("{name}: {}", expected(text.get_ref())))),
        };
        Ok(Rule {
            silent: self.silence(&table)?,
            version: table.version,
            assets: table.assets.clone(),
            priority: table.priority,
            on_delay: delay(&table.on_delay, "on_delay")?,
            off_delay: delay(&table.off_delay, "off_delay")?,
            enabled: table.enabled,
            latched: table.latched,
            explanation,
            lets: table.lets.into_iter().map(|(name, text)| (name, self.written(text))).collect(),
            when: self.written(table.when),
            clear: table.clear.map(|clear| self.written(clear)),
            suppressed_when: table.suppressed_when.map(|when| self.written(when)),
            consequence_of: table.consequence_of,
            shows: table.shows.into_iter().map(|(name, text)| (name, self.written(text))).collect(),
            id: table.id,
            profile: table.profile,
            title: table.title,
            advice: table.advice,
            rationale: table.rationale,
            source: table.source,
            place,
        })
    }

    /// The silence that a rule is about, which stands alone.
    fn silence(&self, table: &RuleTable) -> Result<Option<Duration>, RuleError> {
        let Some(text) = &table.silent else { return Ok(None) };
        let place = self.place(text.span().start);
        let others = [
            ("on_delay", table.on_delay.is_some()),
            ("off_delay", table.off_delay.is_some()),
            ("clear", table.clear.is_some()),
            ("suppressed_when", table.suppressed_when.is_some()),
            ("shows", !table.shows.is_empty()),
        ];
        if let Some((name, _)) = others.iter().find(|(_, is_there)| *is_there) {
            return Err(wrong(&table.id, &place, format!("silent: expected no `{name}` beside it")));
        }
        let silence = duration(text.get_ref()).filter(|silence| (SILENCE_MIN..=DELAY_MAX).contains(silence));
        let problem = || format!("silent: {}, and at least 1min", expected(text.get_ref()));
        silence.map(Some).ok_or_else(|| wrong(&table.id, &place, problem()))
    }
}

fn wrong(rule: &str, place: &Place, problem: String) -> RuleError {
    RuleError { place: place.clone(), rule: Some(rule.chars().take(64).collect()), problem }
}

/// The names that stand in braces in `text`.
pub(crate) fn names_in(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
}

fn expected(text: &str) -> String {
    format!("expected a time of at most 31 days such as \"90s\", \"5min\" or \"2h\", got `{text}`")
}

/// A number with a unit of time after UCUM, such as `90s`, `5min`, `2h`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = Unit::parse(unit.trim()).ok().filter(|unit| unit.measures_as(&Unit::second()))?;
    let (factor, _) = unit.to(&Unit::second());
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * factor).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = r#"
[[rule]]
id = "soc-low"
version = 2
profile = "vehicle"
priority = "medium"
title = { zh = "电量低", en = "State of charge is low" }
advice = { zh = "充电", en = "Charge it" }
rationale = { zh = "会停在路上", en = "It may come to a stop" }
source = "ours"
on_delay = "90s"
when = "vehicle_soc < 10"
explanation = { zh = "剩余 {soc}", en = "{soc} left" }
shows = { soc = "vehicle_soc" }
"#;

    fn mistake(from: &str, to: &str) -> String {
        let text = RULE.replace(from, to);
        assert_ne!(text, RULE);
        match read("rules/battery.toml", &text) {
            Ok(rules) => rules.into_iter().find_map(Result::err).expect("a mistake").to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_rule_is_read_with_the_lines_of_its_expressions() {
        let rules = read("rules/battery.toml", RULE).unwrap();
        let rule = rules[0].as_ref().unwrap();
        assert_eq!(
            (rule.id.as_str(), rule.on_delay, rule.off_delay),
            ("soc-low", Duration::from_secs(90), Duration::ZERO)
        );
        assert_eq!((rule.when.place.line, rule.when.text.as_str()), (12, "vehicle_soc < 10"));
        assert_eq!((rule.assets.as_str(), rule.priority, rule.latched), ("*", Priority::Medium, false));
        assert!(rule.enabled, "unless it says otherwise");
        let off = read("rules/battery.toml", &RULE.replace("on_delay", "enabled = false\non_delay")).unwrap();
        assert!(!off[0].as_ref().unwrap().enabled);
    }

    #[test]
    fn mistakes_are_told_with_file_and_line() {
        for (from, to, expected) in [
            ("\"medium\"", "\"urgent\"", "rules/battery.toml:6: unknown variant `urgent`"),
            ("soc-low", "SOC low", "rules/battery.toml:2: rule SOC low: id: expected 1 to 64"),
            ("90s", "90 bananas", "rules/battery.toml:11: rule soc-low: on_delay: expected a time"),
            (
                "{soc} left",
                "{charge} left",
                "rule soc-low: explanation: expected names of `shows` in braces, got {charge}",
            ),
            ("en = \"Charge it\"", "en = \" \"", "rule soc-low: advice: expected zh and en"),
            ("on_delay", "ondelay", "unknown field `ondelay`"),
        ] {
            let error = mistake(from, to);
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("1.5h"), Some(Duration::from_secs(5_400)));
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        for text in ["", "5", "5 km", "s", "-5s", "1e99d"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}

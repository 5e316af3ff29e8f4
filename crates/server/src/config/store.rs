//! How data are kept, for how long, and where backups go.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use model::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use store::{Hold, Plan, Retention};

use super::ConfigError;

/// The parts of the memory that rows and questions get, each, where nothing else is said.
const MEMORY_PARTS: u64 = 4;
/// The least that is enough to work with.
const MEMORY_BYTES_MIN: u64 = 64 << 20;

/// What the program may take.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Bytes of memory to plan with; at least 67108864. It is a plan and no bound. A quarter is for rows on their way to
    /// segments, which may become twice as much while the disk is slow; a quarter for what questions sort, group and join,
    /// unless `store.hot_bytes_max` and `query.memory_bytes_max` say otherwise. The rest has to do for latest values,
    /// merging, gateways and the program itself, and for answers: twice `query.answer_bytes_max` for each of
    /// `query.concurrent_max` questions at most.
    pub memory_bytes_max: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { memory_bytes_max: 1 << 30 }
    }
}

impl LimitsConfig {
    /// What one of those that share the memory gets.
    pub(crate) fn share(&self) -> usize {
        usize::try_from(self.memory_bytes_max / MEMORY_PARTS).unwrap_or(usize::MAX)
    }
}

/// How data are kept.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// Rows kept in memory before they are written to a segment. Twice as many are the most there will be.
    pub hot_rows_max: usize,
    /// Bytes that these rows take in memory before they are written to a segment. The latest values may take as many. Left
    /// out, a quarter of `limits.memory_bytes_max`.
    pub hot_bytes_max: Option<usize>,
    /// Bytes of log before rows in memory are written to a segment.
    pub log_bytes_max: u64,
    /// Seconds after which rows in memory are written to a segment in any case. As often, segments are merged where that
    /// pays, and what retention no longer keeps is forgotten.
    pub seal_interval_secs: u64,
    /// Bytes of rejected input kept for inspection, for each gateway.
    pub quarantine_bytes_max: u64,
    /// What is forgotten, and when. Without such a section everything is kept for ever.
    pub retention: Vec<RetentionConfig>,
    /// What is kept in any case.
    pub holds: Vec<HoldConfig>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            hot_rows_max: 262_144,
            hot_bytes_max: None,
            log_bytes_max: 64 << 20,
            seal_interval_secs: 900,
            quarantine_bytes_max: 4 << 20,
            retention: Vec::new(),
            holds: Vec::new(),
        }
    }
}

/// What is forgotten, and when: whole segments, the oldest first. Where several sections concern a profile, a segment goes
/// as soon as one of them wants it to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    /// The profile, which is the name of its table. Left out: each of them.
    #[serde(default)]
    pub profile: Option<String>,
    /// Segments whose latest row is older than so many days are forgotten.
    #[serde(default)]
    pub age_days_max: Option<u32>,
    /// The oldest segments beyond so many bytes are forgotten, for each profile.
    #[serde(default)]
    pub bytes_max: Option<u64>,
}

/// What is kept in any case, for a court, an audit or an investigation: segments with rows of this time are not forgotten
/// while the section is there.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldConfig {
    /// A name of your choice, unique among the holds.
    pub name: String,
    /// The profile, which is the name of its table. Left out: each of them.
    #[serde(default)]
    pub profile: Option<String>,
    /// The first source time, or day: `2026-01-31T08:00:00Z` or `2026-01-31`. Days are those of UTC.
    pub from: String,
    /// The last source time, or day.
    pub until: String,
    /// Why, for whoever reads this later.
    pub reason: String,
}

/// Where a running server writes backups.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BackupConfig {
    /// The folder: each backup is a folder in it. A relative path begins at the configuration file. Left out, a running
    /// server makes no backups.
    pub dir: Option<PathBuf>,
}

impl StoreConfig {
    /// How long what is kept.
    ///
    /// # Errors
    /// When a section contradicts itself; names it.
    pub fn plan(&self) -> Result<Plan, ConfigError> {
        let retention = self.retention.iter().enumerate().map(|(place, section)| section.read(place));
        let mut names = HashSet::new();
        let holds = self.holds.iter().map(|section| {
            if !names.insert(section.name.as_str()) {
                let name = &section.name;
                return Err(ConfigError::Invalid(format!(
                    "the hold \"{name}\" is there twice: names have to be unique"
                )));
            }
            section.read()
        });
        Ok(Plan { retention: retention.collect::<Result<_, _>>()?, holds: holds.collect::<Result<_, _>>()? })
    }
}

impl RetentionConfig {
    fn read(&self, place: usize) -> Result<Retention, ConfigError> {
        if self.age_days_max.is_none() && self.bytes_max.is_none() {
            return Err(ConfigError::Invalid(format!(
                "store.retention[{place}] says neither age_days_max nor bytes_max"
            )));
        }
        if self.age_days_max == Some(0) || self.bytes_max == Some(0) {
            return Err(ConfigError::Invalid(format!("store.retention[{place}] would keep nothing at all")));
        }
        Ok(Retention {
            profile: self.profile.as_deref().map(Into::into),
            age_max: self.age_days_max.map(|days| Duration::from_secs(u64::from(days) * 86_400)),
            bytes_max: self.bytes_max,
        })
    }
}

impl HoldConfig {
    fn read(&self) -> Result<Hold, ConfigError> {
        let time = |key: &str, text: &str, of_day: &str| {
            let whole = if text.len() == 10 { format!("{text}{of_day}") } else { text.to_owned() };
            whole.parse::<Timestamp>().map_err(|_| {
                let name = &self.name;
                let expected = "2026-01-31 or 2026-01-31T08:00:00Z";
                ConfigError::Invalid(format!("the hold \"{name}\": {key} = \"{text}\" is no time such as {expected}"))
            })
        };
        let from = time("from", &self.from, "T00:00:00Z")?;
        let until = time("until", &self.until, "T23:59:59.999999999Z")?;
        if from > until {
            return Err(ConfigError::Invalid(format!("the hold \"{}\" ends before it begins", self.name)));
        }
        Ok(Hold { profile: self.profile.as_deref().map(Into::into), from, until })
    }
}

impl LimitsConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.memory_bytes_max < MEMORY_BYTES_MIN {
            return Err(ConfigError::Invalid(format!("limits.memory_bytes_max has to be at least {MEMORY_BYTES_MIN}")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Plan, String> {
        let config: StoreConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        config.plan().map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_kept_how_long_is_read() {
        let plan = check(
            "[[retention]]\nprofile = \"lathe\"\nage_days_max = 30\n[[retention]]\nbytes_max = 1000\n\
             [[holds]]\nname = \"case 7\"\nfrom = \"2026-01-31\"\nuntil = \"2026-01-31\"\nreason = \"an accident\"\n\
             [[holds]]\nname = \"b\"\nprofile = \"lathe\"\nfrom = \"2026-01-31T08:00:00Z\"\n\
             until = \"2026-01-31T10:00:00+01:00\"\nreason = \"r\"\n",
        );
        let plan = plan.unwrap();
        let read = |retention: &Retention| (retention.profile.clone(), retention.age_max, retention.bytes_max);
        let days = Duration::from_secs(30 * 86_400);
        assert_eq!(read(&plan.retention[0]), (Some("lathe".into()), Some(days), None));
        assert_eq!(read(&plan.retention[1]), (None, None, Some(1_000)));
        let times = |hold: &Hold| format!("{} {}", hold.from, hold.until);
        assert_eq!(times(&plan.holds[0]), "2026-01-31T00:00:00Z 2026-01-31T23:59:59.999999999Z");
        assert_eq!(times(&plan.holds[1]), "2026-01-31T08:00:00Z 2026-01-31T09:00:00Z");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_name() {
        let hold = |from: &str, until: &str| {
            format!("[[holds]]\nname = \"h\"\nreason = \"r\"\nfrom = \"{from}\"\nuntil = \"{until}\"\n")
        };
        for (text, expected) in [
            ("[[retention]]\nprofile = \"lathe\"\n", "retention[0] says neither"),
            ("[[retention]]\nage_days_max = 0\n", "would keep nothing"),
            ("[[retention]]\nage_days = 3\n", "unknown field `age_days`"),
            ("[[holds]]\nname = \"h\"\nfrom = \"2026-01-01\"\nuntil = \"2026-01-02\"\n", "missing field `reason`"),
            (&hold("2026-01-32", "2026-02-01"), "from = \"2026-01-32\" is no time"),
            (&hold("2026-01-02", "2026-01-01"), "ends before it begins"),
            (&(hold("2026-01-01", "2026-01-02") + &hold("2026-01-01", "2026-01-02")), "is there twice"),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}

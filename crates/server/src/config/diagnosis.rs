//! The section about rules.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// Rules that say when something is wrong, and raise alarms: see docs/rules.md.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DiagnosisConfig {
    /// Whether the rules that come with the program run.
    pub shipped_rules: bool,
    /// Files of rules, or folders of such files; a relative path begins at the configuration file. A rule takes the place of a
    /// shipped one of the same id.
    pub rules: Vec<PathBuf>,
}

impl Default for DiagnosisConfig {
    fn default() -> Self {
        Self { shipped_rules: true, rules: Vec::new() }
    }
}

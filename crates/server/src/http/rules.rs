//! The rules, and how they are doing.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diagnosis::Rule;
use serde::Serialize;

use super::App;
use super::alarms::TextJson;

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RuleJson {
    id: String,
    version: u32,
    profile: String,
    assets: String,
    #[schema(value_type = String)]
    priority: &'static str,
    title: TextJson,
    advice: TextJson,
    rationale: TextJson,
    source: String,
    /// What is said of an alarm, with names of values in braces.
    explanation: TextJson,
    /// Whether it raises alarms.
    enabled: bool,
    /// When it is so.
    when: String,
    /// When it is over; left out, when it is not so any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    clear: Option<String>,
    on_delay_secs: f64,
    off_delay_secs: f64,
    /// For how long nothing has to be heard of an asset after it was so.
    #[serde(skip_serializing_if = "Option::is_none")]
    silent_secs: Option<f64>,
    latched: bool,
    /// File and line.
    place: String,
    /// As it is written there.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Alarms of it that want somebody.
    open: usize,
    /// Why it cannot run.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RulesJson {
    rules: Vec<RuleJson>,
    /// What is wrong with rules that cannot be used, with file and line.
    mistakes: Vec<String>,
    /// Rows that came in later than newer ones of their asset, and were read by themselves.
    late: u64,
    /// Those of them that were older than others that were late as well, and were not looked at.
    too_late: u64,
    /// Rows that came in until then have been looked at.
    looked_at: String,
    /// Why nothing is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

/// The rules that raise alarms, and those that are not enabled.
#[utoipa::path(get, path = "/api/v1/rules", responses((status = 200, body = RulesJson)))]
pub(crate) async fn rules(State(app): State<Arc<App>>) -> Json<RulesJson> {
    let (health, now) = (app.alarms.health(), app.alarms.now());
    let (open, _) = app.alarms.read(|book| {
        let mut open: BTreeMap<Box<str>, usize> = BTreeMap::new();
        for alarm in book.alarms().filter(|alarm| alarm.state(now).wants_somebody()) {
            *open.entry(alarm.rule.clone()).or_default() += 1;
        }
        open
    });
    let rule = |rule: &Arc<Rule>| RuleJson {
        id: rule.id.clone(),
        version: rule.version,
        profile: rule.profile.clone(),
        assets: rule.assets.clone(),
        priority: rule.priority.as_str(),
        title: (&rule.title).into(),
        advice: (&rule.advice).into(),
        rationale: (&rule.rationale).into(),
        source: rule.source.clone(),
        explanation: (&rule.explanation).into(),
        enabled: rule.enabled,
        when: rule.when.text.clone(),
        clear: rule.clear.as_ref().map(|clear| clear.text.clone()),
        on_delay_secs: rule.on_delay.as_secs_f64(),
        off_delay_secs: rule.off_delay.as_secs_f64(),
        silent_secs: rule.silent.map(|silent| silent.as_secs_f64()),
        latched: rule.latched,
        place: rule.place.to_string(),
        text: app.alarms.text(&rule.id).map(str::to_owned),
        open: open.get(rule.id.as_str()).copied().unwrap_or_default(),
        problem: health
            .problems
            .iter()
            .find(|problem| problem.rule.as_ref() == Some(&rule.id))
            .map(|problem| problem.problem.clone()),
    };
    Json(RulesJson {
        rules: app.alarms.rules().iter().map(rule).collect(),
        mistakes: app.alarms.mistakes().iter().map(ToString::to_string).collect(),
        late: health.late,
        too_late: health.too_late,
        looked_at: health.place.to_string(),
        trouble: health.trouble,
    })
}

//! What somebody wants to be told of. Must not know how they are told.

use std::time::Duration;

use diagnosis::{Alarm, AlarmState, Deed, Happened, Priority, Record};
use model::{Timestamp, matches};

use super::message::said;
use crate::config::{NotifyConfig, NotifyEvent};

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    priority: Priority,
    rules: Vec<String>,
    assets: Vec<String>,
    events: Vec<NotifyEvent>,
    /// Escalation: only what is unacknowledged so long after it became known.
    pub(crate) after: Duration,
}

impl Selection {
    pub(crate) fn new(config: &NotifyConfig) -> Self {
        let events = match (&config.events, config.after_secs) {
            (Some(events), _) => events.clone(),
            (None, 0) => vec![NotifyEvent::Raised, NotifyEvent::Returned],
            (None, _) => vec![NotifyEvent::Raised],
        };
        let (rules, assets, after) =
            (config.rules.clone(), config.assets.clone(), Duration::from_secs(config.after_secs));
        Self { priority: config.priority, rules, assets, events, after }
    }

    /// Whether `record` is told at `now`, of an alarm that is `alarm` by then. What hides an alarm hides what is found of it; what
    /// people do is told to those who want to know.
    pub(crate) fn wants(&self, record: &Record, alarm: Option<&Alarm>, now: Timestamp) -> bool {
        let Some(event) = event(&record.happened) else { return false };
        let Some(said) = said(record, alarm) else { return false };
        let is_one = |patterns: &[String], name: &str| patterns.iter().any(|pattern| matches(pattern, name));
        if said.priority < self.priority
            || !is_one(&self.rules, &record.rule)
            || !is_one(&self.assets, record.asset.as_str())
        {
            return false;
        }
        let state = alarm.map(|alarm| alarm.state(now));
        let is_hidden = state.is_some_and(|state| {
            matches!(state, AlarmState::Shelved | AlarmState::SuppressedByDesign | AlarmState::OutOfService)
        });
        let is_seen = alarm.is_some_and(|alarm| alarm.acknowledged.is_some());
        // It is over, and was never anybody's concern.
        let was_suppressed = state == Some(AlarmState::Normal) && !is_seen;
        let is_wanted = |event| self.events.contains(&event);
        match event {
            NotifyEvent::Raised => is_wanted(event) && !is_hidden && (self.after.is_zero() || !is_seen),
            NotifyEvent::Returned => is_wanted(event) && !is_hidden && !was_suppressed,
            NotifyEvent::Withdrawn => (is_wanted(event) || is_wanted(NotifyEvent::Returned)) && !is_hidden,
            NotifyEvent::Unshelved | NotifyEvent::Unsuppressed | NotifyEvent::InService => {
                let is_open = state == Some(AlarmState::Unacknowledged);
                is_wanted(event) || (is_wanted(NotifyEvent::Raised) && is_open)
            }
            _ => is_wanted(event),
        }
    }
}

/// The word that the configuration has for it; none for what is never told.
fn event(happened: &Happened) -> Option<NotifyEvent> {
    Some(match happened {
        Happened::Raised(_) => NotifyEvent::Raised,
        Happened::Returned => NotifyEvent::Returned,
        Happened::Withdrawn => NotifyEvent::Withdrawn,
        Happened::Suppressed => NotifyEvent::Suppressed,
        Happened::Unsuppressed => NotifyEvent::Unsuppressed,
        Happened::Notified(_) | Happened::NotNotified(_) => return None,
        Happened::Done(deed, _) => match deed {
            Deed::Acknowledged => NotifyEvent::Acknowledged,
            Deed::Commented => NotifyEvent::Commented,
            Deed::Reset => NotifyEvent::Reset,
            Deed::Shelved(_) => NotifyEvent::Shelved,
            Deed::Unshelved => NotifyEvent::Unshelved,
            Deed::OutOfService => NotifyEvent::OutOfService,
            Deed::InService => NotifyEvent::InService,
        },
    })
}

#[cfg(test)]
mod tests {
    use diagnosis::{Book, By};

    use super::super::message::tests::raised;
    use super::*;

    fn selection(more: &str) -> Selection {
        let text = format!("name = \"a\"\n{more}\n[webhook]\nurl = \"http://h\"\n");
        Selection::new(&toml::from_str(&text).unwrap())
    }

    fn then(second: i64, happened: Happened) -> Record {
        Record { time: Timestamp::from_millis(second * 1_000), happened, ..raised(10) }
    }

    fn by() -> By {
        By { who: "Li".into(), comment: "".into() }
    }

    fn done(second: i64, deed: Deed) -> Record {
        then(second, Happened::Done(deed, by()))
    }

    /// The words of those of `records` that are told, where all of them have happened.
    fn told(more: &str, records: &[Record]) -> Vec<&'static str> {
        let mut book = Book::default();
        records.iter().for_each(|record| book.apply(record));
        let (alarm, now) = (book.get("machine/M1", "hot"), Timestamp::from_millis(60_000));
        let wanted = records.iter().filter(|record| selection(more).wants(record, alarm, now));
        wanted.map(|record| record.happened.as_str()).collect()
    }

    #[test]
    fn it_is_chosen_by_priority_rule_asset_and_event() {
        let story = [raised(10), done(11, Deed::Acknowledged), then(20, Happened::Returned)];
        assert_eq!(told("", &story), ["raised", "returned"]);
        assert_eq!(told("priority = \"high\"", &story).len(), 2);
        assert_eq!(told("priority = \"critical\"", &story).len(), 0);
        assert_eq!(told("rules = [\"h*\"]\nassets = [\"*/M1\"]", &story).len(), 2);
        assert_eq!(told("rules = [\"cold\", \"c*\"]", &story).len(), 0);
        assert_eq!(told("assets = [\"vehicle/*\"]", &story).len(), 0);
        assert_eq!(told("events = [\"acknowledged\", \"returned\"]", &story), ["acknowledged", "returned"]);
    }

    #[test]
    fn what_is_hidden_is_not_told_until_it_is_hidden_no_more() {
        let until = Timestamp::from_millis(99_000);
        for hidden in
            [Happened::Suppressed, Happened::Done(Deed::Shelved(until), by()), Happened::Done(Deed::OutOfService, by())]
        {
            assert_eq!(told("", &[raised(10), then(10, hidden.clone())]), [""; 0], "{hidden:?}");
            assert_eq!(told("after_secs = 5", &[raised(10), then(10, hidden)]), [""; 0]);
        }
        let suppressed = [raised(10), then(10, Happened::Suppressed), then(20, Happened::Returned)];
        assert_eq!(told("", &suppressed[..]).len(), 1, "as the book is then, only what was raised can be told");
        assert_eq!(told("events = [\"returned\"]", &suppressed), [""; 0]);
        let again = [raised(10), then(10, Happened::Suppressed), then(20, Happened::Unsuppressed)];
        assert_eq!(told("", &again[2..]), [""; 0], "nothing is known of it");
        assert_eq!(told("", &again), ["raised", "unsuppressed"]);
        assert_eq!(told("events = [\"shelved\"]", &[raised(10), done(11, Deed::Shelved(until))]), ["shelved"]);
    }

    #[test]
    fn an_escalation_tells_what_nobody_has_acknowledged() {
        assert_eq!(told("after_secs = 5", &[raised(10)]), ["raised"]);
        assert_eq!(told("after_secs = 5", &[raised(10), then(12, Happened::Returned)]), ["raised"]);
        assert_eq!(told("after_secs = 5", &[raised(10), done(12, Deed::Acknowledged)]), [""; 0]);
    }

    #[test]
    fn that_somebody_was_told_is_never_told() {
        let all = "events = [\"raised\", \"returned\", \"withdrawn\", \"commented\"]";
        let story = [raised(10), then(11, Happened::Notified(by())), then(12, Happened::NotNotified(by()))];
        assert_eq!(told(all, &story), ["raised"]);
        assert_eq!(told("", &[raised(10), then(20, Happened::Withdrawn)]), ["raised", "withdrawn"]);
    }
}

//! The alarms that there are, as their records make them: the life cycle of IEC 62682 (ISA-18.2). Knows nothing of rules that run,
//! nor where records are kept.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::{AssetId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::asset_text;
use crate::record::{By, Deed, Happened, Raised, Record};

/// Alarms that are known; beyond it, those that have been normal for longest are forgotten.
const ALARMS_MAX: usize = 200_000;
/// For how long an alarm may be shelved.
pub const SHELVED_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
/// An alarm that is raised so often within [`CHATTERING_WITHIN`] chatters (IEC 62682: chattering alarm).
const CHATTERING_TIMES: usize = 3;
const CHATTERING_WITHIN: Duration = Duration::from_secs(60);
/// An alarm that has been raised for longer is stale (IEC 62682: stale alarm).
const STALE_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// The state of an alarm, by the letters of IEC 62682 and ISA-18.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmState {
    /// A: nothing is wrong.
    Normal,
    /// B: something is wrong, and nobody has seen it.
    Unacknowledged,
    /// C: something is wrong, and somebody has seen it.
    Acknowledged,
    /// D: it is over, and nobody has seen it.
    ReturnedUnacknowledged,
    /// E: it is over and stays until it is reset; nobody has seen it.
    LatchedUnacknowledged,
    /// F: it is over and stays until it is reset; somebody has seen it.
    LatchedAcknowledged,
    /// G: somebody does not want to see it for a while.
    Shelved,
    /// H: it is nobody's concern at present, by the design of its rule.
    SuppressedByDesign,
    /// I: it is being worked on.
    OutOfService,
}

impl AlarmState {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Normal,
        Self::Unacknowledged,
        Self::Acknowledged,
        Self::ReturnedUnacknowledged,
        Self::LatchedUnacknowledged,
        Self::LatchedAcknowledged,
        Self::Shelved,
        Self::SuppressedByDesign,
        Self::OutOfService,
    ];

    /// The word that is shown.
    pub fn as_str(self) -> &'static str {
        [
            "normal",
            "unacknowledged",
            "acknowledged",
            "returned_unacknowledged",
            "latched_unacknowledged",
            "latched_acknowledged",
            "shelved",
            "suppressed_by_design",
            "out_of_service",
        ][self as usize]
    }

    /// The one whose word is `word`.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether somebody has to do something.
    pub fn wants_somebody(self) -> bool {
        !matches!(self, Self::Normal | Self::Shelved | Self::SuppressedByDesign | Self::OutOfService)
    }
}

/// Who did something, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Who, and what they said.
    pub by: By,
    time: i64,
}

impl Done {
    fn new(by: &By, time: Timestamp) -> Self {
        Self { by: by.clone(), time: time.nanos() }
    }

    /// When.
    pub fn time(&self) -> Timestamp {
        Timestamp::from_nanos(self.time)
    }
}

/// What one rule says of one asset: an alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// Of whom.
    #[serde(with = "asset_text")]
    pub asset: AssetId,
    /// The rule's id, or the source's own name of the alarm.
    pub rule: Box<str>,
    /// What was said when it was raised last.
    pub said: Raised,
    /// Whether it is so.
    pub is_active: bool,
    /// Who has acknowledged that.
    pub acknowledged: Option<Done>,
    /// Who has taken it out of service.
    pub out_of_service: Option<Done>,
    /// How often it has been raised, as far as is known.
    pub times: u64,
    is_latched: bool,
    is_suppressed: bool,
    /// Whether it is over because nobody can say any more, at a time that is not the source's.
    is_withdrawn: bool,
    shelved: Option<(Done, i64)>,
    raised: i64,
    returned: Option<i64>,
    changed: i64,
    /// When it was raised, the last few times.
    recently: VecDeque<i64>,
}

/// Why something cannot be done with an alarm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeedError {
    /// There is no such alarm.
    #[error("there is no alarm `{rule}` of `{asset}`")]
    Unknown {
        /// The rule.
        rule: String,
        /// The asset.
        asset: String,
    },
    /// It is not as whoever acts believes.
    #[error("the alarm has been raised again at {since}: look at it once more")]
    RaisedAgain {
        /// When.
        since: Timestamp,
    },
    /// Its state does not allow it.
    #[error("an alarm that is {} cannot be {deed}{hint}", state.as_str())]
    NotAllowed {
        /// Its state.
        state: AlarmState,
        /// What was to be done.
        deed: &'static str,
        /// What could be done before.
        hint: &'static str,
    },
    /// It would be shelved for too long.
    #[error("expected a time from now to {} days from now", SHELVED_MAX.as_secs() / 86_400)]
    ShelvedUntil,
}

impl Alarm {
    fn new(record: &Record, said: &Raised) -> Self {
        Self {
            asset: record.asset.clone(),
            rule: record.rule.clone(),
            said: said.clone(),
            is_active: false,
            acknowledged: None,
            out_of_service: None,
            times: 0,
            is_latched: false,
            is_suppressed: false,
            is_withdrawn: false,
            shelved: None,
            raised: record.time.nanos(),
            returned: None,
            changed: record.time.nanos(),
            recently: VecDeque::new(),
        }
    }

    /// When it was raised last.
    pub fn raised(&self) -> Timestamp {
        Timestamp::from_nanos(self.raised)
    }

    /// When that was over.
    pub fn returned(&self) -> Option<Timestamp> {
        self.returned.map(Timestamp::from_nanos)
    }

    /// When something happened to it last.
    pub fn changed(&self) -> Timestamp {
        Timestamp::from_nanos(self.changed)
    }

    /// Who has shelved it, and until when, if that is not over at `now`.
    pub fn shelved(&self, now: Timestamp) -> Option<(&Done, Timestamp)> {
        let (done, until) = self.shelved.as_ref()?;
        (*until > now.nanos()).then_some((done, Timestamp::from_nanos(*until)))
    }

    /// Its state at `now`.
    pub fn state(&self, now: Timestamp) -> AlarmState {
        if self.out_of_service.is_some() {
            return AlarmState::OutOfService;
        }
        if self.shelved(now).is_some() {
            return AlarmState::Shelved;
        }
        if self.is_suppressed {
            return if self.is_active { AlarmState::SuppressedByDesign } else { AlarmState::Normal };
        }
        match (self.is_active, self.is_latched, self.acknowledged.is_some()) {
            (true, _, false) => AlarmState::Unacknowledged,
            (true, _, true) => AlarmState::Acknowledged,
            (false, true, false) => AlarmState::LatchedUnacknowledged,
            (false, true, true) => AlarmState::LatchedAcknowledged,
            (false, false, false) => AlarmState::ReturnedUnacknowledged,
            (false, false, true) => AlarmState::Normal,
        }
    }

    /// Whether it is raised so often that nobody can follow.
    pub fn is_chattering(&self) -> bool {
        let within = CHATTERING_WITHIN.as_nanos() as i64;
        let is_close = |(first, last): (&i64, &i64)| last - first <= within;
        self.recently.iter().zip(self.recently.iter().skip(CHATTERING_TIMES - 1)).any(is_close)
    }

    /// Whether it has been so for so long at `now` that it tells nobody anything.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.is_active && now.nanos().saturating_sub(self.raised) > STALE_AFTER.as_nanos() as i64
    }

    /// That something has happened to it.
    fn record(&self, time: Timestamp, happened: Happened) -> Record {
        Record { asset: self.asset.clone(), rule: self.rule.clone(), time, raised: self.raised(), happened }
    }

    fn apply(&mut self, record: &Record) {
        // What is about an occurrence before the last one has been dealt with by it.
        let is_this = record.raised.nanos() == self.raised;
        match &record.happened {
            Happened::Raised(said) => {
                // It is known already, or was found in what came late, while something newer is known.
                let time = record.time.nanos();
                let was_so = !self.is_withdrawn && self.returned.is_some_and(|returned| time < returned);
                if self.times > 0 && (time <= self.raised || was_so) {
                    return;
                }
                self.said = (**said).clone();
                (self.is_active, self.returned, self.acknowledged) = (true, None, None);
                (self.is_latched, self.is_suppressed, self.is_withdrawn) = (said.latched, false, false);
                (self.raised, self.times) = (record.time.nanos(), self.times + 1);
                self.recently.push_back(self.raised);
                if self.recently.len() > 2 * CHATTERING_TIMES {
                    self.recently.pop_front();
                }
            }
            Happened::Suppressed if is_this => self.is_suppressed = self.is_active,
            Happened::Unsuppressed if is_this => self.is_suppressed = false,
            Happened::Returned if is_this => {
                (self.is_active, self.returned) = (false, Some(record.time.nanos()));
            }
            Happened::Withdrawn if is_this => {
                (self.is_suppressed, self.is_withdrawn) = (false, true);
                (self.is_active, self.is_latched, self.returned) = (false, false, Some(record.time.nanos()));
            }
            Happened::Returned | Happened::Withdrawn | Happened::Suppressed | Happened::Unsuppressed => return,
            Happened::Notified(_) | Happened::NotNotified(_) => return,
            Happened::Done(deed, by) => {
                let done = Done::new(by, record.time);
                match deed {
                    Deed::Acknowledged if is_this => self.acknowledged = Some(done),
                    Deed::Reset if is_this => self.is_latched = false,
                    Deed::Acknowledged | Deed::Reset => return,
                    Deed::Commented => {}
                    Deed::Shelved(until) => self.shelved = Some((done, until.nanos())),
                    Deed::Unshelved => self.shelved = None,
                    Deed::OutOfService => self.out_of_service = Some(done),
                    Deed::InService => self.out_of_service = None,
                }
            }
        }
        self.changed = self.changed.max(record.time.nanos());
    }

    /// Whether `deed` makes sense at `now`.
    fn allows(&self, deed: Deed, now: Timestamp) -> Result<(), DeedError> {
        let state = self.state(now);
        let is_allowed = match deed {
            Deed::Acknowledged => self.acknowledged.is_none(),
            Deed::Commented => true,
            Deed::Reset => self.is_latched && !self.is_active && self.acknowledged.is_some(),
            Deed::Shelved(until) => {
                if until <= now || until > now.plus_nanos(SHELVED_MAX.as_nanos() as i64) {
                    return Err(DeedError::ShelvedUntil);
                }
                self.out_of_service.is_none()
            }
            Deed::Unshelved => self.shelved(now).is_some(),
            Deed::OutOfService => self.out_of_service.is_none(),
            Deed::InService => self.out_of_service.is_some(),
        };
        let hint = match deed {
            Deed::Reset if state == AlarmState::LatchedUnacknowledged => ": acknowledge it first",
            Deed::Reset if self.is_active => ": what raised it is not over",
            _ => "",
        };
        let deed = match deed {
            Deed::Acknowledged => "acknowledged",
            Deed::Commented => "commented on",
            Deed::Reset => "reset",
            Deed::Shelved(_) => "shelved",
            Deed::Unshelved => "unshelved",
            Deed::OutOfService => "taken out of service",
            Deed::InService => "put into service",
        };
        if is_allowed { Ok(()) } else { Err(DeedError::NotAllowed { state, deed, hint }) }
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Book {
    /// By asset and rule.
    alarms: BTreeMap<(Box<str>, Box<str>), Alarm>,
}

fn key(asset: &str, rule: &str) -> (Box<str>, Box<str>) {
    (asset.into(), rule.into())
}

impl Book {
    /// Takes in what has happened. Records of one alarm come in the order in which they were kept.
    pub fn apply(&mut self, record: &Record) {
        let key = key(record.asset.as_str(), &record.rule);
        match (self.alarms.get_mut(&key), &record.happened) {
            (Some(alarm), _) => alarm.apply(record),
            (None, Happened::Raised(said)) => {
                let mut alarm = Alarm::new(record, said);
                alarm.apply(record);
                self.alarms.insert(key, alarm);
                if self.alarms.len() > ALARMS_MAX {
                    self.forget();
                }
            }
            // It was forgotten long ago.
            (None, _) => {}
        }
    }

    /// Forgets a tenth of the alarms: those that have been normal for longest.
    fn forget(&mut self) {
        let over = |alarm: &Alarm| alarm.state(Timestamp::MAX) == AlarmState::Normal;
        let mut normal: Vec<i64> =
            self.alarms.values().filter(|alarm| over(alarm)).map(|alarm| alarm.changed).collect();
        normal.sort_unstable();
        if let Some(last) = normal.get(normal.len().min(ALARMS_MAX / 10).saturating_sub(1)).copied() {
            self.alarms.retain(|_, alarm| !over(alarm) || alarm.changed > last);
        }
    }

    /// All alarms that are known, in the order of their assets.
    pub fn alarms(&self) -> impl Iterator<Item = &Alarm> {
        self.alarms.values()
    }

    /// The alarm that `rule` has of `asset`.
    pub fn get(&self, asset: &str, rule: &str) -> Option<&Alarm> {
        self.alarms.get(&key(asset, rule))
    }

    /// The record of `deed`, done by `by` at `now` with the alarm `rule` of `asset`, which was raised at `raised` for all that
    /// they know.
    ///
    /// # Errors
    /// When that makes no sense.
    pub fn deed(
        &self,
        (asset, rule): (&str, &str),
        raised: Option<Timestamp>,
        deed: Deed,
        by: By,
        now: Timestamp,
    ) -> Result<Record, DeedError> {
        let unknown = || DeedError::Unknown { rule: rule.to_owned(), asset: asset.to_owned() };
        let alarm = self.get(asset, rule).ok_or_else(unknown)?;
        if raised.is_some_and(|raised| raised != alarm.raised()) {
            return Err(DeedError::RaisedAgain { since: alarm.raised() });
        }
        alarm.allows(deed, now)?;
        Ok(alarm.record(now, Happened::Done(deed, by)))
    }

    /// Records of what ends at `now` because nothing runs any more that would end it: active alarms that are not `known`.
    pub fn withdrawn(&self, is_known: impl Fn(&Alarm) -> bool, now: Timestamp) -> Vec<Record> {
        let gone = self.alarms.values().filter(|alarm| alarm.is_active && !is_known(alarm));
        gone.map(|alarm| alarm.record(now, Happened::Withdrawn)).collect()
    }

    /// Records of the end of shelvings that are over at `now`.
    pub fn unshelved(&self, now: Timestamp) -> Vec<Record> {
        let over = |alarm: &Alarm| {
            let (_, until) = alarm.shelved.as_ref().filter(|(_, until)| *until <= now.nanos())?;
            let by = By { who: "".into(), comment: "".into() };
            Some(alarm.record(Timestamp::from_nanos(*until), Happened::Done(Deed::Unshelved, by)))
        };
        self.alarms.values().filter_map(over).collect()
    }
}

#[cfg(test)]
mod tests {
    use model::Rows;

    use super::*;
    use crate::engine::Shown;
    use crate::record::{batch, records};
    use crate::rule::{Priority, Text};

    const RULE: &str = "hot";
    const ASSET: &str = "machine/M1";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_nanos(second * 1_000_000_000)
    }

    fn record(second: i64, raised: i64, happened: Happened) -> Record {
        Record { asset: ASSET.parse().unwrap(), rule: RULE.into(), time: at(second), raised: at(raised), happened }
    }

    fn said(latched: bool) -> Happened {
        let text = || Text { zh: "过热".into(), en: "too hot".into() };
        let value = |name: &str, value| Shown { name: name.into(), value, unit: "Cel".into() };
        let values = vec![value("spindle", 81.25), value("motor", f64::NAN)];
        let (title, explanation, priority) = (text(), text(), Priority::High);
        Happened::Raised(Box::new(Raised { version: 2, priority, latched, title, explanation, values }))
    }

    fn by(comment: &str) -> By {
        By { who: "Li".into(), comment: comment.into() }
    }

    fn done(second: i64, raised: i64, deed: Deed) -> Record {
        done_by(second, raised, deed, by(""))
    }

    fn done_by(second: i64, raised: i64, deed: Deed, by: By) -> Record {
        record(second, raised, Happened::Done(deed, by))
    }

    fn state(records: &[Record], now: i64) -> AlarmState {
        let mut book = Book::default();
        records.iter().for_each(|record| book.apply(record));
        book.get(ASSET, RULE).unwrap().state(at(now))
    }

    #[test]
    fn an_alarm_goes_through_the_states_of_the_standard() {
        use AlarmState::*;
        let (raised, returned) = (record(10, 10, said(false)), record(20, 10, Happened::Returned));
        let seen = done(15, 10, Deed::Acknowledged);
        assert_eq!(state(std::slice::from_ref(&raised), 11), Unacknowledged);
        assert_eq!(state(&[raised.clone(), seen.clone()], 16), Acknowledged);
        assert_eq!(state(&[raised.clone(), seen.clone(), returned.clone()], 21), Normal);
        assert_eq!(state(&[raised.clone(), returned.clone()], 21), ReturnedUnacknowledged);
        assert_eq!(state(&[raised.clone(), returned.clone(), done(25, 10, Deed::Acknowledged)], 26), Normal);
        // Raised again, it wants to be seen again, and what was said of the first time does not count.
        let again = record(30, 30, said(false));
        let story = [raised.clone(), seen.clone(), returned.clone(), again.clone()];
        assert_eq!(state(&story, 31), Unacknowledged);
        assert_eq!(state(&[&story[..], &[done(32, 10, Deed::Acknowledged)]].concat(), 33), Unacknowledged);
        // What is told once more changes nothing.
        assert_eq!(state(&[&story[..], &[raised.clone(), returned.clone(), again]].concat(), 33), Unacknowledged);
        // Latched, it stays until it is reset.
        let raised = record(10, 10, said(true));
        let story = [raised, returned];
        assert_eq!(state(&story, 21), LatchedUnacknowledged);
        let story = [&story[..], &[done(22, 10, Deed::Acknowledged)]].concat();
        assert_eq!(state(&story, 23), LatchedAcknowledged);
        assert_eq!(state(&[&story[..], &[done(24, 10, Deed::Reset)]].concat(), 25), Normal);
    }

    #[test]
    fn an_alarm_is_shelved_for_a_time_and_taken_out_of_service() {
        use AlarmState::*;
        let raised = record(10, 10, said(false));
        let shelved = done(11, 10, Deed::Shelved(at(100)));
        assert_eq!(state(&[raised.clone(), shelved.clone()], 99), Shelved);
        assert_eq!(state(&[raised.clone(), shelved.clone()], 100), Unacknowledged);
        assert_eq!(state(&[raised.clone(), shelved.clone(), done(50, 10, Deed::Unshelved)], 51), Unacknowledged);
        let mut book = Book::default();
        [&raised, &shelved].into_iter().for_each(|record| book.apply(record));
        assert_eq!(book.unshelved(at(99)), []);
        let over = book.unshelved(at(105));
        assert_eq!(over, [done_by(100, 10, Deed::Unshelved, By { who: "".into(), comment: "".into() })]);
        book.apply(&over[0]);
        assert_eq!(book.unshelved(at(106)), []);
        let out = [raised, done(11, 10, Deed::OutOfService)];
        assert_eq!(state(&out, 12), OutOfService);
        let again = [&out[..], &[record(20, 10, Happened::Returned), record(30, 30, said(false))]].concat();
        assert_eq!(state(&again, 31), OutOfService);
        assert_eq!(state(&[&again[..], &[done(40, 30, Deed::InService)]].concat(), 41), Unacknowledged);
    }

    #[test]
    fn an_alarm_that_is_suppressed_by_design_is_nobodys_concern_until_it_is_not() {
        use AlarmState::*;
        let story = [record(10, 10, said(false)), record(10, 10, Happened::Suppressed)];
        assert_eq!(state(&story, 11), SuppressedByDesign);
        assert!(!SuppressedByDesign.wants_somebody());
        let more = [&story[..], &[record(20, 10, Happened::Unsuppressed)]].concat();
        assert_eq!(state(&more, 21), Unacknowledged);
        let over = [&story[..], &[record(20, 10, Happened::Returned)]].concat();
        assert_eq!(state(&over, 21), Normal);
        let again = [&over[..], &[record(30, 30, said(false)), record(31, 10, Happened::Suppressed)]].concat();
        assert_eq!(state(&again, 32), Unacknowledged);
    }

    #[test]
    fn what_is_found_late_counts_unless_something_newer_is_known() {
        let mut book = Book::default();
        let mut times = |second: i64, raised: i64, happened: Happened| {
            book.apply(&record(second, raised, happened));
            let alarm = book.get(ASSET, RULE).unwrap();
            (alarm.times, alarm.is_active)
        };
        assert_eq!(times(100, 100, said(false)), (1, true));
        assert_eq!(times(200, 100, Happened::Returned), (1, false));
        assert_eq!(times(150, 150, said(false)), (1, false), "it was so then");
        assert_eq!(times(160, 150, Happened::Returned), (1, false));
        assert_eq!(times(250, 250, said(false)), (2, true));
        assert_eq!(times(240, 240, said(false)), (2, true), "it has been raised since");
        // When it was withdrawn is no time of the source.
        assert_eq!(times(9_000, 250, Happened::Withdrawn), (2, false));
        assert_eq!(times(300, 300, said(false)), (3, true));
    }

    #[test]
    fn whoever_is_told_of_an_alarm_changes_nothing_about_it() {
        let mut book = Book::default();
        book.apply(&record(10, 10, said(false)));
        let before = format!("{book:?}");
        book.apply(&record(20, 10, Happened::Notified(by("1 attempt"))));
        book.apply(&record(21, 10, Happened::NotNotified(by("refused"))));
        assert_eq!(format!("{book:?}"), before);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        let mut book = Book::default();
        let deed = |book: &Book, raised: Option<i64>, deed: Deed, now: i64| {
            let done = book.deed((ASSET, RULE), raised.map(at), deed, by("why"), at(now));
            done.map_err(|error| error.to_string())
        };
        let error = deed(&book, None, Deed::Acknowledged, 5).unwrap_err();
        assert_eq!(error, "there is no alarm `hot` of `machine/M1`");
        book.apply(&record(10, 10, said(true)));
        let error = deed(&book, Some(9), Deed::Acknowledged, 11).unwrap_err();
        assert_eq!(error, "the alarm has been raised again at 1970-01-01T00:00:10Z: look at it once more");
        let error = deed(&book, None, Deed::Reset, 11).unwrap_err();
        assert_eq!(error, "an alarm that is unacknowledged cannot be reset: what raised it is not over");
        for until in [11, 12 + 31 * 86_400] {
            let error = deed(&book, None, Deed::Shelved(at(until)), 11).unwrap_err();
            assert_eq!(error, "expected a time from now to 30 days from now");
        }
        let done = deed(&book, Some(10), Deed::Acknowledged, 12).unwrap();
        assert_eq!((done.time, done.raised), (at(12), at(10)));
        book.apply(&done);
        let error = deed(&book, None, Deed::Acknowledged, 13).unwrap_err();
        assert_eq!(error, "an alarm that is acknowledged cannot be acknowledged");
        book.apply(&record(20, 10, Happened::Returned));
        book.apply(&deed(&book, None, Deed::Reset, 21).unwrap());
        assert_eq!(book.get(ASSET, RULE).unwrap().state(at(22)), AlarmState::Normal);
    }

    #[test]
    fn records_come_back_from_their_rows_as_they_were() {
        let all = [
            record(10, 10, said(true)),
            record(11, 10, Happened::Done(Deed::Acknowledged, by("是的"))),
            done(12, 10, Deed::Commented),
            done(13, 10, Deed::Shelved(at(99))),
            done(14, 10, Deed::Unshelved),
            done(15, 10, Deed::OutOfService),
            done(16, 10, Deed::InService),
            record(17, 10, Happened::Returned),
            done(18, 10, Deed::Reset),
            record(19, 10, Happened::Withdrawn),
            record(20, 10, Happened::Suppressed),
            record(21, 10, Happened::Unsuppressed),
            record(22, 10, Happened::Notified(by("2 attempts"))),
            record(23, 10, Happened::NotNotified(by("refused"))),
        ];
        let batch = batch(&all, at(1_000));
        let Rows::Frames(frames) = &batch.rows else { panic!("frames") };
        let read: Vec<Record> = records(&batch.profile, frames).into_iter().flatten().collect();
        // NaN is not equal to itself.
        assert_eq!(format!("{read:?}"), format!("{all:?}"));
    }

    #[test]
    fn what_comes_often_chatters_and_what_stays_long_is_stale() {
        let mut book = Book::default();
        for second in [0, 25, 50] {
            book.apply(&record(second, second, said(false)));
            assert!(!book.get(ASSET, RULE).unwrap().is_stale(at(second + 86_400)));
            assert_eq!(book.get(ASSET, RULE).unwrap().is_chattering(), second == 50);
            book.apply(&record(second + 5, second, Happened::Returned));
        }
        book.apply(&record(1_000, 1_000, said(false)));
        let alarm = book.get(ASSET, RULE).unwrap();
        assert!(alarm.is_stale(at(1_001 + 86_400)) && alarm.times == 4);
        assert_eq!(book.withdrawn(|alarm| &*alarm.rule == RULE, at(2_000)), []);
        let gone = book.withdrawn(|_| false, at(2_000));
        book.apply(&gone[0]);
        assert!(!book.get(ASSET, RULE).unwrap().is_active);
    }
}

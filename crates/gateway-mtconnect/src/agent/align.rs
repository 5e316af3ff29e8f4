//! Decides where to go on reading: what was read before, held against what the agent's buffer holds now. Pure; knows
//! neither HTTP nor XML.

use std::ops::Range;

use super::document::Header;
use super::position::Position;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// The buffer holds what is wanted next: go on.
    GoOn,
    /// Take the observations of `current` whose numbers are in `snapshot`, then go on from `next`.
    From { next: u64, snapshot: Range<u64>, gap: Option<Gap> },
}

/// What nobody can read any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    /// How it came about, for people.
    pub(super) reason: &'static str,
    /// The numbers that were not read, in the agent's present life.
    pub(super) sequences: Range<u64>,
    /// Another life of the agent ended unread somewhere from this position on.
    pub(super) previous: Option<Position>,
}

impl Gap {
    /// The numbers that were not read and are not among `recovered` others. At most so many observations are lost:
    /// an agent counts those of all its devices together.
    pub(super) fn lost(&self, recovered: u64) -> u64 {
        (self.sequences.end - self.sequences.start).saturating_sub(recovered)
    }
}

pub(super) const OVERRUN: &str = "the buffer of the agent no longer holds what was next";
pub(super) const NEW_INSTANCE: &str = "the agent began anew";
pub(super) const WENT_BACK: &str = "the agent counts lower than before, without a new instance";

/// Holds `position` against the `header` of `current`, whose highest observation is `highest`.
pub(super) fn plan(position: Option<&Position>, header: &Header, highest: Option<u64>) -> Start {
    let next = next_of(header, highest);
    // Where the header does not tell, everything but the latest observations may be gone already.
    let first = header.first_sequence.unwrap_or(next).min(next);
    let Some(position) = position else {
        return Start::From { next: first, snapshot: 0..first, gap: None };
    };
    if position.instance_id != header.instance_id || position.next > next {
        let reason = if position.instance_id == header.instance_id { WENT_BACK } else { NEW_INSTANCE };
        // Numbers begin at 1; what lies before the buffer is lost as well.
        let gap = Gap { reason, sequences: 1.min(first)..first, previous: Some(position.clone()) };
        return Start::From { next: first, snapshot: 0..first, gap: Some(gap) };
    }
    if position.next >= first || header.first_sequence.is_none() {
        return Start::GoOn;
    }
    let missed = position.next..first;
    let gap = Gap { reason: OVERRUN, sequences: missed.clone(), previous: None };
    Start::From { next: first, snapshot: missed, gap: Some(gap) }
}

/// The number after the last one of a document.
pub(super) fn next_of(header: &Header, highest: Option<u64>) -> u64 {
    let after_highest = highest.map_or(1, |highest| highest.saturating_add(1));
    header.next_sequence.unwrap_or(after_highest).max(after_highest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(instance_id: &str, first: impl Into<Option<u64>>, next: impl Into<Option<u64>>) -> Header {
        Header {
            instance_id: instance_id.into(),
            first_sequence: first.into(),
            next_sequence: next.into(),
            ..Header::default()
        }
    }

    fn at(instance_id: &str, next: u64) -> Position {
        Position { instance_id: instance_id.into(), next }
    }

    fn gap(reason: &'static str, sequences: Range<u64>, previous: Option<Position>) -> Option<Gap> {
        Some(Gap { reason, sequences, previous })
    }

    #[test]
    fn reading_goes_on_where_the_buffer_allows_and_gaps_are_told() {
        let check = |before: Option<Position>, now: Header, expected: Start| {
            assert_eq!(plan(before.as_ref(), &now, Some(100)), expected, "{before:?} against {now:?}");
        };
        let from = |next, snapshot, gap| Start::From { next, snapshot, gap };
        // Never read before: all that the buffer holds, and from `current` what is older.
        check(None, header("a", 1, 101), from(1, 0..1, None));
        check(None, header("a", 60, 101), from(60, 0..60, None));
        // Read before.
        check(Some(at("a", 50)), header("a", 1, 101), Start::GoOn);
        check(Some(at("a", 60)), header("a", 60, 101), Start::GoOn);
        check(Some(at("a", 101)), header("a", 60, 101), Start::GoOn);
        check(Some(at("a", 50)), header("a", 60, 101), from(60, 50..60, gap(OVERRUN, 50..60, None)));
        // Another life of the agent.
        check(Some(at("a", 50)), header("b", 1, 101), from(1, 0..1, gap(NEW_INSTANCE, 1..1, Some(at("a", 50)))));
        check(Some(at("a", 50)), header("b", 60, 101), from(60, 0..60, gap(NEW_INSTANCE, 1..60, Some(at("a", 50)))));
        check(Some(at("a", 150)), header("a", 1, 101), from(1, 0..1, gap(WENT_BACK, 1..1, Some(at("a", 150)))));
        // Headers that leave things out.
        check(None, header("a", None, None), from(101, 0..101, None));
        check(Some(at("a", 50)), header("a", None, None), Start::GoOn);
        check(
            Some(at("a", 102)),
            header("a", None, None),
            from(101, 0..101, gap(WENT_BACK, 1..101, Some(at("a", 102)))),
        );
    }

    #[test]
    fn what_current_still_holds_is_not_lost() {
        let gap = gap(OVERRUN, 50..60, None).unwrap();
        assert_eq!([0, 3, 10, 11].map(|recovered| gap.lost(recovered)), [10, 7, 0, 0]);
    }
}

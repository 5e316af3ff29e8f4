//! Rules about silence: how far they have come with each asset, by when something of it was received. Time is that of the receipts,
//! since an asset that says nothing has none. Must not know how it is told when silence counts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::{AssetId, Timestamp};

use crate::clock::Clock;
use crate::engine::{Event, What};
use crate::heard::Turn;
use crate::input::{Arrivals, AssetNumber, Input};
use crate::made::Phase;
use crate::rule::Rule;

/// A rule that is so when an asset has been silent for `nanos`.
pub(crate) struct Silence<'r> {
    rule: &'r Arc<Rule>,
    nanos: i64,
    names: &'r [AssetId],
    clock: &'r Clock,
}

impl<'r> Silence<'r> {
    /// Of the `rule` that is so after a `silence`.
    pub(crate) fn new(rule: &'r Arc<Rule>, silence: Duration, names: &'r [AssetId], clock: &'r Clock) -> Self {
        Self { rule, nanos: silence.as_nanos() as i64, names, clock }
    }

    fn event(&self, asset: AssetNumber, what: What, time: Timestamp, raised: Timestamp) -> Event {
        let (asset, rule) = (self.names[asset as usize].clone(), Arc::clone(self.rule));
        Event { asset, rule, time, raised, what, shows: Vec::new() }
    }

    /// Takes in that assets were heard of. `when` says for each row that came on time, in the order of `on_time`, whether silence
    /// after it counts; what is late, or does not say, leaves that as it is.
    pub(crate) fn heard(
        &self,
        (input, arrivals): (&Input<'_>, &Arrivals),
        on_time: &[usize],
        when: &[Option<bool>],
        phases: &mut HashMap<AssetNumber, Phase>,
        events: &mut Vec<(usize, Event)>,
    ) {
        for row in input.order.iter().copied() {
            let (asset, received, place) = (input.assets[row], arrivals.received[row], input.places[row]);
            let before = phases.get(&asset).copied();
            let raised = match before {
                Some(Phase::Active { raised, .. }) => Some(raised),
                Some(Phase::Pending(since)) => {
                    let due = self.clock.due(since, self.nanos);
                    let due = self.clock.has_passed(due, received).then_some(due);
                    events.extend(due.map(|due| (place, self.event(asset, What::Raised, due, due))));
                    due
                }
                None => None,
            };
            events.extend(raised.map(|raised| (place, self.event(asset, What::Returned, received, raised))));
            let says = if arrivals.turns[row] == Turn::OnTime {
                on_time.binary_search(&row).ok().and_then(|place| when[place])
            } else {
                None
            };
            if says.unwrap_or(before.is_some()) {
                phases.insert(asset, Phase::Pending(received));
            } else {
                phases.remove(&asset);
            }
        }
    }

    /// Tells who has been silent for too long by now.
    pub(crate) fn told(&self, phases: &mut HashMap<AssetNumber, Phase>) -> Vec<Event> {
        let Some(now) = self.clock.now() else { return Vec::new() };
        let mut events = Vec::new();
        for (asset, phase) in phases {
            let Phase::Pending(since) = *phase else { continue };
            let raised = self.clock.due(since, self.nanos);
            if raised <= now {
                *phase = Phase::Active { raised, over: None, is_suppressed: false };
                events.push(self.event(*asset, What::Raised, raised, raised));
            }
        }
        events.sort_by(|one, other| (one.time, one.asset.as_str()).cmp(&(other.time, other.asset.as_str())));
        events
    }
}

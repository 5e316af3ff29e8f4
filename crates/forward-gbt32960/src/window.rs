//! Frames that are under way to an upstream, in the order in which they were sent, and what becomes acknowledged when the first
//! of them are. Knows no connection and no clock.

use std::collections::VecDeque;

use gbt32960::{Command, Vin, WireTime};
use tokio::time::Instant;

use crate::items::Table;
use crate::reports::Place;

/// How often a frame is sent at the most that the upstream refuses.
const TRIES_MAX: u8 = 3;

/// What is acknowledged as soon as all before it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A gap, up to this row of a table.
    Row(u64, Table, Place),
    /// All of a gap.
    End(u64),
}

/// A frame that was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) vin: Vin,
    pub(crate) command: Command,
    pub(crate) time: WireTime,
    pub(crate) bytes: Vec<u8>,
    /// How many bytes of the connection were queued with it.
    pub(crate) end: u64,
    pub(crate) at: Instant,
    tries: u8,
}

impl Sent {
    pub(crate) fn new(vin: Vin, command: Command, time: WireTime, bytes: Vec<u8>, end: u64, at: Instant) -> Self {
        Self { vin, command, time, bytes, end, at, tries: 1 }
    }
}

#[derive(Debug)]
enum Entry {
    Waiting(Sent),
    Settled,
    Mark(Mark),
}

/// What a refusal makes necessary.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The frame is sent again.
    Again(Vec<u8>),
    /// It is given up.
    GivenUp(WireTime),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Window {
    entries: VecDeque<Entry>,
    waiting: usize,
}

impl Window {
    /// Frames under way.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    /// All that is kept, marks included.
    pub(crate) fn entries(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn push(&mut self, sent: Sent) {
        self.waiting += 1;
        self.entries.push_back(Entry::Waiting(sent));
    }

    pub(crate) fn mark(&mut self, mark: Mark) {
        self.entries.push_back(Entry::Mark(mark));
    }

    /// The first frame that was sent with `command` for `vin` and `time`, if the reply tells a time.
    fn find(&mut self, vin: &Vin, command: Command, time: Option<WireTime>) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| match entry {
            Entry::Waiting(sent) => {
                sent.vin == *vin && sent.command == command && time.is_none_or(|time| time == sent.time)
            }
            _ => false,
        })
    }

    /// A good reply. Whether a frame waited for it.
    pub(crate) fn acknowledge(&mut self, vin: &Vin, command: Command, time: Option<WireTime>) -> bool {
        let Some(entry) = self.find(vin, command, time) else { return false };
        *entry = Entry::Settled;
        self.waiting -= 1;
        true
    }

    /// A bad reply, at `now`; `queued` bytes have been queued so far. `None` if no frame waited.
    pub(crate) fn refuse(
        &mut self,
        vin: &Vin,
        command: Command,
        time: Option<WireTime>,
        now: Instant,
        queued: u64,
    ) -> Option<Refused> {
        let entry = self.find(vin, command, time)?;
        let Entry::Waiting(sent) = entry else { return None };
        if sent.tries < TRIES_MAX {
            sent.tries += 1;
            (sent.at, sent.end) = (now, queued + sent.bytes.len() as u64);
            return Some(Refused::Again(sent.bytes.clone()));
        }
        let time = sent.time;
        *entry = Entry::Settled;
        self.waiting -= 1;
        Some(Refused::GivenUp(time))
    }

    /// Takes in that the first `bytes` of the connection count as taken. How many frames that acknowledges.
    pub(crate) fn take(&mut self, bytes: u64) -> u64 {
        let mut acknowledged = 0;
        for entry in &mut self.entries {
            let Entry::Waiting(sent) = entry else { continue };
            // A frame that was sent again stands before others that were sent earlier.
            if sent.end > bytes {
                break;
            }
            *entry = Entry::Settled;
            acknowledged += 1;
        }
        self.waiting -= acknowledged as usize;
        acknowledged
    }

    /// The next mark of which all before it is settled.
    pub(crate) fn next_mark(&mut self) -> Option<Mark> {
        loop {
            match self.entries.front()? {
                Entry::Waiting(_) => return None,
                Entry::Settled => drop(self.entries.pop_front()),
                Entry::Mark(_) => match self.entries.pop_front() {
                    Some(Entry::Mark(mark)) => return Some(mark),
                    _ => unreachable!("it was looked at"),
                },
            }
        }
    }

    /// When the frame was sent that has waited longest.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.entries.iter().find_map(|entry| if let Entry::Waiting(sent) = entry { Some(sent.at) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: WireTime = [26, 7, 7, 18, 0, 0];

    fn sent(window: &mut Window, vin: u8, end: u64) -> Vin {
        let vin = Vin([vin; 17]);
        window.push(Sent::new(vin, Command::REALTIME, TIME, vec![0; 10], end, Instant::now()));
        vin
    }

    #[tokio::test(start_paused = true)]
    async fn a_mark_counts_when_all_before_it_is_settled() {
        let mut window = Window::default();
        window.mark(Mark::End(0));
        let one = sent(&mut window, b'1', 10);
        let two = sent(&mut window, b'2', 20);
        window.mark(Mark::End(1));
        assert_eq!((window.next_mark(), window.next_mark()), (Some(Mark::End(0)), None));
        assert!(window.acknowledge(&two, Command::REALTIME, Some(TIME)));
        assert!(!window.acknowledge(&two, Command::REALTIME, None), "once");
        assert!(!window.acknowledge(&one, Command::REISSUED, None), "another command");
        assert_eq!(window.next_mark(), None);
        assert!(window.acknowledge(&one, Command::REALTIME, None));
        assert_eq!((window.next_mark(), window.len(), window.entries()), (Some(Mark::End(1)), 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_frame_is_sent_three_times() {
        let mut window = Window::default();
        let vin = sent(&mut window, b'1', 10);
        for _ in 0..2 {
            let refused = window.refuse(&vin, Command::REALTIME, None, Instant::now(), 10);
            assert_eq!(refused, Some(Refused::Again(vec![0; 10])));
        }
        let refused = window.refuse(&vin, Command::REALTIME, None, Instant::now(), 10);
        assert_eq!((refused, window.len()), (Some(Refused::GivenUp(TIME)), 0));
        assert_eq!(window.refuse(&vin, Command::REALTIME, None, Instant::now(), 10), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_tcp_has_taken_counts_as_far_as_it_goes() {
        let mut window = Window::default();
        sent(&mut window, b'1', 10);
        sent(&mut window, b'2', 20);
        assert_eq!((window.take(15), window.len()), (1, 1));
        assert_eq!((window.take(19), window.take(20), window.len()), (0, 1, 0));
    }
}

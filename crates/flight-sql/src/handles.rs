//! What clients name by a handle that nobody can guess, for as long as they use it. Knows nothing of what it keeps.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What nobody can guess.
pub(crate) type Handle = [u8; 16];

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Things at the same time; at the bound the one goes that was not used for the longest time.
    pub(crate) count_max: usize,
    /// Bytes of all of them, as whoever keeps them counts; at the bound likewise.
    pub(crate) bytes_max: usize,
    /// What was not used for so long is forgotten.
    pub(crate) idle_max: Duration,
}

/// See the module.
pub(crate) struct Handles<T> {
    bounds: Bounds,
    random: fn(&mut [u8]) -> io::Result<()>,
    kept: Mutex<HashMap<Handle, Kept<T>>>,
}

struct Kept<T> {
    thing: T,
    bytes: usize,
    used: Instant,
}

impl<T: Clone> Handles<T> {
    pub(crate) fn new(bounds: Bounds, random: fn(&mut [u8]) -> io::Result<()>) -> Self {
        Self { bounds, random, kept: Mutex::default() }
    }

    /// Keeps `thing`, which counts as `bytes`, under a new handle.
    ///
    /// # Errors
    /// When there is no source of randomness.
    pub(crate) fn keep(&self, thing: T, bytes: usize) -> io::Result<Handle> {
        let mut handle = Handle::default();
        (self.random)(&mut handle)?;
        let now = Instant::now();
        let mut kept = self.lock();
        kept.retain(|_, kept| now.duration_since(kept.used) < self.bounds.idle_max);
        let mut sum: usize = kept.values().map(|kept| kept.bytes).sum();
        while kept.len() >= self.bounds.count_max || sum + bytes > self.bounds.bytes_max {
            let oldest = kept.iter().min_by_key(|(_, kept)| kept.used).map(|(handle, _)| *handle);
            let Some(gone) = oldest.and_then(|oldest| kept.remove(&oldest)) else { break };
            sum -= gone.bytes;
        }
        kept.insert(handle, Kept { thing, bytes, used: now });
        Ok(handle)
    }

    /// What `handle` stands for, which has been used with this.
    pub(crate) fn find(&self, handle: &[u8]) -> Option<T> {
        let now = Instant::now();
        let mut kept = self.lock();
        let found = kept.get_mut(handle).filter(|kept| now.duration_since(kept.used) < self.bounds.idle_max)?;
        found.used = now;
        Some(found.thing.clone())
    }

    /// Forgets what `handle` stands for, if there is such a thing.
    pub(crate) fn forget(&self, handle: &[u8]) {
        self.lock().remove(handle);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Handle, Kept<T>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    fn counting(bytes: &mut [u8]) -> io::Result<()> {
        static LAST: AtomicU8 = AtomicU8::new(0);
        bytes.fill(LAST.fetch_add(1, Ordering::Relaxed));
        Ok(())
    }

    fn handles(count_max: usize, bytes_max: usize) -> Handles<&'static str> {
        Handles::new(Bounds { count_max, bytes_max, idle_max: Duration::from_secs(60) }, counting)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_used_stays_and_what_is_not_goes() {
        let handles = handles(8, 100);
        let (one, other) = (handles.keep("one", 1).unwrap(), handles.keep("other", 1).unwrap());
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!(handles.find(&one), Some("one"));
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!((handles.find(&one), handles.find(&other)), (Some("one"), None));
        handles.forget(&one);
        assert_eq!(handles.find(&one), None);
        for wrong in [&[][..], &[1; 15], &[255; 16], &[0; 17]] {
            assert_eq!(handles.find(wrong), None);
            handles.forget(wrong);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_bound_the_one_goes_that_was_not_used() {
        for (count_max, bytes_max) in [(2, 100), (100, 10)] {
            let handles = handles(count_max, bytes_max);
            let first = handles.keep("first", 5).unwrap();
            tokio::time::advance(Duration::from_secs(1)).await;
            let second = handles.keep("second", 5).unwrap();
            tokio::time::advance(Duration::from_secs(1)).await;
            handles.find(&first);
            let third = handles.keep("third", 5).unwrap();
            let found = [first, second, third].map(|handle| handles.find(&handle));
            assert_eq!(found, [Some("first"), None, Some("third")]);
        }
    }

    #[test]
    fn without_randomness_nothing_is_kept() {
        let bounds = Bounds { count_max: 1, bytes_max: 1, idle_max: Duration::from_secs(1) };
        let handles = Handles::new(bounds, |_| Err(io::Error::other("none")));
        assert!(handles.keep("a", 1).is_err() && handles.lock().is_empty());
    }
}

//! Questions that meet a damaged file: the store saves what can be read of it, and the question is asked again. Knows
//! nothing of what is asked, or by whom.

use store::Store;
use tokio::time::{Instant, timeout_at};

use crate::error::QueryError;

/// How often one question is asked at most, each time without the damaged file that it met before.
pub const ATTEMPTS_MAX: usize = 4;

/// Where a file that did not read is the reason of `error`, has `store` save what can be read of it, and waits until
/// `deadline` for that; it is done in any case. Whether the question may be asked again.
pub async fn put_right(store: &Store, error: &QueryError, deadline: Instant) -> bool {
    let QueryError::Unread { file, .. } = error else { return false };
    // Nothing wrong with it is no reason to give up: somebody else may have put it right a moment ago.
    matches!(timeout_at(deadline, store.quarantine(file)).await, Ok(Ok(_)))
}

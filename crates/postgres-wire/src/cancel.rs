//! Which commands are under way, so that another connection can stop one: it has to know its process and its secret.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// All connections that can be stopped.
#[derive(Debug, Default)]
pub(crate) struct Cancels {
    connections: Mutex<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    last: i32,
    all: HashMap<i32, Connection>,
}

#[derive(Debug)]
struct Connection {
    secret: i32,
    current: Option<CancellationToken>,
}

impl Cancels {
    /// Makes a connection known; it is forgotten when what this returns is dropped.
    pub(crate) fn register(self: &Arc<Self>, secret: i32) -> Registered {
        let mut connections = self.lock();
        let mut process = connections.last;
        loop {
            process = process.checked_add(1).unwrap_or(1);
            if !connections.all.contains_key(&process) {
                break;
            }
        }
        connections.last = process;
        connections.all.insert(process, Connection { secret, current: None });
        Registered { cancels: Arc::clone(self), process, secret }
    }

    /// Stops what the connection does now. A wrong secret stops nothing, and nobody is told.
    pub(crate) fn cancel(&self, process: i32, secret: i32) {
        let connections = self.lock();
        let found = connections.all.get(&process).filter(|connection| connection.secret == secret);
        if let Some(current) = found.and_then(|connection| connection.current.as_ref()) {
            current.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's entry.
pub(crate) struct Registered {
    cancels: Arc<Cancels>,
    pub(crate) process: i32,
    pub(crate) secret: i32,
}

impl Registered {
    /// What stops the command that begins now, and no other.
    pub(crate) fn begin(&self) -> CancellationToken {
        let token = CancellationToken::new();
        if let Some(connection) = self.cancels.lock().all.get_mut(&self.process) {
            connection.current = Some(token.clone());
        }
        token
    }

    /// Says that no command is under way.
    pub(crate) fn end(&self) {
        if let Some(connection) = self.cancels.lock().all.get_mut(&self.process) {
            connection.current = None;
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.cancels.lock().all.remove(&self.process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_secret_stops_only_what_is_under_way() {
        let cancels = Arc::new(Cancels::default());
        let one = cancels.register(7);
        let other = cancels.register(8);
        assert_ne!(one.process, other.process);
        cancels.cancel(one.process, 7);
        let current = one.begin();
        assert!(!current.is_cancelled(), "what came before is over");
        cancels.cancel(one.process, 8);
        cancels.cancel(other.process, 8);
        assert!(!current.is_cancelled());
        cancels.cancel(one.process, 7);
        assert!(current.is_cancelled());
        one.end();
        let process = one.process;
        drop(one);
        cancels.cancel(process, 7);
        assert_eq!(cancels.lock().all.len(), 1);
    }
}

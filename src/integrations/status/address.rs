//! `StatusAddress`: where a status server listens.

use crate::util::sync::{Arc, Condvar, Mutex, wait};
use std::fmt;
use std::net::SocketAddr;

/// The address on which a [`StatusServer`](crate::StatusServer) listens. From
/// [`StatusServer::local_addr`](crate::StatusServer::local_addr).
///
/// Cheap to clone. It stays valid after the server has moved into a host.
///
/// ```
/// use hosted::{Host, StatusServer};
///
/// let server = StatusServer::bind("127.0.0.1:0");
/// let address = server.local_addr();
/// let mut host = Host::new();
/// host.add("status", server);
/// assert_eq!(address.get(), None);
/// host.start().unwrap();
/// assert_ne!(address.get().unwrap().port(), 0);
/// # host.stop(std::time::Duration::from_secs(10)).unwrap();
/// ```
#[derive(Clone)]
pub struct StatusAddress(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy)]
enum State {
    NotYet,
    Known(SocketAddr),
    Never,
}

impl StatusAddress {
    pub(super) fn unknown() -> Self {
        StatusAddress(Arc::new(Shared { state: Mutex::new(State::NotYet), changed: Condvar::new() }))
    }

    pub(super) fn set(&self, address: SocketAddr) {
        self.put(State::Known(address));
    }

    /// The server is gone. An address that was known stays known.
    pub(super) fn give_up(&self) {
        self.put(State::Never);
    }

    fn put(&self, state: State) {
        let mut old = self.0.state.lock();
        if !matches!((*old, state), (State::Known(_), State::Never)) {
            *old = state;
        }
        drop(old);
        self.0.changed.notify_all();
    }

    /// Returns the address, or `None` if the server has not started yet.
    pub fn get(&self) -> Option<SocketAddr> {
        match *self.0.state.lock() {
            State::Known(address) => Some(address),
            State::NotYet | State::Never => None,
        }
    }

    /// Blocks until the server listens, and returns its address. Returns `None` if the server was dropped without
    /// ever having listened.
    ///
    /// Call it from another thread than the one that starts the host: on that thread it would wait for itself.
    pub fn wait(&self) -> Option<SocketAddr> {
        let mut state = self.0.state.lock();
        while matches!(*state, State::NotYet) {
            wait(&self.0.changed, &mut state, None);
        }
        drop(state);
        self.get()
    }
}

impl fmt::Debug for StatusAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StatusAddress").field(&self.get()).finish()
    }
}

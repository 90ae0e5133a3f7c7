//! TLS sessions, one store for each connection.
//!
//! rustls asks a store for what it may resume and gives it what it received. The caller keeps
//! sessions itself, each beside its evidence, so a store holds only the session that this
//! connection offers, and the ones that it received.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(feature = "python")]
use pyo3::prelude::*;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// Sessions that one connection hands on; a server may send more.
const MOST: usize = 4;
/// Servers of whose key exchange group a configuration remembers.
const HINTS: usize = 1024;

/// One session. A ticket of TLS 1.3 is used once (RFC 8446 appendix C.4), a session of TLS 1.2
/// again.
#[derive(Debug)]
pub enum Kept {
    /// Of TLS 1.2.
    Tls12(Tls12ClientSessionValue),
    /// Of TLS 1.3.
    Tls13(Tls13ClientSessionValue),
}

/// A session as Python holds it, and the name that was verified when it was made.
#[cfg_attr(feature = "python", pyclass(frozen, module = "pinio_rustls"))]
#[derive(Debug)]
pub struct Session {
    name: ServerName<'static>,
    held: Mutex<Option<Kept>>,
}

impl Session {
    /// Takes the session to offer it to `name`; `None` once a single-use one was taken.
    ///
    /// No name is verified on a resumed connection, so another name is offered nothing.
    pub fn offer(&self, name: &ServerName<'_>) -> Option<Kept> {
        if self.name != *name {
            return None;
        }
        let mut held = locked(&self.held);
        match &*held {
            Some(Kept::Tls12(value)) => Some(Kept::Tls12(value.clone())),
            _ => held.take(),
        }
    }
}

#[cfg(feature = "python")]
#[pymethods]
impl Session {
    /// Whether it may be offered once.
    #[getter]
    fn single_use(&self) -> bool {
        !matches!(&*locked(&self.held), Some(Kept::Tls12(_)))
    }

    /// Whether it was offered already, and is used up.
    #[getter]
    fn used(&self) -> bool {
        locked(&self.held).is_none()
    }
}

/// The key exchange groups that servers chose, so that the next handshake guesses right.
#[derive(Debug, Default)]
pub struct Hints(Mutex<HashMap<ServerName<'static>, NamedGroup>>);

/// What one connection offers and receives.
#[derive(Debug)]
pub struct Store {
    hints: Arc<Hints>,
    /// The group that the server chose; it becomes a hint when the handshake is done.
    chosen: Mutex<Option<(ServerName<'static>, NamedGroup)>>,
    offered: Mutex<Option<Kept>>,
    received: Mutex<Vec<(ServerName<'static>, Kept)>>,
}

impl Store {
    /// A store that offers `offered`.
    pub fn new(hints: Arc<Hints>, offered: Option<Kept>) -> Self {
        Self {
            hints,
            chosen: Mutex::default(),
            offered: Mutex::new(offered),
            received: Mutex::default(),
        }
    }

    /// The newest session that was received, once.
    pub fn take(&self) -> Option<Session> {
        let (name, kept) = locked(&self.received).pop()?;
        Some(Session {
            name,
            held: Mutex::new(Some(kept)),
        })
    }

    /// Lets the configuration remember the group that the server chose.
    ///
    /// Not before: a group that an attacker names in an unfinished handshake, a classical one
    /// perhaps, would steer the next connection to the genuine server.
    pub fn handshake_done(&self) {
        let Some((name, group)) = locked(&self.chosen).take() else {
            return;
        };
        let mut hints = locked(&self.hints.0);
        if hints.len() >= HINTS {
            hints.clear();
        }
        hints.insert(name, group);
    }

    fn keep(&self, session: (ServerName<'static>, Kept)) {
        let mut received = locked(&self.received);
        if received.len() >= MOST {
            received.remove(0);
        }
        received.push(session);
    }
}

impl ClientSessionStore for Store {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        *locked(&self.chosen) = Some((server_name, group));
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        locked(&self.hints.0).get(server_name).copied()
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.keep((server_name, Kept::Tls12(value)));
    }

    fn tls12_session(&self, _server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        match &*locked(&self.offered) {
            Some(Kept::Tls12(value)) => Some(value.clone()),
            _ => None,
        }
    }

    fn remove_tls12_session(&self, _server_name: &ServerName<'static>) {
        *locked(&self.offered) = None;
    }

    fn insert_tls13_ticket(
        &self,
        server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        self.keep((server_name, Kept::Tls13(value)));
    }

    fn take_tls13_ticket(
        &self,
        _server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        let mut offered = locked(&self.offered);
        match offered.take() {
            Some(Kept::Tls13(value)) => Some(value),
            other => {
                *offered = other;
                None
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Which decisions were taken already, so that each is taken once: the same code for the same question is sent as the
//! same bytes in every turn, after a passed deadline and, with a file, after a restart.
//!
//! Nothing of a request is kept but hashes and the numbers of lines.

mod disk;
mod entry;

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::base::limits::Cancel;
use crate::base::text::Lines;
use disk::Disk;

/// What a decision is about: a hash of all that it depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// The BLAKE3 hash of `parts`, which are told apart from others that only join to the same bytes.
    pub fn new(parts: &[&[u8]]) -> Self {
        let mut hash = blake3::Hasher::new();
        for part in parts {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

/// What was decided about a piece of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// These lines stay: in order and apart, counted from 0.
    Keep(Vec<Lines>),
    /// All of it stays.
    Leave(Reason),
}

/// Why a piece of code was left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The deadline passed. That stays so: otherwise the next turn would send other bytes.
    Deadline,
    /// It does not parse.
    Syntax,
    /// It has too few functions and types to choose from.
    FewUnits,
    /// As many as may have their code scored did. That stays so, as with the deadline.
    Busy,
    /// The client had as much code judged as it may. That stays so, as with the deadline.
    Rate,
}

impl Reason {
    /// The reason in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Syntax => "syntax",
            Self::FewUnits => "few-units",
            Self::Busy => "busy",
            Self::Rate => "rate",
        }
    }
}

/// Where decisions are kept.
#[derive(Debug, Clone, Default)]
pub struct LedgerConfig {
    /// Memory for them, in bytes.
    pub memory_bytes: u64,
    /// The file that keeps them over a restart, if any.
    pub path: Option<PathBuf>,
    /// What they may take in that file, in bytes; beyond it the oldest go.
    pub disk_bytes: u64,
}

/// The decisions taken so far. Shared by all requests.
pub struct Ledger {
    memory: Cache<Key, Decision>,
    /// Decisions that are being taken right now.
    in_flight: DashMap<Key, Arc<Flight>>,
    disk: Option<Disk>,
}

impl Ledger {
    /// Opens the ledger. A file that can't be used is a warning in the log: decisions are kept in memory then.
    pub fn open(config: LedgerConfig) -> Self {
        // The newest is always taken in: the next turn asks for it.
        let memory = Cache::builder()
            .max_capacity(config.memory_bytes)
            .weigher(|_, decision| entry::weight(decision))
            .eviction_policy(EvictionPolicy::lru())
            .build();
        let disk = config.path.and_then(|path| Disk::open(path, config.disk_bytes));
        Self { memory, in_flight: DashMap::new(), disk }
    }

    /// The decision of `key`: the one taken before, else what `decide` returns, which is kept unless it is an error. Who
    /// asks for a decision that is being taken waits for it; if that fails, or `cancel` says that nobody waits here any
    /// more, they take it themselves.
    ///
    /// # Errors
    /// Those of `decide`.
    pub fn decide<E>(
        &self,
        key: Key,
        cancel: &Cancel,
        decide: impl FnOnce() -> Result<Decision, E>,
    ) -> Result<Decision, E> {
        let landing = loop {
            if let Some(decision) = self.known(key) {
                return Ok(decision);
            }
            let flight = match self.in_flight.entry(key) {
                Entry::Vacant(free) => {
                    let flight = Arc::new(Flight::default());
                    free.insert(flight.clone());
                    break Landing { ledger: self, key, flight };
                }
                Entry::Occupied(taken) => taken.get().clone(),
            };
            match flight.wait(cancel) {
                Waited::Landed(decision) => return Ok(decision),
                Waited::Failed => {}
                Waited::Cancelled => return decide(),
            }
        };
        // Another may have landed between the look and the start.
        let decision = match self.known(key) {
            Some(decision) => decision,
            None => {
                let decision = decide()?;
                self.memory.insert(key, decision.clone());
                if let Some(disk) = &self.disk {
                    disk.put(key, &decision);
                }
                decision
            }
        };
        landing.land(decision.clone());
        Ok(decision)
    }

    fn known(&self, key: Key) -> Option<Decision> {
        self.memory.get(&key).or_else(|| {
            let decision = self.disk.as_ref()?.get(key)?;
            self.memory.insert(key, decision.clone());
            Some(decision)
        })
    }
}

/// A decision that is being taken.
#[derive(Default)]
struct Flight {
    state: Mutex<FlightState>,
    changed: Condvar,
}

#[derive(Default)]
enum FlightState {
    #[default]
    Flying,
    Landed(Decision),
    Failed,
}

/// What came of waiting for a decision.
enum Waited {
    Landed(Decision),
    /// Whoever took it gave up.
    Failed,
    /// Nobody waits here any more.
    Cancelled,
}

impl Flight {
    /// Waits until it has landed, one way or the other, or until `cancel` comes.
    fn wait(&self, cancel: &Cancel) -> Waited {
        /// How often a waiter looks whether its own client is still there.
        const PATIENCE: Duration = Duration::from_millis(50);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*state {
                FlightState::Landed(decision) => return Waited::Landed(decision.clone()),
                FlightState::Failed => return Waited::Failed,
                FlightState::Flying if cancel.is_cancelled() => return Waited::Cancelled,
                FlightState::Flying => {}
            }
            state = self.changed.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Says how it ended. Once it has, that stays so.
    fn end(&self, end: FlightState) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, FlightState::Flying) {
            *state = end;
        }
        drop(state);
        self.changed.notify_all();
    }
}

/// Lets the waiters go on when the decision is taken, has failed, or has panicked.
struct Landing<'a> {
    ledger: &'a Ledger,
    key: Key,
    flight: Arc<Flight>,
}

impl Landing<'_> {
    /// Hands the decision to those who wait, whether or not the memory holds it.
    fn land(self, decision: Decision) {
        self.flight.end(FlightState::Landed(decision));
    }
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.ledger.in_flight.remove(&self.key);
        self.flight.end(FlightState::Failed);
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

//! Remembers decisions about code, so that each is taken once: the same code for the same question is sent as the same bytes
//! in every turn, also after a passed deadline and, with a file, after a restart.
//!
//! Nothing of a request is kept but hashes and line numbers.

mod decision;
mod disk;
mod entry;
mod key;

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::base::limits::Cancel;
pub use decision::{Decision, Reason};
use disk::Disk;
pub use key::{DecisionKey, Key};

/// Memory and file for decisions.
#[derive(Debug, Clone, Default)]
pub struct LedgerConfig {
    /// Memory for them, in bytes.
    pub memory_bytes: u64,
    /// The file that keeps decisions over a restart, if any.
    pub path: Option<PathBuf>,
    /// The file's largest size, in bytes; beyond it the oldest decisions are removed.
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
    /// Opens the ledger. Where its file can't be used, a warning is logged and decisions are kept in memory only.
    pub fn open(config: LedgerConfig) -> Self {
        // The newest is always taken in: the next turn asks for it.
        let memory = Cache::builder()
            .max_capacity(config.memory_bytes)
            .weigher(|_, decision| memory_size(decision))
            .eviction_policy(EvictionPolicy::lru())
            .build();
        let disk = config.path.and_then(|path| Disk::open(path, config.disk_bytes));
        Self { memory, in_flight: DashMap::new(), disk }
    }

    /// The decision of `key`: the one taken before, else what `decide` returns, which is kept unless it is an error. A caller
    /// that asks for a decision that another is taking waits for it; if the other fails, or `cancel` is set, the caller
    /// takes it itself.
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
            if let Some(decision) = self.find(key) {
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
        // Another may have landed between the look-up and the start.
        let decision = match self.find(key) {
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

    fn find(&self, key: Key) -> Option<Decision> {
        self.memory.get(&key).or_else(|| {
            let decision = self.disk.as_ref()?.get(key)?;
            self.memory.insert(key, decision.clone());
            Some(decision)
        })
    }
}

/// Memory that a decision takes, with its key and the cache's own overhead, in bytes.
fn memory_size(decision: &Decision) -> u32 {
    const OVERHEAD: usize = 200;
    let lines = match decision {
        Decision::Keep(lines) => size_of_val(&lines[..]),
        Decision::Leave(_) => 0,
    };
    u32::try_from(OVERHEAD + lines).unwrap_or(u32::MAX)
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

/// Result of waiting for a decision.
enum Waited {
    Landed(Decision),
    /// The caller that took it gave up.
    Failed,
    /// The waiting caller was cancelled.
    Cancelled,
}

impl Flight {
    /// Waits for the end, or for `cancel`.
    fn wait(&self, cancel: &Cancel) -> Waited {
        /// Time between two checks of `cancel`.
        const CHECK: Duration = Duration::from_millis(50);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*state {
                FlightState::Landed(decision) => return Waited::Landed(decision.clone()),
                FlightState::Failed => return Waited::Failed,
                FlightState::Flying if cancel.is_cancelled() => return Waited::Cancelled,
                FlightState::Flying => {}
            }
            state = self.changed.wait_timeout(state, CHECK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends the flight; the first end stands.
    fn end(&self, end: FlightState) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, FlightState::Flying) {
            *state = end;
        }
        drop(state);
        self.changed.notify_all();
    }
}

/// Wakes the waiting callers when the decision is taken, has failed, or has panicked.
struct Landing<'a> {
    ledger: &'a Ledger,
    key: Key,
    flight: Arc<Flight>,
}

impl Landing<'_> {
    /// Hands the decision to the waiting callers, whether or not the memory holds it.
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

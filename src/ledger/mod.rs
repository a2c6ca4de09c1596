//! Remembers decisions about code, so that each is taken once: the same code for the same question is sent as the same bytes
//! in every turn, also after a passed deadline and, with a file, after a restart.
//!
//! Nothing of a request is kept but hashes and line numbers. Decisions of a version with another key ([`DecisionKey`]) or
//! stored form ([`entry`]) are never found again and go as the oldest; a damaged file is renamed.

mod decision;
mod disk;
mod entry;
mod key;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;

use crate::base::limits::Cancel;
pub use decision::Decision;
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

/// A decision that is being taken; `None` until it is.
type InFlight = Arc<Mutex<Option<Decision>>>;

/// The decisions taken so far. Shared by all requests.
pub struct Ledger {
    memory: Cache<Key, Decision>,
    in_flight: DashMap<Key, InFlight>,
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
        /// Time between two checks of `cancel`.
        const CHECK: Duration = Duration::from_millis(50);
        if let Some(decision) = self.find(key) {
            return Ok(decision);
        }
        let flight = self.board(key);
        let mut landed = loop {
            match flight.decision.try_lock_for(CHECK) {
                Some(landed) => break landed,
                None if cancel.is_cancelled() => return decide(),
                None => {}
            }
        };
        // Another caller may have taken it in the meantime.
        if let Some(decision) = landed.clone().or_else(|| self.find(key)) {
            return Ok(decision);
        }
        let decision = decide()?;
        self.memory.insert(key, decision.clone());
        if let Some(disk) = &self.disk {
            disk.put(key, &decision);
        }
        // For the callers that wait, whether or not the memory holds it.
        *landed = Some(decision.clone());
        Ok(decision)
    }

    fn board(&self, key: Key) -> Flight<'_> {
        let decision = self.in_flight.entry(key).or_default().clone();
        Flight { ledger: self, key, decision }
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

/// A caller's part in a decision that is being taken. Whoever holds the lock takes it; the others wait for the lock, which
/// is free again when the decision is taken, has failed, or has panicked.
struct Flight<'a> {
    ledger: &'a Ledger,
    key: Key,
    decision: InFlight,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        // The last one removes it; its own reference goes first.
        self.decision = InFlight::default();
        self.ledger.in_flight.remove_if(&self.key, |_, decision| Arc::strong_count(decision) == 1);
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

//! The ledger's file: decisions that outlive the process, in an embedded store.
//!
//! A thread of its own writes, so that no request waits for the disk; what it has not written yet is lost with the process,
//! a fraction of a second's decisions at most. Whatever goes wrong with the file is a warning: the ledger goes on in
//! memory.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;

use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageError, TableDefinition,
};

use super::{Decision, Key, entry};

/// The entries by key.
const ENTRIES: TableDefinition<[u8; 32], &[u8]> = TableDefinition::new("entries");
/// The keys in the order in which they came.
const ORDER: TableDefinition<u64, [u8; 32]> = TableDefinition::new("order");
/// What an entry takes in the file beside its value: its key twice and its number.
const ENTRY_OVERHEAD: u64 = 80;
/// Decisions that wait to be written. Beyond them new ones are kept in memory only.
const QUEUE: usize = 1024;

/// The file, and the thread that writes to it.
pub struct Disk {
    database: Arc<Database>,
    queue: Option<SyncSender<(Key, Vec<u8>)>>,
    writer: Option<JoinHandle<()>>,
    full: AtomicBool,
}

impl Disk {
    /// Opens or makes the file at `path` for at most `limit` bytes of decisions. `None`, after a warning, if that can't be
    /// done. A damaged file is put aside and a new one made.
    pub fn open(path: PathBuf, limit: u64) -> Option<Self> {
        let opened = open(&path, limit).or_else(|problem| {
            if !problem.is_damage {
                return Err(problem);
            }
            let aside = path.with_extension("damaged");
            tracing::warn!(path = %path.display(), aside = %aside.display(), reason = problem.text,
                "the ledger's file is damaged; it is put aside and a new one made");
            fs::rename(&path, &aside).map_err(|error| Problem { text: error.to_string(), is_damage: false })?;
            open(&path, limit)
        });
        let database = match opened {
            Ok(database) => Arc::new(database),
            Err(problem) => {
                tracing::warn!(path = %path.display(), reason = problem.text,
                    "the ledger's file can't be used, decisions are kept in memory only; see ledger.path");
                return None;
            }
        };
        let (queue, waiting) = mpsc::sync_channel(QUEUE);
        let store = database.clone();
        let writer = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || write_all(&store, &waiting, limit, &path))
            .ok()?;
        Some(Self { database, queue: Some(queue), writer: Some(writer), full: AtomicBool::new(false) })
    }

    /// The decision of `key`, if it is there.
    pub fn get(&self, key: Key) -> Option<Decision> {
        let read = || -> Option<Decision> {
            let table = self.database.begin_read().ok()?.open_table(ENTRIES).ok()?;
            entry::decode(table.get(key.0).ok()??.value())
        };
        // What is wrong with the file is not wrong with the request.
        catch_unwind(AssertUnwindSafe(read)).ok().flatten()
    }

    /// Has a decision written, soon.
    pub fn put(&self, key: Key, decision: &Decision) {
        let Some(queue) = &self.queue else { return };
        if queue.try_send((key, entry::encode(decision))).is_err() && !self.full.swap(true, Ordering::Relaxed) {
            tracing::warn!("the ledger's file takes no more; new decisions are kept in memory only");
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The writer ends when the queue is closed and empty.
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing more to write.
            let _ = writer.join();
        }
    }
}

/// Why the file can't be used.
struct Problem {
    text: String,
    /// Whether another file in its place would do.
    is_damage: bool,
}

impl<E: Into<redb::Error>> From<E> for Problem {
    fn from(error: E) -> Self {
        let error = error.into();
        let is_damage = matches!(
            error,
            redb::Error::Corrupted(_)
                | redb::Error::UpgradeRequired(_)
                | redb::Error::RepairAborted
                | redb::Error::TableTypeMismatch { .. }
        );
        Self { text: error.to_string(), is_damage }
    }
}

fn open(path: &Path, limit: u64) -> Result<Database, Problem> {
    let panicked = |_| Problem { text: "its pages make no sense".into(), is_damage: true };
    catch_unwind(AssertUnwindSafe(|| {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| Problem { text: error.to_string(), is_damage: false })?;
        }
        let mut database = Database::create(path).map_err(|error| match error {
            DatabaseError::Storage(StorageError::Io(error)) => {
                // A file of something else is not damaged, but it is not ours either.
                let is_damage = error.kind() == std::io::ErrorKind::InvalidData;
                Problem { text: error.to_string(), is_damage }
            }
            error => Problem::from(error),
        })?;
        // The store keeps its pages when entries go.
        if fs::metadata(path).is_ok_and(|file| file.len() > limit.saturating_mul(2)) {
            database.compact()?;
        }
        let make = database.begin_write()?;
        make.open_table(ENTRIES)?;
        make.open_table(ORDER)?;
        make.commit()?;
        Ok(database)
    }))
    .unwrap_or_else(|panic| Err(panicked(panic)))
}

/// Writes what comes, several at once where several wait. Ends with the queue, or with the first failure.
fn write_all(database: &Database, waiting: &Receiver<(Key, Vec<u8>)>, limit: u64, path: &Path) {
    while let Ok(first) = waiting.recv() {
        let batch = std::iter::once(first).chain(waiting.try_iter().take(QUEUE));
        let written = catch_unwind(AssertUnwindSafe(|| write(database, batch, limit)));
        let reason = match written {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the store failed".into(),
        };
        tracing::warn!(path = %path.display(), reason, "the ledger's file can't be written, new decisions are kept in memory only");
        return;
    }
}

fn write(database: &Database, batch: impl Iterator<Item = (Key, Vec<u8>)>, limit: u64) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut entries = transaction.open_table(ENTRIES)?;
        let mut order = transaction.open_table(ORDER)?;
        let mut next = order.last()?.map_or(0, |(number, _)| number.value() + 1);
        for (key, value) in batch {
            if entries.insert(key.0, value.as_slice())?.is_none() {
                order.insert(next, key.0)?;
                next += 1;
            }
        }
        let size = |count: u64, stored: u64| stored + count * ENTRY_OVERHEAD;
        if size(entries.len()?, entries.stats()?.stored_bytes()) > limit {
            // A tenth more than needed, so that it is not done at every turn.
            let mut left = size(entries.len()?, entries.stats()?.stored_bytes());
            while left > limit / 10 * 9 {
                let Some((_, key)) = order.pop_first()? else { break };
                let key = key.value();
                let freed = entries.remove(key)?.map_or(0, |value| value.value().len() as u64 + 32);
                left = left.saturating_sub(freed + ENTRY_OVERHEAD);
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

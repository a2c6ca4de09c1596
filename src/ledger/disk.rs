//! The ledger's file: decisions that outlive the process, in an embedded store.
//!
//! A separate thread writes, so that no request waits for the disk. Decisions that it has not written yet, a fraction of a
//! second's at most, are lost with the process. Any failure of the file is a warning: the ledger goes on in memory.

use std::fs;
use std::io::{self, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageError, TableDefinition,
};

use super::decision::Decision;
use super::entry;
use super::key::Key;

/// The entries by key.
const ENTRIES: TableDefinition<[u8; 32], &[u8]> = TableDefinition::new("entries");
/// The keys in the order of their arrival.
const ORDER: TableDefinition<u64, [u8; 32]> = TableDefinition::new("order");
/// Bytes that an entry takes in the file beside its value: its key twice, its number, and the store's overhead.
const ENTRY_OVERHEAD: u64 = 80;
/// Decisions that may wait to be written; beyond that, new ones are kept in memory only.
const QUEUE: usize = 1024;
/// Decisions written at once.
const BATCH: usize = 128;

/// The open file, and the thread that writes to it.
pub struct Disk {
    /// `Some` until it is dropped. Locked for writing only while the file is compacted.
    database: Option<Arc<RwLock<Database>>>,
    queue: Option<SyncSender<(Key, Vec<u8>)>>,
    writer: Option<JoinHandle<()>>,
    full: AtomicBool,
}

impl Disk {
    /// Opens or creates the file at `path`, which may grow to `limit` bytes. A damaged file is renamed and a new one created.
    /// `None`, after a warning, if there can be no file.
    pub fn open(path: PathBuf, limit: u64) -> Option<Self> {
        let opened = open(&path, limit).or_else(|problem| {
            if !problem.is_damage {
                return Err(problem);
            }
            let aside = set_aside(&path).map_err(|error| Problem { text: error.to_string(), is_damage: false })?;
            tracing::warn!(path = %path.display(), aside = %aside.display(), reason = problem.text,
                "the ledger's file is damaged; it was renamed and a new one created");
            open(&path, limit)
        });
        let database = match opened {
            Ok(database) => Arc::new(RwLock::new(database)),
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
        Some(Self { database: Some(database), queue: Some(queue), writer: Some(writer), full: AtomicBool::new(false) })
    }

    /// The stored decision of `key`.
    pub fn get(&self, key: Key) -> Option<Decision> {
        let read = || -> Option<Decision> {
            let database = self.database.as_ref()?.read().unwrap_or_else(PoisonError::into_inner);
            let table = database.begin_read().ok()?.open_table(ENTRIES).ok()?;
            entry::decode(&key, table.get(key.0).ok()??.value())
        };
        // A fault of the file must not fail the request.
        catch_panic(read).flatten()
    }

    /// Queues a decision for writing.
    pub fn put(&self, key: Key, decision: &Decision) {
        let Some(queue) = &self.queue else { return };
        if queue.try_send((key, entry::encode(&key, decision))).is_err() && !self.full.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the ledger's file can't be written fast enough or at all; new decisions are kept in memory only"
            );
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
        // Closing writes as well, and may fail.
        catch_panic(|| self.database = None);
    }
}

/// The result of `work`, or `None` if it panicked: redb does so on invalid pages, and that must not fail a request.
fn catch_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Renames the file at `path` to a free name beside it, and returns that name.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    /// With more damaged files than this the disk is at fault, and a new file would not help.
    const MAX: usize = 9;
    for number in 1..=MAX {
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".damaged-{number}"));
        let aside = PathBuf::from(aside);
        if !aside.try_exists()? {
            fs::rename(path, &aside)?;
            return Ok(aside);
        }
    }
    Err(io::Error::other(format!("it is damaged, and so were {MAX} before it")))
}

/// Why the file can't be used.
struct Problem {
    text: String,
    /// Whether a new file would help.
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
    let unusable = |text: String| Problem { text, is_damage: false };
    catch_panic(|| {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| unusable(error.to_string()))?;
        }
        if is_foreign(path).map_err(|error| unusable(error.to_string()))? {
            return Err(unusable("it is no ledger, and is left as it is".into()));
        }
        let mut database = Database::create(path).map_err(|error| match error {
            DatabaseError::Storage(StorageError::Io(error)) => {
                Problem { is_damage: error.kind() == io::ErrorKind::InvalidData, text: error.to_string() }
            }
            error => Problem::from(error),
        })?;
        // Repairs what can be repaired; each entry has a checksum of its own.
        database.check_integrity()?;
        compact(&mut database, limit, path)?;
        let tables = database.begin_write()?;
        tables.open_table(ENTRIES)?;
        tables.open_table(ORDER)?;
        tables.commit()?;
        Ok(database)
    })
    .unwrap_or_else(|| Err(Problem { text: "its pages are invalid".into(), is_damage: true }))
}

/// Shrinks a file over the limit: redb keeps its pages when entries are removed.
fn compact(database: &mut Database, limit: u64, path: &Path) -> Result<(), redb::Error> {
    if fs::metadata(path).is_ok_and(|file| file.len() > limit) {
        database.compact()?;
    }
    Ok(())
}

/// Whether the file at `path` exists and was never a ledger: the path in the settings is a mistake then.
fn is_foreign(path: &Path) -> io::Result<bool> {
    /// First bytes of a redb file (redb's design notes, "super-header").
    const MAGIC: &[u8] = b"redb";
    let mut start = Vec::new();
    match fs::File::open(path) {
        Ok(file) => file.take(MAGIC.len() as u64).read_to_end(&mut start)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    Ok(!start.is_empty() && start != MAGIC)
}

/// Writes queued decisions in batches. Ends with the queue, or at the first failure.
fn write_all(database: &RwLock<Database>, waiting: &Receiver<(Key, Vec<u8>)>, limit: u64, path: &Path) {
    while let Ok(first) = waiting.recv() {
        let batch = std::iter::once(first).chain(waiting.try_iter().take(BATCH));
        let write = || {
            write(&database.read().unwrap_or_else(PoisonError::into_inner), batch, limit)?;
            compact(&mut database.write().unwrap_or_else(PoisonError::into_inner), limit, path)
        };
        let reason = match catch_panic(write) {
            Some(Ok(())) => continue,
            Some(Err(error)) => error.to_string(),
            None => "the store failed".into(),
        };
        tracing::warn!(path = %path.display(), reason, "the ledger's file can't be written, new decisions are kept in memory only");
        return;
    }
}

/// Bytes of all entries. The file takes up to eight times as much: its pages are not full, and a write copies those that it
/// changes.
fn size(entries: &redb::Table<[u8; 32], &[u8]>) -> Result<u64, redb::Error> {
    let values = entries.stats()?.stored_bytes() - entries.len()? * 32;
    Ok(values + entries.len()? * ENTRY_OVERHEAD)
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
        // A tenth more than needed, so that it is not done at every write.
        let mut left = size(&entries)?;
        if left > limit / 8 {
            while left > limit / 80 * 9 {
                let Some((_, key)) = order.pop_first()? else { break };
                let freed = entries.remove(key.value())?.map_or(0, |value| value.value().len() as u64);
                left = left.saturating_sub(freed + ENTRY_OVERHEAD);
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

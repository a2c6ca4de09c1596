//! When the settings are read again: when their file changes, and at SIGHUP.

#[cfg(unix)]
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::live_config::Running;

/// How long a file must be left alone: editors write in several steps.
const QUIET: Duration = Duration::from_millis(100);

/// Reloads `running` whenever there is a reason to, until its terminal is closed or this is dropped.
pub async fn watch(running: Arc<Running>, mut hang_ups: HangUps) {
    let (changed, mut changes) = mpsc::channel::<()>(1);
    let _watcher = running.file().and_then(|file| match watcher(&file, changed.clone()) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "changes of {} are not seen; SIGHUP reads it again", file.display());
            None
        }
    });
    loop {
        tokio::select! {
            // The sender above lives as long as this.
            _ = changes.recv() => {
                while let Ok(Some(())) = tokio::time::timeout(QUIET, changes.recv()).await {}
            }
            is_closed = hang_ups.recv() => if is_closed { return },
        }
        let running = running.clone();
        // It reads files, and may set up TLS.
        let _ = tokio::task::spawn_blocking(move || running.reload()).await;
    }
}

/// Tells `changed` when `file` is written or replaced. The folder is watched: editors put a new file in the old one's place.
fn watcher(file: &Path, changed: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = file.file_name().map(ToOwned::to_owned);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let is_change = |event: notify::Event| {
            !matches!(event.kind, EventKind::Access(_))
                && event.paths.iter().any(|path| path.file_name() == name.as_deref())
        };
        if event.is_ok_and(is_change) {
            // A full channel has told already.
            let _ = changed.try_send(());
        }
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// The SIGHUPs that come. Without one of these a process dies of the first, so it is made before anything that takes long.
#[cfg(unix)]
pub struct HangUps {
    signal: Option<tokio::signal::unix::Signal>,
    /// Whether Lopper was started in a terminal.
    had_terminal: bool,
}

#[cfg(unix)]
impl HangUps {
    /// Those from now on; of several that nobody has received yet, one.
    pub fn new() -> Self {
        let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok();
        Self { signal, had_terminal: std::io::stderr().is_terminal() }
    }

    /// Whether the next one says that the terminal is closed, and not that there is something to reload.
    async fn recv(&mut self) -> bool {
        match &mut self.signal {
            Some(signal) => signal.recv().await,
            None => std::future::pending().await,
        };
        self.had_terminal && !std::io::stderr().is_terminal()
    }
}

/// There are none here.
#[cfg(not(unix))]
pub struct HangUps;

#[cfg(not(unix))]
impl HangUps {
    /// None.
    pub fn new() -> Self {
        Self
    }

    async fn recv(&mut self) -> bool {
        std::future::pending().await
    }
}

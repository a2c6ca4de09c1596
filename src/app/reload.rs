//! Reloads the settings when their file changes and at SIGHUP. Closing the terminal, which sends SIGHUP too, stops Lopper.

#[cfg(unix)]
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::live_config::LiveConfig;

/// Time without a change before a file is read: editors write in several steps.
const QUIET: Duration = Duration::from_millis(100);

/// Reloads `live_config` when its file changes and at SIGHUP. Ends when the terminal is closed.
pub async fn watch(live_config: Arc<LiveConfig>, mut hangups: Hangups) {
    let (changed, mut changes) = mpsc::channel::<()>(1);
    let _watcher = live_config.file().and_then(|file| match watcher(&file, changed.clone()) {
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
            is_closed = hangups.recv() => if is_closed { return },
        }
        let live_config = live_config.clone();
        // Blocking: it reads files, and may set up TLS.
        let _ = tokio::task::spawn_blocking(move || live_config.reload()).await;
    }
}

/// Sends to `changed` when `file` is written or replaced. Watches its folder: editors put a new file in the old one's place.
fn watcher(file: &Path, changed: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = file.file_name().map(ToOwned::to_owned);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let is_change = |event: notify::Event| {
            !matches!(event.kind, EventKind::Access(_))
                && event.paths.iter().any(|path| path.file_name() == name.as_deref())
        };
        if event.is_ok_and(is_change) {
            // If the channel is full, a reload is due anyway.
            let _ = changed.try_send(());
        }
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// Receiver of SIGHUP. Make it early: without it, the first SIGHUP ends the process.
#[cfg(unix)]
pub struct Hangups {
    signal: Option<tokio::signal::unix::Signal>,
    /// Whether Lopper was started in a terminal.
    had_terminal: bool,
}

#[cfg(unix)]
impl Hangups {
    /// Starts to receive; signals that come faster than they are received count once.
    pub fn new() -> Self {
        let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok();
        Self { signal, had_terminal: std::io::stderr().is_terminal() }
    }

    /// Waits for a SIGHUP. True if Lopper's terminal was closed, which stops Lopper; false if it asks for a reload.
    async fn recv(&mut self) -> bool {
        match &mut self.signal {
            Some(signal) => signal.recv().await,
            None => std::future::pending().await,
        };
        self.had_terminal && !std::io::stderr().is_terminal()
    }
}

/// There is no SIGHUP on this system.
#[cfg(not(unix))]
pub struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    /// Does nothing.
    pub fn new() -> Self {
        Self
    }

    async fn recv(&mut self) -> bool {
        std::future::pending().await
    }
}

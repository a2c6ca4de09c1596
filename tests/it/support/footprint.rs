//! The footprint of a running Lopper on Linux: open files and sockets, threads, and jobs that wait for the model.

use std::time::{Duration, Instant};

use super::process::{Lopper, client};

/// No look takes that long; a socket that is still open then stays so.
const PATIENCE: Duration = Duration::from_secs(60);
/// Threads that may have come: the runtime starts one for work that blocks when none is free just then.
const THREADS: usize = 3;

/// What is held.
#[derive(Debug)]
pub struct Footprint {
    files: Vec<String>,
    threads: usize,
}

impl Footprint {
    /// Of a Lopper now.
    pub fn of(lopper: &Lopper) -> Self {
        let of = format!("/proc/{}", lopper.id());
        let open = std::fs::read_dir(format!("{of}/fd")).unwrap();
        // One may be closed between the look and the next.
        let mut files: Vec<String> = open
            .filter_map(|file| Some(std::fs::read_link(file.ok()?.path()).ok()?.to_string_lossy().into_owned()))
            .collect();
        files.sort();
        let threads = std::fs::read_dir(format!("{of}/task")).unwrap().count();
        Self { files, threads }
    }

    /// Returns once a Lopper holds no more than this again; panics if it does not come to that.
    pub async fn is_left_by(&self, lopper: &Lopper) {
        let start = Instant::now();
        while waiting(lopper).await != 0 {
            assert!(start.elapsed() < PATIENCE, "jobs still wait for the model");
        }
        loop {
            let now = Self::of(lopper);
            if now.files.len() <= self.files.len() {
                assert!(now.threads <= self.threads + THREADS, "{} threads, then {}", self.threads, now.threads);
                return;
            }
            assert!(start.elapsed() < PATIENCE, "left open: {:?}\nbefore: {:?}", now.files, self.files);
            tokio::task::yield_now().await;
        }
    }
}

/// Jobs that wait for the model.
pub async fn waiting(lopper: &Lopper) -> u64 {
    metric(lopper, "lopper_queue_depth").await
}

/// A metric without labels. Needs an admin port.
pub async fn metric(lopper: &Lopper, name: &str) -> u64 {
    let asked = client().get(lopper.admin("/metrics")).header("connection", "close");
    let told = asked.send().await.unwrap().text().await.unwrap();
    let value = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {told}")).parse().unwrap()
}

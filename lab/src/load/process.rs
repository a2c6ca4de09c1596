//! Memory, descriptors and threads of a process, from Linux's /proc.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;

/// A process by its id.
#[derive(Clone, Copy)]
pub struct Process(pub u32);

/// Resources of a process at a moment.
#[derive(Clone, Copy, Default)]
pub struct Held {
    /// MiB in memory.
    pub resident: f64,
    /// MiB of these that are not pages of a file (a model is mapped).
    pub anonymous: f64,
    pub descriptors: usize,
    pub threads: usize,
    /// Seconds of processor time of all threads since its start.
    pub processor: f64,
}

impl Process {
    /// The resources it uses now.
    ///
    /// # Errors
    /// When it has ended.
    pub fn held(self) -> anyhow::Result<Held> {
        let folder = PathBuf::from(format!("/proc/{}", self.0));
        let status = fs::read_to_string(folder.join("status")).context("the proxy has ended")?;
        let number = |name: &str| -> f64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        let stat = fs::read_to_string(folder.join("stat"))?;
        // The 12th and 13th field after the name, which may have spaces, are ticks of 10 ms.
        let ticks = stat.rsplit_once(')').map_or(0.0, |(_, fields)| {
            fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum()
        });
        Ok(Held {
            resident: number("VmRSS") / 1024.0,
            anonymous: number("RssAnon") / 1024.0,
            descriptors: fs::read_dir(folder.join("fd"))?.count(),
            threads: number("Threads") as usize,
            processor: ticks / 100.0,
        })
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resident, anonymous, descriptors, threads, .. } = self;
        write!(f, "{resident:.0} | {anonymous:.0} | {descriptors} | {threads}")
    }
}

/// The header of a table of resources.
pub const HEADING: &str =
    "| load | when | resident MiB | of it anonymous | descriptors | threads |\n|---|---|---|---|---|---|";

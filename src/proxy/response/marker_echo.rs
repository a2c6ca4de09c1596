//! Finds Lopper's own markers in a text that arrives in pieces. An answer that repeats one may lose the code that was
//! left out there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::render::MARKER_PREFIX;

/// Bytes after which a marker counts as ended; no path is that long.
const MAX_MARKER: usize = 1024;
/// Paths that are reported for one answer.
const MAX_PATHS: usize = 64;
/// The last words of a marker that are looked for, after its lines and path.
const LEFT_OUT: &[u8] = b" left out";

/// The end of a text that arrives in pieces: as much of it as may belong to a marker.
#[derive(Default)]
pub(crate) struct MarkerFinder(Vec<u8>);

impl MarkerFinder {
    /// Adds a piece and calls `found` with each marker that ends in it, without [`MARKER_PREFIX`].
    pub(crate) fn push(&mut self, piece: &[u8], mut found: impl FnMut(&[u8])) {
        self.0.extend_from_slice(piece);
        let mut done = 0;
        let keep_from = loop {
            let Some(at) = find(&self.0[done..], MARKER_PREFIX.as_bytes()) else {
                break done.max((self.0.len() + 1).saturating_sub(MARKER_PREFIX.len()));
            };
            let start = done + at + MARKER_PREFIX.len();
            let rest = &self.0[start..];
            let rest = &rest[..rest.len().min(MAX_MARKER)];
            match end_of_marker(rest) {
                Some(end) => {
                    found(&rest[..end]);
                    done = start + end;
                }
                None if rest.len() == MAX_MARKER => {
                    found(rest);
                    done = start;
                }
                None => break done + at,
            }
        };
        self.0.drain(..keep_from);
        self.0.shrink_to(2 * MAX_MARKER);
    }

    /// Calls `found` with the marker in which the text ends, if there is one.
    pub(crate) fn end(&mut self, found: impl FnOnce(&[u8])) {
        if let Some(marker) = self.0.strip_prefix(MARKER_PREFIX.as_bytes()) {
            found(marker);
        }
    }
}

/// The end of a marker: after [`LEFT_OUT`], or where a line ends or another marker begins.
fn end_of_marker(marker: &[u8]) -> Option<usize> {
    let left_out = find(marker, LEFT_OUT).map(|at| at + LEFT_OUT.len());
    let line = marker.iter().position(|byte| *byte == b'\n');
    let next = find(marker, MARKER_PREFIX.as_bytes());
    [left_out, line, next].into_iter().flatten().min()
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, word)
}

/// Resolves the JSON escapes in a marker.
pub(crate) fn unescape(marker: &[u8]) -> Vec<u8> {
    let quoted = [b"\"", marker, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).map_or_else(|_| marker.to_vec(), String::into_bytes)
}

/// The markers that one answer repeats.
#[derive(Default)]
pub(crate) struct Echoes {
    count: Arc<AtomicU64>,
    /// Their paths; `None` for markers without one.
    paths: Vec<Option<String>>,
}

impl Echoes {
    /// None as yet; those that are reported are added to `count`.
    pub(crate) fn new(count: Arc<AtomicU64>) -> Self {
        Self { count, paths: Vec::new() }
    }

    /// Logs and counts a marker, given without its prefix: `s 3-9 of PATH left out`. Once for each path.
    pub(crate) fn report(&mut self, marker: &[u8]) {
        let marker = String::from_utf8_lossy(marker);
        let marker = marker.strip_prefix('s').unwrap_or(&marker).trim_start();
        let (lines, rest) =
            marker.split_at(marker.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(marker.len()));
        // Text about markers has no line numbers.
        if !lines.starts_with(|c: char| c.is_ascii_digit()) {
            return;
        }
        let path = rest.strip_prefix(" of ").and_then(|rest| rest.strip_suffix(" left out"));
        if self.paths.len() < MAX_PATHS && !self.paths.iter().any(|reported| reported.as_deref() == path) {
            tracing::warn!(path, lines, "the answer repeats a marker; if it is an edit, code may be lost there");
            self.paths.push(path.map(str::to_owned));
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn found_paths_are_those_of_the_file() {
        let found = |marker: &[u8]| {
            let mut found = Echoes::default();
            found.report(marker);
            found.paths.pop()
        };
        assert_eq!(found(b"s 3-9 of a b.py left out"), Some(Some("a b.py".into())));
        assert_eq!(found(b" 3 left out"), Some(None));
        assert_eq!(found(b"s of a.py left out"), None);
        assert_eq!(found(&unescape(br"s 3-9 of C:\\a\u00e9.py left out")), Some(Some("C:\\aé.py".into())));
    }

    proptest! {
        #[test]
        fn windows_stay_small(pieces in prop::collection::vec("(\\[lopper: line)?[a-z 0-9]{0,300}", 0..60)) {
            let mut window = MarkerFinder::default();
            for piece in pieces {
                window.push(piece.as_bytes(), |_| {});
                prop_assert!(window.0.len() < MAX_MARKER + MARKER_PREFIX.len());
            }
        }
    }
}

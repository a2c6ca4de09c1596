//! Where one of our markers stands in a text that arrives in pieces, and which path it names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::render::MARKER_PREFIX;

/// Bytes of a marker after which its end is not waited for any longer; no path is that long.
const MARKER_AT_MOST: usize = 1024;
/// Paths that are reported for one answer.
const PATHS_AT_MOST: usize = 64;

/// The end of a text that arrives in pieces, as much of it as may belong to a marker.
#[derive(Default)]
pub(crate) struct Window(Vec<u8>);

impl Window {
    /// Adds a piece and calls `found` with each marker that has come to its end, without its beginning.
    pub(crate) fn push(&mut self, piece: &[u8], mut found: impl FnMut(&[u8])) {
        self.0.extend_from_slice(piece);
        let mut done = 0;
        let keep = loop {
            let Some(at) = find(&self.0[done..], MARKER_PREFIX.as_bytes()) else {
                break done.max((self.0.len() + 1).saturating_sub(MARKER_PREFIX.len()));
            };
            let start = done + at + MARKER_PREFIX.len();
            let rest = &self.0[start..];
            let rest = &rest[..rest.len().min(MARKER_AT_MOST)];
            match end_of_marker(rest) {
                Some(end) => {
                    found(&rest[..end]);
                    done = start + end;
                }
                None if rest.len() == MARKER_AT_MOST => {
                    found(rest);
                    done = start;
                }
                None => break done + at,
            }
        };
        self.0.drain(..keep);
        self.0.shrink_to(2 * MARKER_AT_MOST);
    }

    /// Calls `found` with a marker that has not come to its end.
    pub(crate) fn end(&mut self, found: impl FnOnce(&[u8])) {
        if let Some(marker) = self.0.strip_prefix(MARKER_PREFIX.as_bytes()) {
            found(marker);
        }
    }
}

/// What follows a marker's lines and path.
const LEFT_OUT: &[u8] = b" left out";

/// Where a marker's last word ends; without it, where something else begins.
fn end_of_marker(marker: &[u8]) -> Option<usize> {
    let words = find(marker, LEFT_OUT).map(|at| at + LEFT_OUT.len());
    let line = marker.iter().position(|byte| *byte == b'\n');
    let next = find(marker, MARKER_PREFIX.as_bytes());
    [words, line, next].into_iter().flatten().min()
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

/// A marker as it stands in a JSON string, without the escapes.
pub(crate) fn unescaped(marker: &[u8]) -> Vec<u8> {
    let quoted = [b"\"", marker, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).map_or_else(|_| marker.to_vec(), String::into_bytes)
}

/// What one answer repeats.
#[derive(Default)]
pub(crate) struct Found {
    echoes: Arc<AtomicU64>,
    /// Paths; `None` for markers that name none.
    reported: Vec<Option<String>>,
}

impl Found {
    /// Nothing as yet; what is found is added to `echoes`.
    pub(crate) fn new(echoes: Arc<AtomicU64>) -> Self {
        Self { echoes, reported: Vec::new() }
    }

    /// Takes a marker without its beginning: `s 3-9 of PATH left out`. Once a path.
    pub(crate) fn report(&mut self, marker: &[u8]) {
        let marker = String::from_utf8_lossy(marker);
        let marker = marker.strip_prefix('s').unwrap_or(&marker).trim_start();
        let (lines, rest) =
            marker.split_at(marker.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(marker.len()));
        // Talk about markers is no marker.
        if !lines.starts_with(|c: char| c.is_ascii_digit()) {
            return;
        }
        let path = rest.strip_prefix(" of ").and_then(|rest| rest.strip_suffix(" left out"));
        if self.reported.len() < PATHS_AT_MOST && !self.reported.iter().any(|reported| reported.as_deref() == path) {
            tracing::warn!(path, lines, "the answer repeats a marker; if it is an edit, code may be lost there");
            self.reported.push(path.map(str::to_owned));
            self.echoes.fetch_add(1, Ordering::Relaxed);
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
            let mut found = Found::default();
            found.report(marker);
            found.reported.pop()
        };
        assert_eq!(found(b"s 3-9 of a b.py left out"), Some(Some("a b.py".into())));
        assert_eq!(found(b" 3 left out"), Some(None));
        assert_eq!(found(b"s of a.py left out"), None);
        assert_eq!(found(&unescaped(br"s 3-9 of C:\\a\u00e9.py left out")), Some(Some("C:\\aé.py".into())));
    }

    proptest! {
        #[test]
        fn windows_stay_small(pieces in prop::collection::vec("(\\[lopper: line)?[a-z 0-9]{0,300}", 0..60)) {
            let mut window = Window::default();
            for piece in pieces {
                window.push(piece.as_bytes(), |_| {});
                prop_assert!(window.0.len() < MARKER_AT_MOST + MARKER_PREFIX.len());
            }
        }
    }
}

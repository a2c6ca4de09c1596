//! Remembers which files were shown and edited: their code must stay whole then ("file history").
//!
//! Only earlier messages count: later ones must not change how a piece of code was sent.

use crate::base::reason::Reason;
use crate::render::MARKER_PREFIX;

/// Files in the conversation so far.
#[derive(Debug, Default)]
pub struct History {
    /// Files that were shown.
    read: Vec<String>,
    /// Files that a tool call edits.
    edited: Vec<String>,
    /// Files of failed edits, or in which a marker was written.
    pinned: Vec<String>,
    /// Whether an edit failed, or a marker was written, without a path.
    all_pinned: bool,
}

impl History {
    /// Why code of the file at `path` must stay whole. Without a path, only edits that failed without one count.
    pub fn veto(&self, path: Option<&str>) -> Option<Reason> {
        let among = |files: &[String]| path.is_some_and(|path| files.iter().any(|file| same_file(file, path)));
        if self.all_pinned || among(&self.pinned) {
            Some(Reason::Pinned)
        } else if among(&self.edited) {
            Some(Reason::EditedBefore)
        } else if among(&self.read) {
            Some(Reason::ReadBefore)
        } else {
            None
        }
    }

    /// Adds a file that was shown.
    pub fn add_shown(&mut self, path: &str) {
        add(&mut self.read, path);
    }

    /// Adds a file that a tool call edits.
    pub fn add_edited(&mut self, path: &str) {
        add(&mut self.edited, path);
    }

    /// Keeps a file whole from now on; without a path, all files.
    pub fn pin(&mut self, path: Option<&str>) {
        match path {
            Some(path) => add(&mut self.pinned, path),
            None => self.all_pinned = true,
        }
    }

    /// Pins the files of the markers that the assistant wrote in `text`.
    pub fn pin_markers(&mut self, text: &str) {
        for (at, _) in text.match_indices(MARKER_PREFIX) {
            self.pin(file_of_marker(&text[at..]));
        }
    }
}

/// Whether two paths name one file: they are equal, or one ends with the other, as absolute and relative paths do.
pub fn same_file(one: &str, other: &str) -> bool {
    let (one, other) = (bare(one), bare(other));
    let ends = |long: &str, short: &str| {
        !short.is_empty() && long.strip_suffix(short).is_some_and(|rest| rest.is_empty() || rest.ends_with(['/', '\\']))
    };
    ends(one, other) || ends(other, one)
}

/// The path without the prefixes that clients use.
fn bare(path: &str) -> &str {
    let path = path.trim().trim_start_matches('@');
    let path = path.strip_prefix("file://").unwrap_or(path);
    path.strip_prefix("./").unwrap_or(path)
}

/// The path in the marker at the beginning of `text`.
fn file_of_marker(text: &str) -> Option<&str> {
    let line = text.lines().next()?;
    let (_, rest) = line.split_once(" of ")?;
    let end = rest.find(" left out").or_else(|| rest.find(", left out"))?;
    Some(rest[..end].trim_end_matches(',')).filter(|path| !path.is_empty())
}

fn add(files: &mut Vec<String>, path: &str) {
    if !files.iter().any(|file| file == path) {
        files.push(path.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_one_file() {
        for (one, other) in [
            ("src/a.rs", "src/a.rs"),
            ("/w/src/a.rs", "src/a.rs"),
            ("a.rs", "./a.rs"),
            ("@src/a.rs", "/w/src/a.rs"),
            ("C:\\w\\a.rs", "a.rs"),
            ("file:///w/a.rs", "/w/a.rs"),
        ] {
            assert!(same_file(one, other) && same_file(other, one), "{one} {other}");
        }
        for (one, other) in [("src/a.rs", "lib/a.rs"), ("ba.rs", "a.rs"), ("", "a.rs"), ("a.rs", "a.r")] {
            assert!(!same_file(one, other) && !same_file(other, one), "{one} {other}");
        }
    }

    #[test]
    fn what_came_before_keeps_a_file_whole() {
        let mut history = History::default();
        assert_eq!(history.veto(Some("a.rs")), None);
        history.add_shown("/w/a.rs");
        assert_eq!(history.veto(Some("a.rs")), Some(Reason::ReadBefore));
        history.add_edited("a.rs");
        assert_eq!(history.veto(Some("/w/a.rs")), Some(Reason::EditedBefore));
        assert_eq!((history.veto(Some("b.rs")), history.veto(None)), (None, None));
        history.pin(None);
        assert_eq!((history.veto(Some("b.rs")), history.veto(None)), (Some(Reason::Pinned), Some(Reason::Pinned)));
    }

    #[test]
    fn a_marker_in_an_answer_pins_its_file() {
        let mut history = History::default();
        history.pin_markers(
            "{\"new\":\"x\\n    # [lopper: lines 3-9 of src/a.py left out; read again before editing]\\ny\"}",
        );
        assert_eq!(history.veto(Some("/w/src/a.py")), Some(Reason::Pinned));
        assert_eq!(history.veto(Some("b.py")), None);
        history.pin_markers("// [lopper: lines 3-9 left out; read again before editing]");
        assert_eq!(history.veto(Some("b.py")), Some(Reason::Pinned));
    }
}

//! Changes of a settings file as text: what they make of it, and how they are taken back when others changed it since.

use std::ops::Range;

/// A change of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// The bytes that give way; empty where something is put in.
    pub at: Range<usize>,
    /// What stands there then.
    pub new: String,
}

impl Edit {
    /// Puts `new` in at a byte of the text.
    pub fn insert(at: usize, new: String) -> Self {
        Self { at: at..at, new }
    }
}

/// Why a file is left as it is, so that a person has to change it.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// Lines that were changed: `new` stands where `old` stood. Either may be empty, and lack a line's end at the text's end.
#[derive(Debug, Clone, PartialEq)]
pub struct Hunk {
    /// The lines before.
    pub old: String,
    /// The lines after.
    pub new: String,
}

/// The text after `edits`, which are in order and apart.
pub fn apply(text: &str, edits: &[Edit]) -> String {
    let (mut new, mut done) = (String::new(), 0);
    for edit in edits {
        new += &text[done..edit.at.start];
        new += &edit.new;
        done = edit.at.end;
    }
    new + &text[done..]
}

/// `edits` of `text` by whole lines.
pub fn hunks(text: &str, edits: &[Edit]) -> Vec<Hunk> {
    let mut groups: Vec<(Range<usize>, Vec<Edit>)> = Vec::new();
    for edit in edits {
        let lines = lines_of(text, edit);
        match groups.last_mut() {
            Some((range, group)) if lines.start < range.end => {
                range.end = range.end.max(lines.end);
                group.push(edit.clone());
            }
            _ => groups.push((lines, vec![edit.clone()])),
        }
    }
    let hunk = |(lines, mut edits): (Range<usize>, Vec<Edit>)| {
        for edit in &mut edits {
            edit.at = edit.at.start - lines.start..edit.at.end - lines.start;
        }
        let old = &text[lines];
        Hunk { old: old.to_owned(), new: apply(old, &edits) }
    };
    groups.into_iter().map(hunk).collect()
}

/// `text` with `hunks` taken back, and those of them that are not to be found in it as they were made.
pub fn take_back(mut text: String, hunks: &[Hunk]) -> (String, Vec<Hunk>) {
    let mut missing = Vec::new();
    let mut todo = hunks.to_vec();
    while let Some(hunk) = todo.pop() {
        // Equal ones are told from others by their number.
        let same = 1 + todo.iter().filter(|other| **other == hunk).count();
        todo.retain(|other| *other != hunk);
        let places = places(&text, &hunk.new);
        if places.len() == same {
            for at in places.into_iter().rev() {
                let end = at + hunk.new.len();
                // What was the last line is so no more.
                let is_cut = !hunk.old.is_empty() && !hunk.old.ends_with('\n') && hunk.new.ends_with('\n');
                let line_end = if is_cut && end < text.len() { line_end(&text) } else { "" };
                text.replace_range(at..end, &format!("{}{line_end}", hunk.old));
            }
        } else {
            missing.insert(0, hunk);
        }
    }
    (text, missing)
}

/// How lines end in `text`.
pub fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// The whole lines that an edit is in; none where it puts whole lines between others.
fn lines_of(text: &str, edit: &Edit) -> Range<usize> {
    let start = text[..edit.at.start].rfind('\n').map_or(0, |at| at + 1);
    if edit.at.is_empty() && edit.at.start == start && edit.new.ends_with('\n') {
        return start..start;
    }
    // The end of the line that the last of its bytes is in.
    let last = edit.at.end.max(edit.at.start + 1) - 1;
    let end = text.get(last..).and_then(|rest| rest.find('\n')).map_or(text.len(), |at| last + at + 1);
    start..end
}

/// Where whole lines stand in `text`.
fn places(text: &str, lines: &str) -> Vec<usize> {
    let is_whole = |at: &usize| {
        let (before, after) = (&text[..*at], &text[*at + lines.len()..]);
        (before.is_empty() || before.ends_with('\n'))
            && (lines.ends_with('\n') || after.is_empty() || after.starts_with(['\r', '\n']))
    };
    let found = text.match_indices(lines).map(|(at, _)| at);
    if lines.is_empty() { Vec::new() } else { found.filter(is_whole).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(at: Range<usize>, new: &str) -> Edit {
        Edit { at, new: new.into() }
    }

    #[test]
    fn edits_are_applied_and_taken_back_by_lines() {
        let text = "a = 1\nb = 2 # two\n";
        let edits = [edit(0..0, "x = 0\n"), edit(10..11, "3"), edit(17..17, "!"), edit(18..18, "c = 4\n")];
        let new = apply(text, &edits);
        assert_eq!(new, "x = 0\na = 1\nb = 3 # two!\nc = 4\n");
        let hunks = hunks(text, &edits);
        let shown: Vec<(&str, &str)> = hunks.iter().map(|hunk| (&*hunk.old, &*hunk.new)).collect();
        assert_eq!(shown, [("", "x = 0\n"), ("b = 2 # two\n", "b = 3 # two!\n"), ("", "c = 4\n")]);
        assert_eq!(take_back(new.clone(), &hunks), (text.into(), vec![]));

        let changed = format!("# mine\n{new}d = 5\n").replace("a = 1", "a = 9");
        assert_eq!(take_back(changed, &hunks), ("# mine\na = 9\nb = 2 # two\nd = 5\n".into(), vec![]));
        let (rest, missing) = take_back(new.replace("b = 3", "b = 7"), &hunks);
        assert_eq!((&*rest, missing.len()), ("a = 1\nb = 7 # two!\n", 1));
    }

    #[test]
    fn the_last_line_may_lack_its_end() {
        let text = "a: 1";
        let edits = [edit(4..4, "\nb: 2\n")];
        let hunks = hunks(text, &edits);
        assert_eq!(take_back(apply(text, &edits), &hunks).0, text);
        assert_eq!(take_back("a: 1\nb: 2\nc: 3\n".into(), &hunks).0, "a: 1\nc: 3\n");
    }

    #[test]
    fn equal_lines_are_taken_back_together_or_not_at_all() {
        let text = "- a\n- b\n";
        let edits = [edit(4..4, "  u\n"), edit(8..8, "  u\n")];
        let hunks = hunks(text, &edits);
        assert_eq!(take_back("- a\n  u\n- b\n  u\n".into(), &hunks), (text.into(), vec![]));
        assert_eq!(take_back("- a\n  u\n- b\n".into(), &hunks).1.len(), 1);
    }
}

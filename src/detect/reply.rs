//! What the answer of a tool or a client says about an earlier read or edit.

use super::heading;

/// Whether a tool's result says only that a file is as it was when it was read before.
pub fn is_unchanged_stub(text: &str) -> bool {
    const MAX_BYTES: usize = 600;
    const WORDS: [&str; 5] = [
        "unchanged since last read",
        "unchanged since the last read",
        "unchanged since it was last read",
        "has not changed since",
        "hasn't changed since",
    ];
    let text = text.trim();
    text.len() <= MAX_BYTES && {
        let lower = text.to_ascii_lowercase();
        WORDS.iter().any(|words| lower.contains(words))
    }
}

/// Whether a text reports an edit that did not apply, and the path that it names, if any.
///
/// Such reports come first in a text, or are short: a source that quotes one is not one.
pub fn failed_edit(text: &str) -> Option<Option<String>> {
    const HEAD_BYTES: usize = 500;
    const WORDS: [&str; 17] = [
        "search/replace block failed to match",
        "search/replace blocks failed to match",
        "old_string not found",
        "oldstring not found",
        "old_str not found",
        "could not find oldstring",
        "could not find the string to replace",
        "string to replace not found in file",
        "no match found for",
        "did not appear verbatim",
        "failed to find expected lines in",
        "failed to find context",
        "apply_patch verification failed",
        "no sufficiently similar match found",
        "failed to edit, 0 occurrences found",
        "the search block does not match",
        "does not match anything in the file",
    ];
    let mut end = text.len().min(HEAD_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let head = &text[..end];
    let lower = head.to_ascii_lowercase();
    WORDS.iter().find(|words| lower.contains(**words))?;
    let words = head.split(|c: char| c.is_whitespace() || "'\"`()".contains(c));
    let path = words
        .map(|word| word.trim_end_matches([':', ',', '.']))
        .find(|word| heading::is_path(word) && word.contains('.'));
    Some(path.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stubs() {
        assert!(is_unchanged_stub(
            "File unchanged since last read. The content from the earlier Read is still current."
        ));
        assert!(is_unchanged_stub("[File src/a.ts is unchanged since last read in this session]"));
        assert!(!is_unchanged_stub("import os"));
        assert!(!is_unchanged_stub(&format!("{}# unchanged since last read", "x = 1\n".repeat(200))));
    }

    #[test]
    fn failed_edits() {
        for (text, path) in [
            (
                "# 1 SEARCH/REPLACE block failed to match!\n\n## SearchReplaceNoExactMatch: This SEARCH block failed in src/a.py",
                Some("src/a.py"),
            ),
            ("Error: oldString not found in content", None),
            (
                "apply_patch verification failed: Failed to find expected lines in /w/src/a.rs:\nfn x",
                Some("/w/src/a.rs"),
            ),
            ("No replacement was performed, old_str `x = 1` did not appear verbatim in /w/a.py.", Some("/w/a.py")),
        ] {
            assert_eq!(failed_edit(text), Some(path.map(str::to_owned)), "{text}");
        }
        assert_eq!(failed_edit("The edit was applied."), None);
        assert_eq!(failed_edit(&format!("{}raise E('old_string not found')", "x = 1\n".repeat(200))), None);
    }
}

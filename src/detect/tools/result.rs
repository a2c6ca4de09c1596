//! Results of tools that are about an earlier read or edit: unchanged files, failed edits.

use crate::detect::framing::headings;

/// Whether a tool's result says only that a file is unchanged since it was last read.
pub fn is_unchanged_stub(text: &str) -> bool {
    const MAX_BYTES: usize = 600;
    const WORDS: [&str; 7] = [
        "unchanged since last read", "unchanged since the last read", "unchanged since it was last read",
        "unchanged since you last read", "not changed since", "hasn't changed since", "not been modified since",
    ];
    let text = text.trim();
    text.len() <= MAX_BYTES && {
        let lower = text.to_ascii_lowercase();
        lower.contains("file") && WORDS.iter().any(|words| lower.contains(words))
    }
}

/// Whether a text reports an edit that did not apply, and the path that it names, if any.
///
/// Such a report comes first in a text, in words: a source that quotes one, or a comment in it, is not one.
pub fn failed_edit(text: &str) -> Option<Option<String>> {
    /// The report stands within so many lines that are not blank; longer ones are cut.
    const MAX_LINES: usize = 4;
    const MAX_LINE: usize = 400;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(MAX_LINES);
    lines.map(|line| beginning(line, MAX_LINE)).find(|line| reports(line))?;
    let names = |word: &&str| headings::is_path(word) && word.contains('.');
    let words = |text: &'_ str| -> Option<String> {
        let words = text.split(|c: char| c.is_whitespace() || "'\"`()[]<>".contains(c));
        words.map(|word| word.trim_end_matches([':', ',', '.'])).find(names).map(str::to_owned)
    };
    // Tools that quote the old text name the file after it.
    let after = text.rsplit_once("did not appear verbatim in ").and_then(|(_, rest)| words(beginning(rest, MAX_LINE)));
    Some(after.or_else(|| words(beginning(text, 2 * MAX_LINE))))
}

/// Phrases of reports of failed edits, in lower case.
const FAILURES: [&str; 30] = [
    "search/replace block failed to match",
    "search/replace blocks failed to match",
    "search block failed to",
    "searchreplacenoexactmatch",
    "unifieddiffnomatch",
    "hunk failed to apply",
    "hunks failed to apply",
    "old_string not found",
    "oldstring not found",
    "old_str not found",
    "old_text not found",
    "occurrences found for old_string",
    "could not find oldstring",
    "could not find the string to replace",
    "could not find matching text to replace",
    "could not find string in file",
    "found multiple matches for oldstring",
    "string to replace not found in file",
    "matches of the string to replace",
    "no match found for",
    "no replacement was performed",
    "did not appear verbatim",
    "failed to find expected lines in",
    "failed to find context",
    "apply_patch verification failed",
    "no sufficiently similar match found",
    "unable to apply diff to file",
    "the search block:",
    "search block does not match",
    "does not match anything in the file",
];

/// Whether a line says in words that an edit failed.
fn reports(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    let Some(at) = FAILURES.iter().filter_map(|words| lower.find(words)).min() else { return false };
    // In code, strings and comments quote such a phrase; in a report at most names in backticks and tags stand before it.
    let mut before = line[..at].trim_start();
    while let Some((_, rest)) = before.strip_prefix('<').and_then(|tag| tag.split_once('>')) {
        before = rest.trim_start();
    }
    let is_word = |part: &str| !part.contains(['"', '\'', '(', '=', '{', ';', '*']) && !part.contains("//");
    let is_heading =
        before.is_empty() || !before.starts_with('#') || before.contains(char::is_numeric) || before.starts_with("##");
    before.split('`').step_by(2).all(is_word) && is_heading
}

/// At most the first `bytes` of a text.
fn beginning(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stubs() {
        for text in [
            "File unchanged since last read. The content from the earlier Read is still current.",
            "[File src/a.ts is unchanged since last read in this session]",
            "The file /w/a.ts has not changed since it was read.",
        ] {
            assert!(is_unchanged_stub(text), "{text}");
        }
        assert!(!is_unchanged_stub("import os"));
        assert!(!is_unchanged_stub(&format!("{}# file unchanged since last read", "x = 1\n".repeat(200))));
    }

    #[test]
    fn failed_edits() {
        let long = "x = 1\n".repeat(200);
        let quoted = format!("No replacement was performed, old_str `{long}` did not appear verbatim in /w/a.py.");
        let cline = format!(
            "[replace_in_file for 'web/queue.ts'] Result:\nThe tool execution failed with the following error:\n<error>\nThe SEARCH block:\n{long}\n...does not match anything in the file.\n</error>"
        );
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
            ("No replacement was performed, old_str `f(x) = 1` did not appear verbatim in /w/a.py.", Some("/w/a.py")),
            (&quoted, Some("/w/a.py")),
            (&cline, Some("web/queue.ts")),
            ("<tool_use_error>String to replace not found in file.\nString: x = 1</tool_use_error>", None),
            ("<tool_use_error>Found 3 matches of the string to replace, but replace_all is false.", None),
            ("Failed to edit, 0 occurrences found for old_string in /w/a.ts. No edits made.", Some("/w/a.ts")),
            (
                "Unable to apply diff to file: /w/a.ts\n\n<error_details>\nNo sufficiently similar match found",
                Some("/w/a.ts"),
            ),
        ] {
            assert_eq!(failed_edit(text), Some(path.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn code_that_says_so_is_no_report() {
        for text in [
            "The edit was applied.",
            "raise EditError('old_string not found')\n",
            "import os\n\nMESSAGE = \"No match found for\"\n",
            "// No match found for the key: see below\nlet x = 1;\n",
            "# No match found for the key\nx = 1\n",
            "/** Says \"old_string not found\". */\n",
            "fn f() {\n    bail!(\"String to replace not found in file\");\n}\n",
        ] {
            assert_eq!(failed_edit(text), None, "{text}");
        }
        assert_eq!(failed_edit(&format!("{}old_string not found", "x = 1\n".repeat(200))), None);
    }
}

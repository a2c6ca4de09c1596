//! Reads headings of code: language tag, path, and range of lines.

use crate::syntax::Language;

/// A heading, and what it says about the code below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heading {
    /// The first word of a fence's info string, unless that is a path.
    pub tag: Option<String>,
    /// The path of the file, as written.
    pub path: Option<String>,
    /// The first line's number in the file, from 1, if the heading gives a range of lines.
    pub first_line: Option<usize>,
}

impl Heading {
    /// Reads a fence's info string: `lang`, `lang path[:a-b]`, `path`, `path (a-b)`, `title="path"`, and the
    /// `a:b:path` and `lang:path` that some clients write.
    pub fn of_info(info: &str) -> Self {
        let info = info.trim();
        if let Some((before, title)) = info.split_once("title=\"") {
            let path = title.split('"').next().unwrap_or_default();
            let tag = before.split_whitespace().next().map(str::to_owned);
            return Self { tag, ..Self::of_path(path) };
        }
        let first = info.split_whitespace().next().unwrap_or_default();
        let word = first.split(',').next().unwrap_or_default().trim_matches(['{', '}', '.']);
        let rest = info[first.len()..].trim();
        if Language::from_tag(word).is_some() {
            return Self { tag: Some(word.to_owned()), ..Self::of_path(rest) };
        }
        if let Some((tag, path)) = info.split_once(':') {
            // `C:\` is a drive.
            if Language::from_tag(tag).is_some() && !path.starts_with(['\\', '/']) {
                return Self { tag: Some(tag.to_owned()), ..Self::of_path(path) };
            }
            // Numbers first: `12:40:src/a.ts`.
            if let (Ok(line), Some((last, path))) = (tag.parse(), path.split_once(':'))
                && last.parse::<usize>().is_ok()
                && is_path(path)
            {
                return Self { tag: None, path: Some(path.to_owned()), first_line: Some(line) };
            }
        }
        let whole = Self::of_path(info);
        // `text src/a.py` is a tag and a path, `src/my file.py` one path.
        match &whole.path {
            Some(path) if !path.contains(' ') || first.contains(['/', '\\']) => whole,
            _ => Self { tag: (!first.is_empty()).then(|| word.to_owned()), ..Self::of_path(rest) },
        }
    }

    /// Reads the line above a piece of code: `path`, `path:`, `path (lines a:b):`, `Content from X:`, Markdown
    /// headings of these, or a sentence that ends with a path and a colon.
    pub fn of_line(line: &str) -> Option<Self> {
        let (text, is_title) = undecorated(line);
        let (text, mut first_line) = split_range(text);
        let word = text.split_whitespace().next_back()?.trim_matches(QUOTES);
        if !is_path(word) || !(is_title || text.trim_matches(QUOTES) == word || has_lead(text)) {
            return None;
        }
        if first_line.is_none() {
            // `Lines 3-9 of a.py:`
            let mut words = text.split_whitespace();
            let numbered = words.find(|word| ["line", "lines"].contains(&word.to_ascii_lowercase().as_str()));
            first_line = numbered.and(words.next()).and_then(range);
        }
        Some(Self { tag: None, path: Some(word.to_owned()), first_line })
    }

    /// Reads a `filepath:` comment on the first line of a piece of code.
    pub fn of_comment(line: &str) -> Option<Self> {
        let text = line.trim().trim_start_matches(['/', '#', '*', '-', '<', '!', ';']).trim_start();
        let path = text.strip_prefix("filepath:")?.trim_end_matches(['*', '/', '-', '>', ' ']);
        Some(Self::of_path(path.trim())).filter(|heading| heading.path.is_some())
    }

    /// Reads a path with or without a range of lines: `a.ts:1-40`.
    pub fn of_path(text: &str) -> Self {
        let (path, first_line) = split_range(text.trim());
        let path = path.trim_matches(QUOTES);
        if is_path(path) { Self { tag: None, path: Some(path.to_owned()), first_line } } else { Self::default() }
    }
}

/// Whether a line is only the heading of a file.
pub fn is_bare(line: &str) -> bool {
    let (text, _) = undecorated(line);
    let (text, _) = split_range(text);
    let word = text.split_whitespace().next_back().unwrap_or_default();
    Heading::of_line(line).is_some() && (text == word || has_lead(text))
}

/// Whether the last line of `before` announces that a file's text follows: `Content from X:`.
pub fn announces(before: &str) -> bool {
    let last = before.trim_end().lines().next_back().unwrap_or_default();
    let (text, has_colon) = undecorated(last);
    has_colon && has_lead(text)
}

/// Whether `text` has the form of a file's path: a known extension, a separator without blanks, or a plain name with
/// an extension.
pub fn is_path(text: &str) -> bool {
    // No file system takes longer paths.
    const MAX_BYTES: usize = 1024;
    let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
    let extension = last.rsplit_once('.').map_or("", |(name, extension)| if name.is_empty() { "" } else { extension });
    let has_extension = (1..=8).contains(&extension.len())
        && extension.bytes().all(|b| b.is_ascii_alphanumeric())
        && extension.contains(|c: char| c.is_ascii_alphabetic());
    (1..=MAX_BYTES).contains(&text.len())
        && text == text.trim()
        && !text.contains("://")
        && !text.contains(|c: char| c.is_control() || "<>\"|?*`=;{}".contains(c))
        && (Language::from_path(text).is_some()
            || (!text.contains(' ') && (has_extension || (text.contains(['/', '\\']) && last.len() > 1))))
}

const QUOTES: [char; 5] = ['`', '"', '\'', '*', ' '];

/// The line without Markdown's marks and its final colon, and whether it had that colon.
fn undecorated(line: &str) -> (&str, bool) {
    let signs = |c: char| c.is_whitespace() || "#*`>-".contains(c);
    let text = line.trim_matches(signs);
    match text.strip_suffix(':') {
        Some(title) => (title.trim_matches(signs), true),
        None => (text, false),
    }
}

/// Whether a line begins like a client's heading of a file.
fn has_lead(text: &str) -> bool {
    const LEADS: [&str; 7] =
        ["content from ", "content of ", "contents of ", "excerpt from ", "file: ", "file path: ", "path: "];
    LEADS.iter().any(|lead| text.get(..lead.len()).is_some_and(|start| start.eq_ignore_ascii_case(lead)))
}

/// Splits a range of lines (`:a-b`, `(a-b)`, `#La-Lb`, `(lines a:b)`, `, lines a to b`) off the end of `text`: the
/// rest, and the range's first line.
fn split_range(text: &str) -> (&str, Option<usize>) {
    const LEADS: [&str; 9] = [" (lines ", " (line ", ", lines ", ", line ", " lines ", " line ", " (", "#L", ":"];
    for lead in LEADS {
        let Some((rest, tail)) = text.rsplit_once(lead) else { continue };
        let Some(first) = range(tail.strip_suffix(')').unwrap_or(tail)) else { continue };
        // `path:a:b`
        return match rest.rsplit_once(':') {
            Some((path, line)) if lead == ":" && range(line).is_some() => (path, range(line)),
            _ => (rest.trim_end(), Some(first)),
        };
    }
    (text, None)
}

/// The first number of `a`, `a-b`, `a:b`, `a-Lb`, `a..b`, `a to b`; nothing else may follow.
fn range(text: &str) -> Option<usize> {
    let text = text.trim().trim_start_matches('L');
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let first = text[..digits].parse().ok().filter(|&line| line > 0)?;
    let rest = &text[digits..];
    let separators = ["-L", "-", ":", "..", "–", " to ", ","];
    let last = separators.iter().find_map(|separator| rest.strip_prefix(separator));
    (rest.is_empty() || last.is_some_and(|last| last.trim().parse::<usize>().is_ok())).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(heading: Heading) -> (Option<String>, Option<String>, Option<usize>) {
        (heading.tag, heading.path, heading.first_line)
    }

    #[test]
    fn info_strings() {
        for (info, tag, path, line) in [
            ("", None, None, None),
            ("py", Some("py"), None, None),
            ("rust,no_run", Some("rust"), None, None),
            ("{.python}", Some("python"), None, None),
            ("foo", Some("foo"), None, None),
            ("text src/a.py", Some("text"), Some("src/a.py"), None),
            ("src/my file.py (3-9)", None, Some("src/my file.py"), Some(3)),
            ("C:\\w\\a.ts", None, Some("C:\\w\\a.ts"), None),
            ("go title=\"a.go:3-9\"", Some("go"), Some("a.go"), Some(3)),
            ("12:40:src/a.ts", None, Some("src/a.ts"), Some(12)),
            ("ts:src/a.ts", Some("ts"), Some("src/a.ts"), None),
            ("a.py#L3-L9", None, Some("a.py"), Some(3)),
            ("python showLineNumbers", Some("python"), None, None),
        ] {
            let expected = (tag.map(str::to_owned), path.map(str::to_owned), line);
            assert_eq!(said(Heading::of_info(info)), expected, "{info}");
        }
    }

    #[test]
    fn lines_above() {
        for (line, path, first) in [
            ("src/a.py", "src/a.py", None),
            ("### `src/a.py`:", "src/a.py", None),
            ("**src/__init__.py**", "src/__init__.py", None),
            ("Excerpt from a.ts, lines 3 to 9:", "a.ts", Some(3)),
            ("Lines 3-9 of a.ts:", "a.ts", Some(3)),
            ("Please fix the bug in src/app.py:", "src/app.py", None),
            ("File: /w/Makefile", "/w/Makefile", None),
        ] {
            assert_eq!(said(Heading::of_line(line).unwrap()), (None, Some(path.to_owned()), first), "{line}");
        }
        for line in
            ["", "Fix it", "See src/app.py for the rest", "What is wrong here:", "```", "    return a.b", "x = 1;"]
        {
            assert_eq!(Heading::of_line(line), None, "{line}");
        }
        assert!(is_bare("Content from src/a.py:") && is_bare("src/a.py (lines 3:9):"));
        assert!(!is_bare("Please fix the bug in src/app.py:"));
    }
}

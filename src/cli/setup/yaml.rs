//! The lines of a YAML file that is simple enough to be changed line by line; any other is refused.
//!
//! Simple means: one document, no anchors, aliases or tags, and no quoted text or brackets over several lines. Files of
//! settings are like that, and what is read wrongly here would be a setting that is broken there.

use super::edit::{Edit, Refusal};

/// Ends the lines that are Lopper's.
pub const MARK: &str = "# by lopper setup";

/// A line with a key, an item of a list, or a piece of text; comments, empty lines and block texts are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Line<'a> {
    /// Spaces before it.
    pub indent: usize,
    /// Whether it begins with a dash.
    pub is_item: bool,
    /// The key, if it has one.
    pub key: Option<&'a str>,
    /// Where the line begins, in bytes.
    start: usize,
    /// The line, without its end.
    text: &'a str,
    /// Where the key or, without one, the text begins in the line.
    column: usize,
    /// Where the value begins and ends in the line.
    value: (usize, usize),
}

impl<'a> Line<'a> {
    /// Whether this is `key` with so many spaces before it and no dash.
    pub fn is_key(&self, indent: usize, key: &str) -> bool {
        self.indent == indent && !self.is_item && self.key == Some(key)
    }

    /// Spaces, or a dash and spaces, before the key.
    pub fn column(&self) -> usize {
        self.column
    }

    /// The value, without quotes; empty where there is none.
    pub fn value(&self) -> &'a str {
        let value = &self.text[self.value.0..self.value.1];
        let unquoted = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        unquoted('"').or_else(|| unquoted('\'')).unwrap_or(value)
    }

    /// Whether Lopper wrote it.
    pub fn is_marked(&self) -> bool {
        self.text.ends_with(MARK)
    }

    /// Gives it another value, and Lopper's mark. Its comment stays.
    pub fn set(&self, value: &str) -> Vec<Edit> {
        let space = if self.text[..self.value.0].ends_with(':') { " " } else { "" };
        let at = self.start + self.value.0..self.start + self.value.1;
        let set = Edit { at, new: format!("{space}{value}") };
        let end = self.start + self.text.len();
        match self.is_marked() {
            true => vec![set],
            false => vec![set, Edit::insert(end, format!("  {MARK}"))],
        }
    }

    /// Where it begins, in bytes.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Where the next line of `text` begins, and whether there is an end of this line before it.
    pub fn end(&self, text: &str) -> (usize, bool) {
        let end = self.start + self.text.len();
        text[end..].find('\n').map_or((text.len(), false), |at| (end + at + 1, true))
    }
}

/// The lines of `text`.
///
/// # Errors
/// When it is not simple.
pub fn lines(text: &str) -> Result<Vec<Line<'_>>, Refusal> {
    let mut lines: Vec<Line> = Vec::new();
    let (mut start, mut block, mut is_begun) = (0, None, false);
    for whole in text.split_inclusive('\n') {
        let line = whole.trim_end_matches(['\n', '\r']);
        let begin = start;
        start += whole.len();
        let content = line.trim_start_matches(' ');
        let indent = line.len() - content.len();
        // In a block text, until a line stands no further in than the key of it.
        if block.is_some_and(|column| content.trim().is_empty() || indent > column) {
            continue;
        }
        block = None;
        if content.trim().is_empty() || content.starts_with('#') || (content == "---" && !is_begun) {
            is_begun |= content == "---";
            continue;
        }
        is_begun = true;
        let refuse = |why: &str| Refusal(format!("its YAML is not simple enough to be changed by a program ({why})"));
        if content.starts_with('\t') || content.starts_with('\u{feff}') {
            return Err(refuse("a tab or a byte order mark at the beginning of a line"));
        }
        if indent == 0 && (content.starts_with("---") || content.starts_with("...") || content.starts_with('%')) {
            return Err(refuse("several documents, or a directive"));
        }
        let parsed = parse(line, indent).map_err(refuse)?;
        if parsed.is_block {
            block = Some(parsed.line.column);
        }
        let parsed = Line { start: begin, ..parsed.line };
        let is_list =
            || lines.iter().rfind(|line| line.indent == 0 && !line.is_item).is_some_and(|line| line.value() == "");
        if indent == 0 && if parsed.is_item { !is_list() } else { parsed.key.is_none() } {
            return Err(refuse("a line without a key"));
        }
        if indent == 0 && !parsed.is_item && lines.iter().any(|line| line.indent == 0 && line.key == parsed.key) {
            return Err(refuse("a key that is there twice"));
        }
        lines.push(parsed);
    }
    Ok(lines)
}

/// The values of the lines that Lopper wrote.
pub fn marked(text: &str) -> Vec<String> {
    let lines = lines(text).unwrap_or_default();
    lines.iter().filter(|line| line.is_marked()).map(|line| line.value().to_owned()).collect()
}

struct Parsed<'a> {
    line: Line<'a>,
    /// Whether its value is the beginning of a block text.
    is_block: bool,
}

fn parse(text: &str, indent: usize) -> Result<Parsed<'_>, &'static str> {
    let (mut column, mut is_item) = (indent, false);
    while text[column..].starts_with("- ") || &text[column..] == "-" {
        is_item = true;
        column += 1;
        column += text[column..].len() - text[column..].trim_start_matches(' ').len();
    }
    let rest = &text[column..];
    if rest.starts_with("? ") || rest == "?" {
        return Err("a key that begins with ?");
    }
    let key = key(rest);
    let after = column + key.map_or(0, |key| key.len() + 1);
    let begin = after + (text[after..].len() - text[after..].trim_start_matches([' ', '\t']).len());
    // Without a value, one is put right behind the colon.
    let begin = if is_comment_or_empty(text, begin) { after } else { begin };
    let length = value_length(&text[begin..])?;
    let value = &text[begin..begin + length];
    let is_block = value.starts_with(['|', '>']);
    if key == Some("<<") {
        return Err("a merge key");
    }
    let key = key.map(|key| key.trim_matches(['"', '\'']));
    let line = Line { indent, is_item, key, start: 0, text, column, value: (begin, begin + length) };
    Ok(Parsed { line, is_block })
}

fn is_comment_or_empty(text: &str, at: usize) -> bool {
    text[at..].is_empty() || text[at..].starts_with('#')
}

/// The key that `text` begins with, quotes included, before its colon.
fn key(text: &str) -> Option<&str> {
    let end = match text.chars().next()? {
        quote @ ('"' | '\'') => text[1..].find(quote)? + 2,
        '[' | '{' | '#' | '|' | '>' | '&' | '*' | '!' => return None,
        _ => text.match_indices(':').map(|(at, _)| at).find(|at| is_gap(&text[at + 1..]))?,
    };
    let is_key = text[end..].starts_with(':') && is_gap(&text[end + 1..]) && !text[..end].contains(" #");
    is_key.then_some(&text[..end])
}

fn is_gap(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with([' ', '\t'])
}

/// How many bytes of `text`, which begins where a value does, are the value and no comment.
fn value_length(text: &str) -> Result<usize, &'static str> {
    match text.chars().next() {
        Some('&' | '*' | '!') => return Err("an anchor, an alias or a tag"),
        Some('"' | '\'' | '[' | '{') => {}
        _ => {
            let end =
                if text.starts_with('#') { 0 } else { text.find(" #").or(text.find("\t#")).unwrap_or(text.len()) };
            return Ok(text[..end].trim_end().len());
        }
    }
    let (mut quote, mut depth) = (None, 0_usize);
    let mut before = '[';
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (Some('"'), '\\') => _ = characters.next(),
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if !before.is_alphanumeric() => quote = Some(character),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.saturating_sub(1),
            (None, '&' | '*' | '!') if matches!(before, '[' | '{' | ',' | ' ') => {
                return Err("an anchor, an alias or a tag");
            }
            _ => {}
        }
        before = character;
        if quote.is_none() && depth == 0 {
            let end = at + character.len_utf8();
            // Two quotes in single quotes are one of the text, and go on.
            if character == '\'' && text[end..].starts_with('\'') {
                continue;
            }
            let rest = text[end..].trim_start();
            let is_over = rest.is_empty() || (rest.starts_with('#') && rest.len() < text[end..].len());
            return if is_over { Ok(end) } else { Err("something behind a quoted text or a bracket") };
        }
    }
    Err("a quoted text or brackets over several lines")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key and value of each line, a dash for an item.
    fn read(text: &str) -> Result<Vec<String>, String> {
        let shown = |line: &Line| {
            let dash = if line.is_item { "- " } else { "" };
            format!("{}{dash}{}={}", " ".repeat(line.indent), line.key.unwrap_or("?"), line.value())
        };
        lines(text).map(|lines| lines.iter().map(shown).collect()).map_err(|refusal| refusal.0)
    }

    #[test]
    fn simple_files_are_read() {
        let text = "---\n# comment\nmodel: openai/gpt-4o  # mine\nread: [a.md, 'b: c']\n'quoted': \"x # y\" # z\nempty:\n\
            nothing: # here\nurl: http://a/#b\ntext: |\n  key: not one\n\n  'open\nlist:\n- a\n  - name: x\n    k: 'it''s'\n\
            note: >-\n  one\ndark-mode: true\r\n";
        assert_eq!(
            read(text).unwrap(),
            [
                "model=openai/gpt-4o",
                "read=[a.md, 'b: c']",
                "quoted=x # y",
                "empty=",
                "nothing=",
                "url=http://a/#b",
                "text=|",
                "list=",
                "- ?=a",
                "  - name=x",
                "    k=it''s",
                "note=>-",
                "dark-mode=true"
            ]
        );
    }

    #[test]
    fn what_is_not_simple_is_refused() {
        for text in [
            "a: &x 1\n",
            "a: *x\n",
            "a: !!str 1\n",
            "b:\n  <<: *x\n",
            "a: [1,\n2]\n",
            "a: \"one\ntwo\"\n",
            "a: 'it''s\n",
            "a: 1\n---\nb: 2\n",
            "a: 1\n...\n",
            "%YAML 1.2\n---\na: 1\n",
            "\ta: 1\n",
            "\u{feff}a: 1\n",
            "text\n",
            "- a\n",
            "a: 1\na: 2\n",
            "a: 1\n- b\n",
            "? a\n: b\n",
            "a: [*x]\n",
            "{a: 1}\n",
            "a: \"x\" y\n",
        ] {
            assert!(read(text).is_err(), "{text:?}: {:?}", read(text));
        }
    }
}

//! Rules that leave code alone: whole-request orders, and code that is an edit, an example, a report or incomplete.
//!
//! A wrong veto costs savings unnoticed, so markers count only where a tool writes them: at the beginning of a line, or
//! outside of code.

use std::collections::HashMap;

use super::framing::{fences, tags};
use crate::base::reason::Reason;
use crate::base::text::Span;
use crate::render;

/// Why nothing in a request may be changed: one of `texts` (the orders and questions that code is sent with) asks for a whole
/// file back, or is a client's apply or inline-edit prompt. Fenced code in them does not count.
///
/// For decisions that later turns do not change, pass the texts of system, developer and user messages up to the one
/// whose question is asked, not those after it.
pub fn whole_request<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<Reason> {
    texts.into_iter().find_map(|text| {
        let prose = fences::around(text);
        if APPLY_MARKERS.iter().any(|marker| prose.contains(marker)) {
            return Some(Reason::ApplyPrompt);
        }
        let prose = prose.to_ascii_lowercase();
        if APPLY_PHRASES.iter().any(|phrase| prose.contains(phrase)) {
            return Some(Reason::ApplyPrompt);
        }
        asks_for_whole_file(&prose).then_some(Reason::WholeFile)
    })
}

/// Why a piece of code must be left alone, by its own lines.
pub fn code(code: &str) -> Option<Reason> {
    let mut seen = Tally::default();
    let mut before = "";
    for line in code.lines() {
        if let Some(reason) = reason_of_line(line, before) {
            return Some(reason);
        }
        seen.add(line);
        before = line;
    }
    seen.reason().or_else(|| is_one_heredoc(code).then_some(Reason::Heredoc))
}

/// The parts of a text in which code must be left alone.
#[derive(Debug)]
pub struct Surroundings {
    /// By reason, in order.
    enclosures: Vec<(Reason, Vec<Span>)>,
    /// Why no code in the text may be changed.
    whole: Option<Reason>,
}

impl Surroundings {
    /// Reads the prose of a text, its fenced blocks blanked out.
    pub fn new(prose: &str) -> Self {
        let has_tags = prose.contains('<');
        let named =
            TAGS.iter().filter(|_| has_tags).flat_map(|(reason, names)| names.iter().map(|name| (*reason, *name)));
        let of_tag = |name: &str| tags::elements(prose, name).iter().map(|tag| tag.body).collect();
        let mut enclosures: Vec<_> = named.map(|(reason, name)| (reason, of_tag(name))).collect();
        enclosures.push((Reason::EditBlock, between(prose, &EDIT_BLOCKS, |line, mark| line.starts_with(mark))));
        enclosures.push((Reason::Heredoc, heredocs(prose)));
        let is_rule = |line: &str, words: &str| line.starts_with("---") && line.contains(words);
        enclosures.push((Reason::Example, between(prose, &WORKED_EXAMPLES, is_rule)));
        enclosures.push((Reason::Summarized, summarized(prose)));
        let failed = prose.contains("SEARCH/REPLACE block") && prose.contains("failed to match!");
        Self { enclosures, whole: failed.then_some(Reason::FailedEdit) }
    }

    /// Why code at byte `at` must be left alone.
    pub fn veto(&self, at: usize) -> Option<Reason> {
        let encloses = |spans: &[Span]| {
            let after = spans.partition_point(|span| span.start <= at);
            after.checked_sub(1).is_some_and(|last| at < spans[last].end)
        };
        let enclosure = self.enclosures.iter().find(|(_, spans)| encloses(spans));
        self.whole.or(enclosure.map(|&(reason, _)| reason))
    }
}

/// Tags whose content is not the person's code, or is needed whole.
const TAGS: [(Reason, &[&str]); 5] = [
    (Reason::Example, &["example", "examples", "good-example", "bad-example", "good_example", "bad_example"]),
    (Reason::EditResult, &["final_file_content"]),
    (Reason::Instructions, &["INSTRUCTIONS", "instructions", "rules", "system-reminder", "system_reminder"]),
    (Reason::Report, &["error", "error_details"]),
    (Reason::Question, &tags::QUESTION),
];

/// Lines that begin and end an edit in a client's own format, which may enclose prose and fences.
const EDIT_BLOCKS: [(&str, &str); 3] =
    [("<<<<<<< ", ">>>>>>> "), ("------- SEARCH", "+++++++ REPLACE"), ("*** Begin Patch", "*** End Patch")];

/// Words in the lines that begin and end a conversation which a prompt gives as an example.
const WORKED_EXAMPLES: [(&str, &str); 1] = [(" START OF EXAMPLE ", " END OF EXAMPLE ")];

/// Phrases of apply prompts, in this spelling.
const APPLY_MARKERS: [&str; 10] = [
    "ORIGINAL CODE:", "ORIGINAL_FILE", "<USERDOCUMENT>", "<DOCUMENTPREFIX>", "<DOCUMENTSUFFIX>", "<USERSELECTION>",
    "$SELECTION_PLACEHOLDER$", "<SELECTION>", "<rewrite_this>", "<insert_here>",
];

/// Phrases of apply prompts, in lower case.
const APPLY_PHRASES: [&str; 6] = [
    "this is the code to rewrite:",
    "please rewrite the above file",
    "please rewrite the entire code block above",
    "requested a section of code in a file to be rewritten",
    "user has requested that you fill in the code",
    "replace the \"[blank]\"",
];

/// Whether lower-case `prose` holds "return the entire file" in one of its usual wordings, not negated.
fn asks_for_whole_file(prose: &str) -> bool {
    const VERBS: [&str; 12] = [
        "return", "output", "write", "rewrite", "provide", "give", "show", "produce", "generate", "reply", "respond",
        "contains",
    ];
    const BEFORE: [&str; 8] = ["me", "us", "the", "a", "back", "with", "out", "only"];
    const WHOLE: [&str; 4] = ["entire", "full", "complete", "whole"];
    const KINDS: [&str; 11] = [
        "updated", "modified", "new", "rewritten", "source", "corrected", "fixed", "resulting", "final", "revised",
        "edited",
    ];
    const THINGS: [&str; 9] =
        ["file", "files", "content", "contents", "code", "document", "script", "program", "module"];
    const NOT: [&str; 4] = ["not", "t", "never", "without"];

    prose.split(['.', '!', '?', ';']).any(|sentence| {
        let words: Vec<&str> = sentence.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        (0..words.len()).any(|verb| {
            let skip = |from: usize, fill: &[&str]| {
                from + words[from..].iter().take(3).take_while(|word| fill.contains(word)).count()
            };
            let has = |at: usize, list: &[&str]| words.get(at).is_some_and(|word| list.contains(word));
            let negated = || words[verb.saturating_sub(3)..verb].iter().any(|word| NOT.contains(word));
            if !VERBS.contains(&words[verb]) {
                return false;
            }
            let whole = skip(verb + 1, &BEFORE);
            has(whole, &WHOLE) && has(skip(whole + 1, &KINDS), &THINGS) && !negated()
        })
    })
}

/// The reason that one line gives. `before` is the line before it.
fn reason_of_line(line: &str, before: &str) -> Option<Reason> {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| line.starts_with(prefix));
    let is_patch = starts(&["*** Begin Patch", "diff --git "])
        || is_hunk(line)
        || (line.starts_with("+++ ") && before.starts_with("--- "));
    let is_traceback = line.starts_with("  File \"") && before == "Traceback (most recent call last):"
        || line.starts_with("thread '") && line.contains(" panicked at ")
        || line.starts_with("goroutine ") && line.ends_with("]:")
        || line.starts_with("Exception in thread \"");
    if starts(&["<<<<<<< ", ">>>>>>> ", "------- SEARCH", "+++++++ REPLACE"]) {
        Some(Reason::EditBlock)
    } else if is_patch {
        Some(Reason::Patch)
    } else if is_traceback || is_diagnostic(line) || is_test_report(line) {
        Some(Reason::Report)
    } else if line.starts_with("$ ") {
        Some(Reason::Terminal)
    } else if render::is_marker(line) || is_elision(line) {
        Some(Reason::PrunedAlready)
    } else if is_instruction(line) {
        Some(Reason::InstructionComment)
    } else if line.trim_start().starts_with('⋮') {
        Some(Reason::RepoMap)
    } else {
        None
    }
}

/// Whether a line is an instruction to an assistant that watches files: a comment that begins or ends with `AI!` or `AI?`.
fn is_instruction(line: &str) -> bool {
    const SIGNS: [&str; 2] = ["AI!", "AI?"];
    let Some(at) = line.find(['#', '/', '-', ';']).filter(|_| SIGNS.iter().any(|sign| line.contains(sign))) else {
        return false;
    };
    let comment = line[at..].trim_start_matches(['#', '/', '-', ';', '*']).trim();
    let comment = comment.trim_end_matches(['*', '/', ' ']);
    SIGNS.iter().any(|sign| comment.starts_with(sign) || comment.ends_with(sign))
}

/// Counts of lines that mean something only if there are many.
#[derive(Default)]
struct Tally {
    lines: usize,
    frames: usize,
    bars: usize,
    outlined: usize,
}

impl Tally {
    fn add(&mut self, line: &str) {
        let text = line.trim();
        let ends_in_line_number =
            || text.rsplit([':', '(']).next().is_some_and(|s| s.starts_with(|c: char| c.is_ascii_digit()));
        let is_frame =
            text.starts_with("at ") && ends_in_line_number() || text.starts_with("from ") && text.contains(":in ");
        let is_outlined = text.strip_suffix(']').and_then(|s| s.rsplit_once("[L")).is_some_and(|(_, lines)| {
            !lines.is_empty() && lines.bytes().all(|b| b.is_ascii_digit() || b == b'-' || b == b'L')
        });
        self.lines += usize::from(!text.is_empty());
        self.frames += usize::from(is_frame);
        self.bars += usize::from(text.starts_with('│'));
        self.outlined += usize::from(is_outlined);
    }

    fn reason(&self) -> Option<Reason> {
        let is_most = |count: usize| count > 0 && count * 2 >= self.lines;
        if self.frames >= 3 {
            Some(Reason::Report)
        } else if is_most(self.bars) {
            Some(Reason::RepoMap)
        } else if is_most(self.outlined) {
            Some(Reason::Outline)
        } else {
            None
        }
    }
}

/// `@@ -n,m +n,m @@`
fn is_hunk(line: &str) -> bool {
    let mut words = line.split(' ');
    let counted = |word: Option<&str>, sign| {
        word.and_then(|word| word.strip_prefix(sign)).is_some_and(|s| s.starts_with(|c: char| c.is_ascii_digit()))
    };
    words.next() == Some("@@") && counted(words.next(), '-') && counted(words.next(), '+') && words.next() == Some("@@")
}

/// `error[E0308]: …`, `a.c:3:9: error: …`, `a.ts(3,9): error TS2322: …`
fn is_diagnostic(line: &str) -> bool {
    let located = || {
        line.split_once(": error").or_else(|| line.split_once(": fatal error")).is_some_and(|(place, _)| {
            place.ends_with(|c: char| c.is_ascii_digit() || c == ')')
                && place.contains('.')
                && place.contains([':', '('])
                && !place.contains(|c: char| c.is_whitespace() || "\"'`".contains(c))
        })
    };
    line.starts_with("error[E") && line.contains("]: ") || located()
}

/// `test result: FAILED. …`, `--- FAIL: TestX (0.00s)`, `FAILED tests/a.py::test_x`, `==== test session starts ====`
fn is_test_report(line: &str) -> bool {
    const STARTS: [&str; 7] =
        ["test result: ", "--- FAIL: ", "=== RUN   ", "FAILED tests/", "npm ERR! ", "<error>", "<tool_use_error>"];
    const TITLES: [&str; 4] = [" test session starts ", " FAILURES ", " ERRORS ", " short test summary info "];
    STARTS.iter().any(|start| line.starts_with(start))
        || (line.starts_with("===") && line.ends_with("===") && TITLES.iter().any(|title| line.contains(title)))
}

/// `... existing code ...`, `Lines 3-9 omitted`
fn is_elision(line: &str) -> bool {
    let omitted = || {
        let range = line.split_once(" omitted")?.0.rsplit_once("ines ")?.1;
        let (from, to) = range.split_once('-')?;
        from.parse::<usize>().ok().zip(to.parse::<usize>().ok())
    };
    line.contains("... existing code ...") || omitted().is_some()
}

/// Whether shell code is a single command with a here-document, as examples in prompts are.
fn is_one_heredoc(code: &str) -> bool {
    let mut lines = code.lines().filter(|line| !line.trim().is_empty());
    let word = lines.next().and_then(heredoc_word);
    word.is_some() && lines.next_back().map(str::trim) == word
}

/// The word that ends the here-document which `line` begins: `<<EOF`, `<<-'EOF'`.
fn heredoc_word(line: &str) -> Option<&str> {
    let rest = line.split_once("<<")?.1.trim_start_matches(['-', '~', ' ']);
    let rest = rest.trim_start_matches(['\'', '"', '\\']);
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|word| word.starts_with(|c: char| c.is_alphabetic() || c == '_'))
}

/// Lines of `text` with the byte at which each begins.
fn lines_at(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |next, line| {
        let at = *next;
        *next += line.len();
        Some((at, line.trim_end()))
    })
}

fn heredocs(prose: &str) -> Vec<Span> {
    let mut open: HashMap<&str, usize> = HashMap::new();
    let mut closed = Vec::new();
    for (at, line) in lines_at(prose) {
        if let Some(start) = open.remove(line.trim_start()) {
            closed.push(Span { start, end: at });
        } else if let Some(word) = heredoc_word(line) {
            open.entry(word).or_insert(at);
        }
    }
    disjoint(closed)
}

/// The spans from a line with the first mark of a pair to the next line with its second.
fn between(prose: &str, pairs: &[(&str, &str)], has_mark: impl Fn(&str, &str) -> bool) -> Vec<Span> {
    let mut open = None;
    let mut spans = Vec::new();
    for (at, line) in lines_at(prose) {
        match open {
            Some((start, end)) if has_mark(line, end) => {
                spans.push(Span { start, end: at });
                open = None;
            }
            Some(_) => {}
            None => open = pairs.iter().find(|(begin, _)| has_mark(line, begin)).map(|&(_, end)| (at, end)),
        }
    }
    spans
}

/// Attachments that their client has shortened.
fn summarized(prose: &str) -> Vec<Span> {
    let attachments = tags::elements(prose, "attachment").into_iter();
    let pruned = attachments.filter(|tag| prose[tag.outer.start..tag.body.start].contains("isSummarized=\"true\""));
    pruned.map(|tag| tag.body).collect()
}

/// Spans in order of their start, joined where they overlap.
fn disjoint(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable_by_key(|span| (span.start, span.end));
    let mut joined: Vec<Span> = Vec::new();
    for span in spans {
        match joined.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => joined.push(span),
        }
    }
    joined
}

#[cfg(test)]
mod tests;

//! What must not be touched: requests that want a file written back (R2), and code that is an edit, an example, a
//! report or not whole (R3).
//!
//! A veto that is wrong costs savings and nobody sees it; so markers count only where a tool would write them: at a
//! line's beginning, or outside of code.

use std::collections::HashMap;

use super::framing::{fences, tags};
use crate::base::reason::Reason;
use crate::render;

/// Why nothing in a request may be touched: `texts` (the orders and questions that a piece of code is sent with) ask for
/// whole files back, or are a client's apply or inline-edit prompt. Code in their fences does not count.
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

/// Why a piece of code has to stay as it is, judged by its own lines.
pub fn code(code: &str) -> Option<Reason> {
    let mut seen = Tally::default();
    let mut before = "";
    for line in code.lines() {
        if let Some(reason) = telltale(line, before) {
            return Some(reason);
        }
        seen.add(line);
        before = line;
    }
    seen.verdict().or_else(|| is_one_heredoc(code).then_some(Reason::Heredoc))
}

/// The parts of a text in which code has to stay as it is.
#[derive(Debug)]
pub struct Surroundings {
    /// Of one reason each: bytes from and to, in order.
    enclosures: Vec<(Reason, Vec<(usize, usize)>)>,
    /// Why nothing in the text may be touched.
    whole: Option<Reason>,
}

impl Surroundings {
    /// Reads the prose of a text, its fenced blocks blanked out.
    pub fn new(prose: &str) -> Self {
        let questions = tags::QUESTION.map(|name| (name, Reason::Question));
        let has_tags = prose.contains('<');
        let mut enclosures: Vec<_> = (TAGS.iter().copied().chain(questions).filter(|_| has_tags))
            .map(|(name, reason)| {
                (reason, tags::elements(prose, name).iter().map(|tag| (tag.body.start, tag.body.end)).collect())
            })
            .collect();
        enclosures.push((Reason::EditBlock, edit_blocks(prose)));
        enclosures.push((Reason::Heredoc, heredocs(prose)));
        enclosures.push((Reason::Example, worked_examples(prose)));
        enclosures.push((Reason::Summarized, summarized(prose)));
        let failed = prose.contains("SEARCH/REPLACE block") && prose.contains("failed to match!");
        Self { enclosures, whole: failed.then_some(Reason::FailedEdit) }
    }

    /// Why code at byte `at` has to stay as it is.
    pub fn veto(&self, at: usize) -> Option<Reason> {
        let encloses = |spans: &[(usize, usize)]| {
            let after = spans.partition_point(|&(start, _)| start <= at);
            after.checked_sub(1).is_some_and(|last| at < spans[last].1)
        };
        let enclosure = self.enclosures.iter().find(|(_, spans)| encloses(spans));
        self.whole.or(enclosure.map(|&(reason, _)| reason))
    }
}

/// Tags whose content is not the person's code, or is it and is needed whole.
const TAGS: [(&str, Reason); 14] = [
    ("example", Reason::Example),
    ("examples", Reason::Example),
    ("good-example", Reason::Example),
    ("bad-example", Reason::Example),
    ("good_example", Reason::Example),
    ("bad_example", Reason::Example),
    ("final_file_content", Reason::EditResult),
    ("INSTRUCTIONS", Reason::Instructions),
    ("instructions", Reason::Instructions),
    ("rules", Reason::Instructions),
    ("system-reminder", Reason::Instructions),
    ("system_reminder", Reason::Instructions),
    ("error", Reason::Report),
    ("error_details", Reason::Report),
];

/// Words of apply prompts that are spelled just so.
const APPLY_MARKERS: [&str; 10] = [
    "ORIGINAL CODE:",
    "ORIGINAL_FILE",
    "<USERDOCUMENT>",
    "<DOCUMENTPREFIX>",
    "<DOCUMENTSUFFIX>",
    "<USERSELECTION>",
    "$SELECTION_PLACEHOLDER$",
    "<SELECTION>",
    "<rewrite_this>",
    "<insert_here>",
];

/// Sentences of apply prompts, in lower case.
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
        "updated",
        "modified",
        "new",
        "rewritten",
        "source",
        "corrected",
        "fixed",
        "resulting",
        "final",
        "revised",
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

/// What one line gives away. `before` is the line before it.
fn telltale(line: &str, before: &str) -> Option<Reason> {
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
    } else if is_order(line) {
        Some(Reason::InstructionComment)
    } else if line.trim_start().starts_with('⋮') {
        Some(Reason::RepoMap)
    } else {
        None
    }
}

/// Whether a line is an instruction to an assistant that watches files: a comment that begins or ends in `AI!` or `AI?`.
fn is_order(line: &str) -> bool {
    const SIGNS: [&str; 2] = ["AI!", "AI?"];
    let Some(at) = line.find(['#', '/', '-', ';']).filter(|_| SIGNS.iter().any(|sign| line.contains(sign))) else {
        return false;
    };
    let comment = line[at..].trim_start_matches(['#', '/', '-', ';', '*']).trim();
    let comment = comment.trim_end_matches(['*', '/', ' ']);
    SIGNS.iter().any(|sign| comment.starts_with(sign) || comment.ends_with(sign))
}

/// Lines that tell only by their number.
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

    fn verdict(&self) -> Option<Reason> {
        let most = |count: usize| count > 0 && count * 2 >= self.lines;
        if self.frames >= 3 {
            Some(Reason::Report)
        } else if most(self.bars) {
            Some(Reason::RepoMap)
        } else if most(self.outlined) {
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

/// Whether shell code is a single command that writes a here document, as examples in prompts are.
fn is_one_heredoc(code: &str) -> bool {
    let mut lines = code.lines().filter(|line| !line.trim().is_empty());
    let word = lines.next().and_then(heredoc_word);
    word.is_some() && lines.next_back().map(str::trim) == word
}

/// The word that ends the here document which `line` begins: `<<EOF`, `<<-'EOF'`.
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

fn heredocs(prose: &str) -> Vec<(usize, usize)> {
    let mut open: HashMap<&str, usize> = HashMap::new();
    let mut closed = Vec::new();
    for (at, line) in lines_at(prose) {
        if let Some(start) = open.remove(line.trim_start()) {
            closed.push((start, at));
        } else if let Some(word) = heredoc_word(line) {
            open.entry(word).or_insert(at);
        }
    }
    disjoint(closed)
}

/// Where an edit in a client's own format encloses more text, fences included.
fn edit_blocks(prose: &str) -> Vec<(usize, usize)> {
    const PAIRS: [(&str, &str); 3] =
        [("<<<<<<< ", ">>>>>>> "), ("------- SEARCH", "+++++++ REPLACE"), ("*** Begin Patch", "*** End Patch")];
    let mut blocks = Vec::new();
    let mut open: Option<(usize, &str)> = None;
    for (at, line) in lines_at(prose) {
        match open {
            Some((start, close)) if line.starts_with(close) => {
                blocks.push((start, at));
                open = None;
            }
            Some(_) => {}
            None => open = PAIRS.iter().find(|(begin, _)| line.starts_with(begin)).map(|&(_, close)| (at, close)),
        }
    }
    blocks
}

/// Whole conversations that a prompt shows how to lead.
fn worked_examples(prose: &str) -> Vec<(usize, usize)> {
    let is_rule = |line: &str, words| line.starts_with("---") && line.contains(words);
    let mut open = None;
    let mut examples = Vec::new();
    for (at, line) in lines_at(prose) {
        if is_rule(line, " START OF EXAMPLE ") {
            open.get_or_insert(at);
        } else if is_rule(line, " END OF EXAMPLE ") {
            examples.extend(open.take().map(|start| (start, at)));
        }
    }
    examples
}

/// Attachments that their client has pruned.
fn summarized(prose: &str) -> Vec<(usize, usize)> {
    let attachments = tags::elements(prose, "attachment").into_iter();
    let pruned = attachments.filter(|tag| prose[tag.outer.start..tag.body.start].contains("isSummarized=\"true\""));
    pruned.map(|tag| (tag.body.start, tag.body.end)).collect()
}

/// Spans in order of their start, joined where they overlap.
fn disjoint(mut spans: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    spans.sort_unstable();
    let mut joined: Vec<(usize, usize)> = Vec::new();
    for (start, end) in spans {
        match joined.last_mut() {
            Some(last) if start < last.1 => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

#[cfg(test)]
mod tests;

//! Tells the user's own words in a message from those of the client.

use crate::base::text::Span;
use crate::detect::framing::{envelopes, fences, headings, tags};
use crate::wire::{Message, Origin, Role, Slot};

/// Characters of a question, at most: about 300 tokens. Every piece of code costs one pass over the question.
pub const MAX_CHARS: usize = 1200;

/// Blocks of at most this many lines are part of the question; longer ones are its subject.
pub(super) const SHORT_BLOCK_LINES: usize = 12;

/// Fewer words are no question: a lone `Files:` is a heading.
const MIN_WORDS: usize = 2;

/// Beginnings of lines that clients put above the files they attach.
const BOILERPLATE: [&str; 17] = [
    "I have *added these files to the chat*",
    "*Trust this message as the true content",
    "Any other messages in the chat may contain outdated versions",
    "Here are some READ ONLY files",
    "Do not edit these files!",
    "Here are summaries of some files present in my git repository",
    "Do not propose changes to these files",
    "If you need to edit any of these files, ask me to *add them to the chat*",
    "I am not sharing any files that you can edit yet",
    "The following items were attached by the user",
    "Use the above code to answer the following question",
    "SELECTIONS",
    "--- End of content ---",
    "Called the Read tool with the following input:",
    "--- Content from referenced files ---",
    "<path>",
    "<type>file</type>",
];

/// Beginnings of the rules that clients append to the user's words. All that follows is the client's.
const RULES: [&str; 6] = [
    "# *SEARCH/REPLACE block* Rules:",
    "# File editing rules:",
    "To suggest changes to a file you MUST return",
    "IMPORTANT: Use *quadruple* backticks",
    "(See <attachments> above for file contents.",
    "You can execute bash commands and edit files to implement the necessary changes.",
];

/// Beginnings of the lines of aider's repository map.
const OUTLINE: [char; 2] = ['⋮', '│'];

/// Lines between which OpenHands puts the user's words below its own example, where tools are text.
pub(super) const TASK: [&str; 2] = [
    "--------------------- NEW TASK DESCRIPTION ---------------------",
    "--------------------- END OF NEW TASK DESCRIPTION ---------------------",
];

/// Tags whose content is not the user's words.
const ATTACHED: [&str; 17] = [
    "environment_details", "environment_context", "system-reminder", "attachments", "attachment", "attached_files",
    "context", "files", "file_content", "file", "content", "code_selection", "document", "documents", "selected_files",
    "editorContext", "reminderInstructions",
];

/// The last [`MAX_CHARS`] characters of the user's words in a message. `code` gives the pieces of code in a text of the
/// message, by slot. `None` if there are no words.
pub fn of(message: &Message, code: impl Fn(usize) -> Vec<Span>) -> Option<String> {
    if message.role != Role::User {
        return None;
    }
    let said = message.slots.iter().enumerate().filter(|(_, slot)| is_said(slot));
    let parts: Vec<Words> = said.map(|(index, slot)| Words::read(&slot.text, &code(index))).collect();
    // Where a client marks the user's words, the rest of the message is the client's.
    let marked = parts.iter().any(|words| words.marked);
    let spoken: Vec<&Words> = parts.iter().filter(|words| words.marked == marked).collect();
    if spoken.iter().map(|words| words.count).sum::<usize>() < MIN_WORDS {
        return None;
    }
    let texts: Vec<&str> = spoken.iter().map(|words| words.text.trim()).filter(|text| !text.is_empty()).collect();
    Some(end_of(&texts.join("\n\n")).to_owned())
}

fn is_said(slot: &Slot) -> bool {
    matches!(slot.origin, Origin::Said | Origin::Prompt) && !is_result(slot)
}

/// Whether a text is the result of a tool, in a message of its own or in a user message.
pub(super) fn is_result(slot: &Slot) -> bool {
    matches!(slot.origin, Origin::Result { .. }) || envelopes::is_result(&slot.text)
}

/// The last [`MAX_CHARS`] characters of `text`, from the beginning of a word.
pub(super) fn end_of(text: &str) -> &str {
    tail(text, MAX_CHARS)
}

/// The last `max` characters of `text`, from the beginning of a word.
pub(super) fn tail(text: &str, max: usize) -> &str {
    let Some((start, _)) = text.char_indices().rev().nth(max - 1) else { return text };
    if start == 0 {
        return text;
    }
    let end = &text[start..];
    end.find(char::is_whitespace).map_or(end, |blank| end[blank..].trim_start())
}

/// The user's words in one text.
struct Words {
    /// The words, with the short pieces of code among them.
    text: String,
    /// Number of words outside of code, without paths.
    count: usize,
    /// Whether a tag marks them as the user's words.
    marked: bool,
}

impl Words {
    /// `code` holds the pieces of code in the text, in order.
    fn read(text: &str, code: &[Span]) -> Self {
        let blocks = fences::blocks(text);
        let (short, long): (Vec<_>, Vec<_>) =
            blocks.iter().partition(|block| text[block.code.range()].lines().count() <= SHORT_BLOCK_LINES);
        // Both have the text's offsets and lines.
        let shown = fences::prose(text, &long);
        let prose = fences::prose(&shown, &short);

        // No rules begin in a blanked block: search only between them.
        let blanks: Vec<Span> = blocks.iter().map(|block| block.outer).collect();
        let between = without(&[Span { start: 0, end: prose.len() }], &blanks);
        let rules = |span: &Span| {
            let found = RULES.iter().filter_map(|rules| prose[span.range()].find(rules)).min();
            found.map(|at| span.start + at)
        };
        let end = between.iter().find_map(rules).unwrap_or(prose.len());
        let mut asked = spans(&prose, &tags::QUESTION, |element| element.body);
        if asked.is_empty() {
            asked.extend(task(&prose));
        }
        let mut silent = spans(&prose, &ATTACHED, |element| element.outer);
        let is_long = |span: &&Span| text[span.range()].lines().count() > SHORT_BLOCK_LINES;
        silent.extend(code.iter().filter(is_long));
        // A file in aider's other fences that is no code, such as a README.
        silent.extend(spans(&prose, &tags::FENCES, |element| element.outer).iter().filter(is_long));
        silent.sort_unstable_by_key(|span| span.start);
        let marked = !asked.is_empty();
        let spoken = if marked { asked } else { vec![Span { start: 0, end }] };

        let mut words = Self { text: String::new(), count: 0, marked };
        for span in without(&spoken, &silent) {
            let mut at = span.start;
            for line in prose[span.start..span.end.min(end).max(span.start)].split_inclusive('\n') {
                words.add(line, &shown[at..at + line.len()]);
                at += line.len();
            }
        }
        words
    }

    /// Adds a line: as prose, and as it is shown with the short pieces of code.
    fn add(&mut self, prose: &str, shown: &str) {
        let is_clients =
            prose.starts_with(OUTLINE) || BOILERPLATE.iter().any(|start| prose.trim_start().starts_with(start));
        let is_empty = shown.trim().is_empty();
        if is_clients || headings::is_bare(prose) || (is_empty && self.text.ends_with("\n\n")) {
            return;
        }
        self.count += prose.split_whitespace().map(weight).sum::<usize>();
        self.text.push_str(shown.trim_end());
        if shown.ends_with('\n') {
            self.text.push('\n');
        }
    }
}

/// The task that OpenHands marks with lines.
fn task(prose: &str) -> Option<Span> {
    let [opening, closing] = TASK;
    let start = prose.find(opening)? + opening.len();
    let end = prose[start..].rfind(closing).map_or(prose.len(), |at| start + at);
    Some(Span { start, end })
}

/// Words in a token of prose: none if it is a path, a tag or punctuation; scripts without spaces have about two characters
/// a word.
fn weight(token: &str) -> usize {
    let bare = token.trim_matches(|c: char| !c.is_alphanumeric());
    if bare.is_empty() || headings::is_path(bare) || (token.starts_with('<') && token.ends_with('>')) {
        return 0;
    }
    let letters = || bare.chars().filter(|c| c.is_alphabetic()).count();
    if bare.is_ascii() { usize::from(letters() > 0) } else { letters().div_ceil(2) }
}

/// A span of each element with one of these names, in order.
fn spans(prose: &str, names: &[&str], of: impl Fn(&tags::Element) -> Span) -> Vec<Span> {
    if !prose.contains('<') {
        return Vec::new();
    }
    let mut spans: Vec<Span> = names.iter().flat_map(|name| tags::elements(prose, name)).map(|e| of(&e)).collect();
    spans.sort_unstable_by_key(|span| span.start);
    spans
}

/// The parts of `spans` outside of `holes`, in order and without overlaps. Both are in order of their starts.
fn without(spans: &[Span], holes: &[Span]) -> Vec<Span> {
    let mut rest = Vec::new();
    let mut done = 0;
    let mut holes = holes.iter().peekable();
    for span in spans {
        done = done.max(span.start);
        while let Some(hole) = holes.next_if(|hole| hole.start < span.end) {
            if done < hole.start {
                rest.push(Span { start: done, end: hole.start });
            }
            done = done.max(hole.end);
        }
        if done < span.end {
            rest.push(Span { start: done, end: span.end });
            done = span.end;
        }
    }
    rest
}

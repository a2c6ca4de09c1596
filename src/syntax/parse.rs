//! Parses a text within limits and checks that it is clean code.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tree_sitter::{Node, ParseOptions, ParseState, Parser, Tree};

use super::grammar::{self, Grammar, OPTIONAL};
use super::language::Language;
use crate::base::timing;

/// The longest text that is parsed, in bytes. Longer ones are data or generated code.
const MAX_BYTES: usize = 1 << 19;

/// Progress calls the parser may make for a text of any length.
const BASE_STEPS: usize = 1_000;

/// One progress call more is allowed for so many bytes. Real code takes one for about 100 bytes, tables of literals up to
/// five; a text that takes more makes the parser follow many readings at once. Work is counted, not timed, so that the
/// outcome is always the same.
const BYTES_PER_STEP: usize = 4;

/// Steps from which the parser is no further than before, and later goes on: so many in any text, and one more for so many
/// bytes. Real code, with mistakes or without, takes three at most (those after its end, when the tree is put in order, do not
/// count). Where every line is a mistake with many ways to go on, they are most of the steps, and each takes a hundred times
/// as long as others.
const BASE_STALLS: usize = 200;
const BYTES_PER_STALL: usize = 1024;

/// How long the parser may work on a text of any length, and for each of its bytes on top. Real code takes about half a
/// microsecond a byte, tables of literals up to 1.1. The counts above bound how often the parser tries; what one mistake costs it
/// can grow with the mistakes before, up to a second, without a call in between. That is why the core has this one clock,
/// which counts only the thread's own time.
const BASE_TIME: Duration = Duration::from_millis(500);
const TIME_PER_BYTE: Duration = Duration::from_micros(5);

/// Bytes of text that the parser is given at a time.
const CHUNK: usize = 1024;

/// How often the parser may ask for each chunk, on average; real code has it ask ten times at most. Where a comment or
/// string never ends, it runs to the end of the text again from every place it might start at.
const READS_PER_CHUNK: usize = 32;

/// The longest word that ends a here-document, in characters. The scanner of Ruby's grammar keeps its length in a byte and
/// ends the process where it does not fit.
const MAX_HEREDOC_WORD: usize = 255;

/// The largest share of bytes in error that is still clean: a macro or a new keyword the grammar does not know, but not a
/// text in another language.
const MAX_ERROR_SHARE: f32 = 0.01;

/// A source text that parses cleanly.
pub struct Parsed<'s> {
    pub(super) source: &'s str,
    pub(super) grammar: &'static Grammar,
    pub(super) tree: Tree,
}

impl<'s> Parsed<'s> {
    /// Parses `source`.
    ///
    /// # Errors
    /// Where the text is empty, too long to be parsed, or not clean code in `language`.
    pub fn new(source: &'s str, language: Language) -> Result<Self, SyntaxError> {
        if source.trim().is_empty() {
            return Err(SyntaxError::Empty);
        }
        let grammar = grammar::row(language);
        let tree = parse_bounded(source, grammar)?;
        let errors = Errors::of(&tree, grammar);
        let error_share = errors.bytes as f32 / source.len() as f32;
        if errors.fatal || error_share > MAX_ERROR_SHARE {
            return Err(SyntaxError::NotClean { error_share, line: errors.first_row.unwrap_or(0) + 1 });
        }
        Ok(Self { source, grammar, tree })
    }
}

/// Parses `source` within the limits of work; the tree may hold mistakes.
pub(super) fn parse_bounded(source: &str, grammar: &Grammar) -> Result<Tree, SyntaxError> {
    if source.len() > MAX_BYTES {
        return Err(SyntaxError::TooLarge { bytes: source.len(), limit: MAX_BYTES });
    }
    if grammar.language == Language::Ruby && has_long_heredoc(source) {
        return Err(SyntaxError::LongHeredoc);
    }
    if grammar.language == Language::Kotlin && ends_in_annotation(source) {
        return Err(SyntaxError::OpenAnnotation);
    }
    parse(source, grammar).ok_or(SyntaxError::TooHard)
}

/// Why a text was not split into units. It is then left as it is.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SyntaxError {
    /// Nothing but white space.
    #[error("there is no code in the text")]
    Empty,
    /// The text is longer than the parser is given.
    #[error("{bytes} bytes of code are more than the {limit} that are parsed in one piece")]
    TooLarge {
        /// Length of the text, in bytes.
        bytes: usize,
        /// The most that is parsed, in bytes.
        limit: usize,
    },
    /// The parser took more steps, or more time, than a text of this length is allowed.
    #[error("parsing was given up: the text is too ambiguous for its grammar, or full of mistakes")]
    TooHard,
    /// A here-document ends with a word that the parser can't hold.
    #[error("a here-document in the text ends with a word that is too long to be parsed")]
    LongHeredoc,
    /// The text ends in an annotation, which the parser can't leave.
    #[error("the last line of the text has an annotation and no line break: it can't be parsed")]
    OpenAnnotation,
    /// The text is not, or not only, code in this language.
    #[error("the text does not parse cleanly: first error in line {line}, {:.1} % of it in error", error_share * 100.0)]
    NotClean {
        /// Share of the bytes that lie in error nodes, 0 to 1.
        error_share: f32,
        /// Line of the first error, from 1.
        line: usize,
    },
}

/// Whether anything that may be the head of a here-document, such as `<<~END` or `<<"a b"`, has a word that is too long.
fn has_long_heredoc(source: &str) -> bool {
    source.match_indices("<<").any(|(at, _)| {
        let head = source[at..].trim_start_matches(['<', '~', '-']);
        let is_too_long = |word: &str, is_part: &dyn Fn(char) -> bool| {
            word.chars().take(MAX_HEREDOC_WORD + 1).take_while(|c| is_part(*c)).count() > MAX_HEREDOC_WORD
        };
        match head.chars().next() {
            Some(quote @ ('"' | '\'' | '`')) => is_too_long(&head[1..], &|c| c != quote),
            _ => is_too_long(head, &|c| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()),
        }
    })
}

/// Whether the last line may have an annotation, such as `@Test(`, and has no line break: the scanner of Kotlin's grammar looks
/// for white space behind it beyond the end of the text, and never returns.
fn ends_in_annotation(source: &str) -> bool {
    source.rsplit('\n').next().is_some_and(|line| line.contains('@'))
}

fn parse(source: &str, grammar: &Grammar) -> Option<Tree> {
    let language = match grammar.fragment {
        Some((marker, fragment)) if !source.contains(marker) => fragment(),
        _ => (grammar.parser)(),
    };
    let mut parser = Parser::new();
    parser.set_language(&language).expect("every grammar in the table is built for this version of tree-sitter");
    let reads_left = Cell::new(READS_PER_CHUNK * (1 + source.len() / CHUNK));
    let mut steps_left = BASE_STEPS + source.len() / BYTES_PER_STEP;
    let mut read = |byte: usize, _| {
        // An early end of the text brings the parser to its next step, which is its last. It comes after a line break, which
        // ends an annotation in Kotlin.
        match reads_left.replace(reads_left.get().saturating_sub(1)) {
            0 => return "",
            1 => return "\n",
            _ => {}
        }
        let chunk_end = (byte / CHUNK + 1) * CHUNK;
        let end = (chunk_end..source.len()).find(|&end| source.is_char_boundary(end)).unwrap_or(source.len());
        &source[byte..end]
    };
    let mut stalls_left = BASE_STALLS + source.len() / BYTES_PER_STALL;
    let (mut reached, mut stalls) = (0, 0);
    let time_allowed = BASE_TIME + TIME_PER_BYTE * source.len() as u32;
    let (started, worked_before) = (Instant::now(), timing::thread_time());
    // A thread works no longer than the clock runs, and how long it worked is a question to the kernel.
    let is_late = || started.elapsed() > time_allowed && timing::thread_time() - worked_before > time_allowed;
    let mut check = |state: &ParseState| {
        steps_left = steps_left.saturating_sub(1);
        if state.current_byte_offset() > reached {
            reached = state.current_byte_offset();
            stalls_left = stalls_left.saturating_sub(std::mem::take(&mut stalls));
        } else {
            stalls += 1;
        }
        let is_over = steps_left == 0 || stalls_left == 0 || reads_left.get() == 0 || is_late();
        if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let options = ParseOptions::new().progress_callback(&mut check);
    let tree = parser.parse_with_options(&mut read, None, Some(options))?;
    // The parser does not check after its last step: a tree of the text's beginning is none.
    (reads_left.get() > 0).then_some(tree)
}

/// The parts of a text that a parse could not read.
#[derive(Default)]
struct Errors {
    bytes: usize,
    /// From 0.
    first_row: Option<usize>,
    /// Whether one makes the units of the text doubtful, however small it is.
    fatal: bool,
}

impl Errors {
    fn of(tree: &Tree, grammar: &Grammar) -> Self {
        let mut errors = Self::default();
        let mut cursor = tree.walk();
        loop {
            let node = cursor.node();
            if node.is_error() || node.is_missing() {
                errors.add(node, grammar);
            }
            let descend = node.has_error() && !node.is_error();
            if descend && cursor.goto_first_child() {
                continue;
            }
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    return errors;
                }
            }
        }
    }

    fn add(&mut self, node: Node, grammar: &Grammar) {
        self.first_row.get_or_insert(node.start_position().row);
        self.bytes += node.end_byte() - node.start_byte();
        let unclosed = node.is_missing() && !OPTIONAL.contains(&node.kind());
        let several_lines = node.end_position().row > node.start_position().row;
        self.fatal = self.fatal || unclosed || (several_lines && stands_between_definitions(node, grammar));
    }
}

/// Whether `node` is at top level or in the body of a type or namespace, so that it may have swallowed a definition.
fn stands_between_definitions(node: Node, grammar: &Grammar) -> bool {
    let holds_definitions = |node: Node| {
        node.parent().is_none() || grammar.types.contains(&node.kind()) || grammar.scopes.contains(&node.kind())
    };
    let Some(parent) = node.parent() else { return true };
    holds_definitions(parent) || parent.parent().is_some_and(holds_definitions)
}

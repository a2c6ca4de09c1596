//! Whether a text is clean code: a bounded parse, and a look at what the parser could not read.

use std::ops::ControlFlow;

use tree_sitter::{Node, ParseOptions, Parser, Tree};

use super::SyntaxError;
use super::grammar::{Grammar, OPTIONAL};

/// The longest text that is parsed, in bytes. Longer ones are data or generated code.
const MAX_BYTES: usize = 1 << 20;

/// Progress calls the parser may make for each byte, after `BASE_STEPS`. Real code takes far less than one; a text that
/// takes more makes the parser follow many readings at once. Counted, not timed, so that the outcome is always the same.
const STEPS_PER_BYTE: usize = 1;

/// Progress calls any text may make.
const BASE_STEPS: usize = 1_000;

/// The largest share of bytes in error that is still clean: a macro or a new keyword the grammar does not know, but not a
/// text in another language.
const MAX_ERROR_SHARE: f32 = 0.01;

/// Parses `source` by the row of its language, or says why it can't be cut.
pub(super) fn parse_clean(source: &str, grammar: &Grammar) -> Result<Tree, SyntaxError> {
    if source.trim().is_empty() {
        return Err(SyntaxError::Empty);
    }
    if source.len() > MAX_BYTES {
        return Err(SyntaxError::TooLarge { bytes: source.len(), limit: MAX_BYTES });
    }
    let tree = parse(source, grammar).ok_or(SyntaxError::TooHard)?;
    let errors = Errors::of(&tree, grammar);
    let error_share = errors.bytes as f32 / source.len() as f32;
    if errors.fatal || error_share > MAX_ERROR_SHARE {
        return Err(SyntaxError::NotClean { error_share, line: errors.first_row.unwrap_or(0) + 1 });
    }
    Ok(tree)
}

fn parse(source: &str, grammar: &Grammar) -> Option<Tree> {
    let language = match grammar.fragment {
        Some((marker, fragment)) if !source.contains(marker) => fragment(),
        _ => (grammar.parser)(),
    };
    let mut parser = Parser::new();
    parser.set_language(&language).expect("every grammar in the table is built for this version of tree-sitter");
    let mut steps_left = BASE_STEPS + STEPS_PER_BYTE * source.len();
    let mut count = |_: &tree_sitter::ParseState| match steps_left.checked_sub(1) {
        Some(left) => {
            steps_left = left;
            ControlFlow::Continue(())
        }
        None => ControlFlow::Break(()),
    };
    let options = ParseOptions::new().progress_callback(&mut count);
    parser.parse_with_options(&mut |byte, _| &source.as_bytes()[byte..], None, Some(options))
}

/// What a parse could not read.
#[derive(Default)]
struct Errors {
    bytes: usize,
    /// From 0.
    first_row: Option<usize>,
    /// Whether one makes the outline of the text doubtful, however small it is.
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
        self.fatal |= unclosed || (several_lines && stands_between_definitions(node, grammar));
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

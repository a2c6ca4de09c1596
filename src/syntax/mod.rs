//! Splits source texts into units (imports, type headers, functions) along their syntax trees.

mod bindings;
mod cuts;
mod grammar;
mod language;
mod layout;
mod parse;
mod splitter;
mod unit;

pub use bindings::{Import, names};
pub use language::Language;
pub use parse::{Parsed, SyntaxError};
use strum::VariantArray;
use tree_sitter::{Node, Tree};
pub use unit::{Unit, UnitKind};

use crate::base::text::Lines;

impl Language {
    /// Every language, in the order of the grammar table.
    pub const ALL: [Self; grammar::TABLE.len()] = match Self::VARIANTS.first_chunk() {
        Some(all) => *all,
        None => unreachable!(),
    };

    /// The name people write, such as `C++`.
    pub fn name(self) -> &'static str {
        grammar::row(self).name
    }

    /// The language that the info tag of a code fence names (`py`, `Rust`, `c++`), in any case.
    pub fn from_tag(tag: &str) -> Option<Self> {
        let tag = tag.trim().to_ascii_lowercase();
        grammar::TABLE.iter().find(|row| row.tags.contains(&tag.as_str())).map(|row| row.language)
    }

    /// The language of the file at `path`, by its extension or, for files such as `Rakefile`, its whole name.
    pub fn from_path(path: &str) -> Option<Self> {
        let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        let row = grammar::TABLE.iter().find(|row| {
            row.file_names.contains(&name) || extension.as_deref().is_some_and(|e| row.extensions.contains(&e))
        });
        row.map(|row| row.language)
    }

    /// The language of the interpreter that a `#!` line starts, such as `#!/usr/bin/env python3`.
    pub fn from_shebang(first_line: &str) -> Option<Self> {
        let command = first_line.strip_prefix("#!")?;
        // `env` may stand first, with its own flags and variables: `#!/usr/bin/env -S FOO=1 deno run`.
        let interpreter = command
            .split_whitespace()
            .map(|word| word.rsplit('/').next().unwrap_or(word))
            .find(|word| *word != "env" && !word.starts_with('-') && !word.contains('='))?;
        Self::from_tag(interpreter.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'))
    }

    /// The start of a comment that ends with the line: `#` or `//`.
    pub fn line_comment(self) -> &'static str {
        grammar::row(self).line_comment
    }
}

impl Parsed<'_> {
    /// Its units: in order, each line in one of them.
    pub fn units(&self) -> Vec<Unit> {
        splitter::units(self)
    }

    /// Its imports in order, also those in namespaces and conditions, but not those in functions and types. Imports that
    /// share one statement, such as Go's `import ( … )`, are one.
    pub fn imports(&self) -> Vec<Import> {
        bindings::imports(self)
    }

    /// The lines of each range in `inside`, such as the body of a function, cut into blocks at the boundaries of
    /// statements.
    ///
    /// The blocks of a range are in order and hold each of its lines once. They have 3 to 10 lines wherever a boundary
    /// allows it; a statement of at most 10 lines is never cut. Comments and blank lines go with the statement after them.
    pub fn blocks(&self, inside: &[Lines]) -> Vec<Vec<Lines>> {
        cuts::blocks(self, inside)
    }
}

/// The units of `source`, as [`Parsed::units`] gives them.
///
/// # Errors
/// Those of [`Parsed::new`].
pub fn units(source: &str, language: Language) -> Result<Vec<Unit>, SyntaxError> {
    Ok(Parsed::new(source, language)?.units())
}

/// The syntax tree of `source`, which may hold mistakes.
///
/// # Errors
/// Where the text is too long, or parsing it takes too much work.
pub fn tree(source: &str, language: Language) -> Result<Tree, SyntaxError> {
    parse::parse_bounded(source, grammar::row(language))
}

/// All nodes of a tree, each before its children, in the order of the text.
pub fn preorder(tree: &Tree) -> impl Iterator<Item = Node<'_>> {
    let mut cursor = tree.walk();
    std::iter::successors(Some(tree.root_node()), move |_| {
        let mut moved = cursor.goto_first_child() || cursor.goto_next_sibling();
        while !moved {
            if !cursor.goto_parent() {
                return None;
            }
            moved = cursor.goto_next_sibling();
        }
        Some(cursor.node())
    })
}

//! What code is made of: a source text cut into units (imports, type headers, functions) along its syntax tree.

mod blocks;
mod grammar;
mod imports;
mod outline;
mod parse;
mod units;

pub use imports::{Import, names};

use grammar::Grammar;
use tree_sitter::{Node, Tree};

use crate::base::text::Lines;

/// A programming language Lopper can cut into units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is the name of a language")]
pub enum Language {
    Python,
    TypeScript,
    Tsx,
    JavaScript,
    Rust,
    Go,
    Java,
    C,
    Cpp,
    CSharp,
    Ruby,
    Php,
    Kotlin,
    Swift,
    Scala,
    Bash,
}

impl Language {
    /// Every language, in the order of the grammar table.
    pub const ALL: [Language; 16] = [
        Self::Python,
        Self::TypeScript,
        Self::Tsx,
        Self::JavaScript,
        Self::Rust,
        Self::Go,
        Self::Java,
        Self::C,
        Self::Cpp,
        Self::CSharp,
        Self::Ruby,
        Self::Php,
        Self::Kotlin,
        Self::Swift,
        Self::Scala,
        Self::Bash,
    ];

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

    /// What starts a comment that ends with the line: `#` or `//`.
    pub fn line_comment(self) -> &'static str {
        grammar::row(self).line_comment
    }
}

/// A source text that parses cleanly.
pub struct Parsed<'s> {
    source: &'s str,
    grammar: &'static Grammar,
    tree: Tree,
}

impl<'s> Parsed<'s> {
    /// Parses `source`.
    ///
    /// # Errors
    /// Where the text is empty, too long to be parsed, or not clean code in `language`.
    pub fn new(source: &'s str, language: Language) -> Result<Self, SyntaxError> {
        let grammar = grammar::row(language);
        Ok(Self { source, grammar, tree: parse::parse_clean(source, grammar)? })
    }

    /// Its units: in order, each line in one of them.
    pub fn units(&self) -> Vec<Unit> {
        units::units(self)
    }

    /// Its imports in order, also those in namespaces and conditions, but not those in functions and types. Imports that
    /// share one statement, such as Go's `import ( … )`, are one.
    pub fn imports(&self) -> Vec<Import> {
        imports::imports(self)
    }

    /// The lines of each range in `inside`, such as the body of a function, cut into blocks at the boundaries of
    /// statements.
    ///
    /// The blocks of a range are in order and hold each of its lines once. They have 3 to 10 lines wherever a boundary
    /// allows it; a statement of at most 10 lines is never cut. Comments and blank lines go with the statement after them.
    pub fn blocks(&self, inside: &[Lines]) -> Vec<Vec<Lines>> {
        blocks::blocks(self, inside)
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

/// What role a unit plays in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnitKind {
    /// License, imports, constants and simple declarations.
    Preamble,
    /// The head of a class, trait, namespace and the like, fields included, up to its first member; or a whole type that has
    /// no member with a body.
    TypeHeader,
    /// A function outside a type.
    Function,
    /// A function that belongs to a type.
    Method,
    /// A run of other statements, or of fields between the members of a type.
    Statement,
    /// The lines that close the body of a type.
    Closer,
}

/// A run of whole lines that is kept, shortened or dropped as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// What it is.
    pub kind: UnitKind,
    /// The identifier it defines; none for preambles, statements, closers and what has no name.
    pub name: Option<String>,
    /// Its lines; blank lines and comments before it belong to it.
    pub lines: Lines,
    /// A prefix of `lines`: doc comment, attributes and signature, up to and including the line that opens the body; in
    /// Python the docstring too. Empty for preambles, statements and closers.
    pub signature: Lines,
    /// The part of `signature` without doc comments, attributes and docstring.
    pub head: Lines,
    /// What `signature` has beside attributes and `head`: comments and blank lines above, and the docstring. Either may be
    /// empty.
    pub doc: [Lines; 2],
    /// A suffix of `lines` that does not overlap `signature`: the lines that close the body, such as `}` or `end`. Empty
    /// where the language has none; all lines of a closer.
    pub tail: Lines,
    /// Index of the type header it stands in.
    pub parent: Option<usize>,
}

impl Unit {
    /// Its lines without those of its doc comment.
    pub fn code(&self) -> [Lines; 2] {
        let [above, docstring] = self.doc;
        [Lines::new(above.end, docstring.start), Lines::new(docstring.end, self.lines.end)]
    }

    /// Whether it is a function, in a type or outside.
    pub fn is_function(&self) -> bool {
        matches!(self.kind, UnitKind::Function | UnitKind::Method)
    }
}

/// Why a text was not cut into units. It is then left as it is.
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

//! Units: the runs of lines that a source text is split into.

use crate::base::text::Lines;

/// The role of a unit in its file.
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
    /// Its role.
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
    /// The rest of `signature` but for attributes: comments and blank lines above, and the docstring. Either may be empty.
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

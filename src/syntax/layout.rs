//! Turns the nested parts of a file into a list of units; parts that share a line become one.

use super::unit::{Unit, UnitKind};
use crate::base::text::Lines;

/// Rows of one unit without the blank lines before it. Row ends are exclusive.
pub(super) struct Leaf {
    pub kind: UnitKind,
    pub name: Option<String>,
    pub start: usize,
    /// The row of the first attribute or, where there is none, of the definition: above is its doc comment.
    pub attributes: usize,
    /// The rows of the signature alone, without doc comments, attributes and docstrings.
    pub head: Lines,
    pub signature_end: usize,
    pub tail_start: usize,
    pub end: usize,
}

impl Leaf {
    /// A run of statements or declarations, without a signature.
    pub(super) fn run(kind: UnitKind, start: usize, end: usize) -> Self {
        let head = Lines::new(start, start);
        Self { kind, name: None, start, attributes: start, head, signature_end: start, tail_start: end, end }
    }
}

/// A part of a file or of a type's body.
pub(super) enum Piece {
    Leaf(Leaf),
    Container { header: Leaf, members: Vec<Piece>, closer: Option<Leaf>, end: usize },
}

impl Piece {
    pub(super) fn start(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.start,
            Self::Container { header, .. } => header.start,
        }
    }

    pub(super) fn end(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.end,
            Self::Container { end, .. } => *end,
        }
    }

    pub(super) fn is_run(&self) -> bool {
        matches!(self, Self::Leaf(Leaf { kind: UnitKind::Preamble | UnitKind::Statement, .. }))
    }

    /// The piece as one unit, lengthened to `end`.
    pub(super) fn into_leaf(self, end: usize) -> Leaf {
        let leaf = match self {
            Self::Leaf(leaf) => leaf,
            Self::Container { mut header, closer, .. } => {
                header.tail_start = closer.map_or(end, |closer| closer.start).max(header.signature_end);
                header
            }
        };
        let tail_start = if leaf.tail_start == leaf.end { end } else { leaf.tail_start };
        Leaf { end, tail_start, ..leaf }
    }
}

/// Adds `piece`; joins it to the last one where both are one run or share a line.
pub(super) fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    let Some(last) = pieces.pop() else { return pieces.push(piece) };
    let same_run = match (&last, &piece) {
        (Piece::Leaf(last), Piece::Leaf(next)) => last.kind == next.kind,
        _ => false,
    } && piece.is_run();
    if piece.start() >= last.end() && !same_run {
        pieces.push(last);
        pieces.push(piece);
        return;
    }
    let end = last.end().max(piece.end());
    let start = last.start();
    // Statements before a definition on the same line belong to the definition.
    let mut joined = if last.is_run() && !piece.is_run() { piece.into_leaf(end) } else { last.into_leaf(end) };
    joined.start = start;
    if joined.kind == UnitKind::Preamble || joined.kind == UnitKind::Statement {
        joined.signature_end = start;
        joined.head = Lines::new(start, start);
        joined.attributes = start;
        joined.tail_start = end;
    }
    pieces.push(Piece::Leaf(joined));
}

/// The units found so far, with the parent of each.
pub(super) struct Layout {
    leaves: Vec<(Leaf, Option<usize>)>,
    line_count: usize,
}

impl Layout {
    /// For a text with so many lines.
    pub(super) fn new(line_count: usize) -> Self {
        Self { leaves: Vec::new(), line_count }
    }

    /// Adds `piece` and its members.
    pub(super) fn add(&mut self, piece: Piece, parent: Option<usize>) {
        match piece {
            Piece::Leaf(leaf) => {
                self.add_leaf(leaf, parent);
            }
            Piece::Container { header, members, closer, .. } => {
                let header = self.add_leaf(header, parent);
                for member in members {
                    self.add(member, Some(header));
                }
                if let Some(closer) = closer {
                    self.add_leaf(closer, Some(header));
                }
            }
        }
    }

    /// Adds `leaf` and says at which index. Two headers, or two closers, that share a line become one.
    fn add_leaf(&mut self, leaf: Leaf, parent: Option<usize>) -> usize {
        // A token that the parser found missing at the end of a broken text has no line.
        if leaf.start >= self.line_count && !self.leaves.is_empty() {
            return self.leaves.len() - 1;
        }
        if let Some((last, last_parent)) = self.leaves.last_mut()
            && leaf.start < last.end
        {
            if leaf.kind == UnitKind::Closer {
                // It closes the outer one too, so it stands where the outer one does.
                *last_parent = parent;
            } else {
                last.signature_end = leaf.signature_end.max(last.signature_end);
                last.head.end = last.head.end.max(leaf.head.end);
            }
            last.end = last.end.max(leaf.end);
            last.tail_start = if leaf.kind == UnitKind::Closer { last.start } else { last.end };
        } else {
            self.leaves.push((leaf, parent));
        }
        self.leaves.len() - 1
    }

    /// Gives the blank lines before each unit to it, and those at the end to the last.
    pub(super) fn into_units(self) -> Vec<Unit> {
        let (count, line_count) = (self.leaves.len(), self.line_count);
        let mut start = 0;
        let unit = |(i, (leaf, parent)): (usize, (Leaf, Option<usize>))| {
            let end = if i + 1 == count { line_count } else { leaf.end };
            let has_signature = !matches!(leaf.kind, UnitKind::Preamble | UnitKind::Statement | UnitKind::Closer);
            let signature_end = if has_signature { leaf.signature_end.clamp(start, end) } else { start };
            let tail_start = match leaf.kind {
                UnitKind::Closer => start,
                _ if leaf.tail_start >= leaf.end => end,
                _ => leaf.tail_start.clamp(signature_end, end),
            };
            let row = |row: usize| row.clamp(start, signature_end);
            let head = Lines::new(row(leaf.head.start), row(leaf.head.end));
            let unit = Unit {
                kind: leaf.kind,
                name: leaf.name,
                lines: Lines::new(start, end),
                head,
                doc: [Lines::new(start, row(leaf.attributes).min(head.start)), Lines::new(head.end, signature_end)],
                signature: Lines::new(start, signature_end),
                tail: Lines::new(tail_start, end),
                parent,
            };
            start = end;
            unit
        };
        self.leaves.into_iter().enumerate().map(unit).collect()
    }
}

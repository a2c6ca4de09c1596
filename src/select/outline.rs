//! A source text cut into units, with the tokens of each.

use super::kept::{KeepReason, KeptLines};
use crate::base::text::{LineIndex, Lines, Tokens};
use crate::base::tokens::Counter;
use crate::score::Passage;
use crate::syntax::{Unit, UnitKind};

/// A source text cut into units, with the tokens of each.
pub struct Outline<'a> {
    /// All of it.
    pub source: &'a str,
    index: LineIndex,
    /// The units, in order.
    pub units: Vec<Unit>,
    /// Tokens of each unit in the upstream's vocabulary; 0 for those that are never scored.
    pub weights: Vec<Tokens>,
}

impl<'a> Outline<'a> {
    /// Counts the tokens of `units`, those of `source`.
    pub fn new(source: &'a str, units: Vec<Unit>, counter: &Counter) -> Self {
        let index = LineIndex::new(source);
        let weigh = |unit: &Unit| match unit.kind {
            // The end of a type stays or goes with its head.
            UnitKind::Closer => Tokens(0),
            _ => counter.count(&source[index.span(unit.lines).range()]),
        };
        let weights = units.iter().map(weigh).collect();
        Self { source, index, units, weights }
    }

    /// The text of `lines`.
    pub fn text(&self, lines: Lines) -> &'a str {
        &self.source[self.index.span(lines).range()]
    }

    /// The numbers of the units that are scored.
    pub fn scored(&self) -> Vec<usize> {
        (0..self.units.len()).filter(|&i| self.weights[i].0 > 0).collect()
    }

    /// Unit `i` without its doc comment.
    pub fn code(&self, i: usize) -> String {
        self.units[i].code().map(|part| self.text(part)).concat()
    }

    /// Unit `i` as it is scored; `code` is its text without its doc comment.
    pub fn passage<'p>(&'p self, i: usize, code: &'p str) -> Passage<'p> {
        let unit = &self.units[i];
        Passage {
            text: self.text(unit.lines),
            code,
            docs: unit.doc.map(|part| self.text(part)),
            name: unit.name.as_deref().unwrap_or_default(),
            is_function: unit.is_function(),
        }
    }

    /// Lines of the source.
    pub fn line_count(&self) -> usize {
        self.index.count()
    }

    /// Keeps the head and the last lines of every type around a kept line, so that it is clear where that line belongs.
    pub fn keep_frames(&self, kept: &mut KeptLines) {
        // Children come after their parents, so going backwards a nested type's frame keeps its own parent's.
        for i in (0..self.units.len()).rev() {
            let unit = &self.units[i];
            let Some(parent) = unit.parent else { continue };
            if unit.kind != UnitKind::Closer && kept.any(unit.lines) {
                kept.keep(self.units[parent].head, KeepReason::Frame);
            }
        }
        for unit in &self.units {
            if let (UnitKind::Closer, Some(parent)) = (unit.kind, unit.parent)
                && kept.any(self.units[parent].lines)
            {
                kept.keep(unit.lines, KeepReason::Frame);
            }
        }
    }
}

/// A unit that may be cut inside.
pub struct Body<'a> {
    /// The whole unit.
    pub unit: &'a Unit,
    /// The lines between the signature and the closing lines.
    pub inside: Lines,
}

impl<'a> Body<'a> {
    /// Finds the inside of `unit`.
    pub fn new(unit: &'a Unit) -> Self {
        let end = if unit.tail.is_empty() { unit.lines.end } else { unit.tail.start };
        // A unit without a body of its own, such as a run of statements, is all inside.
        let start = unit.signature.end.clamp(unit.lines.start, end);
        let start = if start == end { unit.lines.start } else { start };
        Self { unit, inside: Lines::new(start, end) }
    }

    /// The lines before and after.
    pub fn frame(&self) -> [Lines; 2] {
        [Lines::new(self.unit.lines.start, self.inside.start), Lines::new(self.inside.end, self.unit.lines.end)]
    }
}

/// Whether a unit defines something that can be asked for.
pub fn is_definition(unit: &Unit) -> bool {
    unit.is_function() || unit.kind == UnitKind::TypeHeader
}

/// Whether `names` has the unit's name.
pub fn is_named(unit: &Unit, names: &[String]) -> bool {
    is_definition(unit) && unit.name.as_ref().is_some_and(|name| names.contains(name))
}

//! Keeps the imports that kept code uses, as far as they cost little, and the heads of its types.

use std::collections::HashSet;

use super::kept::{KeepReason, KeptLines};
use super::outline::Outline;
use super::scored::{Choice, SHARED_MARKER};
use crate::base::text::{Lines, Tokens};
use crate::base::tokens::Counter;
use crate::syntax::{self, Import, Parsed};

/// Imports take at most this share of the budget.
const SHARE: f32 = 0.03;

/// The imports that bind names, each with its tokens, those of a marker before it included.
pub fn weigh_imports(parsed: &Parsed, outline: &Outline, counter: &Counter) -> Vec<(Import, Tokens)> {
    let imports = parsed.imports().into_iter().filter(|import| !import.names.is_empty());
    let weighed = |import: Import| {
        let weight = counter.count(outline.text(import.lines)) + SHARED_MARKER;
        (import, weight)
    };
    imports.map(weighed).collect()
}

impl Choice<'_> {
    /// Keeps the heads and ends of the types around all kept lines, and the imports that these use.
    pub(super) fn keep_surroundings(&self, kept: &mut KeptLines) {
        self.code.outline.keep_frames(kept);
        self.keep_imports(kept);
    }

    /// Keeps the imports of names that the kept lines use, in order, each that still fits their share.
    fn keep_imports(&self, kept: &mut KeptLines) {
        let line = |line: usize| self.code.outline.text(Lines::new(line, line + 1));
        let kept_lines = (0..self.code.outline.line_count()).filter(|&at| kept.reason(at).is_some()).map(line);
        let names: HashSet<&str> = kept_lines.flat_map(syntax::names).collect();
        let mut room = Tokens((self.budget.0 as f32 * SHARE) as usize);
        for (import, weight) in &self.code.imports {
            if *weight <= room && import.names.iter().any(|name| names.contains(name.as_str())) {
                room = Tokens(room.0 - weight.0);
                kept.keep(import.lines, KeepReason::Import);
            }
        }
    }
}

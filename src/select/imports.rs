//! The imports that kept code uses stay with it, as far as they cost little.

use std::collections::HashSet;

use super::gaps::{Stays, mark};
use super::outline::Outline;
use super::reason::Why;
use super::{Choice, SHARED_MARKER};
use crate::base::text::{Lines, Tokens};
use crate::base::tokens::Counter;
use crate::syntax::{self, Import, Parsed};

/// Imports take at most this share of the budget.
const SHARE: f32 = 0.03;

/// The imports that bind names, each with its tokens, a marker before it included.
pub fn weighed_imports(parsed: &Parsed, outline: &Outline, counter: &Counter) -> Vec<(Import, Tokens)> {
    let imports = parsed.imports().into_iter().filter(|import| !import.names.is_empty());
    let weighed = |import: Import| {
        let weight = counter.count(outline.text(import.lines)) + SHARED_MARKER;
        (import, weight)
    };
    imports.map(weighed).collect()
}

impl Choice<'_> {
    /// Keeps the imports of names that stand in the lines that stay, in order, each that still fits their share.
    pub(super) fn keep_imports(&self, stays: &mut Stays) {
        let line = |line: usize| self.code.outline.text(Lines::new(line, line + 1));
        let kept = (0..stays.len()).filter(|&at| stays[at].is_some()).map(line);
        let names: HashSet<&str> = kept.flat_map(syntax::names).collect();
        let mut room = Tokens((self.budget.0 as f32 * SHARE) as usize);
        for (import, weight) in &self.code.imports {
            if *weight <= room && import.names.iter().any(|name| names.contains(name.as_str())) {
                room = Tokens(room.0 - weight.0);
                mark(stays, import.lines, Why::Import);
            }
        }
    }
}

//! The imports that kept code uses stay with it, as far as they cost little.

use std::collections::HashSet;

use super::Choice;
use super::gaps::mark;
use super::whole::SHARED_MARKER;
use crate::text::{Lines, Tokens};

/// Imports take at most this share of the budget.
const SHARE: f32 = 0.03;

impl Choice<'_> {
    /// Keeps the imports of names that stand in the lines that stay, in order, each that still fits their share.
    pub(super) fn keep_imports(&self, stays: &mut [bool]) {
        let line = |line: usize| self.outline.text(Lines::new(line, line + 1));
        let kept = (0..stays.len()).filter(|&at| stays[at]).map(line);
        let words: HashSet<&str> = kept.flat_map(|text| text.split(|c: char| !is_part_of_name(c))).collect();
        let mut room = (self.budget.0 as f32 * SHARE) as usize;
        for import in &self.imports {
            if !import.names.iter().any(|name| words.contains(name.as_str())) {
                continue;
            }
            let Tokens(cost) = self.counter.count(self.outline.text(import.lines)) + SHARED_MARKER;
            if cost <= room {
                room -= cost;
                mark(stays, import.lines);
            }
        }
    }
}

fn is_part_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

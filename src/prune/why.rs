//! Why a line stays, and what that comes to for the unit it is in.

use serde::{Deserialize, Serialize};

use crate::score;
use crate::syntax::{Unit, UnitKind};
use crate::text::{LineIndex, Lines, Tokens};

use super::{Budget, JudgedCode};

/// Why a line stays. Of several reasons the first that was found counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The question names its unit.
    Named,
    /// It stands between `lopper:keep` and `lopper:end`.
    Marked,
    /// The caller needs it: it is near the cursor.
    Pinned,
    /// The budget is best spent on it.
    Chosen,
    /// No unit fits the budget, and it is in the best.
    Best,
    /// It opens or closes a type of which something stays.
    Frame,
    /// It is an import of a name that stands in lines that stay.
    Import,
    /// It would be no cheaper to leave it out.
    Cheap,
}

/// How much of a unit stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extent {
    /// All of it, but for blank lines.
    Whole,
    /// All but its doc comment.
    #[serde(rename = "without doc comment")]
    Bare,
    /// What says how it is used or, of a type, how it opens.
    Signature,
    /// Some lines.
    #[serde(rename = "in part")]
    Part,
    /// Nothing.
    Dropped,
}

impl Extent {
    /// As it is written in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Bare => "without doc comment",
            Self::Signature => "signature",
            Self::Part => "in part",
            Self::Dropped => "dropped",
        }
    }
}

/// A unit as it was judged.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedUnit {
    /// What it is.
    pub unit: Unit,
    /// Tokens of it in the upstream's vocabulary; 0 for what closes a type, which is never judged.
    pub tokens: Tokens,
    /// Its worth and place; `None` where it is never judged.
    pub standing: Option<Standing>,
}

/// Where a unit stands among the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// By the method's own measure.
    pub worth: score::Worth,
    /// How likely it is the one that is needed, 0 to 1; those of all units come to 1.
    pub likelihood: f32,
    /// Its place by worth, from 1; of equal ones the first in the text is first.
    pub rank: usize,
}

impl JudgedCode<'_> {
    /// The units, in order; each line is in one of them.
    pub fn units(&self) -> Vec<JudgedUnit> {
        let outline = &self.outline;
        let likelihoods = self.likelihoods(1.0);
        let mut standings: Vec<Option<Standing>> = vec![None; outline.units.len()];
        for &(i, likelihood) in &likelihoods {
            standings[i] = Some(Standing { worth: self.worths[i], likelihood, rank: 0 });
        }
        let mut order: Vec<usize> = likelihoods.into_iter().map(|(i, _)| i).collect();
        order.sort_by(|&a, &b| self.worths[b].0.total_cmp(&self.worths[a].0).then(a.cmp(&b)));
        for (place, i) in order.into_iter().enumerate() {
            standings[i].iter_mut().for_each(|standing| standing.rank = place + 1);
        }
        (outline.units.iter().zip(&outline.weights).zip(standings))
            .map(|((unit, &tokens), standing)| JudgedUnit { unit: unit.clone(), tokens, standing })
            .collect()
    }
}

impl Why {
    /// The reason for a person, of a line in a unit of this kind when `budget` was the target.
    fn reason(self, kind: UnitKind, budget: Budget) -> &'static str {
        match self {
            Self::Named => "named in the question",
            Self::Marked => "lopper:keep",
            Self::Pinned => "near the cursor",
            Self::Chosen => match budget {
                Budget::Coverage(_) => "among the likeliest",
                Budget::Ratio(_) | Budget::Tokens(_) => "worth its tokens",
            },
            Self::Best => "the best, though it is over the budget",
            Self::Frame if kind == UnitKind::Closer => "end of a kept type",
            Self::Frame => "head of a kept type",
            Self::Import => "import that kept code uses",
            Self::Cheap => "no dearer than its marker",
        }
    }
}

/// What became of a unit, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// How much of it stays.
    pub extent: Extent,
    /// Why that much, for a person.
    pub reason: &'static str,
}

/// What is known of each line of a piece of code once it is chosen from.
#[derive(Debug, Clone, Copy)]
pub struct Fates<'a> {
    /// The code.
    pub source: &'a str,
    /// Where its lines are.
    pub index: &'a LineIndex,
    /// Whether a line stays in the end.
    pub stays: &'a [bool],
    /// Why it was chosen, where it was.
    pub why: &'a [Option<Why>],
    /// The target of the choice.
    pub budget: Budget,
    /// Why lines stay that were not chosen; `None`: they are no dearer than their marker.
    pub otherwise: Option<&'static str>,
}

impl Fates<'_> {
    /// What became of `unit`. What becomes of a blank line matters to nobody.
    pub fn of(&self, unit: &Unit) -> Fate {
        let lines: Vec<usize> = (unit.lines.start..unit.lines.end).filter(|&line| !self.is_blank(line)).collect();
        let stays = |line: &usize| self.stays[*line];
        let is_in = |parts: &[Lines], line: &usize| parts.iter().any(|part| part.contains(*line));
        let extent = if lines.iter().all(stays) {
            Extent::Whole
        } else if !lines.iter().any(stays) {
            Extent::Dropped
        } else if lines.iter().all(|line| stays(line) != is_in(&unit.doc, line)) {
            Extent::Bare
        } else if lines.iter().filter(|line| stays(line)).all(|line| is_in(&[unit.signature, unit.tail], line)) {
            Extent::Signature
        } else {
            Extent::Part
        };
        let chosen = lines.iter().filter(|line| stays(line)).filter_map(|&line| self.why[line]).min();
        let reason = match (extent, chosen) {
            (Extent::Dropped, _) => match self.budget {
                Budget::Coverage(_) => "likely enough without it",
                Budget::Ratio(_) | Budget::Tokens(_) => "budget",
            },
            (_, Some(why)) => why.reason(unit.kind, self.budget),
            (_, None) => self.otherwise.unwrap_or(Why::Cheap.reason(unit.kind, self.budget)),
        };
        Fate { extent, reason }
    }

    fn is_blank(&self, line: usize) -> bool {
        self.source[self.index.span(Lines::new(line, line + 1)).range()].trim().is_empty()
    }
}

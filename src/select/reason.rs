//! Why a line stays, and what that comes to for the unit it is in.

use serde::{Deserialize, Serialize};

use crate::base::text::{LineIndex, Lines, Tokens};
use crate::score;
use crate::syntax::{Unit, UnitKind};

use super::{Budget, JudgedCode};

/// Why a line stays. Of several reasons for a line the first that was found counts; for a unit, the first in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The question names its unit.
    Named,
    /// It stands between `lopper:keep` and `lopper:end`.
    Marked,
    /// The caller needs it: it is near the cursor.
    Pinned,
    /// No unit fits the budget, and it is in the best.
    Best,
    /// The budget is best spent on it.
    Chosen,
    /// It opens or closes a type of which something stays.
    Frame,
    /// It is an import of a name that stands in lines that stay.
    Import,
    /// It would be no cheaper to leave it out.
    Cheap,
}

/// How much of a unit stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extent {
    /// All of it, but for blank lines.
    #[default]
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
            Self::Best => "best, though over the budget",
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

    use super::super::{Chosen, Code, Judge, Target, judge};
    use super::*;
    use crate::base::limits::Limits;
    use crate::base::timing::Stages;
    use crate::base::tokens::Counter;
    use crate::score::lexical::Lexical;
    use crate::syntax::Language;

    /// By unit its name, and what became of it, when the share `ratio` is to stay.
    fn fates(source: &str, names: &[&str], ratio: f32) -> Vec<(String, &'static str, &'static str)> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let question = "Where is an invoice paid by a customer?";
        let code = Code { source, language: Language::Python, question, names: &names, pinned: &[] };
        let by = Judge { engine: None, score: &Lexical, best_first: false, counter: Counter::for_model(None) };
        let (limits, stages, budget) = (Limits::default(), Stages::default(), Budget::Ratio(ratio));
        let judged = judge(by, &code, &limits, &stages).unwrap();
        let Chosen { keep, why } = judged.choose(Target { budget, fine: false }, &limits, &stages).unwrap();
        let index = LineIndex::new(source);
        let stays: Vec<bool> = (0..index.count()).map(|line| keep.iter().any(|kept| kept.contains(line))).collect();
        let fates = Fates { source, index: &index, stays: &stays, why: &why, budget, otherwise: None };
        let told = |judged: JudgedUnit| {
            let Fate { extent, reason } = fates.of(&judged.unit);
            (judged.unit.name.unwrap_or_default(), extent.name(), reason)
        };
        judged.units().into_iter().map(told).collect()
    }

    #[test]
    fn every_reason_is_the_choosers() {
        let filler =
            |name: &str| (0..12).map(|i| format!("        {name}_{i} = load({i}) + {i}\n")).collect::<String>();
        let source = format!(
            "import decimal\n{}\n\nclass Till:\n    \"\"\"Takes money.\"\"\"\n\n    def pay(self, invoice):\n        \
             invoice.paid = decimal.Decimal(invoice.customer)\n        return invoice\n\n    def count(self):\n{}\n    \
             def close(self):\n{}\n    # lopper:keep\n    def lock(self):\n{}    # lopper:end\n",
            (0..40).map(|i| format!("CONSTANT_{i} = {i} * 1000 + {i}\n")).collect::<String>(),
            filler("counted"),
            filler("closed").repeat(4),
            filler("locked"),
        );
        let told = fates(&source, &["count"], 0.4);
        let fate = |name: &str| {
            let (_, extent, reason) = told.iter().find(|(unit, ..)| unit == name).unwrap();
            (*extent, *reason)
        };
        assert_eq!(fate(""), ("in part", "import that kept code uses"), "{told:?}");
        assert_eq!(fate("pay"), ("whole", "worth its tokens"));
        assert_eq!(fate("count"), ("whole", "named in the question"));
        assert_ne!(fate("close").0, "whole");
        assert_eq!(fate("lock"), ("whole", "lopper:keep"));
        assert!(fate("Till").1 == "head of a kept type" || fate("Till").1 == "worth its tokens", "{told:?}");
    }

    #[test]
    fn the_best_stays_where_nothing_fits() {
        let body = "    invoice = pay(customer)\n    total = invoice + 1000 * customer\n".repeat(12);
        let source = format!("def paid():\n{body}\n\ndef other():\n{}", body.replace("invoice", "thing"));
        let told = fates(&source, &[], 0.05);
        assert_eq!(told[0], ("paid".to_owned(), "whole", "best, though over the budget"));
        assert_ne!(told[1].1, "whole");
    }
}

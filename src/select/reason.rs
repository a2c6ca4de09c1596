//! Says what became of each unit, and why.

use serde::{Deserialize, Serialize};

use super::code::Budget;
use super::kept::{KeepReason, KeptLines};
use crate::base::text::{LineIndex, Lines};
use crate::syntax::{Unit, UnitKind};

/// How much of a unit is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum UnitOutcome {
    /// All of it, but for blank lines.
    #[default]
    Whole,
    /// All but its doc comment.
    #[serde(rename = "without doc comment")]
    #[strum(to_string = "without doc comment")]
    WithoutDoc,
    /// The lines that say how it is used or, of a type, how it opens.
    Signature,
    /// Some lines.
    #[serde(rename = "in part")]
    #[strum(to_string = "in part")]
    Part,
    /// Nothing.
    Dropped,
}

/// The lines of a piece of code after the choice, to tell what became of its units.
#[derive(Debug, Clone, Copy)]
pub struct Outcomes<'a> {
    /// The code.
    pub source: &'a str,
    /// Its lines.
    pub index: &'a LineIndex,
    /// By line, whether it is kept in the end.
    pub kept: &'a [bool],
    /// By line, why it was chosen, where it was.
    pub reasons: &'a KeptLines,
    /// The target of the choice.
    pub budget: Budget,
    /// Why lines are kept that were not chosen; `None`: they are no dearer than their marker.
    pub otherwise: Option<&'static str>,
}

impl Outcomes<'_> {
    /// What became of `unit` but for its blank lines, and why, for a person.
    pub fn of(&self, unit: &Unit) -> (UnitOutcome, &'static str) {
        let (kept, lost): (Vec<usize>, Vec<usize>) =
            (unit.lines.start..unit.lines.end).filter(|&line| !self.is_blank(line)).partition(|&line| self.kept[line]);
        let are_in = |lines: &[usize], parts: &[Lines]| {
            lines.iter().filter(|line| parts.iter().any(|part| part.contains(**line))).count()
        };
        let outcome = if lost.is_empty() {
            UnitOutcome::Whole
        } else if kept.is_empty() {
            UnitOutcome::Dropped
        } else if are_in(&lost, &unit.doc) == lost.len() && are_in(&kept, &unit.doc) == 0 {
            UnitOutcome::WithoutDoc
        } else if are_in(&kept, &[unit.signature, unit.tail]) == kept.len() {
            UnitOutcome::Signature
        } else {
            UnitOutcome::Part
        };
        let reason = match kept.iter().filter_map(|&line| self.reasons.reason(line)).min() {
            _ if outcome == UnitOutcome::Dropped => match self.budget {
                Budget::Coverage(_) => "likely enough without it",
                Budget::Ratio(_) | Budget::Tokens(_) => "budget",
            },
            Some(reason) => describe(reason, unit.kind, self.budget),
            None => self.otherwise.unwrap_or(describe(KeepReason::Cheap, unit.kind, self.budget)),
        };
        (outcome, reason)
    }

    fn is_blank(&self, line: usize) -> bool {
        self.source[self.index.span(Lines::new(line, line + 1)).range()].trim().is_empty()
    }
}

/// Why a line is kept, for a person: a line in a unit of this kind when `budget` was the target.
fn describe(reason: KeepReason, kind: UnitKind, budget: Budget) -> &'static str {
    match reason {
        KeepReason::Named => "named in the question",
        KeepReason::Marked => "lopper:keep",
        KeepReason::Pinned => "near the cursor",
        KeepReason::Chosen if matches!(budget, Budget::Coverage(_)) => "among the likeliest",
        KeepReason::Chosen => "worth its tokens",
        KeepReason::Best => "best, though over the budget",
        KeepReason::Frame if kind == UnitKind::Closer => "end of a kept type",
        KeepReason::Frame => "head of a kept type",
        KeepReason::Import => "import that kept code uses",
        KeepReason::Cheap => "no dearer than its marker",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

    use super::super::{Code, Ranker, Selection, Target, score_units};
    use super::*;
    use crate::base::limits::Limits;
    use crate::base::timing::Stages;
    use crate::base::tokens::Counter;
    use crate::score::lexical::Lexical;
    use crate::syntax::Language;

    /// By unit its name, and what became of it, when the share `ratio` is to stay.
    fn outcomes(source: &str, names: &[&str], ratio: f32) -> Vec<(String, String, &'static str)> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let question = "Where is an invoice paid by a customer?";
        let code = Code { source, language: Language::Python, question, names: &names, pinned: &[] };
        let ranker = Ranker { engine: None, scorer: &Lexical, counter: Counter::for_model(None) };
        let (limits, stages, budget) = (Limits::default(), Stages::default(), Budget::Ratio(ratio));
        let scored = score_units(ranker, &code, &limits, &stages).unwrap();
        let Selection { keep, reasons } = scored.choose(Target { budget, fine: false }, &limits, &stages).unwrap();
        let index = LineIndex::new(source);
        let kept: Vec<bool> = (0..index.count()).map(|line| keep.iter().any(|kept| kept.contains(line))).collect();
        let outcomes = Outcomes { source, index: &index, kept: &kept, reasons: &reasons, budget, otherwise: None };
        let outcome = |unit: Unit| {
            let (outcome, reason) = outcomes.of(&unit);
            (unit.name.unwrap_or_default(), outcome.to_string(), reason)
        };
        scored.units().into_iter().map(|ranked| outcome(ranked.unit)).collect()
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
        let outcomes = outcomes(&source, &["count"], 0.4);
        let outcome = |name: &str| {
            let (_, outcome, reason) = outcomes.iter().find(|(unit, ..)| unit == name).unwrap();
            (outcome.as_str(), *reason)
        };
        assert_eq!(outcome(""), ("in part", "import that kept code uses"), "{outcomes:?}");
        assert_eq!(outcome("pay"), ("whole", "worth its tokens"));
        assert_eq!(outcome("count"), ("whole", "named in the question"));
        assert_ne!(outcome("close").0, "whole");
        assert_eq!(outcome("lock"), ("whole", "lopper:keep"));
        assert!(outcome("Till").1 == "head of a kept type" || outcome("Till").1 == "worth its tokens", "{outcomes:?}");
    }

    #[test]
    fn the_best_stays_where_nothing_fits() {
        let body = "    invoice = pay(customer)\n    total = invoice + 1000 * customer\n".repeat(12);
        let source = format!("def paid():\n{body}\n\ndef other():\n{}", body.replace("invoice", "thing"));
        let outcomes = outcomes(&source, &[], 0.05);
        assert_eq!(outcomes[0], ("paid".to_owned(), "whole".to_owned(), "best, though over the budget"));
        assert_ne!(outcomes[1].1, "whole");
    }
}

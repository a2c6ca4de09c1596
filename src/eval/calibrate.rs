//! From cases to a calibration: how much of the likelihood has to be kept, and what comes of it on other cases.

use super::cases::Case;
use super::{Contender, stats};
use crate::engine::{Engine, EngineError, Limits};
use crate::prune::{self, Budget, Code, Judge, PruneError, Pruned, Target};
use crate::query;
use crate::render;
use crate::score::calibration::{self, Calibration};
use crate::score::{Score, Task, Weights, Worth};
use crate::text::Lines;
use crate::tokens::Counter;

/// The recalls that are reported.
const RECALLS: [f64; 3] = [0.8, 0.9, 0.95];

/// A case whose units were judged.
pub struct Judged {
    case: Case,
    worths: Vec<Worth>,
    /// The likelihood of all units that are at least as likely as the needed one.
    mass: f32,
}

/// Judges a case; `None` where nothing can be left out of its code.
///
/// # Errors
/// When the model fails.
pub fn judge(
    engine: Option<&Engine>,
    case: &Case,
    contender: Contender,
    weights: Weights,
) -> Result<Option<Judged>, EngineError> {
    let score = contender.score(&case.id, weights);
    let Some(pruned) = prune(engine, case, &*score, Budget::Coverage(1.0))? else { return Ok(None) };
    let needed = pruned.units.iter().position(|unit| unit.lines.contains(case.needle.start_line - 1));
    let worths: Vec<Worth> = pruned.units.iter().map(|unit| unit.worth).collect();
    Ok(needed.map(|needed| Judged { case: case.clone(), mass: calibration::mass(&worths, needed), worths }))
}

/// The calibration that the cases give.
pub fn calibration(scorer: String, cases: &[Judged]) -> Calibration {
    let mut masses: Vec<f32> = cases.iter().map(|case| case.mass).collect();
    masses.sort_by(f32::total_cmp);
    Calibration { scorer, masses }
}

/// A table: for several recalls the share of cases whose needed code is kept whole, overall and by group, and how much of
/// the code is kept for that.
///
/// # Errors
/// When the model fails.
pub fn markdown(calibration: &Calibration, cases: &[Judged]) -> Result<String, EngineError> {
    let mut groups: Vec<&str> = cases.iter().map(|judged| &*judged.case.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let mut text = format!("| recall asked for | of the likelihood | kept | needle whole | {} |\n", groups.join(" | "));
    text += &format!("|---|---|---|---|{}\n", "---|".repeat(groups.len()));
    for recall in RECALLS {
        let Ok(threshold) = calibration.threshold(recall) else {
            text += &format!("| {recall} | too few cases |\n");
            continue;
        };
        let mut kept = Vec::new();
        let mut whole = Vec::new();
        for Judged { case, worths, .. } in cases {
            let known = Known(worths.clone());
            let Some(pruned) = prune(None, case, &known, Budget::Coverage(threshold))? else { continue };
            let needle = Lines::new(case.needle.start_line - 1, case.needle.end_line);
            let stays = (needle.start..needle.end).all(|line| pruned.keep.iter().any(|lines| lines.contains(line)));
            let rendered = render::render(&case.code, &pruned.keep, case.language, 1, None);
            let counter = Counter::for_model(None);
            kept.push(counter.count(&rendered).0 as f64 / counter.count(&case.code).0.max(1) as f64);
            whole.push((&*case.group, f64::from(stays)));
        }
        let of = |has: &dyn Fn(&str) -> bool| {
            let values: Vec<f64> = whole.iter().filter(|(group, _)| has(group)).map(|(_, stays)| *stays).collect();
            stats::mean(&values)
        };
        let stats::Mean { mean, low, high } = of(&|_| true);
        text += &format!(
            "| {recall} | {threshold:.3} | {:.3} | {mean:.3} [{low:.3}, {high:.3}] |",
            stats::mean(&kept).mean
        );
        groups.iter().for_each(|group| text += &format!(" {:.2} |", of(&|other| other == *group).mean));
        text.push('\n');
    }
    Ok(text)
}

fn prune(
    engine: Option<&Engine>,
    case: &Case,
    score: &dyn Score,
    budget: Budget,
) -> Result<Option<Pruned>, EngineError> {
    let names = query::names(&case.question);
    let code =
        Code { source: &case.code, language: case.language, question: &case.question, names: &names, pinned: &[] };
    let judge = Judge { engine, score, best_first: false, counter: Counter::for_model(None) };
    match prune::prune(judge, &code, Target { budget, fine: false }, &Limits::default()) {
        Ok(pruned) => Ok(Some(pruned)),
        Err(PruneError::Engine(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Worths that were found before.
struct Known(Vec<Worth>);

impl Score for Known {
    fn worths(&self, _: &Task) -> Result<Vec<Option<Worth>>, EngineError> {
        Ok(self.0.iter().copied().map(Some).collect())
    }
}

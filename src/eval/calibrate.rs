//! From cases to a calibration: how much of the likelihood has to be kept, and what comes of it on other cases.

use super::cases::Case;
use super::{Contender, Kept, prune, stats};
use crate::base::tokens::Counter;
use crate::conversation::identifiers;
use crate::engine::{Engine, EngineError};
use crate::score::calibration::{self, Calibration};
use crate::score::{Score, Task, Worth};
use crate::select::{Budget, Code, Judge, Pruned, Target};

/// The recalls that are reported.
const RECALLS: [f64; 3] = [0.8, 0.9, 0.95];

/// A case whose units were judged.
pub struct Judged {
    case: Case,
    /// The logarithms of the units' likelihoods.
    logarithms: Vec<f32>,
    /// The likelihood of all units that are at least as likely as the needed one.
    mass: f32,
}

/// Judges a case; `None` where nothing can be left out of its code.
///
/// # Errors
/// When the model fails.
pub fn judge(engine: Option<&Engine>, case: &Case, contender: Contender) -> Result<Option<Judged>, EngineError> {
    let score = contender.score(&case.id);
    let Some(pruned) = covering(engine, case, &*score, 1.0)? else { return Ok(None) };
    let needed = pruned.units.iter().position(|unit| unit.lines.contains(case.needle.start_line - 1));
    let worths: Vec<Worth> = pruned.units.iter().map(|unit| unit.worth).collect();
    let logarithms = score.log_likelihoods(&worths);
    Ok(needed.map(|needed| Judged { case: case.clone(), mass: calibration::mass(&logarithms, needed), logarithms }))
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
        for Judged { case, logarithms, .. } in cases {
            let known = Known(logarithms.clone());
            let Some(pruned) = covering(None, case, &known, threshold)? else { continue };
            let Kept { share, needle } = case.kept(&pruned.keep, Counter::for_model(None));
            kept.push(f64::from(share));
            whole.push((&*case.group, f64::from(needle == 1.0)));
        }
        let of = |has: &dyn Fn(&str) -> bool| {
            let values: Vec<f64> = whole.iter().filter(|(group, _)| has(group)).map(|(_, stays)| *stays).collect();
            stats::mean(&values)
        };
        let (kept, all) = (stats::mean(&kept).mean, of(&|_| true).shown());
        text += &format!("| {recall} | {threshold:.3} | {kept:.3} | {all} |");
        groups.iter().for_each(|group| text += &format!(" {:.2} |", of(&|other| other == *group).mean));
        text.push('\n');
    }
    Ok(text)
}

/// What stays of a case's code for this share of the likelihood.
fn covering(
    engine: Option<&Engine>,
    case: &Case,
    score: &dyn Score,
    coverage: f32,
) -> Result<Option<Pruned>, EngineError> {
    let names = identifiers::names(&case.question);
    let code =
        Code { source: &case.code, language: case.language, question: &case.question, names: &names, pinned: &[] };
    let judge = Judge { engine, score, best_first: false, counter: Counter::for_model(None) };
    let target = Target { budget: Budget::Coverage(coverage), fine: false };
    Ok(prune(judge, &code, target)?.ok())
}

/// Likelihoods that were found before, as logarithms.
struct Known(Vec<f32>);

impl Score for Known {
    fn worths(&self, _: &Task) -> Result<Vec<Option<Worth>>, EngineError> {
        Ok(self.0.iter().map(|&logarithm| Some(Worth(logarithm))).collect())
    }

    fn log_likelihoods(&self, worths: &[Worth]) -> Vec<f32> {
        worths.iter().map(|worth| worth.0).collect()
    }
}

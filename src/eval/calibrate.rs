//! Calibrates `compression.recall`: the share of the likelihood to keep, from cases, and its test on other cases.

use super::cases::Case;
use super::contender::Contender;
use super::measure::{Kept, prune};
use super::stats;
use crate::base::tokens::Counter;
use crate::conversation::identifiers;
use crate::engine::{Engine, EngineError};
use crate::score::calibration::{self, Calibration};
use crate::score::{Score, Scorer, Task};
use crate::select::{Budget, Pruned, Ranker, Target};

/// The recalls in the table.
const RECALLS: [f64; 3] = [0.8, 0.9, 0.95];

/// A case whose units were scored.
pub struct ScoredCase {
    case: Case,
    /// Log-likelihood of each unit, in nats.
    log_likelihoods: Vec<f32>,
    /// Sum of the likelihoods of the units that are at least as likely as the needed one, 0 to 1.
    mass: f32,
}

/// Scores the units of a case. None where nothing can be left out of its code.
///
/// # Errors
/// When the model fails.
pub fn score(engine: Option<&Engine>, case: &Case, contender: Contender) -> Result<Option<ScoredCase>, EngineError> {
    let scorer = contender.scorer(&case.id);
    let Some(pruned) = prune_to(engine, case, &*scorer, 1.0)? else { return Ok(None) };
    let needed = pruned.units.iter().position(|unit| unit.lines.contains(case.needle.start_line - 1));
    let scores: Vec<Score> = pruned.units.iter().map(|unit| unit.score).collect();
    let log_likelihoods = scorer.log_likelihoods(&scores);
    Ok(needed.map(|needed| ScoredCase {
        case: case.clone(),
        mass: calibration::mass(&log_likelihoods, needed),
        log_likelihoods,
    }))
}

/// The calibration from scored cases.
pub fn calibration(scorer: String, cases: &[ScoredCase]) -> Calibration {
    let mut masses: Vec<f32> = cases.iter().map(|case| case.mass).collect();
    masses.sort_by(f32::total_cmp);
    Calibration { scorer, masses }
}

/// A table by recall: the share of code kept, and the share of cases whose needed code is kept whole, in all and by group.
///
/// # Errors
/// When the model fails.
pub fn markdown(calibration: &Calibration, cases: &[ScoredCase]) -> Result<String, EngineError> {
    let mut groups: Vec<&str> = cases.iter().map(|scored| &*scored.case.group).collect();
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
        for ScoredCase { case, log_likelihoods, .. } in cases {
            let scorer = Fixed(log_likelihoods.clone());
            let Some(pruned) = prune_to(None, case, &scorer, threshold)? else { continue };
            let Kept { share, needle } = case.kept(&pruned.keep, Counter::for_model(None));
            kept.push(f64::from(share));
            whole.push((&*case.group, f64::from(needle == 1.0)));
        }
        let of = |has: &dyn Fn(&str) -> bool| {
            let values: Vec<f64> = whole.iter().filter(|(group, _)| has(group)).map(|(_, stays)| *stays).collect();
            stats::mean(&values)
        };
        let (kept, all) = (stats::mean(&kept).mean, of(&|_| true).shown(3));
        text += &format!("| {recall} | {threshold:.3} | {kept:.3} | {all} |");
        groups.iter().for_each(|group| text += &format!(" {:.2} |", of(&|other| other == *group).mean));
        text.push('\n');
    }
    Ok(text)
}

/// Prunes a case's code to this share of the likelihood, 0 to 1.
fn prune_to(
    engine: Option<&Engine>,
    case: &Case,
    score: &dyn Scorer,
    coverage: f32,
) -> Result<Option<Pruned>, EngineError> {
    let names = identifiers::names(&case.question);
    let code = case.code(&names);
    let ranker = Ranker { engine, scorer: score, counter: Counter::for_model(None) };
    let target = Target { budget: Budget::Coverage(coverage), fine: false };
    Ok(prune(ranker, &code, target)?.ok())
}

/// Log-likelihoods that are known already.
struct Fixed(Vec<f32>);

impl Scorer for Fixed {
    fn scores(&self, _: &Task) -> Result<Vec<Option<Score>>, EngineError> {
        Ok(self.0.iter().map(|&log_likelihood| Some(Score(log_likelihood))).collect())
    }

    fn log_likelihoods(&self, scores: &[Score]) -> Vec<f32> {
        scores.iter().map(|worth| worth.0).collect()
    }
}

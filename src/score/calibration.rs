//! Calibrates how much of the likelihood to keep so that the needed unit is among it as often as asked for.
//!
//! Split conformal prediction: over cases of which the needed unit is known, each case's mass is the likelihood of all
//! units that are at least as likely as that one. Where new cases are like those, the ⌈(n + 1)·recall⌉-th smallest of n
//! masses covers the needed unit with at least that probability (Vovk, Gammerman and Shafer, "Algorithmic Learning in a
//! Random World", 2005; Romano, Sesia and Candès, "Classification with Valid and Adaptive Coverage", 2020).

use serde::{Deserialize, Serialize};

use super::scorer::likelihoods;
use crate::config::Method;
use crate::engine::ModelInfo;

/// How much flatter likelihoods are made here. As they are, nearly all of the likelihood is in the first few units, and the
/// masses of most cases differ in the last digits only.
pub const FLATNESS: f32 = 3.0;

/// Measurements of one scorer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The scorer and the model it asks, as [`scorer_name`] gives them.
    pub scorer: String,
    /// The mass of each case, ascending.
    pub masses: Vec<f32>,
}

/// Why there is no threshold.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    /// This scorer was never measured.
    #[error("{0} is not calibrated; `lopper eval CASES.jsonl --calibrate` does that")]
    Unknown(String),
    /// So few cases can't promise so much.
    #[error("{cases} cases can't promise a recall of {recall}; the most is {}", *cases as f64 / (*cases as f64 + 1.0))]
    TooFew {
        /// How many there are.
        cases: usize,
        /// What was asked for.
        recall: f64,
    },
}

impl Calibration {
    /// The share of the likelihood to keep for a recall above 0 and below 1.
    ///
    /// # Errors
    /// When there are too few cases for it.
    pub fn threshold(&self, recall: f64) -> Result<f32, CalibrationError> {
        let cases = self.masses.len();
        // The product is off in its last bits: 0.95 · 20 must be 19.
        let rank = ((cases + 1) as f64 * recall - 1e-9).ceil().max(1.0) as usize;
        self.masses.get(rank - 1).copied().ok_or(CalibrationError::TooFew { cases, recall })
    }
}

/// The likelihood of all units that are at least as likely as number `needed`, from the logarithms of their likelihoods.
pub fn mass(logarithms: &[f32], needed: usize) -> f32 {
    let mut likely = likelihoods(logarithms, FLATNESS);
    let least = likely[needed];
    // Summed in the order in which units are kept, so that the sums are the same.
    likely.sort_by(|a, b| b.total_cmp(a));
    likely.into_iter().take_while(|one| *one >= least).sum()
}

/// Names what a calibration is for: nothing else scores the same.
///
/// The numbers are those that each method had as settings once (share of the words, tokens of a unit, units read whole), so
/// that calibrations made then still belong to it.
pub fn scorer_name(method: Method, model: Option<&ModelInfo>) -> String {
    let model = model.filter(|_| method != Method::Lexical);
    let model = model.map_or_else(|| "no model".into(), |info| format!("{} ({})", info.name, info.format));
    let method = match method {
        Method::Hybrid => "hybrid 0.5 64 0",
        Method::Perplexity => "perplexity 64",
        other => other.into(),
    };
    format!("{method} with {model}")
}

/// The calibrations that come with Lopper, made with `lopper eval --calibrate` from cases of five languages.
pub fn built_in() -> Vec<Calibration> {
    serde_json::from_str(include_str!("calibrations.json")).expect("the file is checked by a test")
}

/// The threshold for `recall` of the scorer of that name: from the first of `calibrations` for it, else the built-in one.
///
/// # Errors
/// When there is none, or it has too few cases.
pub fn threshold(calibrations: &[Calibration], scorer: &str, recall: f64) -> Result<f32, CalibrationError> {
    let built_in = built_in();
    let found = calibrations.iter().chain(&built_in).find(|calibration| calibration.scorer == scorer);
    found.ok_or_else(|| CalibrationError::Unknown(scorer.to_owned()))?.threshold(recall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finite_sample_counts() {
        let calibration = Calibration { scorer: "s".into(), masses: (1..=19).map(|i| i as f32 / 20.0).collect() };
        assert_eq!(calibration.threshold(0.5), Ok(0.5));
        assert_eq!(calibration.threshold(0.95), Ok(0.95));
        let error = calibration.threshold(0.96).unwrap_err().to_string();
        assert_eq!(error, "19 cases can't promise a recall of 0.96; the most is 0.95");
        let error = threshold(&[calibration], "other", 0.5).unwrap_err().to_string();
        assert!(error.starts_with("other is not calibrated"), "{error}");
    }

    #[test]
    fn the_mass_is_that_of_the_likelier_ones() {
        let scores = [1.0, 3.0, 2.0, 3.0];
        assert!((mass(&scores, 0) - 1.0).abs() < 1e-6);
        assert!(mass(&scores, 2) < 1.0 && mass(&scores, 1) < mass(&scores, 2));
        assert_eq!(mass(&scores, 1), mass(&scores, 3));
    }

    #[test]
    fn the_built_in_ones_are_in_order() {
        for Calibration { scorer, masses } in built_in() {
            assert!(masses.is_sorted() && masses.iter().all(|mass| (0.0..=1.0001).contains(mass)), "{scorer}");
        }
    }
}

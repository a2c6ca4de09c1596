//! Runs one case with one contender.

use std::cell::RefCell;
use std::time::Instant;

use super::cases::Case;
use super::contender::Contender;
use super::record::Measured;
use crate::base::limits::Limits;
use crate::base::text::Lines;
use crate::base::tokens::Counter;
use crate::conversation::identifiers;
use crate::engine::{Engine, EngineError};
use crate::render;
use crate::score::{Score, Scorer, Task};
use crate::select::{self, Budget, Code, PruneError, Pruned, Ranker, Target};

/// Measures one case with one contender at each ratio (share of tokens to keep, 0 to 1). Units are scored once; that
/// time counts for every ratio.
///
/// # Errors
/// When the model fails.
pub fn measure(
    engine: Option<&Engine>,
    case: &Case,
    contender: Contender,
    fine: bool,
    ratios: &[f32],
) -> Result<Vec<Measured>, EngineError> {
    let score = Memoized { inner: contender.scorer(&case.id), cache: RefCell::default() };
    let counter = Counter::for_model(None);
    let names = identifiers::names(&case.question);
    let code = case.code(&names);
    let decoded = || engine.map_or(0, Engine::decoded);
    let decoded_before = decoded();
    let tokens = counter.count(&case.code).0;
    let mut measured = Vec::new();
    for &ratio in ratios {
        let target = Target { budget: Budget::Ratio(ratio), fine };
        let start = Instant::now();
        let ranker = Ranker { engine, scorer: &score, counter };
        let (keep, units, left) = match prune(ranker, &code, target)? {
            Ok(pruned) => (pruned.keep, pruned.units, None),
            Err(why) => (vec![Lines::new(0, case.code.lines().count())], Vec::new(), Some(why)),
        };
        let spent = start.elapsed().as_secs_f64() * 1000.0;
        let scoring = score.cache.borrow().first().map_or(0.0, |units| units.milliseconds);
        let kept = case.kept(&keep, counter);
        let score = units.iter().find(|unit| unit.lines.contains(case.needle.start_line - 1)).map(|unit| unit.score);
        measured.push(Measured {
            id: case.id.clone(),
            group: case.group.clone(),
            name_words: case.name_words_in_question,
            method: contender.name().to_owned(),
            ratio,
            tokens,
            kept: kept.share,
            whole: kept.needle == 1.0,
            lines: kept.needle,
            rank: Some(units.iter().filter(|unit| Some(unit.score) >= score).count().max(1)),
            milliseconds: if measured.is_empty() { spent } else { spent + scoring },
            decoded: Some(decoded() - decoded_before),
            left,
        });
    }
    Ok(measured)
}

/// Prunes a case's code; the inner error says why nothing was left out.
///
/// # Errors
/// When the model fails.
pub fn prune(ranker: Ranker, code: &Code, target: Target) -> Result<Result<Pruned, String>, EngineError> {
    match select::prune(ranker, code, target, &Limits::default()) {
        Ok(pruned) => Ok(Ok(pruned)),
        Err(PruneError::Engine(error)) => Err(error),
        Err(why) => Ok(Err(why.to_string())),
    }
}

/// The shares of a case that are kept.
pub struct Kept {
    /// Share of the code's tokens, markers included, 0 to 1.
    pub share: f32,
    /// Share of the needle's lines, 0 to 1.
    pub needle: f32,
}

impl Case {
    /// The code as `select` takes it, with the names that the question mentions.
    pub fn code<'a>(&'a self, names: &'a [String]) -> Code<'a> {
        Code { source: &self.code, language: self.language, question: &self.question, names, pinned: &[] }
    }

    /// How much the lines `keep` are of the code and of the needle.
    pub fn kept(&self, keep: &[Lines], counter: Counter) -> Kept {
        let needle = Lines::new(self.needle.start_line - 1, self.needle.end_line);
        let stays = (needle.start..needle.end).filter(|&line| keep.iter().any(|lines| lines.contains(line))).count();
        let text = render::render(&self.code, keep, self.language, 1, None);
        let tokens = |text: &str| counter.count(text).0;
        Kept {
            share: tokens(&text) as f32 / tokens(&self.code).max(1) as f32,
            needle: stays as f32 / needle.len() as f32,
        }
    }
}

/// Remembers scores, so that each list of passages is scored once: first the units, then the blocks of some of them.
struct Memoized {
    inner: Box<dyn Scorer>,
    cache: RefCell<Vec<Scored>>,
}

/// The scores of a list of passages.
struct Scored {
    passages: blake3::Hash,
    scores: Vec<Option<Score>>,
    milliseconds: f64,
}

impl Scorer for Memoized {
    fn scores(&self, task: &Task) -> Result<Vec<Option<Score>>, EngineError> {
        let mut hasher = blake3::Hasher::new();
        for passage in task.passages {
            hasher.update(&passage.text.len().to_le_bytes()).update(passage.text.as_bytes());
        }
        let passages = hasher.finalize();
        if let Some(scored) = self.cache.borrow().iter().find(|scored| scored.passages == passages) {
            return Ok(scored.scores.clone());
        }
        let start = Instant::now();
        let scores = self.inner.scores(task)?;
        let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
        self.cache.borrow_mut().push(Scored { passages, scores: scores.clone(), milliseconds });
        Ok(scores)
    }

    fn log_likelihoods(&self, scores: &[Score]) -> Vec<f32> {
        self.inner.log_likelihoods(scores)
    }

    fn is_best_first(&self) -> bool {
        self.inner.is_best_first()
    }
}

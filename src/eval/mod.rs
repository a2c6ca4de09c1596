//! How much of the code that an answer needs is kept: measured on cases of which that code is known.

pub mod calibrate;
pub mod cases;
pub mod completion;
mod figure;
pub mod learn;
pub mod plot;
pub mod record;
pub mod repo;
pub mod report;
mod stats;
pub mod through;

use std::cell::RefCell;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::base::limits::Limits;
use crate::base::text::Lines;
use crate::base::tokens::Counter;
use crate::config::Method;
use crate::conversation::identifiers;
use crate::engine::{Engine, EngineError};
use crate::render;
use crate::score::{self, Score, Task, Worth};
use crate::select::{self, Budget, Code, Judge, PruneError, Pruned, Target};
use cases::Case;
use strum::VariantArray;

/// What is measured: a method of Lopper's, or one to hold it against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    /// One of Lopper's.
    Method(Method),
    /// The units in an order that is drawn by lot, the same in each run.
    Random,
    /// The units in the order of the file.
    Head,
}

impl Contender {
    /// Every one.
    pub fn all() -> Vec<Self> {
        [Self::Random, Self::Head].into_iter().chain(Method::VARIANTS.iter().copied().map(Self::Method)).collect()
    }

    /// Whether it asks the model.
    pub fn needs_model(self) -> bool {
        matches!(self, Self::Method(method) if method != Method::Lexical)
    }

    /// What judges the units of case `id`.
    fn score(self, id: &str) -> Box<dyn Score> {
        match self {
            Self::Method(method) => score::scorer(method),
            Self::Random => Box::new(Random { seed: id.to_owned() }),
            Self::Head => Box::new(Head),
        }
    }

    fn is_best_first(self) -> bool {
        match self {
            Self::Method(method) => score::is_best_first(method),
            Self::Random | Self::Head => true,
        }
    }

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Method(method) => method.into(),
            Self::Random => "random",
            Self::Head => "head",
        }
    }
}

/// What became of one case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    /// The case.
    pub id: String,
    /// Its language or group of languages.
    pub group: String,
    /// Share of the words of the needle's name that the question has, 0 to 1.
    pub name_words: f32,
    /// The method's name.
    pub method: String,
    /// Share of tokens asked for.
    pub ratio: f32,
    /// Tokens of the code, in the vocabulary of the newer OpenAI models.
    pub tokens: usize,
    /// Share of these tokens kept, markers included.
    pub kept: f32,
    /// Whether every line of the needle is kept.
    pub whole: bool,
    /// Share of the needle's lines that is kept.
    pub lines: f32,
    /// Rank of the needle's unit by worth, from 1; of equal ones the last. Where the compressor ranks none, or does not
    /// tell, it is unknown.
    pub rank: Option<usize>,
    /// Milliseconds, scoring included.
    pub milliseconds: f64,
    /// Tokens that went through the model, where that is known.
    pub decoded: Option<u64>,
    /// Why nothing was left out, where that is so.
    pub left: Option<String>,
}

/// Measures one case with one contender at each ratio. The units are scored once; each ratio counts that once.
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
    let inner = contender.score(&case.id);
    let score = Once { inner, known: RefCell::default() };
    let counter = Counter::for_model(None);
    let names = identifiers::names(&case.question);
    let code =
        Code { source: &case.code, language: case.language, question: &case.question, names: &names, pinned: &[] };
    let decoded = || engine.map_or(0, Engine::decoded);
    let decoded_before = decoded();
    let tokens = counter.count(&case.code).0;
    let mut measured = Vec::new();
    for &ratio in ratios {
        let target = Target { budget: Budget::Ratio(ratio), fine };
        let start = Instant::now();
        let judge = Judge { engine, score: &score, best_first: contender.is_best_first(), counter };
        let (keep, units, left) = match prune(judge, &code, target)? {
            Ok(pruned) => (pruned.keep, pruned.units, None),
            Err(why) => (vec![Lines::new(0, case.code.lines().count())], Vec::new(), Some(why)),
        };
        let spent = start.elapsed().as_secs_f64() * 1000.0;
        let first = measured.is_empty();
        let scoring = score.known.borrow().first().map_or(0.0, |units| units.milliseconds);
        let kept = case.kept(&keep, counter);
        let worth = units.iter().find(|unit| unit.lines.contains(case.needle.start_line - 1)).map(|unit| unit.worth);
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
            rank: Some(units.iter().filter(|unit| Some(unit.worth) >= worth).count().max(1)),
            milliseconds: if first { spent } else { spent + scoring },
            decoded: Some(decoded() - decoded_before),
            left,
        });
    }
    Ok(measured)
}

/// What stays of a case's code, or why all of it does.
///
/// # Errors
/// When the model fails.
fn prune(judge: Judge, code: &Code, target: Target) -> Result<Result<Pruned, String>, EngineError> {
    match select::prune(judge, code, target, &Limits::default()) {
        Ok(pruned) => Ok(Ok(pruned)),
        Err(PruneError::Engine(error)) => Err(error),
        Err(why) => Ok(Err(why.to_string())),
    }
}

/// How much of a case is kept.
struct Kept {
    /// Share of the code's tokens, markers included.
    share: f32,
    /// Share of the needle's lines.
    needle: f32,
}

impl Case {
    /// What the lines `keep` of the code come to.
    fn kept(&self, keep: &[Lines], counter: Counter) -> Kept {
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

/// Scores the same passages once: the units first, then the blocks of some of them.
struct Once<'a> {
    inner: Box<dyn Score + 'a>,
    known: RefCell<Vec<Known>>,
}

/// What passages were worth.
struct Known {
    passages: blake3::Hash,
    worths: Vec<Option<Worth>>,
    milliseconds: f64,
}

impl Score for Once<'_> {
    fn worths(&self, task: &Task) -> Result<Vec<Option<Worth>>, EngineError> {
        let mut hasher = blake3::Hasher::new();
        for passage in task.passages {
            hasher.update(&passage.text.len().to_le_bytes()).update(passage.text.as_bytes());
        }
        let passages = hasher.finalize();
        if let Some(known) = self.known.borrow().iter().find(|known| known.passages == passages) {
            return Ok(known.worths.clone());
        }
        let start = Instant::now();
        let worths = self.inner.worths(task)?;
        let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
        self.known.borrow_mut().push(Known { passages, worths: worths.clone(), milliseconds });
        Ok(worths)
    }

    fn log_likelihoods(&self, worths: &[Worth]) -> Vec<f32> {
        self.inner.log_likelihoods(worths)
    }
}

/// By lot.
struct Random {
    seed: String,
}

impl Score for Random {
    fn worths(&self, task: &Task) -> Result<Vec<Option<Worth>>, EngineError> {
        let draw = |i: usize| {
            let hash = blake3::hash(format!("{} {i}", self.seed).as_bytes());
            let [a, b, ..] = *hash.as_bytes();
            Some(Worth(f32::from(u16::from_le_bytes([a, b]))))
        };
        Ok((0..task.passages.len()).map(draw).collect())
    }
}

/// The first is the best.
struct Head;

impl Score for Head {
    fn worths(&self, task: &Task) -> Result<Vec<Option<Worth>>, EngineError> {
        Ok((0..task.passages.len()).map(|i| Some(Worth(-(i as f32)))).collect())
    }
}

//! LongCodeZip's worth: by how much a text lowers the question's perplexity, or the question that of a block.
//!
//! worth(c) = PPL(q) − PPL(q | c), PPL = exp(mean negative log-likelihood in nats), arXiv 2510.00446, section 3.2. Blocks of
//! a function may instead be judged as LongLLMLingua does it (arXiv 2310.06839): by what the question takes from their own
//! perplexity.

use super::lines::{Surprise, surprises};
use super::perplexity::{Reading, read};
use super::{Score, Task, Worth};
use crate::base::limits::Limits;
use crate::base::text::{Lines, Tokens};
use crate::config::BlockScore;
use crate::engine::{Engine, EngineError};

/// The paper's method.
pub struct LongCodeZip {
    /// How the blocks of a function are judged.
    pub blocks: BlockScore,
}

impl Score for LongCodeZip {
    fn worths(&self, task: &Task) -> Result<Vec<Option<Worth>>, EngineError> {
        let Some(engine) = task.engine else { return Ok(vec![None; task.passages.len()]) };
        let texts: Vec<&str> = task.passages.iter().map(|passage| passage.text).collect();
        gains(engine, task.question, &texts, task.limits)
    }

    fn block_score(&self) -> BlockScore {
        self.blocks
    }
}

/// The worth of each text for the question; `None` for those that `limits` left no time for. Every token of the question
/// counts that has something before it.
///
/// # Errors
/// When the model fails.
pub fn gains(
    engine: &Engine,
    question: &str,
    texts: &[&str],
    limits: &Limits,
) -> Result<Vec<Option<Worth>>, EngineError> {
    let Reading { alone, given } = read(engine, question, texts, &[], Tokens(0), limits)?;
    let alone = alone.as_deref().map(perplexity);
    Ok(given.iter().map(|given| Some(Worth(alone? - perplexity(given.as_deref()?)))).collect())
}

/// Of a function and its blocks, what is asked about them: the text, the blocks as lines of it, and how much each line
/// surprises the model without the question.
pub struct Function<'a> {
    /// All of it.
    pub text: &'a str,
    /// Lines of the text.
    pub blocks: Vec<Lines>,
    /// By line of the text.
    pub alone: &'a [Surprise],
}

/// The worth of each block of each function: PPL(b | lines before) − PPL(b | question, lines before). `None` where `limits`
/// left no time.
///
/// # Errors
/// When the model fails.
pub fn contrasts(
    engine: &Engine,
    question: &str,
    functions: &[Function],
    limits: &Limits,
) -> Result<Option<Vec<Vec<Worth>>>, EngineError> {
    let texts: Vec<&str> = functions.iter().map(|function| function.text).collect();
    let asked = surprises(engine, &format!("{question}\n\n"), &texts, limits)?;
    let worths = |(function, asked): (&Function, Vec<Surprise>)| {
        let of = |lines: &[Surprise], block: &Lines| Surprise::of(&lines[block.start..block.end]).perplexity();
        function.blocks.iter().map(|block| Worth(of(function.alone, block) - of(&asked, block))).collect()
    };
    Ok(asked.map(|asked| functions.iter().zip(asked).map(worths).collect()))
}

/// exp of the mean of negative log-likelihoods (nats); 1 for none.
fn perplexity(likelihoods: &[f32]) -> f32 {
    Surprise { nats: likelihoods.iter().sum(), tokens: likelihoods.len() }.perplexity()
}

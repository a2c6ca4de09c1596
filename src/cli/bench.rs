//! `lopper bench`: speed of scoring on this machine, compared with raw prefill.

use std::path::PathBuf;

use clap::Args;

use crate::app::scorer::load_engine;
use crate::config::{self, Config, Flags};
use crate::engine::{Engine, EngineError, Forks, Speed, Token};

/// Tokens of each measurement in a round.
const TOKENS: usize = 4096;
/// Rounds; the measurements take turns, and the median of the rounds counts.
const ROUNDS: usize = 5;
/// Tokens of the question.
const QUESTION: usize = 20;
/// Tokens of the contexts.
const CONTEXTS: [usize; 2] = [30, 300];
/// Tokens of code, and of each of its units, for the second question.
const CODE: (usize, usize) = (10_000, 125);

#[derive(Args)]
pub struct Arguments {
    /// The GGUF model that scores.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Settings file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let flags = Flags { model: arguments.model, ..Flags::default() };
    let mut config = Config::load(arguments.config.as_deref(), config::environment(), flags)?.config;
    let kept = config.scorer.kv_cache_mb;
    config.scorer.kv_cache_mb = 0;
    {
        // Its memory is free before the next one is loaded.
        let engine = load_engine(&config)?;
        let info = engine.info();
        println!("{} ({}), {} threads\n", info.name, info.format, info.threads);
        speeds(&engine)?;
    }
    config.scorer.kv_cache_mb = kept;
    second_question(&load_engine(&config)?, kept)?;
    Ok(())
}

/// Prints the speed of scoring with each length of context, and of raw prefill, in tokens decoded per second.
fn speeds(engine: &Engine) -> Result<(), EngineError> {
    // The question's tokens that are decoded, all with logits; its last token predicts nothing.
    let outputs = |context: usize| QUESTION as f64 / (context + QUESTION - 1) as f64;
    engine.prefill_speed(TOKENS / 4, 0.0)?;
    let mut raw = Vec::new();
    let mut scored = CONTEXTS.map(|context| (context, Vec::new(), Vec::new()));
    for _ in 0..ROUNDS {
        raw.push(engine.prefill_speed(TOKENS, 0.0)?);
        for (context, speeds, limits) in &mut scored {
            speeds.push(scoring_speed(engine, TOKENS, *context, QUESTION)?);
            limits.push(engine.prefill_speed(TOKENS, outputs(*context))?);
        }
    }
    let raw = median(&raw);
    println!("prefill                            {raw:6.0} tokens/s");
    for (context, speeds, limits) in scored {
        let (rate, limit) = (median(&speeds), median(&limits));
        println!(
            "scoring, contexts of {context:3} tokens    {rate:6.0} tokens/s, {:.2} of prefill, {:.2} of prefill with as many logits",
            rate / raw,
            rate / limit
        );
    }
    Ok(())
}

/// The speed of scoring a question after a context, both of so many tokens, repeated up to `tokens` in all.
fn scoring_speed(engine: &Engine, tokens: usize, context: usize, question: usize) -> Result<Speed, EngineError> {
    let text = text(engine, context + question);
    let forks = Forks::one(text[..context].to_vec(), text[context..].to_vec());
    engine.scoring_speed(vec![forks; tokens / (context + question)])
}

/// Prints the cost of a first and of a second question about the same code.
fn second_question(engine: &Engine, kept: u64) -> Result<(), EngineError> {
    let (code, unit) = CODE;
    let text = text(engine, code + 2 * QUESTION);
    let ask = |question: &[Token]| {
        let forks = text[..code].chunks(unit).map(|unit| Forks::one(unit.to_vec(), question.to_vec()));
        engine.scoring_speed(forks.collect())
    };
    println!("\n{code} tokens of code in units of {unit}, questions of {QUESTION}; cache of {kept} MiB:");
    for (name, at) in [("first", code), ("second", code + QUESTION)] {
        let Speed { tokens, seconds } = ask(&text[at..at + QUESTION])?;
        println!("{name:<8} question  {tokens:6} tokens decoded, {seconds:6.2} s");
    }
    Ok(())
}

/// So many tokens of generated code.
fn text(engine: &Engine, tokens: usize) -> Vec<Token> {
    let line = |i: usize| format!("    let total_{i} = items.iter().map(|item| item.price * {i}).sum::<f64>();\n");
    let mut text = Vec::new();
    let mut i = 0;
    while text.len() < tokens {
        text.extend(engine.tokenize(&line(i)));
        i += 1;
    }
    text.truncate(tokens);
    text
}

fn median(speeds: &[Speed]) -> f64 {
    let mut rates: Vec<f64> = speeds.iter().map(|speed| speed.rate()).collect();
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

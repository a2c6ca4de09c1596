//! How many tokens the model computes at once (llama.cpp's `n_ubatch`): measured once for a machine, kept beside the model.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use serde::{Deserialize, Serialize};

use super::handle::new_context;
use super::{BATCH_TOKENS, EngineError, EngineOptions};

/// What is tried, the usual one first: it also stands where nothing can be measured.
const CANDIDATES: [usize; 3] = [BATCH_TOKENS, BATCH_TOKENS / 2, BATCH_TOKENS / 4];
/// Another than the usual one has to be faster by this factor: less is noise.
const MARGIN: f64 = 1.03;
/// Each candidate is measured so often in turn, and its best counts.
const ROUNDS: usize = 2;
/// Tokens that are read before, twice: once to page the weights in, once to tell how long the measurement would take.
const WARM_UP: usize = 64;
/// Where a round would take longer, nothing is measured: a model that slow is bound by its weights, whichever the
/// candidate. A second round is only begun before that time.
const PATIENCE: Duration = Duration::from_secs(4);

/// What was found, and what it holds for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tuned {
    conditions: Conditions,
    ubatch: usize,
    /// By candidate; none where nothing was measured.
    tokens_per_second: Vec<(usize, f64)>,
}

/// What a measurement depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Conditions {
    #[serde(flatten)]
    machine: Machine,
    threads: usize,
    gpu_layers: Option<u32>,
}

/// The part of it that can't differ from one process of this machine to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Machine {
    lopper: String,
    processor: String,
    model_bytes: u64,
    /// In milliseconds since 1970.
    model_modified: u64,
}

/// The tokens to compute at once: what `options` ask for, else what was measured here before, else what is measured now.
///
/// # Errors
/// When the model fails.
pub fn ubatch(model: &LlamaModel, options: &EngineOptions, threads: usize) -> Result<usize, EngineError> {
    if options.ubatch > 0 {
        return Ok(options.ubatch.min(BATCH_TOKENS));
    }
    // Scores depend on it in their last bits, so within a process the first answer stands, whatever becomes of the file.
    // The lock also keeps two measurements from disturbing each other.
    static FOUND: Mutex<Vec<(PathBuf, Tuned)>> = Mutex::new(Vec::new());
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let path = path(&options.model);
    let conditions = conditions(options, threads);
    let in_memory = found.iter().find(|(of, tuned)| *of == path && tuned.conditions == conditions);
    if let Some((_, tuned)) = in_memory {
        return Ok(tuned.ubatch);
    }
    let on_disk = read(&path);
    let tuned = match on_disk.iter().find(|tuned| tuned.conditions == conditions) {
        Some(tuned) => tuned.clone(),
        None => {
            let tuned = chosen(conditions, measure(model, threads)?);
            tracing::debug!(ubatch = tuned.ubatch, speeds = ?tuned.tokens_per_second, "measured");
            if let Err(error) = write(&path, on_disk, &tuned) {
                tracing::debug!(path = %path.display(), %error, "what was measured can't be kept");
            }
            tuned
        }
    };
    let ubatch = tuned.ubatch.clamp(1, BATCH_TOKENS);
    found.push((path, tuned));
    Ok(ubatch)
}

fn chosen(conditions: Conditions, tokens_per_second: Vec<(usize, f64)>) -> Tuned {
    let usual = tokens_per_second.first().map_or(f64::INFINITY, |(_, rate)| rate * MARGIN);
    let best = tokens_per_second.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, rate)| *rate > usual);
    Tuned { conditions, ubatch: best.map_or(CANDIDATES[0], |(ubatch, _)| ubatch), tokens_per_second }
}

/// By candidate, the tokens a second of raw prefill in full batches; empty where that would take too long.
fn measure(model: &LlamaModel, threads: usize) -> Result<Vec<(usize, f64)>, EngineError> {
    let mut contexts = CANDIDATES
        .iter()
        .map(|&ubatch| context(model, threads, ubatch))
        .collect::<Result<Vec<LlamaContext>, EngineError>>()?;
    prefill(&mut contexts[0], WARM_UP)?;
    let warm_up = prefill(&mut contexts[0], WARM_UP)?;
    let a_round = warm_up.mul_f64((CANDIDATES.len() * BATCH_TOKENS / WARM_UP) as f64);
    if a_round > PATIENCE {
        tracing::debug!(?a_round, "too slow to be measured");
        return Ok(Vec::new());
    }
    let mut best = [Duration::MAX; CANDIDATES.len()];
    let start = Instant::now();
    for round in 0..ROUNDS {
        if round > 0 && start.elapsed() > PATIENCE {
            break;
        }
        for (context, best) in contexts.iter_mut().zip(&mut best) {
            *best = prefill(context, BATCH_TOKENS)?.min(*best);
        }
    }
    Ok(CANDIDATES.into_iter().zip(best.map(|time| BATCH_TOKENS as f64 / time.as_secs_f64())).collect())
}

fn context(model: &LlamaModel, threads: usize, ubatch: usize) -> Result<LlamaContext<'_>, EngineError> {
    let threads = i32::try_from(threads).unwrap_or(i32::MAX);
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(BATCH_TOKENS as u32))
        .with_n_batch(BATCH_TOKENS as u32)
        .with_n_ubatch(ubatch as u32)
        .with_n_threads(threads)
        .with_n_threads_batch(threads);
    new_context(model, params)
}

/// How long one batch of so many tokens takes.
fn prefill(context: &mut LlamaContext, tokens: usize) -> Result<Duration, EngineError> {
    let failed = |error: &dyn std::fmt::Display| EngineError::Decode(error.to_string());
    let mut batch = LlamaBatch::new(tokens, 1);
    for position in 0..tokens as i32 {
        // Any ordinary tokens will do.
        batch.add(LlamaToken(100 + position), position, &[0], false).map_err(|error| failed(&error))?;
    }
    let start = Instant::now();
    context.decode(&mut batch).map_err(|error| failed(&error))?;
    context.synchronize();
    let time = start.elapsed();
    context.clear_kv_cache_seq(None, None, None).map_err(|error| failed(&error))?;
    Ok(time)
}

/// `MODEL.gguf.tuned.json`
fn path(model: &Path) -> PathBuf {
    let mut name = model.as_os_str().to_owned();
    name.push(".tuned.json");
    name.into()
}

fn conditions(options: &EngineOptions, threads: usize) -> Conditions {
    let file = std::fs::metadata(&options.model).ok();
    let modified = file.as_ref().and_then(|file| file.modified().ok()?.duration_since(UNIX_EPOCH).ok());
    let machine = Machine {
        lopper: env!("CARGO_PKG_VERSION").into(),
        processor: processor(),
        model_bytes: file.map_or(0, |file| file.len()),
        model_modified: modified.map_or(0, |time| time.as_millis() as u64),
    };
    Conditions { machine, threads, gpu_layers: options.gpu_layers }
}

/// The processor's name where Linux tells it, else its kind.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).to_owned()
}

/// Nothing where there is no such file, or one that is not understood: then it is measured anew.
fn read(path: &Path) -> Vec<Tuned> {
    std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Adds `tuned` to what the file has for other numbers of threads, and drops what another model or machine left there.
/// Two processes may do so at once: the file is replaced as a whole, so that either's is there, and whole.
fn write(path: &Path, mut all: Vec<Tuned>, tuned: &Tuned) -> std::io::Result<()> {
    all.retain(|other| other.conditions.machine == tuned.conditions.machine);
    all.push(tuned.clone());
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let unfinished = PathBuf::from(name);
    let written =
        std::fs::write(&unfinished, serde_json::to_vec_pretty(&all)?).and_then(|()| std::fs::rename(&unfinished, path));
    if written.is_err() {
        // It may not be there at all.
        let _ = std::fs::remove_file(&unfinished);
    }
    written
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

    use super::*;

    fn tuned(threads: usize, model_bytes: u64, speeds: &[(usize, f64)]) -> Tuned {
        let machine = Machine { lopper: "1".into(), processor: "p".into(), model_bytes, model_modified: 7 };
        chosen(Conditions { machine, threads, gpu_layers: None }, speeds.to_vec())
    }

    #[test]
    fn the_usual_one_stands_unless_another_is_clearly_faster() {
        assert_eq!(tuned(2, 1, &[]).ubatch, 512);
        assert_eq!(tuned(2, 1, &[(512, 100.0), (256, 102.0), (128, 90.0)]).ubatch, 512);
        assert_eq!(tuned(2, 1, &[(512, 100.0), (256, 104.0), (128, 110.0)]).ubatch, 128);
    }

    #[test]
    fn the_file_keeps_what_holds_for_this_machine() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder.path().join("m.gguf"));
        assert_eq!(read(&path), []);
        let (one, two, other) = (tuned(1, 5, &[(512, 9.5)]), tuned(2, 5, &[]), tuned(2, 6, &[]));
        write(&path, read(&path), &one).unwrap();
        write(&path, read(&path), &two).unwrap();
        assert_eq!(read(&path), [one, two]);
        write(&path, read(&path), &other).unwrap();
        assert_eq!(read(&path), [other]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(read(&path), []);
    }
}

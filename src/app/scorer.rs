//! Loads the model that scores, and the calibrations that belong to it.

use anyhow::Context;

use crate::config::{self, Config};
use crate::engine::{self, Engine, EngineError, EngineOptions, fetch};
use crate::pipeline::Scorer;
use crate::score::calibration::{self, Calibration};
use crate::select::Budget;

/// The model that `config` names, loaded.
///
/// What is known of the file is checked first, before llama.cpp reads it: a sum in the settings decides, one that is
/// known for a file of this name only warns, as anyone may call theirs so.
pub fn load_engine(config: &Config) -> Result<Engine, EngineError> {
    let path = config::default_model_path(config);
    let file = path.file_name().unwrap_or_default();
    let set = config.model.sha256.as_deref().filter(|_| file == config.model.file_name());
    let known = KNOWN_MODELS.iter().find(|(name, _)| file == *name).map(|(_, sum)| *sum);
    // A file that can't be read is told of when it is loaded.
    let got = (set.or(known).is_some()).then(|| fetch::sha256(&path).ok()).flatten();
    match (got, set, known) {
        (Some(got), Some(expected), _) if got != expected => {
            return Err(EngineError::Checksum { path, expected: expected.to_owned(), got });
        }
        (Some(got), None, Some(expected)) if got != expected => {
            tracing::warn!(
                "{} is another file than the model of this name that scripts/fetch-model gets: SHA-256 {got}, not {expected}; \
                 if it is not your own, get it again",
                path.display()
            );
        }
        _ => {}
    }
    Engine::load(&EngineOptions {
        model: path,
        threads: config.scorer.threads,
        gpu_layers: config.scorer.gpu_layers,
        window: engine::UNIT_WINDOW,
        kept_bytes: config.scorer.kv_cache_mb * 1024 * 1024,
        ubatch: 0,
        shared_batches: false,
    })
}

/// The same as a scorer whose decisions are kept apart from other models'.
pub fn load_scorer(config: &Config) -> Result<Scorer, EngineError> {
    let engine = load_engine(config)?;
    let model = config::default_model_path(config);
    let mut hash = blake3::Hasher::new();
    // The model was just read, so this only fails if it is taken away at this moment.
    let read = std::fs::File::open(&model).and_then(|file| hash.update_reader(file).map(|_| ()));
    read.map_err(|_| EngineError::Missing(model))?;
    Ok(Scorer { engine, fingerprint: hash.finalize().into() })
}

/// The SHA-256 of models by their files' names. Only what is shipped: what is converted here is what llama.cpp makes of it.
const KNOWN_MODELS: [(&str, &str); 1] =
    [("SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")];

/// How much of a block to keep: what `compression.recall` asks for, with `engine` or without; else `budget_tokens`; else
/// `ratio`.
pub fn budget(config: &Config, engine: Option<&Engine>) -> anyhow::Result<Budget> {
    let compression = &config.compression;
    let Some(recall) = compression.recall else {
        let ratio = Budget::Ratio(compression.ratio as f32);
        return Ok(compression.budget_tokens.map_or(ratio, Budget::Tokens));
    };
    let scorer = calibration::scorer_name(config.scorer.method, engine.map(Engine::info));
    let threshold = calibration::threshold(&calibrations()?, &scorer, recall);
    Ok(Budget::Coverage(threshold.with_context(|| format!("compression.recall is {recall}"))?))
}

/// The calibrations that were made here.
pub fn calibrations() -> anyhow::Result<Vec<Calibration>> {
    let path = config::models_dir().join(CALIBRATIONS);
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| format!("{} is no calibration", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("{} can't be read", path.display())),
    }
}

/// Adds a calibration to those made here, in place of an older one of the same scorer.
pub fn keep_calibration(calibration: Calibration) -> anyhow::Result<()> {
    let path = config::models_dir().join(CALIBRATIONS);
    let mut all = calibrations()?;
    all.retain(|other| other.scorer != calibration.scorer);
    all.push(calibration);
    std::fs::create_dir_all(config::models_dir())?;
    std::fs::write(&path, serde_json::to_string(&all)?)
        .with_context(|| format!("{} can't be written", path.display()))?;
    eprintln!("kept in {}", path.display());
    Ok(())
}

/// In the models' folder.
const CALIBRATIONS: &str = "calibrations.json";

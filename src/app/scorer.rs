//! Loads the model that scores and the calibrations of scorers.

use anyhow::Context;

use super::logging;
use crate::config::{self, Config, Method};
use crate::engine::{self, Engine, EngineError, EngineOptions, fetch};
use crate::pipeline::Scorer;
use crate::score::{
    self,
    calibration::{self, Calibration},
};
use crate::select::Budget;

/// Loads the model that `config` names.
///
/// The file is checked before llama.cpp reads it. If it has another checksum than `model.sha256`, that is an error; if it only
/// has another one than the shipped model of the same name, that is a warning: anyone may use this name.
///
/// # Errors
/// When there is no such file, its checksum is wrong, it is no usable model, or this Lopper was built without models.
pub fn load_engine(config: &Config) -> Result<Engine, EngineError> {
    let path = config::default_model_path(config);
    let file = path.file_name().unwrap_or_default();
    let set = config.model.sha256.as_deref().filter(|_| file == config.model.file_name());
    let known = KNOWN_MODELS.iter().find(|(name, _)| file == *name).map(|(_, sum)| *sum);
    // A file that can't be read is an error when it is loaded.
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
    })
}

/// Loads the model with a hash of its file, which keeps its decisions apart from those of other models.
///
/// # Errors
/// As those of [`load_engine`].
pub fn load_scorer(config: &Config) -> Result<Scorer, EngineError> {
    let engine = load_engine(config)?;
    let model = config::default_model_path(config);
    let mut hash = blake3::Hasher::new();
    // The model was just read, so this only fails if it is taken away at this moment.
    let read = std::fs::File::open(&model).and_then(|file| hash.update_reader(file).map(|_| ()));
    read.map_err(|_| EngineError::Missing(model))?;
    Ok(Scorer { engine, fingerprint: hash.finalize().into() })
}

/// Loads the model for the proxy and prints what it scores with. The model is loaded even if the settings switch compression off:
/// a request may switch it on for itself.
pub fn load_or_explain(config: &Config, measures: bool) -> Result<Scorer, String> {
    let scorer = load_scorer(config);
    match &scorer {
        Ok(scorer) => describe(&scorer.engine, measures),
        Err(_) if config.scorer.method == Method::Lexical => {
            logging::print("model      none: code is scored by its words alone")
        }
        Err(EngineError::NotBuilt) if score::works_without_model(config.scorer.method) => {
            logging::print("model      none: this Lopper was built without models, code is scored by its words alone")
        }
        Err(error) if config.scores_something() && score::works_without_model(config.scorer.method) => {
            logging::print(format_args!("warning    CODE IS SCORED BY ITS WORDS ALONE: {error}"));
        }
        Err(error) if config.scores_something() => {
            logging::print(format_args!("warning    NOTHING IS COMPRESSED: {error}"))
        }
        Err(_) => {}
    }
    scorer.map_err(|error| error.to_string())
}

/// Prints what the model is, and with `measures` how fast.
pub fn describe(engine: &Engine, measures: bool) {
    let info = engine.info();
    let parameters = info.parameters as f64 / 1e6;
    // A failure is reported when a request is scored.
    let speed = measures.then(|| engine.speed().ok()).flatten();
    let speed = speed.map_or(String::new(), |speed| format!(", about {speed:.0} tokens a second"));
    logging::print(format_args!("model      {} ({parameters:.0} M parameters{speed})", info.label()));
}

/// Tells on stderr that a command scores by words alone because of `error`, if the settings ask for more.
pub fn explain_words_alone(config: &Config, error: &EngineError) {
    if score::works_without_model(config.scorer.method) && config.scorer.method != Method::Lexical {
        eprintln!("scored by words alone: {error}");
    }
}

/// Names and SHA-256 of the shipped models; a converted one has no fixed checksum.
const KNOWN_MODELS: [(&str, &str); 1] =
    [("SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")];

/// The budget of a block: by `compression.recall`, else by `budget_tokens`, else by `ratio`.
///
/// # Errors
/// When `recall` is set and the scorer (with `engine`, or by words) is not calibrated for it.
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

/// Reads the calibrations that were made on this machine.
///
/// # Errors
/// When their file can't be read or understood.
pub fn calibrations() -> anyhow::Result<Vec<Calibration>> {
    let path = config::models_dir().join(CALIBRATIONS);
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| format!("{} is no calibration", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("{} can't be read", path.display())),
    }
}

/// Saves a calibration, in place of an older one of the same scorer.
///
/// # Errors
/// When the file can't be read or written.
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

/// The file's name in the models' folder.
const CALIBRATIONS: &str = "calibrations.json";

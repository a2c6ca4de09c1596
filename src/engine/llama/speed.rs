//! The model's scoring speed: measured once on a machine, kept beside the model as `MODEL.gguf.speed.json`.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::engine::data::{EngineOptions, Forks, Speed, Token};
use crate::engine::error::EngineError;

/// Tokens of a context and of the question after it, as in a request for a small file.
const SHAPE: (usize, usize) = (120, 20);
/// Contexts that are scored at most: two seconds' work at a thousand tokens a second.
const CONTEXTS: usize = 14;
/// Time that a measurement should take at most. A slow model is measured on fewer contexts.
const PATIENCE: Duration = Duration::from_secs(4);

/// Measures tokens a second of scoring text like code, after a warm-up that also tells how much there is time for.
///
/// # Errors
/// When the model fails.
pub fn measure(
    tokenize: impl Fn(&str) -> Vec<Token>,
    score: impl Fn(Vec<Forks>) -> Result<Speed, EngineError>,
) -> Result<f64, EngineError> {
    let (context, question) = SHAPE;
    let line = |i: usize| format!("    let total_{i} = items.iter().map(|item| item.price * {i}).sum::<f64>();\n");
    let text: Vec<Token> = (0..).flat_map(|i| tokenize(&line(i))).take((CONTEXTS + 1) * (context + question)).collect();
    // Each context once, so that none is in a cache.
    let mut parts = text
        .chunks(context + question)
        .map(|part| Forks::one(part[..context].to_vec(), part[context..].to_vec()))
        .collect::<Vec<Forks>>();
    let rest = parts.split_off(1);
    let warm_up = score(parts)?;
    let affordable = (PATIENCE.as_secs_f64() / warm_up.seconds) as usize;
    Ok(score(rest.into_iter().take(affordable.max(1)).collect())?.rate())
}

/// The file beside a model, and the conditions that a measurement in it must match.
pub struct SpeedFile {
    path: PathBuf,
    conditions: Conditions,
}

/// A measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Measured {
    #[serde(flatten)]
    conditions: Conditions,
    tokens_per_second: f64,
}

/// Everything that a measurement depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Conditions {
    lopper: String,
    processor: String,
    threads: usize,
    gpu_layers: Option<u32>,
    model_bytes: u64,
    /// In milliseconds since 1970.
    model_modified: u64,
}

impl SpeedFile {
    /// The file of the model of `options`, which scores with so many threads.
    pub fn new(options: &EngineOptions, threads: usize) -> Self {
        let file = std::fs::metadata(&options.model).ok();
        let modified = file.as_ref().and_then(|file| file.modified().ok()?.duration_since(UNIX_EPOCH).ok());
        let conditions = Conditions {
            lopper: env!("CARGO_PKG_VERSION").into(),
            processor: processor(),
            threads,
            gpu_layers: options.gpu_layers,
            model_bytes: file.map_or(0, |file| file.len()),
            model_modified: modified.map_or(0, |time| time.as_millis() as u64),
        };
        Self { path: with_suffix(&options.model, ".speed.json"), conditions }
    }

    /// The tokens a second that were measured under the same conditions.
    pub fn read(&self) -> Option<f64> {
        let measured = self.all().into_iter().find(|measured| measured.conditions == self.conditions)?;
        Some(measured.tokens_per_second).filter(|rate| rate.is_finite() && *rate > 0.0)
    }

    /// Adds a measurement, and drops those of another model or machine. A failure is logged: it is measured again then.
    pub fn write(&self, tokens_per_second: f64) {
        let Conditions { threads, gpu_layers, .. } = self.conditions;
        let mut all = self.all();
        // The same model and machine, with other threads or layers.
        all.retain(|other| {
            Conditions { threads, gpu_layers, ..other.conditions.clone() } == self.conditions
                && other.conditions != self.conditions
        });
        all.push(Measured { conditions: self.conditions.clone(), tokens_per_second });
        if let Err(error) = self.replace(&all) {
            tracing::debug!(path = %self.path.display(), %error, "the model's speed can't be kept");
        }
    }

    /// None where there is no such file, or one that can't be read.
    fn all(&self) -> Vec<Measured> {
        std::fs::read(&self.path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Replaces the file as a whole: two processes may do so at once.
    fn replace(&self, all: &[Measured]) -> std::io::Result<()> {
        let unfinished = with_suffix(&self.path, &format!(".{}", std::process::id()));
        let written = std::fs::write(&unfinished, serde_json::to_vec_pretty(all)?)
            .and_then(|()| std::fs::rename(&unfinished, &self.path));
        if written.is_err() {
            // It may not exist.
            let _ = std::fs::remove_file(&unfinished);
        }
        written
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The processor's name on Linux, else its architecture.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

    use super::*;

    #[test]
    fn the_file_keeps_what_holds_for_this_machine() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("m.gguf");
        std::fs::write(&model, "model").unwrap();
        let options = EngineOptions { model: model.clone(), threads: 0, gpu_layers: None, window: 1, kept_bytes: 0 };
        let (one, two) = (SpeedFile::new(&options, 1), SpeedFile::new(&options, 2));
        assert_eq!(one.read(), None);
        one.write(9.5);
        two.write(17.0);
        two.write(18.0);
        assert_eq!((one.read(), two.read(), one.all().len()), (Some(9.5), Some(18.0), 2));

        std::fs::write(&model, "another model").unwrap();
        let other = SpeedFile::new(&options, 1);
        assert_eq!(other.read(), None);
        other.write(1.0);
        assert_eq!((other.read(), one.read(), other.all().len()), (Some(1.0), None, 1));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        std::fs::write(&other.path, "{").unwrap();
        assert_eq!(other.read(), None);
    }

    #[test]
    fn a_slow_model_is_measured_on_less() {
        let contexts = |seconds: f64| {
            let scored = std::cell::RefCell::new(Vec::new());
            let tokenize = |text: &str| text.bytes().map(|byte| Token(byte.into())).collect();
            let score = |forks: Vec<Forks>| {
                scored.borrow_mut().push(forks.len());
                Ok(Speed { tokens: 140 * forks.len(), seconds: seconds * forks.len() as f64 })
            };
            let rate = measure(tokenize, score).unwrap();
            assert!((rate - 140.0 / seconds).abs() < 1e-6);
            scored.into_inner()
        };
        assert_eq!(contexts(0.1), [1, CONTEXTS]);
        assert_eq!(contexts(1.0), [1, 4]);
        assert_eq!(contexts(60.0), [1, 1]);
    }
}

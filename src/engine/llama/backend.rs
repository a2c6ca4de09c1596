//! llama.cpp's global state, its models and their contexts.

use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::{LlamaModelLoadError, LogOptions, send_logs_to_tracing};

use crate::engine::data::ModelInfo;
use crate::engine::error::EngineError;

/// llama.cpp, initialized once a process, its log sent to `tracing`.
pub fn backend() -> &'static LlamaBackend {
    static BACKEND: OnceLock<LlamaBackend> = OnceLock::new();
    BACKEND.get_or_init(|| {
        send_logs_to_tracing(LogOptions::default());
        LlamaBackend::init().expect("this is the only place that initializes the backend, and it does so once")
    })
}

/// Loads the model at `path`.
///
/// # Errors
/// When the file is missing, is not a model that llama.cpp knows, or does not fit into memory.
pub fn load_model(path: &Path, gpu_layers: Option<u32>) -> Result<LlamaModel, EngineError> {
    if !path.is_file() {
        return Err(EngineError::Missing(path.to_path_buf()));
    }
    let params = LlamaModelParams::default();
    let params = match gpu_layers {
        Some(layers) => params.with_n_gpu_layers(layers),
        None => params,
    };
    LlamaModel::load_from_file(backend(), path, &params).map_err(|error| {
        // llama.cpp says why only in its log.
        let reason = match error {
            LlamaModelLoadError::NullResult => {
                "it is no GGUF file, of a kind unknown here, or too large for the memory; LOPPER_LOG=debug says which"
                    .into()
            }
            other => other.to_string(),
        };
        EngineError::Load { path: path.to_path_buf(), reason }
    })
}

/// Creates a context of a model. llama.cpp may change the model while it does, so one at a time.
///
/// # Errors
/// When llama.cpp refuses, usually for want of memory.
pub fn new_context(model: &LlamaModel, params: LlamaContextParams) -> Result<LlamaContext<'_>, EngineError> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    // A panic while the lock was held leaves nothing half done that the next caller could see.
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    model.new_context(backend(), params).map_err(|error| EngineError::Context(error.to_string()))
}

/// Describes a model that was loaded from `path`.
pub fn describe(model: &LlamaModel, path: &Path, threads: usize) -> ModelInfo {
    let meta = |key: &str| model.meta_val_str(key).ok();
    let file = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    ModelInfo {
        path: path.to_path_buf(),
        name: meta("general.name").unwrap_or(file),
        architecture: meta("general.architecture").unwrap_or_else(|| "unknown".into()),
        format: meta("general.file_type").map_or_else(|| "unknown".into(), |id| format_name(&id)),
        parameters: model.n_params(),
        bytes: model.size(),
        context: model.n_ctx_train() as usize,
        threads,
    }
}

/// The name of a GGUF file's `general.file_type`, numbered as llama.cpp's `llama_ftype`.
fn format_name(id: &str) -> String {
    let name = match id {
        "0" => "F32",
        "1" => "F16",
        "2" => "Q4_0",
        "3" => "Q4_1",
        "7" => "Q8_0",
        "8" => "Q5_0",
        "9" => "Q5_1",
        "10" => "Q2_K",
        "11" => "Q3_K_S",
        "12" => "Q3_K_M",
        "13" => "Q3_K_L",
        "14" => "Q4_K_S",
        "15" => "Q4_K_M",
        "16" => "Q5_K_S",
        "17" => "Q5_K_M",
        "18" => "Q6_K",
        "30" => "IQ4_XS",
        "32" => "BF16",
        other => return format!("type {other}"),
    };
    name.into()
}

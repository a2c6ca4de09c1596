//! Shared by the tests: the model, the binary started as a user would, an upstream for it, and a look into bodies.

pub mod body;
pub mod faulty;
pub mod footprint;
pub mod partition;
pub mod process;
pub mod upstream;

use std::path::PathBuf;

use lopper::engine::{EngineOptions, UNIT_WINDOW};

/// The model that tests run on. `scripts/test` fetches it and says where it is.
pub fn model() -> PathBuf {
    let path = std::env::var_os("LOPPER_TEST_MODEL").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/SmolLM2-135M-Instruct.Q8_0.gguf"),
        PathBuf::from,
    );
    // A build without the engine reads none.
    assert!(!cfg!(feature = "llama") || path.is_file(), "no model at {}; run scripts/fetch-model", path.display());
    path
}

/// That model, loaded as the proxy would.
pub fn model_options() -> EngineOptions {
    EngineOptions { model: model(), threads: 0, gpu_layers: None, window: UNIT_WINDOW, kept_bytes: 256 << 20 }
}

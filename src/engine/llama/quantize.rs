//! Rewrites a GGUF file in another weight format, with llama.cpp's own quantizer.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use llama_cpp_sys_2::{
    LLAMA_FTYPE_MOSTLY_BF16, LLAMA_FTYPE_MOSTLY_F16, LLAMA_FTYPE_MOSTLY_Q4_0, LLAMA_FTYPE_MOSTLY_Q8_0, llama_ftype,
    llama_model_quantize, llama_model_quantize_default_params,
};

use super::backend::backend;
use crate::engine::data::Format;
use crate::engine::error::EngineError;

/// Writes the model at `source` to `target` with its weights in `format`. The result appears under `target` only once it is
/// complete.
///
/// # Errors
/// When `source` is missing or not a model, or `target` can't be written.
pub fn convert(source: &Path, target: &Path, format: Format) -> Result<(), EngineError> {
    if !source.is_file() {
        return Err(EngineError::Missing(source.to_path_buf()));
    }
    let mut unfinished = target.as_os_str().to_owned();
    unfinished.push(".part");
    let unfinished = PathBuf::from(unfinished);
    let unwritable = |cause| EngineError::Write { path: target.to_path_buf(), cause };
    // Created here, as the quantizer would report a mere status.
    std::fs::File::create(&unfinished).map_err(unwritable)?;
    backend();
    let status = quantize(&c_path(source)?, &c_path(&unfinished)?, file_type(format));
    if status != 0 {
        // There may be nothing to remove.
        let _ = std::fs::remove_file(&unfinished);
        let reason = format!("llama.cpp's quantizer failed with status {status}");
        return Err(EngineError::Load { path: source.to_path_buf(), reason });
    }
    std::fs::rename(&unfinished, target).map_err(unwritable)
}

fn file_type(format: Format) -> llama_ftype {
    match format {
        Format::Q8_0 => LLAMA_FTYPE_MOSTLY_Q8_0,
        Format::Q4_0 => LLAMA_FTYPE_MOSTLY_Q4_0,
        Format::Bf16 => LLAMA_FTYPE_MOSTLY_BF16,
        Format::F16 => LLAMA_FTYPE_MOSTLY_F16,
    }
}

fn c_path(path: &Path) -> Result<CString, EngineError> {
    let invalid = || EngineError::Load { path: path.to_path_buf(), reason: "the path is not valid UTF-8".into() };
    CString::new(path.to_str().ok_or_else(invalid)?).map_err(|_| invalid())
}

// The one place with foreign calls of our own: llama-cpp-2 has no safe wrapper for the quantizer.
#[allow(unsafe_code)]
fn quantize(source: &CString, target: &CString, file_type: llama_ftype) -> u32 {
    // SAFETY: takes nothing, returns a plain struct.
    let mut params = unsafe { llama_model_quantize_default_params() };
    params.ftype = file_type;
    params.allow_requantize = true;
    // SAFETY: both paths are NUL-terminated and outlive the call, as do the parameters, whose pointers are the defaults.
    unsafe { llama_model_quantize(source.as_ptr(), target.as_ptr(), &raw const params) }
}

//! Rewrites a GGUF file in another weight format, with llama.cpp's own quantizer.

#[cfg(feature = "llama")]
use std::ffi::CString;
use std::path::Path;
#[cfg(feature = "llama")]
use std::path::PathBuf;

use super::EngineError;

/// A weight format that a model can be converted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Format {
    /// 8 bits a weight: next to no loss, fast on a CPU.
    Q8_0,
    /// 4 bits a weight: half the memory, the fastest on many CPUs, some loss.
    Q4_0,
    /// Brain float, 16 bits.
    Bf16,
    /// Half float, 16 bits.
    F16,
}

#[cfg(feature = "llama")]
impl Format {
    fn llama_type(self) -> llama_cpp_sys_2::llama_ftype {
        match self {
            Self::Q8_0 => llama_cpp_sys_2::LLAMA_FTYPE_MOSTLY_Q8_0,
            Self::Q4_0 => llama_cpp_sys_2::LLAMA_FTYPE_MOSTLY_Q4_0,
            Self::Bf16 => llama_cpp_sys_2::LLAMA_FTYPE_MOSTLY_BF16,
            Self::F16 => llama_cpp_sys_2::LLAMA_FTYPE_MOSTLY_F16,
        }
    }
}

#[cfg(feature = "llama")]
/// Names the `general.file_type` number of a GGUF file, as llama.cpp's `llama_ftype` counts them.
pub(super) fn format_name(id: &str) -> String {
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

/// Writes the model at `source` to `target` with its weights in `format`.
///
/// The result appears under `target` only once it is complete.
///
/// # Errors
/// When `source` is missing or not a model, or `target` can't be written.
#[cfg(feature = "llama")]
pub fn convert(source: &Path, target: &Path, format: Format) -> Result<(), EngineError> {
    if !source.is_file() {
        return Err(EngineError::Missing(source.to_path_buf()));
    }
    let mut unfinished = target.as_os_str().to_owned();
    unfinished.push(".part");
    let unfinished = PathBuf::from(unfinished);
    let unwritable = |cause| EngineError::Write { path: target.to_path_buf(), cause };
    // The quantizer would only give a status.
    std::fs::File::create(&unfinished).map_err(unwritable)?;
    super::handle::backend();
    let status = quantize(&c_path(source)?, &c_path(&unfinished)?, format);
    if status != 0 {
        // There may be nothing to remove.
        let _ = std::fs::remove_file(&unfinished);
        let reason = format!("llama.cpp's quantizer failed with status {status}");
        return Err(EngineError::Load { path: source.to_path_buf(), reason });
    }
    std::fs::rename(&unfinished, target).map_err(unwritable)
}

/// Converts nothing: this build has no quantizer.
///
/// # Errors
/// Always: [`EngineError::NotBuilt`].
#[cfg(not(feature = "llama"))]
pub fn convert(_: &Path, _: &Path, _: Format) -> Result<(), EngineError> {
    Err(EngineError::NotBuilt)
}

#[cfg(feature = "llama")]
fn c_path(path: &Path) -> Result<CString, EngineError> {
    let invalid = || EngineError::Load { path: path.to_path_buf(), reason: "the path is not valid UTF-8".into() };
    CString::new(path.to_str().ok_or_else(invalid)?).map_err(|_| invalid())
}

#[cfg(feature = "llama")]
// The one place with foreign calls of our own: llama-cpp-2 has no safe wrapper for the quantizer.
#[allow(unsafe_code)]
fn quantize(source: &CString, target: &CString, format: Format) -> u32 {
    // SAFETY: takes nothing, returns a plain struct.
    let mut params = unsafe { llama_cpp_sys_2::llama_model_quantize_default_params() };
    params.ftype = format.llama_type();
    params.allow_requantize = true;
    // SAFETY: both paths are NUL-terminated and outlive the call, as do the parameters, whose pointers are the defaults.
    unsafe { llama_cpp_sys_2::llama_model_quantize(source.as_ptr(), target.as_ptr(), &raw const params) }
}

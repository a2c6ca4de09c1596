//! Downloads a model, one file of a hub's repository: can be resumed, and is verified.

use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

/// A model file on a hub.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// `owner/name`.
    pub repository: &'a str,
    /// The file's path in the repository.
    pub file: &'a str,
    /// Branch, tag or commit.
    pub revision: &'a str,
    /// The SHA-256 required, 64 lower-case hex digits; `None`: the one that the hub names, if any.
    pub sha256: Option<&'a str>,
}

/// A complete model file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The file.
    pub path: PathBuf,
    /// Whether its SHA-256 was checked; else only its length was.
    pub verified: bool,
    /// Whether it was already there, so that nothing was downloaded.
    pub was_there: bool,
}

/// Why a model could not be fetched.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum FetchError {
    /// The hub does not have the file, or refuses it.
    #[error(
        "{hub} gives no {file} of {repository} at revision {revision} ({cause}); \
         check repository, file and revision in the section [model] of lopper.toml"
    )]
    NotFound { hub: String, repository: String, file: String, revision: String, cause: String },
    /// The hub can't be reached, or its answer is not a hub's.
    #[error(
        "can't ask {hub} for the model: {cause}; check the network, or name another hub in HF_ENDPOINT, \
         or put a GGUF file anywhere and name it in scorer.model"
    )]
    Hub { hub: String, cause: ApiError },
    /// The connection broke.
    #[error("the download broke off after {} of {}: {cause}; run the same command again, it goes on from there",
        HumanBytes(*done), HumanBytes(*size))]
    Interrupted { done: u64, size: u64, cause: ApiError },
    /// Another process downloads the same file.
    #[error("{path} is being downloaded by another lopper; wait for it to end")]
    Busy { path: PathBuf },
    /// The download has another checksum than expected. It is deleted.
    #[error(
        "the downloaded {file} is not the file expected, and was deleted: SHA-256 expected {expected}, got {got}; \
         try again, or correct sha256 in the section [model] of lopper.toml"
    )]
    Checksum { file: String, expected: String, got: String },
    /// The download has another length than the hub said. It is deleted.
    #[error("the downloaded {file} has {got} bytes instead of {expected}, and was deleted; try again")]
    Length { file: String, expected: u64, got: u64 },
    /// A file can't be read or written.
    #[error("{path}: {cause}")]
    File { path: PathBuf, cause: io::Error },
}

/// Downloads `source` into the folder `dir` from the hub at `endpoint` (`None`: the public one). A file that exists and has
/// the right checksum is not downloaded again; an interrupted download is resumed.
///
/// # Errors
/// See [`FetchError`]. After an error there is no file under the model's final name that was not there before.
pub fn fetch(
    source: &Source<'_>,
    dir: &Path,
    endpoint: Option<String>,
    progress: impl Progress,
) -> Result<Fetched, FetchError> {
    // Absolute, as hf-hub makes links from its folder to another and compares their paths.
    let dir = std::path::absolute(dir).map_err(at(dir))?;
    let name = source.file.rsplit('/').next().unwrap_or(source.file);
    let path = dir.join(name);
    // With a known checksum and the file there is no need for the network.
    if let Some(expected) = source.sha256
        && path.is_file()
        && sha256(&path)? == expected
    {
        return Ok(Fetched { path, verified: true, was_there: true });
    }

    let hub = endpoint.map(|endpoint| endpoint.trim_end_matches('/').to_owned());
    let refused = |cause: ApiError| hub_error(source, hub.as_deref().unwrap_or("the public hub"), cause);
    // Holds the download until it is complete and verified; a folder for each model, as it is deleted afterwards.
    let unfinished = dir.join(format!(".{name}.unfinished"));
    let cache = Cache::new(unfinished.clone());
    let repo = Repo::with_revision(source.repository.to_owned(), RepoType::Model, source.revision.to_owned());
    let mut builder = ApiBuilder::from_cache(cache.clone()).with_token(None);
    if let Some(hub) = &hub {
        builder = builder.with_endpoint(hub.clone());
    }
    let api = builder.build().map_err(refused)?;
    let about = api.metadata(&api.repo(repo.clone()).url(source.file)).map_err(refused)?;
    let size = about.size() as u64;
    // The hub's tag of a large file is its SHA-256; that of a small one is git's hash.
    let hub_sum = Some(about.etag()).filter(|tag| tag.len() == 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let expected = source.sha256.or(hub_sum);
    if source.sha256.is_none()
        && let Some(expected) = expected
        && path.is_file()
        && sha256(&path)? == expected
    {
        return Ok(Fetched { path, verified: true, was_there: true });
    }

    // hf-hub's places for the file and for an unfinished part of it.
    let whole = cache.repo(repo.clone()).blob_path(about.etag());
    let part = whole.with_extension("part");
    let done = || part.metadata().map_or(0, |about| about.len());
    fs::create_dir_all(&unfinished).map_err(at(&unfinished))?;
    // hf-hub would ask for the bytes after the last one, and take the hub's refusal for a failure.
    if done() >= size {
        fs::remove_file(&part).or_else(unless_missing).map_err(at(&part))?;
    }
    api.repo(repo).download_with_progress(source.file, progress).map_err(|cause| match (cause, done()) {
        (ApiError::LockAcquisition(_), _) => FetchError::Busy { path: path.clone() },
        (cause, 0) => refused(cause),
        (cause, done) => FetchError::Interrupted { done, size, cause },
    })?;

    let outcome = check(source, &whole, size, expected).and_then(|()| fs::rename(&whole, &path).map_err(at(&path)));
    // The file was moved or is wrong: nothing in there is needed any more.
    fs::remove_dir_all(&unfinished).map_err(at(&unfinished))?;
    outcome.map(|()| Fetched { path, verified: expected.is_some(), was_there: false })
}

fn check(source: &Source<'_>, whole: &Path, size: u64, expected: Option<&str>) -> Result<(), FetchError> {
    let length = whole.metadata().map_err(at(whole))?.len();
    if length != size {
        return Err(FetchError::Length { file: source.file.to_owned(), expected: size, got: length });
    }
    let Some(expected) = expected else { return Ok(()) };
    let got = sha256(whole)?;
    if got == expected {
        Ok(())
    } else {
        Err(FetchError::Checksum { file: source.file.to_owned(), expected: expected.to_owned(), got })
    }
}

/// The SHA-256 of a file, in lower-case hex digits.
///
/// # Errors
/// If the file can't be read.
pub fn sha256(path: &Path) -> Result<String, FetchError> {
    let mut sum = Sha256::new();
    let mut file = File::open(path).map_err(at(path))?;
    io::copy(&mut file, &mut sum).map_err(at(path))?;
    Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn hub_error(source: &Source<'_>, hub: &str, cause: ApiError) -> FetchError {
    let hub = hub.to_owned();
    // The client's error type is not accessible here, its message is. A hub answers 401 for what may be private.
    let message = cause.to_string();
    if ["401", "403", "404"].iter().any(|status| message.ends_with(&format!("status: {status}"))) {
        let [repository, file, revision] = [source.repository, source.file, source.revision].map(str::to_owned);
        return FetchError::NotFound { hub, repository, file, revision, cause: message };
    }
    FetchError::Hub { hub, cause }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path = path.to_path_buf();
    move |cause| FetchError::File { path, cause }
}

fn unless_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Shows a download on standard error: a bar on a terminal, else a line for each tenth.
#[derive(Debug)]
pub struct DownloadProgress {
    bar: ProgressBar,
    name: String,
    size: u64,
    done: u64,
    /// Tenths of the file reported so far; `None` on a terminal.
    reported: Option<u64>,
}

impl DownloadProgress {
    /// Progress of a download that has not begun.
    pub fn on_stderr() -> Self {
        let reported = if io::stderr().is_terminal() { None } else { Some(0) };
        Self { bar: ProgressBar::hidden(), name: String::new(), size: 0, done: 0, reported }
    }
}

impl Progress for DownloadProgress {
    // Called twice: when the size is known, and when the first bytes come.
    fn init(&mut self, size: usize, file: &str) {
        self.size = size as u64;
        self.done = 0;
        self.name = file.to_owned();
        if self.reported.is_none() {
            let layout = "{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            self.bar = ProgressBar::new(self.size).with_message(self.name.clone());
            self.bar.set_style(ProgressStyle::with_template(layout).unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
    }

    fn update(&mut self, bytes: usize) {
        // The part that was there before a resumed download comes first, in one piece.
        self.done += bytes as u64;
        self.bar.set_position(self.done);
        let tenths = self.done * 10 / self.size.max(1);
        if let Some(reported) = &mut self.reported
            && tenths > *reported
        {
            *reported = tenths;
            eprintln!("{}: {} of {} ({}0 %)", self.name, HumanBytes(self.done), HumanBytes(self.size), tenths);
        }
    }

    fn finish(&mut self) {
        self.bar.finish();
    }
}

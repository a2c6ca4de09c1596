//! `lopper model fetch` against a hub of our own: whole, resumed, refused.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::process::command;
use sha2::{Digest, Sha256};

/// More than one read of a socket, and no multiple of anything.
const SIZE: usize = 1_234_567;
const NAME: &str = "tiny-q8_0.gguf";
const PATH: &str = "/someone/tiny-GGUF/resolve/v1/tiny-q8_0.gguf";

fn content() -> Vec<u8> {
    (0..SIZE).map(|i| (i * 31 / 7) as u8).collect()
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How the hub behaves.
#[derive(Clone)]
struct Behaviour {
    /// The file's tag: its SHA-256 on a real hub, where the file is large.
    etag: String,
    /// After so many bytes of an answer, the connection is cut.
    cut_after: usize,
    /// Whether a range is heeded once the download runs.
    ranges: bool,
}

impl Behaviour {
    fn good() -> Self {
        Self { etag: sum(&content()), cut_after: usize::MAX, ranges: true }
    }
}

/// Speaks as much of a hub's protocol as a download needs, and notes the first byte of each range asked for.
struct Hub {
    url: String,
    behaviour: Arc<Mutex<Behaviour>>,
    starts: Arc<Mutex<Vec<usize>>>,
}

impl Hub {
    fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let hub = Self { url, behaviour: Arc::new(Mutex::new(behaviour)), starts: Arc::default() };
        let (behaviour, starts) = (hub.behaviour.clone(), hub.starts.clone());
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (behaviour, starts) = (behaviour.lock().unwrap().clone(), starts.clone());
                thread::spawn(move || answer(stream.unwrap(), &behaviour, &starts));
            }
        });
        hub
    }

    /// The first bytes asked for by downloads so far; the question about the file's size is not one.
    fn starts(&self) -> Vec<usize> {
        self.starts.lock().unwrap().clone()
    }
}

/// Answers one request, then closes.
fn answer(mut stream: TcpStream, behaviour: &Behaviour, starts: &Mutex<Vec<usize>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).map(|line| line.to_lowercase()).collect();
    if request.split(' ').nth(1) != Some(PATH) {
        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        return;
    }
    let range = headers.iter().find_map(|line| line.strip_prefix("range: bytes=")).unwrap();
    let (start, end) = range.split_once('-').unwrap();
    let mut start: usize = start.parse().unwrap();
    let end = end.parse().map_or(SIZE, |last: usize| last + 1);
    let downloads = end == SIZE;
    if downloads {
        starts.lock().unwrap().push(start);
        if !behaviour.ranges {
            start = 0;
        }
    }
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nx-repo-commit: 0123456789abcdef\r\netag: \"of-this-answer\"\r\n\
         x-linked-etag: \"{}\"\r\ncontent-range: bytes {start}-{}/{SIZE}\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        behaviour.etag,
        end - 1,
        end - start,
    );
    stream.write_all(head.as_bytes()).unwrap();
    let body = &content()[start..end];
    let sent = if downloads { body.len().min(behaviour.cut_after) } else { body.len() };
    // A client that has seen enough may be gone.
    let _ = stream.write_all(&body[..sent]);
}

/// A user's folders, in which `lopper model fetch` runs.
struct User {
    home: tempfile::TempDir,
}

impl User {
    /// A user whose configuration names the hub's file; `keys` are more lines of its `[model]`.
    fn new(keys: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = format!("[model]\nrepository = 'someone/tiny-GGUF'\nrevision = 'v1'\nfile = '{NAME}'\n{keys}\n");
        std::fs::write(home.path().join("lopper.toml"), config).unwrap();
        Self { home }
    }

    fn fetch(&self, hub: &Hub) -> Output {
        command()
            .args(["model", "fetch"])
            .current_dir(self.home.path())
            .env("HOME", self.home.path())
            .env("XDG_CONFIG_HOME", self.home.path())
            .env("XDG_DATA_HOME", self.home.path())
            .env("HF_ENDPOINT", &hub.url)
            .env("NO_PROXY", "127.0.0.1")
            .output()
            .unwrap()
    }

    fn models(&self) -> PathBuf {
        self.home.path().join("lopper/models")
    }

    fn model(&self) -> PathBuf {
        self.models().join(NAME)
    }
}

fn assert_fetched(output: &Output, model: &Path) {
    assert!(output.status.success(), "{}", stderr(output));
    assert!(std::fs::read(model).unwrap() == content(), "the file's bytes differ");
    let names: Vec<_> =
        std::fs::read_dir(model.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names, [model], "nothing else is left behind");
}

fn assert_refused(output: &Output, user: &User, told: &[&str]) {
    assert!(!output.status.success());
    let stderr = stderr(output);
    for words in told {
        assert!(stderr.contains(words), "no {words:?} in: {stderr}");
    }
    assert!(!user.model().exists());
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_fetched_file_has_the_hubs_bytes_and_is_not_fetched_twice() {
    let hub = Hub::start(Behaviour::good());
    let user = User::new("");
    let output = user.fetch(&hub);
    assert_fetched(&output, &user.model());
    assert!(stderr(&output).contains("(100 %)"), "progress is shown: {}", stderr(&output));
    assert_fetched(&user.fetch(&hub), &user.model());
    assert_eq!(hub.starts(), [0]);
}

#[test]
fn a_changed_file_is_fetched_again() {
    let hub = Hub::start(Behaviour::good());
    let user = User::new("");
    std::fs::create_dir_all(user.models()).unwrap();
    std::fs::write(user.model(), "of an older revision").unwrap();
    assert_fetched(&user.fetch(&hub), &user.model());
}

#[test]
fn a_broken_download_goes_on_where_it_was() {
    let hub = Hub::start(Behaviour { cut_after: 500_000, ..Behaviour::good() });
    let user = User::new("");
    assert_refused(&user.fetch(&hub), &user, &["broke off", "again"]);
    assert_refused(&user.fetch(&hub), &user, &["broke off", "of 1.18 MiB"]);
    hub.behaviour.lock().unwrap().cut_after = usize::MAX;
    assert_fetched(&user.fetch(&hub), &user.model());
    assert_eq!(hub.starts(), [0, 500_000, 1_000_000]);
}

#[test]
fn a_wrong_checksum_is_refused_and_deleted() {
    let expected = "0".repeat(64);
    for (keys, etag) in [(format!("sha256 = '{expected}'"), sum(&content())), (String::new(), expected.clone())] {
        let hub = Hub::start(Behaviour { etag, ..Behaviour::good() });
        let user = User::new(&keys);
        assert_refused(&user.fetch(&hub), &user, &["expected 0000", &format!("got {}", sum(&content())), "deleted"]);
        assert_refused(&user.fetch(&hub), &user, &["deleted"]);
        assert_eq!(hub.starts(), [0, 0], "the wrong bytes are not built upon");
    }
}

#[test]
fn the_configured_checksum_counts_where_the_hub_has_none() {
    let hub = Hub::start(Behaviour { etag: "0123456789abcdef0123456789abcdef01234567".into(), ..Behaviour::good() });
    let user = User::new(&format!("sha256 = '{}'", sum(&content()).to_uppercase()));
    assert_fetched(&user.fetch(&hub), &user.model());
}

#[test]
fn a_hub_that_ignores_the_range_can_not_spoil_the_file() {
    let etag = "0123456789abcdef0123456789abcdef01234567".to_owned();
    let hub = Hub::start(Behaviour { etag, cut_after: 500_000, ranges: false });
    let user = User::new("");
    assert_refused(&user.fetch(&hub), &user, &["broke off"]);
    hub.behaviour.lock().unwrap().cut_after = usize::MAX;
    assert_refused(&user.fetch(&hub), &user, &["1734567 bytes instead of 1234567"]);
    assert_fetched(&user.fetch(&hub), &user.model());
}

#[test]
fn a_missing_file_is_told_with_what_to_do() {
    let hub = Hub::start(Behaviour::good());
    let user = User::new("");
    let config = user.home.path().join("lopper.toml");
    std::fs::write(&config, "[model]\nrepository = 'someone/other'\n").unwrap();
    assert_refused(&user.fetch(&hub), &user, &["someone/other", "404", "[model]", "lopper.toml"]);
}

#[test]
fn an_unreachable_hub_is_told_with_what_to_do() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let hub = Hub { url: format!("http://127.0.0.1:{port}"), ..Hub::start(Behaviour::good()) };
    let user = User::new("");
    assert_refused(&user.fetch(&hub), &user, &["HF_ENDPOINT", "scorer.model"]);
}

//! The real binary, started as a user would, and clients for it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use tempfile::TempDir;

use super::model;

/// A route whose requests may be compressed.
pub const CHAT: &str = "/v1/chat/completions";
/// A file of 380 lines, about 3,000 tokens.
pub const INVENTORY: &str = include_str!("../../fixtures/inventory.py");

/// A chat with a question about that file.
pub fn chat_about_inventory(question: &str) -> String {
    let content = format!("{question}\n\n`inventory.py`:\n```python\n{INVENTORY}```\n");
    serde_json::json!({"model": "gpt-5", "messages": [{"role": "user", "content": content}]}).to_string()
}

/// Settings under which a decision takes milliseconds.
pub const LEXICAL: &str = "[scorer]\nmethod = 'lexical'\n";
/// The environment variable that gives a process an admin port.
pub const FREE_ADMIN_PORT: (&str, &str) = ("LOPPER_ADMIN_LISTEN", "127.0.0.1:0");

/// The file that holds what a process writes to stderr.
const LOG: &str = "stderr.log";

/// The `lopper` command, without the settings and the proxies of whoever runs the tests.
pub fn command() -> Command {
    bare(env!("CARGO_BIN_EXE_lopper"))
}

fn bare(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LOPPER_") {
            command.env_remove(name);
        }
    }
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "HF_ENDPOINT", "COLUMNS"] {
        command.env_remove(name);
    }
    command
}

/// A running `lopper serve`, killed when dropped.
pub struct Lopper {
    process: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Kept open: a process whose output nobody takes is in trouble.
    _stdout: BufReader<ChildStdout>,
    directory: TempDir,
}

impl Lopper {
    /// Starts with the default configuration in front of `upstream`.
    pub fn start(upstream: &str) -> Self {
        Self::configured(upstream, "", &[])
    }

    /// Starts with the text of a `lopper.toml` and environment variables, which are stronger.
    pub fn configured(upstream: &str, config: &str, environment: &[(&str, &str)]) -> Self {
        Self::after("", upstream, config, environment)
    }

    /// The same in the place of a shell that has run `shell` before.
    pub fn after(shell: &str, upstream: &str, config: &str, environment: &[(&str, &str)]) -> Self {
        let (mut process, directory) = spawn(shell, upstream, config, environment);
        let mut stdout = BufReader::new(process.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            if stdout.read_line(&mut line).unwrap() == 0 {
                panic!("lopper ended before it listened: {}", stderr(&directory));
            }
            if let Some((scheme, address)) = line.trim_end().split_once("://") {
                assert!(["listening on http", "listening on https"].contains(&scheme), "{line}");
                break address.parse().unwrap();
            }
        };
        Self { process, address, _stdout: stdout, directory }
    }

    /// The URL of `path`, which starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The URL of `path` at the admin port, if it was given a free one: `LOPPER_ADMIN_LISTEN` is `127.0.0.1:0`.
    pub fn admin(&self, path: &str) -> String {
        let log = self.log();
        let address = log.lines().find_map(|line| line.strip_prefix("admin      ")).expect("there is an admin port");
        format!("{address}{path}")
    }

    /// What of its own is in its folder beside its settings, such as `ledger.redb`.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// What it has written to stderr so far.
    pub fn log(&self) -> String {
        stderr(&self.directory)
    }

    /// Its settings file.
    pub fn config(&self) -> std::path::PathBuf {
        self.directory.path().join("lopper.toml")
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends it this signal, such as `HUP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Asks it to stop, as a service manager does, and returns once it accepts no more connections.
    pub fn terminate(&self) {
        self.signal("TERM");
        while std::net::TcpStream::connect(self.address).is_ok() {
            std::thread::yield_now();
        }
    }

    /// Waits for it to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

impl Drop for Lopper {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What `lopper serve` says when it refuses to start.
pub fn refusal(upstream: &str) -> (ExitStatus, String) {
    refused(upstream, &[])
}

/// The same with environment variables.
pub fn refusal_with(environment: &[(&str, &str)]) -> (ExitStatus, String) {
    refused("http://127.0.0.1:9/v1", environment)
}

fn refused(upstream: &str, environment: &[(&str, &str)]) -> (ExitStatus, String) {
    let (mut process, directory) = spawn("", upstream, "", environment);
    (process.wait().unwrap(), stderr(&directory))
}

/// A client that changes nothing by itself: no proxy, no redirects.
pub fn client() -> reqwest::Client {
    builder().build().unwrap()
}

/// The same over HTTP/2 without TLS.
pub fn h2c_client() -> reqwest::Client {
    builder().http2_prior_knowledge().build().unwrap()
}

fn builder() -> reqwest::ClientBuilder {
    // reqwest asks for one even where nothing is encrypted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none())
}

fn spawn(shell: &str, upstream: &str, config: &str, environment: &[(&str, &str)]) -> (Child, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lopper.toml");
    std::fs::write(&file, config).unwrap();
    // A file and not a pipe: a pipe that nobody empties fills up and blocks the process.
    let log = File::create(directory.path().join(LOG)).unwrap();
    let mut command = match shell {
        "" => command(),
        shell => {
            let mut command = bare("sh");
            command.args(["-c", &format!("{shell}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_lopper")]);
            command
        }
    };
    command.args(["serve", "--listen", "127.0.0.1:0", "--upstream", upstream, "--config"]).arg(file);
    if cfg!(feature = "llama") {
        command.env("LOPPER_SCORER_MODEL", model());
    }
    // One that looks at the admin port takes a free one.
    command.env("LOPPER_ADMIN_LISTEN", "off");
    // Tests run side by side: a thread each, and no test depends on how long the others take.
    command.env("LOPPER_SCORER_THREADS", "1").env("LOPPER_SCORER_DEADLINE_MS", "3600000");
    // And none depends on what one of them measures.
    command.env("LOPPER_SCORER_UBATCH", "512");
    command.envs(environment.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    (command.spawn().unwrap(), directory)
}

fn stderr(directory: &TempDir) -> String {
    std::fs::read_to_string(directory.path().join(LOG)).unwrap()
}

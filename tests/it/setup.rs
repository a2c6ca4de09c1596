//! `lopper setup` on settings files of assistants, in a home of its own.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::process::command;
use tempfile::TempDir;

/// A person's home with these files.
struct Home(TempDir);

impl Home {
    fn new(files: &[(&str, &str)]) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = home.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn run(&self, arguments: &str, environment: &[(&str, &Path)]) -> Output {
        let mut command = command();
        for name in ["CODEX_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "AIDER_OPENAI_API_BASE"] {
            command.env_remove(name);
        }
        command.arg("setup").args(arguments.split_whitespace()).current_dir(self.0.path()).env("HOME", self.0.path());
        // What is not to be found in any output or file.
        command.env("OPENAI_API_KEY", "sk-secret").envs(environment.iter().copied());
        command.output().unwrap()
    }

    /// What a command says that succeeds, with ~ for this home.
    fn says(&self, arguments: &str) -> String {
        let output = self.run(arguments, &[]);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        self.shown(&output.stdout)
    }

    /// What a command says that fails.
    fn complains(&self, arguments: &str) -> String {
        let output = self.run(arguments, &[]);
        assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{output:?}");
        self.shown(&output.stderr)
    }

    fn shown(&self, said: &[u8]) -> String {
        let said = String::from_utf8_lossy(said).replace(self.0.path().to_str().unwrap(), "~");
        assert!(!said.contains("sk-secret"), "{said}");
        said
    }

    /// Names of all files.
    fn files(&self) -> Vec<String> {
        let (mut found, mut folders) = (Vec::new(), vec![self.0.path().to_path_buf()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => found.push(path.strip_prefix(self.0.path()).unwrap().display().to_string()),
                }
            }
        }
        found.sort();
        found
    }
}

const AIDER_FILE: &str = ".aider.conf.yml";

#[test]
fn the_setting_is_shown_and_nothing_is_written() {
    let home = Home::new(&[]);
    for client in ["aider", "codex", "opencode", "continue", "cline", "openai-sdk"] {
        insta::assert_snapshot!(format!("setup_{client}"), home.says(client));
    }
    assert!(home.files().is_empty());
}

#[test]
fn all_names_are_listed() {
    let home = Home::new(&[]);
    insta::assert_snapshot!(home.says(""));
}

#[test]
fn the_removed_flags_say_what_to_do_instead() {
    let home = Home::new(&[(AIDER_FILE, "model: openai/gpt-5\n")]);
    for flag in ["--write", "--undo"] {
        insta::assert_snapshot!(format!("setup{flag}"), home.complains(&format!("aider {flag}")));
    }
    assert_eq!((home.read(AIDER_FILE).as_str(), home.files()), ("model: openai/gpt-5\n", vec![AIDER_FILE.to_owned()]));
}

#[test]
fn the_address_comes_from_the_settings_or_the_flag() {
    let home = Home::new(&[
        ("lopper.toml", "[server]\nlisten = \"0.0.0.0:9999\"\n"),
        ("free.toml", "[server]\nlisten = \"127.0.0.1:0\"\n"),
    ]);
    assert!(home.says("aider").contains("openai-api-base: http://127.0.0.1:9999/v1\n"));
    assert!(home.says("aider --url https://gate.example/lopper/v1/").contains(": https://gate.example/lopper/v1\n"));
    assert!(home.complains("aider --config free.toml").contains("--url"));
    assert!(home.complains("aider --url localhost:1").contains("write it like http://127.0.0.1:8787/v1"));
    assert!(!home.complains("aider --url http://me:hunter2@x/v1").contains("hunter2"));
}

#[test]
fn folders_that_the_environment_names_are_used() {
    let home = Home::new(&[]);
    for (variable, client, file) in
        [("CODEX_HOME", "codex", "other/config.toml"), ("XDG_CONFIG_HOME", "opencode", "other/opencode/opencode.json")]
    {
        let output = home.run(client, &[(variable, &home.path("other"))]);
        assert!(output.status.success(), "{output:?}");
        assert!(home.shown(&output.stdout).contains(&format!(" reads ~/{file}. ")), "{output:?}");
    }
}

#[test]
fn what_is_printed_agrees_with_the_examples() {
    let example = |name: &str| {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)).unwrap()
    };
    let home = Home::new(&[]);
    assert!(home.says("codex").contains(example("codex/config.toml").split_once("\"gpt-5.5\"\n").unwrap().1));
    assert!(home.says("opencode").contains(&example("opencode/opencode.json")));
    let shown = home.says("continue");
    let page = example("../docs/assistants.md");
    let (_, lines) = page.split_once("```yaml\n").unwrap();
    let lines = lines.split("```").next().unwrap().replace("       # forwarded as it is", "");
    assert!(shown.contains(&lines), "{shown}");
}

#[test]
fn help() {
    let home = Home::new(&[]);
    insta::assert_snapshot!(home.says("--help"));
}

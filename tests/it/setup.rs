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
        command.arg("setup").args(arguments.split(' ')).current_dir(self.0.path()).env("HOME", self.0.path());
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

const FILES: [(&str, &str); 4] = [
    ("aider", ".aider.conf.yml"),
    ("codex", ".codex/config.toml"),
    ("opencode", ".config/opencode/opencode.json"),
    ("continue", ".continue/config.yaml"),
];

#[test]
fn the_setting_is_shown_and_nothing_is_written() {
    let home = Home::new(&[]);
    for client in ["aider", "codex", "opencode", "continue", "cline"] {
        insta::assert_snapshot!(format!("setup_{client}"), home.says(client));
    }
    assert!(home.files().is_empty());
}

#[test]
fn a_file_that_was_not_there_is_made_and_removed() {
    for (client, file) in FILES {
        let home = Home::new(&[]);
        let said = home.says(&format!("{client} --write"));
        assert!(said.starts_with(&format!("~/{file} points ")) && said.contains(":8787/v1 now.\n"), "{said}");
        assert_eq!(home.files(), [file]);
        insta::assert_snapshot!(format!("setup_{client}_new"), home.read(file));
        assert!(home.says(&format!("{client} --write")).contains(" already."));
        let elsewhere = home.says(&format!("{client} --write --url http://127.0.0.1:99"));
        assert!(elsewhere.contains("http://127.0.0.1:99/v1 now."), "{elsewhere}");
        assert!(home.read(file).contains("http://127.0.0.1:99/v1") && !home.read(file).contains("8787"));
        assert_eq!(home.files(), [file]);
        assert_eq!(home.says(&format!("{client} --undo")), format!("~/{file} is gone, as it was before.\n"));
        assert!(home.files().is_empty());
        assert_eq!(home.says(&format!("{client} --undo")), format!("~/{file} has nothing of Lopper's.\n"));
    }
}

const AIDER: &str = "# My aider.\nmodel: openai/gpt-5  # the large one\nopenai-api-base: https://proxy.example/v1 # ours\n\
    read: [CONVENTIONS.md]\n";
const CODEX: &str = "# My Codex.\nmodel = \"gpt-5.5\"   # the large one\nmodel_provider = \"azure\"\n\n[model_providers.azure] # \
    the company's\nname = \"Azure\"\nbase_url = \"https://x.example/openai\"\n\n[projects.\"/src\"]\ntrust_level = \"trusted\"\n";
const OPENCODE: &str = "{\n  \"$schema\": \"https://opencode.ai/config.json\",\n  \"model\": \"openai/gpt-5\",\n  \"provider\": \
    {\n    \"local\": { \"npm\": \"@ai-sdk/openai-compatible\", \"models\": { \"x\": {} } }\n  },\n  \"share\": \"disabled\"\n}\n";
const CONTINUE: &str = "name: Mine\nversion: 1.0.0\nschema: v1\n\nmodels:\n  # The large one.\n  - name: GPT\n    provider: \
    openai\n    model: gpt-5\n    roles:\n      - chat\n  - name: Local\n    provider: openai\n    apiBase: \
    http://localhost:1234/v1\n    model: q\n  - uses: ollama/x\n";

#[test]
fn a_file_keeps_what_is_the_persons_own() {
    for ((client, file), text) in FILES.into_iter().zip([AIDER, CODEX, OPENCODE, CONTINUE]) {
        let home = Home::new(&[(file, text)]);
        insta::assert_snapshot!(format!("setup_{client}_shown"), home.says(client));
        assert_eq!(home.files(), [file]);
        let said = home.says(&format!("{client} --write"));
        let written = home.read(file);
        insta::assert_snapshot!(format!("setup_{client}_written"), format!("{said}---\n{written}"));
        assert_eq!(home.read(&format!("{file}.lopper-backup")), text);
        home.says(&format!("{client} --write"));
        assert_eq!(home.read(file), written);
        assert_eq!(home.says(&format!("{client} --undo")), format!("~/{file} is what it was.\n"));
        assert_eq!((home.read(file).as_str(), home.files()), (text, vec![file.to_owned()]));
    }
}

#[test]
fn what_was_changed_since_is_kept() {
    let more = ["dark-mode: true\n", "\n[tui]\nnotifications = true\n", "", "rules:\n  - uses: a/b\n"];
    for (((client, file), text), more) in FILES.into_iter().zip([AIDER, CODEX, OPENCODE, CONTINUE]).zip(more) {
        let home = Home::new(&[(file, text)]);
        home.says(&format!("{client} --write"));
        let changed = match client {
            "opencode" => home.read(file).replace("disabled", "manual"),
            _ => home.read(file) + more,
        };
        std::fs::write(home.path(file), changed).unwrap();
        let said = home.says(&format!("{client} --undo"));
        assert!(said.contains("what else was changed since is kept"), "{said}");
        let expected = text.replace("disabled", if client == "opencode" { "manual" } else { "disabled" }) + more;
        assert_eq!((home.read(file), home.files()), (expected, vec![file.to_owned()]));
    }
}

#[test]
fn what_can_not_be_taken_back_is_told() {
    let home = Home::new(&[(FILES[1].1, CODEX)]);
    home.says("codex --write");
    let changed = home.read(FILES[1].1).replace("name = \"Lopper\"", "name = \"Mine\"");
    std::fs::write(home.path(FILES[1].1), &changed).unwrap();
    insta::assert_snapshot!(home.complains("codex --undo"));
    assert_eq!(home.read(FILES[1].1), changed);
    // More under the table of Lopper's would come under another one.
    let home = Home::new(&[(FILES[1].1, CODEX)]);
    home.says("codex --write");
    let changed = home.read(FILES[1].1) + "http_headers = { a = \"b\" }\n";
    std::fs::write(home.path(FILES[1].1), &changed).unwrap();
    assert!(home.complains("codex --undo").contains("By hand, take out:\n\nmodel_provider"));
    assert_eq!(home.read(FILES[1].1), changed);
}

#[test]
fn files_that_a_program_can_not_change_safely_are_left() {
    let mut told = String::new();
    for (client, file, text) in [
        ("aider", FILES[0].1, "x: &a 1\ny: *a\n"),
        ("aider", FILES[0].1, "x: \"over\n  lines\"\n"),
        ("codex", FILES[1].1, "model = \n"),
        ("codex", FILES[1].1, "model_providers = { x = { name = \"x\" } }\n"),
        ("opencode", FILES[2].1, "{\n  // mine\n  \"model\": \"openai/x\"\n}\n"),
        ("opencode", ".config/opencode/opencode.jsonc", "{ \"model\": \"openai/x\", }\n"),
        ("opencode", FILES[2].1, "{ \"providers\": {} }\n"),
        ("continue", FILES[3].1, "name: x\nmodels: []\n"),
        ("continue", FILES[3].1, "models: [{ name: x, provider: openai }]\n"),
        ("continue", FILES[3].1, "models:\n  - { name: x, provider: openai }\n"),
        ("continue", FILES[3].1, "models:\n  - provider: openai\n    apiBase: http://localhost:1/v1\n"),
    ] {
        let home = Home::new(&[(file, text)]);
        let said = home.complains(&format!("{client} --write"));
        assert!(said.contains("http://127.0.0.1:8787/v1"), "it says what to write: {said}");
        told += said.lines().next().unwrap();
        told += "\n";
        assert_eq!((home.read(file).as_str(), home.files()), (text, vec![file.to_owned()]));
    }
    insta::assert_snapshot!(told);
    let home = Home::new(&[]);
    for flag in ["--write", "--undo"] {
        insta::assert_snapshot!("setup_cline_write", home.complains(&format!("cline {flag}")));
    }
    std::fs::write(home.path(FILES[0].1), b"x: \xff\n").unwrap();
    assert!(home.complains("aider --write").contains(".aider.conf.yml can't be read"));
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
        let folder = home.path("other");
        let output = home.run(&format!("{client} --write"), &[(variable, &folder)]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(home.files(), [file]);
        assert!(home.run(&format!("{client} --undo"), &[(variable, &folder)]).status.success());
    }
}

#[cfg(unix)]
#[test]
fn who_may_read_the_file_and_a_link_to_it_stay() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new(&[("dotfiles/aider.yml", AIDER)]);
    std::fs::set_permissions(home.path("dotfiles/aider.yml"), PermissionsExt::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("dotfiles/aider.yml", home.path(FILES[0].1)).unwrap();
    home.says("aider --write");
    assert!(home.path(FILES[0].1).is_symlink() && home.read("dotfiles/aider.yml").contains("8787"));
    let copy = home.path(".aider.conf.yml.lopper-backup").metadata().unwrap();
    assert_eq!(copy.permissions().mode() & 0o777, 0o600);
    home.says("aider --undo");
    assert!(home.path(FILES[0].1).is_symlink());
    assert_eq!(home.read("dotfiles/aider.yml"), AIDER);
}

#[test]
fn what_is_written_agrees_with_the_examples() {
    let example = |name: &str| {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)).unwrap()
    };
    let readme = example("../README.md");
    let home = Home::new(&[]);
    home.says("codex --write");
    assert!(readme.contains(&home.read(FILES[1].1)) && example("codex/README.md").contains(&home.read(FILES[1].1)));
    assert_eq!(home.read(FILES[1].1), example("codex/config.toml").split_once("\"gpt-5.5\"\n").unwrap().1);
    home.says("opencode --write");
    assert_eq!(home.read(FILES[2].1), example("opencode/opencode.json"));
    assert!(example("opencode/README.md").contains(&home.read(FILES[2].1)));
    let shown = home.says("continue");
    let lines = example("continue.md").split("```").nth(1).unwrap().replace("       # forwarded as it is", "");
    assert!(shown.contains(lines.strip_prefix("yaml\n").unwrap()), "{shown}");
}

#[test]
fn help() {
    let home = Home::new(&[]);
    insta::assert_snapshot!(home.says("--help"));
}

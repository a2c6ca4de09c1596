//! The command line as a person meets it: what it prints, and what it says when something is wrong.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Output, Stdio};

use crate::support::model;
use crate::support::process::{INVENTORY, command};
use lopper::render;
use tempfile::TempDir;

/// A folder of its own to work in, which is also the person's home.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let model = model();
        self.run_with(arguments, &[("LOPPER_SCORER_MODEL", model.to_str().unwrap()), ("LOPPER_SCORER_UBATCH", "512")])
    }

    fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = command();
        command.args(arguments).envs(environment.iter().copied()).current_dir(self.path());
        command.env("HOME", self.path()).env("LOPPER_SCORER_THREADS", "1");
        command.env("XDG_CONFIG_HOME", self.path().join("config")).env("XDG_DATA_HOME", self.path().join("data"));
        if arguments.first() != Some(&"serve") || arguments.contains(&"--help") {
            return command.output().unwrap();
        }
        // Nobody would end a proxy that runs after all.
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if !line.is_empty() {
            process.kill().unwrap();
        }
        let output = process.wait_with_output().unwrap();
        Output { stdout: line.into(), ..output }
    }

    /// Runs what must fail, and returns what it says.
    fn complaint(&self, arguments: &[&str]) -> String {
        complaint(&self.run(arguments))
    }
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success());
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn printed(output: &Output) -> (String, String) {
    assert!(output.status.success(), "{output:?}");
    (String::from_utf8(output.stdout.clone()).unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
}

fn assert_says(said: &str, words: &[&str]) {
    for words in words {
        assert!(said.contains(words), "no {words:?} in: {said}");
    }
}

/// The first classes of the inventory.
fn shelves() -> &'static str {
    &INVENTORY[..INVENTORY.find("class Catalogue:").unwrap()]
}

#[test]
fn compress_prints_code_and_tells_figures_apart() {
    let desk = Desk::new(&[("inventory.py", shelves())]);
    let (code, figures) =
        printed(&desk.run(&["compress", "inventory.py", "-q", "How does a shelf know what is left over?"]));
    let markers: Vec<&str> = code.lines().filter(|line| render::is_marker(line)).collect();
    assert!(!markers.is_empty() && markers.iter().all(|marker| marker.contains(" of inventory.py left out")), "{code}");
    assert!(code.lines().all(|line| render::is_marker(line) || shelves().lines().any(|known| known == line)), "{code}");
    assert!(code.len() < shelves().len() * 7 / 10, "{code}");
    assert_says(&figures, &["inventory.py: ", " → ", " tokens (-", " ms"]);
}

#[test]
fn compress_leaves_what_it_can_not_cut_and_says_so() {
    let text = "This is not Python, whatever the file's name says: (\n".repeat(40);
    let desk = Desk::new(&[("letter.py", &text), ("tiny.py", "print('hello')\n")]);
    let (code, said) = printed(&desk.run(&["compress", "letter.py", "tiny.py", "-q", "what is it"]));
    assert_eq!(code, text + "print('hello')\n");
    assert_says(&said, &["letter.py: left as it is", "tiny.py: left as it is"]);
}

#[test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
fn compress_says_what_is_wrong_with_its_arguments() {
    let desk = Desk::new(&[("a.py", "x = 1\n"), ("a.xyz", "x\n"), ("latin.py", "")]);
    std::fs::write(desk.path().join("latin.py"), b"x = '\xe9'\n").unwrap();
    for (arguments, told) in [
        (&["compress", "a.xyz", "-q", "why"][..], &["a.xyz", "language", "Python", "Rust"][..]),
        (&["compress", "absent.py", "-q", "why"], &["absent.py", "can't be read"]),
        (&["compress", "latin.py", "-q", "why"], &["latin.py", "UTF-8"]),
        (&["compress", "a.py", "-q", "  "], &["--query", "empty"]),
        (&["compress", "a.py"], &["--query"]),
        (&["compress", "-q", "why"], &["<FILE>"]),
        (&["compress", "a.py", "-q", "why", "--ratio", "1.5"], &["--ratio", "1.5", "at most 1"]),
        (&["compress", "a.py", "-q", "why", "--ratio", "-0.1"], &["--ratio", "-0.1", "above 0"]),
        (&["compress", "a.py", "-q", "why", "--ratio", "half"], &["--ratio", "half"]),
        (&["compress", "a.py", "-q", "why", "--model", "absent.gguf"], &["absent.gguf", "lopper model fetch"]),
        (&["compress", "a.py", "-q", "why", "--model", "a.xyz"], &["a.xyz", "GGUF"]),
        (&["compress", "a.py", "-q", "why", "--config", "absent.toml"], &["absent.toml", "can't be read"]),
        (&["prune"], &["prune"]),
    ] {
        let said = desk.complaint(arguments);
        println!("{arguments:?}\n{said}");
        assert_says(&said, told);
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
fn a_model_is_converted_and_described() {
    let desk = Desk::new(&[]);
    let source = model();
    printed(&desk.run(&["model", "convert", source.to_str().unwrap(), "small.gguf", "--format", "q4_0"]));
    let sizes = [source.as_path(), &desk.path().join("small.gguf")].map(|path| path.metadata().unwrap().len());
    assert!(sizes[1] < sizes[0], "{sizes:?}");
    assert_eq!(std::fs::read_dir(desk.path()).unwrap().count(), 1, "nothing else is left behind");

    let (info, _) = printed(&desk.run(&["model", "info", "small.gguf", "--threads", "1"]));
    let value = |key: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("no {key}in {info}"));
        line.trim().to_owned()
    };
    assert_eq!((value("file "), value("format ")), ("small.gguf".into(), "Q4_0".into()));
    assert_eq!((value("architecture "), value("threads ")), ("llama".into(), "1".into()));
    for (key, unit) in [("parameters ", "M"), ("weights ", "MB"), ("context ", "tokens"), ("prefill ", "tokens/s")] {
        let value = value(key);
        let (number, named) = value.split_once(' ').unwrap();
        assert!(number.parse::<u64>().unwrap() > 0 && named == unit, "{key}{value}");
    }
    assert_says(&value("scoring "), &["tokens/s", "of prefill"]);
}

#[test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
fn what_was_measured_of_a_model_stands() {
    let desk = Desk::new(&[]);
    std::fs::copy(model(), desk.path().join("m.gguf")).unwrap();
    let speed = || {
        let (info, _) = printed(&desk.run(&["model", "info", "m.gguf", "--threads", "1"]));
        info.lines().find_map(|line| line.strip_prefix("scoring ")).unwrap().trim().to_owned()
    };
    let measured = speed();
    let file = desk.path().join("m.gguf.speed.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut known: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rate = known[0]["tokens_per_second"].as_f64().unwrap();
    assert!(measured.starts_with(&format!("{rate:.0} tokens/s")), "{measured}: {text}");
    // Nobody measures that.
    known[0]["tokens_per_second"] = 123_456.into();
    std::fs::write(&file, known.to_string()).unwrap();
    assert!(speed().starts_with("123456 tokens/s"));
}

#[test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
fn model_commands_say_what_is_wrong() {
    let desk = Desk::new(&[("text.gguf", "not a model\n")]);
    let source = model();
    let source = source.to_str().unwrap();
    for (arguments, told) in [
        (&["model", "info", "absent.gguf"][..], &["absent.gguf"][..]),
        (&["model", "info", "text.gguf"], &["text.gguf", "GGUF"]),
        (&["model", "convert", "absent.gguf", "new.gguf"], &["absent.gguf"]),
        (&["model", "convert", "text.gguf", "new.gguf"], &["text.gguf"]),
        (&["model", "convert", source, "no/such/folder/new.gguf"], &["no/such/folder"]),
        (&["model", "convert", source, "new.gguf", "--format", "q3"], &["q3", "q8_0", "q4_0"]),
    ] {
        let said = desk.complaint(arguments);
        println!("{arguments:?}\n{said}");
        assert_says(&said, told);
        assert!(!desk.path().join("new.gguf").exists());
    }
}

#[test]
fn models_are_listed_from_the_data_folder() {
    let desk = Desk::new(&[]);
    let (none, _) = printed(&desk.run_with(&["model", "list"], &[]));
    assert_says(&none, &["no models", "lopper model fetch"]);
    let models = desk.path().join("data/lopper/models");
    std::fs::create_dir_all(&models).unwrap();
    for (name, size) in [("b.gguf", 3_000_000), ("a.gguf", 12_000_000), ("a.gguf.part", 5)] {
        std::fs::write(models.join(name), vec![0; size]).unwrap();
    }
    let (list, _) = printed(&desk.run_with(&["model", "list"], &[]));
    let shown = models.display();
    assert_eq!(list, format!("    12 MB  {shown}/a.gguf\n     3 MB  {shown}/b.gguf\n"));
}

#[test]
fn mistakes_in_the_settings_are_told_with_their_place() {
    let settings = "[compression]\nmode = \"on\"\nratoi = 0.3\nmin_saving = 2\n\n[servr]\n";
    let desk = Desk::new(&[("lopper.toml", settings), ("a.py", "x = 1\n")]);
    // One file serves all verbs, and all its mistakes are told at once.
    for arguments in [&["serve"][..], &["check"], &["compress", "a.py", "-q", "why"], &["model", "fetch"]] {
        let said = desk.complaint(arguments);
        assert_says(
            &said,
            &[
                "lopper.toml:3: unknown key \"ratoi\" in [compression]; did you mean \"ratio\"?",
                "lopper.toml:4: compression.min_saving is 2",
                "lopper.toml:6: unknown section [servr]; did you mean [server]?",
            ],
        );
    }
    let desk = Desk::new(&[("other.toml", "[server\n")]);
    assert_says(&desk.complaint(&["serve", "--config", "other.toml"]), &["other.toml:1:"]);
    let said = complaint(&desk.run_with(&["serve"], &[("LOPPER_COMPRESSION_RATOI", "1")]));
    assert_says(&said, &["LOPPER_COMPRESSION_RATOI", "did you mean LOPPER_COMPRESSION_RATIO?"]);
}

#[test]
fn settings_come_from_the_working_folder_then_the_persons_own() {
    let desk = Desk::new(&[]);
    let own = desk.path().join("config/lopper");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("lopper.toml"), "[own]\n").unwrap();
    assert_says(&desk.complaint(&["serve"]), &["config/lopper/lopper.toml:1: unknown section [own]"]);
    std::fs::write(desk.path().join("lopper.toml"), "[here]\n").unwrap();
    assert_says(&desk.complaint(&["serve"]), &["lopper.toml:1: unknown section [here]"]);
    std::fs::write(desk.path().join("asked.toml"), "[asked]\n").unwrap();
    let said = desk.complaint(&["serve", "--config", "asked.toml"]);
    assert_says(&said, &["asked.toml:1: unknown section [asked]"]);
}

#[test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
fn serve_says_what_it_needs() {
    let keyed = "[upstream]\napi_key_env = \"A_KEY_THAT_IS_NOT_SET\"\n";
    let desk = Desk::new(&[("keyed.toml", keyed)]);
    let said = complaint(&desk.run_with(&["serve", "--upstream", "embedded"], &[]));
    assert_says(&said, &["no model file at", "data/lopper/models", "lopper model fetch", "scorer.model"]);
    let said = desk.complaint(&["serve", "--config", "keyed.toml", "--listen", "127.0.0.1:0"]);
    assert_says(&said, &["upstream.api_key_env", "A_KEY_THAT_IS_NOT_SET", "not set"]);
    assert_says(&desk.complaint(&["serve", "--listen", "localhost"]), &["--listen", "localhost", "127.0.0.1:"]);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_says(&desk.complaint(&["serve", "--listen", &address]), &[&address, "--listen"]);
}

#[test]
fn help() {
    let desk = Desk::new(&[]);
    for verb in [
        &[][..],
        &["serve"],
        &["check"],
        &["compress"],
        &["explain"],
        &["demo"],
        &["model"],
        &["model", "fetch"],
        &["model", "list"],
        &["model", "convert"],
        &["model", "info"],
    ] {
        let (text, said) = printed(&desk.run_with(&[verb, &["--help"]].concat(), &[]));
        assert_eq!(said, "");
        insta::assert_snapshot!([&["lopper"], verb].concat().join("_"), text);
    }
    let (version, _) = printed(&desk.run_with(&["--version"], &[]));
    assert_eq!(version, format!("lopper {}\n", env!("CARGO_PKG_VERSION")));
}

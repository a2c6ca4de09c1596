//! Loading settings: flags, then the environment, then one file, then defaults.

use std::path::{Path, PathBuf};

use super::file;
use super::folders::project_dirs;
use super::key::{Key, variable};
use super::kind::Raw;
use super::loaded::{Draft, Loaded, Origin};
use super::problem::{ConfigErrors, Problem, did_you_mean, nearest};
use super::settings::{self, Config, REMOVED, removed};

const FILE: &str = "lopper.toml";
const PREFIX: &str = "LOPPER_";

/// Variables with the prefix that set no key, and what each is for; those without words are for the project's own scripts and
/// tests.
pub(super) const OTHER_VARIABLES: [(&str, &str); 4] = [
    ("LOPPER_LOG", "what is logged, such as `debug` or `lopper=debug,info`"),
    ("LOPPER_ADMIN_TOKEN", "the token that `lopper status` and `lopper explain --last` send to the admin port"),
    ("LOPPER_OFFLINE", ""),
    ("LOPPER_TEST_MODEL", ""),
];

/// Settings of the command line. Values are checked like those of a file.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--listen`
    pub listen: Option<String>,
    /// `--upstream`
    pub upstream: Option<String>,
    /// `--model`, relative to the current folder.
    pub model: Option<PathBuf>,
    /// `--ratio`
    pub ratio: Option<String>,
    /// `--preset`
    pub preset: Option<String>,
    /// `--insecure`
    pub insecure: bool,
}

/// This process's variables that begin with `LOPPER_`.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    // Not `vars()`, which panics where any variable at all is not Unicode.
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with(PREFIX))
}

impl Config {
    /// Puts together flags, environment, file and defaults, in this order of precedence. The file is `config_flag`,
    /// else `./lopper.toml`, else `lopper.toml` in the user's configuration folder, else none. `env` may hold any
    /// variables; those that start with `LOPPER_` count ([`environment`] has them).
    ///
    /// # Errors
    /// All that is wrong in the file, the environment and the flags at once, each with its place.
    pub fn load(
        config_flag: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        flags: Flags,
    ) -> Result<Loaded, ConfigErrors> {
        let mut draft = Draft::default();
        let user_file = project_dirs().map(|dirs| dirs.config_dir().join(FILE));
        let file = find(config_flag, [Some(PathBuf::from(FILE)), user_file]);
        if let Some(path) = &file {
            match std::fs::read_to_string(path) {
                Ok(text) => file::apply(&mut draft, path, &text),
                Err(error) => {
                    let problem = Problem::new(path.display().to_string(), format!("can't be read: {error}"));
                    draft.problems.push(problem);
                }
            }
        }
        apply_environment(&mut draft, env);
        apply_flags(&mut draft, flags);
        draft.finish(file)
    }
}

/// A file that was asked for, even if it is missing; else the first that is there.
fn find(asked: Option<&Path>, usual: [Option<PathBuf>; 2]) -> Option<PathBuf> {
    asked.map(Path::to_path_buf).or_else(|| usual.into_iter().flatten().find(|path| path.is_file()))
}

fn apply_environment(draft: &mut Draft, env: impl Iterator<Item = (String, String)>) {
    let env = env.filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty());
    let mut env: Vec<_> = env.filter(|(name, _)| OTHER_VARIABLES.iter().all(|(other, _)| other != name)).collect();
    // The environment has no order.
    env.sort();
    let mut found = Vec::new();
    for (name, value) in &env {
        if let Some(key) = settings::keys().find(|key| key.variable() == *name) {
            let result = draft.set(key, &Raw::Text(value), Origin::Variable(name.clone()));
            found.extend(result.err().map(|message| Problem::new(name, message)));
        }
    }
    let Config { server, upstream, admin, .. } = &draft.config;
    // A key may stand in a variable with our prefix; which one is known only now.
    let secrets = [&upstream.api_key_env, &admin.token_env, &server.api_keys_env].map(Clone::clone);
    for (name, _) in env {
        if let Some((section, key)) = REMOVED.iter().find(|(section, key)| variable(section, key) == name) {
            draft.warnings.push(Problem::new(name, removed(section, key)));
        } else if settings::keys().all(|key| key.variable() != name) && !secrets.contains(&Some(name.clone())) {
            // Without the prefix: what all names share must not make them near.
            let known = settings::keys().map(Key::variable).chain(OTHER_VARIABLES.map(|(name, _)| name.to_owned()));
            let near = nearest(&name[PREFIX.len()..], known.map(|known| known[PREFIX.len()..].to_owned()));
            let message = format!("unknown variable{}", did_you_mean(near.map(|near| PREFIX.to_owned() + &near)));
            found.push(Problem::new(name, message));
        }
    }
    found.sort_by(|a, b| a.place.cmp(&b.place));
    draft.problems.extend(found);
}

fn apply_flags(draft: &mut Draft, flags: Flags) {
    let Flags { listen, upstream, model, ratio, preset, insecure } = flags;
    let values = [
        ("--listen", listen),
        ("--upstream", upstream),
        ("--preset", preset),
        ("--ratio", ratio),
        ("--insecure", insecure.then(|| true.to_string())),
    ];
    for (flag, value) in values {
        if let (Some(key), Some(value)) = (settings::keys().find(|key| key.options.flag == flag), value) {
            let result = draft.set(key, &Raw::Text(&value), Origin::Flag(flag));
            draft.problems.extend(result.err().map(|message| Problem::new(flag, message)));
        }
    }
    if let Some(model) = model {
        // Not read as text: a path need not be Unicode.
        draft.config.scorer.model = Some(model);
        draft.note("scorer", "model", Origin::Flag("--model"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::text::Tokens;
    use crate::config::Price;
    use crate::config::price::PRICE;
    use crate::config::rule::RULE;
    use std::collections::BTreeSet;

    const DOCUMENTED: &str = include_str!("../../config/lopper.toml");

    /// Loads a file of this text, with these variables and flags. Problems name the file `lopper.toml`.
    fn try_load(text: &str, env: &[(&str, &str)], flags: Flags) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, text).unwrap();
        let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let loaded = Config::load(Some(&path), env, flags)
            .map_err(|errors| errors.to_string().replace(&format!("{}/", folder.path().display()), ""))?;
        assert_eq!(loaded.file.as_ref(), Some(&path));
        Ok(loaded.config)
    }

    fn problems(text: &str, env: &[(&str, &str)]) -> String {
        try_load(text, env, Flags::default()).unwrap_err()
    }

    /// `section.key` of each line that sets one, commented out or not.
    fn keys_in(text: &str, commented: bool) -> BTreeSet<String> {
        let mut section = "";
        let mut keys = BTreeSet::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("# [[").and_then(|line| line.strip_suffix("]]")) {
                section = name;
            } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name;
            }
            let setting = if commented { line.strip_prefix("# ").unwrap_or("") } else { line };
            if let Some((key, _)) = setting.split_once(" = ").filter(|(key, _)| !key.contains([' ', '#'])) {
                keys.insert(format!("{section}.{key}"));
            }
        }
        keys
    }

    #[test]
    fn the_variable_that_holds_the_key_may_have_the_prefix() {
        let env = |name: &str| {
            let variables = [("LOPPER_API_KEY", "sk-1"), ("LOPPER_UPSTREAM_API_KEY_ENV", name)];
            variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter()
        };
        assert!(Config::load(Some(&example()), env("LOPPER_API_KEY"), Flags::default()).is_ok());
        let error = Config::load(Some(&example()), env("OTHER_KEY"), Flags::default()).unwrap_err();
        assert!(error.to_string().contains("LOPPER_API_KEY: unknown variable"), "{error}");
    }

    fn example() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("config/lopper.toml")
    }

    #[test]
    fn the_documented_file_has_every_key_with_its_default() {
        let defaults = try_load(DOCUMENTED, &[], Flags::default()).unwrap();
        assert_eq!(defaults, Config::default());

        // What `Debug` shows is the one list of fields that can't be forgotten.
        let (mut section, mut set, mut unset) = (String::new(), BTreeSet::new(), BTreeSet::new());
        for line in format!("{:#?}", Config::default()).lines() {
            let indent = line.len() - line.trim_start().len();
            let Some((field, value)) = line.trim().split_once(": ") else { continue };
            match indent {
                4 => section = field.to_owned(),
                8 => {
                    let keys = if value == "None," { &mut unset } else { &mut set };
                    keys.insert(format!("{section}.{field}"));
                }
                _ => {}
            }
        }
        assert_eq!(keys_in(DOCUMENTED, false), set);
        let (rule, commented) = keys_in(DOCUMENTED, true).into_iter().partition(|key| key.starts_with("rule."));
        let (price, commented) = BTreeSet::into_iter(commented).partition(|key| key.starts_with("price."));
        assert_eq!(commented, unset);
        let of_prices = PRICE.keys.iter().map(|key| format!("price.{}", key.name));
        assert_eq!(of_prices.collect::<BTreeSet<_>>(), price);
        let of_rules = RULE.keys.iter().map(|key| format!("rule.{}", key.name));
        assert_eq!(of_rules.collect::<BTreeSet<_>>(), rule);
        let known: BTreeSet<String> = settings::keys().map(|key| format!("{}.{}", key.table, key.name)).collect();
        assert_eq!(known, &set | &unset);
    }

    #[test]
    fn the_documented_examples_are_valid() {
        let mut text = DOCUMENTED.replace("# [[", "[[");
        for key in keys_in(DOCUMENTED, true) {
            let name = key.split_once('.').unwrap().1;
            text = text.replace(&format!("# {name} = "), &format!("{name} = "));
        }
        let config = try_load(&text, &[], Flags::default()).unwrap();
        assert_eq!(config.upstream.api_key_env.as_deref(), Some("OPENAI_API_KEY"));
        assert_eq!(config.scorer.gpu_layers, Some(99));
        assert!(config.scorer.model.unwrap().is_absolute(), "relative to the file's folder");
        assert!(config.model.sha256.unwrap().starts_with("b179c952"));
        assert!(config.ledger.path.unwrap().is_absolute());
        assert!(config.server.tls_cert.unwrap().is_absolute() && config.server.tls_key.unwrap().is_absolute());
        assert_eq!(
            (config.limits.requests_per_minute, config.limits.scored_tokens_per_minute),
            (Some(600), Some(100_000))
        );
        assert_eq!(config.rules.len(), 2);
        assert_eq!(Price::of(&config.prices, "gpt-5-mini").and_then(|price| price.cached), Some(0.125));
        assert_eq!(config.observe.otlp_endpoint.as_deref(), Some("http://127.0.0.1:4318"));
    }

    #[test]
    fn flags_beat_the_environment_beats_the_file() {
        let file = "[compression]\nratio = 0.5\nmin_tokens = 1_000\n[server]\nlisten = '127.0.0.1:1'";
        let env =
            [("LOPPER_COMPRESSION_RATIO", "0.6"), ("LOPPER_SERVER_LISTEN", "127.0.0.1:2"), ("LOPPER_LOG", "debug")];
        let listen = Some("[::1]:3".into());
        let flags = Flags { listen, model: Some("m.gguf".into()), ..Flags::default() };
        let config = try_load(file, &env, flags).unwrap();
        assert_eq!(config.compression.min_tokens, Tokens(1000));
        assert_eq!(config.compression.ratio, 0.6);
        assert_eq!(config.server.listen.to_string(), "[::1]:3");
        assert_eq!(super::super::default_model_path(&config), Path::new("m.gguf"));
    }

    #[test]
    fn an_asked_for_file_wins_and_the_first_usual_one_comes_next() {
        let folder = tempfile::tempdir().unwrap();
        let [here, user] = ["here.toml", "user.toml"].map(|name| folder.path().join(name));
        let usual = [Some(here.clone()), Some(user.clone())];
        assert_eq!(find(None, usual.clone()), None);
        std::fs::write(&user, "").unwrap();
        assert_eq!(find(None, usual.clone()), Some(user));
        std::fs::write(&here, "").unwrap();
        assert_eq!(find(None, usual.clone()), Some(here));
        let missing = folder.path().join("missing.toml");
        assert_eq!(find(Some(&missing), usual), Some(missing.clone()));
        let errors = Config::load(Some(&missing), std::iter::empty(), Flags::default()).unwrap_err();
        assert!(errors.to_string().contains("missing.toml: can't be read"), "{errors}");
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let file = "stray = 1\nratio = 0.5\n[compresion]\nmode = 'on'\n[compression]\nratio = 1.5\nratoi = 0.4\n\
            mode = true\n[server]\nlisten = 'localhost'\ndrain_timeout = 30\nmin_tokens = 5\n[scorer]\nthreads = -1\n\
            load_in_background = 'yes'\n";
        assert_eq!(
            problems(file, &[("LOPPER_COMPRESSION_RATOI", "1"), ("LOPPER_SCORER_DEADLINE_MS", "0"), ("LOPPER_XY", "")]),
            "lopper.toml:1: key \"stray\" stands outside of any section\n\
             lopper.toml:2: key \"ratio\" stands outside of any section; did you mean \"ratio\" in [compression]?\n\
             lopper.toml:3: unknown section [compresion]; did you mean [compression]?\n\
             lopper.toml:6: compression.ratio is 1.5; it must be above 0 and at most 1\n\
             lopper.toml:7: unknown key \"ratoi\" in [compression]; did you mean \"ratio\"?\n\
             lopper.toml:8: compression.mode is true; it must be \"on\", \"off\" or \"audit\", or \"holdout:10\"\n\
             lopper.toml:10: server.listen is \"localhost\"; it must be an IP address and a port, such as \
             127.0.0.1:8787\n\
             lopper.toml:11: server.drain_timeout is 30; it must be a time with its unit, such as \"10s\", \"500ms\", \
             \"2m\" or \"1h\"\n\
             lopper.toml:12: unknown key \"min_tokens\" in [server]; did you mean \"min_tokens\" in [compression]?\n\
             lopper.toml:14: scorer.threads is -1; it must be a whole number, 0 or above\n\
             lopper.toml:15: scorer.load_in_background is \"yes\"; it must be true or false\n\
             LOPPER_COMPRESSION_RATOI: unknown variable; did you mean LOPPER_COMPRESSION_RATIO?\n\
             LOPPER_SCORER_DEADLINE_MS: scorer.deadline_ms is \"0\"; it must be above 0"
        );
    }

    #[test]
    fn removed_settings_are_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, "[scorer]\nwhole_units = 3\nubatch = 'any'\n").unwrap();
        let env = [("LOPPER_SCORER_UNIT_TOKENS".to_owned(), "0".to_owned())];
        let loaded = Config::load(Some(&path), env.into_iter(), Flags::default()).unwrap();
        let told: String = loaded.warnings.iter().map(|warning| format!("{warning}\n")).collect();
        assert_eq!(
            told.replace(&format!("{}/", folder.path().display()), ""),
            "lopper.toml:2: scorer.whole_units is no longer a setting; remove it\n\
             lopper.toml:3: scorer.ubatch is no longer a setting; remove it\n\
             LOPPER_SCORER_UNIT_TOKENS: scorer.unit_tokens is no longer a setting; remove it\n"
        );
        assert_eq!(loaded.config, Config::default());
    }

    #[test]
    fn bad_syntax_is_told_with_its_line() {
        let told = problems("[server]\nlisten = \n", &[]);
        assert!(told.starts_with("lopper.toml:2: "), "{told}");
        let twice = problems("[limits]\nbody_bytes = 1\nbody_bytes = 2\n", &[]);
        assert!(twice.starts_with("lopper.toml:3: "), "{twice}");
    }

    #[test]
    fn secrets_are_not_repeated() {
        let file = "[upstream]\napi_key_env = 'sk-12345'\nbase_url = 'https://me:hunter2@host/v1'\n";
        let told = problems(file, &[]);
        assert!(told.contains("not the key itself") && told.contains("without user name"), "{told}");
        assert!(!told.contains("12345") && !told.contains("hunter2"), "{told}");
        let told = problems("[server]\napi_keys_env = 'key-12345'\n[admin]\ntoken_env = 'key-67890'\n", &[]);
        assert!(told.contains("not the key itself") && !told.contains("12345") && !told.contains("67890"), "{told}");
    }

    #[test]
    fn values_at_their_limits() {
        let cases = [
            ("upstream", "base_url", "'http://host:1/a/v1/'", true),
            ("upstream", "base_url", "'embedded'", true),
            ("upstream", "base_url", "'host/v1'", false),
            ("upstream", "base_url", "'https://host/v1?x=1'", false),
            ("upstream", "connect_timeout", "'0s'", false),
            ("upstream", "connect_timeout", "'500ms'", true),
            ("compression", "ratio", "1", true),
            ("compression", "ratio", "0", false),
            ("compression", "ratio", "nan", false),
            ("compression", "min_saving", "0.0", true),
            ("compression", "min_saving", "1.0", false),
            ("scorer", "gpu_layers", "0x10", true),
            ("scorer", "gpu_layers", "5_000_000_000", false),
            ("model", "repository", "'a/b/c'", false),
            ("model", "file", "'../up.gguf'", false),
            ("model", "file", "'q8/m.gguf'", true),
            ("model", "sha256", "'abc'", false),
            ("compression", "mode", "'audit'", true),
            ("compression", "mode", "'holdout:10'", true),
            ("compression", "mode", "'holdout:0'", false),
            ("compression", "mode", "'holdout:100'", false),
            ("compression", "mode", "'holdout:'", false),
            ("compression", "preset", "'tight'", true),
            ("compression", "preset", "'bold'", false),
            ("admin", "listen", "'off'", true),
            ("admin", "listen", "'[::]:0'", true),
            ("admin", "listen", "'localhost:1'", false),
            ("admin", "token_env", "'sk-12'", false),
            ("observe", "otlp_endpoint", "'collector:4318'", false),
            ("compression", "budget_tokens", "0", false),
            ("compression", "budget_tokens", "1", true),
            ("ledger", "path", "''", false),
            ("ledger", "memory_bytes", "0", false),
            ("ledger", "disk_bytes", "1", true),
            ("sidecar", "memory_bytes", "0", true),
            ("sidecar", "max_age", "'0h'", false),
            ("limits", "body_bytes", "0", false),
            ("limits", "decoded_bytes", "1", true),
            ("limits", "header_bytes", "0", false),
            ("limits", "requests", "0", false),
            ("limits", "nesting", "0", false),
            ("limits", "blocks", "0", true),
            ("limits", "score_tokens", "-1", false),
            ("limits", "queue", "0", true),
            ("limits", "requests_per_minute", "0", false),
            ("limits", "scored_tokens_per_minute", "5_000_000_000", false),
            ("server", "insecure", "'yes'", false),
            ("server", "api_keys_env", "'key-1, key-2'", false),
        ];
        for (section, key, value, fits) in cases {
            let loaded = try_load(&format!("[{section}]\n{key} = {value}\n"), &[], Flags::default());
            assert_eq!(loaded.is_ok(), fits, "{section}.{key} = {value}: {loaded:?}");
        }
    }
}

//! Settings with their origins: each value, and the file, variable or flag that set it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::key::Key;
use super::kind::Raw;
use super::problem::{ConfigErrors, Problem};
use super::rule::{self, Rule};
use super::settings::{self, Config};

/// A complete configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// Settings without effect.
    pub warnings: Vec<Problem>,
    origins: Origins,
}

/// By section and key; what is not in it has its default.
type Origins = BTreeMap<(&'static str, &'static str), Origin>;

/// The origin of a value, the weakest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nothing set it.
    Default,
    /// `compression.preset`, which has this name and came from there.
    Preset(&'static str, Box<Origin>),
    /// `FILE:LINE`.
    File(String),
    /// The environment variable of this name.
    Variable(String),
    /// This flag.
    Flag(&'static str),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting<'a> {
    /// The section that it is in.
    pub section: &'static str,
    /// Its name in the section.
    pub name: &'static str,
    /// The value as a file would have it; none where there is none.
    pub value: Option<String>,
    /// The origin of the value.
    pub origin: &'a Origin,
    /// Whether a change counts only once Lopper is started again.
    pub at_start: bool,
}

impl Loaded {
    /// Every key of every section, in the order of `config/lopper.toml`.
    pub fn settings(&self) -> impl Iterator<Item = Setting<'_>> {
        settings::keys().map(|key| Setting {
            section: key.table,
            name: key.name,
            value: (key.get)(&self.config),
            origin: self.origins.get(&(key.table, key.name)).unwrap_or(&Origin::Default),
            at_start: key.options.at_start,
        })
    }

    /// The place of `rule`, which must be one of `self.config.rules`, such as `rule 2 at lopper.toml:31`.
    pub fn rule_place(&self, rule: &Rule) -> String {
        rule::place(&self.config.rules, rule)
    }
}

/// The file's name for a person.
pub(super) fn shown_name(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

impl Origin {
    fn strength(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::Preset(_, origin) => origin.strength(),
            Self::File(_) => 1,
            Self::Variable(_) => 2,
            Self::Flag(_) => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Preset(name, origin) => write!(f, "preset {name}, {origin}"),
            Self::File(place) => f.write_str(place),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// Settings while they are read, the weakest source first.
#[derive(Default)]
pub(super) struct Draft {
    pub config: Config,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
    origins: Origins,
}

impl Draft {
    /// Sets a key; an error says what is wrong with the value.
    pub(super) fn set(&mut self, key: &Key<Config>, raw: &Raw<'_>, origin: Origin) -> Result<(), String> {
        key.set(&mut self.config, raw)?;
        self.note(key.table, key.name, origin);
        Ok(())
    }

    /// Remembers where a key was set.
    pub(super) fn note(&mut self, section: &'static str, name: &'static str, origin: Origin) {
        self.origins.insert((section, name), origin);
    }

    /// The settings, or all that is wrong with them.
    pub(super) fn finish(mut self, file: Option<PathBuf>) -> Result<Loaded, ConfigErrors> {
        if self.problems.is_empty() {
            self.apply_preset();
            self.let_the_stronger_amount_win();
        }
        if !self.problems.is_empty() {
            return Err(ConfigErrors(self.problems));
        }
        let name = file.as_deref().map_or_else(String::new, shown_name);
        self.config.rules.iter_mut().for_each(|rule| rule.file.clone_from(&name));
        Ok(Loaded { config: self.config, file, warnings: self.warnings, origins: self.origins })
    }

    /// A preset sets what is not set, or by a weaker source than the preset itself.
    fn apply_preset(&mut self) {
        let Some(origin) = self.origins.get(&(COMPRESSION, "preset")).cloned() else { return };
        let preset = self.config.compression.preset;
        for (name, value) in preset.settings() {
            if self.strength(name) >= origin.strength() {
                continue;
            }
            for key in settings::keys().filter(|key| (key.table, key.name) == (COMPRESSION, name)) {
                let from_preset = Origin::Preset(preset.into(), Box::new(origin.clone()));
                let result = self.set(key, &Raw::Text(value), from_preset);
                self.problems.extend(result.err().map(|why| Problem::new(origin.to_string(), why)));
            }
        }
    }

    /// `--ratio 0.3` means what it says, though the file has a `budget_tokens` or a `recall`.
    fn let_the_stronger_amount_win(&mut self) {
        // A key takes the place of the others, unless one of them is set by a stronger source.
        for (name, others) in [("budget_tokens", &["ratio"][..]), ("recall", &["ratio", "budget_tokens"])] {
            let stronger = others.iter().max_by_key(|other| self.strength(other));
            let stronger = stronger.filter(|other| self.strength(other) > self.strength(name));
            let Some(origin) = stronger.and_then(|other| self.origins.get(&(COMPRESSION, *other))).cloned() else {
                continue;
            };
            let compression = &mut self.config.compression;
            let was_set = match name {
                "recall" => compression.recall.take().is_some(),
                _ => compression.budget_tokens.take().is_some(),
            };
            if was_set {
                self.note(COMPRESSION, name, origin);
            }
        }
    }

    /// The strength of the source of a key of `[compression]` is.
    fn strength(&self, name: &'static str) -> u8 {
        self.origins.get(&(COMPRESSION, name)).map_or(0, Origin::strength)
    }
}

const COMPRESSION: &str = "compression";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::text::Tokens;
    use crate::config::Flags;
    use crate::config::Preset;

    fn load(text: &str, env: &[(&str, &str)], overrides: Flags) -> (Loaded, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lopper.toml");
        std::fs::write(&path, text).unwrap();
        let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        (Config::load(Some(&path), env, overrides).unwrap(), folder)
    }

    #[test]
    fn every_key_says_where_it_is_from() {
        let overrides = Flags { model: Some("m.gguf".into()), listen: Some("[::1]:1".into()), ..Default::default() };
        let env = [("LOPPER_COMPRESSION_FINE", "on"), ("LOPPER_SERVER_LISTEN", "[::1]:2")];
        let text = "[compression]\nmode = 'audit'\nfine = 'off'\n[sidecar]\nmax_age = '2h'\n[[rule]]\nmode = 'off'\n";
        let (loaded, folder) = load(text, &env, overrides);
        let shown: Vec<String> = loaded
            .settings()
            .filter(|setting| *setting.origin != Origin::Default)
            .map(|setting| {
                format!("{}.{} {} {}", setting.section, setting.name, setting.value.unwrap(), setting.origin)
            })
            .collect();
        let shown = shown.join("\n").replace(&format!("{}/", folder.path().display()), "");
        insta::assert_snapshot!(shown, @r#"
        server.listen "[::1]:1" flag --listen
        compression.mode "audit" lopper.toml:2
        compression.fine "on" environment LOPPER_COMPRESSION_FINE
        scorer.model "m.gguf" flag --model
        sidecar.max_age "2h" lopper.toml:5
        "#);
        let place = loaded.rule_place(&loaded.config.rules[0]);
        assert!(place.starts_with("rule 1 at ") && place.ends_with("lopper.toml:6"), "{place}");
    }

    #[test]
    fn a_number_of_tokens_replaces_the_ratio_unless_that_is_set_by_a_stronger_source() {
        let both = "[compression]\nratio = 0.3\nbudget_tokens = 900\n";
        let budget = |env: &[(&str, &str)], ratio: Option<&str>| {
            let overrides = Flags { ratio: ratio.map(str::to_owned), ..Flags::default() };
            load(both, env, overrides).0.config.compression.budget_tokens
        };
        let in_env = ("LOPPER_COMPRESSION_RATIO", "0.5");
        assert_eq!(budget(&[], None), Some(Tokens(900)));
        assert_eq!(budget(&[in_env], None), None);
        assert_eq!(budget(&[], Some("0.5")), None);
        let budget_too = ("LOPPER_COMPRESSION_BUDGET_TOKENS", "70");
        assert_eq!(budget(&[in_env, budget_too], None), Some(Tokens(70)));
        assert_eq!(budget(&[in_env, budget_too], Some("0.5")), None);
    }

    #[test]
    fn a_preset_sets_what_nothing_as_strong_does() {
        let shown = |env: &[(&str, &str)], overrides: Flags| {
            let (loaded, folder) = load("[compression]\npreset = 'tight'\nmin_tokens = 900\n", env, overrides);
            let of_preset = |setting: &Setting<'_>| {
                setting.name == "preset" || Preset::Tight.settings().iter().any(|(name, _)| *name == setting.name)
            };
            let rows = loaded
                .settings()
                .filter(of_preset)
                .map(|setting| format!("{} {} {}\n", setting.name, setting.value.unwrap_or_default(), setting.origin));
            rows.collect::<String>().replace(&format!("{}/", folder.path().display()), "")
        };
        insta::assert_snapshot!(shown(&[("LOPPER_COMPRESSION_FINE", "on")], Flags::default()), @r#"
        preset "tight" lopper.toml:2
        ratio 0.2 preset tight, lopper.toml:2
        min_tokens 900 lopper.toml:3
        min_saving 0.1 preset tight, lopper.toml:2
        fine "on" environment LOPPER_COMPRESSION_FINE
        "#);
        let flag = Flags { preset: Some("careful".into()), ..Flags::default() };
        insta::assert_snapshot!(shown(&[], flag), @r#"
        preset "careful" flag --preset
        ratio 0.6 preset careful, flag --preset
        min_tokens 1000 preset careful, flag --preset
        min_saving 0.3 preset careful, flag --preset
        fine "off" preset careful, flag --preset
        "#);
    }

    #[test]
    fn a_recall_gives_way_to_any_stronger_amount() {
        let recall = |env: &[(&str, &str)]| {
            load("[compression]\nrecall = 0.9\n", env, Flags::default()).0.config.compression.recall
        };
        assert_eq!(recall(&[]), Some(0.9));
        assert_eq!(recall(&[("LOPPER_COMPRESSION_RATIO", "0.5")]), None);
        assert_eq!(recall(&[("LOPPER_COMPRESSION_BUDGET_TOKENS", "70")]), None);
    }
}

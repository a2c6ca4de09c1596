//! `lopper check`: checks and prints the settings, and shows which rule a piece of code takes.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::generated::Generated;
use crate::config::{self, API_NAMES, Config, Flags, Loaded, Rule, Setting, Subject, first_match};
use crate::syntax::Language;

#[derive(Args)]
pub struct Arguments {
    /// Settings file; else ./lopper.toml, else the one in the user's configuration folder.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    code: Code,
    /// Print a generated file of the repository instead; scripts/generate calls it.
    #[arg(long, value_name = "WHICH", value_enum, hide = true)]
    print: Option<Generated>,
}

/// A piece of code; with any of these `check` shows its rule and settings.
#[derive(Args)]
#[command(next_help_heading = "A piece of code, to see which rule it would take")]
struct Code {
    /// The path of its file, as the assistant names it.
    #[arg(long, value_name = "P")]
    path: Option<String>,
    /// The model that the request names.
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// Its language; without it, the one that the path says.
    #[arg(long, value_name = "L", value_parser = language)]
    language: Option<Language>,
    /// The name of the tool whose result it is in.
    #[arg(long, value_name = "T")]
    tool: Option<String>,
    /// The API of the request.
    #[arg(long, value_name = "A", value_parser = API_NAMES)]
    api: Option<String>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(file) = arguments.print {
        write!(std::io::stdout(), "{}", file.text())?;
        return Ok(());
    }
    let loaded = Config::load(arguments.file.as_deref(), config::environment(), Flags::default())?;
    let report = if arguments.code.is_given() { choice(&loaded, &arguments.code) } else { everything(&loaded) };
    let warnings: String = loaded.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    write!(std::io::stdout(), "{}\n{warnings}\n{report}", verdict(&loaded))?;
    Ok(())
}

fn language(text: &str) -> Result<Language, String> {
    let known = || Language::ALL.map(Language::name).join(", ");
    Language::from_tag(text).ok_or_else(|| format!("known are {}", known()))
}

fn verdict(loaded: &Loaded) -> String {
    let rules = match loaded.config.rules.len() {
        1 => "1 rule".to_owned(),
        count => format!("{count} rules"),
    };
    match &loaded.file {
        Some(file) => format!("{} is valid: {rules}", file.display()),
        None => format!("no settings file; defaults and environment are valid: {rules}"),
    }
}

/// Lists every key with its value and origin.
fn everything(loaded: &Loaded) -> String {
    let rows = loaded.settings().map(|setting| row(format!("{}.{}", setting.section, setting.name), setting));
    table(&rows.collect::<Vec<_>>())
}

/// Shows the rule that the code takes, why those before it do not match, and the settings of the code.
fn choice(loaded: &Loaded, code: &Code) -> String {
    let subject = code.subject();
    let rules = &loaded.config.rules;
    let chosen = first_match(rules, &subject);
    let mut report = String::new();
    if let (None, Some(language)) = (code.language, subject.language) {
        report += &format!("language {language}, by the path\n");
    }
    for rule in rules {
        let place = loaded.rule_place(rule);
        match rule.mismatch(&subject) {
            Some(mismatch) => report += &format!("{place} does not match: {mismatch}\n"),
            None => {
                report += &format!("{place} matches\n");
                break;
            }
        }
    }
    if chosen.is_none() {
        report += if rules.is_empty() { "there are no rules\n" } else { "no rule matches\n" };
    }
    report + "\n" + &table(&settings(loaded, chosen))
}

/// The settings of code under `rule`, with the origin of each.
fn settings(loaded: &Loaded, rule: Option<&Rule>) -> [[String; 3]; 4] {
    let by_rule = |name| Some((rule?, rule?.settings().find(|(set, _)| *set == name)?.1));
    let general = |name| loaded.settings().find(|setting| (setting.section, setting.name) == ("compression", name));
    let is_set = |name| general(name).is_some_and(|setting| setting.value.is_some());
    let by_tokens = by_rule("budget_tokens").is_some() || by_rule("ratio").is_none() && is_set("budget_tokens");
    let amount = if by_tokens { "budget_tokens" } else { "ratio" };
    ["mode", amount, "min_tokens", "fine"].map(|name| match (by_rule(name), general(name)) {
        (Some((rule, value)), _) => [name.to_owned(), value, loaded.rule_place(rule)],
        (None, Some(setting)) => row(name.to_owned(), setting),
        (None, None) => [name.to_owned(), String::new(), String::new()],
    })
}

fn row(name: String, setting: Setting<'_>) -> [String; 3] {
    [name, setting.value.unwrap_or_else(|| "not set".into()), setting.origin.to_string()]
}

/// Aligned columns.
fn table(rows: &[[String; 3]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    rows.iter().map(|[name, value, origin]| format!("{name:first$}  {value:second$}  {origin}\n")).collect()
}

impl Code {
    fn is_given(&self) -> bool {
        let texts = [&self.path, &self.model, &self.tool, &self.api];
        self.language.is_some() || texts.iter().any(|text| text.is_some())
    }

    fn subject(&self) -> Subject<'_> {
        let by_path = || Language::from_path(self.path.as_deref()?);
        Subject {
            model: self.model.as_deref(),
            path: self.path.as_deref(),
            language: self.language.or_else(by_path).map(Language::name),
            tool: self.tool.as_deref(),
            api: self.api.as_deref(),
        }
    }
}

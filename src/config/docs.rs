//! Writes `config/lopper.toml` and `docs/configuration.md` from the descriptions of the settings.

use strum::VariantArray;

use super::key::{Key, Table};
use super::load::OTHER_VARIABLES;
use super::price::{self, Price};
use super::rule::{self, Rule};
use super::settings::Config;
use super::settings::SECTIONS;
use super::values::Preset;

/// The hand-written part of the page; a line `{{NAME}}` stands for a table.
const PAGE: &str = include_str!("configuration.md");

const HEAD: &str = "\
# Every setting of Lopper, with its default. Copy what you change to ./lopper.toml, to the user's configuration folder
# (on Linux ~/.config/lopper/lopper.toml), or to any file and name it with --config.
#
# Stronger than a file: environment variables LOPPER_SECTION_KEY (LOPPER_COMPRESSION_RATIO=0.3), and over them flags.
# A key that is commented out has no default value; what stands there is an example.
#
# This file is written by scripts/generate from src/config/settings.rs.
";

/// The text of `config/lopper.toml`: every key with its words and its default or, commented out, an example.
pub fn settings_file() -> String {
    let defaults = Config::default();
    let mut file = HEAD.to_owned();
    for section in SECTIONS {
        file += &format!("\n{}[{}]\n", comment(section.about), section.name);
        for key in section.keys {
            file += &comment(key.about);
            if !key.range.is_empty() {
                file += &format!("# Range: {}.\n", key.range);
            }
            file += &match (key.get)(&defaults) {
                Some(value) => format!("{} = {value}\n", key.name),
                None => format!("# {} = {}\n", key.name, key.options.example),
            };
        }
    }
    file + &repeated(&rule::RULE, rule::EXAMPLE) + &repeated(&price::PRICE, price::EXAMPLE)
}

/// A table that may come more than once: its words, its keys, and an example, all in comments.
fn repeated<T>(table: &Table<T>, example: &str) -> String {
    let keys = table.keys.iter().map(|key| format!("#   {}: {}\n", key.name, key.about.join("\n#    ").trim()));
    let example = example.lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n");
    format!("\n{}#\n{}#\n{}", comment(table.about), keys.collect::<String>(), example.collect::<String>())
}

fn comment(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("#{line}\n")).collect()
}

/// The text of `docs/configuration.md`.
pub fn configuration_page() -> String {
    let sections = SECTIONS.map(|section| {
        let intro = format!("### `[{}]`\n{}\n\n", section.name, paragraph(section.about));
        intro + &rows(section.keys, &Config::default())
    });
    PAGE.replace("{{sections}}\n", &sections.join("\n"))
        .replace("{{presets}}\n", &presets())
        .replace("{{rule}}\n", &page_of(&rule::RULE, &Rule::default(), rule::EXAMPLE))
        .replace("{{price}}\n", &page_of(&price::PRICE, &Price::default(), price::EXAMPLE))
        .replace("{{variables}}\n", &variables())
}

fn page_of<T>(table: &Table<T>, defaults: &T, example: &str) -> String {
    let about: Vec<String> = table.about.split(|line| line.is_empty()).map(paragraph).collect();
    format!("{}\n\n{}\n```toml\n{example}```\n", about.join("\n\n"), rows(table.keys, defaults))
}

fn rows<T>(keys: &[Key<T>], defaults: &T) -> String {
    let mut table = "| key | takes | default | meaning |\n|---|---|---|---|\n".to_owned();
    for key in keys {
        let default = (key.get)(defaults).map_or_else(|| "none".to_owned(), |value| format!("`{value}`"));
        let mut meaning = paragraph(key.about);
        if !key.options.flag.is_empty() {
            meaning += &format!(" Flag: `{}`.", key.options.flag);
        }
        if key.options.at_start {
            meaning += " Read at the start only.";
        }
        let takes = [(key.takes)(), key.range.to_owned()].join(", ");
        table += &format!("| `{}` | {} | {default} | {meaning} |\n", key.name, takes.trim_end_matches(", "));
    }
    table
}

fn presets() -> String {
    let mut table = "| preset |".to_owned();
    for (name, _) in Preset::Balanced.settings() {
        table += &format!(" `{name}` |");
    }
    table += "\n|---|---|---|---|---|\n";
    for preset in Preset::VARIANTS {
        let values = preset.settings().map(|(_, value)| value);
        table += &format!("| `\"{}\"` | {} |\n", preset.as_ref(), values.join(" | "));
    }
    table
}

fn variables() -> String {
    let variables = OTHER_VARIABLES.iter().filter(|(_, about)| !about.is_empty());
    let rows = variables.map(|(name, about)| format!("| `{name}` | {about} |\n"));
    format!("| variable | meaning |\n|---|---|\n{}", rows.collect::<String>())
}

/// Lines of words as one line, for Markdown.
fn paragraph(lines: &[&str]) -> String {
    let words: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    // What would be a sign of Markdown in a cell, or of HTML.
    words.join(" ").replace('|', "\\|").replace('*', "\\*")
}

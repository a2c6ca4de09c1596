//! Settings files and variables, whatever somebody wrote into them.

use std::fs;

use lopper::config::{Config, Flags};

use crate::harness::{Dice, fuzz, mutate};

const DOCUMENTED: &str = include_str!("../../config/lopper.toml");

const WORDS: [&str; 40] = [
    "[server]\n", "[compression]\n", "[[rule]]\n", "[rule]\n", "[[server]]\n", "[[price]]\n", "[rule.path]\n",
    "mode = ", "ratio = ", "path = ", "model = ", "\"on\"", "'off'", "true", "0", "-1", "0.5", "nan", "inf", "-0.0",
    "1e-320", "1e999", "18446744073709551615", "9223372036854775808", "0xff", "\"1h\"", "\"18446744073709551615h\"",
    "\"0ms\"", "1979-05-27", "[", "]", "{ a = 1 }", "\"**/{a,b}[c-a]\"", "\"{{{{{{{{\"", "'''", "\"\"\"", "\\u0000",
    "# LOPPER_COMPRESSION_RATIO=", "\n# LOPPER_SERVER_LISTEN=", "\u{feff}",
];

/// The documented file with some of its examples in force, or a few of its lines; then changed.
fn text(dice: &mut Dice) -> Vec<u8> {
    let lines = DOCUMENTED.lines().filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.filter(|line| line.contains(" = ") || line.contains('[')).collect();
    let first = dice.below(lines.len());
    let count = if dice.below(4) == 0 { lines.len() } else { dice.below(20) };
    let lines = lines[first..(first + count).min(lines.len())].iter();
    let is_example = dice.below(2) == 1;
    let text: String =
        lines.map(|line| line.strip_prefix("# ").filter(|_| is_example).unwrap_or(line).to_owned() + "\n").collect();
    let mut text = text.into_bytes();
    mutate(dice, &mut text, &WORDS, DOCUMENTED.as_bytes());
    text
}

#[test]
fn config() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lopper.toml");
    fuzz("config", 500, text, |text| {
        fs::write(&path, text).unwrap();
        let text = String::from_utf8_lossy(text);
        // Variables stand in comments.
        let variables = text.lines().filter_map(|line| line.strip_prefix("# ")?.split_once('='));
        let variables = variables.filter(|(name, _)| name.starts_with("LOPPER_"));
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        match Config::load(Some(&path), variables, Flags::default()) {
            Ok(loaded) => in_range(&loaded.config),
            Err(errors) => {
                let told = errors.to_string();
                assert!(!told.is_empty());
                let lines = text.lines().count().max(1);
                let place = format!("{}:", path.display());
                for line in
                    told.lines().filter_map(|line| line.strip_prefix(&place)).filter(|rest| !rest.starts_with(' '))
                {
                    let line: usize = line.split(':').next().unwrap().parse().unwrap();
                    assert!((1..=lines).contains(&line), "{told}");
                }
            }
        }
    });
}

fn in_range(config: &Config) {
    let Config { server: _, upstream, compression, scorer, ledger, sidecar, limits, rules, prices, .. } = config;
    assert!(compression.ratio > 0.0 && compression.ratio <= 1.0);
    assert!((0.0..1.0).contains(&compression.min_saving) && compression.mode.holdout_percent < 100);
    assert!(compression.recall.is_none_or(|recall| recall > 0.0 && recall < 1.0));
    assert!(compression.budget_tokens.is_none_or(|tokens| tokens.0 > 0));
    assert!(scorer.deadline_ms > 0);
    assert!(!upstream.connect_timeout.is_zero() && !upstream.base_url.is_empty());
    assert!(ledger.memory_bytes > 0 && ledger.disk_bytes > 0 && !sidecar.max_age.is_zero() && limits.body_bytes > 0);
    assert!(rules.iter().all(|rule| rule.ratio.is_none_or(|ratio| ratio > 0.0 && ratio <= 1.0)));
    assert!(prices.iter().all(|price| price.input.is_some_and(|price| price >= 0.0)));
    // Times are added to the clock.
    let now = std::time::Instant::now();
    assert!(now.checked_add(std::time::Duration::from_millis(scorer.deadline_ms)).is_some());
}

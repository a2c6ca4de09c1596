//! Explanations agree with what is done.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::{Fine, Mode};
use crate::pipeline::explanation::{Block, Kind};
use crate::pipeline::{Cancel, Compressor, Dropped, Overrides, Settings, tests};
use crate::select::UnitOutcome;

const FILES: [(&str, &str); 4] = [
    ("a.py", include_str!("../../../tests/fixtures/inventory.py")),
    ("a.rs", include_str!("../../../tests/fixtures/languages/rust.rs")),
    ("a.ts", include_str!("../../../tests/fixtures/wire/queue.ts")),
    ("a.java", include_str!("../../../tests/fixtures/languages/java.java")),
];

fn compressor(budget: Budget, fine: Fine, mode: Mode, min_saving: f32) -> Compressor {
    tests::compressor(Settings { mode, budget, min_tokens: Tokens(200), min_saving, fine, ..Settings::lexical() })
}

/// The files in fences below a question, or as the results of calls that read them, with numbered lines.
fn request(files: &[usize], question: &str, by_tool: bool) -> Vec<u8> {
    let user = |text: String| json!({"role": "user", "content": text});
    let fenced = |&file: &usize| {
        let (path, code) = FILES[file];
        format!("{path}\n```{}\n{code}```\n\n", &path[2..])
    };
    if !by_tool {
        let text = format!("{question}\n\n{}", files.iter().map(fenced).collect::<String>());
        return json!({"model": "m", "messages": [user(text)]}).to_string().into_bytes();
    }
    let mut messages = vec![user(question.to_owned())];
    for &file in files {
        let (path, code) = FILES[file];
        let arguments = json!({"path": path}).to_string();
        let call = json!({"id": path, "type": "function", "function": {"name": "read_file", "arguments": arguments}});
        let numbered: String = (1..).zip(code.lines()).map(|(number, line)| format!("{number:>6}\t{line}\n")).collect();
        messages.push(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
        messages.push(json!({"role": "tool", "tool_call_id": path, "content": numbered}));
    }
    json!({"model": "m", "messages": messages}).to_string().into_bytes()
}

fn lines_of(kept: &[(usize, usize)]) -> BTreeSet<usize> {
    kept.iter().flat_map(|&(first, last)| first..=last).collect()
}

/// The lines of `block` that are sent where `gone` is left out of the request.
fn sent(block: &Block, gone: &[Dropped]) -> BTreeSet<usize> {
    let all: BTreeSet<usize> = (block.first_line..block.first_line + block.lines).collect();
    let gone = gone.iter().filter(|gone| gone.path == block.path);
    &all - &gone.flat_map(|gone| gone.first..=gone.last).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_is_told_is_what_is_done(
        files in prop::collection::btree_set(0..FILES.len(), 1..4),
        question in "(What|Where|Why) (ships|fails|is counted|is retried)( `ship`| `Shelf`| `retry`)?, and how\\?",
        by_tool: bool,
        ratio in 0.05f32..0.9,
        coverage in prop::option::weighted(0.2, 0.2f32..0.99),
        other in 0.05f32..1.0,
        min_saving in 0.0f32..0.5,
        is_fine: bool,
        is_audit in prop::bool::weighted(0.2),
        is_known: bool,
    ) {
        let files: Vec<usize> = files.into_iter().collect();
        let body = request(&files, &question, by_tool);
        let mode = if is_audit { Mode::Audit } else { Mode::On };
        let fine = if is_fine { Fine::On } else { Fine::Off };
        let compressor = |budget| compressor(budget, fine, mode, min_saving);
        let compress = |by: &Compressor| by.compress(&body, &Overrides::default(), &Cancel::default());
        let budget = coverage.map_or(Budget::Ratio(ratio), Budget::Coverage);
        let by = compressor(budget);
        if is_known {
            compress(&by);
        }
        let told = by.explain(&body, &Overrides::default(), &[other], &Cancel::default()).unwrap();
        let done = compress(&compressor(budget));
        let at_other = compress(&compressor(Budget::Ratio(other)));

        prop_assert_eq!(&told.outcome, &done.status.to_string());
        prop_assert_eq!((told.tokens_before, told.tokens_after), (done.tokens_before.0, done.tokens_after.0));
        prop_assert_eq!(told.blocks.len(), files.len());
        for block in &told.blocks {
            let kept = lines_of(&block.kept);
            // What an audit would leave out is not in its outcome.
            if !is_audit {
                prop_assert_eq!(&kept, &sent(block, &done.dropped));
                prop_assert_eq!(lines_of(&block.at[0].kept), sent(block, &at_other.dropped));
            }
            prop_assert_eq!(block.tokens_after == block.tokens, kept.len() == block.lines);
            prop_assert!(!block.late && block.at.len() == 1);
            check_units(block, &kept)?;
        }
    }
}

fn check_units(block: &Block, kept: &BTreeSet<usize>) -> Result<(), TestCaseError> {
    let lines: Vec<&str> = block.source.lines().collect();
    let is_number = |c: char| c.is_ascii_digit() || c.is_whitespace();
    let is_blank = |line: usize| lines[line - block.first_line].trim_start_matches(is_number).is_empty();
    let mut next = block.first_line;
    for unit in &block.units {
        prop_assert_eq!(unit.first, next);
        next = unit.last + 1;
        let stays: Vec<bool> =
            (unit.first..=unit.last).filter(|&line| !is_blank(line)).map(|line| kept.contains(&line)).collect();
        prop_assert_eq!(unit.decision == UnitOutcome::Whole, !stays.contains(&false), "{:?}", unit);
        prop_assert_eq!(
            unit.decision == UnitOutcome::Dropped,
            !stays.is_empty() && !stays.contains(&true),
            "{:?}",
            unit
        );
        prop_assert_eq!(
            unit.reason == "budget" || unit.reason == "likely enough without it",
            unit.decision == UnitOutcome::Dropped
        );
        prop_assert!(unit.reason != "decided before");
        let is_named = matches!(unit.kind, Kind::Function | Kind::Type) && block.names.contains(&unit.name);
        prop_assert!(!is_named || unit.decision == UnitOutcome::Whole, "{:?}", unit);
    }
    prop_assert_eq!(next, block.first_line + block.lines);
    Ok(())
}

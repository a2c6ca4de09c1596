//! Renders an explanation for people, in at most 100 columns.

use anstyle::Style;

use crate::base::reason::Reason;
use crate::base::text::Tokens;
use crate::cli::format::change;
use crate::pipeline::explanation::{At, Block, Explanation, Kind, Unit};
use crate::select::UnitOutcome;

/// Columns of a line, at most.
const WIDTH: usize = 100;
/// Columns between two of a table, and before the first.
const GAP: usize = 2;

/// The explanation as text, with colours or without.
pub fn render(explanation: &Explanation, colours: bool) -> String {
    let Explanation { api, model, outcome, tokens_before, tokens_after, stages_ms, blocks } = explanation;
    let model = model.as_deref().unwrap_or("no model named");
    let style = Look::new(colours);
    let mut text = style.bold(&fitted(&format!("{outcome}: {}", tokens(*tokens_before, *tokens_after)), WIDTH));
    text += &format!("   {api}, {}\n", fitted(model, WIDTH / 3));
    if let Some(meaning) = outcome.strip_prefix("skipped:").and_then(meaning) {
        text += &format!("{meaning}\n");
    }
    let saved: usize = blocks.iter().map(|block| block.tokens.saturating_sub(block.tokens_after)).sum();
    let given_back = (saved + tokens_after).saturating_sub(*tokens_before);
    if given_back > 0 {
        text += &format!("{given_back} tokens left out of a file are given back where its client says \"unchanged\"\n");
    }
    let stages = stages_ms.iter().map(|(stage, time)| {
        let milliseconds = time.as_secs_f64() * 1000.0;
        format!("{} {milliseconds:.*} ms", stage.name(), usize::from(milliseconds < 100.0))
    });
    text += &format!("{}\n", stages.collect::<Vec<_>>().join(", "));
    for block in blocks {
        text += &format!("\n{}", self::block(block, &style));
    }
    text
}

/// A sentence about the reason with this word; `None` for words of another version.
fn meaning(word: &str) -> Option<&'static str> {
    word.parse::<Reason>().ok().map(Reason::meaning)
}

fn block(block: &Block, style: &Look) -> String {
    let path = block.path.as_deref().unwrap_or("(no path)");
    let last = block.first_line + block.lines.saturating_sub(1);
    let head = format!("{path}, lines {}-{last}, {}", block.first_line, block.language);
    let mut text = style.bold(&fitted(&head, WIDTH)) + "\n";
    let reason = block.verdict.strip_prefix("left alone: ").or(block.verdict.strip_prefix("vetoed: "));
    let from = match &block.tool {
        Some(tool) => format!("message {}, result of {tool}", block.message),
        None => format!("message {}, {}", block.message, block.role),
    };
    let asked_in = block.asked_in.filter(|&asked| asked != block.message);
    let asked_in = asked_in.map_or_else(String::new, |asked| format!("(message {asked}) "));
    let question = block.question.iter().flat_map(|question| question.split_whitespace()).collect::<Vec<_>>().join(" ");
    let fine = if block.fine { ", functions may be cut" } else { "" };
    let rule = block.rule.as_deref().unwrap_or("no rule applies");
    let late = "scorer.deadline_ms passed first; what was not read by then is judged by its words alone";
    // For vetoed code neither question nor settings matter.
    let is_vetoed = block.verdict.starts_with("vetoed");
    let facts = [
        ("verdict", Some(format!("{}, {}", block.verdict, tokens(block.tokens, block.tokens_after)))),
        ("why", reason.and_then(meaning).map(str::to_owned)),
        ("late", block.late.then(|| late.to_owned())),
        ("from", Some(from)),
        ("question", (reason.is_none() && !question.is_empty()).then(|| asked_in + &question)),
        ("names", (reason.is_none() && !block.names.is_empty()).then(|| block.names.join(", "))),
        ("settings", (!is_vetoed).then(|| format!("mode {}, {}{fine}; {rule}", block.mode, block.amount))),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            text += &fitted(&format!("  {name:<9} {value}"), WIDTH);
            text += "\n";
        }
    }
    // Without the lines that only close a type: they have no rank.
    let units: Vec<&Unit> = block.units.iter().filter(|unit| unit.rank.is_some()).collect();
    if !units.is_empty() {
        text += &format!("\n{}", table(block, &units, style));
    }
    if !block.at.is_empty() {
        text += "\n";
    }
    for at in &block.at {
        text += &fitted(&other_ratio(at, block), WIDTH);
        text += "\n";
    }
    text
}

/// A row for each unit.
fn table(block: &Block, units: &[&Unit], style: &Look) -> String {
    let rows: Vec<[String; COLUMNS]> = units.iter().map(|unit| row(unit, block)).collect();
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).chain([HEAD[column].len()]).max().unwrap_or(0)
    };
    let mut widths: [usize; COLUMNS] = std::array::from_fn(width);
    let others: usize = widths.iter().sum::<usize>() - widths[NAME] + COLUMNS * GAP;
    widths[NAME] = widths[NAME].min(WIDTH.saturating_sub(others));
    let mut text = style.bold(&line(&HEAD.map(str::to_owned), &widths)) + "\n";
    for (unit, row) in units.iter().zip(&rows) {
        let line = line(row, &widths);
        text += &if unit.decision == UnitOutcome::Dropped { style.dim(&line) } else { line };
        text += "\n";
    }
    text
}

const COLUMNS: usize = 7;
const HEAD: [&str; COLUMNS] = ["lines", "what", "tokens", "worth", "rank", "decision", "reason"];
/// The column that is shortened to fit.
const NAME: usize = 1;
/// Columns with numbers, which are aligned to the right.
const NUMBERS: [usize; 3] = [2, 3, 4];

fn row(unit: &Unit, block: &Block) -> [String; COLUMNS] {
    let number = |number: Option<String>| number.unwrap_or_default();
    [
        format!("{}-{}", unit.first, unit.last),
        name(unit, block),
        unit.tokens.to_string(),
        number(unit.worth.map(|worth| format!("{worth:.2}"))),
        number(unit.rank.map(|rank| rank.to_string())),
        unit.decision.to_string(),
        unit.reason.clone(),
    ]
}

/// The name that a unit defines; for a type the line that opens it, as a type may have several parts.
fn name(unit: &Unit, block: &Block) -> String {
    match (unit.kind, &*unit.name) {
        (Kind::Function, "") => "(function)".into(),
        (Kind::Type, "") => "(type)".into(),
        (Kind::Imports, "") => "(imports, constants)".into(),
        (Kind::Other, "") => "(statements)".into(),
        (Kind::Type, name) => {
            let lines = block.source.lines().skip(unit.first - block.first_line).take(unit.last - unit.first + 1);
            // Some clients number the lines.
            let is_number = |c: char| c.is_ascii_digit() || c.is_whitespace() || "|:→".contains(c);
            let code = lines.map(|line| line.trim_start_matches(is_number));
            let mut code = code.filter(|line| !line.starts_with(['/', '#', '*', '@']));
            let head = code.find(|line| line.contains(name)).unwrap_or(name);
            head.trim_end().trim_end_matches(['{', ':', ' ']).into()
        }
        (_, name) => name.into(),
    }
}

fn line(cells: &[String; COLUMNS], widths: &[usize; COLUMNS]) -> String {
    let mut line = String::new();
    for (column, (cell, &width)) in cells.iter().zip(widths).enumerate() {
        let cell = fitted(cell, width);
        let cell = if NUMBERS.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
        line += &format!("{:GAP$}{cell}", "");
    }
    line.trim_end().to_owned()
}

/// Compares what stays at another ratio with what stays now, as in `  at 0.2   3250 → 700 tokens (-78 %); without load, save`.
fn other_ratio(at: &At, block: &Block) -> String {
    let lines: Vec<&str> = block.source.lines().collect();
    let stays = |kept: &[(usize, usize)], unit: &Unit| {
        let is_code = |line: &usize| lines.get(line - block.first_line).is_some_and(|line| !line.trim().is_empty());
        let is_kept = |line: usize| kept.iter().any(|&(first, last)| (first..=last).contains(&line));
        (unit.first..=unit.last).filter(is_code).any(is_kept)
    };
    let names = |here: &[(usize, usize)], not_there: &[(usize, usize)]| {
        let scored = block.units.iter().filter(|unit| unit.rank.is_some());
        let other = scored.filter(|unit| stays(here, unit) && !stays(not_there, unit));
        other.map(|unit| name(unit, block)).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!("  at {:<5} {}", at.ratio, tokens(block.tokens, at.tokens_after));
    for (word, names) in [("without", names(&block.kept, &at.kept)), ("with", names(&at.kept, &block.kept))] {
        if !names.is_empty() {
            text += &format!("; {word} {names}");
        }
    }
    text
}

/// The change, or the number where there is none.
fn tokens(before: usize, after: usize) -> String {
    if before == after { format!("{before} tokens") } else { change(Tokens(before), Tokens(after)) }
}

/// Shortens `text` to `width` columns. A request may hold anything, so control characters don't reach the terminal.
fn fitted(text: &str, width: usize) -> String {
    let shown = || text.chars().map(|c| if c.is_control() { ' ' } else { c });
    if shown().count() <= width {
        return shown().collect();
    }
    shown().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Colours, or none.
struct Look {
    bold: Style,
    dim: Style,
}

impl Look {
    fn new(colours: bool) -> Self {
        let style = |style: Style| if colours { style } else { Style::new() };
        Self { bold: style(Style::new().bold()), dim: style(Style::new().dimmed()) }
    }

    fn bold(&self, text: &str) -> String {
        format!("{0}{text}{0:#}", self.bold)
    }

    fn dim(&self, text: &str) -> String {
        format!("{0}{text}{0:#}", self.dim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_to_their_width_and_harmless() {
        assert_eq!(fitted("für", 3), "für");
        assert_eq!(fitted("füße", 3), "fü…");
        assert_eq!(fitted("a\u{1b}[2Jb\n", 9), "a [2Jb ");
    }

    #[test]
    fn types_are_shown_by_the_line_that_opens_them() {
        let block = |source: &str| Block { source: source.into(), first_line: 7, ..Block::default() };
        let unit = Unit { first: 7, last: 9, kind: Kind::Type, name: "Store".into(), ..Unit::default() };
        let code = "/// A Store.\n#[derive(Debug)]\nimpl Open for Store {\n";
        assert_eq!(name(&unit, &block(code)), "impl Open for Store");
        assert_eq!(name(&unit, &block("    7→class Store(Base):\n    8→\n    9→    x: int\n")), "class Store(Base)");
        assert_eq!(name(&unit, &block("struct\n\n{\n")), "Store");
    }
}

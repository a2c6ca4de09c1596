//! What was measured, as tables in Markdown.

use std::fmt::Write as _;

use super::Measured;
use super::stats::mean;

/// What the others are held against.
const BASELINE: &str = "lexical";

/// The tables: all cases by method and ratio; by group; by whether the question shares words with the answer's name; and
/// each method against the words alone.
pub fn markdown(measured: &[Measured]) -> String {
    let mut text = String::from(
        "| method | ratio | cases | kept | needle whole | needle lines | MRR | ms | tokens decoded |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    let settings = settings(measured);
    for &(method, ratio) in &settings {
        let of = of(measured, method, ratio);
        let over = |value: fn(&Measured) -> f64| mean(&of.iter().map(|case| value(case)).collect::<Vec<_>>());
        let (whole, rank) = (over(|case| f64::from(case.whole)), over(|case| 1.0 / case.rank as f64));
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "| {method} | {ratio} | {} | {:.3} | {} | {:.3} | {} | {:.0} | {:.0} |",
            of.len(),
            over(|case| f64::from(case.kept)).mean,
            whole.shown(),
            over(|case| f64::from(case.lines)).mean,
            rank.shown(),
            over(|case| case.milliseconds).mean,
            over(|case| case.decoded as f64).mean,
        );
    }
    let mut groups: Vec<&str> = measured.iter().map(|case| &*case.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let _ = write!(
        text,
        "\nNeedle whole, by group and by the share of the name's words that the question has:\n\n| method | ratio |"
    );
    groups.iter().for_each(|group| text += &format!(" {group} |"));
    text += " under half | half or more |\n|---|---|---|---|";
    text += &"---|".repeat(groups.len());
    text.push('\n');
    for &(method, ratio) in &settings {
        let of = of(measured, method, ratio);
        let share = |has: &dyn Fn(&Measured) -> bool| {
            let whole: Vec<f64> = of.iter().filter(|case| has(case)).map(|case| f64::from(case.whole)).collect();
            format!(" {:.2} |", mean(&whole).mean)
        };
        let _ = write!(text, "| {method} | {ratio} |");
        groups.iter().for_each(|group| text += &share(&|case| case.group == *group));
        text += &share(&|case| case.name_words < 0.5);
        text += &share(&|case| case.name_words >= 0.5);
        text.push('\n');
    }
    let against: Vec<String> =
        settings.iter().filter_map(|&(method, ratio)| difference(measured, method, ratio)).collect();
    if !against.is_empty() {
        let _ = write!(
            text,
            "\nAgainst {BASELINE}, case by case:\n\n| method | ratio | needle whole | MRR |\n|---|---|---|---|\n{}",
            against.concat()
        );
    }
    let left = measured.iter().filter(|case| case.left.is_some()).count();
    if left > 0 {
        let _ = writeln!(text, "\n{left} of {} were left as they are.", measured.len());
    }
    text
}

/// The row of `method` against the baseline; none for the baseline itself or without one.
fn difference(measured: &[Measured], method: &str, ratio: f32) -> Option<String> {
    let base = of(measured, BASELINE, ratio);
    if base.is_empty() || method == BASELINE {
        return None;
    }
    let pairs: Vec<(&Measured, &Measured)> = of(measured, method, ratio)
        .into_iter()
        .filter_map(|case| Some((case, *base.iter().find(|other| other.id == case.id)?)))
        .collect();
    let over = |value: fn(&Measured) -> f64| {
        mean(&pairs.iter().map(|(case, base)| value(case) - value(base)).collect::<Vec<_>>())
    };
    let (whole, rank) = (over(|case| f64::from(case.whole)), over(|case| 1.0 / case.rank as f64));
    Some(format!("| {method} | {ratio} | {} | {} |\n", whole.signed(), rank.signed()))
}

fn settings(measured: &[Measured]) -> Vec<(&'static str, f32)> {
    let mut settings: Vec<(&'static str, f32)> = Vec::new();
    for case in measured {
        if !settings.contains(&(case.method, case.ratio)) {
            settings.push((case.method, case.ratio));
        }
    }
    settings
}

fn of<'a>(measured: &'a [Measured], method: &str, ratio: f32) -> Vec<&'a Measured> {
    measured.iter().filter(|case| case.method == method && case.ratio == ratio).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables() {
        let case = |id: &str, method, whole, rank| Measured {
            id: id.into(),
            group: if id == "a" { "go".into() } else { "rust".into() },
            name_words: if id == "a" { 0.2 } else { 1.0 },
            method,
            ratio: 0.2,
            kept: 0.21,
            whole,
            lines: if whole { 1.0 } else { 0.5 },
            rank,
            milliseconds: 12.4,
            decoded: 900,
            left: None,
        };
        let measured = [
            case("a", "lexical", false, 2),
            case("b", "lexical", true, 1),
            case("a", "hybrid", true, 1),
            case("b", "hybrid", true, 1),
        ];
        insta::assert_snapshot!(markdown(&measured));
    }
}

//! Tables of results, in Markdown.

use std::fmt::Write as _;

use super::record::{Measured, of, settings};
use super::stats::{self, Mean};

/// The method that the others are compared with.
const BASELINE: &str = "lexical";

/// Tables by method and ratio: all cases; by group and by words shared with the needle's name; and each method against
/// [`BASELINE`].
pub fn markdown(measured: &[Measured]) -> String {
    let mut text = String::from(
        "| method | ratio | cases | kept | needle whole | needle lines | MRR | ms | tokens decoded |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    let settings = settings(measured);
    for &(method, ratio) in &settings {
        let of = of(measured, method, ratio);
        let over = |value: Value| mean(of.iter().filter_map(|case| value(case)));
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "| {method} | {ratio} | {} | {:.3} | {} | {:.3} | {} | {:.0} | {} |",
            of.len(),
            over(|case| Some(case.kept.into())).mean,
            over(WHOLE).shown(3),
            over(|case| Some(case.lines.into())).mean,
            over(RECIPROCAL_RANK).shown(3),
            over(|case| Some(case.milliseconds)).mean,
            number(over(|case| Some(case.decoded? as f64))),
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
            let whole = mean(of.iter().filter(|case| has(case)).map(|case| case.whole.into())).mean;
            if whole.is_nan() { " – |".to_owned() } else { format!(" {whole:.2} |") }
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
    let over = |value: Value| mean(pairs.iter().filter_map(|(case, base)| Some(value(case)? - value(base)?)));
    Some(format!("| {method} | {ratio} | {} | {} |\n", over(WHOLE).signed(), over(RECIPROCAL_RANK).signed()))
}

/// A number of a case, where known.
pub type Value = fn(&Measured) -> Option<f64>;

/// 1 where the needle is kept whole, else 0.
pub const WHOLE: Value = |case| Some(case.whole.into());
/// 1 / rank of the needle.
pub const RECIPROCAL_RANK: Value = |case| Some(1.0 / case.rank? as f64);

/// The mean of `values` with its interval.
pub fn mean(values: impl Iterator<Item = f64>) -> Mean {
    stats::mean(&values.collect::<Vec<_>>())
}

fn number(mean: Mean) -> String {
    if mean.mean.is_nan() { "–".to_owned() } else { format!("{:.0}", mean.mean) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables() {
        let case = |id: &str, method: &str, whole, rank| Measured {
            id: id.into(),
            group: if id == "a" { "go".into() } else { "rust".into() },
            name_words: if id == "a" { 0.2 } else { 1.0 },
            method: method.into(),
            ratio: 0.2,
            tokens: 3000,
            kept: 0.21,
            whole,
            lines: if whole { 1.0 } else { 0.5 },
            rank: (rank > 0).then_some(rank),
            milliseconds: 12.4,
            decoded: (rank > 0).then_some(900),
            left: None,
        };
        let measured = [
            case("a", "lexical", false, 2),
            case("b", "lexical", true, 1),
            case("a", "hybrid", true, 1),
            case("b", "hybrid", true, 1),
            case("a", "through", true, 0),
        ];
        insta::assert_snapshot!(markdown(&measured));
    }
}

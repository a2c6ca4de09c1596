//! The figures of a report: needles kept and next lines predicted against the share kept, time against length.

use std::path::Path;

use lopper::eval::Contender;
use lopper::eval::record::{Measured, Record, Row, of, settings};
use lopper::eval::stats::{self, Mean};
use lopper::eval::table::mean;

use super::figure::{Axis, Figure, Line};
use crate::completion::Continued;

/// Needles kept whole against the share of tokens kept, one line for each method. Writes nothing without records, as do
/// the other figures.
///
/// # Errors
/// When the file can't be written.
pub fn needle(records: &[Record<Measured>], path: &Path) -> anyhow::Result<()> {
    let mut count = 0;
    let lines = lines(records, |of, _| {
        count = count.max(of.len());
        let whole = mean(of.iter().map(|case| f64::from(case.whole)));
        (mean(of.iter().map(|case| f64::from(case.kept))).mean, whole)
    });
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let figure = Figure {
        title: "Is the function that the question is about kept whole?".into(),
        subtitle: format!("Share of {count} cases, with 95 % intervals"),
        x: Axis::linear("share of the code's tokens that is kept", 0.0, reach(&lines), 0.1, &percent),
        y: Axis::linear("", 0.0, 1.0, 0.2, &percent),
        references: Vec::new(),
        lines,
    };
    figure.draw(path)
}

/// Plots the loss of the judge on the next lines, compared with all of the code, against the share of tokens kept.
///
/// # Errors
/// When the file can't be written.
pub fn completion(records: &[Record<Continued>], path: &Path) -> anyhow::Result<()> {
    let mut none = Vec::new();
    let mut lines = lines(records, |of, rows| {
        let more = |case: &&Continued| {
            Some(case.nll - rows.iter().find(|full| full.method == "full" && full.id == case.id)?.nll)
        };
        let more: Vec<f64> = of.iter().filter_map(more).collect();
        if of[0].method == "none" {
            none.clone_from(&more);
        }
        (mean(of.iter().map(|case| f64::from(case.kept))).mean, stats::mean(&more))
    });
    lines.retain(|line| !["full", "none"].contains(&&*line.name));
    let without = stats::mean(&none).mean;
    let judge = records.iter().find_map(|record| record.judge.as_deref()).unwrap_or("a judge");
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let nats = |nats: f64| format!("{nats:+.1}");
    let low = lines.iter().flat_map(|line| &line.points).map(|(_, mean)| mean.low).fold(0.0, f64::min);
    let high = lines.iter().flat_map(|line| &line.points).map(|(_, mean)| mean.high).fold(without, f64::max);
    let figure = Figure {
        title: "How much harder are a function's next lines to predict?".into(),
        subtitle: format!(
            "Nats a token more than with all of the code, for {judge}; {} cases, with 95 % intervals",
            none.len()
        ),
        x: Axis::linear("share of the code's tokens that is kept", 0.0, reach(&lines), 0.1, &percent),
        y: Axis::linear("", (low * 10.0).floor() / 10.0, (high * 10.0).ceil() / 10.0, 0.2, &nats),
        references: vec![("all of the code", 0.0), ("none of the code", without)],
        lines,
    };
    figure.draw(path)
}

/// Milliseconds against tokens of code, a dot for each case and a line through the medians of the quarters. Only Lopper's
/// own methods: the time of another compressor includes starting it.
///
/// # Errors
/// When the file can't be written.
pub fn time(records: &[Record<Measured>], path: &Path) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for record in records {
        let rows = &record.measured;
        let is_ours = |name: &str| Contender::from_name(name).is_ok_and(|one| matches!(one, Contender::Method(_)));
        for (name, model) in record.methods().into_iter().filter(|(name, _)| is_ours(name)) {
            // Scoring takes the same time at each ratio.
            let Some((_, ratio)) = settings(rows).into_iter().find(|(method, _)| *method == name) else { continue };
            let mut dots: Vec<(f64, f64)> =
                of(rows, &name, ratio).iter().map(|case| (case.tokens as f64, case.milliseconds.max(0.1))).collect();
            dots.sort_by(|a, b| a.0.total_cmp(&b.0));
            let quarter = |dots: &[(f64, f64)]| {
                let middle = |mut values: Vec<f64>| {
                    values.sort_by(f64::total_cmp);
                    values[values.len() / 2]
                };
                let y = middle(dots.iter().map(|dot| dot.1).collect());
                (middle(dots.iter().map(|dot| dot.0).collect()), Mean { mean: y, low: y, high: y })
            };
            let points = dots.chunks(dots.len().div_ceil(4).max(1)).map(quarter).collect();
            add(&mut lines, Line { name, model, points, dots });
        }
    }
    let all = || lines.iter().flat_map(|line| &line.dots);
    let high = all().map(|dot| dot.0).fold(1000.0, f64::max);
    let (quickest, slowest) =
        all().fold((10.0, 10.0), |(low, high): (f64, f64), dot| (low.min(dot.1), high.max(dot.1)));
    let power = |exponent: f64| 10.0_f64.powf(exponent);
    let thousands = |tokens: f64| format!("{tokens:.0}");
    let milliseconds = |ms: f64| if ms >= 1000.0 { format!("{} s", ms / 1000.0) } else { format!("{ms} ms") };
    let figure = Figure {
        title: "How long does choosing take?".into(),
        subtitle: "A dot for each case, a line through the medians of its quarters; logarithmic".into(),
        x: Axis::linear("tokens of code", 0.0, (high / 1000.0).ceil() * 1000.0, 1000.0, &thousands),
        y: Axis::logarithmic("", power(quickest.log10().floor()), power(slowest.log10().ceil()), &milliseconds),
        references: Vec::new(),
        lines,
    };
    figure.draw(path)
}

/// A line for each method and model, a point for each ratio.
fn lines<R: Row>(records: &[Record<R>], mut point: impl FnMut(&[&R], &[R]) -> (f64, Mean)) -> Vec<Line> {
    let mut lines = Vec::new();
    for record in records {
        let rows = &record.measured;
        for (name, model) in record.methods() {
            let ratios = settings(rows).into_iter().filter(|(method, _)| *method == name);
            let mut points: Vec<_> = ratios.map(|(method, ratio)| point(&of(rows, method, ratio), rows)).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            add(&mut lines, Line { name, model, points, dots: Vec::new() });
        }
    }
    lines
}

/// Adds a line unless an earlier record has the same method and model.
fn add(lines: &mut Vec<Line>, line: Line) {
    if !lines.iter().any(|other| (&other.name, &other.model) == (&line.name, &line.model)) {
        lines.push(line);
    }
}

/// The end of the axis of shares.
fn reach(lines: &[Line]) -> f64 {
    let last = lines.iter().flat_map(|line| &line.points).map(|(x, _)| *x).fold(0.0, f64::max);
    ((last * 10.0 - 0.2).ceil() / 10.0).clamp(0.1, 1.0)
}

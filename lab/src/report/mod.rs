//! `lopper-lab report`: one table and plots from the records that `--json` wrote.

mod figure;
mod plot;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use lopper::eval::record::{Measured, Record, Row, of, settings};
use lopper::eval::table::{RECIPROCAL_RANK, Value, WHOLE, mean};
use serde_json::Value as Json;

use crate::completion::Continued;

#[derive(Args)]
pub struct Arguments {
    /// Files that `lopper eval --json` or `lopper-lab eval --json` wrote, for the same cases.
    #[arg(required = true, value_name = "FILE.json")]
    records: Vec<PathBuf>,
    /// The folder for needle.svg, completion.svg, time.svg and table.md; figures without a record are left out.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

pub fn run(Arguments { records, folder }: Arguments) -> anyhow::Result<()> {
    let (mut needles, mut completions) = (Vec::new(), Vec::new());
    for path in &records {
        match read(path)? {
            AnyRecord::Needle(record) => needles.push(record),
            AnyRecord::Completion(record) => completions.push(record),
        }
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
    let path = folder.join("table.md");
    let table = summary(&needles);
    print!("{table}");
    std::fs::write(&path, table).with_context(|| format!("{} can't be written", path.display()))?;
    plot::needle(&needles, &folder.join("needle.svg"))?;
    plot::completion(&completions, &folder.join("completion.svg"))?;
    plot::time(&needles, &folder.join("time.svg"))
}

/// A record of either kind.
enum AnyRecord {
    Needle(Record<Measured>),
    Completion(Record<Continued>),
}

fn read(path: &Path) -> anyhow::Result<AnyRecord> {
    let text = std::fs::read(path).with_context(|| format!("{} can't be read", path.display()))?;
    parse(&text).with_context(|| format!("{} is not what `lopper eval --json` of this version writes", path.display()))
}

fn parse(text: &[u8]) -> anyhow::Result<AnyRecord> {
    let json: Json = serde_json::from_slice(text)?;
    match json["kind"].as_str() {
        Some(Measured::KIND) => Ok(AnyRecord::Needle(serde_json::from_value(json)?)),
        Some(Continued::KIND) => Ok(AnyRecord::Completion(serde_json::from_value(json)?)),
        _ => bail!("it has no kind of cases that is known"),
    }
}

/// One table of all records by ratio, method and model. Of duplicates the first counts.
fn summary(records: &[Record<Measured>]) -> String {
    let mut rows: Vec<(f32, String, String)> = Vec::new();
    for record in records {
        let measured = &record.measured;
        for (name, model) in record.methods() {
            for (_, ratio) in settings(measured).into_iter().filter(|(method, _)| *method == name) {
                let of = of(measured, &name, ratio);
                let over = |value: Value| mean(of.iter().filter_map(|case| value(case)));
                let name = model.iter().fold(format!("`{name}`"), |name, model| format!("{name}, {model}"));
                let row = format!(
                    "{:.2} | {} | {} | {:.0} |",
                    over(|case| Some(case.kept.into())).mean,
                    over(WHOLE).shown(2),
                    over(RECIPROCAL_RANK).shown(2),
                    over(|case| Some(case.milliseconds)).mean
                );
                if !rows.iter().any(|(other, named, _)| (*other, named) == (ratio, &name)) {
                    rows.push((ratio, name, row));
                }
            }
        }
    }
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut text = String::from(
        "| method | ratio | kept | function kept whole | mean reciprocal rank | ms a case |\n|---|---|---|---|---|---|\n",
    );
    for (ratio, name, row) in rows {
        text += &format!("| {name} | {ratio} | {row}\n");
    }
    text
}

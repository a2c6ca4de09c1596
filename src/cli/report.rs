//! `lopper report`: what `lopper eval --json` wrote, as one table and as pictures.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::eval::record::Record;
use crate::eval::{plot, report};

#[derive(Args)]
pub struct Arguments {
    /// What `lopper eval --json` wrote, on the same cases.
    #[arg(required = true, value_name = "FILE.json")]
    records: Vec<PathBuf>,
    /// Where needle.svg, completion.svg, time.svg and table.md go; what there is no record for is left out.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

pub fn run(Arguments { records, folder }: Arguments) -> anyhow::Result<()> {
    let records = records.iter().map(|path| Record::read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    std::fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
    let path = folder.join("table.md");
    let table = report::summary(&records);
    print!("{table}");
    std::fs::write(&path, table).with_context(|| format!("{} can't be written", path.display()))?;
    plot::needle(&records, &folder.join("needle.svg"))?;
    plot::completion(&records, &folder.join("completion.svg"))?;
    plot::time(&records, &folder.join("time.svg"))?;
    Ok(())
}

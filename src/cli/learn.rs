//! `lopper learn`: makes anew what the hybrid method knows beforehand, from public code. For Lopper's developers.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::eval::learn;
use crate::score::hybrid;

#[derive(Args)]
pub struct Arguments {
    /// Folders of packages, one a subfolder.
    #[arg(value_name = "FOLDER", required = true)]
    folders: Vec<PathBuf>,
    /// Packages to leave out, by a part of their names, with commas between: those that will be measured on.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    without: Vec<String>,
    /// Where the associations go.
    #[arg(long, value_name = "FILE", default_value = "src/score/associations.txt")]
    out: PathBuf,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let learned = learn::learn(&arguments.folders, &arguments.without).context("the packages can't be read")?;
    std::fs::write(&arguments.out, &learned.associations)
        .with_context(|| format!("{} can't be written", arguments.out.display()))?;
    let terms = learned.associations.lines().count();
    println!("{} functions: {terms} terms in {}", learned.functions, arguments.out.display());
    println!("{} cases; weights, in nats:", learned.cases);
    for (name, (weight, used)) in hybrid::HINTS.iter().zip(learned.weights.iter().zip(hybrid::WEIGHTS)) {
        println!("  {name:<12} {weight:5.2}  (in use: {used:.2})");
    }
    Ok(())
}

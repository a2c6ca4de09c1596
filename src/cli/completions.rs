//! `lopper completions` and `lopper man`: completions for a shell, and manual pages.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use clap_complete::Shell;

#[derive(Args)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

#[derive(Args)]
pub struct Man {
    /// Write a page for each command into this folder.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Prints the script for a shell.
pub fn completions(Completions { shell }: Completions, mut command: clap::Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "lopper", &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}

/// Prints the main page, or writes all of them.
pub fn man(Man { out }: Man, command: clap::Command) -> anyhow::Result<()> {
    let Some(folder) = out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return Ok(std::io::stdout().write_all(&page)?);
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
    clap_mangen::generate_to(command, &folder).with_context(|| format!("{} can't be written to", folder.display()))?;
    eprintln!(
        "wrote the pages to {}; `man -l {}` shows the first",
        folder.display(),
        folder.join("lopper.1").display()
    );
    Ok(())
}

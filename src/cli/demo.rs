//! `lopper demo`: stub
use clap::Args;
#[derive(Args)]
pub struct Arguments {}
pub fn run(_: Arguments) -> anyhow::Result<()> { Ok(()) }

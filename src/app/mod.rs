//! The composition root: puts the rooms together into a proxy that runs.

pub mod assemble;
pub mod live_config;
pub mod logging;
mod reload;
pub mod scorer;
pub mod threads;

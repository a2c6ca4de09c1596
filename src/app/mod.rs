//! Composition root: builds a running proxy from the other rooms.
//!
//! [`run`] uses [`assemble`] (settings to parts), [`live_config`] (what changes while it runs) and `reload` (when it changes).

pub mod assemble;
pub mod live_config;
pub mod logging;
mod reload;
pub mod run;
pub mod scorer;
pub mod threads;

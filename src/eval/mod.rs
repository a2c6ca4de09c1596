//! Measures on cases with known answers how much of the code that an answer needs is kept.

pub mod calibrate;
pub mod cases;
pub mod contender;
pub mod measure;
pub mod options;
pub mod record;
pub mod repo;
pub mod stats;
pub mod table;

pub use contender::Contender;

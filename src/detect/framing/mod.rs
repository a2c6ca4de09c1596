//! Forms in which clients and tools show code: fences, tags, envelopes, footers, headings, line numbers.

pub mod envelopes;
pub mod fences;
mod footers;
pub mod headings;
pub mod numbering;
pub mod piece;
pub mod tags;

//! A decision about a piece of code.

use crate::base::text::Lines;

/// What was decided about a piece of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// These lines stay: in order, apart, counted from 0.
    Keep(Vec<Lines>),
    /// All of it stays.
    Leave(Reason),
}

/// Why a piece of code was left alone. The word stands in the ledger's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::EnumString, strum::VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Reason {
    /// The deadline passed. That stays so: otherwise the next turn would send other bytes.
    Deadline,
    /// It does not parse.
    Syntax,
    /// It has too few functions and types to choose from.
    FewUnits,
    /// Too many requests were waiting for the model. That stays so, as with the deadline.
    Busy,
    /// The client's allowance of scored tokens was used up. That stays so, as with the deadline.
    Rate,
}

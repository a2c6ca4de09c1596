//! The answer on its way back to the client.

pub mod marker_echo;
pub mod tap;

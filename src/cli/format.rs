//! Formats that several verbs print.

use crate::base::text::Tokens;

/// A change of size, such as `1163 → 480 tokens (-59 %)`.
pub fn change(before: Tokens, after: Tokens) -> String {
    let saved = 100.0 * (1.0 - after.0 as f64 / before.0.max(1) as f64);
    format!("{} → {} tokens ({:+.0} %)", before.0, after.0, -saved)
}

//! The programming languages.

use strum::VariantArray;

/// A programming language that Lopper splits into units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, VariantArray)]
#[allow(missing_docs, reason = "each variant is the name of a language")]
pub enum Language {
    Python,
    TypeScript,
    Tsx,
    JavaScript,
    Rust,
    Go,
    Java,
    C,
    Cpp,
    CSharp,
    Ruby,
    Php,
    Kotlin,
    Swift,
    Scala,
    Bash,
}

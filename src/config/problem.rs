//! Mistakes in the configuration: where each is, what is wrong, what was probably meant.

use std::fmt;

/// Everything that is wrong with a configuration; never empty. One line each when shown.
#[derive(Debug, thiserror::Error)]
pub struct ConfigErrors(pub Vec<Problem>);

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct Problem {
    /// `FILE:LINE`, the name of an environment variable, or a flag.
    pub place: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl Problem {
    pub(super) fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}

/// The name among `names` that `name` is most likely a slip of, if one is near enough.
pub(super) fn nearest<S: AsRef<str>>(name: &str, names: impl Iterator<Item = S>) -> Option<S> {
    // A third of the letters: "ratoi" finds "ratio", while "colour" finds nothing.
    let limit = (name.chars().count() / 3).max(1);
    names
        .map(|known| (strsim::osa_distance(name, known.as_ref()), known))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// `; did you mean …?`, or nothing.
pub(super) fn did_you_mean(what: Option<String>) -> String {
    what.map_or_else(String::new, |what| format!("; did you mean {what}?"))
}

/// `"on", "off" or "audit"`.
pub(super) fn any_of<S: AsRef<str>>(words: &[S]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{:?}", word.as_ref())).collect();
    match quoted.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => quoted.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_near() {
        let names = ["ratio", "mode", "min_tokens"];
        for (slip, meant) in [("ratoi", Some("ratio")), ("min_token", Some("min_tokens")), ("colour", None)] {
            assert_eq!(nearest(slip, names.into_iter()), meant, "{slip}");
        }
    }
}

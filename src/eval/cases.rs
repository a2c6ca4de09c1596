//! Reads cases from a file of JSON lines: code, a question, and the lines that answer it.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::syntax::Language;

/// A question about code that one function of it answers.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name; the number at its end decides its half.
    pub id: String,
    /// The group it is reported in: a language or several.
    pub group: String,
    /// The language of the code.
    pub language: Language,
    /// The code.
    pub code: String,
    /// The question.
    pub question: String,
    /// The lines that answer it.
    pub needle: Needle,
    /// Share of the words of the needle's name that the question has, 0 to 1.
    pub name_words_in_question: f32,
    /// Whether a proxy is sent the code with line numbers, as from `cat -n`. Elsewhere it is measured without them.
    pub numbered: bool,
}

/// The lines of the code that must be kept.
#[derive(Debug, Clone, Deserialize)]
pub struct Needle {
    /// The first, from 1.
    pub start_line: usize,
    /// The last, included.
    pub end_line: usize,
}

/// The half of the cases to use: every other case is for tuning only, so that no test case was tuned on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Half {
    /// Odd numbers: for tuning.
    Dev,
    /// Even numbers: for reporting.
    Test,
    /// All cases.
    All,
}

#[derive(Deserialize)]
struct Line {
    id: String,
    kind: Option<String>,
    group: Option<String>,
    language: String,
    code: String,
    #[serde(default)]
    question: String,
    needle: Option<Needle>,
    #[serde(default)]
    name_words_in_question: f32,
    numbering: Option<String>,
}

/// The needle cases in `half` of the file at `path`.
///
/// # Errors
/// As [`read_lines`].
pub fn read(path: &Path, half: Half) -> anyhow::Result<Vec<Case>> {
    read_lines(path, |line: Line, number| {
        let kind = line.kind.as_deref().unwrap_or("needle");
        let Some(needle) = line.needle.filter(|_| kind == "needle") else {
            bail!("a case of the kind \"{kind}\" can't be measured here; only \"needle\" can");
        };
        let lines = line.code.lines().count();
        if needle.start_line < 1 || needle.start_line > needle.end_line || needle.end_line > lines {
            bail!("lines {}-{} are not in the code's {lines}", needle.start_line, needle.end_line);
        }
        let numbered = match line.numbering.as_deref() {
            None => false,
            Some("cat-n") => true,
            Some(other) => bail!("the numbering {other:?} is not known; \"cat-n\" is"),
        };
        let language = language(&line.language)?;
        let case = Case {
            group: line.group.unwrap_or_else(|| line.language.clone()),
            id: line.id,
            language,
            code: line.code,
            question: line.question,
            needle,
            name_words_in_question: line.name_words_in_question,
            numbered,
        };
        Ok(half.has(&case.id, number).then_some(case))
    })
}

/// Reads the cases of a file: `case` makes one, or none, from a line and its number from 0.
///
/// # Errors
/// When the file can't be read, a line is no case (with the line's number), or there is no case.
pub fn read_lines<L: DeserializeOwned, C>(
    path: &Path,
    case: impl Fn(L, usize) -> anyhow::Result<Option<C>>,
) -> anyhow::Result<Vec<C>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
    let mut cases = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("{}:{}", path.display(), number + 1);
        let line = serde_json::from_str(line).with_context(|| format!("{place}: no case"))?;
        cases.extend(case(line, number).map_err(|error| anyhow!("{place}: {error}"))?);
    }
    if cases.is_empty() {
        bail!("{}: no case is in it", path.display());
    }
    Ok(cases)
}

/// The language called `tag`.
///
/// # Errors
/// When it is not known.
pub fn language(tag: &str) -> anyhow::Result<Language> {
    Language::from_tag(tag).with_context(|| format!("the language {tag:?} is not known"))
}

impl Half {
    /// Whether a case is in it, by the number at the end of its id, else by its line.
    pub fn has(self, id: &str, line: usize) -> bool {
        let digits = id.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        let number = digits.parse().unwrap_or(line);
        match self {
            Self::Dev => number % 2 == 1,
            Self::Test => number % 2 == 0,
            Self::All => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> anyhow::Result<Vec<Case>> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), text)?;
        read(file.path(), Half::Test)
    }

    #[test]
    fn cases_are_read() {
        let case = |id: &str, end: usize| {
            format!(
                "{{\"id\":\"{id}\",\"language\":\"python\",\"code\":\"def f():\\n    pass\\n\",\"question\":\"?\",\
                 \"needle\":{{\"start_line\":1,\"end_line\":{end}}}}}\n"
            )
        };
        let cases = of(&[case("a-000", 2), case("a-001", 2), case("a-002", 1)].concat()).unwrap();
        assert_eq!(cases.iter().map(|case| &*case.id).collect::<Vec<_>>(), ["a-000", "a-002"]);
        let error = |text: &str| of(text).unwrap_err().to_string();
        assert!(error(&case("a-000", 3)).ends_with(":1: lines 1-3 are not in the code's 2"));
        assert!(error("{}").contains(":1: no case"));
        assert!(error("").ends_with("no case is in it"));
    }
}

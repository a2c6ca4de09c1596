//! Reads completions in the middle of a file (FIM): what of the prompt may be left out, and what the completion is about.

use crate::base::text::{LineIndex, Lines, Span};
use crate::detect::framing::headings::Heading;
use crate::syntax::{self, Language};

/// A file with the cursor in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The bytes of the prompt that may be left out: up to [`LINES_BEFORE_CURSOR`] lines before its end.
    pub above: Span,
    /// Lines in that part.
    pub lines_above: usize,
    /// Prompt and suffix together: a file cut at the cursor rarely parses.
    pub file: String,
    /// Its language.
    pub language: Language,
    /// Its path, if a comment in its first line gives one.
    pub path: Option<String>,
    /// The last lines before the cursor, by which the rest is scored.
    pub question: String,
}

/// Lines before the cursor that are never changed.
pub const LINES_BEFORE_CURSOR: usize = 100;

/// Lines before the cursor that the question is made of.
const QUESTION_LINES: usize = 5;

impl Completion {
    /// Reads the texts before and after the cursor. `None` if the prompt is too short, holds a model's own FIM tokens, or is
    /// in no known language.
    pub fn read(prompt: &str, suffix: &str) -> Option<Self> {
        const MARKS: [&str; 4] = ["<|fim_", "<fim_", "<PRE>", "[SUFFIX]"];
        let lines = LineIndex::new(prompt);
        let lines_above = lines.count().checked_sub(LINES_BEFORE_CURSOR).filter(|&lines| lines > 0)?;
        if MARKS.iter().any(|mark| prompt.contains(mark)) {
            return None;
        }
        let above = lines.span(Lines::new(0, lines_above));
        let file = format!("{prompt}{suffix}");
        let path = prompt.lines().next().and_then(path_of_comment);
        let language = path.as_deref().and_then(Language::from_path).or_else(|| language_of(&file))?;
        Some(Self { above, lines_above, file, language, path, question: question(prompt) })
    }
}

/// The question of a completion: the last lines `before` the cursor that are not blank.
pub fn question(before: &str) -> String {
    let near: Vec<&str> = before.lines().rev().filter(|line| !line.trim().is_empty()).take(QUESTION_LINES).collect();
    near.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// The identifiers of a question that is code, each once.
pub fn names(question: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for word in question.split(|c: char| !(c.is_alphanumeric() || c == '_')) {
        let is_name = word.chars().nth(2).is_some() && !word.starts_with(|c: char| c.is_ascii_digit());
        if is_name && !names.iter().any(|name| name == word) {
            names.push(word.to_owned());
        }
    }
    names
}

/// `// Path: src/a.ts`, `# filepath: a.py`
fn path_of_comment(line: &str) -> Option<String> {
    let text = line.trim_start_matches(['/', '#', '-', '*', ';', ' ']);
    let path = text.strip_prefix("Path: ").map(|path| path.trim().to_owned());
    path.or_else(|| Heading::of_comment(line)?.path)
}

/// The language in which the file parses and has most definitions.
fn language_of(file: &str) -> Option<Language> {
    let definitions = |language: Language| {
        let units = syntax::units(file, language).ok()?;
        Some(units.iter().filter(|unit| unit.name.is_some()).count()).filter(|&count| count > 1)
    };
    let parsed = Language::ALL.iter().filter_map(|&language| Some((definitions(language)?, language)));
    // The first of equals: languages in which little other code parses come first.
    parsed.rev().max_by_key(|(count, _)| *count).map(|(_, language)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn functions(count: usize) -> String {
        (0..count).map(|i| format!("def f{i}(x):\n    return x + {i}\n\n")).collect()
    }

    #[test]
    fn the_lines_before_the_cursor_are_left_alone() {
        let prompt = format!("# Path: src/a.py\n{}def last(x):\n    y = ", functions(60));
        let read = Completion::read(&prompt, "\n    return y\n").unwrap();
        assert_eq!((read.language, read.path.as_deref()), (Language::Python, Some("src/a.py")));
        assert_eq!(prompt[read.above.end..].lines().count(), LINES_BEFORE_CURSOR);
        assert_eq!(read.lines_above, prompt.lines().count() - LINES_BEFORE_CURSOR);
        assert_eq!(read.question, "    return x + 58\ndef f59(x):\n    return x + 59\ndef last(x):\n    y = ");
        assert!(read.file.ends_with("y = \n    return y\n"));
    }

    #[test]
    fn what_is_no_long_file_is_nothing() {
        assert_eq!(Completion::read(&functions(10), ""), None, "too short");
        assert_eq!(Completion::read(&format!("<|fim_prefix|>{}", functions(60)), ""), None, "a model's own marks");
        assert_eq!(Completion::read(&"Dear reader, this is a letter.\n".repeat(200), ""), None, "no language");
        assert_eq!(Completion::read(&functions(60), "").unwrap().language, Language::Python);
    }
}

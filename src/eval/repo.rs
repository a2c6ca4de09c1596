//! Makes cases from a repository: a function's doc comment becomes the question and is removed from the code.
//!
//! Such questions repeat the author's words more than a user would, which favours methods that compare words. Doc comments
//! that name the function, or say too little, make no case.
//!
//! Tests are skipped, by the names of their folders and files. Users seldom ask about them, and their comments and bodies
//! repeat the words of what they test, so they are easier to find: at 0.2 shared words alone kept 69 % of networkx 3.6.1's
//! 248 test functions whole and 57 % of its 147 others.

use std::path::{Path, PathBuf};

use super::cases::{Case, Needle};
use crate::base::text::{LineIndex, Lines};
use crate::score::terms;
use crate::syntax::{self, Language, Unit};

/// Lines of a function that can be asked for.
const FUNCTION_LINES: std::ops::RangeInclusive<usize> = 8..=60;
/// The fewest functions in the code of a case.
const MIN_FUNCTIONS: usize = 8;
/// Bytes of the code of a case: about 2,000 to 6,000 tokens.
const CODE_BYTES: std::ops::RangeInclusive<usize> = 7_200..=21_600;
/// The fewest words of a question.
const MIN_WORDS: usize = 6;
/// Larger files are data or generated.
const MAX_FILE_BYTES: u64 = 512 * 1024;
/// Folders of vendored or generated code.
const FOREIGN: [&str; 9] =
    ["node_modules", "target", "vendor", "third_party", "dist", "build", "site-packages", "venv", "__pycache__"];
/// Folders of tests and their data.
const TESTS: [&str; 7] = ["test", "tests", "__tests__", "spec", "specs", "testdata", "fixtures"];
/// Beginnings of comments that describe nothing.
const IDLE: [&str; 8] = ["todo", "fixme", "copyright", "deprecated", "see ", "returns ", "note", "generated"];

/// The yield of a repository.
pub struct Found {
    /// Source files that were read.
    pub files: usize,
    /// The cases, in the order of their files.
    pub cases: Vec<Case>,
}

/// Makes at most `most` cases from the source files under `root`, spread evenly, the same for the same files.
///
/// # Errors
/// When the folder can't be read.
pub fn cases(root: &Path, most: usize) -> std::io::Result<Found> {
    let mut paths = Vec::new();
    walk(root, &mut paths)?;
    let mut found = Found { files: 0, cases: Vec::new() };
    for path in paths {
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        let Some(language) = Language::from_path(&name) else { continue };
        let Ok(source) = std::fs::read_to_string(&path) else { continue };
        found.files += 1;
        found.cases.extend(of_file(&name, &source, language));
    }
    let count = found.cases.len();
    if count > most {
        found.cases = (0..most).map(|i| found.cases[i * count / most].clone()).collect();
    }
    Ok(found)
}

/// Adds the files under `folder` to `paths`, sorted by name, without tests and foreign code; links are not followed.
///
/// # Errors
/// When a folder can't be read.
pub fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        let is_left_out = || name.starts_with('.') || FOREIGN.contains(&&*name) || TESTS.contains(&&*name);
        if kind.is_dir() && !is_left_out() {
            walk(&entry.path(), paths)?;
        } else if kind.is_file()
            && entry.metadata()?.len() <= MAX_FILE_BYTES
            && !name.contains(".min.")
            && !is_test(&name)
        {
            paths.push(entry.path());
        }
    }
    Ok(())
}

/// Whether a file holds tests, as Python, Go, Ruby, JavaScript or Java name them.
fn is_test(name: &str) -> bool {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let ends = ["_test", "_tests", "-test", ".test", "_spec", "-spec", ".spec", "Test", "Tests"];
    stem.starts_with("test_")
        || ["test", "tests", "conftest"].contains(&stem)
        || ends.iter().any(|end| stem.ends_with(end))
}

fn of_file(name: &str, source: &str, language: Language) -> Vec<Case> {
    let Ok(units) = syntax::units(source, language) else { return Vec::new() };
    let file = File { name, source, language, index: LineIndex::new(source), units };
    (0..file.units.len()).filter_map(|i| file.case(i)).collect()
}

/// A source file and its units.
struct File<'a> {
    name: &'a str,
    source: &'a str,
    language: Language,
    index: LineIndex,
    units: Vec<Unit>,
}

impl File<'_> {
    /// The case that asks for unit `i`.
    fn case(&self, i: usize) -> Option<Case> {
        let unit = &self.units[i];
        let needle = self.without_blank_end(Lines::new(unit.head.start, unit.lines.end));
        let doc = self.doc(unit);
        if !unit.is_function()
            || doc.is_empty()
            || !FUNCTION_LINES.contains(&(needle.len() - self.within(&doc, needle)))
        {
            return None;
        }
        let name = unit.name.as_deref()?;
        let sentence = first_sentence(doc.iter().map(|&line| self.line(line)))?;
        let squeezed = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
        if squeezed(&sentence).contains(&squeezed(name)) {
            return None;
        }
        let part = self.part_around(i)?;
        let stays = |line: &usize| !doc.contains(line);
        let code: String = (part.start..part.end).filter(stays).map(|line| self.text(line)).collect();
        let start = (part.start..needle.start).filter(stays).count();
        let lines = (needle.start..needle.end).filter(stays).count();
        let functions = syntax::units(&code, self.language).ok()?.iter().filter(|unit| unit.is_function()).count();
        if functions < MIN_FUNCTIONS {
            return None;
        }
        let id = format!("{}:{}", self.name, needle.start + 1);
        Some(Case {
            question: question(&id, &sentence),
            name_words_in_question: shared_words(name, &sentence),
            id,
            group: self.language.name().to_lowercase(),
            language: self.language,
            code,
            needle: Needle { start_line: start + 1, end_line: start + lines },
            numbered: false,
        })
    }

    fn text(&self, line: usize) -> &str {
        &self.source[self.index.span(Lines::new(line, line + 1)).range()]
    }

    fn line(&self, line: usize) -> &str {
        self.text(line).trim()
    }

    fn within(&self, doc: &[usize], lines: Lines) -> usize {
        doc.iter().filter(|&&line| lines.contains(line)).count()
    }

    fn without_blank_end(&self, mut lines: Lines) -> Lines {
        while !lines.is_empty() && self.line(lines.end - 1).is_empty() {
            lines.end -= 1;
        }
        lines
    }

    /// The lines of the unit's doc comment or docstring.
    fn doc(&self, unit: &Unit) -> Vec<usize> {
        let sign = self.language.line_comment();
        let is_comment = |line: &usize| {
            let text = self.line(*line);
            text.starts_with(sign) || (sign != "#" && (text.starts_with("/*") || text.starts_with('*')))
        };
        let above = (unit.signature.start..unit.head.start).filter(is_comment);
        let docstring = unit.head.end..unit.signature.end;
        // A body of a docstring alone is no answer.
        let has_body = unit.signature.end < unit.lines.end;
        above.chain(docstring.filter(|_| has_body)).collect()
    }

    /// The lines of the unit and of the items around it, as many as fit into a case.
    fn part_around(&self, i: usize) -> Option<Lines> {
        let starts: Vec<usize> = (0..self.units.len())
            .filter(|&i| self.units[i].parent.is_none())
            .map(|i| self.units[i].lines.start)
            .collect();
        let line = self.units[i].lines.start;
        let mut first = starts.partition_point(|&start| start <= line).checked_sub(1)?;
        let mut last = first + 1;
        let end = |item: usize| starts.get(item).copied().unwrap_or(self.index.count());
        let bytes = |first: usize, last: usize| self.index.span(Lines::new(starts[first], end(last))).len();
        loop {
            let before = first > 0 && bytes(first - 1, last) <= *CODE_BYTES.end();
            first -= usize::from(before);
            let after = last < starts.len() && bytes(first, last + 1) <= *CODE_BYTES.end();
            last += usize::from(after);
            if !before && !after {
                break;
            }
        }
        CODE_BYTES.contains(&bytes(first, last)).then(|| Lines::new(starts[first], end(last)))
    }
}

/// The first sentence of a doc comment; empty where there is none.
pub fn sentence<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let bare = |line: &'a str| line.trim_matches(|c: char| "/*#!\"'".contains(c) || c.is_whitespace());
    let said = lines.map(bare).skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty());
    let text = said.take_while(|line| !line.starts_with(['@', '\\', ':', '-'])).collect::<Vec<_>>().join(" ");
    let end = text.find(". ").unwrap_or(text.len());
    text[..end].trim().trim_end_matches(['.', ':']).to_owned()
}

/// The first sentence of a doc comment, if it is prose and long enough for a question.
fn first_sentence<'a>(lines: impl Iterator<Item = &'a str>) -> Option<String> {
    let sentence = sentence(lines);
    let letters = sentence.chars().filter(|c| c.is_alphabetic() || *c == ' ').count();
    let is_prose = letters * 10 >= sentence.chars().count() * 8;
    let lower = sentence.to_lowercase();
    let is_idle = IDLE.iter().any(|start| lower.starts_with(start));
    (is_prose && !is_idle && sentence.split_whitespace().count() >= MIN_WORDS).then_some(sentence)
}

/// The sentence as a question, in one of four forms chosen by the case's id.
fn question(id: &str, sentence: &str) -> String {
    let form = blake3::hash(id.as_bytes()).as_bytes()[0] % 4;
    match form {
        0 => format!("Which function here is meant by this description? \"{sentence}\""),
        1 => format!("I have to change the code that is described so: {sentence}. Where is it?"),
        2 => format!("{sentence}: how is that done in this file?"),
        _ => format!("Explain how this works: {sentence}."),
    }
}

/// Share of the words of `name` that are in `sentence`, endings aside; 0 to 1.
fn shared_words(name: &str, sentence: &str) -> f32 {
    let mut words: Vec<String> = terms::parts(name).into_iter().map(str::to_lowercase).collect();
    words.retain(|word| word.len() > 1);
    let sentence = sentence.to_lowercase();
    let has = |word: &&String| sentence.split(|c: char| !c.is_alphanumeric()).any(|other| alike(word, other));
    words.iter().filter(has).count() as f32 / words.len().max(1) as f32
}

/// Whether two words are equal but for their last letters.
fn alike(a: &str, b: &str) -> bool {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    same >= 3 && same + 3 >= a.chars().count().max(b.chars().count()) || a == b
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(functions: usize) -> String {
        let function = |i: usize| {
            let body = "    total = sum(price for price in prices if price is not None and price > 0)\n".repeat(10);
            format!(
                "def step_{i}(prices):\n    \"\"\"Adds up what the customer number {i} has to pay.\n\n    More.\n    \"\"\"\n{body}    return total\n\n\n"
            )
        };
        (0..functions).map(function).collect()
    }

    #[test]
    fn a_doc_comment_becomes_the_question() {
        let source = module(12);
        let cases = of_file("shop.py", &source, Language::Python);
        assert_eq!(cases.len(), 12);
        let case = &cases[3];
        assert!(case.question.contains("Adds up what the customer number 3 has to pay"), "{}", case.question);
        assert!(!case.code.contains("customer number 3 ") && case.code.contains("customer number 4 "));
        let needle: Vec<&str> = case.code.lines().skip(case.needle.start_line - 1).collect();
        assert_eq!(needle[0], "def step_3(prices):");
        assert_eq!(case.code.lines().nth(case.needle.end_line - 1), Some("    return total"));
        assert_eq!(of_file("shop.py", &module(7), Language::Python).len(), 0, "too few functions");
    }

    #[test]
    fn comments_above_count_too() {
        let body =
            "    let total: f32 = prices.iter().filter(|price| **price > 0.0).copied().sum::<f32>();\n".repeat(10);
        let function = |i: usize| {
            format!(
                "/// Adds up what the {i}th customer has to pay for it.\n#[inline]\nfn step_{i}(prices: &[f32]) -> f32 {{\n{body}    total\n}}\n\n"
            )
        };
        let source: String = (0..10).map(function).collect();
        let cases = of_file("shop.rs", &source, Language::Rust);
        assert_eq!(cases.len(), 10);
        let start = cases[2].needle.start_line;
        assert_eq!(cases[2].code.lines().nth(start - 1), Some("fn step_2(prices: &[f32]) -> f32 {"));
        assert_eq!(cases[2].code.lines().nth(start - 2), Some("#[inline]"));
    }

    #[test]
    fn tests_are_told_by_their_names() {
        for name in
            ["test_shop.py", "conftest.py", "shop_test.go", "shop.test.ts", "shop.spec.js", "ShopTest.java", "tests.rs"]
        {
            assert!(is_test(name), "{name}");
        }
        for name in ["shop.py", "attest.go", "contest.rs", "testing.py", "spec.ts", "latest.js"] {
            assert!(!is_test(name), "{name}");
        }
    }

    #[test]
    fn idle_comments_are_no_questions() {
        let sentence = |text: &str| first_sentence(text.lines());
        assert_eq!(sentence("/// Adds up what there is to pay. And more.").unwrap(), "Adds up what there is to pay");
        assert_eq!(
            sentence("/**\n * Finds the last open order of a customer,\n * if any.\n * @param id x\n */").unwrap(),
            "Finds the last open order of a customer, if any"
        );
        assert_eq!(sentence("// TODO: make this work for all the others too"), None);
        assert_eq!(sentence("// too short"), None);
        assert_eq!(sentence("// a[0] = b[1] + c[2] - d[3] * e[4] / f[5]"), None);
    }

    #[test]
    fn words_are_compared_without_their_endings() {
        assert_eq!(shared_words("parse_header", "Parses all headers of it"), 1.0);
        assert_eq!(shared_words("readFile", "Opens a file and gives its text"), 0.5);
    }
}

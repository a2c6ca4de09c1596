//! Rules: other settings for some of the code. The first `[[rule]]` that matches counts.

use std::fmt;

use super::globs::Globs;
use super::key::{Key, table};
use super::kind::{APIS, LANGUAGES, NAMES, PATHS, SHARE, SOME_TOKENS, TOKENS, choice};
use super::values::{Fine, Mode};
use crate::base::text::Tokens;

table! {
    /// Rules give some of the code other settings. The first rule that matches counts, and only that one; what it does not
    /// set comes from `[compression]`. `lopper check --path src/main.py` says which rule that is for a file.
    ///
    /// A rule matches where each of its matchers does: path, model, language, tool and api, each a pattern or a list of
    /// patterns of which one must match. A rule without matchers matches all code. Besides * there are ?, [a-z] and {a,b}.
    /// Except in paths, case does not count. What is not known about the code matches no pattern.
    ///
    /// A rule sets one or more of mode, ratio, budget_tokens, min_tokens and fine, each as in `[compression]`; its ratio is
    /// stronger than the section's budget_tokens.
    struct Rule, RULE: "rule" in Rule beside {
        /// The settings file that the rule stands in, as it is shown to a person.
        file: String;
        /// The line of that file that it begins in, from 1.
        line: usize;
    };

    /// The model that the request names.
    model: Option<Globs> = None, NAMES;
    /// The path of the code's file. A pattern without a slash is for the file's name; * ends at a slash, ** does not; case
    /// counts. Paths are matched whole, and many assistants send absolute ones: write "**/tests/**".
    path: Option<Globs> = None, PATHS;
    /// The code's language, such as "Python" or "py".
    language: Option<Globs> = None, LANGUAGES;
    /// The tool whose result the code came in.
    tool: Option<Globs> = None, NAMES;
    /// The API of the request: "chat", "responses", "messages" or "completions".
    api: Option<Globs> = None, APIS;
    /// Whether the code is compressed.
    mode: Option<Mode> = None, choice::<Mode>();
    /// Share of the code's tokens to keep.
    ratio: Option<f64> = None, SHARE;
    /// Tokens of the code to keep, instead of ratio.
    budget_tokens: Option<Tokens> = None, SOME_TOKENS;
    /// Code of fewer tokens is left alone.
    min_tokens: Option<Tokens> = None, TOKENS;
    /// Whether kept functions are pruned inside.
    fine: Option<Fine> = None, choice::<Fine>();
}

/// Two rules with every key.
pub(super) const EXAMPLE: &str = r#"[[rule]]
path = ["**/tests/**", "*_test.go"]
ratio = 0.2

[[rule]]
model = "*mini*"
language = ["Go", "Rust"]
tool = "read*"
api = "messages"
mode = "audit"
budget_tokens = 3000
min_tokens = 1000
fine = "auto"
"#;

/// The properties of a piece of code that rules match on. A matcher for what is not known does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subject<'a> {
    /// The model as the request names it.
    pub model: Option<&'a str>,
    /// The file's path as the client names it.
    pub path: Option<&'a str>,
    /// The language's name, such as `Python`.
    pub language: Option<&'a str>,
    /// The name of the tool whose result it is in.
    pub tool: Option<&'a str>,
    /// One of [`API_NAMES`](super::API_NAMES).
    pub api: Option<&'a str>,
}

/// The first of `rules` of which every matcher matches.
pub fn first_match<'r>(rules: &'r [Rule], subject: &Subject<'_>) -> Option<&'r Rule> {
    rules.iter().find(|rule| rule.mismatch(subject).is_none())
}

/// The place of `rule`, which must be one of `rules`, such as `rule 2 at lopper.toml:31`.
pub fn place(rules: &[Rule], rule: &Rule) -> String {
    // By identity: two rules may stand in one line, or be the same.
    let number = 1 + rules.iter().take_while(|other| !std::ptr::eq(*other, rule)).count();
    format!("rule {number} at {}:{}", rule.file, rule.line)
}

/// Why a rule does not match; a short sentence when shown.
#[derive(Debug, PartialEq)]
pub struct Mismatch<'a> {
    /// The key of the matcher.
    pub matcher: &'static str,
    /// The subject's value, if it is known.
    pub given: Option<&'a str>,
    /// What the rule asks for.
    pub wanted: &'a Globs,
}

impl Rule {
    /// The first matcher that `subject` does not satisfy, in the order of the fields; none if the rule matches.
    pub fn mismatch<'a>(&'a self, subject: &Subject<'a>) -> Option<Mismatch<'a>> {
        let globs = [&self.model, &self.path, &self.language, &self.tool, &self.api];
        let given = [subject.model, subject.path, subject.language, subject.tool, subject.api];
        MATCHERS.into_iter().zip(globs).zip(given).find_map(|((matcher, globs), given)| {
            let wanted = globs.as_ref()?;
            let matches = given.is_some_and(|given| wanted.matches(given));
            (!matches).then_some(Mismatch { matcher, given, wanted })
        })
    }

    /// The keys that the rule sets, each with its value as a file would have it.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, String)> {
        setting_keys().filter_map(|key| Some((key.name, (key.get)(self)?)))
    }
}

/// The keys that say which code a rule is for.
const MATCHERS: [&str; 5] = ["model", "path", "language", "tool", "api"];

/// The keys that say what a rule changes.
pub(super) fn setting_keys() -> impl Iterator<Item = &'static Key<Rule>> {
    RULE.keys.iter().filter(|key| !MATCHERS.contains(&key.name))
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.given {
            Some(given) => write!(f, "{} is {given:?}, not {}", self.matcher, self.wanted),
            None => write!(f, "no {} is known; it asks for {}", self.matcher, self.wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `*` for anything but slashes, `?` for a character, by trying all ways.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, rest) => rest.is_none(),
            (Some((b'*', more)), _) => {
                naive(more, text) || text.split_first().is_some_and(|(&c, rest)| c != b'/' && naive(pattern, rest))
            }
            (Some((_, more)), Some((c, rest))) if pattern[0] == *c || pattern[0] == b'?' && *c != b'/' => {
                naive(more, rest)
            }
            _ => false,
        }
    }

    fn naive_path(pattern: &str, path: &str) -> bool {
        let text = if pattern.contains('/') { path } else { path.rsplit('/').next().unwrap() };
        naive(pattern.as_bytes(), text.as_bytes())
    }

    fn naive_word(pattern: &str, word: &str) -> bool {
        naive(pattern.to_lowercase().as_bytes(), word.to_lowercase().as_bytes())
    }

    type Patterns = Option<Vec<String>>;

    fn patterns(alphabet: &'static str) -> impl Strategy<Value = Patterns> {
        proptest::option::of(proptest::collection::vec(alphabet, 1..3))
    }

    fn globs(patterns: &Patterns, read: fn(&[&str]) -> Result<Globs, String>) -> Option<Globs> {
        let patterns: Vec<&str> = patterns.as_ref()?.iter().map(String::as_str).collect();
        Some(read(&patterns).unwrap())
    }

    fn naive_one(patterns: &Patterns, given: Option<&str>, matches: fn(&str, &str) -> bool) -> bool {
        let Some(patterns) = patterns else { return true };
        given.is_some_and(|given| patterns.iter().any(|pattern| matches(pattern, given)))
    }

    proptest! {
        #[test]
        fn first_match_is_the_first_rule_whose_every_matcher_has_a_pattern_that_matches(
            written in proptest::collection::vec((patterns("[aB*?]{1,3}"), patterns("[a/]?[ab*?.]{1,3}"), patterns("[aB*]{1,2}")), 0..6),
            model in proptest::option::of("[aAbB]{0,3}"),
            // The crate takes a name that ends in a dot for no file's.
            path in proptest::option::of("([ab]/)?[ab.]{0,2}[ab]"),
            tool in proptest::option::of("[aAbB]{1,2}"),
        ) {
            let rules: Vec<Rule> = written.iter().map(|(model, path, tool)| Rule {
                model: globs(model, Globs::words),
                path: globs(path, Globs::paths),
                tool: globs(tool, Globs::words),
                ..Rule::default()
            }).collect();
            let rules: Vec<Rule> = (1..).zip(rules).map(|(line, rule)| Rule { line, ..rule }).collect();
            let subject = Subject { model: model.as_deref(), path: path.as_deref(), tool: tool.as_deref(), ..Subject::default() };
            let expected = written.iter().position(|(m, p, t)| {
                naive_one(m, subject.model, naive_word)
                    && naive_one(p, subject.path, naive_path)
                    && naive_one(t, subject.tool, naive_word)
            });
            prop_assert_eq!(first_match(&rules, &subject).map(|rule| rule.line), expected.map(|index| index + 1));
        }
    }

    #[test]
    fn what_is_not_known_does_not_match() {
        let python = Rule { language: Some(Globs::languages(&["*"]).unwrap()), ..Rule::default() };
        let known = Subject { language: Some("Go"), ..Subject::default() };
        assert!(first_match(std::slice::from_ref(&python), &known).is_some());
        let mismatch = python.mismatch(&Subject::default()).unwrap();
        assert_eq!(mismatch.to_string(), "no language is known; it asks for \"*\"");
        assert!(Rule::default().mismatch(&Subject::default()).is_none(), "a rule without matchers matches all");
    }

    #[test]
    fn a_rule_sets_what_it_names() {
        let rule = Rule { ratio: Some(0.2), mode: Some(Mode::Audit), ..Rule::default() };
        let set: Vec<_> = rule.settings().collect();
        assert_eq!(set, [("mode", "\"audit\"".to_owned()), ("ratio", "0.2".to_owned())]);
    }
}

//! Which settings a piece of code gets: those of the first `[[rule]]` that matches it, the general ones for the rest.

use std::fmt;

use super::globs::Globs;
use super::{Config, Fine, Mode};
use crate::base::text::Tokens;

/// A `[[rule]]`: a matcher that is absent is content with anything; a setting that is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rule {
    /// The settings file that it stands in, as it is shown to a person.
    pub file: String,
    /// The line of that file that it begins in, from 1.
    pub line: usize,
    /// The model that the request names.
    pub model: Option<Globs>,
    /// The path of the file that the code is from.
    pub path: Option<Globs>,
    /// The code's language.
    pub language: Option<Globs>,
    /// The tool whose result the code came in.
    pub tool: Option<Globs>,
    /// The API that the request came in by.
    pub api: Option<Globs>,
    /// Share of the code's tokens to keep; above 0, at most 1.
    pub ratio: Option<f64>,
    /// Whether the code is compressed.
    pub mode: Option<Mode>,
    /// Code of fewer tokens is left alone.
    pub min_tokens: Option<Tokens>,
    /// Whether kept functions are pruned inside.
    pub fine: Option<Fine>,
    /// Tokens of the code to keep, above 0; stronger than `ratio`.
    pub budget_tokens: Option<Tokens>,
}

/// What is known about a piece of code. A matcher for what is not known does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subject<'a> {
    /// The model as the request names it.
    pub model: Option<&'a str>,
    /// The file's path as the client names it.
    pub path: Option<&'a str>,
    /// The language's name ([`Language::name`](crate::syntax::Language::name)).
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
    /// What the subject has there, if it is known.
    pub given: Option<&'a str>,
    /// What the rule asks for.
    pub wanted: &'a Globs,
}

/// What becomes of a piece of code.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Treatment {
    /// Whether it is compressed.
    pub mode: Mode,
    /// How much of it stays.
    pub amount: Amount,
    /// Code of fewer tokens is left alone.
    pub min_tokens: Tokens,
    /// Whether kept functions are pruned inside.
    pub fine: Fine,
}

/// How much of a piece of code stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// This share of its tokens; above 0, at most 1.
    Ratio(f64),
    /// This many tokens; above 0.
    Tokens(Tokens),
}

impl Rule {
    /// The first matcher that `subject` does not satisfy, in the order of the fields; none if the rule matches.
    pub fn mismatch<'a>(&'a self, subject: &Subject<'a>) -> Option<Mismatch<'a>> {
        let matchers = [
            ("model", &self.model, subject.model),
            ("path", &self.path, subject.path),
            ("language", &self.language, subject.language),
            ("tool", &self.tool, subject.tool),
            ("api", &self.api, subject.api),
        ];
        matchers.into_iter().find_map(|(matcher, globs, given)| {
            let wanted = globs.as_ref()?;
            let matches = given.is_some_and(|given| wanted.matches(given));
            (!matches).then_some(Mismatch { matcher, given, wanted })
        })
    }

    /// How much of the code the rule keeps, if it says so. A number of tokens is stronger than a share.
    pub fn amount(&self) -> Option<Amount> {
        self.budget_tokens.map(Amount::Tokens).or(self.ratio.map(Amount::Ratio))
    }
}

impl Config {
    /// What becomes of a piece of code: what `rule` sets, and `[compression]` for the rest. A rule's `ratio` is stronger
    /// than the section's `budget_tokens`.
    pub fn treatment(&self, rule: Option<&Rule>) -> Treatment {
        let usual = &self.compression;
        let general = usual.budget_tokens.map_or(Amount::Ratio(usual.ratio), Amount::Tokens);
        Treatment {
            mode: rule.and_then(|rule| rule.mode).unwrap_or(usual.mode),
            amount: rule.and_then(Rule::amount).unwrap_or(general),
            min_tokens: rule.and_then(|rule| rule.min_tokens).unwrap_or(usual.min_tokens),
            fine: rule.and_then(|rule| rule.fine).unwrap_or(usual.fine),
        }
    }

    /// Whether code may be scored at all: somewhere, in general or in a rule, the mode is not `off`.
    pub fn scores_something(&self) -> bool {
        let modes = self.rules.iter().filter_map(|rule| rule.mode).chain([self.compression.mode]);
        modes.into_iter().any(|mode| mode != Mode::Off)
    }
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
        let mut config = Config::default();
        config.compression.budget_tokens = Some(Tokens(900));
        assert_eq!(config.treatment(None).amount, Amount::Tokens(Tokens(900)));
        let mut rule = Rule { ratio: Some(0.2), mode: Some(Mode::Audit), ..Rule::default() };
        let treatment = config.treatment(Some(&rule));
        assert_eq!((treatment.amount, treatment.mode), (Amount::Ratio(0.2), Mode::Audit));
        assert_eq!((treatment.min_tokens, treatment.fine), (Tokens(500), Fine::Off));
        rule.budget_tokens = Some(Tokens(70));
        assert_eq!(config.treatment(Some(&rule)).amount, Amount::Tokens(Tokens(70)));
    }

    #[test]
    fn a_rule_alone_may_switch_scoring_on() {
        let mut config = Config::default();
        config.compression.mode = Mode::Off;
        assert!(!config.scores_something());
        config.rules.push(Rule { mode: Some(Mode::Audit), ..Rule::default() });
        assert!(config.scores_something());
    }
}

//! Patterns for names and paths, as rules and prices have them.

use std::borrow::Cow;
use std::fmt;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::problem::{any_of, nearest};
use super::values::API_NAMES;
use crate::syntax::Language;

/// Long enough for any list in braces; what is longer is no pattern that a person wrote.
const LONGEST_PATTERN: usize = 1000;

/// Patterns of one matcher of a rule, of which one must match: `*`, `?`, `[a-z]`, `{a,b}`, and in paths `**` for any
/// folders.
#[derive(Clone)]
pub struct Globs {
    patterns: Vec<String>,
    set: GlobSet,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// `*` ends at a slash; a pattern without a slash is for the file's name; case counts.
    Path,
    /// `*` is anything; case does not count.
    Word,
}

impl Globs {
    /// The patterns as they were written.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// Whether one of the patterns matches all of `text`.
    pub fn matches(&self, text: &str) -> bool {
        match self.kind {
            Kind::Path => self.set.is_match(&*plain_path(text)),
            Kind::Word => self.set.is_match(text),
        }
    }

    pub(super) fn paths(patterns: &[&str]) -> Result<Self, String> {
        Self::new(patterns, Kind::Path, |pattern| {
            if pattern.ends_with('/') {
                let anywhere = if pattern.starts_with(['/', '*', '.']) { "" } else { "**/" };
                return Err(format!(
                    "{pattern:?} names a folder, not the files in it; write \"{anywhere}{pattern}**\""
                ));
            }
            let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
            let is_file_name = !pattern.contains('/') && pattern != "**";
            Ok(if is_file_name { format!("**/{pattern}") } else { pattern.to_owned() })
        })
    }

    pub(super) fn words(patterns: &[&str]) -> Result<Self, String> {
        Self::new(patterns, Kind::Word, |pattern| Ok(pattern.to_owned()))
    }

    /// Languages by their names or, without a wildcard, by the tags of code fences.
    pub(super) fn languages(patterns: &[&str]) -> Result<Self, String> {
        Self::new(patterns, Kind::Word, |pattern| match Language::from_tag(pattern) {
            Some(language) => Ok(globset::escape(language.name())),
            None => Ok(pattern.to_owned()),
        })?
        .each_matching_one_of(&Language::ALL.map(Language::name), "language")
    }

    pub(super) fn apis(patterns: &[&str]) -> Result<Self, String> {
        Self::words(patterns)?.each_matching_one_of(&API_NAMES, "API")
    }

    fn new(patterns: &[&str], kind: Kind, meant: impl Fn(&str) -> Result<String, String>) -> Result<Self, String> {
        let mut set = GlobSetBuilder::new();
        for &pattern in patterns {
            if pattern.len() > LONGEST_PATTERN {
                return Err(format!("a pattern may have at most {LONGEST_PATTERN} bytes"));
            }
            if pattern.is_empty() {
                return Err("it must not be empty".into());
            }
            let written = meant(pattern)?;
            let mut builder = GlobBuilder::new(&written);
            // Said in full where the default depends on the platform.
            builder.backslash_escape(true).literal_separator(kind == Kind::Path).case_insensitive(kind == Kind::Word);
            set.add(builder.build().map_err(|error| format!("{pattern:?} is not a pattern: {}", error.kind()))?);
        }
        let set = set.build().map_err(|error| format!("it is too much: {}", error.kind()))?;
        Ok(Self { patterns: patterns.iter().map(|&pattern| pattern.to_owned()).collect(), set, kind })
    }

    fn each_matching_one_of(self, names: &[&'static str], what: &str) -> Result<Self, String> {
        let mut matched = vec![false; self.patterns.len()];
        for name in names {
            for index in self.set.matches(name) {
                matched[index] = true;
            }
        }
        let Some(vain) = matched.iter().position(|matched| !matched) else { return Ok(self) };
        let pattern = &self.patterns[vain];
        let near = nearest(&pattern.to_lowercase(), names.iter().map(|name| name.to_lowercase()));
        let near = near.and_then(|near| names.iter().find(|name| name.to_lowercase() == near));
        Err(match near {
            Some(near) => format!("{pattern:?} matches no {what}; did you mean {near:?}?"),
            None => format!("{pattern:?} matches no {what}; there is {}", any_of(names)),
        })
    }
}

/// With slashes, and without the `./` that says nothing: clients run on Windows too.
fn plain_path(path: &str) -> Cow<'_, str> {
    let below = path.strip_prefix("./").or_else(|| path.strip_prefix(".\\")).unwrap_or(path);
    if below.contains('\\') { Cow::Owned(below.replace('\\', "/")) } else { Cow::Borrowed(below) }
}

impl PartialEq for Globs {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.patterns) == (other.kind, &other.patterns)
    }
}

impl fmt::Debug for Globs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.patterns.fmt(f)
    }
}

/// `"a" or "b"`, for a sentence.
impl fmt::Display for Globs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&any_of(&self.patterns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths() {
        let cases = [
            ("*.py", "a.py", true),
            ("*.py", "/src/x/a.py", true),
            ("*.py", "a.PY", false),
            ("*.py", "a.pyc", false),
            ("a.py", "src\\a.py", true),
            ("**/*.py", "a.py", true),
            ("**/*.py", "/x/y/a.py", true),
            ("src/*.py", "src/x/a.py", false),
            ("src/*.py", "./src/a.py", true),
            ("./src/*.py", "src/a.py", true),
            ("src/**", "src/x/a.py", true),
            ("src/**", "/me/src/x/a.py", false),
            ("**/src/**", "/me/src/x/a.py", true),
            ("**/src/**", "src/a.py", true),
            ("**", "x/a.py", true),
            ("*", "x/a.py", true),
            ("*.{ts,tsx}", "x/a.tsx", true),
            ("[ab].py", "b.py", true),
            ("?.py", "ab.py", false),
            ("C:/x/*", "C:\\x\\a.py", true),
        ];
        for (pattern, path, matches) in cases {
            assert_eq!(Globs::paths(&[pattern]).unwrap().matches(path), matches, "{pattern} {path}");
        }
    }

    #[test]
    fn words() {
        for (pattern, word, matches) in
            [("gpt-*", "GPT-4o", true), ("gpt-*", "openai/gpt-4o", false), ("*gpt-*", "openai/gpt-4o", true)]
        {
            assert_eq!(Globs::words(&[pattern]).unwrap().matches(word), matches, "{pattern} {word}");
        }
        for (pattern, language, matches) in [
            ("python", "Python", true),
            ("py", "Python", true),
            ("ts", "TypeScript", true),
            ("t*", "TSX", true),
            ("c++", "C++", true),
            ("c", "C#", false),
            ("C*", "C#", true),
            ("c*", "JavaScript", false),
        ] {
            assert_eq!(Globs::languages(&[pattern]).unwrap().matches(language), matches, "{pattern} {language}");
        }
        assert!(Globs::apis(&["CHAT", "re*"]).unwrap().matches("responses"));
    }

    #[test]
    fn what_matches_nothing_is_a_mistake() {
        let said = |result: Result<Globs, String>| result.unwrap_err();
        assert_eq!(said(Globs::languages(&["go", "pyton"])), "\"pyton\" matches no language; did you mean \"Python\"?");
        assert!(said(Globs::languages(&["Cobol"])).contains("there is \"Python\", "));
        assert_eq!(
            said(Globs::apis(&["chat", "edits"])),
            "\"edits\" matches no API; there is \"chat\", \"responses\", \"messages\" or \"completions\""
        );
        assert_eq!(said(Globs::paths(&["a/"])), "\"a/\" names a folder, not the files in it; write \"**/a/**\"");
        assert!(said(Globs::paths(&["a["])).starts_with("\"a[\" is not a pattern: unclosed character class"));
        assert_eq!(said(Globs::words(&["a", ""])), "it must not be empty");
    }

    #[test]
    fn deep_nesting_is_refused_not_suffered() {
        assert!(Globs::paths(&[&"{".repeat(LONGEST_PATTERN + 1)]).is_err());
        let deep = "{".repeat(LONGEST_PATTERN / 2) + &"}".repeat(LONGEST_PATTERN / 2);
        // Valid or not: it ends.
        let _ = Globs::paths(&[&deep]);
    }

    proptest! {
        #[test]
        fn no_pattern_and_no_path_makes_it_panic(pattern in "[\\]\\[a/*?.,!{}\\\\\u{e9}-]{0,12}", path in "[a/.\\\\\u{e9}]{0,8}") {
            for globs in [Globs::paths(&[&pattern]), Globs::words(&[&pattern]), Globs::languages(&[&pattern])] {
                let _ = globs.map(|globs| globs.matches(&path));
            }
        }
    }
}

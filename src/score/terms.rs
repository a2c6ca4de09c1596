//! Finds the terms of a text: the parts of its words and identifiers, stemmed, without stop words.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

/// Words of questions and of most languages that distinguish nothing.
static STOP_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| WORDS.split_whitespace().collect());
const WORDS: &str = "a about all also an and any are as at be been but by can code could do does explain file find for \
    from function get give given has have help here how i if in into is it its let like look me method my need no not of \
    on one or our out please same see self should show so some tell than that the their them then there these they this \
    those to up use used uses using want was we were what when where which while who why will with work works would you \
    your abstract async await bool boolean break case catch class const continue def default del elif else end enum \
    except export extends false final finally fn func global go goto impl implements import include int interface \
    lambda mod module mut namespace new nil none null operator package pass private protected pub public raise return \
    signed sizeof static std str string struct super switch template throw true try type typedef typename union unsigned \
    using val var virtual void yield";

/// Calls `with` for each term of `text`: the parts of its identifiers and words, stemmed, without stop words; and each
/// identifier of several parts as a whole.
pub fn for_each_term(text: &str, mut with: impl FnMut(&str)) {
    for word in text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()) {
        let parts = parts(word);
        let several = parts.len() > 1;
        for part in parts {
            let part = part.to_lowercase();
            let counts = part.chars().nth(1).is_some() && !part.starts_with(|c: char| c.is_ascii_digit());
            if counts && !STOP_WORDS.contains(part.as_str()) {
                with(&stem(&part));
            }
        }
        if several {
            with(&word.to_lowercase());
        }
    }
}

/// The parts of an identifier: cut at underscores, before a capital after a small letter, and before the last capital of
/// a run that goes on in small letters (`HTTPServer`).
pub fn parts(word: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for piece in word.split('_') {
        let letters: Vec<(usize, char)> = piece.char_indices().collect();
        let mut start = 0;
        for at in 1..letters.len() {
            let (before, (byte, letter)) = (letters[at - 1].1, letters[at]);
            let rises = letter.is_uppercase() && !before.is_uppercase();
            let ends_run = letter.is_uppercase() && letters.get(at + 1).is_some_and(|next| next.1.is_lowercase());
            if rises || ends_run {
                parts.push(&piece[start..byte]);
                start = byte;
            }
        }
        parts.push(&piece[start..]);
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// A word without its common English endings, the same for `parse`, `parses`, `parsed` and `parsing`.
fn stem(word: &str) -> Cow<'_, str> {
    /// The letters that are left of a word at least.
    const LEAST: usize = 3;
    if !word.is_ascii() {
        return Cow::Borrowed(word);
    }
    let cut =
        |word: &str, ending: &str| word.strip_suffix(ending).filter(|rest| rest.len() >= LEAST).map(str::to_owned);
    let word = match word {
        _ if word.ends_with("ss") || word.ends_with("us") || word.ends_with("is") => word.to_owned(),
        _ => cut(word, "ies").map(|rest| rest + "y").or_else(|| cut(word, "s")).unwrap_or_else(|| word.to_owned()),
    };
    let word = ["ations", "ation", "ing", "ed", "or", "er", "ion"]
        .iter()
        .find_map(|ending| cut(&word, ending))
        .map_or(word, undoubled);
    let word = cut(&word, "e").unwrap_or(word);
    Cow::Owned(cut(&word, "at").filter(|rest| rest.len() > LEAST).unwrap_or(word))
}

/// `stopp` without the letter that was doubled for an ending.
fn undoubled(mut word: String) -> String {
    let bytes = word.as_bytes();
    if let [.., a, b] = bytes
        && a == b
        && !matches!(b, b'l' | b's' | b'z')
    {
        word.pop();
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Vec<String> {
        let mut terms = Vec::new();
        for_each_term(text, |term| terms.push(term.to_owned()));
        terms
    }

    #[test]
    fn identifiers_are_cut_at_case_and_underscore() {
        assert_eq!(parts("parseHTTPHeader_line2"), ["parse", "HTTP", "Header", "line2"]);
        assert_eq!(parts("__init__"), ["init"]);
        assert_eq!(parts("Ärger"), ["Ärger"]);
        assert_eq!(terms("the getUserName of x"), ["user", "nam", "getusername"]);
    }

    #[test]
    fn forms_of_a_word_are_one_term() {
        for words in [
            &["parse", "parses", "parsed", "parsing", "parser", "parsers"][..],
            &["validate", "validates", "validated", "validation", "validator"],
            &["stop", "stopped", "stopping", "stops"],
            &["entry", "entries"],
        ] {
            let stems: HashSet<_> = words.iter().map(|word| stem(word)).collect();
            assert_eq!(stems.len(), 1, "{stems:?}");
        }
        assert_ne!(stem("class"), stem("clash"));
    }
}

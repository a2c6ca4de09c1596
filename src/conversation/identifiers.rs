//! Finds the identifiers that a question names.

use crate::syntax::Language;

/// The identifiers that a question names: in backticks, with `()`, dotted, or in `snake_case`, `camelCase` or
/// `PascalCase`. Of a qualified name (`Store.get`, `store::get`) the last part. Each once, in order.
pub fn names(question: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (part, quoted) in parts(question) {
        let words = part.split(|c: char| c.is_whitespace() || "\"',;!?=+<>[]{}|".contains(c));
        for name in words.filter_map(|word| name(word, quoted)) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
    }
    names
}

/// The parts of a question between backticks, and whether these quote it. In a fenced block not every word is a name for
/// being there.
fn parts(question: &str) -> impl Iterator<Item = (&str, bool)> {
    question.split("```").enumerate().flat_map(|(block, text)| {
        // A fence may be longer.
        let text = text.trim_start_matches('`');
        let ticks = text.matches('`').count();
        text.split('`').enumerate().map(move |(part, text)| (text, block % 2 == 0 && part % 2 == 1 && part < ticks))
    })
}

/// The identifier that a word of a question names. A word in backticks need not look like one.
fn name(word: &str, quoted: bool) -> Option<&str> {
    /// Endings of names that are files or hosts.
    const FILES: [&str; 16] = [
        "json", "yaml", "yml", "toml", "md", "txt", "lock", "html", "css", "xml", "ini", "cfg", "log", "csv", "com",
        "org",
    ];
    let (word, called) = match word.split_once('(') {
        Some((before, _)) => (before, true),
        None => (word, false),
    };
    let word = word.trim_matches(|c: char| !(c.is_alphanumeric() || c == '_'));
    let last = word.rsplit("::").next()?.rsplit("->").next()?.rsplit('#').next()?;
    if last.contains(['/', '\\']) || Language::from_path(last).is_some() {
        return None;
    }
    let (owner, name) = last.rsplit_once('.').unwrap_or(("", last));
    let is_identifier = name.len() > 1
        && name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let qualified = owner.len() > 1 && !FILES.contains(&name) || last.len() < word.len();
    let plain_file = !owner.is_empty() && FILES.contains(&name);
    (is_identifier && !plain_file && (quoted || called || qualified || looks_like_code(name))).then_some(name)
}

/// Whether a word is in `snake_case`, `camelCase` or `PascalCase` and not only an acronym or its plural.
fn looks_like_code(word: &str) -> bool {
    let inner_capitals = word.chars().skip(1).filter(|c| c.is_uppercase()).count();
    let small = word.chars().filter(|c| c.is_lowercase()).count();
    let is_plural = small == 1 && word.ends_with('s');
    (word.contains('_') && word.contains(char::is_alphabetic)) || (inner_capitals > 0 && small > 0 && !is_plural)
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn names_are_identifiers() {
        let question = "Why does `Store.get` (see src/store.py, config.json and Node.js) call parse_args(argv) and HTTPServer, \
            e.g. in self.cache.flush()? The APIs of JSON, `run` and camelCase; tests/test_a.py::test_it, `x` and main(). Parse it.";
        assert_eq!(
            names(question),
            ["get", "parse_args", "HTTPServer", "flush", "run", "camelCase", "test_it", "main"]
        );
        assert_eq!(names("an unbalanced ` tick names nothing"), Vec::<String>::new());
        let pasted = "Why does it print\n````text\nno lines with 3 `numbers` in parse_args\n````\nafter `run` of this?\n```py\na.walk(3)\n```";
        assert_eq!(names(pasted), ["parse_args", "run", "walk"]);
    }
}

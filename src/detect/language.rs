//! The language of a piece of code: by its fence's tag, else its path, else its shebang.

use super::framing::headings::Heading;
use crate::syntax::Language;

/// The language of `code` under `heading`. `None` for data, prose and unknown languages; a tag goes before the path.
pub fn of(heading: &Heading, code: &str) -> Option<Language> {
    let by_path = heading.path.as_deref().and_then(Language::from_path);
    match &heading.tag {
        // Many clients tag TSX as TypeScript; the grammars differ.
        Some(tag) => match Language::from_tag(tag)? {
            Language::TypeScript if by_path == Some(Language::Tsx) => by_path,
            language => Some(language),
        },
        None => match by_path {
            // C++ headers may be called `.h` too.
            Some(Language::C) if heading.path.as_deref().is_some_and(is_header) && is_cpp(code) => Some(Language::Cpp),
            Some(language) => Some(language),
            None => Language::from_shebang(code.lines().next()?),
        },
    }
}

fn is_header(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("h"))
}

/// Whether code that is C or C++ is certainly C++: it has a line that C does not allow.
fn is_cpp(code: &str) -> bool {
    const WORDS: [&str; 9] =
        ["class ", "template <", "template<", "namespace ", "using ", "public:", "private:", "protected:", "virtual "];
    const TYPES: [&str; 2] = ["std::", "constexpr "];
    code.lines().map(str::trim_start).any(|line| {
        let is_comment = line.starts_with(['/', '*']);
        WORDS.iter().any(|word| line.starts_with(word)) || (!is_comment && TYPES.iter().any(|name| line.contains(name)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_go_before_paths() {
        let of_info = |info| of(&Heading::of_info(info), "#!/bin/sh");
        assert_eq!(of_info("python a.rs"), Some(Language::Python));
        assert_eq!(of_info("typescript a.tsx"), Some(Language::Tsx));
        assert_eq!(of_info("a.rs"), Some(Language::Rust));
        assert_eq!(of_info("text a.rs"), None);
        assert_eq!(of_info("bin/run"), Some(Language::Bash));
        assert_eq!(of_info(""), Some(Language::Bash));
        let header = Heading::of_info("src/a.h");
        assert_eq!(of(&header, "struct a {\n  int x;\n};\n/* class of std:: things */\n"), Some(Language::C));
        assert_eq!(of(&header, "#pragma once\nnamespace a {\n"), Some(Language::Cpp));
        assert_eq!(of(&header, "void f(const std::string &s);\n"), Some(Language::Cpp));
    }
}

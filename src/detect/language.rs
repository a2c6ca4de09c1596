//! Which language a piece of code is in: its fence's tag, else its path, else its shebang.

use super::heading::Heading;
use crate::syntax::Language;

/// The language of code under `heading` that begins with `first_line`. `None` for data, prose and what is not known:
/// a tag that is no language of ours says that it is not code to us, whatever the path.
pub fn of(heading: &Heading, first_line: &str) -> Option<Language> {
    let by_path = heading.path.as_deref().and_then(Language::from_path);
    match &heading.tag {
        // Many clients tag both by the one name; the grammars differ.
        Some(tag) => match Language::from_tag(tag)? {
            Language::TypeScript if by_path == Some(Language::Tsx) => by_path,
            language => Some(language),
        },
        None => by_path.or_else(|| Language::from_shebang(first_line)),
    }
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
    }
}

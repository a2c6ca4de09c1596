//! Code, or what is said to be, in every language: how it is cut into units, imports and blocks.

use lopper::base::text::{LineIndex, Lines};
use lopper::render;
use lopper::syntax::{Language, Parsed, SyntaxError};

use crate::harness::{Dice, fuzz, mutate};
use crate::partition::{assert_blocks_partition, assert_partition};
use crate::texts::{CODE_WORDS, FILES};

/// One target a language.
macro_rules! languages {
    ($($name:ident: $language:ident,)*) => {
        $(#[test]
        fn $name() {
            language(stringify!($name), Language::$language);
        })*

        #[test]
        fn every_language_is_a_target() {
            assert_eq!(Language::ALL, [$(Language::$language),*]);
        }
    };
}

languages! {
    split_python: Python,
    split_typescript: TypeScript,
    split_tsx: Tsx,
    split_javascript: JavaScript,
    split_rust: Rust,
    split_go: Go,
    split_java: Java,
    split_c: C,
    split_cpp: Cpp,
    split_csharp: CSharp,
    split_ruby: Ruby,
    split_php: Php,
    split_kotlin: Kotlin,
    split_swift: Swift,
    split_scala: Scala,
    split_bash: Bash,
}

fn language(target: &str, language: Language) {
    fuzz(target, 60, |dice| source(dice, language), |source| check(&String::from_utf8_lossy(source), language));
}

/// Code of this language with some changes; now and then of another one, or with a piece of it.
fn source(dice: &mut Dice, language: Language) -> Vec<u8> {
    let of_language: Vec<&str> =
        FILES.iter().filter(|(name, _)| Language::from_path(name) == Some(language)).map(|(_, code)| *code).collect();
    let other = dice.pick(&FILES).1;
    let code = if dice.once_in(16) { other } else { *dice.pick(&of_language) };
    let lines: Vec<&str> = code.split_inclusive('\n').collect();
    // A short run of lines is more often clean after changes, and quicker.
    let (first, count) = if dice.once_in(8) { (0, lines.len()) } else { (dice.below(lines.len()), 30) };
    let mut code = lines[first..(first + count).min(lines.len())].concat().into_bytes();
    mutate(dice, &mut code, &CODE_WORDS, other.as_bytes());
    code
}

fn check(source: &str, language: Language) {
    let parsed = match Parsed::new(source, language) {
        Ok(parsed) => parsed,
        Err(SyntaxError::NotClean { error_share, line }) => {
            assert!(
                (0.0..=1.0).contains(&error_share) && line <= LineIndex::new(source).count() + 1,
                "{error_share} {line}"
            );
            return;
        }
        Err(_) => return,
    };
    let lines = LineIndex::new(source).count();
    let units = parsed.units();
    assert_partition(source, &units);
    assert_blocks_partition(source, language, &units);
    let imports = parsed.imports();
    assert!(imports.iter().all(|import| !import.lines.is_empty() && import.lines.end <= lines));
    // Two may share a line.
    assert!(imports.is_sorted_by(|import, next| import.lines.end <= next.lines.start + 1));
    // Every other unit left out: what stays is verbatim, and it is never longer.
    let keep: Vec<Lines> = units.iter().step_by(2).map(|unit| unit.lines).collect();
    let rendered = render::render(source, &keep, language, 1, Some("a"));
    assert!(rendered.len() <= source.len());
    let mut left = source.split_inclusive('\n');
    for line in rendered.split_inclusive('\n').filter(|line| !render::is_marker(line)) {
        assert!(left.any(|source| source == line), "{line:?} is not the source's");
    }
}

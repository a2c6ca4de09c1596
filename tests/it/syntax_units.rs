//! Each language is split where a reader would split it, and nothing is lost.

use std::fmt::Write;

use crate::support::partition::{assert_blocks_partition, assert_partition};
use lopper::base::text::Lines;
use lopper::syntax::{Language, Parsed, SyntaxError, Unit, UnitKind, units};
use proptest::prelude::*;

/// The sample file of each language; its name says the language.
const SAMPLES: [(&str, &str); 16] = [
    ("python.py", include_str!("../fixtures/languages/python.py")),
    ("typescript.ts", include_str!("../fixtures/languages/typescript.ts")),
    ("tsx.tsx", include_str!("../fixtures/languages/tsx.tsx")),
    ("javascript.js", include_str!("../fixtures/languages/javascript.js")),
    ("rust.rs", include_str!("../fixtures/languages/rust.rs")),
    ("go.go", include_str!("../fixtures/languages/go.go")),
    ("java.java", include_str!("../fixtures/languages/java.java")),
    ("c.c", include_str!("../fixtures/languages/c.c")),
    ("cpp.hpp", include_str!("../fixtures/languages/cpp.hpp")),
    ("csharp.cs", include_str!("../fixtures/languages/csharp.cs")),
    ("ruby.rb", include_str!("../fixtures/languages/ruby.rb")),
    ("php.php", include_str!("../fixtures/languages/php.php")),
    ("kotlin.kt", include_str!("../fixtures/languages/kotlin.kt")),
    ("swift.swift", include_str!("../fixtures/languages/swift.swift")),
    ("scala.scala", include_str!("../fixtures/languages/scala.scala")),
    ("bash.sh", include_str!("../fixtures/languages/bash.sh")),
];

/// One line a unit, lines counted from 1: `12-30 Method parse_amount (sig 12-14, tail 30-30) in Ledger`.
fn outline(units: &[Unit]) -> String {
    let lines = |lines: Lines| format!("{}-{}", lines.start + 1, lines.end);
    let mut text = String::new();
    for unit in units {
        write!(text, "{} {:?}", lines(unit.lines), unit.kind).unwrap();
        if let Some(name) = &unit.name {
            write!(text, " {name}").unwrap();
        }
        let [above, docstring] = unit.doc;
        let parts = [("sig", unit.signature), ("doc", above), ("doc", docstring), ("tail", unit.tail)];
        let parts: Vec<_> =
            parts.iter().filter(|(_, l)| !l.is_empty()).map(|(name, l)| format!("{name} {}", lines(*l))).collect();
        if !parts.is_empty() {
            write!(text, " ({})", parts.join(", ")).unwrap();
        }
        if let Some(parent) = unit.parent {
            write!(text, " in {}", units[parent].name.as_deref().unwrap_or("?")).unwrap();
        }
        text.push('\n');
    }
    text
}

#[test]
fn each_language_is_cut_at_its_definitions() {
    let mut failures = String::new();
    for ((file, source), language) in SAMPLES.iter().zip(Language::ALL) {
        assert_eq!(Language::from_path(file), Some(language), "{file}");
        match units(source, language) {
            Ok(units) => insta::assert_snapshot!(*file, outline(&units)),
            Err(error) => writeln!(failures, "{file}: {error}").unwrap(),
        }
    }
    assert_eq!(failures, "");
}

/// A unit by its kind, its first line from 0 and one past its last.
type Cut = (UnitKind, usize, usize);

fn kinds(source: &str, language: Language) -> Vec<Cut> {
    units(source, language).unwrap().iter().map(|unit| (unit.kind, unit.lines.start, unit.lines.end)).collect()
}

#[test]
fn units_that_would_share_a_line_are_one() {
    use UnitKind::*;
    let cases: &[(Language, &str, &[Cut])] = &[
        (Language::JavaScript, "function a(){return 1}function b(){return 2}var c=a();", &[(Function, 0, 1)]),
        (Language::Java, "class A { int f() { return 1; } }\n", &[(TypeHeader, 0, 1)]),
        // The header can't be kept without the member on its line, so the class stays whole.
        (Language::Java, "class A { int f() { return 1; }\n int g() { return 2; }\n}\n", &[(TypeHeader, 0, 3)]),
        (
            Language::Cpp,
            "namespace a { namespace b {\nint f() {\n  return 1;\n}\n}}\n",
            &[(TypeHeader, 0, 1), (Function, 1, 4), (Closer, 4, 5)],
        ),
        (Language::Python, "x = 1; y = 2\ndef f(): return x\n", &[(Preamble, 0, 1), (Function, 1, 2)]),
        (Language::Go, "package a; func f() {\n}\n", &[(Function, 0, 2)]),
    ];
    for (language, source, expected) in cases {
        assert_eq!(kinds(source, *language), *expected, "{source}");
    }
}

#[test]
fn a_comment_beside_an_opening_line_stays_there() {
    use UnitKind::*;
    let source = "class A { // a\n  f() { // f\n    g();\n  } // end of f\n  // more\n} // end of a\n\nlet b; // b\n";
    let expected = [(TypeHeader, 0, 1), (Method, 1, 4), (Closer, 4, 6), (Preamble, 6, 8)];
    assert_eq!(kinds(source, Language::JavaScript), expected);
    let source = "class A:  # a\n    def f(self):  # f\n        pass  # end\n\nB = 1  # b\n";
    assert_eq!(kinds(source, Language::Python), [(TypeHeader, 0, 1), (Method, 1, 3), (Preamble, 3, 5)]);
    let source = "class A # a\n  def f # f\n    g\n  end # end\nend\n";
    assert_eq!(kinds(source, Language::Ruby), [(TypeHeader, 0, 1), (Method, 1, 4), (Closer, 4, 5)]);
}

#[test]
fn long_lambdas_are_functions_and_short_ones_values() {
    use UnitKind::*;
    let cases: &[(Language, &str, &[Cut])] = &[
        (
            Language::Kotlin,
            "val a = 1\ntask(\"b\") {\n    c()\n    d()\n}\ne { f() }\n",
            &[(Preamble, 0, 1), (Function, 1, 5), (Statement, 5, 6)],
        ),
        (Language::Swift, "let a = 1\ntask(\"b\") {\n    c()\n    d()\n}\n", &[(Preamble, 0, 1), (Function, 1, 5)]),
        (
            Language::JavaScript,
            "const a = () => 1;\nconst b = () => {\n  c();\n};\n",
            &[(Preamble, 0, 1), (Function, 1, 4)],
        ),
        (
            Language::JavaScript,
            "module.exports = {\n  a: 1,\n  b() {\n    c();\n  },\n};\n",
            &[(TypeHeader, 0, 1), (Statement, 1, 2), (Function, 2, 5), (Closer, 5, 6)],
        ),
    ];
    for (language, source, expected) in cases {
        assert_eq!(kinds(source, *language), *expected, "{source}");
    }
}

#[test]
fn php_needs_no_opening_tag() {
    let source = "function f($x) {\n    return $x;\n}\n";
    assert_eq!(kinds(source, Language::Php), [(UnitKind::Function, 0, 3)]);
    assert_eq!(kinds(&format!("<?php\n{source}"), Language::Php).len(), 2);
}

#[test]
fn text_that_does_not_parse_cleanly_is_refused() {
    assert_eq!(units("", Language::Rust), Err(SyntaxError::Empty));
    assert_eq!(units(" \n\n", Language::Rust), Err(SyntaxError::Empty));
    let prose = "This is a letter, not code; please read it.\n";
    for language in Language::ALL {
        // To a shell, and nearly to Ruby, words in a row are a command.
        if !matches!(language, Language::Bash | Language::Ruby) {
            assert!(matches!(units(prose, language), Err(SyntaxError::NotClean { .. })), "{language:?}");
        }
    }
    let cut_off = "fn a() {\n    b();\n}\n\nfn c() {\n    d();\n";
    assert!(matches!(units(cut_off, Language::Rust), Err(SyntaxError::NotClean { line, .. }) if line >= 5));
    let long = "x = 1\n".repeat(1 << 18);
    assert!(matches!(units(&long, Language::Python), Err(SyntaxError::TooLarge { .. })));
}

#[test]
fn the_imports_of_each_language_are_found() {
    for ((file, source), language) in SAMPLES.iter().zip(Language::ALL) {
        let imports = Parsed::new(source, language).unwrap().imports();
        for (i, import) in imports.iter().enumerate() {
            assert!(!import.lines.is_empty(), "{file}");
            assert!(i == 0 || imports[i - 1].lines.end <= import.lines.start, "{file}");
        }
        assert!(!imports.is_empty(), "{file}");
    }
}

#[test]
fn a_small_error_inside_a_function_is_borne() {
    let body = "    let total = prices.iter().sum();\n".repeat(100);
    let source = format!("fn a() {{\n{body}    let x = @;\n}}\n");
    assert_eq!(units(&source, Language::Rust).unwrap().len(), 1);
}

#[test]
fn deep_nesting_neither_hangs_nor_overflows() {
    for (open, close) in [("namespace a {\n", "}\n"), ("class A {\n", "};\n"), ("int f() {\n", "}\n")] {
        let source = format!("{}int g() {{\nreturn 1;\n}}\n{}", open.repeat(2_000), close.repeat(2_000));
        if let Ok(units) = units(&source, Language::Cpp) {
            assert_partition(&source, &units);
            assert_blocks_partition(&source, Language::Cpp, &units);
        }
    }
    let _ = Parsed::new(&"a +\n".repeat(50_000), Language::JavaScript)
        .map(|parsed| parsed.blocks(&[Lines::new(0, 50_000)]));
    let _ = units(&format!("x = {}1{}\n", "(".repeat(50_000), ")".repeat(50_000)), Language::JavaScript);
    let _ = units(&"((((a<b,c>(".repeat(5_000), Language::Cpp);
}

#[test]
fn a_text_that_is_hard_to_parse_is_given_up() {
    let unended = "/* \" ' ` ".repeat(1 << 13);
    for language in [Language::Java, Language::C, Language::Go, Language::JavaScript] {
        assert_eq!(units(&unended, language), Err(SyntaxError::TooHard), "{language:?}");
    }
    let errors = format!("def f\n  x = e\n{}end\n", "    > e\n".repeat(1_000));
    assert_eq!(units(&errors, Language::Ruby), Err(SyntaxError::TooHard));
    // What a mistake costs grows with those before: without a bound on time this would take 20 minutes.
    let entries = "        return entries.map(amount).reduce(0, add)\n    }\n\n    subscript(index: Int) ";
    assert_eq!(units(&(entries.to_owned() + &"-) ".repeat(20_000)), Language::CSharp), Err(SyntaxError::TooHard));
    // Few bytes a step, but all of it forward.
    let table = format!("X = [{}]\n", "1,".repeat(50_000));
    assert!(units(&table, Language::Ruby).is_ok());
}

/// Their parser would end the process.
#[test]
fn long_words_of_heredocs_are_not_parsed() {
    let word = "a b ".repeat(64);
    for head in ["<<\"", "<<~'", "<<-`"] {
        let quote = &head[head.len() - 1..];
        let source = format!("x {head}{word}{quote}\ntext\n{word}\n");
        assert_eq!(units(&source, Language::Ruby), Err(SyntaxError::LongHeredoc));
    }
    for length in [255, 256] {
        let word = "W".repeat(length);
        let parsed = units(&format!("x = <<~{word}\n  text\n{word}\n"), Language::Ruby);
        assert_eq!(parsed == Err(SyntaxError::LongHeredoc), length > 255, "{parsed:?}");
    }
    let apart = format!("x << \"{word}\"\n");
    assert!(units(&apart, Language::Ruby).is_ok());
}

/// Their parser would look for the annotation's end for ever.
#[test]
fn kotlin_that_ends_in_an_annotation_is_not_parsed() {
    let code = "class A(val b: Int)\n\nval c: Int\n";
    for end in ["@", "@JvmOverlo", "    @Deprecated(\"use d", "/** Up. */ @Deprecated(\"use d"] {
        let source = format!("{code}{end}");
        assert_eq!(units(&source, Language::Kotlin), Err(SyntaxError::OpenAnnotation), "{end}");
        // With a line break it comes back, whatever it says.
        let _ = units(&format!("{source}\n"), Language::Kotlin);
    }
    assert!(units(&format!("@JvmInline\n{code}"), Language::Kotlin).is_ok());
}

#[test]
fn languages_go_by_many_names() {
    let tags =
        [("Py", Language::Python), ("c++", Language::Cpp), ("TS", Language::TypeScript), ("zsh", Language::Bash)];
    for (tag, language) in tags {
        assert_eq!(Language::from_tag(tag), Some(language), "{tag}");
    }
    assert_eq!(Language::from_tag("markdown"), None);
    for language in Language::ALL {
        assert!(language.line_comment() == "#" || language.line_comment() == "//");
        assert!(Language::from_tag(language.name()).is_some(), "{language:?}");
    }
    assert_eq!(Language::from_path("C:\\src\\Main.JAVA"), Some(Language::Java));
    assert_eq!(Language::from_path("lib/Rakefile"), Some(Language::Ruby));
    assert_eq!(Language::from_path("notes.txt"), None);
    let shebangs = [
        ("#!/usr/bin/env python3", Some(Language::Python)),
        ("#!/usr/bin/python3.12 -u", Some(Language::Python)),
        ("#! /bin/sh", Some(Language::Bash)),
        ("#!/usr/bin/env -S NODE_ENV=test node --harmony", Some(Language::JavaScript)),
        ("#!/usr/bin/perl", None),
        ("import os", None),
    ];
    for (line, language) in shebangs {
        assert_eq!(Language::from_shebang(line), language, "{line}");
    }
}

#[derive(Debug, Clone)]
enum Mutation {
    Truncate(usize),
    Remove(usize, usize),
    JoinLines(usize),
    Insert(usize, &'static str),
    Repeat(usize, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = 0..4_000_usize;
    let text = prop::sample::select(vec!["{", "}", "(", "\n", "\r\n", "//", "#", "\"", "é", "class A {", "end\n", ";"]);
    prop_oneof![
        at.clone().prop_map(Mutation::Truncate),
        (at.clone(), 1..200_usize).prop_map(|(at, n)| Mutation::Remove(at, n)),
        (0..110_usize).prop_map(Mutation::JoinLines),
        (at.clone(), text).prop_map(|(at, text)| Mutation::Insert(at, text)),
        (0..110_usize, 1..20_usize).prop_map(|(line, n)| Mutation::Repeat(line, n)),
    ]
}

/// Does `mutation` to `source`, which may leave it as it is.
fn mutate(source: &str, mutation: &Mutation) -> String {
    let boundary = |at: usize| {
        let at = at.min(source.len());
        (0..=at).rev().find(|&byte| source.is_char_boundary(byte)).unwrap()
    };
    match *mutation {
        Mutation::Truncate(at) => source[..boundary(at)].to_owned(),
        Mutation::Remove(at, n) => format!("{}{}", &source[..boundary(at)], &source[boundary(at + n)..]),
        Mutation::JoinLines(line) => {
            let lines = source.split_inclusive('\n').enumerate();
            lines.map(|(i, text)| if i == line { text.trim_end_matches('\n') } else { text }).collect()
        }
        Mutation::Insert(at, text) => format!("{}{text}{}", &source[..boundary(at)], &source[boundary(at)..]),
        Mutation::Repeat(line, n) => {
            let lines: Vec<_> = source.split_inclusive('\n').collect();
            let (start, end) = (line.min(lines.len()), (line + n).min(lines.len()));
            [&lines[..end], &lines[start..]].concat().concat()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_line_is_in_one_unit_whatever_happens_to_the_text(
        sample in 0..SAMPLES.len(),
        mutations in prop::collection::vec(mutation(), 0..4),
    ) {
        let source = mutations.iter().fold(SAMPLES[sample].1.to_owned(), |text, mutation| mutate(&text, mutation));
        if let Ok(units) = units(&source, Language::ALL[sample]) {
            assert_partition(&source, &units);
            assert_blocks_partition(&source, Language::ALL[sample], &units);
        }
    }
}

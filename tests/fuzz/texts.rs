//! Random texts: real files, in the forms in which assistants send them.

use lopper::syntax::Language;

use crate::harness::{Dice, mutate};

/// Real code, with the name its file goes by.
pub const FILES: [(&str, &str); 18] = [
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
    ("inventory.py", include_str!("../fixtures/inventory.py")),
    ("queue.ts", include_str!("../fixtures/wire/queue.ts")),
];

/// What stands in code, by which its outline may be lost.
pub const CODE_WORDS: [&str; 40] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "<",
    ">",
    "\"",
    "'",
    "`",
    "\"\"\"",
    "'''",
    "/*",
    "*/",
    "//",
    "#",
    "<<EOF\n",
    "\\\n",
    ";",
    "end\n",
    "def f(self):\n",
    "class A {\n",
    "fn f() {\n",
    "async ",
    "static ",
    "@a\n",
    "#if 0\n",
    "#endif\n",
    "<?php\n",
    "?>",
    "=>",
    "import a\n",
    "namespace a;\n",
    "template <",
    "/** @x */\n",
    "\n\n\n",
    "\t \t",
    "# lopper:keep\n",
    "# lopper:end\n",
    "// [lopper: lines 3-9 of a.py left out; read again before editing]\n",
];

/// What stands around code: the words that clients and tools are known by.
pub const FORM_WORDS: [&str; 48] = [
    "```",
    "````",
    "~~~",
    "```python\n",
    "```rust:src/a.rs\n",
    "```ts title=\"a.ts\"\n",
    "```js 3:9:a.js\n",
    "`",
    "<file>",
    "</file>",
    "<file_content path=\"a.py\">\n",
    "</file_content>\n",
    "<path>a.rs</path>",
    "<content lines=\"1-9\">\n",
    "</content>",
    "<source>",
    "<document>",
    "<task>",
    "</task>",
    "<example>",
    "</example>",
    "<attachment filePath=\"a.py\">",
    "[read_file for 'a.py'] Result:\n",
    "OBSERVATION:\n",
    "EXECUTION RESULT of [a]:\n",
    "Here's the result of running `cat -n` on a.py:\n",
    "Showing lines 1-9 of 20 total lines.\n---\n",
    "File: a.py\n",
    "src/a.py:\n",
    "Content of a.rs:\n",
    "(End of file - total 9 lines)\n",
    "Chunk ID: 1\nWall time: 1\nOutput:\n",
    "Exit code: 0\n",
    "<<<<<<< SEARCH\n",
    "=======\n",
    ">>>>>>> REPLACE\n",
    "*** Begin Patch\n",
    "--- a\n+++ b\n",
    "@@ -1,3 +1,3 @@\n",
    "$ cat a.py\n",
    "Traceback (most recent call last):\n",
    "unchanged since",
    "failed to match!",
    "Return the entire file.",
    "ORIGINAL CODE:",
    "...\n",
    "1 | ",
    "     1\t",
];

const QUESTIONS: [&str; 5] = [
    "Why can a shipment fail although the pieces were reserved before?",
    "How is a job retried, and after how long?",
    "What does `total` count?",
    "",
    "Fix it. Заказ? 注文\u{0301}",
];

/// A question, or next to none.
pub fn question(dice: &mut Dice) -> String {
    (*dice.pick(&QUESTIONS)).to_owned()
}

/// A file's name and code, changed in some places, and maybe only a part of it.
pub fn code(dice: &mut Dice) -> (&'static str, String) {
    let (name, text) = *dice.pick(&FILES);
    let other = dice.pick(&FILES).1.as_bytes();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    // Half of them short: more is run then.
    let count = if dice.below(2) == 0 { lines.len() } else { 10 + dice.below(60) };
    let first = if dice.once_in(4) { dice.below(lines.len()) } else { 0 };
    let mut code = lines[first..(first + count).min(lines.len())].concat().into_bytes();
    if dice.below(2) == 1 {
        mutate(dice, &mut code, &CODE_WORDS, other);
    }
    (name, lossy(code))
}

/// Code in one of the forms in which it is sent, with words around it; the whole changed in some places.
pub fn text(dice: &mut Dice) -> String {
    let mut text = String::new();
    for _ in 0..=dice.below(3) {
        let (name, code) = code(dice);
        text += &shown(dice, name, &code);
        text.push('\n');
    }
    let question = question(dice);
    let text = if dice.below(2) == 0 { format!("{question}\n\n{text}") } else { format!("{text}\n{question}") };
    changed(dice, text, &FORM_WORDS)
}

/// One file as tools and clients show it.
pub fn shown(dice: &mut Dice, name: &str, code: &str) -> String {
    let path = match dice.below(6) {
        0 => name.to_owned(),
        1 => format!("/home/me/src/{name}"),
        2 => format!("C:\\src\\{name}"),
        3 => format!("a b/é/\"{name}"),
        // One that tells another language than the code is in.
        4 => dice.pick(&FILES).0.to_owned(),
        _ => String::new(),
    };
    let code = if dice.once_in(3) { numbered(dice, code) } else { code.to_owned() };
    let tag = match dice.below(4) {
        0 => name.rsplit('.').next().unwrap_or_default(),
        1 => dice.pick(&Language::ALL).name(),
        2 => "",
        _ => "text",
    };
    match dice.below(10) {
        0 | 1 => format!("{path}\n```{tag}\n{code}```\n"),
        2 => format!("````{tag}:{path}\n{code}````\n"),
        3 => format!("<file_content path=\"{path}\">\n{code}</file_content>\n"),
        4 => format!("<file><path>{path}</path>\n<content lines=\"1-99\">\n{code}</content>\n</file>\n"),
        5 => format!("[read_file for '{path}'] Result:\n{code}"),
        6 => format!("Here's the result of running `cat -n` on {path}:\n{code}"),
        7 => format!("File: {path}\n{code}\n(End of file - total 99 lines)\n"),
        8 => format!("> ```{tag}\n> {}\n> ```\n", code.replace('\n', "\n> ")),
        _ => code,
    }
}

/// The lines with their numbers, in one of the styles that tools have, now and then with a mistake.
pub fn numbered(dice: &mut Dice, code: &str) -> String {
    let style = dice.below(8);
    let first = *dice.pick(&[1, 1, 1, 0, 40, 99_998, 999_999_990]);
    let gap = if dice.once_in(4) { dice.below(100) } else { usize::MAX };
    let mut number = first;
    let mut text = String::new();
    for (at, line) in code.split_inclusive('\n').enumerate() {
        text += &match style {
            0 => format!("{number:>6}\t{line}"),
            1 => format!("{number} | {line}"),
            2 => format!("{number:05}| {line}"),
            3 => format!("{number}→{line}"),
            4 => format!("{number}: {line}"),
            5 => format!("{number:>4}  {line}"),
            6 => format!("{number}|{line}"),
            _ => format!("{number}:{line}"),
        };
        number += if at == gap { dice.below(9) } else { 1 };
    }
    text
}

/// `text` with some changes.
pub fn changed(dice: &mut Dice, text: String, words: &[&str]) -> String {
    let mut text = text.into_bytes();
    if dice.below(2) == 1 {
        let other = dice.pick(&FILES).1.as_bytes();
        mutate(dice, &mut text, words, other);
    }
    lossy(text)
}

fn lossy(text: Vec<u8>) -> String {
    String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

//! Tests: the pieces of code that are found in whole texts.

use super::*;
use proptest::prelude::*;

fn only(text: &str) -> Region {
    let mut regions = regions(text, Context::default());
    assert_eq!(regions.len(), 1, "{text}");
    regions.remove(0)
}

#[test]
fn headings_in_every_place() {
    for (text, language, path, first_line) in [
        ("```python\nx = 1\n```", Language::Python, None, 1),
        ("```ts src/a.ts (10-20)\nlet x;\n```", Language::TypeScript, Some("src/a.ts"), 10),
        ("```rs path/a.rs:10-20\nfn a() {}\n```", Language::Rust, Some("path/a.rs"), 10),
        ("```src/a.ts\nlet x;\n```", Language::TypeScript, Some("src/a.ts"), 1),
        ("```title=\"src/a.rs\"\nfn a() {}\n```", Language::Rust, Some("src/a.rs"), 1),
        ("src/a.py\n```\nx = 1\n```", Language::Python, Some("src/a.py"), 1),
        ("/abs/a.ts (lines 3:9):\n```typescript\nlet x;\n```", Language::TypeScript, Some("/abs/a.ts"), 3),
        ("Content from src/a.go:\n\n~~~\nfunc a() {}\n~~~", Language::Go, Some("src/a.go"), 1),
        ("Why?\n```\n// filepath: /w/a.ts\nlet x;\n```", Language::TypeScript, Some("/w/a.ts"), 1),
        ("```\n#!/usr/bin/env python3\nx = 1\n```", Language::Python, None, 1),
        ("   ````tsx\nlet x;\n```\n````  ", Language::Tsx, None, 1),
    ] {
        let region = only(text);
        assert_eq!(
            (region.language, region.path.as_deref(), region.first_line),
            (language, path, first_line),
            "{text}"
        );
        assert_eq!(region.veto, region.ranged.then_some(Reason::RangedRead), "{text}");
    }
    let parts = regions("```\nx = 1\n```", Context { before: "\nContent from @a.py:\n", ..Context::default() });
    assert_eq!(parts[0].path.as_deref(), Some("@a.py"));
    let parts = regions("\nhm\n\n\n```\nx = 1\n```", Context { before: "a.py:", ..Context::default() });
    assert_eq!(parts, []);
}

#[test]
fn the_code_ends_with_its_last_line_break() {
    let text = "See:\r\n```py\r\nx = 1\r\n\r\n```\r\nthanks";
    assert_eq!(&text[only(text).span.range()], "x = 1\r\n\r\n");
}

#[test]
fn other_fences_are_no_regions() {
    for text in [
        "```json\n{}\n```", "```diff\n-a\n+b\n```", "```text src/a.py\nx\n```", "config.yaml\n```\na: 1\n```",
        "```\njust text\n```", "```python\nx = 1\n", "    ```python\nx = 1\n    ```", "```python\n```",
        "say ```python\nx = 1\n``` now",
    ] {
        assert_eq!(regions(text, Context::default()), [], "{text}");
    }
}

#[test]
fn fences_that_may_be_inside_out_are_vetoed() {
    // The inner closer ends the outer block by the rules, and what follows is upside down.
    let nested = "a.py\n```\n\"\"\"\n```python\nx\n```\n\"\"\"\n```\nb.py\n```\ny = 1\n```\n";
    assert!(regions(nested, Context::default()).iter().all(|region| region.veto == Some(Reason::FenceInFence)));
    // A file without a final line break, glued to its closer.
    let glued = "a.py\n```\nx = 1```\nb.py\n```\ny = 1\n```\n";
    assert!(regions(glued, Context::default()).iter().all(|region| region.veto == Some(Reason::FenceInFence)));
    let doc_comment = "```rust\n/// ```\n/// a()\n/// ```\nfn a() {}\n```";
    assert_eq!(only(doc_comment).veto, None);
}

#[test]
fn vetoes_reach_regions() {
    for (text, reason) in [
        ("```py\n<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n```", Reason::EditBlock),
        ("<example>\n```py\nx = 1\n```\n</example>", Reason::Example),
        ("<user_query>fix\n```py\nx = 1\n```\n</user_query>", Reason::Question),
        ("cat > a.md <<'EOF'\n```py\nx = 1\n```\nEOF\n", Reason::Heredoc),
        ("# 1 SEARCH/REPLACE block failed to match!\n```py\nx = 1\n```", Reason::FailedEdit),
    ] {
        assert_eq!(only(text).veto, Some(reason), "{text}");
    }
    assert_eq!(only("Use <example> here.\n```py\nx = '</example>'\n```").veto, None);
    assert_eq!(only("<example>a</example>\n```py\nx = 1\n```\n<example>b</example>").veto, None);
}

fn read_of(path: &str, ranged: bool) -> Effect {
    Effect::Read { paths: vec![path.to_owned()], ranged }
}

fn of_tool(does: &Effect, text: &str) -> Vec<(String, Option<String>, Option<Reason>)> {
    let context = Context { source: Source::Tool(Some(does)), ..Context::default() };
    let found = regions(text, context).into_iter();
    found.map(|region| (text[region.span.range()].to_owned(), region.path, region.veto)).collect()
}

const CODE: &str = "import os\n\ndef f():\n    return 1\n\nprint(f())\n";

fn numbered(of: impl Fn(usize, &str) -> String) -> String {
    CODE.lines().enumerate().map(|(at, line)| of(at + 1, line) + "\n").collect()
}

#[test]
fn what_tools_show_of_a_file() {
    let arrows = numbered(|n, line| format!("{n:>6}→{line}"));
    let tabs = numbered(|n, line| format!("{n:>6}\t{line}"));
    let colons = numbered(|n, line| format!("{n}: {line}"));
    let padded = numbered(|n, line| format!("{n:05}| {line}"));
    let bars = numbered(|n, line| format!("{n} |{line}"));
    for (text, shown) in [
        (CODE.to_owned(), CODE),
        (format!("Exit code: 0\nWall time: 0.1 seconds\nOutput:\n{CODE}"), CODE),
        (format!("Chunk ID: a\nProcess exited with code 0\nOriginal token count: 9\nOutput:\n{tabs}"), &tabs),
        (format!("{arrows}\n<system-reminder>\nbe careful\n</system-reminder>\n"), &arrows),
        (
            format!(
                "<path>/w/a.py</path>\n<type>file</type>\n<content>\n{colons}\n(End of file - total 6 lines)\n</content>"
            ),
            &colons,
        ),
        (
            format!("<file>\n{padded}\n(End of file - total 6 lines)\n</file>\n<system-reminder>x</system-reminder>"),
            &padded,
        ),
        (format!("Here's the result of running `cat -n` on /w/a.py:\n{tabs}"), &tabs),
        (format!("Read file `/w/a.py` from line 0 to 6:\n````python\n{bars}````"), &bars),
        (format!("/w/a.py\n```\n{CODE}```"), CODE),
        (format!("Content of /w/a.py:\n{CODE}"), CODE),
    ] {
        let found = of_tool(&read_of("/w/a.py", false), &text);
        assert_eq!(found, [(shown.to_owned(), Some("/w/a.py".to_owned()), None)], "{text}");
    }
}

#[test]
fn what_tools_show_in_part_stays() {
    let cut = format!("Exit code: 0\nOutput:\nTotal output lines: 900\n\n{CODE}");
    let later = numbered(|n, line| format!("{}\t{line}", n + 40));
    let more =
        format!("<path>a.py</path>\n<content>\n{CODE}\n(File has more lines. Use 'offset' parameter)\n</content>");
    for text in [cut, later, more, format!("{CODE}…900 tokens truncated…\n{CODE}")] {
        let found = of_tool(&read_of("a.py", false), &text);
        assert!(matches!(found[..], [(_, _, Some(Reason::RangedRead))]), "{text}: {found:?}");
    }
    assert_eq!(of_tool(&read_of("a.py", true), CODE)[0].2, Some(Reason::RangedRead));
    let failed = format!("Exit code: 1\nOutput:\n{CODE}");
    assert_eq!(of_tool(&read_of("a.py", false), &failed)[0].2, Some(Reason::Report));
    let context = Context { source: Source::Tool(None), path: Some("/w/a.py:1-4"), ..Context::default() };
    assert_eq!(regions(CODE, context)[0].veto, Some(Reason::RangedRead));
    assert_eq!(regions(CODE, Context { path: Some("/w/a.py"), ..context })[0].veto, None);
}

#[test]
fn what_tools_say_else_is_no_code() {
    let stub = "[File unchanged since last read: a.py. It is still current.]";
    let listing = Effect::Read { paths: vec!["a.py".to_owned(), "b.py".to_owned()], ranged: false };
    assert_eq!(of_tool(&read_of("a.py", false), stub), []);
    assert_eq!(of_tool(&read_of("README.md", false), "# A\n```py\nx = 1\n```\n"), []);
    assert_eq!(of_tool(&listing, CODE), []);
    assert_eq!(of_tool(&Effect::Other, CODE), []);
    assert_eq!(of_tool(&Effect::Edit { paths: vec!["a.py".to_owned()] }, CODE), []);
    assert_eq!(regions(CODE, Context { source: Source::Tool(None), ..Context::default() }), []);
}

#[test]
fn files_in_words() {
    let bars = numbered(|n, line| format!("{n} |{line}"));
    for (text, before, shown) in [
        (format!("Why?\n<file_content path=\"a.py\">\n{CODE}</file_content>\nthanks"), "", CODE),
        (format!("[read_file for 'a.py'] Result:\n{CODE}\n(File has 6 lines total.)"), "", CODE),
        (CODE.to_owned(), "[read_file for 'a.py'] Result:", CODE),
        (CODE.to_owned(), "\nContent from a.py:\n", CODE),
        (format!("{CODE}\n--- End of content ---"), "Content from a.py:", CODE),
        (
            format!(
                "<attachment filepath=\"a.py\" buffer_number=\"3\">The buffer:\n````python\n{bars}````</attachment>"
            ),
            "",
            &bars,
        ),
        (format!("Here are some READ ONLY files\n\na.py\n<source>\n{CODE}</source>\n"), "", CODE),
    ] {
        let found = regions(&text, Context { before, ..Context::default() });
        let found: Vec<_> = found.iter().map(|r| (&text[r.span.range()], r.path.as_deref(), r.veto)).collect();
        assert_eq!(found, [(shown, Some("a.py"), None)], "{text}");
    }
    assert_eq!(regions(CODE, Context { before: "What does a.py do?", ..Context::default() }), []);
    assert_eq!(regions(CODE, Context { before: "[execute_command for 'a.py'] Result:", ..Context::default() }), []);
}

#[test]
fn fences_in_a_tagged_file_are_its_own() {
    let text = format!(
        "<file path=\"README.md\">\n```py\nx = 1\n</file>\n<file path=\"a.py\">\n{CODE}</file>\n```rust\nfn f() {{}}\n```\n"
    );
    let found = regions(&text, Context::default());
    let found: Vec<_> = found.iter().map(|r| (&text[r.span.range()], r.veto)).collect();
    assert_eq!(found, [(CODE, None), ("fn f() {}\n", None)]);
    let inside_out = format!("```text\n<file path=\"a.py\">\n{CODE}</file>\n```\n");
    assert_eq!(regions(&inside_out, Context::default()), []);
}

#[test]
fn headers_may_be_cpp() {
    assert_eq!(only("```src/a.h\nint f(void);\n```").language, Language::C);
    assert_eq!(only("```src/a.h\nclass A {\npublic:\n  int x;\n};\n```").language, Language::Cpp);
}

/// Contexts of every kind, for texts that are not made for one.
fn contexts(test: impl FnMut(Context)) {
    let read = read_of("a.py", false);
    let many = Effect::Read { paths: Vec::new(), ranged: false };
    let tool = |does| Context { source: Source::Tool(does), ..Context::default() };
    let named = Context { path: Some("/w/a.rs:3-9"), ..tool(None) };
    let after = Context { before: "Content from a.py:\n", ..Context::default() };
    [Context::default(), after, tool(Some(&read)), tool(Some(&many)), tool(None), named].into_iter().for_each(test);
}

#[test]
fn hostile_texts_take_linear_time() {
    for unit in [
        "```\n",
        "```py\nx\n```\n",
        "<task ",
        "<task></task>",
        "cat <<E\n",
        "\n",
        "a.py:\n",
        "~~~~ `",
        "<",
        ":1",
        " (1",
        "<file>x</file>",
        "<file>\nx\n</file>\n",
        "<content>\nx\n</content>\n",
        "<file path=\"a.py\">\n",
        "<file path=\"a.py\">\nx\n</file>\n```py\nx\n```\n",
        "<system-reminder>\nx\n</system-reminder>\n",
        "</system-reminder>\n",
        "(End of file)\n",
        "File: a.py\nx\n---\n",
        "OBSERVATION:\n",
        "[read_file for 'a.py'] Result:\n",
        "1| x\n",
        "Output:\nExit code: 0\n",
        "(1 more lines above)\n",
        "'",
        "class A\n",
        "cmd:'",
        "# AI",
    ] {
        let text = unit.repeat(20_000);
        contexts(|context| {
            regions(&text, context);
        });
        veto::whole_request([text.as_str()]);
        result::failed_edit(&text);
        result::is_unchanged_stub(&text);
        tools::call::read("bash", &[("command".to_owned(), text.clone())], &text);
        tools::call::read("apply_patch", &[("path".to_owned(), text.clone())], &text);
        tools::call::read("exec", &[], &text);
    }
}

#[test]
fn a_file_of_an_empty_fence_holds_no_code() {
    contexts(|context| assert_eq!(regions("~~~\n~~~", context), []));
}

#[test]
fn a_tag_on_a_files_last_line_leaves_no_code() {
    contexts(|context| assert_eq!(regions("<file path=\"a.py\">\nFile: a.py\n```</file>", context), []));
}

proptest! {
    #[test]
    fn regions_are_whole_lines_in_order(
        lines in prop::collection::vec(
            prop_oneof![
                "```(py|a.rs| a.py:1-2)?",
                "~~~~?",
                " {0,5}`{2,5}",
                "[a-z<>/é ]{0,9}",
                "src/a\\.py:?",
                "<(file|file_content|attachment) (path|name|filePath)=\"a\\.(py|rs)\"( lines=\"1-5\")?>(.{0,3}:)?",
                "`{0,4}</(file|file_content|attachment|content|document|system-reminder)>",
                "<(content|system-reminder|document)>",
                "<path>a\\.py</path>",
                "(Here are some READ ONLY files|<source>|</source>|File: a\\.py|---|OBSERVATION:|Output:|Exit code: [01])",
                "(\\[read_file for 'a.py'\\] Result:|\\(End of file\\)|Content of a\\.py:|\\(3 more lines (above|below)\\))",
                "[1-9]( \\| |\\||\t|→|: )x?",
            ],
            0..30,
        ),
        line_break in "\r?\n",
    ) {
        let text = lines.join(&line_break);
        contexts(|context| {
            let mut done = 0;
            for region in regions(&text, context) {
                assert!(done <= region.span.start && !region.span.is_empty(), "{text}");
                assert!(region.span.start == 0 || text[..region.span.start].ends_with('\n'), "{text}");
                assert!(region.span.end == text.len() || text[..region.span.end].ends_with('\n'), "{text}");
                done = region.span.end;
                let code = &text[region.span.range()];
                if let Some(numbering) = region.numbering {
                    assert_eq!(numbering.strip(code).lines().count(), code.lines().count(), "{text}");
                }
            }
        });
    }

    #[test]
    fn any_command_is_read(line in "(cat|sed -n|bash -lc|a\\.rs|[ |&;<>'\"\\\\$()\né]|<<E|E\n|>&|2>){0,20}") {
        tools::call::read("exec", &[], &format!("{{cmd: '{line}', cmd:\"{line}"));
        tools::call::read("bash", &[("command".to_owned(), line)], "");
    }
}

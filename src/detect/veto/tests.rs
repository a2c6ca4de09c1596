//! Tests: what the vetoes catch, and what they must leave.

use super::*;
use proptest::prelude::*;

#[test]
fn code_that_is_something_else_is_vetoed() {
    for (text, reason) in [
        ("<<<<<<< HEAD\nx\n", Reason::EditBlock),
        ("a.ts\n------- SEARCH\nx\n", Reason::EditBlock),
        ("*** Begin Patch\n", Reason::Patch),
        ("diff --git a/x b/x\n", Reason::Patch),
        ("--- a/x.py\n+++ b/x.py\n", Reason::Patch),
        ("@@ -1,3 +1,4 @@ def f():\n", Reason::Patch),
        ("@@ -1 +1 @@\n", Reason::Patch),
        ("Traceback (most recent call last):\n  File \"a.py\", line 3, in f\n", Reason::Report),
        ("thread 'main' (17) panicked at src/main.rs:3:9:\n", Reason::Report),
        ("panic: oh\n\ngoroutine 1 [running]:\n", Reason::Report),
        ("error[E0308]: mismatched types\n --> src/a.rs:3:9\n", Reason::Report),
        ("src/a.c:3:9: error: expected ';'\n", Reason::Report),
        ("src/a.ts(3,9): error TS2322: no\n", Reason::Report),
        (
            "Error: x\n    at f (/w/a.js:3:9)\n    at g (/w/a.js:4:9)\n    at Object.<anonymous> (/w/a.js:5:1)\n",
            Reason::Report,
        ),
        ("x.E: y\n\tat a.B.c(B.java:12)\n\tat a.B.d(B.java:13)\n\tat a.B.e(B.java:14)\n", Reason::Report),
        ("running 2 tests\ntest a ... ok\ntest result: FAILED. 1 passed\n", Reason::Report),
        ("=== RUN   TestA\n--- FAIL: TestA (0.00s)\n", Reason::Report),
        ("============ test session starts ============\n", Reason::Report),
        ("<error>\nno such file\n</error>\n", Reason::Report),
        ("$ cargo build\n", Reason::Terminal),
        ("def f():\n    # [lopper: lines 2-9 of a.py left out; read again before editing]\n", Reason::PrunedAlready),
        ("class A {\n  // ... existing code ...\n}\n", Reason::PrunedAlready),
        ("class A {\n/* Lines 12-20 omitted */\n}\n", Reason::PrunedAlready),
        ("src/a.py:\n⋮\n│def f():\n", Reason::RepoMap),
        ("│def f():\n│def g():\n", Reason::RepoMap),
        ("fn new [L3-9]\nfn run [L10-40]\n", Reason::Outline),
        ("cat <<'EOF' > a.py\nx = 1\nEOF\n", Reason::Heredoc),
    ] {
        assert_eq!(code(text), Some(reason), "{text}");
    }
}

#[test]
fn code_that_only_mentions_such_things_is_not() {
    for text in [
        "# =======\n# --- parts ---\n# +++ more +++\nx = 1\n",
        "/* ------- SEARCH ------- */\nint x;\n",
        "HEAD = \"<<<<<<< SEARCH\"\nTAIL = \">>>>>>> REPLACE\"\n    <<<<<<< in a test\n",
        "class A\n  @@count = 0\n  @@ -1\n",
        "@decorator\ndef f():\n    return a @ b\n",
        "import traceback\nMARK = \"Traceback (most recent call last):\"\n",
        "def f():\n    '''\n    >>> f()\n    Traceback (most recent call last):\n      File \"a.py\"\n    ValueError\n    '''\n",
        "Traceback (most recent call last):\nx = 1\n",
        "let m = \"thread 'main' panicked at\";\n",
        "log(\"a.c:3:9: error: no\");\n// error[E0308]: see the book\n",
        "# at a.py:3\n# at b.py:4\n# at c.py:5\n",
        "from a import b\nfrom c import d\nfrom e import f\n",
        "$x = 1;\n$y = $x + 1;\n",
        "// the rest of the existing code is below\n// Lines 3-9 are omitted in the docs\n",
        "# ====== ERRORS ======\nx = 1\nprint('test result: ')\n",
        "print(\"│\")\n# ⋮ and so on\nx = 1\ny = 2\n",
        "let a = b[L1];\nlet c = b[L2]\nx\ny\n",
        "usage() {\n  cat <<EOF\nhelp\nEOF\n}\nusage\n",
        "std::cout << value << std::endl;\nx <<= 2;\n",
        "/// <example>\n/// a();\n/// </example>\nfn a() {}\n",
    ] {
        assert_eq!(code(text), None, "{text}");
    }
}

#[test]
fn requests_for_whole_files_are_vetoed() {
    for text in [
        "To suggest changes to a file you MUST return the entire content of the updated file.",
        "Please return the entire\nfile.",
        "Fix it and give me the full, updated code",
        "rewrite the whole file in Go",
        "Respond with the complete modified file contents.",
    ] {
        assert_eq!(whole_request([text]), Some(Reason::WholeFile), "{text}");
    }
    for text in [
        "ORIGINAL CODE:\n```ts\nx\n```",
        "ok. This is the code to rewrite:\n```",
        "please rewrite the above file",
        "<USERDOCUMENT>x</USERDOCUMENT>",
        "ORIGINAL_FILE\n```\nx\n```",
        "The user has requested a section of code in a file to be rewritten.\n```\nx\n```",
        "Change what stands at $SELECTION_PLACEHOLDER$ only.",
        "Edit the section in <rewrite_this></rewrite_this> tags.",
    ] {
        assert_eq!(whole_request(["first", text]), Some(Reason::ApplyPrompt), "{text}");
    }
}

#[test]
fn ordinary_requests_are_not() {
    for text in [
        "Do not return the entire file, only the function.",
        "Don't rewrite the whole file.",
        "Why does the parser read the full file?",
        "ALWAYS provide the COMPLETE intended content of the file, without any truncation.",
        "What does `return` do here? The full file is below.",
        "Here is the original code: what is wrong with it?",
        "```py\nORIGINAL_FILE = 1  # return the entire file\n```\nExplain this.",
    ] {
        assert_eq!(whole_request([text]), None, "{text}");
    }
}

#[test]
fn surroundings_enclose_only_what_is_between() {
    let veto = |prose: &str| Surroundings::new(prose).veto(prose.find('X').unwrap());
    assert_eq!(veto("<system-reminder>\nX\n</system-reminder>"), Some(Reason::Instructions));
    assert_eq!(veto("<<<<<<< ORIGINAL\nX\n>>>>>>> UPDATED\n"), Some(Reason::EditBlock));
    assert_eq!(veto("cat <<A\n<<B\nX\nA\n"), Some(Reason::Heredoc));
    assert_eq!(veto("cat <<A\nA\nX\nA\n"), None);
    assert_eq!(veto("<attachment isSummarized=\"true\">X</attachment>"), Some(Reason::Summarized));
    assert_eq!(veto("<attachment isSummarized=\"true\">a</attachment><attachment>X</attachment>"), None);
    assert_eq!(veto("<task>a</task> X"), None);
    let example = "------- START OF EXAMPLE -------\nX\n------- END OF EXAMPLE -------\n";
    assert_eq!(veto(example), Some(Reason::Example));
    assert_eq!(veto(&format!("{}X", example.replace('X', "a"))), None);
}

#[test]
fn instructions_in_comments_keep_their_file() {
    for line in ["x = 1  # make this 2 AI!", "// AI? why", "-- AI! faster", "/* do it, AI! */"] {
        assert_eq!(code(&format!("a\n{line}\nb\n")), Some(Reason::InstructionComment), "{line}");
    }
    assert_eq!(code("AI! is no comment\n# AIs? no\nprint('AI!')\n"), None);
}

proptest! {
    #[test]
    fn what_is_in_blocks_orders_nothing(
        lines in prop::collection::vec(
            prop_oneof!["```(py)?", "~~~", "return", "the entire", "file\\.?", "ORIGINAL", "ORIGINAL CODE:", "replace the", "\"\\[blank\\]\""],
            0..12,
        ),
        line_break in "\r?\n| ",
    ) {
        let text = lines.join(&line_break);
        let blanked = fences::prose(&text, &fences::blocks(&text));
        prop_assert_eq!(whole_request([&text[..]]), whole_request([&blanked[..]]));
    }
}

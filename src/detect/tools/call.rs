//! Reads a tool call's effect on files from its name and its arguments.

use super::effect::{Effect, patched};
use super::{script, shell};
use crate::detect::framing::headings::Heading;

/// The effect of a call of tool `name`: `fields` are the leaves of its arguments, `arguments` the whole as written.
pub fn read(name: &str, fields: &[(String, String)], arguments: &str) -> Effect {
    let name = plain(name);
    let fields: Vec<(String, &str)> = (fields.iter().filter(|(_, value)| !["", "null"].contains(&value.as_str())))
        .map(|(key, value)| (plain(key), value.as_str()))
        .collect();
    let of =
        |keys: &'static [&str]| fields.iter().filter(|(key, _)| keys.contains(&key.as_str())).map(|(_, value)| *value);
    let is_viewer = VIEWERS.contains(&&*name);
    if READERS.contains(&&*name) || (is_viewer && of(&["command"]).next() == Some("view")) {
        let named: Vec<(Heading, &str)> = of(&PATHS).map(|written| (Heading::of_path(written), written)).collect();
        // `a.ts:1-40`
        let is_part = named.iter().any(|(heading, _)| heading.first_line.is_some());
        let paths =
            named.into_iter().map(|(heading, written)| heading.path.unwrap_or_else(|| written.to_owned())).collect();
        return Effect::Read { paths, ranged: is_part || is_ranged(&fields) };
    }
    if is_viewer || EDITORS.contains(&&*name) {
        let mut paths: Vec<String> = of(&PATHS).map(str::to_owned).collect();
        let texts = fields.iter().map(|(_, value)| *value).chain([arguments]);
        for path in texts.flat_map(patched) {
            if !paths.contains(&path) && paths.len() < MAX_PATHS {
                paths.push(path);
            }
        }
        return Effect::Edit { paths };
    }
    if name == "exec" && fields.is_empty() {
        return script::read(arguments);
    }
    if SHELLS.contains(&&*name) {
        return shell::read(&of(&COMMANDS).collect::<Vec<_>>());
    }
    Effect::Other
}

/// Whether a tool of this name changes files.
pub fn edits_files(tool: &str) -> bool {
    let name = plain(tool);
    EDITORS.contains(&&*name) || VIEWERS.contains(&&*name)
}

/// Files of one call that are remembered; more are ignored.
const MAX_PATHS: usize = 64;

// Names of tools and arguments, in lower case and without punctuation.
const READERS: [&str; 19] = [
    "readfile", "readfiles", "read", "view", "viewfile", "openfile", "getfile", "getfilecontents", "getfilecontent",
    "catfile", "fsread", "fsreadfile", "readcurrentlyopenfile", "readfilerange", "readtextfile", "readmanyfiles",
    "readmultiplefiles", "copilotreadfile", "viewcodeitem",
];
/// Tools that show files and change them.
const VIEWERS: [&str; 7] = [
    "fileeditor", "strreplaceeditor", "strreplacebasededittool", "texteditor", "developertexteditor",
    "openhandseditor", "editor",
];
const EDITORS: [&str; 37] = [
    "applypatch", "applydiff", "patch", "edit", "editfile", "editfiles", "updatefile", "deletefile", "multiedit",
    "notebookedit", "editnotebook", "write", "writefile", "writetofile", "writetextfile", "createfile",
    "createnewfile", "replace", "replaceinfile", "replacestringinfile", "multireplacestringinfile", "strreplace",
    "insertcontent", "insertedit", "insertline", "inserteditintofile", "searchandreplace", "searchreplace",
    "editexistingfile", "singlefindandreplace", "multifindandreplace", "rewritefile", "fswrite", "fsreplace",
    "smartedit", "replacelines", "replacefilecontent",
];
const SHELLS: [&str; 22] = [
    "shell", "bash", "sh", "localshell", "localshellcall", "execcommand", "exec", "shellcommand", "executecommand",
    "executeshellcommand", "runcommand", "runcommands", "runbash", "runshell", "runterminalcommand", "runterminalcmd",
    "runinterminal", "runshellcommand", "terminal", "executebash", "containerexec", "cmd",
];
const PATHS: [&str; 14] = [
    "path", "paths", "filepath", "filepaths", "targetfile", "files", "file", "absolutepath", "relativepath",
    "relativeworkspacepath", "relativefilepath", "filename", "targetpath", "notebookpath",
];
const COMMANDS: [&str; 4] = ["command", "cmd", "script", "commandline"];

/// A name in lower case, without punctuation and the prefix of a tool server (`mcp__fs__`, `functions.`).
fn plain(name: &str) -> String {
    let last = name.rsplit("__").next().unwrap_or(name);
    let last = last.rsplit('.').next().unwrap_or(last);
    last.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether a reading call asks for a part of the file. A first line of 0 or 1 and a limit of thousands of lines is the whole.
fn is_ranged(fields: &[(String, &str)]) -> bool {
    const FIRST: [&str; 13] = [
        "offset", "startline", "linestart", "start", "startlinenumber", "startlinenumberbasezero",
        "startlineoneindexed", "from", "fromline", "firstline", "line", "linenumber", "anchorline",
    ];
    const COUNTS: [&str; 6] = ["limit", "maxlines", "linecount", "numlines", "head", "tail"];
    const LAST: [&str; 9] = [
        "endline", "lineend", "end", "endlinenumber", "endlinenumberbasezero", "endlineoneindexedinclusive", "to",
        "toline", "lastline",
    ];
    const RANGES: [&str; 6] = ["viewrange", "linerange", "lineranges", "range", "ranges", "lines"];
    const WHOLE: [&str; 3] = ["shouldreadentirefile", "readentirefile", "entirefile"];
    /// Lines that clients read at once by default.
    const ALL_LINES: i64 = 2000;
    let is_part = |last: i64| (0..ALL_LINES).contains(&last);
    let has = |keys: &[&str], holds: &dyn Fn(&str) -> bool| {
        fields.iter().any(|(key, value)| keys.contains(&key.as_str()) && holds(value))
    };
    let number = |value: &str| value.trim().parse::<i64>().ok();
    if has(&WHOLE, &|value| value == "true") {
        return false;
    }
    // One or two numbers in a list, or in a text: `[1, 40]`, `1-40`.
    let in_ranges = fields.iter().filter(|(key, _)| RANGES.contains(&key.as_str()));
    let bounds: Vec<i64> = in_ranges
        .flat_map(|(_, value)| match number(value) {
            Some(bound) => vec![bound],
            None => value.split(|c: char| !c.is_ascii_digit()).filter_map(number).collect(),
        })
        .collect();
    let is_cut = match bounds[..] {
        [] => has(&RANGES, &|_| true),
        [first, last] => first > 1 || is_part(last),
        _ => true,
    };
    is_cut
        || has(&FIRST, &|value| number(value).is_none_or(|first| !(0..=1).contains(&first)))
        || has(&COUNTS, &|value| number(value).is_none_or(is_part))
        || has(&LAST, &|value| number(value).is_none_or(is_part))
        || has(&["mode"], &|value| value == "indentation")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, fields: &[(&str, &str)]) -> Effect {
        let fields: Vec<_> = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        read(name, &fields, "")
    }

    fn reads(path: &str, ranged: bool) -> Effect {
        Effect::Read { paths: vec![path.to_owned()], ranged }
    }

    fn edits(paths: &[&str]) -> Effect {
        Effect::Edit { paths: paths.iter().map(|path| (*path).to_owned()).collect() }
    }

    #[test]
    fn tools_that_read() {
        for (name, fields, ranged) in [
            ("read_file", &[("path", "a.rs")][..], false),
            ("Read", &[("file_path", "a.rs"), ("offset", "0"), ("limit", "2000")], false),
            ("Read", &[("file_path", "a.rs"), ("offset", "40")], true),
            ("mcp__fs__read_file", &[("path", "a.rs"), ("limit", "50")], true),
            ("str_replace_editor", &[("command", "view"), ("path", "a.rs")], false),
            ("view", &[("view_range", "10"), ("view_range", "20"), ("path", "a.rs")], true),
            ("copilot_readFile", &[("filePath", "a.rs"), ("startLine", "1"), ("endLine", "9000")], false),
            ("view", &[("view_range", "1"), ("view_range", "-1"), ("path", "a.rs")], false),
            ("read_file", &[("path", "a.rs"), ("offset", "null"), ("limit", "null")], false),
            ("read_file", &[("path", "a.rs"), ("offset", "-40")], true),
            ("read_file", &[("path", "a.rs"), ("offset", "1"), ("limit", "5000")], false),
            ("read_file", &[("path", "a.rs"), ("mode", "indentation")], true),
            ("read_file", &[("path", "a.rs"), ("line_ranges", "3-9")], true),
            ("read_file", &[("path", "a.rs:3-9")], true),
            ("read_text_file", &[("path", "a.rs"), ("head", "20")], true),
            (
                "read_file",
                &[
                    ("target_file", "a.rs"),
                    ("should_read_entire_file", "true"),
                    ("end_line_one_indexed_inclusive", "250"),
                ],
                false,
            ),
            ("view_file", &[("AbsolutePath", "a.rs"), ("StartLine", "0"), ("EndLine", "99")], true),
            ("functions.exec_command", &[("cmd", "cat a.rs")], false),
            ("run_terminal_cmd", &[("command", "bash -lc 'cat a.rs'")], false),
        ] {
            assert_eq!(call(name, fields), reads("a.rs", ranged), "{name} {fields:?}");
        }
    }

    #[test]
    fn tools_that_edit() {
        assert_eq!(call("edit", &[("filePath", "/w/a.rs"), ("oldString", "x")]), edits(&["/w/a.rs"]));
        assert_eq!(call("str_replace_editor", &[("command", "str_replace"), ("path", "a.rs")]), edits(&["a.rs"]));
        let patch = "*** Begin Patch\n*** Update File: src/a.rs\n@@\n-x\n+y\n*** Add File: b.rs\n+z\n*** End Patch";
        assert_eq!(read("apply_patch", &[], patch), edits(&["src/a.rs", "b.rs"]));
        assert_eq!(call("shell", &[("command", "apply_patch"), ("command", patch)]), edits(&["src/a.rs", "b.rs"]));
        assert_eq!(call("bash", &[("command", "sed -i s/a/b/ src/a.rs")]), edits(&["src/a.rs"]));
        assert_eq!(call("bash", &[("command", "cat > src/a.rs <<'EOF'\nx\nEOF")]), edits(&["src/a.rs"]));
        let written = r#"{"input":"*** Begin Patch\n*** Update File: src/a.rs\n*** End Patch"}"#;
        assert_eq!(read("apply_patch", &[], written), edits(&["src/a.rs"]));
        for tool in [
            "replace_in_file", "str_replace_based_edit_tool", "mcp__x__edit_file", "MultiEdit", "functions.apply_patch",
        ] {
            assert!(edits_files(tool), "{tool}");
        }
        assert!(!edits_files("read_file") && !edits_files("shell"));
    }

    #[test]
    fn other_tools() {
        for (name, fields) in [("grep", &[("path", "src")][..]), ("bash", &[]), ("exec", &[("code", "cat a.rs")])] {
            assert_eq!(call(name, fields), Effect::Other, "{name}");
        }
    }
}

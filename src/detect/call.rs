//! What a tool call does to files, told by its name and its arguments (rule R6).

use super::heading;

/// What a call does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    /// Shows files.
    Read {
        /// Their paths, as written.
        paths: Vec<String>,
        /// Whether a part of the file was asked for.
        ranged: bool,
    },
    /// Changes files.
    Edit {
        /// Their paths, as far as the call names them.
        paths: Vec<String>,
    },
    /// Anything else.
    Other,
}

/// What the call of tool `name` with these arguments does: `fields` are its leaves, `arguments` the whole as written.
pub fn read(name: &str, fields: &[(String, String)], arguments: &str) -> Use {
    let name = plain(name);
    let field = |keys: &[&str]| fields.iter().find(|(key, _)| keys.contains(&key.as_str())).map(|(_, value)| &**value);
    let is_viewer = VIEWERS.contains(&&*name);
    if READERS.contains(&&*name) || (is_viewer && field(&["command"]) == Some("view")) {
        let named = fields.iter().filter(|(key, _)| PATHS.contains(&key.as_str())).map(|(_, value)| value.clone());
        return Use::Read { paths: named.collect(), ranged: is_ranged(fields) };
    }
    if is_viewer || edits_files(&name) {
        let mut paths: Vec<String> =
            fields.iter().filter(|(key, _)| PATHS.contains(&key.as_str())).map(|(_, value)| value.clone()).collect();
        let texts = fields.iter().map(|(_, value)| value.as_str()).chain([arguments]);
        texts.for_each(|text| paths.extend(patched(text)));
        paths.dedup();
        return Use::Edit { paths };
    }
    if SHELLS.contains(&&*name) {
        let words: Vec<&str> =
            fields.iter().filter(|(key, _)| COMMANDS.contains(&key.as_str())).map(|(_, value)| &**value).collect();
        return shell(&words);
    }
    // A script that calls tools.
    if name == "exec" && fields.is_empty() {
        let patch = patched(arguments);
        return match &commands_in(arguments)[..] {
            _ if !patch.is_empty() => Use::Edit { paths: patch },
            [command] => shell(&[command]),
            _ => Use::Other,
        };
    }
    Use::Other
}

/// The shell commands in a script: the strings given as `cmd`.
fn commands_in(script: &str) -> Vec<String> {
    let quoted = |rest: &str| {
        let rest = rest.trim_start_matches(['"', '\'']).trim_start().strip_prefix(':')?.trim_start();
        let quote = rest.chars().next().filter(|sign| ['"', '\'', '`'].contains(sign))?;
        let inner = &rest[1..];
        inner.find(quote).map(|end| inner[..end].to_owned())
    };
    script.split("cmd").skip(1).filter_map(quoted).collect()
}

/// Whether a tool of this name changes files.
pub fn edits_files(tool: &str) -> bool {
    EDITORS.contains(&&*plain(tool))
}

const READERS: [&str; 15] = [
    "readfile",
    "readfiles",
    "read",
    "view",
    "viewfile",
    "openfile",
    "getfile",
    "getfilecontents",
    "catfile",
    "fsread",
    "readcurrentlyopenfile",
    "readfilerange",
    "readtextfile",
    "readmanyfiles",
    "copilotreadfile",
];
/// Tools that show files and change them.
const VIEWERS: [&str; 5] =
    ["fileeditor", "strreplaceeditor", "strreplacebasededittool", "texteditor", "developertexteditor"];
const EDITORS: [&str; 26] = [
    "applypatch",
    "applydiff",
    "edit",
    "editfile",
    "editor",
    "multiedit",
    "write",
    "writefile",
    "writetofile",
    "createfile",
    "createnewfile",
    "replace",
    "replaceinfile",
    "replacestringinfile",
    "multireplacestringinfile",
    "insertcontent",
    "inserteditintofile",
    "searchandreplace",
    "searchreplace",
    "editexistingfile",
    "singlefindandreplace",
    "multifindandreplace",
    "rewritefile",
    "fswrite",
    "fileeditor",
    "strreplaceeditor",
];
const SHELLS: [&str; 14] = [
    "shell",
    "bash",
    "localshell",
    "execcommand",
    "shellcommand",
    "executecommand",
    "runcommand",
    "runterminalcommand",
    "runinterminal",
    "runshellcommand",
    "terminal",
    "executebash",
    "containerexec",
    "cmd",
];
const PATHS: [&str; 10] =
    ["path", "paths", "file_path", "filePath", "filepath", "target_file", "files", "file", "absolute_path", "filename"];
const COMMANDS: [&str; 3] = ["command", "cmd", "script"];

/// The name as it is compared: without case, signs and what a server of tools puts before it.
fn plain(name: &str) -> String {
    let last = name.rsplit("__").next().unwrap_or(name);
    let last = last.rsplit('.').next().unwrap_or(last);
    last.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether a reading call asks for a part. A first line of 0 or 1 and a limit of thousands of lines is the whole.
fn is_ranged(fields: &[(String, String)]) -> bool {
    const FIRST: [&str; 9] = [
        "offset",
        "start_line",
        "startLine",
        "line_start",
        "start",
        "startLineNumberBaseZero",
        "start_line_one_indexed",
        "startLineNumber",
        "from",
    ];
    const LIMITS: [&str; 1] = ["limit"];
    const ENDS: [&str; 11] = [
        "end_line",
        "endLine",
        "line_end",
        "end",
        "endLineNumberBaseZero",
        "end_line_one_indexed_inclusive",
        "endLineNumber",
        "view_range",
        "line_ranges",
        "range",
        "lines",
    ];
    const WHOLE: i64 = 2000;
    fields.iter().any(|(key, value)| {
        let number = value.parse::<i64>().ok();
        let key = key.as_str();
        if FIRST.contains(&key) {
            number.is_none_or(|number| number > 1)
        } else if LIMITS.contains(&key) {
            number.is_none_or(|number| number < WHOLE)
        } else {
            ENDS.contains(&key) && number.is_none_or(|number| (0..WHOLE).contains(&number))
        }
    })
}

/// The files that a patch in `text` names.
fn patched(text: &str) -> Vec<String> {
    const SIGNS: [&str; 5] = ["*** Update File: ", "*** Add File: ", "*** Delete File: ", "*** Move to: ", "+++ b/"];
    // In arguments as they were written, line breaks are escaped.
    let lines = text.split('\n').flat_map(|line| line.split("\\n"));
    let named = lines.filter_map(|line| SIGNS.iter().find_map(|sign| line.strip_prefix(sign)));
    named.map(|path| path.trim().trim_end_matches(['"', '}']).to_owned()).collect()
}

/// What a shell command does: `words` are the command, or the arguments of one.
fn shell(words: &[&str]) -> Use {
    if let Some(patch) = words.iter().find(|word| word.contains("*** Begin Patch")) {
        return Use::Edit { paths: patched(patch) };
    }
    let command = match words {
        [command] => command.trim(),
        [.., "-c" | "-lc" | "-ec", script] => script.trim(),
        _ => return simple(words),
    };
    let command = match command.split_once("&&") {
        // One change of folder before the command.
        Some((before, after)) if before.trim_start().starts_with("cd ") => after.trim(),
        _ => command,
    };
    if ["apply_patch", "sed -i", "perl -i", "tee "].iter().any(|sign| command.contains(sign)) {
        let last = command.split_whitespace().next_back().filter(|word| heading::is_path(word));
        let named = patched(command);
        let paths = if named.is_empty() { last.map(str::to_owned).into_iter().collect() } else { named };
        return Use::Edit { paths };
    }
    if let Some((_, target)) = command.split_once(" > ").or_else(|| command.split_once(" >> ")) {
        let path = target.split_whitespace().next().filter(|path| heading::is_path(path));
        return path.map_or(Use::Other, |path| Use::Edit { paths: vec![path.to_owned()] });
    }
    let is_slice = || {
        let (first, rest) = command.split_once('|')?;
        let words: Vec<&str> = first.split_whitespace().collect();
        let Use::Read { paths, .. } = simple(&words) else { return None };
        let cuts = ["sed -n", "head", "tail"];
        let rest = rest.trim();
        (cuts.iter().any(|cut| rest.starts_with(cut)) && !rest.contains('|'))
            .then_some(Use::Read { paths, ranged: true })
    };
    if command.contains(['|', ';', '&', '<', '>', '$', '`', '*', '\n']) {
        return is_slice().unwrap_or(Use::Other);
    }
    let words: Vec<&str> = command.split_whitespace().collect();
    simple(&words)
}

/// What one command without a shell's signs does.
fn simple(words: &[&str]) -> Use {
    let Some((program, arguments)) = words.split_first() else { return Use::Other };
    let unquoted = |word: &str| word.trim_matches(['"', '\'']).to_owned();
    let files: Vec<String> =
        arguments.iter().filter(|word| !word.starts_with('-')).map(|word| unquoted(word)).collect();
    let flags: Vec<&str> = arguments.iter().filter(|word| word.starts_with('-')).copied().collect();
    match (*program, &files[..], &flags[..]) {
        ("cat", [_], [] | ["-n"] | ["--"]) => Use::Read { paths: files, ranged: false },
        // `-b a` is a flag and its value.
        ("nl", [_], ["-ba"]) | ("bat", [_], _) => Use::Read { paths: files, ranged: false },
        ("nl", [kind, _], ["-b"]) if kind == "a" => Use::Read { paths: files[1..].to_vec(), ranged: false },
        ("head" | "tail", [.., path], _) => Use::Read { paths: vec![path.clone()], ranged: true },
        ("sed", [.., path], ["-n"] | ["-ne"]) => Use::Read { paths: vec![path.clone()], ranged: true },
        _ => Use::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, fields: &[(&str, &str)]) -> Use {
        let fields: Vec<_> = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        read(name, &fields, "")
    }

    fn reads(path: &str, ranged: bool) -> Use {
        Use::Read { paths: vec![path.to_owned()], ranged }
    }

    fn edits(paths: &[&str]) -> Use {
        Use::Edit { paths: paths.iter().map(|path| (*path).to_owned()).collect() }
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
        assert!(edits_files("replace_in_file") && !edits_files("read_file"));
    }

    #[test]
    fn scripts_that_call_tools() {
        let script = "const r = await tools.exec_command({ cmd: \"cat src/a.rs\" });\ntext(r.output);";
        assert_eq!(read("exec", &[], script), reads("src/a.rs", false));
        let two = "tools.exec_command({cmd: 'cat a.rs'}); tools.exec_command({\"cmd\": \"ls\"})";
        assert_eq!(read("exec", &[], two), Use::Other);
        let patch = "await tools.apply_patch(`*** Begin Patch\n*** Update File: a.rs\n@@`)";
        assert_eq!(read("exec", &[], patch), edits(&["a.rs"]));
    }

    #[test]
    fn shell_commands() {
        for (words, ranged) in [
            (&["cat a.rs"][..], false),
            (&["bash", "-lc", "cat a.rs"], false),
            (&["bash", "-lc", "cd /w && cat -n a.rs"], false),
            (&["nl -ba a.rs"], false),
            (&["cat 'a.rs'"], false),
            (&["cat", "a.rs"], false),
            (&["sed -n 10,20p a.rs"], true),
            (&["head -n 20 a.rs"], true),
            (&["nl -ba a.rs | sed -n '10,20p'"], true),
        ] {
            assert_eq!(shell(words), reads("a.rs", ranged), "{words:?}");
        }
        for command in
            ["rg x", "cat a.rs b.rs", "cat a.rs; ls", "cat a.rs | grep x", "git diff", "cargo test", "", "cat $F"]
        {
            assert_eq!(shell(&[command]), Use::Other, "{command}");
        }
    }
}

//! What a shell command does to files (rule R6).

use super::effect::{Effect, patched};
use crate::detect::framing::headings;

/// What a command does: `words` is the one line that it was written as, or the program with its arguments.
pub fn read(words: &[&str]) -> Effect {
    match words {
        [] => Effect::Other,
        [line] => line_does(line, MAX_SHELLS),
        _ => {
            let words: Vec<Word> = words.iter().map(|word| Word { text: (*word).to_owned(), is_plain: true }).collect();
            let command = Command { words, ..Command::default() };
            script(&command).map_or_else(|| commands_do(&[&command]), |line| line_does(&line.text, MAX_SHELLS))
        }
    }
}

/// A shell started by a shell is looked into this deep.
const MAX_SHELLS: usize = 3;

/// One program with its arguments.
#[derive(Default)]
struct Command {
    words: Vec<Word>,
    /// Where its output goes, unless to its caller.
    writes: Vec<Word>,
    /// The lines of a here document that it reads.
    document: String,
    /// What stands between it and the next command.
    joined_by: &'static str,
    /// Whether it has signs whose meaning is not known here.
    is_odd: bool,
}

/// A word without its quotes.
#[derive(Default)]
struct Word {
    text: String,
    /// Whether it means what it says: no variables, patterns or substitutions.
    is_plain: bool,
}

fn line_does(line: &str, depth: usize) -> Effect {
    let mut commands = Reader { rest: line, commands: Vec::new(), last: Command::default() }.read();
    commands.retain(|command| !command.words.is_empty() || !command.writes.is_empty());
    if let [command] = &commands[..]
        && let Some(inner) = script(command).filter(|_| depth > 0)
    {
        return line_does(&inner.text, depth - 1);
    }
    commands_do(&commands.iter().collect::<Vec<_>>())
}

/// The script in `bash -lc "…"`.
fn script(command: &Command) -> Option<&Word> {
    const SHELLS: [&str; 5] = ["bash", "sh", "zsh", "dash", "ksh"];
    match &command.words[..] {
        [shell, flag, script] if script.is_plain => {
            let name = shell.text.rsplit('/').next().unwrap_or_default();
            let runs = flag.text.starts_with('-') && !flag.text.starts_with("--") && flag.text.ends_with('c');
            (SHELLS.contains(&name) && runs && command.writes.is_empty()).then_some(script)
        }
        _ => None,
    }
}

fn commands_do(commands: &[&Command]) -> Effect {
    let mut paths = Vec::new();
    // Each is asked, since each adds what it writes.
    let writers = commands.iter().filter(|command| writes(command, &mut paths)).count();
    if writers > 0 {
        return Effect::Edit { paths };
    }
    let rest = match commands {
        [cd, rest @ ..] if cd.words[0].text == "cd" && cd.joined_by == "&&" => rest,
        _ => commands,
    };
    match rest {
        [command] if ["", ";", "\n"].contains(&command.joined_by) => shows(command).unwrap_or(Effect::Other),
        [command, cut] if command.joined_by == "|" && ["", "\n"].contains(&cut.joined_by) => match shows(command) {
            Some(Effect::Read { paths, .. }) if is_cut(cut) => Effect::Read { paths, ranged: true },
            _ => Effect::Other,
        },
        _ => Effect::Other,
    }
}

/// Whether a command changes files; adds to `paths` those that it names.
fn writes(command: &Command, paths: &mut Vec<String>) -> bool {
    let add = |paths: &mut Vec<String>, words: &[&Word]| {
        let named = words.iter().filter(|word| word.is_plain && headings::is_path(&word.text));
        paths.extend(named.map(|word| word.text.clone()));
    };
    add(paths, &command.writes.iter().collect::<Vec<_>>());
    let Some((program, arguments)) = command.words.split_first() else { return true };
    let (flags, files): (Vec<&Word>, Vec<&Word>) = arguments.iter().partition(|word| word.text.starts_with('-'));
    let has_flag = |of: fn(&str) -> bool| flags.iter().any(|flag| of(&flag.text));
    let in_place = |flag: &str| flag == "--in-place" || !flag.starts_with("--") && flag.contains('i');
    let does = match program.text.as_str() {
        "sed" if has_flag(in_place) => {
            let is_script_first = !has_flag(|flag| flag == "-e" || flag == "-f" || flag == "--expression");
            add(paths, &files[usize::from(is_script_first).min(files.len())..]);
            true
        }
        "perl" | "ruby" if has_flag(in_place) && has_flag(|flag| flag.contains('e')) => {
            add(paths, files.get(1..).unwrap_or_default());
            true
        }
        "tee" => {
            add(paths, &files);
            true
        }
        "mv" | "cp" => {
            add(paths, &files[files.len().saturating_sub(1)..]);
            true
        }
        "apply_patch" | "applypatch" | "patch" => {
            paths.extend(patched(&command.document));
            arguments.iter().for_each(|word| paths.extend(patched(&word.text)));
            true
        }
        "git" if arguments.first().is_some_and(|word| word.text == "apply") => {
            paths.extend(patched(&command.document));
            true
        }
        _ => false,
    };
    does || !command.writes.is_empty()
}

/// The file that a command shows, if it does nothing else.
fn shows(command: &Command) -> Option<Effect> {
    const PLAIN_BAT: [&str; 4] = ["-p", "-pp", "--plain", "--paging=never"];
    if command.is_odd || !command.document.is_empty() || !command.words.iter().all(|word| word.is_plain) {
        return None;
    }
    let words: Vec<&str> = command.words.iter().map(|word| word.text.as_str()).collect();
    let (program, arguments) = words.split_first()?;
    let (flags, files): (Vec<&str>, Vec<&str>) = arguments.iter().partition(|word| word.starts_with('-'));
    let read = |path: &str, ranged| Some(Effect::Read { paths: vec![path.to_owned()], ranged });
    match (*program, &files[..], &flags[..]) {
        ("cat", [path], [] | ["-n"] | ["--number"] | ["--"] | ["-n", "--"]) => read(path, false),
        ("nl", [path], ["-ba"]) => read(path, false),
        // `-b a` is a flag and its value.
        ("nl", ["a", path], ["-b"]) => read(path, false),
        ("bat" | "batcat", [path], flags) if flags.iter().all(|flag| PLAIN_BAT.contains(flag)) => read(path, false),
        ("head" | "tail", [.., path], _) if path.contains(|c: char| !c.is_ascii_digit()) => read(path, true),
        ("sed", [_, path], ["-n" | "-ne"]) => read(path, true),
        _ => None,
    }
}

/// Whether a command passes on a part of what it gets.
fn is_cut(command: &Command) -> bool {
    let words: Vec<&str> = command.words.iter().map(|word| word.text.as_str()).collect();
    matches!(words[..], ["sed", "-n" | "-ne", _] | ["head" | "tail", ..]) && !command.is_odd
}

/// Reads a command line once, from left to right.
struct Reader<'a> {
    rest: &'a str,
    /// Those before the last.
    commands: Vec<Command>,
    last: Command,
}

impl<'a> Reader<'a> {
    fn read(mut self) -> Vec<Command> {
        /// Longer ones first.
        const JOINTS: [&str; 8] = ["&&", "||", ";", "|", "\n", "&", "(", ")"];
        let mut ends_document: Option<Word> = None;
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r']);
            let Some(sign) = self.rest.chars().next() else { break };
            if sign == '#' {
                self.rest = &self.rest[self.rest.find('\n').unwrap_or(self.rest.len())..];
            } else if let Some(rest) = self.rest.strip_prefix("\\\n") {
                self.rest = rest;
            } else if self.rest.starts_with(['>', '<']) || self.rest.starts_with("&>") {
                ends_document = self.redirection("").or(ends_document);
            } else if let Some(joint) = JOINTS.iter().find(|joint| self.rest.starts_with(**joint)) {
                self.rest = &self.rest[joint.len()..];
                let document = if *joint == "\n" { ends_document.take() } else { None };
                let document = document.map(|end| self.document(&end.text)).unwrap_or_default();
                let mut done = std::mem::take(&mut self.last);
                done.document += &document;
                done.joined_by = joint;
                done.is_odd |= ["&", "(", ")"].contains(joint);
                self.commands.push(done);
            } else {
                let word = self.word();
                let is_number = !word.text.is_empty() && word.text.bytes().all(|byte| byte.is_ascii_digit());
                if is_number && self.rest.starts_with(['>', '<']) {
                    ends_document = self.redirection(&word.text).or(ends_document);
                } else {
                    self.last.words.push(word);
                }
            }
        }
        self.commands.push(self.last);
        self.commands
    }

    /// Reads `> file` and the like; `stream` is the number before it. Returns the word that ends a here document.
    fn redirection(&mut self, stream: &str) -> Option<Word> {
        const SIGNS: [&str; 9] = ["&>>", "&>", ">>", ">&", ">|", ">", "<<<", "<<", "<"];
        let sign = SIGNS.iter().find(|sign| self.rest.starts_with(**sign))?;
        self.rest = self.rest[sign.len()..].trim_start_matches([' ', '\t', '-']);
        let target = self.word();
        match *sign {
            "<<" => return Some(target),
            "<" | "<<<" => self.last.is_odd = true,
            // `2>&1` and what only silences: nothing is written.
            ">&" => {}
            _ if stream == "2" || target.text.starts_with("/dev/") => {}
            _ => self.last.writes.push(target),
        }
        None
    }

    /// A word, its quotes taken off.
    fn word(&mut self) -> Word {
        let mut word = Word { text: String::new(), is_plain: true };
        let mut quote = None;
        let mut signs = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((at, sign)) = signs.next() {
            match (quote, sign) {
                (Some(open), _) if sign == open => quote = None,
                (None, '\'' | '"') => quote = Some(sign),
                (None | Some('"'), '\\') => match signs.next() {
                    Some((_, '\n')) | None => {}
                    Some((_, escaped)) => {
                        // Within quotes, a backslash stays before most.
                        if quote.is_some() && !"\"\\$`".contains(escaped) {
                            word.text.push('\\');
                        }
                        word.text.push(escaped);
                    }
                },
                (None, ' ' | '\t' | '\r' | '\n' | ';' | '|' | '&' | '<' | '>' | '(' | ')') => {
                    end = at;
                    break;
                }
                _ => {
                    let is_expanded = match quote {
                        None => "$`*?[{~!".contains(sign) && !(sign == '~' && at > 0),
                        Some('"') => "$`".contains(sign),
                        Some(_) => false,
                    };
                    word.is_plain &= !is_expanded;
                    word.text.push(sign);
                }
            }
        }
        word.is_plain &= quote.is_none();
        self.rest = &self.rest[end..];
        word
    }

    /// The lines up to the one that says `end`.
    fn document(&mut self, end: &str) -> String {
        let mut document = String::new();
        for line in self.rest.split_inclusive('\n') {
            self.rest = &self.rest[line.len()..];
            if line.trim() == end {
                break;
            }
            document += line;
        }
        document
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(path: &str, ranged: bool) -> Effect {
        Effect::Read { paths: vec![path.to_owned()], ranged }
    }

    fn edits(paths: &[&str]) -> Effect {
        Effect::Edit { paths: paths.iter().map(|path| (*path).to_owned()).collect() }
    }

    #[test]
    fn commands_that_show_one_file() {
        for (words, ranged) in [
            (&["cat a.rs"][..], false),
            (&["bash", "-lc", "cat a.rs"], false),
            (&["bash -lc \"cat a.rs\""], false),
            (&["/bin/zsh -c 'cd /w && cat a.rs'"], false),
            (&["bash", "-lc", "cd /w && cat -n a.rs"], false),
            (&["cd 'my folder' && nl -ba a.rs 2>/dev/null"], false),
            (&["nl -b a a.rs 2>&1\n"], false),
            (&["cat 'a.rs'"], false),
            (&["cat", "a.rs"], false),
            (&["bat -p --paging=never a.rs"], false),
            (&["sed -n 10,20p a.rs"], true),
            (&["sed", "-n", "10,20p", "a.rs"], true),
            (&["head -n 20 a.rs"], true),
            (&["nl -ba a.rs | sed -n '10,20p'"], true),
            (&["cat a.rs | head -50"], true),
        ] {
            assert_eq!(read(words), reads("a.rs", ranged), "{words:?}");
        }
        assert_eq!(read(&["cat 'my file.rs'"]), reads("my file.rs", false));
        assert_eq!(read(&["cat apply_patch.rs"]), reads("apply_patch.rs", false));
    }

    #[test]
    fn commands_that_do_something_else() {
        for line in [
            "",
            "rg x",
            "cat a.rs b.rs",
            "cat a.rs; ls",
            "cat a.rs && ls",
            "cat a.rs || true",
            "cat a.rs | grep x",
            "cat a.rs | sed s/a/b/",
            "cat a.rs | head | wc",
            "cat a.rs &",
            "(cat a.rs)",
            "cat $F",
            "cat \"$F\"",
            "cat *.rs",
            "cat `ls`",
            "cat < a.rs",
            "cat 'a.rs",
            "bat -r 1:9 a.rs",
            "bat --line-range=1:9 a.rs",
            "git diff",
            "cargo test 2>&1",
            "rg apply_patch src",
            "rg 'sed -i' docs",
            "head -n 20",
        ] {
            assert_eq!(read(&[line]), Effect::Other, "{line}");
        }
    }

    #[test]
    fn commands_that_write() {
        for (line, paths) in [
            ("sed -i s/a/b/ src/a.rs", &["src/a.rs"][..]),
            ("sed -i.bak -e 's/x/y/' src/a.rs src/b.rs", &["src/a.rs", "src/b.rs"]),
            ("perl -pi -e 's/x/y/' src/a.rs", &["src/a.rs"]),
            ("cat > src/a.rs <<'EOF'\nfn f() {}\ncat b.rs > c.rs\nEOF", &["src/a.rs"]),
            ("cat <<EOF >> src/a.rs\nx\nEOF\nls", &["src/a.rs"]),
            ("echo x | tee -a src/a.rs", &["src/a.rs"]),
            ("cd w && printf 'x' >src/a.rs && cargo test", &["src/a.rs"]),
            ("mv b.rs src/a.rs", &["src/a.rs"]),
            (
                "apply_patch <<'EOF'\n*** Begin Patch\n*** Update File: src/a.rs\n-x\n+y\n*** End Patch\nEOF",
                &["src/a.rs"],
            ),
            ("git apply <<E\n--- a/src/a.rs\n+++ b/src/a.rs\nE", &["src/a.rs"]),
            ("bash -lc \"sed -i 's/a/b/' src/a.rs\"", &["src/a.rs"]),
            ("sed -i s/a/b/ $F", &[]),
        ] {
            assert_eq!(read(&[line]), edits(paths), "{line}");
        }
        let patch = "*** Begin Patch\n*** Update File: src/a.rs\n*** End Patch";
        assert_eq!(read(&["apply_patch", patch]), edits(&["src/a.rs"]));
    }
}

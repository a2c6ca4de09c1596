//! Reads a shell command for the files that it shows or changes.

use tree_sitter::Node;

use super::effect::{Effect, patched};
use crate::detect::framing::headings;
use crate::syntax::{self, Language};

/// The longest line or script that is parsed, in bytes. A longer one that matters writes a patch.
pub const MAX_BYTES: usize = 1 << 16;

/// A shell started by a shell is looked into this deep.
const MAX_SHELLS: usize = 3;

/// The effect of a command: `words` is the one line that it was written as, or the program with its arguments.
pub fn read(words: &[&str]) -> Effect {
    match words {
        [] => Effect::Other,
        [line] => read_line(line, MAX_SHELLS),
        _ => {
            let words = words.iter().map(|word| Word { text: (*word).to_owned(), is_plain: true }).collect();
            Script { commands: vec![words], ..Script::default() }.effect(MAX_SHELLS + 1)
        }
    }
}

/// A line that can't be parsed is searched for patches.
fn read_line(line: &str, depth: usize) -> Effect {
    match Script::parse(line) {
        Some(script) => script.effect(depth),
        None => {
            Some(patched(line)).filter(|paths| !paths.is_empty()).map_or(Effect::Other, |paths| Effect::Edit { paths })
        }
    }
}

/// The commands of a line, in order.
#[derive(Default)]
struct Script<'a> {
    /// Programs with their arguments.
    commands: Vec<Vec<Word>>,
    /// The operators between commands; a semicolon or line break is none.
    operators: Vec<&'a str>,
    /// Files that output is redirected to.
    outputs: Vec<Word>,
    /// The lines of all here-documents.
    documents: String,
    /// Whether there is more than simple commands: loops, subshells, redirected input, mistakes.
    is_complex: bool,
}

/// A word without its quotes.
#[derive(Default)]
struct Word {
    text: String,
    /// Whether the text is what the program gets: no variables, patterns or substitutions.
    is_plain: bool,
}

impl<'a> Script<'a> {
    /// `None` if the line is too long, or parsing it takes too much work.
    fn parse(line: &'a str) -> Option<Self> {
        let tree = (line.len() <= MAX_BYTES).then(|| syntax::tree(line, Language::Bash).ok())??;
        let mut script = Self { is_complex: tree.root_node().has_error(), ..Self::default() };
        syntax::preorder(&tree).for_each(|node| script.add(node, line));
        Some(script)
    }

    fn add(&mut self, node: Node, line: &'a str) {
        /// Kinds with parts of their own that are looked at as such.
        const SIMPLE: [&str; 8] = [
            "program", "list", "pipeline", "redirected_statement", "command_name", "concatenation", "string",
            "simple_expansion",
        ];
        let text = &line[node.byte_range()];
        let field = |name| {
            let words: Vec<Word> =
                node.children_by_field_name(name, &mut node.walk()).map(|node| Word::of(node, line)).collect();
            words.into_iter()
        };
        match node.kind() {
            "command" => self.commands.push(field("name").chain(field("argument")).collect()),
            "&&" | "||" | "|" | "|&" | "&" => self.operators.push(text),
            "file_redirect" => {
                let mut words = field("destination");
                let is_error_stream = field("descriptor").any(|descriptor| descriptor.text == "2");
                let output = words.next().filter(|word| !is_error_stream && !word.text.starts_with("/dev/"));
                match text.trim_start_matches(|c: char| c.is_ascii_digit()) {
                    operator if operator.starts_with('<') => self.is_complex = true,
                    // One stream goes where another does.
                    operator if operator.starts_with(">&") => {}
                    _ => self.outputs.extend(output),
                }
                // The grammar takes arguments behind a file for more of its kind.
                self.add_arguments(words);
            }
            "heredoc_redirect" => self.add_arguments(field("argument")),
            "heredoc_body" => self.documents += text,
            kind => self.is_complex |= node.named_child_count() > 0 && !SIMPLE.contains(&kind),
        }
    }

    /// Adds the words behind a redirection to the command before it.
    fn add_arguments(&mut self, words: impl Iterator<Item = Word>) {
        if let Some(command) = self.commands.last_mut() {
            command.extend(words);
        }
    }

    fn effect(&self, depth: usize) -> Effect {
        if let [command] = &self.commands[..]
            && let Some(line) = inner_line(command).filter(|_| depth > 0 && self.outputs.is_empty())
        {
            return read_line(line, depth - 1);
        }
        let edits: Vec<_> = self.commands.iter().filter_map(|command| self.edited_by(command)).collect();
        if !edits.is_empty() || !self.outputs.is_empty() {
            return Effect::Edit { paths: paths(&self.outputs).chain(edits.into_iter().flatten()).collect() };
        }
        let (commands, operators) = match (&self.commands[..], &self.operators[..]) {
            ([cd, commands @ ..], ["&&", operators @ ..]) if cd[0].text == "cd" => (commands, operators),
            all => all,
        };
        let shown = match (commands, operators) {
            ([command], []) => shown_by(command),
            ([command, filter], ["|" | "|&"]) if is_cut(filter) => shown_by(command).map(|(path, _)| (path, true)),
            _ => None,
        };
        let shown = shown.filter(|_| !self.is_complex && self.documents.is_empty());
        shown.map_or(Effect::Other, |(path, ranged)| Effect::Read { paths: vec![path.to_owned()], ranged })
    }

    /// The files that a command changes, as far as it names them. `None` if it changes none.
    fn edited_by(&self, command: &[Word]) -> Option<Vec<String>> {
        let (program, arguments) = command.split_first()?;
        let (flags, files): (Vec<&Word>, Vec<&Word>) = arguments.iter().partition(|word| word.text.starts_with('-'));
        let has_flag = |of: fn(&str) -> bool| flags.iter().any(|flag| of(&flag.text));
        let in_place = |flag: &str| flag == "--in-place" || !flag.starts_with("--") && flag.contains('i');
        let from = match program.text.as_str() {
            "sed" if has_flag(in_place) => usize::from(!has_flag(|flag| ["-e", "-f", "--expression"].contains(&flag))),
            "perl" | "ruby" if has_flag(in_place) && has_flag(|flag| flag.contains('e')) => 1,
            "tee" => 0,
            "mv" | "cp" => files.len().saturating_sub(1),
            "apply_patch" | "applypatch" | "patch" => {
                let texts = arguments.iter().map(|word| word.text.as_str());
                return Some(texts.chain([&*self.documents]).flat_map(patched).collect());
            }
            "git" if arguments.first().is_some_and(|word| word.text == "apply") => {
                return Some(patched(&self.documents));
            }
            _ => return None,
        };
        Some(paths(files.into_iter().skip(from)).collect())
    }
}

/// Those of `words` that are paths.
fn paths<'w>(words: impl IntoIterator<Item = &'w Word>) -> impl Iterator<Item = String> {
    words.into_iter().filter(|word| word.is_plain && headings::is_path(&word.text)).map(|word| word.text.clone())
}

/// The line in `bash -lc "…"`.
fn inner_line(command: &[Word]) -> Option<&str> {
    const SHELLS: [&str; 5] = ["bash", "sh", "zsh", "dash", "ksh"];
    let [shell, flag, line] = command else { return None };
    let name = shell.text.rsplit('/').next().unwrap_or_default();
    let runs_line = flag.text.starts_with('-') && !flag.text.starts_with("--") && flag.text.ends_with('c');
    (SHELLS.contains(&name) && runs_line && line.is_plain).then_some(&line.text)
}

/// The file that a command shows, if it does nothing else, and whether it shows a part of it.
fn shown_by(command: &[Word]) -> Option<(&str, bool)> {
    const PLAIN_BAT: [&str; 4] = ["-p", "-pp", "--plain", "--paging=never"];
    if !command.iter().all(|word| word.is_plain) {
        return None;
    }
    let words: Vec<&str> = command.iter().map(|word| word.text.as_str()).collect();
    let (program, arguments) = words.split_first()?;
    let (flags, files): (Vec<&str>, Vec<&str>) = arguments.iter().partition(|word| word.starts_with('-'));
    match (*program, &files[..], &flags[..]) {
        ("cat", [path], [] | ["-n"] | ["--number"] | ["--"] | ["-n", "--"]) => Some((path, false)),
        // `-b a` is a flag and its value.
        ("nl", [path], ["-ba"]) | ("nl", ["a", path], ["-b"]) => Some((path, false)),
        ("bat" | "batcat", [path], flags) if flags.iter().all(|flag| PLAIN_BAT.contains(flag)) => Some((path, false)),
        ("head" | "tail", [.., path], _) if path.contains(|c: char| !c.is_ascii_digit()) => Some((path, true)),
        ("sed", [_, path], ["-n" | "-ne"]) => Some((path, true)),
        _ => None,
    }
}

/// Whether a command passes on a part of its input.
fn is_cut(command: &[Word]) -> bool {
    let words: Vec<&str> = command.iter().map(|word| word.text.as_str()).collect();
    matches!(words[..], ["sed", "-n" | "-ne", _] | ["head" | "tail", ..])
}

impl Word {
    fn of(node: Node, line: &str) -> Self {
        let text = &line[node.byte_range()];
        let inner = || text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
        let parts = || node.named_children(&mut node.walk()).collect::<Vec<_>>().into_iter();
        match node.kind() {
            "raw_string" => Self { text: inner().to_owned(), is_plain: true },
            "string" => {
                Self { is_plain: parts().all(|part| part.kind() == "string_content"), ..Self::unescaped(inner(), true) }
            }
            "concatenation" | "command_name" => {
                let whole = Self { is_plain: true, ..Self::default() };
                parts().map(|part| Self::of(part, line)).fold(whole, |whole, part| Self {
                    text: whole.text + &part.text,
                    is_plain: whole.is_plain && part.is_plain,
                })
            }
            "word" | "number" | "file_descriptor" => Self::unescaped(text, false),
            _ => Self { text: text.to_owned(), is_plain: false },
        }
    }

    fn unescaped(raw: &str, is_quoted: bool) -> Self {
        let mut word = Self { text: String::new(), is_plain: true };
        let mut signs = raw.chars();
        while let Some(sign) = signs.next() {
            match sign {
                '\\' => match signs.next() {
                    Some('\n') | None => {}
                    // Within quotes, a backslash stays before most.
                    Some(escaped) if is_quoted && !"\"\\$`".contains(escaped) => word.text.extend(['\\', escaped]),
                    Some(escaped) => word.text.push(escaped),
                },
                _ => {
                    let is_pattern = "*?[{!".contains(sign) || (sign == '~' && word.text.is_empty());
                    word.is_plain &= is_quoted || !is_pattern;
                    word.text.push(sign);
                }
            }
        }
        word
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
            "", "rg x", "cat a.rs b.rs", "cat a.rs; ls", "cat a.rs && ls", "cat a.rs || true", "cat a.rs | grep x",
            "cat a.rs | sed s/a/b/", "cat a.rs | head | wc", "cat a.rs &", "(cat a.rs)", "cat $F", "cat \"$F\"",
            "cat *.rs", "cat `ls`", "cat < a.rs", "cat 'a.rs", "bat -r 1:9 a.rs", "bat --line-range=1:9 a.rs",
            "git diff", "cargo test 2>&1", "rg apply_patch src", "rg 'sed -i' docs", "head -n 20",
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

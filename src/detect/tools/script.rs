//! What a script that calls tools does to files: it is read for the one command that it runs (rule R6).

use super::effect::{Effect, patched};
use super::shell;

/// What a script in JavaScript does, such as `const r = await tools.exec_command({cmd: "cat a.rs"}); text(r.output);`.
pub fn read(script: &str) -> Effect {
    /// Ways to pass on a part of an output.
    const CUTS: [&str; 7] = [".slice(", ".split(", ".substr", ".filter(", ".match(", ".replace(", ".find("];
    let paths = patched(script);
    if !paths.is_empty() {
        return Effect::Edit { paths };
    }
    let does = match &commands(script).unwrap_or_default()[..] {
        [command] => shell::read(&[command]),
        _ => return Effect::Other,
    };
    match does {
        Effect::Read { paths, ranged } => {
            Effect::Read { paths, ranged: ranged || CUTS.iter().any(|cut| script.contains(cut)) }
        }
        other => other,
    }
}

/// The strings given as `cmd`. `None` if one is not written out.
fn commands(script: &str) -> Option<Vec<String>> {
    const KEY: &str = "cmd";
    let is_name = |sign: char| sign.is_alphanumeric() || "_$".contains(sign);
    let mut commands = Vec::new();
    let mut done = 0;
    while let Some(found) = script[done..].find(KEY) {
        let at = done + found;
        done = at + KEY.len();
        if script[..at].ends_with(is_name) || script[done..].starts_with(is_name) {
            continue;
        }
        let value = script[done..].trim_start_matches(['"', '\'']).trim_start().strip_prefix(':')?.trim_start();
        let (command, length) = literal(value)?;
        commands.push(command);
        done = script.len() - value.len() + length;
    }
    Some(commands)
}

/// The string literal that `text` begins with, and its length in bytes, quotes included.
fn literal(text: &str) -> Option<(String, usize)> {
    let quote = text.chars().next().filter(|sign| ['"', '\'', '`'].contains(sign))?;
    let mut value = String::new();
    let mut signs = text.char_indices().skip(1);
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\\' => match signs.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                escaped => value.push(escaped),
            },
            // Something else is put in there.
            '$' if quote == '`' && text[at..].starts_with("${") => return None,
            _ if sign == quote => return Some((value, at + 1)),
            _ => value.push(sign),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_call_tools() {
        let reads = |path: &str, ranged| Effect::Read { paths: vec![path.to_owned()], ranged };
        let script = "const r = await tools.exec_command({ cmd: \"cat src/a.rs\" });\ntext(r.output);";
        assert_eq!(read(script), reads("src/a.rs", false));
        assert_eq!(read("tools.exec_command({\"cmd\": 'cat \"src/cmd/a.rs\"'})"), reads("src/cmd/a.rs", false));
        assert_eq!(read("exec_command({cmd: `sed -n 3,9p a.rs`})"), reads("a.rs", true));
        assert_eq!(
            read(&script.replace("r.output", "r.output.split('\\n').slice(0, 9).join('\\n')")),
            reads("src/a.rs", true)
        );
        let patch = "await tools.apply_patch(`*** Begin Patch\n*** Update File: a.rs\n@@`)";
        assert_eq!(read(patch), Effect::Edit { paths: vec!["a.rs".to_owned()] });
        for other in [
            "tools.exec_command({cmd: 'cat a.rs'}); tools.exec_command({\"cmd\": \"ls\"})",
            "tools.exec_command({cmd: 'cat a.rs'}); tools.exec_command({cmd})",
            "for (const cmd of all) tools.exec_command({cmd})",
            "tools.exec_command({cmd: `cat ${file}`})",
            "tools.exec_command({cmd: 'cat a.rs",
            "text('cmd')",
            "",
        ] {
            assert_eq!(read(other), Effect::Other, "{other}");
        }
    }
}

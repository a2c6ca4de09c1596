//! Reads a script that calls tools, in JavaScript, for the one shell command that it runs.

use tree_sitter::Node;

use super::effect::{Effect, patched};
use super::shell;
use crate::syntax::{self, Language};

/// The effect of a script such as `const r = await tools.exec_command({cmd: "cat a.rs"}); text(r.output);`.
pub fn read(script: &str) -> Effect {
    /// Ways to pass on a part of an output.
    const CUTS: [&str; 7] = [".slice(", ".split(", ".substr", ".filter(", ".match(", ".replace(", ".find("];
    let paths = patched(script);
    if !paths.is_empty() {
        return Effect::Edit { paths };
    }
    let commands = commands(script).unwrap_or_default();
    let [command] = &commands[..] else { return Effect::Other };
    match shell::read(&[command]) {
        Effect::Read { paths, ranged } => {
            Effect::Read { paths, ranged: ranged || CUTS.iter().any(|cut| script.contains(cut)) }
        }
        other => other,
    }
}

/// The strings given as `cmd`. `None` if one is not written out, or the script is too long or has mistakes.
fn commands(script: &str) -> Option<Vec<String>> {
    if script.len() > shell::MAX_BYTES {
        return None;
    }
    let tree = syntax::tree(script, Language::JavaScript).ok().filter(|tree| !tree.root_node().has_error())?;
    let is_key = |node: Node| script[node.byte_range()].trim_matches(['"', '\'']) == "cmd";
    let values = syntax::preorder(&tree).filter_map(|node| match node.kind() {
        "shorthand_property_identifier" if is_key(node) => Some(None),
        "pair" if node.child_by_field_name("key").is_some_and(is_key) => {
            Some(node.child_by_field_name("value").and_then(|value| literal(value, script)))
        }
        _ => None,
    });
    values.collect()
}

/// The text of a string literal into which nothing else is put.
fn literal(node: Node, script: &str) -> Option<String> {
    if !["string", "template_string"].contains(&node.kind()) {
        return None;
    }
    let mut cursor = node.walk();
    let parts = node.named_children(&mut cursor).map(|part| match (part.kind(), &script[part.byte_range()]) {
        ("string_fragment", text) => Some(text),
        ("escape_sequence", "\\n") => Some("\n"),
        ("escape_sequence", "\\t") => Some("\t"),
        ("escape_sequence", escaped) => escaped.get(1..),
        _ => None,
    });
    parts.collect()
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

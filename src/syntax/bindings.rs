//! Finds the imports of a file and the names they bind.

use tree_sitter::Node;

use super::grammar::Grammar;
use super::language::Language;
use super::parse::Parsed;
use super::splitter::rows;
use crate::base::text::Lines;

/// Kinds of import, in any language.
const IMPORTS: [&str; 11] = [
    "import_statement", "import_from_statement", "future_import_statement", "import_alias", "import_declaration",
    "import", "use_declaration", "extern_crate_declaration", "using_directive", "using_declaration",
    "namespace_use_declaration",
];

/// Those of the grammars' import words that bring in another file without binding a name.
const LOADS: [&str; 9] =
    ["require", "require_relative", "require_once", "load", "autoload", "include", "include_once", "source", "."];

/// Endings of the kinds, in any language, that may hold imports besides scopes and bodies: `try` and `if` around them.
const HOLDERS: [&str; 4] = ["statement", "block", "clause", "then"];

/// An import, use, include or require statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Its lines. Two statements on one line have that line both.
    pub lines: Lines,
    /// The names it binds in the file, in order; none where they are not known, as of a C header or of `*`.
    pub names: Vec<String>,
}

/// The imports of a text, in order.
pub(super) fn imports(&Parsed { source, grammar, ref tree }: &Parsed) -> Vec<Import> {
    let reader = Reader { source, grammar };
    let mut imports = Vec::new();
    let mut waiting = vec![tree.root_node()];
    while let Some(node) = waiting.pop() {
        if let Some(names) = reader.names(node) {
            imports.push(Import { lines: rows(node), names });
        } else if reader.may_hold_imports(node) {
            let children: Vec<Node> = node.named_children(&mut node.walk()).collect();
            waiting.extend(children.into_iter().rev());
        }
    }
    imports
}

struct Reader<'s> {
    source: &'s str,
    grammar: &'static Grammar,
}

impl Reader<'_> {
    /// The names that `node` binds if it is an import.
    fn names(&self, node: Node) -> Option<Vec<String>> {
        let kind = node.kind();
        if IMPORTS.contains(&kind) {
            let mut names = Names::new(self.grammar.language);
            self.read(node, &mut names);
            return Some(names.finish());
        }
        if kind == "preproc_include" || self.is_load(node) {
            return Some(Vec::new());
        }
        // `const { a, b: c } = require("d")`.
        let declarators: Vec<Node> = node.named_children(&mut node.walk()).collect();
        let requires = |declarator: &Node| {
            let value = declarator.child_by_field_name("value");
            declarator.kind() == "variable_declarator" && value.is_some_and(|v| self.text(v).starts_with("require("))
        };
        if declarators.is_empty() || !declarators.iter().all(requires) {
            return None;
        }
        let mut names = Names::new(self.grammar.language);
        for name in declarators.iter().filter_map(|declarator| declarator.child_by_field_name("name")) {
            self.read(name, &mut names);
            names.end_item();
        }
        Some(names.finish())
    }

    fn is_load(&self, node: Node) -> bool {
        let text = self.text(node);
        let word = text.split([' ', '\t', '\n', '(']).next().unwrap_or_default();
        node.parent().is_some() && LOADS.contains(&word) && self.grammar.import_words.contains(&word)
    }

    fn may_hold_imports(&self, node: Node) -> bool {
        let kind = node.kind();
        node.parent().is_none()
            || self.grammar.scopes.contains(&kind)
            || self.grammar.bodies.contains(&kind)
            || HOLDERS.iter().any(|end| kind.ends_with(end))
    }

    /// Gives the tokens of `node` to `names`.
    fn read(&self, node: Node, names: &mut Names) {
        let mut cursor = node.walk();
        loop {
            let leaf = cursor.node();
            let is_comment = self.grammar.comments.contains(&leaf.kind());
            if !is_comment && cursor.goto_first_child() {
                continue;
            }
            if !is_comment {
                names.token(leaf, self.text(leaf));
            }
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    return;
                }
            }
        }
    }

    fn text(&self, node: Node) -> &str {
        &self.source[node.byte_range()]
    }
}

/// Finds the names that an import binds among its tokens: in each of its items the last word, which an alias always is.
struct Names {
    language: Language,
    bound: Vec<String>,
    /// The words of the item that is being read, such as of `a::b as c`.
    item: Vec<String>,
    /// The last word before each open bracket, which `self` in it stands for.
    outer: Vec<Option<String>>,
    renamed: bool,
    /// Whether the rest binds nothing, such as the module after JavaScript's `from`.
    over: bool,
}

impl Names {
    fn new(language: Language) -> Self {
        Self { language, bound: Vec::new(), item: Vec::new(), outer: Vec::new(), renamed: false, over: false }
    }

    fn token(&mut self, leaf: Node, text: &str) {
        if self.over {
            return;
        }
        let kind = leaf.kind();
        match text {
            // Words before these are no names: Python's module, Rust's visibility, Swift's attributes.
            "import" | "use" | "using" | "extern" if !leaf.is_named() => {
                self.item.clear();
                self.bound.clear();
            }
            "as" | "=>" => self.renamed = true,
            "," | ";" | "\n" => self.end_item(),
            "(" | "{" | "[" => self.outer.push(self.item.drain(..).next_back()),
            ")" | "}" | "]" => {
                self.end_item();
                self.outer.pop();
            }
            "=" => {
                self.end_item();
                self.over = true;
            }
            "from" if !leaf.is_named() && self.language != Language::Python => {
                self.end_item();
                self.over = true;
            }
            // C++'s `using namespace`.
            "namespace" if !leaf.is_named() => self.over = true,
            "self" if self.language == Language::Rust && !self.outer.is_empty() => {
                self.item.extend(self.outer.last().cloned().flatten());
            }
            "*" | "_" => self.item.push("_".to_owned()),
            // Go's `import . "math"`.
            "." if self.language == Language::Go => self.item.push("_".to_owned()),
            _ if kind.contains("string") => self.string(text),
            _ if leaf.is_named() && is_word(text) => self.item.push(text.to_owned()),
            _ => {}
        }
    }

    /// Takes the package at the end of a Go path, without its version, unless it has been renamed. Elsewhere, no string is
    /// a name.
    fn string(&mut self, path: &str) {
        if self.language != Language::Go {
            return;
        }
        let is_version = |part: &&str| part.strip_prefix('v').is_some_and(|n| n.parse::<u32>().is_ok());
        let last = path.rsplit('/').find(|part| !is_version(part)).unwrap_or_default();
        let name = last.split('.').next().unwrap_or_default();
        if self.item.is_empty() && !name.is_empty() {
            self.item.push(name.to_owned());
        }
        self.end_item();
    }

    /// Binds the name of the item, if it has one.
    fn end_item(&mut self) {
        // Python's `import a.b` binds `a`.
        let first = self.language == Language::Python && !self.renamed;
        let name = if first { self.item.drain(..).next() } else { self.item.drain(..).next_back() };
        self.bound.extend(name.filter(|name| name != "_"));
        self.renamed = false;
    }

    fn finish(mut self) -> Vec<String> {
        self.end_item();
        // C#'s `using` binds a name only where it gives one.
        if self.language == Language::CSharp && !self.over { Vec::new() } else { self.bound }
    }
}

/// The words of `text` that may be names, in order.
pub fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_part_of_name(c)).filter(|word| !word.is_empty())
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_part_of_name)
}

fn is_part_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

    use super::*;

    /// Each import as `first-last: names`, lines counted from 1.
    fn read(source: &str, language: Language) -> Vec<String> {
        let line = |import: Import| {
            format!("{}-{}: {}", import.lines.start + 1, import.lines.end, import.names.join(" ")).trim_end().to_owned()
        };
        Parsed::new(source, language).unwrap().imports().into_iter().map(line).collect()
    }

    #[test]
    fn python_binds_the_first_word_or_the_alias() {
        let source = "\
\"\"\"Doc.\"\"\"
from __future__ import annotations
import a.b as c, d
import e.f
from . import g
from .h import (
    i,  # comment
    j as k,
)
from l import *
try:
    import m
except ImportError:
    import n as m
if TYPE_CHECKING:
    from o import P

def f():
    import q
";
        let expected = [
            "2-2: annotations", "3-3: c d", "4-4: e", "5-5: g", "6-9: i k", "10-10:", "12-12: m", "14-14: m",
            "16-16: P",
        ];
        assert_eq!(read(source, Language::Python), expected);
    }

    #[test]
    fn scripts_bind_defaults_members_and_namespaces() {
        let source = "\
import 'side';
import a from 'x';
import b, { c, d as e } from 'y';
import * as f from 'z';
const g = require('g');
const { h, i: j } = require('h'), k = require('k');
const l = other('l');
call(require('m'));
";
        let expected = ["1-1:", "2-2: a", "3-3: b c e", "4-4: f", "5-5: g", "6-6: h j k"];
        assert_eq!(read(source, Language::JavaScript), expected);
        let source = "\
import type { A, B as C } from './x';
import {
  type D,
  e,
} from 'y' with { type: 'json' };
import f = require('f');
namespace g {
  import H = I.J;
}
";
        assert_eq!(read(source, Language::TypeScript), ["1-1: A C", "2-5: D e", "6-6: f", "8-8: H"]);
    }

    #[test]
    fn rust_binds_the_leaves_of_a_tree() {
        let source = "\
extern crate a as b;
use c;
pub(crate) use d::{e, f as g, self, h::{i, j::*}};
use super::*;
use k as _;
use crate::l::M;

#[cfg(test)]
mod tests {
    use super::n;
}
";
        let expected = ["1-1: b", "2-2: c", "3-3: e g d i", "4-4:", "5-5:", "6-6: M", "10-10: n"];
        assert_eq!(read(source, Language::Rust), expected);
    }

    #[test]
    fn go_binds_the_end_of_a_path() {
        let source = "\
package a

import \"net/http\"
import (
	b \"fmt\"
	\"example.org/c/v2\"
	_ \"embed\"
	. \"math\"
	\"example.org/yaml.v3\"
)
";
        assert_eq!(read(source, Language::Go), ["3-3: http", "4-10: b c yaml"]);
    }

    #[test]
    fn dotted_paths_bind_their_last_segment() {
        let java = "package a;\nimport b.C;\nimport static d.E.f;\nimport g.*;\nclass H {}\n";
        assert_eq!(read(java, Language::Java), ["2-2: C", "3-3: f", "4-4:"]);
        let kotlin = "package a\n\nimport b.data.C\nimport d.e as f\nimport g.*\n";
        assert_eq!(read(kotlin, Language::Kotlin), ["3-3: C", "4-4: f", "5-5:"]);
        let scala = "package a\n\nimport b.C\nimport d.{E, F => G, H => _}\nimport i._\nimport j.K, l.M\n";
        assert_eq!(read(scala, Language::Scala), ["3-3: C", "4-4: E G", "5-5:", "6-6: K M"]);
        let scala = "import a.*\nimport b.{C as D, *}\n";
        assert_eq!(read(scala, Language::Scala), ["1-1:", "2-2: D"]);
        let swift = "import Foundation\n@testable import A\nimport class B.C\n";
        assert_eq!(read(swift, Language::Swift), ["1-1: Foundation", "2-2: A", "3-3: C"]);
        let php = "<?php\nnamespace A;\nuse B\\C;\nuse D\\E as F, G;\nuse H\\{I, J as K};\nuse function L\\m;\nrequire_once 'n.php';\n";
        assert_eq!(read(php, Language::Php), ["3-3: C", "4-4: F G", "5-5: I K", "6-6: m", "7-7:"]);
    }

    #[test]
    fn what_binds_no_known_name_has_none() {
        let c = "#ifndef A\n#define A\n#include <stdio.h>\n#ifdef B\n#include \"b.h\"\n#endif\n#endif\n";
        assert_eq!(read(c, Language::C), ["3-3:", "5-5:"]);
        let cpp = "#include <vector>\nnamespace a {\nusing std::vector;\nusing namespace b;\n}\n";
        assert_eq!(read(cpp, Language::Cpp), ["1-1:", "3-3: vector", "4-4:"]);
        let csharp = "using System.Text;\nusing static A.B;\nusing C = D.E;\nnamespace F\n{\n    using G;\n}\n";
        assert_eq!(read(csharp, Language::CSharp), ["1-1:", "2-2:", "3-3: C", "6-6:"]);
        let ruby = "require 'a'\nrequire_relative \"b\"\nmodule C\n  D = 1\nend\n";
        assert_eq!(read(ruby, Language::Ruby), ["1-1:", "2-2:"]);
        let bash = "set -e\nsource ./a.sh\n. b.sh\n";
        assert_eq!(read(bash, Language::Bash), ["2-2:", "3-3:"]);
    }
}

//! Cuts the body of a function into blocks of a few lines, at the best boundaries between statements.

use tree_sitter::Node;

use super::grammar::Grammar;
use super::parse::Parsed;
use super::splitter::rows;
use crate::base::text::{LineIndex, Lines};

/// The fewest lines of a block: leaving out fewer saves little more than the marker costs.
const MIN_BLOCK: usize = 3;

/// The most lines of a block, and of a statement that is not taken apart.
const MAX_BLOCK: usize = 10;

/// The most lines of a block that a short neighbour has joined.
const MAX_JOINED: usize = MAX_BLOCK + MIN_BLOCK - 1;

/// Penalty for a line short of `MIN_BLOCK`, in lines above `MAX_BLOCK`.
const SHORT_LINE: usize = 2;

/// Penalty for a block that holds the end of one statement and the start of another, in cuts between statements.
const CROSSING: usize = 2;

/// Words that start a further part of a statement, in any language.
const CLAUSES: [&str; 12] =
    ["else", "elif", "elsif", "elseif", "catch", "except", "rescue", "finally", "ensure", "case", "when", "default"];

/// Kinds that hold statements, in any language, besides the bodies of definitions.
const LISTS: [&str; 6] = ["block", "statement_list", "statements", "then", "do", "do_group"];

/// Cuts the lines of each range in `inside` into blocks at the boundaries of statements.
pub(super) fn blocks(parsed: &Parsed, inside: &[Lines]) -> Vec<Vec<Lines>> {
    let cuts = Cuts::of(parsed);
    inside.iter().map(|&lines| cuts.blocks(lines)).collect()
}

/// The rows that a block may start with.
struct Cuts {
    /// For each row, how many statements that can be taken apart it lies in; none where no block may start.
    depths: Vec<Option<usize>>,
}

impl Cuts {
    fn of(&Parsed { source, grammar, ref tree }: &Parsed) -> Self {
        let mut cuts = Self { depths: vec![None; LineIndex::new(source).count()] };
        let mut open = vec![(tree.root_node(), 0)];
        while let Some((node, depth)) = open.pop() {
            let rows_of_parts = parts(node, source, grammar);
            let inner = if rows_of_parts.is_empty() { depth } else { depth + 1 };
            for row in rows_of_parts {
                if let Some(place) = cuts.depths.get_mut(row) {
                    *place = Some(depth);
                }
            }
            // Lists open however short they are, but not those in braces of their own, which are statements among others.
            let is_list = |node: &Node| LISTS.contains(&node.kind()) || grammar.bodies.contains(&node.kind());
            let is_statement = |child: &Node| is_list(&node) && source[child.start_byte()..].starts_with('{');
            let opens = |child: &Node| rows(*child).len() > MAX_BLOCK || (is_list(child) && !is_statement(child));
            let children = node.children(&mut node.walk()).filter(Node::is_named).filter(opens).collect::<Vec<_>>();
            open.extend(children.into_iter().map(|child| (child, inner)));
        }
        cuts
    }

    /// The cheapest way to cut `lines`.
    fn blocks(&self, lines: Lines) -> Vec<Lines> {
        if lines.len() <= MAX_BLOCK {
            return if lines.is_empty() { Vec::new() } else { vec![lines] };
        }
        let mut edges = vec![Edge { row: lines.start, depth: 0 }];
        let rows = lines.start + 1..lines.end;
        edges.extend(rows.filter_map(|row| Some(Edge { row, depth: self.depths.get(row).copied().flatten()? })));
        let outermost = edges[1..].iter().map(|edge| edge.depth).min().unwrap_or(0);
        edges[1..].iter_mut().for_each(|edge| edge.depth -= outermost);
        edges.push(Edge { row: lines.end, depth: 0 });
        // For each edge, the cost of the lines from there on and the next edge to cut at.
        let mut best = vec![(Cost::default(), edges.len()); edges.len()];
        for from in (0..edges.len() - 1).rev() {
            let far = edges.partition_point(|edge| edge.row <= edges[from].row + MAX_JOINED).max(from + 2);
            // Of ways that cost the same, the one with the longest first block.
            let ways = (from + 1..far).rev().filter_map(|to| {
                let (cost, rest): (Cost, Cost) = (block_cost(&edges[from..=to])?, best[to].0);
                Some((Cost { misfit: cost.misfit + rest.misfit, cuts: cost.cuts + rest.cuts }, to))
            });
            if let Some(way) = ways.min_by_key(|&(cost, _)| cost) {
                best[from] = way;
            }
        }
        let mut blocks = Vec::new();
        let mut from = 0;
        while from + 1 < edges.len() {
            let to = best[from].1;
            blocks.push(Lines::new(edges[from].row, edges[to].row));
            from = to;
        }
        blocks
    }
}

/// A row that a block may start with.
#[derive(Debug, Clone, Copy)]
struct Edge {
    row: usize,
    /// Number of statements around it, of those that are taken apart.
    depth: usize,
}

/// Cost of a way to cut, the weightier part first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    /// Lines by which blocks are too short or too long.
    misfit: usize,
    /// Number of cuts, those inside of statements counted more than once.
    cuts: usize,
}

/// The cost of a block from the first of `edges` to the last, and of the cut at its end; none where it would be too long.
/// One that can't be cut is never too long.
fn block_cost(edges: &[Edge]) -> Option<Cost> {
    let [first, between @ .., last] = edges else { return None };
    let misfit = match last.row - first.row {
        short @ ..MIN_BLOCK => (MIN_BLOCK - short) * SHORT_LINE,
        ..=MAX_BLOCK => 0,
        _ if between.is_empty() => 0,
        long @ ..=MAX_JOINED => long - MAX_BLOCK,
        _ => return None,
    };
    let crosses = between.iter().any(|edge| edge.depth < first.depth.max(last.depth));
    Some(Cost { misfit, cuts: 1 + last.depth + if crosses { CROSSING } else { 0 } })
}

/// The rows at which the parts of `node` begin: statements of a list but its first, and clauses such as `else`. Comments,
/// attributes and blank lines before a part are rows of it.
fn parts(node: Node, source: &str, grammar: &Grammar) -> Vec<usize> {
    let mut parts = Vec::new();
    // The last child that is code, the end of its rows, and whether it is one of a list.
    let mut last: Option<(Node, usize, bool)> = None;
    let mut cursor = node.walk();
    let mut more = cursor.goto_first_child();
    while more {
        let (child, field) = (cursor.node(), cursor.field_name());
        more = cursor.goto_next_sibling();
        let (kind, lines) = (child.kind(), rows(child));
        if grammar.comments.contains(&kind) {
            // A comment that starts beside the end of a statement is the statement's.
            last = last.map(|(node, end, item)| (node, if lines.start < end { end.max(lines.end) } else { end }, item));
            continue;
        }
        if grammar.attributes.contains(&kind) || (!child.is_named() && kind.trim_matches(';').trim().is_empty()) {
            continue;
        }
        let is_item = child.is_named() && field.is_none();
        if let Some((before, end, follows_item)) = last {
            let text = &source[child.byte_range()];
            let beside = || source[..child.start_byte()].rsplit('\n').next().unwrap_or_default().trim();
            let is_clause = (before.is_named() || before.kind() == "}") && CLAUSES.contains(&first_word(text));
            let is_statement = is_item && follows_item && lines.start >= end;
            let belongs_to_last = text.starts_with('{') || grammar.continuations.contains(&kind);
            if (is_statement && !belongs_to_last && beside().is_empty()) || (is_clause && matches!(beside(), "" | "}"))
            {
                parts.push(end.min(lines.start));
            }
        }
        last = Some((child, lines.end, is_item));
    }
    parts
}

/// The word that `text` starts with, without the `#` of a preprocessor's.
fn first_word(text: &str) -> &str {
    let text = text.trim_start_matches('#');
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

    use proptest::prelude::*;

    use super::*;
    use crate::syntax::Language;

    /// The first line of each block of `body`, without its indentation, where the whole source is
    /// `head`, `body` and `foot`.
    fn starts(language: Language, head: &str, body: &str, foot: &str) -> Vec<String> {
        let source = format!("{head}{body}{foot}");
        let first = head.lines().count();
        let inside = Lines::new(first, first + body.lines().count());
        let blocks = Parsed::new(&source, language).unwrap().blocks(&[inside]).remove(0);
        assert_partition(&blocks, inside);
        let lines: Vec<&str> = source.lines().collect();
        let text = |block: &Lines| (block.start..block.end).map(|row| lines[row].trim()).find(|line| !line.is_empty());
        blocks.iter().filter_map(text).map(str::to_owned).collect()
    }

    fn assert_partition(blocks: &[Lines], inside: Lines) {
        let mut next = inside.start;
        for block in blocks {
            assert_eq!(block.start, next);
            assert!(!block.is_empty());
            next = block.end;
        }
        assert_eq!(next, inside.end);
    }

    /// `count` calls, each on a line of its own.
    fn calls(count: usize, indentation: usize, end: &str) -> String {
        (0..count).map(|i| format!("{}call{i}(){end}\n", " ".repeat(indentation))).collect()
    }

    #[test]
    fn short_bodies_are_one_block() {
        assert_eq!(starts(Language::Python, "def f():\n", &calls(10, 4, ""), ""), ["call0()"]);
        assert_eq!(Parsed::new("x = 1\n", Language::Python).unwrap().blocks(&[Lines::new(1, 1)]), [vec![]]);
        let two =
            Parsed::new("x = 1\ny = 2\n", Language::Python).unwrap().blocks(&[Lines::new(0, 1), Lines::new(1, 2)]);
        assert_eq!(two, [vec![Lines::new(0, 1)], vec![Lines::new(1, 2)]]);
    }

    #[test]
    fn a_run_of_statements_is_filled_up_and_leaves_no_short_rest() {
        assert_eq!(starts(Language::Python, "def f():\n", &calls(15, 4, ""), ""), ["call0()", "call10()"]);
        assert_eq!(starts(Language::Python, "def f():\n", &calls(11, 4, ""), ""), ["call0()", "call8()"]);
    }

    #[test]
    fn python_is_cut_at_clauses() {
        let body = format!(
            "    if a:\n{}    # Otherwise.\n    elif b:\n{}    else:\n{}",
            calls(5, 8, ""),
            calls(4, 8, ""),
            calls(2, 8, "")
        );
        assert_eq!(starts(Language::Python, "def f():\n", &body, ""), ["if a:", "# Otherwise."]);
        let body = format!(
            "    try:\n{}    except A:\n{}    finally:\n{}    return 1\n",
            calls(7, 8, ""),
            calls(3, 8, ""),
            calls(2, 8, "")
        );
        assert_eq!(starts(Language::Python, "def f():\n", &body, ""), ["try:", "except A:"]);
    }

    #[test]
    fn nested_loops_keep_their_heads_with_their_first_statement() {
        let body = format!("    a = 1\n\n    for b in c:\n        for d in b:\n{}    return a\n", calls(12, 12, ""));
        assert_eq!(starts(Language::Python, "def f():\n", &body, ""), ["a = 1", "call6()"]);
    }

    #[test]
    fn rust_is_cut_between_arms() {
        let arm = |name: &str| format!("        {name} => {{\n{}        }}\n", calls(3, 12, ";"));
        let body = format!("    match a {{\n{}{}        // Third.\n{}    }}\n", arm("A"), arm("B"), arm("C"));
        assert_eq!(starts(Language::Rust, "fn f() {\n", &body, "}\n"), ["match a {", "B => {", "// Third."]);
    }

    #[test]
    fn typescript_is_cut_in_callbacks_and_before_clauses() {
        let body = format!("  useEffect(() => {{\n{}  }}, []);\n", calls(12, 4, ";"));
        assert_eq!(starts(Language::TypeScript, "function f() {\n", &body, "}\n"), ["useEffect(() => {", "call9();"]);
        let body = format!("  try {{\n{}  }} catch (e) {{\n{}  }}\n", calls(8, 4, ";"), calls(3, 4, ";"));
        assert_eq!(starts(Language::TypeScript, "function f() {\n", &body, "}\n"), ["try {", "} catch (e) {"]);
    }

    #[test]
    fn go_is_cut_between_branches() {
        let body = format!("\tif a {{\n{}\t}} else if b {{\n{}\t}}\n\n\treturn\n", calls(7, 4, ""), calls(7, 4, ""));
        assert_eq!(starts(Language::Go, "package p\n\nfunc f() {\n", &body, "}\n"), ["if a {", "} else if b {"]);
    }

    #[test]
    fn braces_and_statements_on_lines_of_their_own_stay_with_their_head() {
        let body = format!("  if (a)\n  {{\n{}  }}\n  else\n  {{\n{}  }}\n", calls(6, 4, ";"), calls(6, 4, ";"));
        assert_eq!(starts(Language::Cpp, "int f()\n{\n", &body, "}\n"), ["if (a)", "else"]);
        let body = format!("  if (a)\n    b();\n  else\n  {{\n{}  }}\n", calls(9, 4, ";"));
        assert_eq!(starts(Language::Cpp, "int f()\n{\n", &body, "}\n"), ["if (a)", "call6();"]);
    }

    #[test]
    fn what_has_no_boundary_stays_whole() {
        let body = format!("    a = [\n{}    ]\n    return a\n", "        1,\n".repeat(20));
        assert_eq!(starts(Language::Python, "def f():\n", &body, ""), ["a = [", "return a"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn blocks_hold_every_line_once_and_cut_no_short_statement(
            kinds in prop::collection::vec((0..6_usize, 1..14_usize), 1..12),
        ) {
            let mut source = "def f():\n".to_owned();
            let mut short = Vec::new();
            for (kind, size) in kinds {
                let first = source.lines().count();
                match kind {
                    0 => source += &calls(size, 4, ""),
                    1 => source += &format!("    if a:\n{}", calls(size, 8, "")),
                    2 => source += &format!("    if a:\n{}    else:\n{}", calls(size, 8, ""), calls(size, 8, "")),
                    3 => source += &format!("    for a in b:\n        with c:\n{}", calls(size, 12, "")),
                    4 => source += "    # A comment.\n\n    a = 1\n",
                    _ => source += &format!("    a = [\n{}    ]\n", "        1,\n".repeat(size)),
                }
                let lines = Lines::new(first, source.lines().count());
                if kind != 0 && lines.len() <= MAX_BLOCK {
                    short.push(lines);
                }
            }
            let inside = Lines::new(1, source.lines().count());
            let blocks = Parsed::new(&source, Language::Python).unwrap().blocks(&[inside]).remove(0);
            assert_partition(&blocks, inside);
            for block in &blocks[1..] {
                prop_assert!(short.iter().all(|lines| block.start <= lines.start || block.start >= lines.end));
            }
        }
    }
}

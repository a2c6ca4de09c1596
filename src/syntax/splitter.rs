//! Splits a source text into units along its syntax tree.

use tree_sitter::Node;

use super::grammar::{ARGUMENTS, CLOSERS, Grammar};
use super::layout::{Layout, Leaf, Piece, push};
use super::parse::Parsed;
use super::unit::{Unit, UnitKind};
use crate::base::text::{LineIndex, Lines};

/// The fewest lines of a lambda or accessor that make it a function; shorter ones are values or fields.
const MIN_CLOSURE_LINES: usize = 3;

/// How deep types and namespaces are followed into each other; deeper ones stay whole. Real code has less than ten levels.
const MAX_NESTING: usize = 32;

/// How deep a definition is looked for in its wrappers, and a body in its definition.
const MAX_WRAPPING: usize = 8;

/// The longest name, in bytes; what is longer is an expression.
const MAX_NAME: usize = 100;

/// The units of a text: in order, each line in one of them.
pub(super) fn units(&Parsed { source, grammar, ref tree }: &Parsed) -> Vec<Unit> {
    let splitter = Splitter { source, grammar };
    let mut pieces = splitter.pieces(tree.root_node(), Place { in_type: false, depth: 0, opening: 0 });
    let lines = LineIndex::new(source).count();
    // Only tokens that the grammar has no name for, such as a semicolon.
    if pieces.is_empty() {
        pieces.push(Piece::Leaf(Leaf::run(UnitKind::Statement, 0, lines)));
    }
    let mut layout = Layout::new(lines);
    for piece in pieces {
        layout.add(piece, None);
    }
    layout.into_units()
}

/// The place of a list of pieces in the file.
#[derive(Clone, Copy)]
struct Place {
    in_type: bool,
    depth: usize,
    /// Comments before this row are on the line that opens the list, and belong to that.
    opening: usize,
}

/// The rows above a definition that belong to it.
#[derive(Clone, Copy)]
struct Above {
    /// The first, of a comment, an attribute or the definition itself.
    start: usize,
    /// The first that is no comment.
    attributes: usize,
}

/// A definition found in its wrappers.
struct Definition<'t> {
    role: Role,
    /// From the outermost wrapper to the definition.
    path: Vec<Node<'t>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Function,
    Type,
    Scope,
}

struct Splitter<'s> {
    source: &'s str,
    grammar: &'static Grammar,
}

impl<'s> Splitter<'s> {
    /// The parts of `list`, in order; no two share a line.
    fn pieces(&self, list: Node, place: Place) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        // Rows of comments and attributes whose definition has not come yet.
        let mut leading: Option<Lines> = None;
        // The row of the first attribute after the last of these comments.
        let mut attributes: Option<usize> = None;
        for node in self.items(list) {
            let rows = rows(node);
            let kind = node.kind();
            let is_comment = self.grammar.comments.contains(&kind);
            if is_comment && rows.start < place.opening {
                continue;
            }
            let trails = is_comment && leading.is_none() && pieces.last().is_some_and(|last| rows.start < last.end());
            if trails || self.grammar.continuations.contains(&kind) {
                if let Some(last) = pieces.pop() {
                    let end = last.end().max(rows.end);
                    pieces.push(if end > last.end() { Piece::Leaf(last.into_leaf(end)) } else { last });
                }
                continue;
            }
            let first_comment = leading.filter(|_| place.depth == 0 && pieces.is_empty());
            if let Some(license) = first_comment.filter(|license| license.end < rows.start) {
                pieces.push(Piece::Leaf(Leaf::run(UnitKind::Preamble, license.start, license.end)));
                leading = None;
            }
            let start = leading.map_or(rows.start, |leading| leading.start);
            if is_comment || self.grammar.attributes.contains(&kind) {
                leading = Some(Lines::new(start, rows.end));
                attributes = if is_comment { None } else { attributes.or(Some(rows.start)) };
                continue;
            }
            leading = None;
            let above = Above { start, attributes: attributes.take().unwrap_or(rows.start) };
            for piece in self.classify(node, above, place, pieces.last()) {
                push(&mut pieces, piece);
            }
        }
        // Comments before a closing token go with it.
        if let Some(rest) = leading.filter(|_| closing_row(list).is_none()) {
            push(&mut pieces, Piece::Leaf(Leaf::run(UnitKind::Statement, rest.start, rest.end)));
        }
        pieces
    }

    /// The children of `list` that make its pieces.
    fn items<'t>(&self, list: Node<'t>) -> Vec<Node<'t>> {
        let mut items = Vec::new();
        for child in list.children(&mut list.walk()) {
            if self.grammar.flattened.contains(&child.kind()) {
                items.extend(child.children(&mut child.walk()).filter(Node::is_named));
            } else if child.is_named() {
                items.push(child);
            }
        }
        items
    }

    fn classify(&self, node: Node, above: Above, place: Place, last: Option<&Piece>) -> Vec<Piece> {
        let definition = self.definition(node, 0).filter(|found| {
            let is_field = found.role == Role::Type && self.grammar.constants.contains(&found.ends().1.kind());
            !is_field || !place.in_type || self.body(found.ends().1).is_some()
        });
        if let Some(definition) = definition {
            let piece = match definition.role {
                Role::Function => Some(Piece::Leaf(self.function(&definition, above, place))),
                role => self.container(&definition, role == Role::Type, above, place),
            };
            if let Some(piece) = piece {
                return vec![piece];
            }
        }
        let continues_statements = matches!(last, Some(Piece::Leaf(Leaf { kind: UnitKind::Statement, .. })));
        let is_preamble = !place.in_type && (self.is_import(node) || (self.is_constant(node) && !continues_statements));
        let kind = if is_preamble { UnitKind::Preamble } else { UnitKind::Statement };
        vec![Piece::Leaf(Leaf::run(kind, above.start, rows(node).end))]
    }

    fn is_import(&self, node: Node) -> bool {
        self.grammar.imports.contains(&node.kind())
            || self
                .text(node)
                .split([' ', '\t', '\n', '('])
                .next()
                .is_some_and(|w| self.grammar.import_words.contains(&w))
    }

    fn is_constant(&self, node: Node) -> bool {
        let is_constant = |node: Node| self.grammar.constants.contains(&node.kind());
        is_constant(node) || (node.named_child_count() == 1 && node.named_child(0).is_some_and(is_constant))
    }

    /// The definition that `node` is or wraps; of several, the last, which in a call is the callback.
    fn definition<'t>(&self, node: Node<'t>, depth: usize) -> Option<Definition<'t>> {
        let (grammar, kind) = (self.grammar, node.kind());
        let long = || self.body(node).is_some_and(|body| rows(body).len() >= MIN_CLOSURE_LINES);
        let role = if grammar.functions.contains(&kind) && self.body(node).is_some()
            || grammar.closures.contains(&kind) && long()
        {
            Some(Role::Function)
        } else if grammar.types.contains(&kind) && (!grammar.mentions.contains(&kind) || self.body(node).is_some()) {
            Some(Role::Type)
        } else if grammar.scopes.contains(&kind) {
            Some(Role::Scope)
        } else {
            None
        };
        if let Some(role) = role {
            return Some(Definition { role, path: vec![node] });
        }
        if depth >= MAX_WRAPPING || !grammar.wrappers.contains(&kind) {
            return None;
        }
        let children: Vec<Node> = node.named_children(&mut node.walk()).collect();
        let mut inner = children.into_iter().rev().find_map(|child| self.definition(child, depth + 1))?;
        inner.path.insert(0, node);
        Some(inner)
    }

    fn function(&self, definition: &Definition, above: Above, place: Place) -> Leaf {
        let (name, named_as_method) = self.name(&definition.path);
        let kind = if place.in_type || named_as_method { UnitKind::Method } else { UnitKind::Function };
        self.whole(definition, kind, name, above)
    }

    /// A type or namespace with its members; as one unit where no member has a body, and none where it is a namespace
    /// without definitions.
    fn container(&self, definition: &Definition, is_type: bool, above: Above, place: Place) -> Option<Piece> {
        let (outer, node) = definition.ends();
        let (name, _) = self.name(&definition.path);
        let body = self.body(node);
        let mut header = self.whole(definition, UnitKind::TypeHeader, name, above);
        let mut members = Vec::new();
        if place.depth < MAX_NESTING && (body.is_some() || !is_type) {
            let inside =
                Place { in_type: place.in_type || is_type, depth: place.depth + 1, opening: header.signature_end };
            members = self.pieces(body.unwrap_or(node), inside);
        }
        let splits = members.iter().any(|member| match member {
            Piece::Leaf(leaf) => match leaf.kind {
                UnitKind::Function | UnitKind::Method => true,
                UnitKind::TypeHeader => !is_type,
                _ => false,
            },
            Piece::Container { .. } => true,
        });
        if !splits {
            return is_type.then_some(Piece::Leaf(header));
        }
        let whole_tail = header.tail_start;
        let end = rows(outer).end;
        header.end = header.signature_end;
        // Scopes without a body of their own, such as `#ifdef`, list their condition or name among their children.
        if body.is_none() {
            while members.first().is_some_and(|first| first.is_run() && first.start() < header.end) {
                members.remove(0);
            }
        }
        if is_type && members.first().is_some_and(Piece::is_run) {
            header.end = header.end.max(members.remove(0).end());
        }
        header.tail_start = header.end;
        let closer =
            (whole_tail < end).then(|| Leaf { kind: UnitKind::Closer, ..Leaf::run(UnitKind::Closer, whole_tail, end) });
        // A member on the line of the header or the closer can't be dropped alone, so the type is not taken apart.
        let joined = |member: Option<&Piece>, shares: &dyn Fn(&Piece) -> bool| {
            member.is_some_and(|member| matches!(member, Piece::Leaf(_)) && shares(member))
        };
        if joined(members.first(), &|first| first.start() < header.end)
            || joined(members.last(), &|last| last.end() > whole_tail)
        {
            header.tail_start = whole_tail;
            header.end = end;
            return Some(Piece::Leaf(header));
        }
        Some(Piece::Container { header, members, closer, end })
    }

    /// The definition as one unit.
    fn whole(&self, definition: &Definition, kind: UnitKind, name: Option<String>, above: Above) -> Leaf {
        let (outer, node) = definition.ends();
        let end = rows(outer).end;
        let body = self.body(node);
        let head_end = body.map_or(rows(node).start + 1, |body| opened(node, body, self.grammar)).min(end);
        let signature_end = body.map_or(head_end, |body| self.docstring_end(body, head_end)).min(end);
        let head = Lines::new(rows(node).start, head_end);
        let closing_row = body.and_then(closing_row).or_else(|| closing_row(node));
        let tail_start = closing_row.filter(|&row| row >= signature_end).unwrap_or(end);
        let Above { start, attributes } = above;
        Leaf { kind, name, start, attributes, head, signature_end, tail_start, end }
    }

    /// One past the last row of the signature: of its docstring, if it has one, else `head_end`.
    fn docstring_end(&self, body: Node, head_end: usize) -> usize {
        if let (Some(docstring), Some(first)) = (self.grammar.docstring, body.named_child(0))
            && first.named_child_count() == 1
            && first.named_child(0).is_some_and(|only| only.kind() == docstring)
        {
            return head_end.max(rows(first).end);
        }
        head_end
    }

    /// The node that holds the statements or members of `node`.
    fn body<'t>(&self, node: Node<'t>) -> Option<Node<'t>> {
        let is_body = |node: &Node| self.grammar.bodies.contains(&node.kind());
        if is_body(&node) && self.grammar.closures.contains(&node.kind()) {
            return Some(node);
        }
        let find = |node: Node<'t>| {
            let by_kind = || node.named_children(&mut node.walk()).filter(is_body).last();
            node.child_by_field_name("body").or_else(by_kind)
        };
        // Such as Go's `type_declaration`, where the body is that of the type it names.
        let mut found = find(node);
        let mut inner = node;
        for _ in 0..MAX_WRAPPING {
            if found.is_some() || !self.grammar.types.contains(&node.kind()) {
                break;
            }
            inner = inner.named_children(&mut inner.walk()).last()?;
            found = find(inner);
        }
        let mut body = found?;
        // Such as Kotlin's `function_body`, which holds a `block`.
        while body.named_child_count() == 1
            && let Some(only) = body.named_child(0).filter(is_body)
            && body.child_count() == 1
        {
            body = only;
        }
        Some(body)
    }

    /// The name found on the way from the outermost wrapper to the definition, and whether it is marked as a method's.
    fn name(&self, path: &[Node]) -> (Option<String>, bool) {
        let is_method = |node: Node| self.grammar.methods.contains(&node.kind());
        let mut method = path.last().copied().is_some_and(is_method);
        for (i, &start) in path.iter().enumerate() {
            if path.get(i + 1).is_some_and(|inner| inner.kind() == ARGUMENTS) {
                continue;
            }
            let mut node = start;
            while let Some(next) = self.towards_name(node) {
                node = next;
                method |= is_method(node);
            }
            let text = self.text(node);
            if node.id() != start.id() && text.len() <= MAX_NAME && !text.contains('\n') {
                return (Some(text.to_owned()), method);
            }
        }
        (None, method)
    }

    fn towards_name<'t>(&self, node: Node<'t>) -> Option<Node<'t>> {
        if self.grammar.nameless.contains(&node.kind()) {
            return None;
        }
        let by_field = self.grammar.names.iter().find_map(|field| node.child_by_field_name(field));
        by_field.or_else(|| self.grammar.named_by_child.contains(&node.kind()).then(|| node.named_child(0))?)
    }

    fn text(&self, node: Node) -> &'s str {
        &self.source[node.byte_range()]
    }
}

impl<'t> Definition<'t> {
    /// The outermost wrapper and the definition itself.
    fn ends(&self) -> (Node<'t>, Node<'t>) {
        (self.path[0], self.path[self.path.len() - 1])
    }
}

/// One past the row of the token that opens the body of `node`.
fn opened(node: Node, body: Node, grammar: &Grammar) -> usize {
    let opener = body.child(0).filter(|first| !first.is_named() && body.id() != node.id());
    if let Some(opener) = opener {
        return opener.start_position().row + 1;
    }
    let is_before = |child: &Node| child.end_byte() <= body.start_byte() && !grammar.comments.contains(&child.kind());
    let before = node.children(&mut node.walk()).filter(is_before).last();
    before.map_or(node.start_position().row + 1, |before| before.end_position().row + 1)
}

/// The rows of `node`, as lines.
pub(super) fn rows(node: Node) -> Lines {
    let (start, end) = (node.start_position(), node.end_position());
    // Some nodes end with their line break, so in column 0 of the row after.
    let last = if end.column == 0 && end.row > start.row { end.row } else { end.row + 1 };
    Lines::new(start.row, last)
}

/// The row of the token that closes `node`, such as `}` or `end`.
fn closing_row(node: Node) -> Option<usize> {
    let last = node.children(&mut node.walk()).last()?;
    CLOSERS.contains(&last.kind()).then(|| last.start_position().row)
}

//! Finds XML-like tags in a text, and the files that clients put between them.

use super::headings::{Heading, is_path};
use super::piece::Piece;
use crate::base::reason::Reason;
use crate::base::text::Span;

/// Tags in which clients put the person's own words.
pub const QUESTION: [&str; 6] = ["task", "user_message", "user_input", "userRequest", "user_query", "pr_description"];

/// A pair of tags with what they enclose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// From the opening tag to the end of the closing one.
    pub outer: Span,
    /// The bytes between the tags.
    pub body: Span,
}

/// The elements `<name …>` to the next `</name>`, in order. A tag that is not closed encloses nothing.
pub fn elements(text: &str, name: &str) -> Vec<Element> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let mut elements = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find(&open) {
        let outer_start = from + at;
        from = outer_start + open.len();
        if !text[from..].starts_with(|c: char| c == '>' || c.is_whitespace()) {
            continue;
        }
        let Some(end_of_open) = text[from..].find('>') else { break };
        let start = from + end_of_open + 1;
        let Some(length) = text[start..].find(&close) else { break };
        let end = start + length;
        from = end + close.len();
        elements.push(Element { outer: Span { start: outer_start, end: from }, body: Span { start, end } });
    }
    elements
}

/// A file between tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// From the opening tag to the end of the closing one.
    pub outer: Span,
    /// The part between them.
    pub piece: Piece,
}

/// Tags around files.
const FILES: [&str; 6] = ["file_content", "file", "attachment", "code_selection", "document", "content"];
/// Attributes that name the file.
const PATHS: [&str; 6] = ["path", "filePath", "filepath", "file_path", "name", "source"];
/// Attributes that give a range of lines.
const RANGES: [&str; 7] = ["lines", "line_range", "lineRange", "range", "startLine", "start_line", "start"];
/// Tags that aider uses in place of fences, below headers of its own.
pub const FENCES: [&str; 5] = ["source", "code", "pre", "codeblock", "sourcecode"];
const FENCED_BELOW: [&str; 2] = ["I have *added these files to the chat*", "Here are some READ ONLY files"];

/// The files between tags in `text`, in order; they do not overlap. A file without a name gets `path`: that of the read
/// which the text is the result of.
pub fn files(text: &str, path: Option<&str>) -> Vec<Tagged> {
    let mut found: Vec<Tagged> = Vec::new();
    if text.contains('<') {
        for name in FILES {
            found.extend(elements(text, name).into_iter().filter_map(|element| file(text, name, element, path)));
        }
        if let Some(header) = FENCED_BELOW.iter().filter_map(|header| text.find(header)).min() {
            for name in FENCES {
                let below = elements(text, name).into_iter().filter(|element| element.outer.start > header);
                found.extend(below.filter_map(|element| fenced(text, element)));
            }
        }
    }
    found.sort_by_key(|tagged| tagged.outer.start);
    let mut done = 0;
    found.retain(|tagged| {
        let apart = tagged.outer.start >= done;
        done = if apart { tagged.outer.end } else { done };
        apart
    });
    found
}

fn file(text: &str, name: &str, element: Element, known: Option<&str>) -> Option<Tagged> {
    let opening = &text[element.outer.start..element.body.start];
    let mut body = element.body;
    let mut path = PATHS.iter().find_map(|key| attribute(opening, key)).filter(|path| is_path(path));
    let says_numbers = |value: &str| value.contains(|c: char| c.is_ascii_digit());
    let mut ranged = RANGES.iter().any(|key| attribute(opening, key).is_some_and(says_numbers));
    let inner = &text[element.body.range()];
    let before = ending(&text[..element.outer.start]);
    let asked_for = (name == "file").then(|| asked_for(before)).flatten();
    if name == "document" {
        // Path and text have tags of their own.
        let source = elements(inner, "source").into_iter().next()?;
        let content = elements(inner, "document_content").into_iter().next()?;
        path = Some(inner[source.body.range()].trim());
        body = Span { start: body.start + content.body.start, end: body.start + content.body.end };
    }
    if name == "content" {
        // The path is in a tag before it.
        let from = before.rfind("<path>")?;
        path = before[from + "<path>".len()..].split("</path>").next();
        // Whole files come with a range too; a notice follows if something was left out.
        let is_start = attribute(opening, "lines").is_none_or(|lines| lines.starts_with("1-"));
        let after = &text[element.outer.end..];
        ranged = !is_start || after.trim_start().starts_with("<notice>");
    }
    if name == "file" && path.is_none() {
        path = known.or(asked_for);
    }
    let heading = Heading::of_path(path?);
    let (span, bare) = whole_lines(text, body)?;
    let ranged = ranged || heading.first_line.is_some();
    let veto = (attribute(opening, "isSummarized") == Some("true")).then_some(Reason::Summarized);
    Some(Tagged { outer: element.outer, piece: Piece { span, path: Some(heading.path?), ranged, bare, veto } })
}

/// The value of an attribute in an opening tag.
fn attribute<'a>(opening: &'a str, key: &str) -> Option<&'a str> {
    [('"', format!(" {key}=\"")), ('\'', format!(" {key}='"))].into_iter().find_map(|(quote, start)| {
        let (_, rest) = opening.split_once(&start)?;
        rest.split(quote).next()
    })
}

/// The end of `text`, where anything that belongs to the tag after it stands.
fn ending(text: &str) -> &str {
    const MAX_BYTES: usize = 2000;
    let mut from = text.len().saturating_sub(MAX_BYTES);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

/// The path in a client's note of its call: `… {"filePath":"/a.ts"}`.
fn asked_for(before: &str) -> Option<&str> {
    let line = before.trim_end().lines().next_back()?;
    let (_, rest) = line.split_once("\"filePath\":\"").or_else(|| line.split_once("\"file_path\":\""))?;
    rest.split('"').next()
}

/// A file between tags in place of a fence: the tags alone on their lines, the path on the line above.
fn fenced(text: &str, element: Element) -> Option<Tagged> {
    let before = text[..element.outer.start].strip_suffix('\n')?;
    let heading = Heading::of_line(before.lines().next_back()?)?;
    let (span, bare) = whole_lines(text, element.body).filter(|(_, bare)| *bare)?;
    Some(Tagged { outer: element.outer, piece: Piece { span, path: heading.path, bare, ..Piece::default() } })
}

/// The whole lines of `body`, the part between two tags, and whether all of them are the file's: words behind the opening
/// tag announce a fence. `None` if the tags share their lines with code.
fn whole_lines(text: &str, body: Span) -> Option<(Span, bool)> {
    let inner = &text[body.range()];
    let (first, rest) = inner.split_once('\n')?;
    let start = body.end - rest.len();
    let last = inner.rfind('\n')? + 1;
    let glued = inner[last..].trim();
    let is_announced = first.trim_end().ends_with(':');
    let is_fence = glued.len() >= 3 && (glued.trim_matches('`').is_empty() || glued.trim_matches('~').is_empty());
    let end = if is_fence { body.end } else { body.start + last };
    let is_alone = first.trim().is_empty() && glued.is_empty();
    let fits = (first.trim().is_empty() || is_announced) && (glued.is_empty() || is_fence) && start < end;
    fits.then_some((Span { start, end }, is_alone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_enclose_what_they_close() {
        let text = "<tasks>x</tasks> <task id='1'>a</task><task>b</task> <task>";
        let elements = elements(text, "task");
        let shown: Vec<_> = elements.iter().map(|e| (&text[e.outer.range()], &text[e.body.range()])).collect();
        assert_eq!(shown, [("<task id='1'>a</task>", "a"), ("<task>b</task>", "b")]);
    }

    #[test]
    fn tags_around_files() {
        for (text, path, ranged, veto) in [
            ("<file_content path=\"src/a.ts\">\nlet x;\n</file_content>", "src/a.ts", false, None),
            (
                "<attachments>\n<attachment id=\"a\" filePath=\"/w/a.ts\">\nlet x;\n</attachment>\n</attachments>",
                "/w/a.ts",
                false,
                None,
            ),
            (
                "<attachment filePath=\"/w/a.ts\" isSummarized=\"true\">\nlet x;\n</attachment>",
                "/w/a.ts",
                false,
                Some(Reason::Summarized),
            ),
            ("<code_selection path=\"a.ts\" lines=\"1-5\">\nlet x;\n</code_selection>", "a.ts", true, None),
            (
                "<document index=\"1\">\n<source>a.ts</source>\n<document_content>\nlet x;\n</document_content>\n</document>",
                "a.ts",
                false,
                None,
            ),
            ("<path>/a.ts</path>\n<type>file</type>\n<content>\nlet x;\n</content>", "/a.ts", false, None),
            ("<file><path>a.ts</path>\n<content lines=\"1-1\">\nlet x;\n</content>\n</file>", "a.ts", false, None),
            ("<file><path>a.ts</path>\n<content lines=\"3-3\">\nlet x;\n</content>\n</file>", "a.ts", true, None),
            (
                "<file><path>a.ts</path>\n<content lines=\"1-1\">\nlet x;\n</content>\n<notice>Showing only 1 of 9 lines</notice></file>",
                "a.ts",
                true,
                None,
            ),
            ("<file path='src/a.ts' lines='1-5'>\nlet x;\n</file>", "src/a.ts", true, None),
            ("<file name=\"src/a.ts:3-9\">\nlet x;\n</file>", "src/a.ts", true, None),
            (
                "Called the Read tool with the following input: {\"filePath\":\"/a.ts\"}\n<file>\nlet x;\n</file>",
                "/a.ts",
                false,
                None,
            ),
            (
                "Here are some READ ONLY files, provided for your reference.\n\na.ts\n<source>\nlet x;\n</source>\n",
                "a.ts",
                false,
                None,
            ),
        ] {
            let files = files(text, None);
            assert_eq!(files.len(), 1, "{text}");
            let piece = &files[0].piece;
            assert_eq!(&text[piece.span.range()], "let x;\n", "{text}");
            assert_eq!((piece.path.as_deref(), piece.ranged, piece.veto), (Some(path), ranged, veto), "{text}");
        }
        let announced =
            files("<attachment filepath=\"/a.ts\" buffer_number=\"3\">This is:\n````ts\nx\n````</attachment>", None);
        assert!(!announced[0].piece.bare);
        assert_eq!(files("<file>\nlet x;\n</file>", Some("b.ts"))[0].piece.path.as_deref(), Some("b.ts"));
        for other in [
            "<file>\nlet x;\n</file>",
            "<source>\nx\n</source>",
            "<file path=\"a.ts\">x</file>",
            "<content>\nx\n</content>",
            "a.ts\n<source>\nx\n</source>\nHere are some READ ONLY files",
        ] {
            assert_eq!(files(other, None), [], "{other}");
        }
    }
}

//! Which files stand between tags in a text (rule R7).

use super::envelope::Piece;
use super::heading::{Heading, is_path};
use super::tag;
use crate::text::Span;

/// A file between tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// From the opening tag's first byte to the closing one's last.
    pub outer: Span,
    /// What is between them.
    pub piece: Piece,
}

/// Tags around a file.
const FILES: [&str; 6] = ["file_content", "file", "attachment", "code_selection", "document", "content"];
/// Their attributes that name the file.
const PATHS: [&str; 5] = ["path", "filePath", "filepath", "name", "source"];
/// What aider puts files into when a fence would not do, below headers of its own.
const FENCES: [&str; 5] = ["source", "code", "pre", "codeblock", "sourcecode"];
const FENCED_BELOW: [&str; 2] = ["I have *added these files to the chat*", "Here are some READ ONLY files"];

/// The files between tags in `text`, in order, apart from each other. `path` is that of the read which the text is the
/// result of: a file in it without a name is that one.
pub fn files(text: &str, path: Option<&str>) -> Vec<Tagged> {
    let mut found: Vec<Tagged> = Vec::new();
    if text.contains('<') {
        for name in FILES {
            found.extend(tag::elements(text, name).into_iter().filter_map(|element| file(text, name, element, path)));
        }
        if FENCED_BELOW.iter().any(|header| text.contains(header)) {
            for name in FENCES {
                found.extend(tag::elements(text, name).into_iter().filter_map(|element| fenced(text, element)));
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

fn file(text: &str, name: &str, element: tag::Element, known: Option<&str>) -> Option<Tagged> {
    let opening = &text[element.outer.start..element.body.start];
    let attribute = |key: &str| {
        let (_, rest) = opening.split_once(&format!(" {key}=\""))?;
        rest.split('"').next()
    };
    let mut body = element.body;
    let mut path = PATHS.iter().find_map(|key| attribute(key)).filter(|path| is_path(path)).map(str::to_owned);
    if name == "document" {
        // The path and the text have tags of their own.
        let inner = &text[body.range()];
        let source = tag::elements(inner, "source").into_iter().next()?;
        let content = tag::elements(inner, "document_content").into_iter().next()?;
        path = Some(inner[source.body.range()].trim().to_owned());
        body = Span { start: body.start + content.body.start, end: body.start + content.body.end };
    }
    if name == "content" {
        // The tags before it, which stand side by side with it.
        let before = text[..element.outer.start].trim_end();
        let from = before.rfind("<path>").filter(|from| before.len() - from < MAX_HEADER)?;
        path = before[from..].strip_prefix("<path>").and_then(|rest| rest.split("</path>").next()).map(str::to_owned);
    }
    if name == "file" && path.is_none() {
        path = known.map(str::to_owned).or_else(|| asked_for(&text[..element.outer.start]));
    }
    let path = path.filter(|path| is_path(path))?;
    let ranged = attribute("lines").is_some_and(|lines| !lines.starts_with("1-") || name == "code_selection");
    let veto = (attribute("isSummarized") == Some("true")).then_some("summarized");
    let piece = Piece { span: whole_lines(text, body)?, path: Some(path), ranged, bare: true, veto };
    Some(Tagged { outer: element.outer, piece })
}

/// So far before a content its path may stand, in bytes.
const MAX_HEADER: usize = 2000;

/// The path in what a client says it called: `… {"filePath":"/a.ts"}`.
fn asked_for(before: &str) -> Option<String> {
    let line = before.trim_end().lines().next_back()?;
    let (_, rest) = line.split_once("\"filePath\":\"").or_else(|| line.split_once("\"file_path\":\""))?;
    rest.split('"').next().map(str::to_owned)
}

/// A file between tags that stand for a fence: alone on their lines, the path on the line above.
fn fenced(text: &str, element: tag::Element) -> Option<Tagged> {
    let before = text[..element.outer.start].strip_suffix('\n')?;
    let heading = Heading::of_line(before.lines().next_back()?)?;
    let span = whole_lines(text, element.body)?;
    Some(Tagged { outer: element.outer, piece: Piece { span, path: heading.path, bare: true, ..Piece::default() } })
}

/// The whole lines of `body`, which begins after a tag and ends before one. `None` if the tags are not on lines of their
/// own.
fn whole_lines(text: &str, body: Span) -> Option<Span> {
    let inner = &text[body.range()];
    let start = inner.strip_prefix("\r\n").or_else(|| inner.strip_prefix('\n')).map(|rest| body.end - rest.len())?;
    let end = body.start + inner.rfind('\n')? + 1;
    let closes_alone = text[end..body.end].trim().is_empty();
    (closes_alone && start < end).then_some(Span { start, end })
}

#[cfg(test)]
mod tests {
    use super::*;

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
                Some("summarized"),
            ),
            ("<code_selection path=\"a.ts\" lines=\"1-5\">\nlet x;\n</code_selection>", "a.ts", true, None),
            (
                "<document index=\"1\">\n<source>a.ts</source>\n<document_content>\nlet x;\n</document_content>\n</document>",
                "a.ts",
                false,
                None,
            ),
            ("<path>/a.ts</path>\n<type>file</type>\n<content>\nlet x;\n</content>", "/a.ts", false, None),
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
        assert_eq!(files("<file>\nlet x;\n</file>", Some("b.ts"))[0].piece.path.as_deref(), Some("b.ts"));
        for other in [
            "<file>\nlet x;\n</file>",
            "<source>\nx\n</source>",
            "<file path=\"a.ts\">x</file>",
            "<content>\nx\n</content>",
        ] {
            assert_eq!(files(other, None), [], "{other}");
        }
    }
}

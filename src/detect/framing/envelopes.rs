//! Removes what tools and clients put above a file's text: titles, status lines, names of files.

use super::footers;
use super::headings::{self, Heading};
use super::piece::Piece;
use crate::base::reason::Reason;
use crate::base::text::Span;

/// Envelopes in envelopes are opened up to this depth.
const MAX_DEPTH: usize = 3;

/// Removes envelopes and footers from `piece`: one piece for each file in it, none if it shows no file.
pub fn peel(text: &str, piece: Piece) -> Vec<Piece> {
    let mut pieces = vec![piece];
    for _ in 0..MAX_DEPTH {
        let before = pieces.clone();
        pieces = pieces.into_iter().flat_map(|piece| open(text, piece)).collect();
        if pieces == before {
            break;
        }
    }
    pieces.into_iter().map(|piece| footers::without(text, piece)).filter(|piece| !piece.span.is_empty()).collect()
}

/// Whether `text` begins like a tool's result that a client sends as a user message.
pub fn is_result(text: &str) -> bool {
    let first = text.trim_start().lines().next().unwrap_or_default().trim_end();
    first == "OBSERVATION:" || first.starts_with("EXECUTION RESULT of [") || titled(first).is_some()
}

/// The file that the text after `line` shows, by `line` itself: `[read_file for 'src/a.ts'] Result:`.
pub fn titles(line: &str) -> Option<&str> {
    titled(line.trim()).filter(|(tool, _)| shows_files(tool)).and_then(|(_, path)| path)
}

/// Opens one envelope.
fn open(text: &str, mut piece: Piece) -> Vec<Piece> {
    let body = &text[piece.span.range()];
    let start = piece.span.start + (body.len() - body.trim_start_matches(['\n', '\r']).len());
    let body = &text[start..piece.span.end];
    let first = body.lines().next().unwrap_or_default().trim_end();
    let second = body.lines().nth(1).unwrap_or_default();
    let after_first = start + body.find('\n').map_or(body.len(), |end| end + 1);

    if let Some((tool, path)) = titled(first) {
        if !shows_files(tool) {
            return Vec::new();
        }
        piece.bare |= path.is_some();
        piece.path = path.map(str::to_owned).or(piece.path);
        piece.span.start = after_first;
    } else if first == "OBSERVATION:" || (first.starts_with("EXECUTION RESULT of [") && first.ends_with("]:")) {
        piece.span.start = after_first;
    } else if let Some(path) = first.strip_prefix("Here's the result of running `cat -n` on ") {
        // `/w/a.py:` or `/w/a.py with view_range [3, 9]:`
        let (path, rest) = path.split_once(" with ").unwrap_or((path, ""));
        piece.ranged |= !rest.is_empty();
        piece = named(piece, path.trim_end_matches(':'), after_first);
    } else if let Some((path, _)) = first.strip_prefix("[File: ").and_then(|rest| rest.rsplit_once(" (")) {
        piece = named(piece, path, after_first);
    } else if footers::is_window(first) {
        piece.ranged = true;
        piece.span.start = after_first;
    } else if let Some(header) = Header::read(body) {
        piece.veto = piece.veto.or(header.failed.then_some(Reason::Report));
        piece.ranged |= header.cut;
        piece.span.start = start + header.len;
    } else if first.starts_with("Command: ") && second.starts_with("Directory: ") {
        // The output begins and ends within lines of the envelope.
        return Vec::new();
    } else if let Some(shown) = first.strip_prefix("Showing lines ") {
        // `1-2000 of 2400 total lines.`
        piece.ranged |= !footers::is_all(shown);
        let rule = text[after_first..piece.span.end].find("---\n").filter(|at| *at <= 2);
        piece.span.start = after_first + rule.map_or(0, |at| at + "---\n".len());
    } else if first.starts_with("[File content truncated") || first.starts_with("IMPORTANT: File content truncated") {
        piece.ranged = true;
        piece.span.start = after_first;
    } else if let Some((path, shown)) = first.strip_prefix("File: `").and_then(|rest| rest.split_once("`. Lines ")) {
        piece.ranged |= !footers::is_all(shown);
        piece = named(piece, path, after_first);
    } else if let Some((path, shown)) =
        first.strip_prefix("Read file `").and_then(|rest| rest.split_once("` from line "))
    {
        piece.ranged |= !matches!(footers::numbers(shown)[..], [0 | 1, _]);
        piece = Piece { bare: piece.bare, ..named(piece, path, after_first) };
    } else if is_file_line(first) {
        return files(text, start, &piece);
    } else if let Some(heading) = Heading::of_line(first).filter(|_| headings::announces(first)) {
        // `Content of src/a.ts:`
        piece.ranged |= heading.first_line.is_some();
        piece = named(piece, heading.path.as_deref().unwrap_or_default(), after_first);
    }
    piece.span.start = piece.span.start.min(piece.span.end);
    vec![piece]
}

/// The piece from `start` on, as text of the file at `path`.
fn named(piece: Piece, path: &str, start: usize) -> Piece {
    Piece { path: Some(path.to_owned()), bare: true, span: Span { start, ..piece.span }, ..piece }
}

/// `[read_file for 'src/a.ts'] Result:`: the tool and the path, if it is one.
fn titled(line: &str) -> Option<(&str, Option<&str>)> {
    let title = line.strip_prefix('[')?.strip_suffix("] Result:")?;
    let tool = title.split_whitespace().next()?;
    let path = title.split_once('\'').and_then(|(_, rest)| rest.rsplit_once('\'')).map(|(path, _)| path);
    Some((tool, path.filter(|path| !path.contains('\''))))
}

fn shows_files(tool: &str) -> bool {
    tool.contains("read") || tool.contains("view") || tool == "tool"
}

/// The lines of a shell tool above a command's output.
struct Header {
    /// Bytes up to the output.
    len: usize,
    failed: bool,
    /// Whether the output is incomplete.
    cut: bool,
}

impl Header {
    fn read(body: &str) -> Option<Self> {
        const MAX_LINES: usize = 10;
        const FIRST: [&str; 6] =
            ["Exit code: ", "Chunk ID: ", "Wall time: ", "Script ", "Command executed", CUT_HEADERS[0]];
        /// These may also stand between `Output:` and the output.
        const CUT_HEADERS: [&str; 2] = ["Total output lines: ", "Warning: truncated output"];
        if !FIRST.iter().any(|start| body.starts_with(start)) {
            return None;
        }
        let mut header = Self { len: 0, failed: false, cut: false };
        let mut is_over = false;
        for line in body.split_inclusive('\n').take(MAX_LINES) {
            let text = line.trim_end();
            let is_cut = CUT_HEADERS.iter().any(|start| text.starts_with(start));
            if is_over && !is_cut && !(header.cut && text.is_empty()) {
                break;
            }
            header.len += line.len();
            let code = text.strip_prefix("Exit code: ").or_else(|| text.strip_prefix("Process exited with code "));
            header.failed |= code.is_some_and(|code| code != "0") || text == "Script failed";
            header.cut |= is_cut || text.starts_with("Process running");
            is_over |= text == "Output:" || (is_cut && header.len == line.len());
        }
        is_over.then_some(header)
    }
}

/// `File: src/a.ts`, and nothing else.
fn is_file_line(line: &str) -> bool {
    line.starts_with("File: ") && Heading::of_line(line).is_some_and(|heading| heading.path.is_some())
}

/// The files of a text with `File: path` above each and a line `---` between them.
fn files(text: &str, start: usize, whole: &Piece) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut at = start;
    let mut before = "---";
    for line in text[start..whole.span.end].split_inclusive('\n') {
        let bare = line.trim_end();
        let heading = Some(bare).filter(|bare| before == "---" && is_file_line(bare)).and_then(Heading::of_line);
        if let Some(Heading { path, first_line, .. }) = heading {
            let span = Span { start: at + line.len(), end: at + line.len() };
            let ranged = whole.ranged || first_line.is_some();
            pieces.push(Piece { span, path, bare: true, ranged, veto: whole.veto });
        } else if let Some(piece) = pieces.last_mut() {
            piece.span.end = at + line.len();
            // `Lines 3-9:` below the path.
            piece.ranged |= before.starts_with("File: ") && bare.starts_with("Lines ");
        }
        before = if bare.is_empty() { before } else { bare };
        at += line.len();
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "import os\n\ndef f():\n    return 1\n";

    fn peeled(text: &str) -> Vec<(String, Option<String>, bool, Option<Reason>)> {
        let piece = Piece {
            span: Span { start: 0, end: text.len() },
            path: Some("known.py".into()),
            bare: true,
            ..Piece::default()
        };
        let pieces = peel(text, piece).into_iter();
        pieces.map(|piece| (text[piece.span.range()].to_owned(), piece.path, piece.ranged, piece.veto)).collect()
    }

    #[test]
    fn envelopes_are_opened() {
        for (text, path, ranged, veto) in [
            (
                format!(
                    "[read_file for 'src/a.py'] Result:\n{CODE}\n(File has 4 lines total.)\n\n<environment_details>\nx\n</environment_details>"
                ),
                "src/a.py",
                false,
                None,
            ),
            (format!("Exit code: 0\nWall time: 0.1 seconds\nOutput:\n{CODE}"), "known.py", false, None),
            (format!("Exit code: 1\nWall time: 0.1 seconds\nOutput:\n{CODE}"), "known.py", false, Some(Reason::Report)),
            (
                format!(
                    "Chunk ID: a1\nWall time: 0.1 seconds\nProcess exited with code 0\nOriginal token count: 9\nOutput:\n{CODE}"
                ),
                "known.py",
                false,
                None,
            ),
            (format!("Exit code: 0\nWall time: 1\nTotal output lines: 900\nOutput:\n{CODE}"), "known.py", true, None),
            (
                format!(
                    "Chunk ID: a1\nProcess exited with code 0\nOutput:\nWarning: truncated output (original token count: 9)\nTotal output lines: 900\n\n{CODE}"
                ),
                "known.py",
                true,
                None,
            ),
            (format!("Script failed\nWall time 0.1 seconds\nOutput:\n{CODE}"), "known.py", false, Some(Reason::Report)),
            (format!("Total output lines: 900\n\n{CODE}"), "known.py", true, None),
            (format!("Command executed.\nOutput:\n{CODE}"), "known.py", false, None),
            (format!("Content of src/a.py:\n{CODE}"), "src/a.py", false, None),
            (format!("Contents of src/a.py (lines 3-9):\n{CODE}"), "src/a.py", true, None),
            (format!("[File content truncated: showing lines 1-9 of 90 total lines.]\n{CODE}"), "known.py", true, None),
            (
                format!("OBSERVATION:\nHere's the result of running `cat -n` on /w/a.py:\n{CODE}"),
                "/w/a.py",
                false,
                None,
            ),
            (
                format!(
                    "EXECUTION RESULT of [file_editor]:\nHere's the result of running `cat -n` on /w/a.py:\n{CODE}"
                ),
                "/w/a.py",
                false,
                None,
            ),
            (
                format!("[File: /r/a.py (120 lines total)]\n(10 more lines above)\n{CODE}(3 more lines below)\n"),
                "/r/a.py",
                true,
                None,
            ),
            (format!("Showing lines 1-2000 of 2400 total lines.\n\n---\n\n{CODE}"), "known.py", true, None),
            (format!("File: `/a.py`. Lines 1 to 4 (4 lines total): \n{CODE}"), "/a.py", false, None),
            (format!("{CODE}\n<system-reminder>\nbe careful\n</system-reminder>\n"), "known.py", false, None),
            (CODE.to_owned(), "known.py", false, None),
        ] {
            let expected = (CODE.to_owned(), Some(path.to_owned()), ranged, veto);
            let mut seen = peeled(&text);
            seen[0].0 = seen[0].0.trim_start_matches('\n').to_owned();
            assert_eq!(seen, [expected], "{text}");
        }
    }

    #[test]
    fn several_files_are_several_pieces() {
        let text = format!("File: src/a.py\n{CODE}\n\n---\n\nFile: src/b.py\n{CODE}");
        let seen: Vec<_> = peeled(&text).into_iter().map(|(code, path, ..)| (code, path.unwrap())).collect();
        assert_eq!(seen, [(CODE.to_owned(), "src/a.py".to_owned()), (CODE.to_owned(), "src/b.py".to_owned())]);
    }

    #[test]
    fn other_results_are_nothing() {
        assert_eq!(peeled("[execute_command for 'ls'] Result:\na.py\n"), []);
        assert_eq!(peeled("(File has 0 lines total.)"), []);
        assert_eq!(peeled("Command: cat a.py\nDirectory: (root)\nOutput: import os\nError: (none)\n"), []);
        assert_eq!(titles("[read_file for 'src/a.ts'] Result:"), Some("src/a.ts"));
        assert_eq!(titles("[read_file for 'a.ts', 'b.ts'] Result:"), None);
        assert_eq!(titles("[execute_command for 'a.ts'] Result:"), None);
    }
}

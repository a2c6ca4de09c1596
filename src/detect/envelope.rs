//! What tools and clients put around a file's text (rule R5): lines above it that say what it is, and footers below.

use super::heading::Heading;
use super::tag;
use crate::text::Span;

/// A part of a text, and what is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    /// Whole lines of the text.
    pub span: Span,
    /// The file it shows.
    pub path: Option<String>,
    /// Whether it is said to be a part of that file.
    pub ranged: bool,
    /// Whether all of it is that file's text, unless it has a form of its own.
    pub bare: bool,
    /// Why it has to stay as it is.
    pub veto: Option<&'static str>,
}

/// Envelopes in envelopes are opened this deep.
const MAX_DEPTH: usize = 3;

/// Takes what is around the text of `piece` away: one piece for each file in it, none if it is no file's text.
pub fn peel(text: &str, piece: Piece) -> Vec<Piece> {
    let mut pieces = vec![piece];
    for _ in 0..MAX_DEPTH {
        let before = pieces.clone();
        pieces = pieces.into_iter().flat_map(|piece| open(text, piece)).collect();
        if pieces == before {
            break;
        }
    }
    pieces.into_iter().map(|piece| without_footers(text, piece)).filter(|piece| !piece.span.is_empty()).collect()
}

/// Whether `text` begins as a tool's result does that a client sends in the user's name.
pub fn is_result(text: &str) -> bool {
    let first = text.trim_start().lines().next().unwrap_or_default().trim_end();
    first == "OBSERVATION:" || first.starts_with("EXECUTION RESULT of [") || titled(first).is_some()
}

/// Opens one envelope.
fn open(text: &str, mut piece: Piece) -> Vec<Piece> {
    let body = &text[piece.span.range()];
    let start = piece.span.start + (body.len() - body.trim_start_matches(['\n', '\r']).len());
    let body = &text[start..piece.span.end];
    let first = body.lines().next().unwrap_or_default().trim_end();
    let after_first = start + body.find('\n').map_or(body.len(), |end| end + 1);
    let skip_to = |piece: &mut Piece, to: usize| piece.span.start = to.min(piece.span.end);

    if let Some((tool, path)) = titled(first) {
        if !tool.contains("read") && !tool.contains("view") && tool != "tool" {
            return Vec::new();
        }
        piece.path = path.map(str::to_owned).or(piece.path);
        piece.bare = piece.path.is_some();
        skip_to(&mut piece, after_first);
    } else if first == "OBSERVATION:" || (first.starts_with("EXECUTION RESULT of [") && first.ends_with("]:")) {
        skip_to(&mut piece, after_first);
    } else if let Some(path) = first.strip_prefix("Here's the result of running `cat -n` on ") {
        piece.path = Some(path.trim_end_matches(':').to_owned());
        piece.bare = true;
        skip_to(&mut piece, after_first);
    } else if let Some((path, _)) = first.strip_prefix("[File: ").and_then(|rest| rest.rsplit_once(" (")) {
        piece.path = Some(path.to_owned());
        piece.bare = true;
        skip_to(&mut piece, after_first);
    } else if is_window(first) {
        piece.ranged = true;
        skip_to(&mut piece, after_first);
    } else if let Some(header) = Header::read(body) {
        piece.veto = piece.veto.or(header.failed.then_some("report"));
        piece.ranged |= header.cut;
        skip_to(&mut piece, start + header.len);
    } else if let Some(shown) = first.strip_prefix("Showing lines ") {
        // `1-2000 of 2400 total lines.`
        let numbers: Vec<usize> = numbers(shown);
        piece.ranged |= !matches!(numbers[..], [1, last, all, ..] if last >= all);
        let rule = text[after_first..piece.span.end].find("---\n").filter(|at| *at <= 2);
        skip_to(&mut piece, after_first + rule.map_or(0, |at| at + "---\n".len()));
    } else if let Some((path, shown)) = first.strip_prefix("File: `").and_then(|rest| rest.split_once("`. Lines ")) {
        let numbers = numbers(shown);
        piece.ranged |= !matches!(numbers[..], [1, last, all, ..] if last >= all);
        piece.path = Some(path.to_owned());
        piece.bare = true;
        skip_to(&mut piece, after_first);
    } else if let Some((path, shown)) =
        first.strip_prefix("Read file `").and_then(|rest| rest.split_once("` from line "))
    {
        piece.ranged |= !matches!(numbers(shown)[..], [0 | 1, _]);
        piece.path = Some(path.to_owned());
        skip_to(&mut piece, after_first);
    } else if is_file_line(first) {
        return files(text, start, &piece);
    }
    vec![piece]
}

/// `[read_file for 'src/a.ts'] Result:`: the tool and the path.
fn titled(line: &str) -> Option<(&str, Option<&str>)> {
    let title = line.strip_prefix('[')?.strip_suffix("] Result:")?;
    let tool = title.split_whitespace().next()?;
    let path = title.split_once('\'').and_then(|(_, rest)| rest.rsplit_once('\'')).map(|(path, _)| path);
    Some((tool, path))
}

/// `(10 more lines above)`
fn is_window(line: &str) -> bool {
    line.starts_with('(') && (line.ends_with(" more lines above)") || line.ends_with(" more lines below)"))
}

/// What a shell tool says above a command's output.
struct Header {
    /// Bytes up to the output.
    len: usize,
    failed: bool,
    /// Whether the output is not whole.
    cut: bool,
}

impl Header {
    fn read(body: &str) -> Option<Self> {
        const MAX_LINES: usize = 8;
        const FIRST: [&str; 4] = ["Exit code: ", "Chunk ID: ", "Wall time: ", "Script "];
        if !FIRST.iter().any(|start| body.starts_with(start)) {
            return None;
        }
        let mut header = Self { len: 0, failed: false, cut: false };
        for line in body.split_inclusive('\n').take(MAX_LINES) {
            header.len += line.len();
            let line = line.trim_end();
            let code = line.strip_prefix("Exit code: ").or_else(|| line.strip_prefix("Process exited with code "));
            header.failed |= code.is_some_and(|code| code != "0") || line == "Script failed";
            header.cut |= line.starts_with("Total output lines: ") || line.starts_with("Process running");
            if line == "Output:" {
                return Some(header);
            }
        }
        None
    }
}

/// The numbers in a text, at most three.
fn numbers(text: &str) -> Vec<usize> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).take(3).collect()
}

/// `File: src/a.ts`, and nothing else.
fn is_file_line(line: &str) -> bool {
    line.starts_with("File: ") && Heading::of_line(line).is_some_and(|heading| heading.path.is_some())
}

/// The files of a text in which `File: path` stands above each and a rule between them.
fn files(text: &str, start: usize, whole: &Piece) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut at = start;
    for line in text[start..whole.span.end].split_inclusive('\n') {
        let bare = line.trim_end();
        if is_file_line(bare) {
            let path = Heading::of_line(bare).and_then(|heading| heading.path);
            let first_line = Heading::of_line(bare).and_then(|heading| heading.first_line);
            let span = Span { start: at + line.len(), end: at + line.len() };
            pieces.push(Piece { span, path, bare: true, ranged: first_line.is_some(), veto: whole.veto });
        } else if let Some(piece) = pieces.last_mut() {
            piece.span.end = at + line.len();
        }
        at += line.len();
    }
    pieces
}

/// Leaves out what stands below a file's text.
fn without_footers(text: &str, mut piece: Piece) -> Piece {
    let cut_marks = ["tokens truncated…", "[output truncated", "... [truncated"];
    piece.ranged |= cut_marks.iter().any(|mark| text[piece.span.range()].contains(mark));
    if !piece.bare {
        return piece;
    }
    loop {
        let body = &text[piece.span.range()];
        let kept = body.trim_end_matches(['\n', '\r']);
        let last_start = kept.rfind('\n').map_or(0, |at| at + 1);
        let last = kept[last_start..].trim_end();
        let tags = ["environment_details", "system-reminder", "system_reminder", "file_diagnostics"];
        let closed = tags.iter().find(|tag| last.ends_with(&format!("</{tag}>")));
        if let Some(name) = closed {
            let Some(element) = tag::elements(body, name).pop() else { return piece };
            piece.span.end = piece.span.start + line_start(body, element.outer.start);
        } else if is_footer(last) {
            piece.ranged |= is_window(last) || last.starts_with("(Showing lines ");
            piece.span.end = piece.span.start + last_start;
        } else {
            // A blank line between the text and what follows it is not the file's.
            let blank = body.len() - kept.len() > line_break_len(&body[kept.len()..]);
            if blank && piece.span.end < text.len() {
                piece.span.end = piece.span.start + kept.len() + line_break_len(&body[kept.len()..]);
            }
            return piece;
        }
        if piece.span.is_empty() {
            return piece;
        }
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

fn line_break_len(text: &str) -> usize {
    if text.starts_with("\r\n") { 2 } else { usize::from(text.starts_with('\n')) }
}

fn is_footer(line: &str) -> bool {
    let starts = [
        "(File has ",
        "(End of file",
        "(Open file: ",
        "(Current directory: ",
        "(Output capped",
        "(Use 'offset'",
        "(Showing lines ",
    ];
    starts.iter().any(|start| line.starts_with(start)) || is_window(line) || line == "bash-$" || line == "---"
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "import os\n\ndef f():\n    return 1\n";

    fn peeled(text: &str) -> Vec<(String, Option<String>, bool, Option<&'static str>)> {
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
            (format!("Exit code: 1\nWall time: 0.1 seconds\nOutput:\n{CODE}"), "known.py", false, Some("report")),
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
    }
}

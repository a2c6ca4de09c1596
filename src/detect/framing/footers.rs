//! Removes what tools and clients put below a file's text, and finds out whether they cut it.

use super::piece::Piece;
use crate::base::reason::Reason;

/// Removes the footers of a piece.
pub fn without(text: &str, mut piece: Piece) -> Piece {
    piece.ranged |= is_cut(&text[piece.span.range()]);
    while piece.bare && !piece.span.is_empty() {
        let body = &text[piece.span.range()];
        let kept = body.trim_end_matches(['\n', '\r']);
        let last_start = kept.rfind('\n').map_or(0, |at| at + 1);
        let last = kept[last_start..].trim_end();
        let opening = closed(last).map(|name| body.rfind(&format!("<{name}")));
        let end = match opening {
            Some(Some(from)) => body[..from].rfind('\n').map_or(0, |end| end + 1),
            None if is_footer(last) => {
                let says_code = last.trim_end_matches(['.', ']']).rsplit_once("with exit code ");
                piece.veto = piece.veto.or(says_code.filter(|(_, code)| *code != "0").map(|_| Reason::Report));
                last_start
            }
            _ => {
                // A blank line between the text and what follows it is not the file's.
                let rest = &body[kept.len()..];
                let line_break = if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
                if piece.span.end < text.len() {
                    piece.span.end = piece.span.start + kept.len() + line_break;
                }
                break;
            }
        };
        piece.span.end = piece.span.start + end;
    }
    piece
}

/// `(10 more lines above)`
pub fn is_window(line: &str) -> bool {
    line.starts_with('(') && (line.ends_with(" more lines above)") || line.ends_with(" more lines below)"))
}

/// Whether a range such as `1-42 of 42` is the whole.
pub fn is_all(shown: &str) -> bool {
    matches!(numbers(shown)[..], [0 | 1, last, all, ..] if last >= all)
}

/// The numbers in a line, at most three.
pub fn numbers(line: &str) -> Vec<usize> {
    line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).take(3).collect()
}

/// The name of the closing tag at the end of a line, if it is one that clients append.
fn closed(line: &str) -> Option<&'static str> {
    const TAGS: [&str; 5] =
        ["environment_details", "system-reminder", "system_reminder", "file_diagnostics", "automatically_added"];
    let name = line.strip_suffix('>')?.rsplit("</").next()?;
    TAGS.into_iter().find(|tag| *tag == name)
}

fn is_footer(line: &str) -> bool {
    const STARTS: [&str; 13] = [
        "(File has ", "(End of file", "(Open file: ", "(Current directory: ", "(Output capped", "(Output truncated",
        "(Showing lines ", "(Use 'offset'", "[The command completed with exit code ",
        "[Command finished with exit code ", "[Current working directory: ", "[Python interpreter: ",
        "--- End of content ---",
    ];
    STARTS.iter().any(|start| line.starts_with(start)) || is_window(line) || line == "bash-$" || line == "---"
}

/// Whether a note in the text says that a part of it was left out.
fn is_cut(text: &str) -> bool {
    const LAST_LINES: usize = 6;
    const MARKS: [&str; 12] = [
        " tokens truncated…", " chars truncated…", " lines truncated…", "[output truncated", "[Output truncated",
        "... [truncated", "[... omitted ", " lines omitted ...", " lines omitted]", "<response clipped>",
        "<elided_chars>", "[... Observation truncated",
    ];
    let is_part = |line: &str| {
        let shown = line.strip_prefix("(Showing lines ");
        shown.is_some_and(|shown| !is_all(shown))
            || ["(File has more lines", "(Output capped", "(Output truncated"].iter().any(|s| line.starts_with(s))
            || is_window(line)
    };
    text.lines().rev().take(LAST_LINES).any(is_part) || MARKS.iter().any(|mark| text.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::text::Span;

    const CODE: &str = "let x;\n\nlet y;\n";

    fn below(footer: &str) -> (String, bool, Option<Reason>) {
        let text = format!("{CODE}{footer}");
        let span = Span { start: 0, end: text.len() };
        let piece = without(&text, Piece { span, bare: true, ..Piece::default() });
        (text[piece.span.range()].to_owned(), piece.ranged, piece.veto)
    }

    #[test]
    fn footers_are_no_code() {
        for (footer, ranged, veto) in [
            ("", false, None),
            ("\n(File has 3 lines total.)", false, None),
            ("\n(End of file - total 3 lines)\n", false, None),
            ("\n(File has more lines. Use 'offset' parameter to read beyond line 3)\n", true, None),
            ("\n(Showing lines 1-3 of 90. Use offset=4 to continue.)\n", true, None),
            ("\n(Showing lines 1-3 of 3)\n", false, None),
            ("\n(Output capped at 50 KB. Showing lines 1-3. Use offset=4 to continue.)\n", true, None),
            ("(87 more lines below)\n", true, None),
            (
                "\n<system-reminder>\nbe careful\n</system-reminder>\n<system-reminder>\nx</system-reminder>",
                false,
                None,
            ),
            ("[The command completed with exit code 0.]\n[Current working directory: /w]\n", false, None),
            (
                "[The command completed with exit code 1.]\n[Command finished with exit code 1]",
                false,
                Some(Reason::Report),
            ),
            ("--- End of content ---", false, None),
        ] {
            assert_eq!(below(footer), (CODE.to_owned(), ranged, veto), "{footer}");
        }
        assert!(below("x…7018 chars truncated…y\n").1);
        assert!(!below("// 9 lines truncated\n").1);
        // Not closed here, so not known to be the client's.
        assert_eq!(below("</system-reminder>\n").0, format!("{CODE}</system-reminder>\n"));
    }
}

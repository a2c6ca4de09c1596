//! Writes changed texts back into a body: replaces only the edited bytes of their string literals.

use super::error::WireError;
use crate::base::text::Span;

/// A change of a decoded text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextEdit {
    /// The bytes of the decoded text to replace.
    pub span: Span,
    /// The decoded text to put there.
    pub replacement: String,
}

/// Returns `body` with some of its texts edited: each item is the path to a text ([`Slot::literals`](super::Slot)) and
/// the text's edits, in order. Items come in any order, and several may lead through the same literals. Every byte
/// outside the edited spans is the body's own, at every level: kept text keeps its escapes. Takes time linear in the
/// body, but for the sorting of the edits.
///
/// # Errors
/// A span does not hold a JSON string, an edit splits a character, or edits overlap. The body is to be forwarded as it
/// is then.
pub fn splice(body: &[u8], edits: &[(Vec<Span>, Vec<TextEdit>)]) -> Result<Vec<u8>, WireError> {
    let mut edits: Vec<_> = edits.iter().collect();
    // Sorted, neighbours share their outer literals, and each is decoded once.
    edits.sort_by(|(one, _), (other, _)| one.iter().map(bounds).cmp(other.iter().map(bounds)));
    let mut opened = Opened { body, literals: Vec::new() };
    let mut in_body = Vec::new();
    for (path, text_edits) in edits {
        opened.open(path)?;
        in_body.extend(opened.edits_of_body(text_edits)?);
    }
    in_body.sort_by_key(|edit: &TextEdit| edit.span.start);
    let mut spliced = Vec::with_capacity(body.len());
    let mut done = 0;
    for TextEdit { span, replacement } in in_body {
        if span.start < done {
            return Err(WireError::BadEdit(span));
        }
        spliced.extend_from_slice(&body[done..span.start]);
        spliced.extend_from_slice(replacement.as_bytes());
        done = span.end;
    }
    spliced.extend_from_slice(&body[done..]);
    Ok(spliced)
}

fn bounds(span: &Span) -> (usize, usize) {
    (span.start, span.end)
}

/// The literals on the path to the text that is edited, the outermost first.
struct Opened<'b> {
    body: &'b [u8],
    literals: Vec<(Span, Literal)>,
}

impl Opened<'_> {
    /// Opens the literals of `path`, except those that are open already.
    fn open(&mut self, path: &[Span]) -> Result<(), WireError> {
        let shared = self.literals.iter().zip(path).take_while(|((open, _), next)| open == *next).count();
        self.literals.truncate(shared);
        for &span in &path[shared..] {
            let around = self.literals.last().map_or(self.body, |(_, literal)| literal.text().as_bytes());
            let literal = around.get(span.start..span.end).and_then(Literal::new).ok_or(WireError::NotAString(span))?;
            self.literals.push((span, literal));
        }
        Ok(())
    }

    /// Translates edits of the innermost text to edits of the body.
    fn edits_of_body(&self, edits: &[TextEdit]) -> Result<Vec<TextEdit>, WireError> {
        let mut done = 0;
        let innermost = self.literals.last().map_or("", |(_, literal)| literal.text());
        for TextEdit { span, .. } in edits {
            if span.start < done || innermost.get(span.start..span.end).is_none() {
                return Err(WireError::BadEdit(*span));
            }
            done = span.end;
        }
        let outwards = |edit: &TextEdit| {
            self.literals.iter().rev().try_fold(edit.clone(), |edit, (around, literal)| {
                let raw = |offset| around.start + literal.raw_offset(offset);
                let span = Span { start: raw(edit.span.start), end: raw(edit.span.end) };
                let fresh = serde_json::to_string(&edit.replacement)?;
                Ok(TextEdit { span, replacement: fresh[1..fresh.len() - 1].to_owned() })
            })
        };
        edits.iter().map(outwards).collect()
    }
}

/// A JSON string literal's text, and the map from its bytes to the literal's.
#[derive(Debug, Clone)]
pub(super) struct Literal {
    text: String,
    /// The escapes, in order. Between them text and literal have the same bytes.
    escapes: Vec<Escape>,
}

/// The bytes of an escape.
#[derive(Debug, Clone, Copy)]
struct Escape {
    raw_end: usize,
    text_start: usize,
    text_end: usize,
}

impl Literal {
    /// Decodes a literal, quotes included. `None` if it is not a JSON string or holds a lone surrogate.
    pub(super) fn new(raw: &[u8]) -> Option<Self> {
        let raw = std::str::from_utf8(raw).ok()?;
        let text: String = serde_json::from_str(raw).ok().filter(|_| raw.starts_with('"') && raw.ends_with('"'))?;
        // serde_json has checked the grammar; this only measures the escapes.
        let mut escapes = Vec::new();
        let (mut raw_at, mut text_at) = (1, 0);
        while let Some(plain) = raw[raw_at..].find('\\') {
            let start = raw_at + plain;
            let text_start = text_at + plain;
            let character = text[text_start..].chars().next()?;
            let raw_len = match (raw.as_bytes()[start + 1], character.len_utf8()) {
                (b'u', 4) => r"\ud83d\ude00".len(),
                (b'u', _) => r"\u0000".len(),
                _ => r"\n".len(),
            };
            raw_at = start + raw_len;
            text_at = text_start + character.len_utf8();
            escapes.push(Escape { raw_end: raw_at, text_start, text_end: text_at });
        }
        Some(Self { text, escapes })
    }

    /// The decoded text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The byte of the literal at which byte `offset` of the text begins. `offset` is a character boundary.
    fn raw_offset(&self, offset: usize) -> usize {
        let before = self.escapes.partition_point(|escape| escape.text_start < offset);
        match before.checked_sub(1) {
            Some(last) => self.escapes[last].raw_end + (offset - self.escapes[last].text_end),
            None => 1 + offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn edit(start: usize, end: usize, replacement: &str) -> TextEdit {
        TextEdit { span: Span { start, end }, replacement: replacement.to_owned() }
    }

    fn spliced(body: &str, edits: &[(Vec<Span>, Vec<TextEdit>)]) -> Result<String, WireError> {
        splice(body.as_bytes(), edits).map(|spliced| String::from_utf8(spliced).unwrap())
    }

    /// Where `part` stands in `whole`.
    fn place(whole: &str, part: &str) -> Span {
        let start = whole.find(part).unwrap();
        Span { start, end: start + part.len() }
    }

    #[test]
    fn untouched_escapes_stay_as_they_were() {
        let literal = r#""x\u003cy\/z\ud83d\ude00é\n\u00e9!""#;
        let body = format!(r#"{{"a": 1.0, "t":{literal} }}"#);
        // Text: x < y / z 😀 é ⏎ é !
        let edits = [(vec![place(&body, literal)], vec![edit(2, 3, "\"\t")])];
        assert_eq!(spliced(&body, &edits).unwrap(), r#"{"a": 1.0, "t":"x\u003c\"\t\/z\ud83d\ude00é\n\u00e9!" }"#);
    }

    #[test]
    fn texts_that_share_a_literal_are_edited_in_any_order() {
        let body = r#"[ "{\"a\": \u0022one\\nline\", \"b\":\"\\u0074wo\"}" ]"#;
        let outer = place(body, &body[2..body.len() - 2]);
        let text: String = serde_json::from_str(&body[outer.range()]).unwrap();
        let [one, two] = [r#""one\nline""#, r#""\u0074wo""#].map(|literal| vec![outer, place(&text, literal)]);
        let edits = [(two, vec![edit(1, 3, "\n")]), (one, vec![edit(0, 3, "1"), edit(8, 8, "\"")])];
        let expected = r#"[ "{\"a\": \u00221\\nline\\\"\", \"b\":\"\\u0074\\n\"}" ]"#;
        assert_eq!(spliced(body, &edits).unwrap(), expected);
    }

    #[test]
    fn bad_edits_are_errors() {
        let literal = Span { start: 0, end: 5 };
        let aé = |edits: Vec<TextEdit>| spliced("\"aé\"", &[(vec![literal], edits)]);
        assert!(aé(vec![edit(0, 1, "")]).is_ok());
        assert!(aé(vec![edit(0, 2, "")]).is_err(), "splits é");
        assert!(aé(vec![edit(0, 9, "")]).is_err(), "outside");
        assert!(aé(vec![edit(1, 3, ""), edit(0, 1, "")]).is_err(), "out of order");
        assert!(spliced("\"aé\"", &vec![(vec![literal], vec![edit(0, 1, "")]); 2]).is_err(), "overlap");
        assert!(spliced("\"aé\"", &[(vec![], vec![edit(0, 1, "")])]).is_err(), "no literal");
        assert!(spliced("[1]", &[(vec![Span { start: 1, end: 2 }], vec![])]).is_err(), "not a string");
        assert!(spliced("\"aé\"", &[(vec![literal, Span { start: 0, end: 1 }], vec![])]).is_err(), "no string inside");
        assert!(Literal::new(br#""\ud800""#).is_none());
        assert!(Literal::new(br#" "a""#).is_none());
    }

    /// A character in one of the ways JSON can spell it.
    fn spelling(character: char, way: u8) -> String {
        let mut units = [0; 2];
        match (way, character) {
            (0, '/') => r"\/".to_owned(),
            (0 | 1, _) => {
                let json = serde_json::to_string(&character).unwrap();
                json[1..json.len() - 1].to_owned()
            }
            _ => character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04X}")).collect(),
        }
    }

    /// `text` as a literal, each character spelled in a way that `ways` says.
    fn spell(text: &str, ways: &[u8]) -> String {
        let spelled = text.chars().zip(ways.iter().cycle()).map(|(character, way)| spelling(character, *way));
        format!("\"{}\"", spelled.collect::<String>())
    }

    fn ways() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(0..3u8, 1..40)
    }

    /// The text with `span` replaced, on character boundaries near `one` and `other`.
    fn cut(text: &str, one: prop::sample::Index, other: prop::sample::Index) -> Span {
        let bounds: Vec<usize> = text.char_indices().map(|(offset, _)| offset).chain([text.len()]).collect();
        let (one, other) = (*one.get(&bounds), *other.get(&bounds));
        Span { start: one.min(other), end: one.max(other) }
    }

    /// The texts that lie `depth` arrays and literals deep in `json`, as `wrap` puts them.
    fn unwrapped(json: &str, depth: usize) -> Vec<String> {
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        let texts: Vec<String> = serde_json::from_value(value["t"].clone()).unwrap();
        if depth == 0 { texts } else { unwrapped(&texts[0], depth - 1) }
    }

    fn wrap(literals: &[String]) -> String {
        format!("{{ \"n\": 1e2 ,\"t\": [{}]}}", literals.join(" ,"))
    }

    proptest! {
        #[test]
        fn decoding_agrees_with_serde_json(text in any::<String>(), ways in ways()) {
            let raw = spell(&text, &ways);
            let parsed = Literal::new(raw.as_bytes()).unwrap();
            prop_assert_eq!(parsed.text(), text.as_str());
            for (offset, _) in text.char_indices() {
                let head = format!("{}\"", &raw[..parsed.raw_offset(offset)]);
                prop_assert_eq!(serde_json::from_str::<String>(&head).unwrap(), &text[..offset]);
            }
        }

        #[test]
        fn only_edited_bytes_change_at_any_depth(
            texts in prop::collection::vec(("[^Ω]{0,12}", ways(), any::<[prop::sample::Index; 2]>(), ".{0,6}"), 1..4),
            around in prop::collection::vec(ways(), 0..3),
            backwards: bool,
        ) {
            let literals: Vec<String> = texts.iter().map(|(text, ways, ..)| spell(text, ways)).collect();
            let mut body = wrap(&literals);
            let mut at = body.find('[').unwrap() + 1;
            let mut edits = Vec::new();
            for ((text, _, [one, other], replacement), literal) in texts.iter().zip(&literals) {
                let span = cut(text, *one, *other);
                edits.push((vec![Span { start: at, end: at + literal.len() }], vec![edit(span.start, span.end, replacement)]));
                at += literal.len() + " ,".len();
            }
            for ways in &around {
                let literal = spell(&body, ways);
                body = wrap(std::slice::from_ref(&literal));
                let start = body.find('[').unwrap() + 1;
                edits.iter_mut().for_each(|(way, _)| way.insert(0, Span { start, end: start + literal.len() }));
            }
            let edited_texts = |edits: &[(Vec<Span>, Vec<TextEdit>)]| -> Vec<String> {
                let both = texts.iter().zip(edits).map(|((text, ..), (_, edits))| (text, &edits[0]));
                both.map(|(text, edit)| {
                    format!("{}{}{}", &text[..edit.span.start], edit.replacement, &text[edit.span.end..])
                }).collect()
            };
            let given = |mut edits: Vec<_>| { if backwards { edits.reverse() } edits };
            prop_assert_eq!(unwrapped(&spliced(&body, &given(edits.clone())).unwrap(), around.len()), edited_texts(&edits));
            // A character that looks the same at every level shows where the body's own bytes stop and go on.
            edits.iter_mut().for_each(|(_, edits)| edits[0].replacement = "Ω".to_owned());
            let marked = spliced(&body, &given(edits.clone())).unwrap();
            prop_assert_eq!(unwrapped(&marked, around.len()), edited_texts(&edits));
            let pieces: Vec<&str> = marked.split('Ω').collect();
            prop_assert!(body.starts_with(pieces[0]) && body.ends_with(pieces[pieces.len() - 1]));
            let mut rest = body.as_str();
            for piece in pieces {
                prop_assert!(rest.contains(piece), "{piece} is not the body's own");
                rest = &rest[rest.find(piece).unwrap() + piece.len()..];
            }
            prop_assert_eq!(splice(body.as_bytes(), &[]).unwrap(), body.into_bytes());
        }
    }
}

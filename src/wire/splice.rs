//! How changed texts get back into a body: only the edited bytes of their string literals are replaced.

use super::WireError;
use crate::text::Span;

/// A change of a decoded text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextEdit {
    /// What is replaced, in bytes of the decoded text.
    pub span: Span,
    /// What stands there instead, decoded.
    pub replacement: String,
}

/// Returns `body` with the texts of some slots edited: each item is a slot's literals, outermost first, and the edits of
/// its text. Slots and edits are in order and do not overlap. Every byte outside the edited spans is the body's own,
/// escapes included, at every level.
///
/// # Errors
/// A span does not hold a JSON string, or an edit overlaps the one before it or splits a character. The body is to be
/// forwarded as it is then.
pub fn splice(body: &[u8], edits: &[(Vec<Span>, Vec<TextEdit>)]) -> Result<Vec<u8>, WireError> {
    let mut spliced = Vec::with_capacity(body.len());
    let mut done = 0;
    for (literals, text_edits) in edits {
        for TextEdit { span, replacement } in lifted(body, literals, text_edits)? {
            if span.start < done {
                return Err(WireError::BadEdit(span));
            }
            spliced.extend_from_slice(&body[done..span.start]);
            spliced.extend_from_slice(replacement.as_bytes());
            done = span.end;
        }
    }
    spliced.extend_from_slice(&body[done..]);
    Ok(spliced)
}

/// Edits of the text in the innermost of `literals`, as edits of `outer`, in which the first of them stands.
fn lifted(outer: &[u8], literals: &[Span], edits: &[TextEdit]) -> Result<Vec<TextEdit>, WireError> {
    let Some((&span, inner)) = literals.split_first() else { return Ok(edits.to_vec()) };
    let raw = outer.get(span.start..span.end).ok_or(WireError::NotAString(span))?;
    let literal = Literal::new(raw).ok_or(WireError::NotAString(span))?;
    let mut edits = literal.lifted(&lifted(literal.text.as_bytes(), inner, edits)?)?;
    for edit in &mut edits {
        edit.span.start += span.start;
        edit.span.end += span.start;
    }
    Ok(edits)
}

/// A JSON string literal, its text, and which bytes of the one are which of the other.
#[derive(Debug, Clone)]
pub struct Literal {
    text: String,
    /// The escapes, in order. Between them text and literal have the same bytes.
    escapes: Vec<Escape>,
}

/// Where an escape ends, in bytes.
#[derive(Debug, Clone, Copy)]
struct Escape {
    raw_end: usize,
    text_start: usize,
    text_end: usize,
}

impl Literal {
    /// Decodes a literal, quotes included. `None` if it is not a JSON string or holds a lone surrogate.
    pub fn new(raw: &[u8]) -> Option<Self> {
        let raw = std::str::from_utf8(raw).ok()?;
        let text: String = serde_json::from_str(raw).ok().filter(|_| raw.starts_with('"') && raw.ends_with('"'))?;
        // serde_json has checked the grammar: what follows only has to measure the escapes.
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
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Edits of the text, in order and apart, as edits of the literal's bytes.
    ///
    /// # Errors
    /// An edit overlaps the one before it, splits a character or lies outside the text.
    pub fn lifted(&self, edits: &[TextEdit]) -> Result<Vec<TextEdit>, WireError> {
        let mut done = 0;
        let mut lifted = Vec::with_capacity(edits.len());
        for TextEdit { span, replacement } in edits {
            if span.start < done || self.text.get(span.start..span.end).is_none() {
                return Err(WireError::BadEdit(*span));
            }
            done = span.end;
            let fresh = serde_json::to_string(replacement)?;
            let span = Span { start: self.raw_offset(span.start), end: self.raw_offset(span.end) };
            lifted.push(TextEdit { span, replacement: fresh[1..fresh.len() - 1].to_owned() });
        }
        Ok(lifted)
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

    #[test]
    fn untouched_escapes_stay_as_they_were() {
        let body = r#"{"a": 1.0, "t":"x\u003cy\/z\ud83d\ude00é\n\u00e9!" }"#;
        let start = body.find("\"x").unwrap();
        let end = body.find(" }").unwrap();
        // Text: x < y / z 😀 é ⏎ é !
        let spliced = splice(body.as_bytes(), &[(vec![Span { start, end }], vec![edit(2, 3, "\"\t")])]).unwrap();
        assert_eq!(String::from_utf8(spliced).unwrap(), r#"{"a": 1.0, "t":"x\u003c\"\t\/z\ud83d\ude00é\n\u00e9!" }"#);
    }

    #[test]
    fn bad_edits_are_errors() {
        let literal = Literal::new("\"aé\"".as_bytes()).unwrap();
        assert!(literal.lifted(&[edit(0, 2, "")]).is_err(), "splits é");
        assert!(literal.lifted(&[edit(0, 9, "")]).is_err(), "outside");
        assert!(literal.lifted(&[edit(1, 3, ""), edit(0, 1, "")]).is_err(), "out of order");
        assert!(splice(b"[1]", &[(vec![Span { start: 1, end: 2 }], vec![edit(0, 0, "x")])]).is_err(), "not a string");
        assert!(Literal::new(br#""\ud800""#).is_none());
        assert!(Literal::new(br#" "a""#).is_none());
    }

    /// A character in one of the ways JSON can spell it.
    fn spelled() -> impl Strategy<Value = String> {
        (any::<char>(), 0..3u8).prop_map(|(character, way)| {
            let mut units = [0; 2];
            match (way, character) {
                (0, '/') => r"\/".to_owned(),
                (0 | 1, _) => {
                    let json = serde_json::to_string(&character).unwrap();
                    json[1..json.len() - 1].to_owned()
                }
                _ => character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04X}")).collect(),
            }
        })
    }

    fn literal() -> impl Strategy<Value = String> {
        prop::collection::vec(prop_oneof![spelled(), "[a-z/]{1,5}"], 0..20).prop_map(|parts| {
            let inner: String = parts.concat();
            format!("\"{inner}\"")
        })
    }

    proptest! {
        #[test]
        fn decoding_agrees_with_serde_json(raw in literal()) {
            let parsed = Literal::new(raw.as_bytes()).unwrap();
            let expected: String = serde_json::from_str(&raw).unwrap();
            prop_assert_eq!(parsed.text(), expected.as_str());
            for (offset, _) in expected.char_indices() {
                let head = format!("{}\"", &raw[..parsed.raw_offset(offset)]);
                prop_assert_eq!(serde_json::from_str::<String>(&head).unwrap(), &expected[..offset]);
            }
        }

        #[test]
        fn only_edited_bytes_change(raws in prop::collection::vec(literal(), 1..4), cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), ".{0,8}"), 4)) {
            let body = format!("{{\"n\": 1e2 , \"t\": [{}]}}", raws.join(" ,"));
            let mut at = body.find('[').unwrap() + 1;
            let (mut edits, mut expected_texts, mut expected_body) = (Vec::new(), Vec::new(), body[..at].to_owned());
            for (index, raw) in raws.iter().enumerate() {
                let literal = Literal::new(raw.as_bytes()).unwrap();
                let mut bounds: Vec<usize> = literal.text().char_indices().map(|(offset, _)| offset).collect();
                bounds.push(literal.text().len());
                let (one, other, replacement) = &cuts[index];
                let (one, other) = (*one.get(&bounds), *other.get(&bounds));
                let (start, end) = (one.min(other), one.max(other));
                expected_texts.push(format!("{}{replacement}{}", &literal.text()[..start], &literal.text()[end..]));
                let json = serde_json::to_string(replacement).unwrap();
                let separator = if index == 0 { "" } else { " ," };
                expected_body += separator;
                expected_body += &raw[..literal.raw_offset(start)];
                expected_body += &json[1..json.len() - 1];
                expected_body += &raw[literal.raw_offset(end)..];
                at += separator.len();
                edits.push((vec![Span { start: at, end: at + raw.len() }], vec![edit(start, end, replacement)]));
                at += raw.len();
            }
            expected_body += "]}";
            let spliced = String::from_utf8(splice(body.as_bytes(), &edits).unwrap()).unwrap();
            let value: serde_json::Value = serde_json::from_str(&spliced).unwrap();
            prop_assert_eq!(value, serde_json::json!({"n": 1e2, "t": expected_texts}));
            prop_assert_eq!(spliced, expected_body);
            prop_assert_eq!(splice(body.as_bytes(), &[]).unwrap(), body.into_bytes());
        }

        #[test]
        fn kept_escapes_stay_at_every_level(raw in literal(), depth in 1usize..4, cut in any::<(prop::sample::Index, prop::sample::Index)>(), replacement in ".{0,8}") {
            let text = Literal::new(raw.as_bytes()).unwrap().text;
            let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let (one, other) = (*cut.0.get(&bounds), *cut.1.get(&bounds));
            let (start, end) = (one.min(other), one.max(other));
            // From inside out: the literal in an object in a literal, and so on; the escapes of the outer ones are odd.
            let wrap = |inner: &str| format!("{{\"k\" : {inner} }}");
            let quote = |json: &str| serde_json::to_string(json).unwrap().replace('/', "\\/").replace('<', "\\u003c");
            let place = |inner: &str| { let start = wrap("").len() - 2; Span { start, end: start + inner.len() } };
            let (mut outer, mut literals) = (raw.clone(), Vec::new());
            for level in (0..depth).rev() {
                literals.insert(0, place(&outer));
                outer = wrap(&outer);
                if level > 0 { outer = quote(&outer); }
            }
            let spliced = splice(outer.as_bytes(), &[(literals.clone(), vec![edit(start, end, &replacement)])]).unwrap();
            let spliced = String::from_utf8(spliced).unwrap();
            // Bytes before and after the edit are those of the original.
            let mut container = spliced.clone();
            for _ in 0..depth {
                container = serde_json::from_str::<serde_json::Value>(&container).unwrap()["k"].as_str().unwrap().to_owned();
            }
            prop_assert_eq!(container, format!("{}{replacement}{}", &text[..start], &text[end..]));
            let edits = lifted(outer.as_bytes(), &literals, &[edit(start, end, "")]).unwrap();
            prop_assert!(spliced.starts_with(&outer[..edits[0].span.start]) && spliced.ends_with(&outer[edits[0].span.end..]));
        }
    }
}

//! Places in the bytes of a request body: texts in JSON, texts in JSON inside such texts, and messages.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// A text in a body, decoded, and where each of its bytes stands there.
pub struct Text {
    pub decoded: String,
    /// The offset in the body of each byte of `decoded`, and of what follows it.
    pub raw: Vec<usize>,
}

impl Text {
    /// The string that a JSON pointer leads to; each further pointer leads on in the JSON that this string is.
    pub fn at(body: &str, pointers: &[String]) -> Self {
        let whole = Self { decoded: body.to_owned(), raw: (0..=body.len()).collect() };
        pointers.iter().fold(whole, |text, pointer| text.inside(pointer))
    }

    pub fn end(&self) -> usize {
        *self.raw.last().expect("there is always an end")
    }

    fn inside(&self, pointer: &str) -> Self {
        let mut value = serde_json::from_str::<&RawValue>(&self.decoded).expect("the text is JSON").get();
        for step in pointer.split('/').skip(1) {
            let missing = || panic!("there is no {step} of {pointer}");
            value = match step.parse::<usize>() {
                Ok(index) => {
                    serde_json::from_str::<Vec<&RawValue>>(value).unwrap().get(index).map_or_else(missing, |v| v.get())
                }
                Err(_) => serde_json::from_str::<BTreeMap<String, &RawValue>>(value)
                    .unwrap()
                    .get(step)
                    .map_or_else(missing, |v| v.get()),
            };
        }
        assert!(value.starts_with('"'), "{pointer} is no string");
        let start = offset(&self.decoded, value) + 1;
        let end = start + value.len() - 2;
        let mut text = Self { decoded: String::new(), raw: Vec::new() };
        let mut at = start;
        while at < end {
            let length = match self.decoded.as_bytes()[at] {
                b'\\' if self.decoded.as_bytes()[at + 1] == b'u' => {
                    let is_surrogate = matches!(
                        self.decoded.get(at + 2..at + 4),
                        Some("d8" | "d9" | "da" | "db" | "D8" | "D9" | "DA" | "DB")
                    );
                    if is_surrogate { 12 } else { 6 }
                }
                b'\\' => 2,
                _ => self.decoded[at..].chars().next().map_or(1, char::len_utf8),
            };
            text.decoded.push_str(&decoded(&self.decoded[at..at + length]));
            text.raw.resize(text.decoded.len(), self.raw[at]);
            at += length;
        }
        text.raw.push(self.raw[end]);
        text
    }
}

/// The messages of a request.
pub fn elements(body: &str) -> Vec<&str> {
    let body: BTreeMap<String, &RawValue> = serde_json::from_str(body).unwrap();
    let messages = body.get("messages").or(body.get("input")).expect("there is a conversation").get();
    serde_json::from_str::<Vec<&RawValue>>(messages).unwrap().into_iter().map(RawValue::get).collect()
}

/// The request with the first `cut` messages.
pub fn shorter(body: &str, cut: usize) -> String {
    let end = |message: &str| offset(body, message) + message.len();
    let messages = elements(body);
    let (last, of_all) = (end(messages[cut - 1]), end(messages[messages.len() - 1]));
    format!("{}{}", &body[..last], &body[of_all..])
}

/// Where `part`, which is a slice of `whole`, begins in it.
fn offset(whole: &str, part: &str) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

/// What follows `expected` in `text`, which begins with it.
pub fn same<'a>(expected: &str, text: &'a str) -> &'a str {
    text.strip_prefix(expected).unwrap_or_else(|| {
        let at = expected.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
        let lossy = |text: &str| String::from_utf8_lossy(&text.as_bytes()[at.min(text.len())..]).into_owned();
        panic!("sent:    {}\narrived: {}", beginning(&lossy(expected)), beginning(&lossy(text)))
    })
}

pub fn beginning(text: &str) -> String {
    text.chars().take(160).collect()
}

/// What stands between the quotes of a JSON string, decoded.
pub fn decoded(text: &str) -> String {
    serde_json::from_str(&format!("\"{text}\"")).unwrap_or_else(|error| panic!("{error}: {}", beginning(text)))
}

/// The reverse, without needless escapes.
pub fn escaped(text: &str) -> String {
    let literal = serde_json::to_string(text).unwrap();
    literal[1..literal.len() - 1].to_owned()
}

//! Bodies of generated requests: chats without code, of a given size.

/// Placeholder for digits that differ in each request, so that the newest message is always new.
const NUMBER: &[u8] = b"#0000000000";
/// Bytes of a message.
const MESSAGE: usize = 4 << 10;
/// Bytes of the newest message.
const NEWEST: usize = 800;
/// Words of the prose.
const WORDS: &str = "the a of to and in that it is was for on with as his they be at one have this from or had by hot but \
    some what there we can out other were all your when up use word how said each she which do their time if will way \
    about many then them would write like so these her long make thing see him two has look more day could go come did \
    my sound no most number who over know water than call first people may down side been now find any new work part \
    take get place made live where after back little only round man year came show every good me give our under name";

/// Whether the messages before the newest are the same in each request.
#[derive(Clone, Copy, PartialEq)]
pub enum Past {
    Known,
    New,
}

/// A chat of about `size` bytes with nothing to compress.
pub fn chat(size: usize, past: Past) -> Vec<u8> {
    let mut words = Words::new();
    let mut body = br#"{"model":"gpt-4o","temperature":0,"messages":["#.to_vec();
    let mut number = 0;
    while body.len() + NEWEST + MESSAGE < size {
        let role = if number % 2 == 0 { "user" } else { "assistant" };
        let mark = if past == Past::New { NUMBER } else { b"" };
        body.extend_from_slice(format!("{{\"role\":\"{role}\",\"content\":\"").as_bytes());
        body.extend_from_slice(mark);
        words.write(&mut body, MESSAGE);
        body.extend_from_slice(b"\"},");
        number += 1;
    }
    body.extend_from_slice(br#"{"role":"user","content":""#);
    body.extend_from_slice(NUMBER);
    words.write(&mut body, NEWEST);
    body.extend_from_slice(b"\"}]}");
    body
}

/// The positions of the digits in `request` that are to differ.
pub fn numbers(request: &[u8]) -> Vec<usize> {
    let at = request.windows(NUMBER.len()).enumerate().filter(|(_, window)| *window == NUMBER);
    at.map(|(at, _)| at + 1).collect()
}

/// Writes `number` at these positions.
pub fn set_number(request: &mut [u8], places: &[usize], number: u64) {
    let digits = format!("{:010}", number % 10_000_000_000);
    for &at in places {
        request[at..at + digits.len()].copy_from_slice(digits.as_bytes());
    }
}

/// Words in pseudo-random order, always the same.
struct Words {
    list: Vec<&'static str>,
    state: u64,
}

impl Words {
    fn new() -> Self {
        Self { list: WORDS.split_whitespace().collect(), state: 0x9E37_79B9_7F4A_7C15 }
    }

    fn write(&mut self, body: &mut Vec<u8>, length: usize) {
        let end = body.len() + length;
        while body.len() < end {
            // Xorshift (Marsaglia 2003).
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            let word = self.list[(self.state >> 33) as usize % self.list.len()];
            body.push(b' ');
            body.extend_from_slice(word.as_bytes());
            if self.state.is_multiple_of(13) {
                body.push(b'.');
            }
        }
    }
}

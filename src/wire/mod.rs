//! Request bodies: finds the texts in them ([`parse`]) and writes changed texts back ([`splice`]).
//!
//! [`message`] holds the conversation that a body of any API is read into. `chat`, `messages`, `responses` and
//! `completions` read one API each, with what they share in `read`; `nested` finds texts in texts that are JSON. Nothing
//! here knows what the texts are about.

mod chat;
mod completions;
mod error;
pub mod message;
mod messages;
mod nested;
mod read;
mod responses;
pub mod splice;

pub use error::WireError;
pub use message::{Api, Call, Chat, Message, Origin, Role, Slot};
use read::{Body, elements, fields, string, tool_name};

/// The keys of a request that are read, of any API.
const KEYS: [&str; 10] = [
    "model", "messages", "input", "prompt", "suffix", "system", "instructions", "anthropic_version", "tools",
    "functions",
];

/// Reads the conversation of a request, in the API of its shape: `messages`, else `input`, else `prompt`. (Embeddings have
/// an `input` too, and must be told apart by their path.)
///
/// A message or part of an unknown shape, with a key given twice, or with text that has no UTF-8 form (a lone surrogate)
/// yields no slot, so that it passes as it is. Takes time linear in the body.
///
/// # Errors
/// The body is not UTF-8, not a JSON object, has one of the keys read here twice, or is of no known API.
pub fn parse(body: &[u8]) -> Result<Chat, WireError> {
    let body = Body(std::str::from_utf8(body)?);
    let [model, messages, input, prompt, suffix, system, instructions, anthropic_version, tools, functions] =
        fields(body.0, KEYS)?;
    let (api, mut messages) = if let Some(messages) = messages {
        let is_anthropic = system.or(anthropic_version).is_some() || tools.is_some_and(messages::have_schemas);
        chat::read(body, messages, system, is_anthropic)?
    } else if let Some(input) = input {
        (Api::Responses, responses::read(body, input, instructions)?)
    } else if let Some(prompt) = prompt {
        (Api::Completions, completions::read(body, prompt, suffix)?)
    } else {
        return Err(WireError::UnknownApi);
    };
    for (index, message) in messages.iter_mut().enumerate() {
        let (role, slots) = (message.role, std::mem::take(&mut message.slots));
        message.slots = slots.into_iter().flat_map(|slot| nested::unfold(slot, role)).collect();
        message.slots.iter_mut().for_each(|slot| slot.message = index);
    }
    let added = input.filter(|_| api == Api::Responses).map(responses::added_tools).unwrap_or_default();
    let tools = [tools, functions].into_iter().flatten().flat_map(elements).chain(added);
    let tools = tools.filter_map(|tool| tool_name(tool, api)).collect();
    Ok(Chat { api, model: model.and_then(string), messages, tools })
}

/// Whether the JSON in `body` has more than `limit` levels of arrays and objects in each other. Takes time linear in the
/// body, and no memory.
pub fn is_deeper(body: &[u8], limit: usize) -> bool {
    let mut depth = 0_usize;
    let mut rest = body;
    while let Some((byte, after)) = rest.split_first() {
        rest = match byte {
            b'"' => after_string(after),
            _ => after,
        };
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

/// The bytes after the string in which `rest` begins.
fn after_string(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        let is_end = rest[at] == b'"';
        // An escaped character may be a quote.
        rest = rest.get(at + if is_end { 1 } else { 2 }..).unwrap_or_default();
        if is_end {
            return rest;
        }
    }
    &[]
}

#[cfg(test)]
mod tests;

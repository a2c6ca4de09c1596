//! Which question a piece of code is judged by, and which names that question gives.

use std::cell::OnceCell;
use std::collections::HashSet;

use super::{identifiers, user_prose};
use crate::base::text::Span;
use crate::detect::framing::envelopes;
use crate::wire::{Call, Message, Origin, Role, Slot};

/// What a question is cut to, in characters: about 300 tokens. Every piece of code costs one pass over the question.
pub const MAX_CHARS: usize = 1200;
/// What an assistant's words and a call add to a question, in characters each.
const MAX_TURN_CHARS: usize = 300;

/// What a piece of code is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The words, at most [`MAX_CHARS`] characters.
    pub text: String,
    /// Index of the last message that they are from.
    pub asked_in: usize,
    /// The identifiers that the question and the assistant's turn before the code name; each once.
    pub names: Vec<String>,
}

/// The questions of one conversation. What a message says is read once, whatever number of pieces it is asked for.
pub struct Questions<'a> {
    messages: &'a [Message],
    /// The pieces of code in a text, by message and slot.
    code: &'a dyn Fn(usize, usize) -> Vec<Span>,
    /// The words of each message that was asked for.
    words: Vec<OnceCell<Option<String>>>,
}

impl<'a> Questions<'a> {
    /// Those of `messages`. `code` gives the pieces of code in a text of the conversation, by message and slot, which are
    /// nobody's words.
    pub fn new(messages: &'a [Message], code: &'a dyn Fn(usize, usize) -> Vec<Span>) -> Self {
        Self { messages, code, words: vec![OnceCell::new(); messages.len()] }
    }

    /// The question for code in message `message`: the words of its own message; else, for the result of a tool
    /// (`result`), the last user's words before it with the assistant's latest words and the call; else the next user's
    /// words.
    ///
    /// It depends on no message after the one that asks, so it stays the same while the conversation grows. `None` where
    /// nobody says anything beside headings of files.
    pub fn of(&self, message: usize, result: Option<&Call>) -> Option<Question> {
        let messages = self.messages;
        let asked = |text: String, asked_in: usize| {
            let said = last_words(&messages[..message]).unwrap_or_default();
            let mut names = identifiers::names(&text);
            names.extend(identifiers::names(end_of(&said)));
            // The tools' own names are no names of the code.
            names.retain(|name| result.is_none_or(|call| call.name != *name));
            let mut seen = HashSet::new();
            names.retain(|name| seen.insert(name.clone()));
            Some(Question { text, asked_in, names })
        };
        if let Some(text) = self.words(message) {
            return asked(text, message);
        }
        let own = messages.get(message)?;
        if result.is_some() || own.role == Role::Tool || own.slots.iter().any(is_result) {
            let (at, user) = (0..message).rev().find_map(|index| {
                let is_user = messages[index].role == Role::User;
                is_user.then(|| self.words(index)).flatten().map(|text| (index, text))
            })?;
            let said = last_words(&messages[at..message]).unwrap_or_default();
            let call = result.map(described).unwrap_or_default();
            let parts = [user, tail(said.trim(), MAX_TURN_CHARS).to_owned(), tail(&call, MAX_TURN_CHARS).to_owned()];
            let text = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n");
            return asked(end_of(&text).to_owned(), message);
        }
        // A model was asked with what stands before an answer: what follows one came too late for this code.
        let next = messages[message + 1..].iter().position(|next| match next.role {
            Role::Assistant => !is_acknowledgement(next),
            role => role == Role::User && !next.slots.is_empty(),
        });
        let next = message + 1 + next?;
        let is_user = messages[next].role == Role::User;
        // A message of files alone stands between the code and the question about both.
        match is_user.then(|| self.words(next)).flatten() {
            Some(text) => asked(text, next),
            None if is_user => {
                let later = self.of(next, None)?;
                (later.asked_in > next).then(|| asked(later.text, later.asked_in)).flatten()
            }
            None => None,
        }
    }

    fn words(&self, index: usize) -> Option<String> {
        let read = || user_prose::of(&self.messages[index], |slot| (self.code)(index, slot));
        self.words.get(index)?.get_or_init(read).clone()
    }
}

/// The words of the last assistant's turn that has any, unless a user speaks after it.
fn last_words(messages: &[Message]) -> Option<String> {
    let spoke = |message: &&Message| matches!(message.role, Role::Assistant) && !message.slots.is_empty();
    let message = messages.iter().rev().find(spoke)?;
    Some(message.slots.iter().map(|slot| slot.text.as_str()).collect::<Vec<_>>().join("\n"))
}

/// A call in a line: its tool and what it was given.
fn described(call: &Call) -> String {
    let values: Vec<&str> = call.fields.iter().map(|(_, value)| value.as_str()).collect();
    format!("{} {}", call.name, values.join(" "))
}

/// Whether an assistant's turn is one that a client writes itself below the files it shows.
fn is_acknowledgement(message: &Message) -> bool {
    const MAX_BYTES: usize = 200;
    let text: String = message.slots.iter().map(|slot| slot.text.trim()).collect();
    message.calls.is_empty() && text.len() <= MAX_BYTES && text.to_ascii_lowercase().starts_with("ok")
}

/// Whether a text is the result of a tool, in a message of its own or in the user's name.
pub(super) fn is_result(slot: &Slot) -> bool {
    matches!(slot.origin, Origin::Result { .. }) || envelopes::is_result(&slot.text)
}

/// The last [`MAX_CHARS`] characters of `text`, from the beginning of a word.
pub(super) fn end_of(text: &str) -> &str {
    tail(text, MAX_CHARS)
}

/// The last `max` characters of `text`, from the beginning of a word.
fn tail(text: &str, max: usize) -> &str {
    let Some((start, _)) = text.char_indices().rev().nth(max - 1) else { return text };
    if start == 0 {
        return text;
    }
    let end = &text[start..];
    end.find(char::is_whitespace).map_or(end, |blank| end[blank..].trim_start())
}

#[cfg(test)]
mod tests;

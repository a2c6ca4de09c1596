//! Finds the question that a piece of code is scored by, and the identifiers it names.

use std::cell::OnceCell;
use std::collections::HashSet;

use super::identifiers;
use super::user_prose::{self, end_of, is_result, tail};
use crate::base::text::Span;
use crate::wire::{Call, Message, Role};

/// Characters that an assistant's words and a call add to a question, each at most.
const MAX_TURN_CHARS: usize = 300;

/// A question that code is scored by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Its text, at most [`user_prose::MAX_CHARS`] characters.
    pub text: String,
    /// Index of the last message that the text is from.
    pub asked_in: usize,
    /// The identifiers that the text and the assistant's turn before the code name, each once.
    pub names: Vec<String>,
}

/// The questions of one conversation. Each message is read at most once.
pub struct Questions<'a> {
    messages: &'a [Message],
    /// The pieces of code in a text, by message and slot.
    code: &'a dyn Fn(usize, usize) -> Vec<Span>,
    /// The user's words in each message, once they were read.
    words: Vec<OnceCell<Option<String>>>,
}

impl<'a> Questions<'a> {
    /// Questions in `messages`. `code` gives the pieces of code in a text, by message and slot; they are no user's words.
    pub fn new(messages: &'a [Message], code: &'a dyn Fn(usize, usize) -> Vec<Span>) -> Self {
        Self { messages, code, words: vec![OnceCell::new(); messages.len()] }
    }

    /// The question for code in message `message`: the user's words in that message; else, for the result of the call
    /// `result`, the user's last words before it with the assistant's latest words and the call; else the user's next
    /// words. `None` if there are none.
    ///
    /// It depends on no message after the one that asks, so it stays the same while the conversation grows.
    pub fn of(&self, message: usize, result: Option<&Call>) -> Option<Question> {
        let messages = self.messages;
        let asked = |text: String, asked_in: usize| {
            let said = last_words(&messages[..message]).unwrap_or_default();
            let mut names = identifiers::names(&text);
            names.extend(identifiers::names(end_of(&said)));
            // A tool's name is no name in the code.
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
            let call = result.map(describe).unwrap_or_default();
            let parts = [user, tail(said.trim(), MAX_TURN_CHARS).to_owned(), tail(&call, MAX_TURN_CHARS).to_owned()];
            let text = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n");
            return asked(end_of(&text).to_owned(), message);
        }
        // The model answered the messages before its answer: a question after it came too late for this code.
        let next = messages[message + 1..].iter().position(|next| match next.role {
            Role::Assistant => !is_acknowledgement(next),
            role => role == Role::User && !next.slots.is_empty(),
        });
        let next = message + 1 + next?;
        let is_user = messages[next].role == Role::User;
        // A message of files alone may stand between the code and the question.
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

/// The assistant's last words.
fn last_words(messages: &[Message]) -> Option<String> {
    let spoke = |message: &&Message| matches!(message.role, Role::Assistant) && !message.slots.is_empty();
    let message = messages.iter().rev().find(spoke)?;
    Some(message.slots.iter().map(|slot| slot.text.as_str()).collect::<Vec<_>>().join("\n"))
}

/// A call in a line: its tool and arguments.
fn describe(call: &Call) -> String {
    let values: Vec<&str> = call.fields.iter().map(|(_, value)| value.as_str()).collect();
    format!("{} {}", call.name, values.join(" "))
}

/// Whether an assistant's turn was written by the client, to acknowledge files.
fn is_acknowledgement(message: &Message) -> bool {
    const MAX_BYTES: usize = 200;
    let text: String = message.slots.iter().map(|slot| slot.text.trim()).collect();
    message.calls.is_empty() && text.len() <= MAX_BYTES && text.to_ascii_lowercase().starts_with("ok")
}

#[cfg(test)]
mod tests;

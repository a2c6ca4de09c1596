//! Identifies the conversation of a request by the user's first words, which every turn repeats.

use crate::wire::{Api, Chat, Role};

/// A conversation, by a hash of the user's words before the first answer. Two that begin alike are taken for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversation(pub u64);

impl Conversation {
    /// The conversation of a request; `None` where there are no user's words, as in completions.
    ///
    /// The first message alone would not do: it is often the same for all conversations of a client.
    pub fn of(chat: &Chat) -> Option<Self> {
        if chat.api == Api::Completions {
            return None;
        }
        let opening = chat.messages.iter().take_while(|message| !matches!(message.role, Role::Assistant | Role::Tool));
        let said = opening.filter(|message| message.role == Role::User).flat_map(|message| &message.slots);
        let mut hash = blake3::Hasher::new();
        let mut is_empty = true;
        for slot in said.filter(|slot| !slot.text.is_empty()) {
            is_empty = false;
            hash.update(&(slot.text.len() as u64).to_le_bytes()).update(slot.text.as_bytes());
        }
        let first = hash.finalize().as_bytes().first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        first.filter(|_| !is_empty).map(Self)
    }

    /// Whether it is among the `percent` (0 to 100) of all conversations that are held out.
    pub fn is_held_out(self, percent: u8) -> bool {
        self.0 % 100 < u64::from(percent)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire;

    fn of(messages: serde_json::Value) -> Option<Conversation> {
        let body = json!({"model": "m", "messages": messages}).to_string();
        Conversation::of(&wire::parse(body.as_bytes()).unwrap())
    }

    #[test]
    fn every_turn_tells_the_same_conversation() {
        let system = json!({"role": "system", "content": "Be good."});
        let user = |text: &str| json!({"role": "user", "content": text});
        let answer = json!({"role": "assistant", "content": "Done."});
        let first = of(json!([system, user("Fix it.")]));
        assert!(first.is_some());
        assert_eq!(of(json!([system, user("Fix it."), answer, user("And that.")])), first);
        assert_ne!(of(json!([system, user("Fix that.")])), first);
        assert_ne!(of(json!([system, user("rules"), user("Fix it.")])), first);
        assert_eq!(of(json!([system])), None);
        let legacy = json!({"model": "m", "prompt": "def f():"}).to_string();
        assert_eq!(Conversation::of(&wire::parse(legacy.as_bytes()).unwrap()), None);
    }

    #[test]
    fn about_the_share_asked_for_is_held_out() {
        let held_out = |percent| {
            let all = (0..2000).filter_map(|i| of(json!([{"role": "user", "content": format!("Question {i}")}])));
            all.filter(|conversation| conversation.is_held_out(percent)).count()
        };
        assert_eq!(held_out(0), 0);
        assert!((120..280).contains(&held_out(10)), "{}", held_out(10));
    }
}

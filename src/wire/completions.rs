//! Where text sits in a body of OpenAI's legacy completions: `prompt`, and `suffix` where the gap between is to be filled.

use serde_json::value::RawValue;

use super::raw::{Draft, elements};
use super::{Message, Origin, Role};

/// Reads the values of `prompt` (a string or several) and `suffix`. Prompts of token numbers have no text.
pub fn read(body: &str, prompt: &RawValue, suffix: Option<&RawValue>) -> Vec<Message> {
    let prompts = if prompt.get().starts_with('[') { elements(prompt) } else { vec![prompt] };
    let mut read = Vec::new();
    for prompt in prompts {
        let mut draft = Draft::new(body, read.len(), Role::User);
        // Without one it is a text like any other.
        let filled = suffix.filter(|suffix| suffix.get() != "null");
        draft.text(prompt, if filled.is_some() { Origin::Prompt } else { Origin::Said });
        if let Some(suffix) = filled.filter(|_| read.is_empty()) {
            draft.text(suffix, Origin::Suffix);
        }
        read.push(draft.done());
    }
    read
}

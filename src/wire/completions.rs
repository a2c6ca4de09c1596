//! Reads legacy completions: `prompt`, and `suffix` to fill in the middle.

use serde_json::value::RawValue;

use super::error::WireError;
use super::message::{Message, Origin, Role};
use super::read::Body;

/// Reads `prompt` and `suffix` as one message of the user. Prompts that are token ids have no slots.
///
/// # Errors
/// `prompt` is neither a string nor an array.
pub(super) fn read(body: Body, prompt: &RawValue, suffix: Option<&RawValue>) -> Result<Vec<Message>, WireError> {
    let prompts = match prompt.get().starts_with('"') {
        true => vec![prompt],
        false => serde_json::from_str(prompt.get())?,
    };
    let mut slots: Vec<_> = prompts.into_iter().filter_map(|prompt| body.slot(prompt, &Origin::Prompt)).collect();
    slots.extend(suffix.and_then(|suffix| body.slot(suffix, &Origin::Suffix)));
    Ok(vec![Message::of_texts(Role::User, slots)])
}

#[cfg(test)]
mod tests {
    use super::super::tests::seen;
    use super::super::{Api, Origin, parse};

    #[test]
    fn prompts_and_suffix_are_slots() {
        let chat = parse(br#"{"suffix":"}\n","prompt":"fn a() {\n","model":"coder"}"#).unwrap();
        assert_eq!(chat.api, Api::Completions);
        assert_eq!(seen(&chat), [(0, "fn a() {\n", &Origin::Prompt), (0, "}\n", &Origin::Suffix)]);
        let chat = parse(br#"{"prompt":["a","b"],"suffix":null}"#).unwrap();
        assert_eq!(seen(&chat), [(0, "a", &Origin::Prompt), (0, "b", &Origin::Prompt)]);
    }

    #[test]
    fn token_ids_have_no_slots() {
        for body in [r#"{"prompt":[1,2,3]}"#, r#"{"prompt":[[1],[2,3]]}"#, r#"{"prompt":[]}"#] {
            assert!(seen(&parse(body.as_bytes()).unwrap()).is_empty(), "{body}");
        }
        assert!(parse(br#"{"prompt":{"id":"pmpt_1"}}"#).is_err());
    }
}

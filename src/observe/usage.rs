//! Reads the billed tokens of an answer: the `usage` of each API.

use serde_json::Value;

/// Larger numbers of tokens are ignored: no answer has so many, and they would spoil every sum.
const MAX_TOKENS: u64 = 1 << 40;

/// Tokens that the upstream counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Of the prompt, cached ones included.
    pub prompt: u64,
    /// Of these, read from the upstream's cache.
    pub cached: u64,
    /// Of these, written to its cache.
    pub cache_write: u64,
    /// Of the answer.
    pub output: u64,
}

/// The parts of an answer read so far.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// The usage, once it has come.
    pub usage: Option<Usage>,
    /// The model that answered.
    pub model: Option<String>,
}

impl Reading {
    /// Reads one event of a stream, or a whole answer. Later numbers replace earlier ones: a stream has its usage at its end,
    /// Anthropic's in two parts.
    pub fn read(&mut self, event: &Value) {
        // Responses and Anthropic's message_start have the answer one level down.
        for answer in [Some(event), event.get("response"), event.get("message")].into_iter().flatten() {
            if let Some(model) = answer.get("model").and_then(Value::as_str).filter(|_| self.model.is_none()) {
                self.model = Some(model.to_owned());
            }
            if let Some(usage) = answer.get("usage").filter(|usage| usage.is_object()) {
                self.add(usage);
            }
        }
    }

    fn add(&mut self, answered: &Value) {
        let number = |path: &[&str]| {
            let found = path.iter().try_fold(answered, |value, key| value.get(key)).and_then(Value::as_u64);
            found.filter(|tokens| *tokens <= MAX_TOKENS)
        };
        let mut usage = self.usage.unwrap_or_default();
        let cached_in_details =
            number(&["prompt_tokens_details", "cached_tokens"]).or(number(&["input_tokens_details", "cached_tokens"]));
        let (read, written) = (number(&["cache_read_input_tokens"]), number(&["cache_creation_input_tokens"]));
        if let Some(cached) = cached_in_details.or(read) {
            usage.cached = cached;
        }
        if let Some(written) = written {
            usage.cache_write = written;
        }
        if let Some(prompt) = number(&["prompt_tokens"]).or(number(&["input_tokens"])) {
            // Anthropic's input tokens are those beside the cache.
            let beside = if read.or(written).is_some() { usage.cached + usage.cache_write } else { 0 };
            usage.prompt = prompt + beside;
        }
        if let Some(output) = number(&["completion_tokens"]).or(number(&["output_tokens"])) {
            usage.output = output;
        }
        self.usage = Some(usage);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(events: &[Value]) -> Usage {
        let mut reading = Reading::default();
        events.iter().for_each(|event| reading.read(event));
        reading.usage.unwrap()
    }

    #[test]
    fn every_api_tells_its_usage_in_its_own_way() {
        let usage =
            json!({"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 60}});
        let expected = Usage { prompt: 100, cached: 60, cache_write: 0, output: 7 };
        assert_eq!(read(&[json!({"model": "m", "usage": usage.clone()})]), expected);
        assert_eq!(read(&[json!({"usage": null}), json!({"choices": [], "usage": usage})]), expected);

        let usage = json!({"input_tokens": 100, "input_tokens_details": {"cached_tokens": 60}, "output_tokens": 7});
        assert_eq!(read(&[json!({"type": "response.completed", "response": {"usage": usage}})]), expected);

        let start = json!({"input_tokens": 30, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 10, "output_tokens": 1});
        let events = [
            json!({"type": "message_start", "message": {"model": "claude", "usage": start}}),
            json!({"type": "message_delta", "usage": {"output_tokens": 7}}),
        ];
        assert_eq!(read(&events), Usage { prompt: 100, cached: 60, cache_write: 10, output: 7 });
    }

    #[test]
    fn what_no_answer_can_cost_is_not_read() {
        let usage = json!({"input_tokens": 5, "cache_read_input_tokens": u64::MAX, "cache_creation_input_tokens": 3, "output_tokens": 1e300});
        assert_eq!(read(&[json!({"usage": usage})]), Usage { prompt: 8, cached: 0, cache_write: 3, output: 0 });
    }

    #[test]
    fn an_answer_names_its_model_once() {
        let mut reading = Reading::default();
        [json!({"response": {"model": "a"}}), json!({"model": "b"})].iter().for_each(|event| reading.read(event));
        assert_eq!(reading.model.as_deref(), Some("a"));
        assert_eq!(reading.usage, None);
    }
}

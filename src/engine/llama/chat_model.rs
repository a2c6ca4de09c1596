//! Answers chats with the local model: template, sampling, stop texts, token counts.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::{LlamaChatMessage, LlamaModel};
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;

use super::backend::new_context;
use super::handle::Engine;
use crate::engine::chat::{Answer, Finish, Message, Sampling};
use crate::engine::error::EngineError;

/// Tokens of the prompt that are read at once.
const PROMPT_BATCH: usize = 512;
/// The longest conversation, prompt and answer together, in tokens, unless the model's own context is shorter.
const MAX_CONTEXT: usize = 16_384;

/// A model that answers chats, one at a time. It shares the weights with the [`Engine`] it was made from.
pub struct ChatModel {
    model: Arc<LlamaModel>,
    name: String,
    threads: i32,
    one_at_a_time: Mutex<()>,
}

impl ChatModel {
    /// A chat model on the weights of `engine`.
    pub fn new(engine: &Engine) -> Self {
        let info = engine.info();
        Self {
            model: Arc::clone(engine.model()),
            name: info.name.clone(),
            threads: i32::try_from(info.threads).unwrap_or(i32::MAX),
            one_at_a_time: Mutex::new(()),
        }
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether `messages` fit the template and leave room for an answer.
    ///
    /// # Errors
    /// When they do not.
    pub fn check(&self, messages: &[Message]) -> Result<(), EngineError> {
        self.prompt(messages).map(|_| ())
    }

    /// Answers `messages` and hands each piece of text to `emit` as it is generated, until `emit` returns false.
    ///
    /// # Errors
    /// When the chat does not fit the template or the model's context, or the model fails.
    pub fn answer(
        &self,
        messages: &[Message],
        sampling: &Sampling,
        mut emit: impl FnMut(&str) -> bool,
    ) -> Result<Answer, EngineError> {
        // A panic while the lock was held leaves nothing half done: each answer has a context of its own.
        let _turn = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let prompt = self.prompt(messages)?;
        let max_tokens = sampling.max_tokens.min(self.limit() - prompt.len());
        let mut context = self.context(prompt.len() + max_tokens)?;
        let mut sampler = sampler(sampling);
        let mut text = Text::new(&sampling.stop);
        let mut batch = LlamaBatch::new(PROMPT_BATCH, 1);
        let mut answer = Answer { finish: Finish::Length, prompt_tokens: prompt.len(), completion_tokens: 0 };

        read(&mut context, &mut batch, &prompt)?;
        while answer.completion_tokens < max_tokens {
            let token = sampler.sample(&context, batch.n_tokens() - 1);
            if self.model.vocab().is_eog(token) {
                answer.finish = Finish::Stop;
                break;
            }
            let position = prompt.len() + answer.completion_tokens;
            answer.completion_tokens += 1;
            let (ready, stopped) = text.push(&self.model.vocab().token_to_piece(token, false, None));
            if !ready.is_empty() && !emit(&ready) {
                return Ok(answer);
            }
            if stopped {
                answer.finish = Finish::Stop;
                return Ok(answer);
            }
            if answer.completion_tokens < max_tokens {
                batch.clear();
                add(&mut batch, token, position, true)?;
                decode(&mut context, &mut batch)?;
            }
        }
        let rest = text.finish();
        if !rest.is_empty() {
            emit(&rest);
        }
        Ok(answer)
    }

    /// The longest conversation, in tokens.
    fn limit(&self) -> usize {
        (self.model.n_ctx_train() as usize).min(MAX_CONTEXT)
    }

    /// The tokens of the filled-in template; fewer than the limit.
    fn prompt(&self, messages: &[Message]) -> Result<Vec<LlamaToken>, EngineError> {
        let failed = |error: &dyn std::fmt::Display| EngineError::Chat(error.to_string());
        let template = self.model.chat_template(None).map_err(|e| failed(&e))?;
        let chat = messages
            .iter()
            .map(|m| LlamaChatMessage::new(m.role.clone(), m.content.clone()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| failed(&e))?;
        let prompt = self.model.apply_chat_template(&template, &chat, true).map_err(|e| failed(&e))?;
        let prompt = self.model.vocab().tokenize(prompt.as_bytes(), true, true);
        let (length, limit) = (prompt.len(), self.limit());
        if length >= limit {
            return Err(EngineError::Chat(format!("it is {length} tokens long, and the model reads {limit}")));
        }
        Ok(prompt)
    }

    fn context(&self, tokens: usize) -> Result<LlamaContext<'_>, EngineError> {
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(u32::try_from(tokens).unwrap_or(u32::MAX)))
            .with_n_batch(PROMPT_BATCH as u32)
            .with_n_ubatch(PROMPT_BATCH as u32)
            .with_n_threads(self.threads)
            .with_n_threads_batch(self.threads);
        new_context(&self.model, params)
    }
}

fn sampler(sampling: &Sampling) -> LlamaSampler {
    if sampling.temperature <= 0.0 {
        return LlamaSampler::greedy();
    }
    LlamaSampler::chain_simple([
        LlamaSampler::top_p(sampling.top_p, 1),
        LlamaSampler::temp(sampling.temperature),
        LlamaSampler::dist(sampling.seed),
    ])
}

/// Reads the prompt. Leaves the last batch as it was decoded, with logits for the last token.
fn read(context: &mut LlamaContext, batch: &mut LlamaBatch, prompt: &[LlamaToken]) -> Result<(), EngineError> {
    for (i, &token) in prompt.iter().enumerate() {
        if batch.n_tokens() as usize == PROMPT_BATCH {
            decode(context, batch)?;
            batch.clear();
        }
        add(batch, token, i, i + 1 == prompt.len())?;
    }
    decode(context, batch)
}

fn add(batch: &mut LlamaBatch, token: LlamaToken, position: usize, logits: bool) -> Result<(), EngineError> {
    batch.add(token, position as i32, &[0], logits).map_err(|error| EngineError::Decode(error.to_string()))
}

fn decode(context: &mut LlamaContext, batch: &mut LlamaBatch) -> Result<(), EngineError> {
    context.decode(batch).map_err(|error| EngineError::Decode(error.to_string()))
}

/// Turns the bytes of tokens into text: whole characters only, and nothing that may yet become a stop text.
struct Text<'a> {
    stop: Vec<&'a str>,
    bytes: Vec<u8>,
    held: String,
}

impl<'a> Text<'a> {
    fn new(stop: &'a [String]) -> Self {
        Self {
            stop: stop.iter().map(String::as_str).filter(|s| !s.is_empty()).collect(),
            bytes: Vec::new(),
            held: String::new(),
        }
    }

    /// Adds bytes; returns the text that is ready, and whether a stop text came right after it.
    fn push(&mut self, piece: &[u8]) -> (String, bool) {
        self.bytes.extend_from_slice(piece);
        self.take_whole_characters();
        if let Some(at) = self.stop.iter().filter_map(|stop| self.held.find(stop)).min() {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let open = self.stop.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - open);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// The text that was held back, at the end of the answer.
    fn finish(&mut self) -> String {
        self.held.push_str(&String::from_utf8_lossy(&std::mem::take(&mut self.bytes)));
        std::mem::take(&mut self.held)
    }

    fn take_whole_characters(&mut self) {
        loop {
            match std::str::from_utf8(&self.bytes) {
                Ok(text) => {
                    self.held.push_str(text);
                    self.bytes.clear();
                    return;
                }
                Err(error) => {
                    let whole = error.valid_up_to();
                    self.held.push_str(&String::from_utf8_lossy(&self.bytes[..whole]));
                    // Bytes that can't become a character are replaced; a character that is not complete yet waits.
                    let bad = error.error_len();
                    if bad.is_some() {
                        self.held.push(char::REPLACEMENT_CHARACTER);
                    }
                    self.bytes.drain(..whole + bad.unwrap_or(0));
                    if bad.is_none() {
                        return;
                    }
                }
            }
        }
    }
}

/// Bytes at the end of `text` that are a beginning of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    stop.char_indices().map(|(i, _)| i).skip(1).filter(|&i| text.ends_with(&stop[..i])).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_come_whole() {
        let mut text = Text::new(&[]);
        assert_eq!(text.push(&[b'a', 0xc3]), ("a".into(), false));
        assert_eq!(text.push(&[0xa9, 0xff, b'b']), ("é\u{fffd}b".into(), false));
        text.push(&[0xe2, 0x82]);
        assert_eq!(text.finish(), "\u{fffd}");
    }

    #[test]
    fn a_stop_text_is_never_shown_in_part() {
        let stop = ["END".to_string()];
        let mut text = Text::new(&stop);
        assert_eq!(text.push(b"xE"), ("x".into(), false));
        assert_eq!(text.push(b"Ny"), ("ENy".into(), false));
        assert_eq!(text.push(b"zEN"), ("z".into(), false));
        assert_eq!(text.push(b"Dmore"), (String::new(), true));
    }
}

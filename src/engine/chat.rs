//! Data of a chat with the local model: messages, sampling, result.

/// One message of a chat.
#[derive(Debug, Clone)]
pub struct Message {
    /// `system`, `user`, `assistant` or another role of the template.
    pub role: String,
    /// Its text.
    pub content: String,
}

/// Parameters of an answer.
#[derive(Debug, Clone)]
pub struct Sampling {
    /// Largest length of the answer, in tokens.
    pub max_tokens: usize,
    /// 0 picks the likeliest token each time.
    pub temperature: f32,
    /// Keeps the likeliest tokens whose probabilities add up to this; 1 keeps all.
    pub top_p: f32,
    /// Texts that end the answer. They are not part of it.
    pub stop: Vec<String>,
    /// The same seed gives the same answer.
    pub seed: u32,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it, or a stop text came.
    Stop,
    /// `max_tokens` or the context was used up.
    Length,
}

/// End and size of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// Why it ended.
    pub finish: Finish,
    /// Tokens of the prompt, template included.
    pub prompt_tokens: usize,
    /// Tokens of the answer.
    pub completion_tokens: usize,
}

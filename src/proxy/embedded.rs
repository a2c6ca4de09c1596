//! The embedded upstream: a local model behind the OpenAI chat completions API.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::local::{Local, LocalBody, LocalResponse};
use crate::base::error_body::{INVALID_REQUEST, SERVER, error_body};
use crate::engine::ChatModel;
use crate::engine::chat::{Answer, Finish, Message, Sampling};

/// Tokens of an answer for which the client sets no limit. A small model on a CPU rarely says more that is worth the wait.
const DEFAULT_MAX_TOKENS: usize = 512;
/// Pieces of text that are buffered for a slow client before the model waits.
const STREAM_BUFFER: usize = 64;

/// Answers chat completions with a local model.
pub struct Embedded {
    model: Arc<ChatModel>,
}

impl Embedded {
    /// An upstream that answers with `model`.
    pub fn new(model: ChatModel) -> Self {
        Self { model: Arc::new(model) }
    }

    fn chat(&self, body: &[u8]) -> LocalResponse {
        let request: ChatRequest = match serde_json::from_slice(body) {
            Ok(request) => request,
            Err(error) => return bad_request(&format!("the body is not a chat completions request: {error}")),
        };
        if request.n.unwrap_or(1) != 1 {
            return bad_request("`n` is above 1; the embedded model gives one answer");
        }
        if request.messages.is_empty() {
            return bad_request("`messages` is empty; send at least one");
        }
        let sampling = request.sampling();
        if sampling.max_tokens == 0 {
            return bad_request("`max_tokens` is 0; it must be at least 1");
        }
        let messages: Vec<Message> = request.messages.iter().map(RequestMessage::to_message).collect();
        if let Err(error) = self.model.check(&messages) {
            return bad_request(&error.to_string());
        }
        let envelope = Envelope::new(request.model.as_deref().unwrap_or(self.model.name()));
        if request.stream.unwrap_or(false) {
            let with_usage = request.stream_options.is_some_and(|options| options.include_usage);
            return self.stream(messages, sampling, envelope, with_usage);
        }
        let mut text = String::new();
        let answer = self.model.answer(&messages, &sampling, |piece| {
            text.push_str(piece);
            true
        });
        match answer {
            Ok(answer) => LocalResponse::json(StatusCode::OK, &envelope.whole(&text, answer)),
            Err(error) => server_error(&error.to_string()),
        }
    }

    fn stream(
        &self,
        messages: Vec<Message>,
        sampling: Sampling,
        envelope: Envelope,
        with_usage: bool,
    ) -> LocalResponse {
        let (events, body) = mpsc::channel(STREAM_BUFFER);
        let model = Arc::clone(&self.model);
        let work = move || {
            // Sending fails once the client has gone, which stops the model.
            let send = |event: &Value| events.blocking_send(Bytes::from(format!("data: {event}\n\n"))).is_ok();
            if !send(&envelope.chunk(json!({"role": "assistant", "content": ""}), None)) {
                return;
            }
            let answer =
                model.answer(&messages, &sampling, |piece| send(&envelope.chunk(json!({"content": piece}), None)));
            let delivered = match answer {
                Ok(answer) => {
                    send(&envelope.chunk(json!({}), Some(answer.finish)))
                        && (!with_usage || send(&envelope.usage_chunk(answer)))
                }
                Err(error) => send(&error_body(&error.to_string(), SERVER, None, None)),
            };
            if delivered {
                let _ = events.blocking_send(Bytes::from_static(b"data: [DONE]\n\n"));
            }
        };
        match std::thread::Builder::new().name("lopper-answer".into()).spawn(work) {
            Ok(_) => LocalResponse {
                status: StatusCode::OK,
                content_type: "text/event-stream",
                body: LocalBody::Stream(body),
            },
            Err(error) => server_error(&format!("no thread to answer on: {error}")),
        }
    }

    fn models(&self) -> LocalResponse {
        let model = json!({"id": self.model.name(), "object": "model", "created": 0, "owned_by": "lopper"});
        LocalResponse::json(StatusCode::OK, &json!({"object": "list", "data": [model]}))
    }
}

impl Local for Embedded {
    fn respond(&self, request: Request<Bytes>) -> LocalResponse {
        let path = request.uri().path().trim_start_matches("/v1");
        match (request.method(), path) {
            (&Method::POST, "/chat/completions") => self.chat(request.body()),
            (&Method::GET | &Method::HEAD, "/models") => self.models(),
            (method, _) => {
                let message = format!(
                    "the embedded model does not answer {method} {}; it answers POST /v1/chat/completions and GET \
                     /v1/models. Set upstream.base_url to an API for the rest.",
                    request.uri().path()
                );
                LocalResponse::json(StatusCode::NOT_FOUND, &error_body(&message, INVALID_REQUEST, None, None))
            }
        }
    }
}

#[derive(Deserialize)]
struct ChatRequest {
    model: Option<String>,
    messages: Vec<RequestMessage>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    stop: Option<TextOrList<String>>,
    seed: Option<i64>,
    n: Option<u32>,
}

impl ChatRequest {
    fn sampling(&self) -> Sampling {
        let stop = match &self.stop {
            None => Vec::new(),
            Some(TextOrList::Text(text)) => vec![text.clone()],
            Some(TextOrList::List(texts)) => texts.clone(),
        };
        Sampling {
            max_tokens: self.max_completion_tokens.or(self.max_tokens).unwrap_or(DEFAULT_MAX_TOKENS),
            temperature: self.temperature.unwrap_or(1.0),
            top_p: self.top_p.unwrap_or(1.0),
            stop,
            // A client without a seed gets another one each time.
            seed: self.seed.map_or_else(|| since_epoch().subsec_nanos(), |seed| seed as u32),
        }
    }
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrList<T> {
    Text(String),
    List(Vec<T>),
}

#[derive(Deserialize)]
struct RequestMessage {
    role: String,
    #[serde(default)]
    content: Option<TextOrList<Part>>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

impl RequestMessage {
    fn to_message(&self) -> Message {
        let content = match &self.content {
            None => String::new(),
            Some(TextOrList::Text(text)) => text.clone(),
            Some(TextOrList::List(parts)) => parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join("\n"),
        };
        let role = if self.role == "developer" { "system".into() } else { self.role.clone() };
        Message { role, content }
    }
}

/// The keys that all objects of one answer have.
struct Envelope {
    id: String,
    created: u64,
    model: String,
}

impl Envelope {
    fn new(model: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let now = since_epoch();
        let id = format!("chatcmpl-{:x}{:x}", now.as_micros(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { id, created: now.as_secs(), model: model.into() }
    }

    fn object(&self, kind: &str, choices: &Value) -> Value {
        json!({"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices})
    }

    fn whole(&self, text: &str, answer: Answer) -> Value {
        let message = json!({"role": "assistant", "content": text});
        let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": name(answer.finish)});
        let mut object = self.object("chat.completion", &json!([choice]));
        object["usage"] = usage(answer);
        object
    }

    fn chunk(&self, delta: Value, finish: Option<Finish>) -> Value {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish.map(name)});
        self.object("chat.completion.chunk", &json!([choice]))
    }

    fn usage_chunk(&self, answer: Answer) -> Value {
        let mut object = self.object("chat.completion.chunk", &json!([]));
        object["usage"] = usage(answer);
        object
    }
}

fn since_epoch() -> std::time::Duration {
    // A clock before 1970 gives the epoch; the time is only a label.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn usage(answer: Answer) -> Value {
    let (prompt, completion) = (answer.prompt_tokens, answer.completion_tokens);
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}

fn name(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
    }
}

fn bad_request(message: &str) -> LocalResponse {
    LocalResponse::json(StatusCode::BAD_REQUEST, &error_body(message, INVALID_REQUEST, None, None))
}

fn server_error(message: &str) -> LocalResponse {
    LocalResponse::json(StatusCode::INTERNAL_SERVER_ERROR, &error_body(message, SERVER, None, None))
}

//! Chat requests through `lopper serve` and the real model: what the upstream receives of the code in them.

use crate::support::process::{INVENTORY, Lopper, client};
use crate::support::upstream::Upstream;
use bytes::Bytes;
use lopper::render;
use serde_json::{Value, json};

/// 380 lines, about 3,000 tokens.
const QUESTION: &str = "Why can a shipment fail although the pieces were reserved before?";

/// The proxy, and the upstream that it stands before.
struct Street {
    upstream: Upstream,
    lopper: Lopper,
}

/// What became of a request.
struct Passed {
    status: String,
    before: usize,
    after: usize,
    /// What the upstream received.
    arrived: String,
}

impl Street {
    async fn new() -> Self {
        Self::configured("").await
    }

    async fn configured(config: &str) -> Self {
        Self::with_environment(config, &[]).await
    }

    async fn with_environment(config: &str, environment: &[(&str, &str)]) -> Self {
        let upstream = Upstream::start().await;
        let lopper = Lopper::configured(&upstream.url("/v1"), config, environment);
        Self { upstream, lopper }
    }

    async fn send(&mut self, body: &str) -> Passed {
        let request = client().post(self.lopper.url("/v1/chat/completions")).header("content-type", "application/json");
        let response = request.body(body.to_owned()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers()[name].to_str().unwrap();
        assert!(header("x-lopper-ms").parse::<u64>().is_ok());
        let arrived = self.upstream.request().await;
        assert_eq!(arrived.headers["content-length"], arrived.body.len().to_string());
        Passed {
            status: header("x-lopper-status").to_owned(),
            // Where nothing was counted they are missing.
            before: response
                .headers()
                .get("x-lopper-tokens-before")
                .map_or(0, |n| n.to_str().unwrap().parse().unwrap()),
            after: response.headers().get("x-lopper-tokens-after").map_or(0, |n| n.to_str().unwrap().parse().unwrap()),
            arrived: String::from_utf8(arrived.body.to_vec()).unwrap(),
        }
    }

    /// Sends a body and checks that it arrives as it is, for this reason.
    async fn passes(&mut self, body: &str, status: &str) {
        let passed = self.send(body).await;
        assert_eq!(passed.status, status);
        assert_eq!(passed.before, passed.after);
        assert!(passed.arrived == body, "{status}: the bytes differ");
    }

    /// Sends a body that holds `source` once and checks that it is compressed there and nowhere else.
    async fn compresses(&mut self, body: &str, source: &str) -> Vec<(usize, usize)> {
        let passed = self.send(body).await;
        assert_eq!(passed.status, "compressed");
        assert!(passed.after < passed.before, "{} to {} tokens", passed.before, passed.after);
        left_out(body, &passed.arrived, source, escaped)
    }
}

/// The first classes of the inventory: 800 tokens, which take a quarter of the time.
fn shelves() -> &'static str {
    &INVENTORY[..INVENTORY.find("class Catalogue:").unwrap()]
}

/// The largest class of the inventory.
fn warehouse() -> &'static str {
    &INVENTORY[INVENTORY.find("class Warehouse:").unwrap()..INVENTORY.find("@dataclass\nclass OrderLine:").unwrap()]
}

/// The classes of the inventory from the order on.
fn orders() -> &'static str {
    &INVENTORY[INVENTORY.find("class Order:").unwrap()..INVENTORY.find("def purchase_plan(").unwrap()]
}

/// A question with the code below it, in a fence that names the file.
fn asked(question: &str, source: &str) -> String {
    format!("{question}\n\n```python warehouse/inventory.py\n{source}```\n\nKeep it short.")
}

fn request(messages: Value) -> Value {
    json!({"model": "gpt-4o", "temperature": 0.2, "messages": messages, "user": "a-customer"})
}

fn user(text: &str) -> String {
    request(json!([{"role": "user", "content": text}])).to_string()
}

/// A text as it stands in a JSON string.
fn escaped(text: &str) -> String {
    let literal = serde_json::to_string(text).unwrap();
    literal[1..literal.len() - 1].to_owned()
}

/// Holds what arrived against what was sent: the bytes around the code are the same, every line of the code is there as
/// it was written, or in the range of the marker at its place. Returns these ranges, counted from 1.
fn left_out(sent: &str, arrived: &str, source: &str, escaped: fn(&str) -> String) -> Vec<(usize, usize)> {
    let lines: Vec<String> = source.split_inclusive('\n').map(escaped).collect();
    let (prefix, suffix) = sent.split_once(&lines.concat()).expect("the source stands in the body");
    serde_json::from_str::<Value>(arrived).expect("what arrives is JSON");
    let code = arrived.strip_prefix(prefix).expect("what stands before the code is the same");
    let mut code = code.strip_suffix(suffix).expect("what stands after the code is the same");
    let mut gaps = Vec::new();
    let mut next = 0;
    while !code.is_empty() {
        if let Some(rest) = lines.get(next).and_then(|line| code.strip_prefix(line.as_str())) {
            code = rest;
            next += 1;
            continue;
        }
        let (marker, rest) = code.split_once("\\n").expect("a marker is a line");
        let (first, last) = render::left_out(marker).unwrap_or_else(|| panic!("neither code nor marker: {marker}"));
        assert_eq!(first, next + 1, "{marker}");
        assert!(marker.trim_start().starts_with("# ") && last <= lines.len(), "{marker}");
        assert_eq!(marker.ends_with("\\r"), lines[last - 1].ends_with("\\r\\n"), "{marker}");
        gaps.push((first, last));
        (code, next) = (rest, last);
    }
    assert_eq!(next, lines.len(), "the last lines are gone without a marker");
    gaps
}

/// The lines of each function and method of Python code, first and last, counted from 1.
fn functions(source: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = source.lines().collect();
    let depth = |line: &str| line.len() - line.trim_start().len();
    let starts = (0..lines.len()).filter(|&i| lines[i].trim_start().starts_with("def "));
    starts
        .map(|start| {
            let inside = |line: &&&str| line.trim().is_empty() || depth(line) > depth(lines[start]);
            let body = lines[start + 1..].iter().take_while(inside).collect::<Vec<_>>();
            let blank = body.iter().rev().take_while(|line| line.trim().is_empty()).count();
            (start + 1, start + 1 + body.len() - blank)
        })
        .collect()
}

/// How many of the lines from `first` to `last` are in gaps.
fn missing(gaps: &[(usize, usize)], (first, last): (usize, usize)) -> usize {
    (first..=last).filter(|line| gaps.iter().any(|gap| (gap.0..=gap.1).contains(line))).count()
}

/// The lines of the function whose `def` line holds this.
fn function(source: &str, head: &str) -> (usize, usize) {
    let line = 1 + source.lines().position(|line| line.contains(head)).unwrap();
    functions(source).into_iter().find(|function| function.0 == line).unwrap()
}

#[tokio::test]
async fn a_large_file_arrives_smaller_and_nothing_else_changes() {
    let mut street = Street::new().await;
    let body = user(&asked(QUESTION, INVENTORY));
    let passed = street.send(&body).await;
    assert_eq!(passed.status, "compressed");
    // 0.4 of the code is asked for; markers and whole lines make it inexact.
    assert!(passed.after * 10 < passed.before * 6, "{} to {} tokens", passed.before, passed.after);
    let gaps = left_out(&body, &passed.arrived, INVENTORY, escaped);
    assert!(gaps.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "adjacent gaps share a marker: {gaps:?}");
    assert!(passed.arrived.contains(" of warehouse/inventory.py left out"), "markers name the file");
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn the_fine_stage_cuts_functions() {
    let mut street = Street::configured("[compression]\nfine = \"on\"\n[scorer]\nmethod = \"longcodezip\"\n").await;
    let gaps = street.compresses(&user(&asked(QUESTION, warehouse())), warehouse()).await;
    let functions = functions(warehouse());
    let is_cut = |function: &(usize, usize)| (1..=function.1 - function.0).contains(&missing(&gaps, *function));
    assert!(functions.iter().any(is_cut), "{gaps:?}");
    // A function that stays in part keeps the lines that say what it is.
    assert!(functions.iter().filter(|function| is_cut(function)).all(|head| missing(&gaps, (head.0, head.0)) == 0));
}

#[tokio::test]
async fn the_same_request_gives_the_same_bytes() {
    let body = user(&asked(QUESTION, shelves()));
    let mut street = Street::new().await;
    let first = street.send(&body).await.arrived;
    assert!(first != body);
    assert!(street.send(&body).await.arrived == first, "the second answer differs");
    assert!(Street::new().await.send(&body).await.arrived == first, "another process differs");
}

#[tokio::test]
async fn a_smaller_ratio_keeps_less() {
    let body = user(&asked(QUESTION, shelves()));
    let mut kept = Vec::new();
    for ratio in ["0.2", "0.6"] {
        let mut street = Street::configured(&format!("[compression]\nratio = {ratio}\n")).await;
        let passed = street.send(&body).await;
        assert_eq!(passed.status, "compressed", "{ratio}");
        kept.push(passed.after);
    }
    assert!(kept[0] < kept[1], "{kept:?}");
}

#[tokio::test]
async fn text_parts_are_compressed_and_their_neighbours_kept() {
    let mut street = Street::new().await;
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}});
    let code = format!("warehouse/inventory.py\n```python\n{}```\n", shelves());
    let cached = json!({"type": "text", "text": code, "cache_control": {"type": "ephemeral"}});
    let body = request(json!([
        {"role": "system", "content": [{"type": "text", "text": "You know Python.", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": [cached, image, {"type": "text", "text": QUESTION}]},
    ]));
    street.compresses(&body.to_string(), shelves()).await;
}

#[tokio::test]
async fn each_turn_keeps_its_compressed_form_as_the_chat_grows() {
    let mut street = Street::new().await;
    let first = json!({"role": "user", "content": asked(QUESTION, shelves())});
    let answer = json!({"role": "assistant", "content": "It depends on the shelves."});
    // Another file: one that was shown before is left whole.
    let other = asked("And when is an order cancelled?", orders()).replace("inventory.py", "orders.py");
    let second = json!({"role": "user", "content": other});
    let content = |passed: &Passed, message: usize| {
        assert_eq!(passed.status, "compressed");
        serde_json::from_str::<Value>(&passed.arrived).unwrap()["messages"][message]["content"].clone()
    };
    let alone = street.send(&request(json!([first])).to_string()).await;
    let grown = street.send(&request(json!([first, answer, second])).to_string()).await;
    assert_eq!(content(&grown, 0), content(&alone, 0));
    assert_eq!(content(&grown, 1), answer["content"]);
    assert_ne!(content(&grown, 2), second["content"]);
    left_out(&second["content"].to_string(), &content(&grown, 2).to_string(), orders(), escaped);
}

#[tokio::test]
async fn the_question_may_follow_in_the_next_user_message() {
    let mut street = Street::new().await;
    let body = request(json!([
        {"role": "user", "content": format!("```python\n{}```", shelves())},
        {"role": "assistant", "content": "Ok."},
        {"role": "user", "content": "How does a shelf know what is left over?"},
    ]));
    street.compresses(&body.to_string(), shelves()).await;
}

#[tokio::test]
async fn code_that_must_not_be_touched_arrives_byte_for_byte() {
    let mut street = Street::new().await;
    let small: String = shelves().split_inclusive('\n').take(25).collect();
    let edit = format!("<<<<<<< SEARCH\n{}=======\npass\n>>>>>>> REPLACE\n", shelves());
    let prose = "The shelves (all of them, and more: are counted again on Friday. Who has time?\n".repeat(60);
    let whole_file = format!("{} Return the entire file.", asked("Rename `Shelf` to `Rack`.", shelves()));
    for (text, status) in [
        (asked(QUESTION, &small), "skipped:small"),
        (format!("```python\n{}```", shelves()), "skipped:no-query"),
        (asked(QUESTION, &edit), "skipped:edit-block"),
        (asked(QUESTION, &prose), "skipped:syntax"),
        (whole_file, "skipped:whole-file"),
        (format!("{QUESTION}\n\n```json\n{}```\n", shelves()), "skipped:no-code"),
        (QUESTION.to_owned(), "skipped:no-code"),
    ] {
        street.passes(&user(&text), status).await;
    }
}

#[tokio::test]
async fn only_the_users_messages_are_touched() {
    let mut street = Street::new().await;
    let text = asked(QUESTION, shelves());
    for role in ["system", "developer", "assistant", "tool"] {
        let body = request(json!([{"role": role, "content": text}, {"role": "user", "content": QUESTION}]));
        street.passes(&body.to_string(), "skipped:no-code").await;
    }
}

#[tokio::test]
async fn unusual_json_stays_unusual() {
    /// As a client might write it that escapes what it need not.
    fn oddly(text: &str) -> String {
        let odd = |c: char| match c {
            '\n' => "\\n".to_owned(),
            '/' => "\\/".to_owned(),
            '"' => "\\u0022".to_owned(),
            '\\' => "\\u005C".to_owned(),
            'e' | '_' | '€' => format!("\\u{:04X}", u32::from(c)),
            c => c.to_string(),
        };
        text.chars().map(odd).collect()
    }
    let mut street = Street::new().await;
    let text = oddly(&asked(&format!("{QUESTION} \u{1F4E6}/\u{e9}"), shelves())).replace('\u{1F4E6}', "\\ud83d\\udce6");
    let body = format!(
        "\r\n{{ \"seed\":123456789012345678901234567890 ,\t\"temperature\" : 1.0e-0,\n \"messages\":[ {{\"content\" :\"{text}\" \
         , \"role\": \"\\u0075ser\"}} ]  ,\"logit_bias\":{{\"2\":-0.0,\"1\":1E2}},\"model\":\"gpt-4o\",\"x\\/y\":[ ] }}\n\n"
    );
    let passed = street.send(&body).await;
    assert_eq!(passed.status, "compressed");
    left_out(&body, &passed.arrived, shelves(), oddly);
}

#[tokio::test]
async fn windows_line_breaks_stay() {
    let mut street = Street::new().await;
    let source = shelves().replace('\n', "\r\n");
    let text = asked(QUESTION, shelves()).replace('\n', "\r\n");
    street.compresses(&user(&text), &source).await;
}

#[tokio::test]
async fn what_the_question_names_stays_whole() {
    let mut street = Street::configured("[compression]\nratio = 0.2\n").await;
    for (named, head) in [("`display_price`", "def display_price"), ("`Shelf.take`", "def take"), ("put()", "def put")]
    {
        let body = user(&asked(&format!("What is wrong with {named}?"), shelves()));
        let gaps = street.compresses(&body, shelves()).await;
        assert_eq!(missing(&gaps, function(shelves(), head)), 0, "{named}: {gaps:?}");
    }
}

#[tokio::test]
async fn with_tools_functions_are_whole_or_gone() {
    let mut street = Street::configured("[compression]\nfine = \"auto\"\n").await;
    let tool = json!({"type": "function", "function": {"name": "edit", "parameters": {"type": "object"}}});
    let mut body = request(json!([{"role": "user", "content": asked(QUESTION, INVENTORY)}]));
    body["tools"] = json!([tool]);
    let gaps = street.compresses(&body.to_string(), INVENTORY).await;
    let functions = functions(INVENTORY);
    assert!(functions.len() > 30);
    for function in functions {
        let missing = missing(&gaps, function);
        assert!(missing == 0 || missing == function.1 - function.0 + 1, "{function:?} is cut by {gaps:?}");
    }
}

#[tokio::test]
async fn compression_can_be_off() {
    let mut street = Street::configured("[compression]\nmode = \"off\"\n").await;
    street.passes(&user(&asked(QUESTION, shelves())), "skipped:off").await;
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn after_the_deadline_the_original_goes_on() {
    const SETTINGS: [(&str, &str); 2] = [("LOPPER_SCORER_DEADLINE_MS", "1"), ("LOPPER_SCORER_METHOD", "longcodezip")];
    let mut street = Street::with_environment("", &SETTINGS).await;
    street.passes(&user(&asked(QUESTION, INVENTORY)), "skipped:deadline").await;
}

#[tokio::test]
async fn after_the_deadline_the_words_decide() {
    let mut street = Street::with_environment("", &[("LOPPER_SCORER_DEADLINE_MS", "1")]).await;
    street.compresses(&user(&asked(QUESTION, INVENTORY)), INVENTORY).await;
}

#[tokio::test]
async fn the_answer_to_a_compressed_request_streams() {
    let mut street = Street::new().await;
    let events = street.upstream.reply_events();
    let body = user(&asked(QUESTION, shelves()));
    let request = client().post(street.lopper.url("/v1/chat/completions")).body(body.clone());
    let mut response = request.send().await.unwrap();
    assert_eq!(response.headers()["x-lopper-status"], "compressed");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    for event in ["data: {\"choices\":[]}\n\n", "data: [DONE]\n\n"] {
        events.send(Bytes::from(event)).await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), event);
    }
    drop(events);
    assert!(response.chunk().await.unwrap().is_none());
    assert!(street.upstream.request().await.body != body);
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn without_a_model_the_original_goes_on() {
    let body = user(&asked(QUESTION, shelves()));
    for method in ["longcodezip", "perplexity"] {
        let environment = [("LOPPER_SCORER_MODEL", "/absent/model.gguf"), ("LOPPER_SCORER_METHOD", method)];
        let mut street = Street::with_environment("", &environment).await;
        let passed = street.send(&body).await;
        assert!(passed.status.starts_with("failed:no model file at"), "{}", passed.status);
        assert!(passed.arrived == body, "the bytes differ");
    }
}

#[tokio::test]
async fn words_alone_need_no_model() {
    let body = user(&asked(QUESTION, shelves()));
    for method in ["lexical", "hybrid"] {
        let environment = [("LOPPER_SCORER_MODEL", "/absent/model.gguf"), ("LOPPER_SCORER_METHOD", method)];
        let mut street = Street::with_environment("", &environment).await;
        let passed = street.send(&body).await;
        assert_eq!(passed.status, "compressed");
        assert!(passed.arrived.len() < body.len());
    }
}

//! Sends cases through a running Lopper and measures how much of the code an upstream would receive.
//!
//! The requests go to `/v1/compress`, which returns the compressed messages instead of forwarding them, so the upstream
//! gets none.

use std::time::Instant;

use anyhow::{Context, bail};
use lopper::base::text::Lines;
use lopper::base::tokens::Counter;
use lopper::eval::cases::Case;
use lopper::eval::record::Measured;
use lopper::render;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::{self, Runtime};

/// The method's name in the results.
const METHOD: &str = "through";

/// A running Lopper.
pub struct Through {
    client: reqwest::Client,
    runtime: Runtime,
    url: String,
}

/// The proxy's answer.
#[derive(Deserialize)]
struct Answer {
    messages: Vec<Message>,
    status: String,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

impl Through {
    /// The proxy at `base`, the URL that clients are given, such as `http://127.0.0.1:8787/v1`. Connects to nothing yet.
    ///
    /// # Errors
    /// When `base` is no URL.
    pub fn new(base: &str) -> anyhow::Result<Self> {
        let url = format!("{}/compress", base.trim_end_matches('/'));
        let parsed = reqwest::Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        parsed.with_context(|| format!("--through {base} is no URL, such as http://127.0.0.1:8787/v1"))?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client, runtime, url })
    }

    /// Measures one case at each ratio. Ranks and decoded tokens are unknown; milliseconds include the round trip.
    ///
    /// # Errors
    /// When the proxy does not answer, or not as Lopper does, with the case's id.
    pub fn measure(&self, case: &Case, ratios: &[f32]) -> anyhow::Result<Vec<Measured>> {
        let measured = ratios.iter().map(|&ratio| self.at(case, ratio));
        measured.collect::<anyhow::Result<_>>().with_context(|| format!("case {}", case.id))
    }

    fn at(&self, case: &Case, ratio: f32) -> anyhow::Result<Measured> {
        let prompt = Prompt::new(case);
        let body = json!({"model": "lopper-eval", "messages": [{"role": "user", "content": prompt.content()}]});
        let start = Instant::now();
        let answer = self.runtime.block_on(self.ask(&body, ratio))?;
        let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
        if answer.status.starts_with("failed") {
            bail!("the proxy at {} could not compress it: {}", self.url, answer.status);
        }
        let [message] = &answer.messages[..] else { bail!("{} gave back other messages than it got", self.url) };
        let keep = prompt.kept(&message.content).with_context(|| {
            format!("what {} gave back is not the code with Lopper's markers; is it another compressor?", self.url)
        })?;
        let counter = Counter::for_model(None);
        let kept = case.kept(&keep, counter);
        Ok(Measured {
            id: case.id.clone(),
            group: case.group.clone(),
            name_words: case.name_words_in_question,
            method: METHOD.to_owned(),
            ratio,
            tokens: counter.count(&case.code).0,
            kept: kept.share,
            whole: kept.needle == 1.0,
            lines: kept.needle,
            rank: None,
            milliseconds,
            decoded: None,
            left: Some(answer.status).filter(|status| status != "compressed"),
        })
    }

    async fn ask(&self, body: &Value, ratio: f32) -> anyhow::Result<Answer> {
        let request = self.client.post(&self.url).header("content-type", "application/json");
        let request = request.header("x-lopper-ratio", ratio.to_string()).body(body.to_string());
        let unreachable = || format!("{} gives no answer; is `lopper serve` running there?", self.url);
        let response = request.send().await.with_context(unreachable)?;
        let status = response.status();
        let text = response.text().await.with_context(unreachable)?;
        if !status.is_success() {
            bail!("{} answered {status}: {}", self.url, text.trim());
        }
        serde_json::from_str(&text)
            .with_context(|| format!("{} does not answer as Lopper does; is that its base URL?", self.url))
    }
}

/// A case as a chat message: the question, then the code in a fence.
struct Prompt {
    before: String,
    code: String,
    after: String,
}

impl Prompt {
    fn new(case: &Case) -> Self {
        // Code may hold fences itself, in its doc comments.
        let longest = case.code.split(|c| c != '`').map(str::len).max().unwrap_or_default();
        let fence = "`".repeat(longest.max(2) + 1);
        let mut code = match case.numbered {
            true => case.code.lines().enumerate().map(|(i, line)| format!("{:>6}\t{line}\n", i + 1)).collect(),
            false => case.code.clone(),
        };
        if !code.ends_with('\n') {
            code.push('\n');
        }
        let tag = case.language.name().to_lowercase();
        Self { before: format!("{}\n\n{fence}{tag}\n", case.question), code, after: format!("{fence}\n") }
    }

    fn content(&self) -> String {
        [&*self.before, &self.code, &self.after].concat()
    }

    /// The lines of the code, from 0, that are left in `content`, by its markers. None where anything else has changed.
    fn kept(&self, content: &str) -> Option<Vec<Lines>> {
        let left = content.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        let lines: Vec<&str> = self.code.lines().collect();
        let (mut next, mut keep) = (0, Vec::new());
        for line in left.lines() {
            if lines.get(next) == Some(&line) {
                keep.push(Lines::new(next, next + 1));
                next += 1;
            } else {
                let (first, last) = render::left_out(line).filter(|(first, _)| *first == next + 1)?;
                next = last.max(first);
            }
        }
        (next == lines.len()).then_some(keep)
    }
}

#[cfg(test)]
mod tests {
    use lopper::eval::cases::Needle;
    use lopper::syntax::Language;

    use super::*;

    fn prompt(numbered: bool) -> Prompt {
        Prompt::new(&Case {
            id: "a-0".into(),
            group: "python".into(),
            language: Language::Python,
            code: "a = 1\n# ```\n\nb = 2\nc = 3".into(),
            question: "Which?".into(),
            needle: Needle { start_line: 1, end_line: 1 },
            name_words_in_question: 0.0,
            numbered,
        })
    }

    #[test]
    fn what_is_left_is_told_by_the_markers() {
        let plain = prompt(false);
        assert_eq!(plain.content(), "Which?\n\n````python\na = 1\n# ```\n\nb = 2\nc = 3\n````\n");
        let all = plain.kept(&plain.content()).unwrap();
        assert_eq!(all.len(), 5);
        let cut = |marker: &str| plain.content().replace("# ```\n\nb = 2\n", marker);
        let kept = plain.kept(&cut("# [lopper: lines 2-4 left out; read again before editing]\n")).unwrap();
        assert_eq!(kept, [Lines::new(0, 1), Lines::new(4, 5)]);
        assert!(plain.kept(&cut("# [lopper: lines 2-3 left out; read again before editing]\n")).is_none());
        assert!(plain.kept(&cut("")).is_none());
        assert!(plain.kept(&cut("...\n")).is_none());
        let numbered = prompt(true);
        assert!(numbered.content().contains("\n     4\tb = 2\n     5\tc = 3\n````\n"));
        let cut =
            numbered.content().replace("     5\tc = 3\n", "# [lopper: line 5 left out; read again before editing]\n");
        assert_eq!(numbered.kept(&cut).unwrap().len(), 4);
    }

    #[test]
    fn each_language_is_known_by_its_name() {
        for language in Language::ALL {
            assert_eq!(Language::from_tag(language.name()), Some(language));
        }
    }
}

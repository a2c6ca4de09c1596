//! The last request that a running proxy kept, explained by that proxy.

use anyhow::{Context, bail};
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;

use crate::compress::explain::Explanation;
use crate::proxy;

/// The variable with the admin port's token.
const TOKEN: &str = "LOPPER_ADMIN_TOKEN";

/// What the proxy whose admin port is at `admin` did with the last request that it kept, with the choice at `ratios`.
pub fn last(admin: &str, ratios: &[f32]) -> anyhow::Result<Explanation> {
    let base = Url::parse(admin).ok().filter(|url| url.host().is_some());
    let base = base.with_context(|| format!("--admin is {admin}; it must be a URL such as http://127.0.0.1:8788"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the runtime can't be started")?.block_on(async {
        proxy::install_crypto();
        let admin = Admin { base, client: Client::builder().no_proxy().build()? };
        let Listed { requests } = admin.get("api/requests").await?;
        let Some(Request { id, .. }) = requests.iter().find(|request| request.captured) else {
            return Err(admin.none().await);
        };
        let ratios: Vec<String> = ratios.iter().map(f32::to_string).collect();
        let query = if ratios.is_empty() { String::new() } else { format!("?ratio={}", ratios.join(",")) };
        admin.get(&format!("api/requests/{id}/explain{query}")).await
    })
}

/// The admin port of a proxy.
struct Admin {
    base: Url,
    client: Client,
}

#[derive(Deserialize)]
struct Listed {
    /// The newest is first.
    requests: Vec<Request>,
}

#[derive(Deserialize)]
struct Request {
    id: u64,
    captured: bool,
}

#[derive(Deserialize)]
struct Summary {
    capture: usize,
}

/// What comes with a status that is no success.
#[derive(Deserialize)]
struct Refused {
    error: Message,
}

#[derive(Deserialize)]
struct Message {
    message: String,
}

impl Admin {
    async fn get<T: for<'de> Deserialize<'de>>(&self, path: &str) -> anyhow::Result<T> {
        let url = format!("{}/{path}", self.base.as_str().trim_end_matches('/'));
        let mut request = self.client.get(&url);
        if let Some(token) = std::env::var(TOKEN).ok().filter(|token| !token.is_empty()) {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(|error| {
            let cause = anyhow::Error::from(error).root_cause().to_string();
            anyhow::anyhow!(
                "no admin port answers at {} ({cause}); is `lopper serve` running, and is this its admin.listen?",
                self.base
            )
        })?;
        let status = response.status();
        let body = response.bytes().await.with_context(|| format!("the answer of {url} broke off"))?;
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            bail!("{} wants its token; put it into the variable {TOKEN}", self.base);
        }
        if !status.is_success() {
            let said = serde_json::from_slice::<Refused>(&body).map(|refused| refused.error.message);
            bail!("{url} answers {status}: {}", said.unwrap_or_else(|_| "it is no admin port of Lopper".into()));
        }
        serde_json::from_slice(&body)
            .with_context(|| format!("what {url} answers is not from a Lopper of this version"))
    }

    /// Why there is nothing to explain.
    async fn none(&self) -> anyhow::Error {
        match self.get("api/summary").await {
            Ok(Summary { capture: 0 }) => anyhow::anyhow!(
                "the proxy at {} keeps no text of requests; set `observe.capture = 20` in its lopper.toml, send the \
                 request again, and ask again",
                self.base
            ),
            Ok(_) => anyhow::anyhow!("the proxy at {} has had no request so far that it could keep", self.base),
            Err(error) => error,
        }
    }
}

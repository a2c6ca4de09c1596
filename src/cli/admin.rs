//! The admin port of a running Lopper, as a command asks it: where it is, the token, and what is said when nobody answers.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderValue};
use reqwest::Url;
use serde_json::Value;

use crate::proxy;
use crate::proxy::error::root_cause;

/// Where the admin port is, unless the settings say otherwise.
pub const DEFAULT: &str = "http://127.0.0.1:8788";

/// The variable with the admin port's token, for commands that ask it.
pub const TOKEN: &str = "LOPPER_ADMIN_TOKEN";

/// It is on this machine or near; who gives no answer in this time gives none.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What `path`, which begins with a slash, gives at the usual admin port, as JSON.
///
/// # Errors
/// As those of [`get_from`].
pub fn get(path: &str) -> anyhow::Result<Value> {
    get_from(DEFAULT, path)
}

/// The same at the admin port with this URL, with the token in [`TOKEN`] if it is set.
///
/// # Errors
/// When nothing answers there, the token is missing or wrong, or the answer is an error or no JSON; with what to do.
pub fn get_from(admin: &str, path: &str) -> anyhow::Result<Value> {
    let url = url(admin, path)?;
    let (status, body) = ask(url, token()?).map_err(|cause| {
        anyhow!("no Lopper answers at {admin} ({cause}); is it running? Start it with `lopper serve`")
    })?;
    let answer = serde_json::from_slice::<Value>(&body);
    match status {
        StatusCode::OK => answer.with_context(|| format!("{admin} answers, but {IS_IT}")),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            bail!("{admin} asks for its token ({status}); put it into the environment as {TOKEN}")
        }
        _ => match answer.ok().as_ref().and_then(|answer| answer.pointer("/error/message")?.as_str()) {
            Some(message) => bail!("{message}"),
            None => bail!("{admin} answers {status}, so {IS_IT}"),
        },
    }
}

/// Whether a Lopper says that it lives at the admin port with this URL.
pub fn is_alive(admin: &str) -> bool {
    // Without the token: this path asks for none.
    url(admin, "/healthz").ok().and_then(|url| ask(url, None).ok()).is_some_and(|(status, _)| status == StatusCode::OK)
}

/// What ails an answer that no admin port gives.
const IS_IT: &str = "that is no admin port of Lopper; it is at admin.listen, not where assistants are pointed at";

fn url(admin: &str, path: &str) -> anyhow::Result<Url> {
    let unusable = || format!("{admin:?} is no URL of an admin port; write it like {DEFAULT}");
    let base = Url::parse(admin).with_context(unusable)?;
    if !matches!(base.scheme(), "http" | "https") {
        bail!(unusable());
    }
    Url::parse(&format!("{}{path}", base.as_str().trim_end_matches('/'))).with_context(unusable)
}

/// The token as a header, if there is one. It is never shown.
fn token() -> anyhow::Result<Option<HeaderValue>> {
    let Some(token) = std::env::var_os(TOKEN).filter(|token| !token.is_empty()) else { return Ok(None) };
    let value = token.to_str().and_then(|token| HeaderValue::from_str(&format!("Bearer {}", token.trim())).ok());
    let mut value = value.with_context(|| format!("{TOKEN} has characters that a header can't carry"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Status and body; an error says why there are none.
fn ask(url: Url, token: Option<HeaderValue>) -> Result<(StatusCode, Vec<u8>), String> {
    proxy::install_crypto();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime
        .block_on(async {
            // A bare container has no certificates, and the admin port needs none.
            let client = || reqwest::Client::builder().no_proxy().timeout(TIMEOUT);
            let client = client().build().or_else(|_| client().tls_certs_only([]).build())?;
            let request = client.get(url);
            let request = match token {
                Some(token) => request.header(AUTHORIZATION, token),
                None => request,
            };
            let response = request.send().await?;
            Ok((response.status(), response.bytes().await?.to_vec()))
        })
        .map_err(|error: reqwest::Error| root_cause(&error))
}

//! Client of the admin port of a running Lopper.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderValue};
use reqwest::Url;
use serde_json::Value;

use crate::base::net;
use crate::config::{self, Config, Flags};
use crate::proxy::error::root_cause;

/// The environment variable with the admin port's token.
const TOKEN: &str = "LOPPER_ADMIN_TOKEN";

/// For an answer of a program on this machine or near it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An admin port: its URL and its token.
pub struct Admin {
    url: String,
    /// `Bearer TOKEN`. It is never shown.
    token: Option<HeaderValue>,
}

impl Admin {
    /// The one at `url`, else the one of the settings in `file` or in the usual place.
    ///
    /// # Errors
    /// When there is none: the URL or the settings are not valid, or the admin port is off.
    pub fn find(url: Option<&str>, file: Option<&Path>) -> anyhow::Result<Self> {
        match url {
            Some(url) => Self::at(url),
            None => Self::of(&Config::load(file, config::environment(), Flags::default())?.config),
        }
    }

    /// The one of a Lopper with these settings.
    ///
    /// # Errors
    /// When it has none, or the token can't be sent.
    pub fn of(config: &Config) -> anyhow::Result<Self> {
        let listen = config.admin.listen.context("admin.listen is \"off\", so there is no admin port to ask")?;
        let own = config.admin.token_env.as_deref().unwrap_or(TOKEN);
        Ok(Self { url: format!("http://{}", local_address(listen)), token: token(TOKEN)?.or(token(own)?) })
    }

    fn at(url: &str) -> anyhow::Result<Self> {
        let usable = Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !usable {
            bail!("{url:?} is no URL of an admin port; write it like http://127.0.0.1:8788");
        }
        Ok(Self { url: url.trim_end_matches('/').to_owned(), token: token(TOKEN)? })
    }

    /// The URL, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Reads JSON from `path`, which begins with a slash.
    ///
    /// # Errors
    /// When nothing answers, the token is missing or wrong, or the answer is an error or no JSON; with what to do.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.get_within(path, TIMEOUT)
    }

    /// Reads JSON as [`Self::get`] does, with another time limit.
    ///
    /// # Errors
    /// As those of [`Self::get`].
    pub fn get_within(&self, path: &str, timeout: Duration) -> anyhow::Result<Value> {
        let url = &self.url;
        let (status, body) = self.fetch(path, timeout).map_err(|cause| {
            anyhow!("no Lopper answers at {url} ({cause}); is it running? Start it with `lopper serve`")
        })?;
        let answer = serde_json::from_slice::<Value>(&body);
        match status {
            StatusCode::OK => answer.map_err(|_| anyhow!("{url} answers, but {NOT_ADMIN}")),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                bail!("{url} asks for its token ({status}); put it into the environment as {TOKEN}")
            }
            _ => match answer.ok().as_ref().and_then(|answer| answer.pointer("/error/message")?.as_str()) {
                Some(message) => bail!("{message}"),
                None => bail!("{url} answers {status}: {NOT_ADMIN}"),
            },
        }
    }

    /// Whether a Lopper answers.
    pub fn is_alive(&self) -> bool {
        self.fetch("/healthz", TIMEOUT).is_ok_and(|(status, _)| status == StatusCode::OK)
    }

    /// Fetches status and body; an error is the cause in words.
    fn fetch(&self, path: &str, timeout: Duration) -> Result<(StatusCode, Vec<u8>), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let answer = runtime.map_err(|error| error.to_string())?.block_on(async {
            // The admin port itself speaks no TLS; what stands in front of it may.
            let client = net::client(|| reqwest::Client::builder().no_proxy().timeout(timeout), false)?;
            let request = client.get(format!("{}{path}", self.url));
            let request = match &self.token {
                Some(token) => request.header(AUTHORIZATION, token),
                None => request,
            };
            let response = request.send().await?;
            Ok((response.status(), response.bytes().await?.to_vec()))
        });
        answer.map_err(|error: reqwest::Error| root_cause(&error))
    }
}

/// The address by which programs on this machine reach what listens at `listen`.
pub fn local_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Explains an answer that no admin port gives.
const NOT_ADMIN: &str =
    "this is no admin port of Lopper. Its address is that of admin.listen, not the one that assistants are pointed at";

/// Reads a token from an environment variable, if it is set, as the value of a header.
fn token(variable: &str) -> anyhow::Result<Option<HeaderValue>> {
    let Some(token) = std::env::var_os(variable).filter(|token| !token.is_empty()) else { return Ok(None) };
    let value = token.to_str().and_then(|token| HeaderValue::from_str(&format!("Bearer {}", token.trim())).ok());
    let mut value = value.with_context(|| format!("{variable} has characters that a header can't carry"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

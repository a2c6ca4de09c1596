//! Asks a running proxy to explain the last request that it kept.

use std::time::Duration;

use anyhow::{Context, bail};

use crate::cli::admin::Admin;
use crate::pipeline::explanation::Explanation;

/// An explanation may take as long as scoring does.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Explains the last request that the proxy with this admin port kept, with the choice at `ratios`.
pub fn last(admin: &Admin, ratios: &[f32]) -> anyhow::Result<Explanation> {
    let url = admin.url();
    let listed = admin.get("/api/requests")?;
    let mut requests = listed["requests"].as_array().into_iter().flatten();
    let kept = requests.find(|request| request["captured"] == true).and_then(|request| request["id"].as_u64());
    let Some(id) = kept else {
        if admin.get("/api/summary")?["capture"] == 0 {
            bail!(
                "the proxy at {url} keeps no text of requests; set `observe.capture = 20` in its lopper.toml, send the \
                 request again, and ask again"
            );
        }
        bail!("the proxy at {url} has had no request so far that it could keep");
    };
    let ratios: Vec<String> = ratios.iter().map(f32::to_string).collect();
    let query = if ratios.is_empty() { String::new() } else { format!("?ratio={}", ratios.join(",")) };
    let explanation = admin.get_within(&format!("/api/requests/{id}/explain{query}"), TIMEOUT)?;
    serde_json::from_value(explanation)
        .with_context(|| format!("what {url} answers is not from a Lopper of this version"))
}

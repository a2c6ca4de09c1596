//! The last request that a running proxy kept, explained by that proxy.

use std::time::Duration;

use anyhow::{Context, bail};

use crate::cli::admin::Admin;
use crate::pipeline::explain::Explanation;

/// An explanation may take as long as scoring does.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the proxy with this admin port did with the last request that it kept, with the choice at `ratios`.
pub fn last(admin: &Admin, ratios: &[f32]) -> anyhow::Result<Explanation> {
    let listed = admin.get("/api/requests")?;
    let requests = listed["requests"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(id) =
        requests.iter().find(|request| request["captured"] == true).and_then(|request| request["id"].as_u64())
    else {
        return none(admin);
    };
    let ratios: Vec<String> = ratios.iter().map(f32::to_string).collect();
    let query = if ratios.is_empty() { String::new() } else { format!("?ratio={}", ratios.join(",")) };
    let explanation = admin.get_within(&format!("/api/requests/{id}/explain{query}"), PATIENCE)?;
    serde_json::from_value(explanation)
        .with_context(|| format!("what {} answers is not from a Lopper of this version", admin.url()))
}

/// Why there is nothing to explain.
fn none(admin: &Admin) -> anyhow::Result<Explanation> {
    let url = admin.url();
    if admin.get("/api/summary")?["capture"] == 0 {
        bail!(
            "the proxy at {url} keeps no text of requests; set `observe.capture = 20` in its lopper.toml, send the request \
             again, and ask again"
        );
    }
    bail!("the proxy at {url} has had no request so far that it could keep");
}

//! Runs a proxy from its start to its end.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::assemble::{self, Parts};
use super::live_config::{LiveConfig, Source};
use super::{logging, reload, scorer};
use crate::config::{self, Loaded};
use crate::observe::admin::{AdminConfig, AdminError, AdminServer};
use crate::observe::{Observer, OnRecord, trace};
use crate::proxy::{self, ProxyConfig, Server, Sidecar, SidecarConfig};

/// Runs the proxy with the settings of `source` until a signal stops it.
///
/// # Errors
/// When the settings have mistakes, or an address, key or certificate that they name can't be used.
pub fn run(source: Source, format: logging::Format) -> anyhow::Result<()> {
    let loaded = source.load()?;
    let socket = assemble::socket(&loaded.config)?;
    let admin = assemble::admin(&loaded.config)?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime can't be started")?;
    runtime.block_on(async {
        let traces = loaded.config.observe.otlp_endpoint.as_deref().map(trace::Traces::to).transpose()?;
        logging::requests(format, traces.as_ref());
        let is_terminal = logging::is_terminal(format);
        if let Some(file) = &loaded.file {
            logging::print(format_args!("settings   {}", file.display()));
        }
        loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        logging::print(format_args!("upstream   {}", loaded.config.upstream.base_url));
        if assemble::is_open(&socket) {
            let warning = "ANYONE WHO REACHES THIS ADDRESS CAN USE THIS PROXY: server.insecure is set, and no server.api_keys_env";
            logging::print(format_args!("warning    {warning}"));
            tracing::warn!(listen = %socket.listen, "{warning}");
        }
        let on_record: Box<OnRecord> = if is_terminal { Box::new(logging::print_line) } else { Box::new(|_| {}) };
        let observer = Arc::new(Observer::new(assemble::observation(&loaded.config), on_record));
        let stop = CancellationToken::new();
        // Before the model is loaded: it shows that Lopper is starting.
        let admin = start_admin(admin, &observer, &stop).await?;
        let served = serve(source, loaded, socket, &observer, is_terminal).await;
        stop.cancel();
        if let Some(admin) = admin {
            // It ends with `stop`; a panic in it is logged.
            let _ = admin.await;
        }
        served
    })
}

async fn serve(
    source: Source,
    loaded: Loaded,
    socket: ProxyConfig,
    observer: &Arc<Observer>,
    is_terminal: bool,
) -> anyhow::Result<()> {
    let hangups = reload::Hangups::new();
    let config = loaded.config.clone();
    let for_parts = config.clone();
    let parts = tokio::task::spawn_blocking(move || assemble::assemble(&for_parts, is_terminal))
        .await
        .context("it panicked")??;
    let Parts { upstream, compressor, is_loading } = parts;
    let running = LiveConfig::new(source, loaded, compressor, upstream, observer.clone());
    let config::Sidecar { memory_bytes, max_age } = config.sidecar;
    let sidecar = Sidecar::new(running.snapshot(), observer.clone(), SidecarConfig { memory_bytes, max_age });
    let server = Server::bind(socket, running.snapshot(), Some(Arc::new(sidecar)), observer.clone())
        .await
        .with_context(|| format!("can't listen on {}; choose another --listen", config.server.listen))?;
    let url = server.url();
    running.set_url(url.clone());
    // Before the address is printed: a reader may use it at once.
    observer.set_ready();
    println!("listening on {url}");
    std::io::stdout().flush()?;
    if is_terminal {
        logging::print(format_args!(
            "\nPoint your assistant at {url}/v1; `lopper setup` lists those it knows how to.\n"
        ));
    }
    if is_loading {
        let running = running.clone();
        tokio::task::spawn_blocking(move || running.set_scorer(scorer::load_or_explain(&config, is_terminal)));
    }
    let mut reloads = tokio::spawn(reload::watch(running, hangups));
    let stop = async {
        tokio::select! {
            () = proxy::shutdown_signal() => {}
            // The terminal was closed. After a panic there Lopper goes on with the settings it has.
            Ok(()) = &mut reloads => {}
        }
    };
    server.run(stop).await;
    reloads.abort();
    Ok(())
}

/// Starts the admin port. If its address is taken, most likely by another Lopper, the proxy runs without.
async fn start_admin(
    config: Option<AdminConfig>,
    observer: &Arc<Observer>,
    stop: &CancellationToken,
) -> anyhow::Result<Option<tokio::task::JoinHandle<()>>> {
    let Some(config) = config else { return Ok(None) };
    match AdminServer::bind(config, observer.clone()).await {
        Ok(admin) => {
            logging::print(format_args!("admin      http://{}", admin.local_addr()));
            Ok(Some(tokio::spawn(admin.run(stop.clone().cancelled_owned()))))
        }
        Err(error @ AdminError::NoToken(_)) => Err(error.into()),
        Err(error @ AdminError::Bind(..)) => {
            logging::print(format_args!("warning    NO ADMIN PAGE: {error}"));
            Ok(None)
        }
    }
}

//! Traces for an OpenTelemetry collector: a span for each request, within the client's trace, and one for each stage.
//!
//! Spans have names, times and numbers, and nothing of a request's text.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HeaderExtractor, HeaderInjector, HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The exporter of spans; the last ones are sent when it is dropped.
pub struct Traces {
    provider: SdkTracerProvider,
}

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
#[error("traces can't be sent to observe.otlp_endpoint: {0}")]
pub struct TraceError(String);

impl Traces {
    /// Sends spans to the collector at `endpoint`, a base URL, from the runtime that this is called in.
    ///
    /// # Errors
    /// When no client for it can be made.
    pub fn to(endpoint: &str) -> Result<Self, TraceError> {
        let failed = |error: &dyn std::fmt::Display| TraceError(error.to_string());
        crate::base::net::install_crypto();
        // A collector is most often on this machine or in its network.
        let client = reqwest::Client::builder().no_proxy().build().map_err(|error| failed(&error))?;
        let client = Client { client, runtime: tokio::runtime::Handle::current() };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .build()
            .map_err(|error| failed(&error))?;
        let resource = Resource::builder().with_service_name("lopper").build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        Ok(Self { provider })
    }

    /// The tracer for the log's layer.
    pub fn tracer(&self) -> Tracer {
        self.provider.tracer("lopper")
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// A span for a request with these headers, in the client's trace if they name one.
pub fn request_span(headers: &HeaderMap) -> Span {
    let span = tracing::debug_span!(target: TARGET, "request", otel.kind = "server");
    if !span.is_disabled() {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        // Fails only where no spans are sent.
        let _ = span.set_parent(parent);
    }
    span
}

/// Makes `span` the parent of the next server's spans. Without traces the client's headers stay as they are.
pub fn continue_in(span: &Span, headers: &mut HeaderMap) {
    use opentelemetry::trace::TraceContextExt as _;
    if span.is_disabled() {
        return;
    }
    let context = span.context();
    if context.span().span_context().is_valid() {
        TraceContextPropagator::new().inject_context(&context, &mut HeaderInjector(headers));
    }
}

/// The log target of a request's span.
pub const TARGET: &str = "lopper::span";

/// Sends spans with reqwest, on the runtime, as the exporter's thread is not one of its own.
#[derive(Debug)]
struct Client {
    client: reqwest::Client,
    runtime: tokio::runtime::Handle,
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let response = client.execute(request).await?.error_for_status()?;
            let status = response.status();
            Ok::<_, reqwest::Error>((status, response.bytes().await?))
        });
        let (status, body) = sent.await??;
        Ok(Response::builder().status(status).body(body)?)
    }
}

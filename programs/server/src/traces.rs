//! Traces of requests, exported by OTLP over HTTP.
//!
//! ```text
//!   client ── traceparent: 00-<trace>-<span>-01 ──► request ── admission, validate, wal, permit, snapshot, plan,
//!                                                     │         execute, requests to the store
//!                                                     ▼
//!                           queue of at most 2,048 spans ── every 5 s, or 512 spans ──► --traces-exporter-otlp-endpoint
//! ```
//!
//! Only requests whose clients ask for a trace have spans. Spans that the queue has no room for are dropped. Without an
//! exporter, no span is created.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use axum::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use neap_bucket::{TRACE_TARGET, World};
use neap_http::RequestTracer;
use neap_http_client::{is_this_machine, read_response_start};
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator,
    trace::{Span as _, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider},
};
use reqwest::redirect::Policy;
use tokio::runtime::Handle;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};
use url::Url;

use super::{ServeError, version::VERSION};

/// Maximum number of spans that wait to be sent.
const MAX_QUEUED_SPANS: usize = 2_048;
/// Maximum number of spans in a message.
const MAX_BATCH_SPANS: usize = 512;
/// Maximum time between the end of a span and its message.
const SEND_INTERVAL: Duration = Duration::from_secs(5);
/// Timeout of a message.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time for the last message when the process stops.
const LAST_SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum bytes of an answer that are read.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// The options of traces.
#[derive(Debug, Args)]
#[command(next_help_heading = "Traces")]
pub(crate) struct TraceArgs {
    /// How to send traces of requests whose clients ask for one with `traceparent`.
    #[arg(long, value_enum, value_name = "EXPORTER", default_value = "none")]
    pub(super) traces_exporter: TracesExporter,

    /// The URL that accepts traces in the format of OpenTelemetry (OTLP, protobuf). Headers for it, such as a token, come
    /// from the environment variable OTEL_EXPORTER_OTLP_HEADERS.
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:4318/v1/traces"
    )]
    pub(super) traces_exporter_otlp_endpoint: Url,
}

/// Exporters of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TracesExporter {
    /// No traces.
    None,
    /// OTLP over HTTP.
    Otlp,
    /// Accepted for influxdb3's sake, without effect.
    #[value(hide = true)]
    Jaeger,
}

/// Exports the traces of requests.
#[derive(Debug)]
pub(super) struct TraceExport {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
    world: World,
}

impl TraceExport {
    /// Starts the export that the options ask for; `None` without an exporter.
    pub(super) fn start(
        args: &TraceArgs,
        node: Option<&str>,
        world: &World,
    ) -> Result<Option<Arc<Self>>, ServeError> {
        if args.traces_exporter != TracesExporter::Otlp {
            return Ok(None);
        }
        let endpoint = &args.traces_exporter_otlp_endpoint;
        let invalid =
            |reason: String| ServeError::Traces { endpoint: endpoint.to_string(), reason };
        let client = OtlpClient::new(endpoint).map_err(|error| invalid(error.to_string()))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint.as_str())
            .with_timeout(SEND_TIMEOUT)
            .build()
            .map_err(|error| invalid(error.to_string()))?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(MAX_QUEUED_SPANS)
            .with_max_export_batch_size(MAX_BATCH_SPANS)
            .with_scheduled_delay(SEND_INTERVAL);
        let processor =
            BatchSpanProcessor::builder(exporter).with_batch_config(batches.build()).build();
        let instance = node.map(|node| KeyValue::new("service.instance.id", node.to_owned()));
        let resource = Resource::builder_empty()
            .with_service_name("neap")
            .with_attribute(KeyValue::new("service.version", VERSION))
            .with_attributes(instance);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            // A span without a traced request is not exported.
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)))
            .with_resource(resource.build())
            .build();
        neap_query::propagate_spans();
        Ok(Some(Arc::new(Self {
            tracer: provider.tracer("neap"),
            provider,
            propagator: TraceContextPropagator::new(),
            world: world.clone(),
        })))
    }

    /// Returns the layer that receives the spans of traced requests.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_context_activation(false)
            .with_filter(filter_fn(|metadata| metadata.target() == TRACE_TARGET))
    }

    /// Sends the spans that wait.
    pub(super) async fn end(&self) {
        let provider = self.provider.clone();
        let ended = move || provider.shutdown_with_timeout(LAST_SEND_TIMEOUT);
        match tokio::task::spawn_blocking(ended).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "some traces were not sent"),
            Err(error) => tracing::warn!(%error, "some traces were not sent"),
        }
    }

    fn parent(&self, headers: &HeaderMap) -> Context {
        let empty = Context::new();
        self.propagator.extract_with_context(&empty, &HeaderExtractor(headers))
    }
}

impl RequestTracer for TraceExport {
    fn is_requested(&self, headers: &HeaderMap) -> bool {
        headers.contains_key("traceparent") && {
            let parent = self.parent(headers).span().span_context().clone();
            parent.is_valid() && parent.is_sampled()
        }
    }

    fn attach(&self, span: &Span, headers: &HeaderMap, admission: Duration) {
        if let Err(error) = span.set_parent(self.parent(headers)) {
            tracing::debug!(%error, "a request has no trace");
            return;
        }
        let micros = u64::try_from(self.world.clock.wall_micros()).unwrap_or(0);
        let now: SystemTime = UNIX_EPOCH + Duration::from_micros(micros);
        let mut step = self
            .tracer
            .span_builder("admission")
            .with_start_time(now.checked_sub(admission).unwrap_or(now))
            .start_with_context(&self.tracer, &span.context());
        step.end_with_timestamp(now);
    }

    fn rename(&self, span: &Span, name: String) {
        span.context().span().update_name(name);
    }
}

/// The connection to the receiver of traces. The exporter has a thread of its own; its requests run on the runtime of the
/// server.
#[derive(Debug)]
struct OtlpClient {
    http: reqwest::Client,
    runtime: Handle,
    /// Whether the last message failed, so that a series of failures is logged once.
    is_failing: AtomicBool,
}

impl OtlpClient {
    fn new(endpoint: &Url) -> Result<Self, HttpError> {
        let http = reqwest::Client::builder()
            .timeout(SEND_TIMEOUT)
            .redirect(Policy::none())
            .user_agent(concat!("neap/", env!("CARGO_PKG_VERSION")));
        let http = if is_this_machine(endpoint) {
            http.no_proxy()
        } else {
            http
        };
        Ok(Self {
            http: http.build()?,
            runtime: Handle::try_current()?,
            is_failing: AtomicBool::new(false),
        })
    }

    /// Logs the first failure of a series, and its end.
    fn record_outcome(&self, failure: Option<String>) {
        let was_failing = self.is_failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(reason) if !was_failing => {
                tracing::warn!(reason, "cannot send traces; further failures are not logged");
            }
            None if was_failing => tracing::info!("traces are sent again"),
            Some(_) | None => {}
        }
    }
}

#[async_trait]
impl HttpClient for OtlpClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request.map(reqwest::Body::from))?;
        let sent = self.runtime.spawn(send(self.http.clone(), request)).await;
        let answer = sent.map_err(HttpError::from).flatten();
        self.record_outcome(match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the receiver answers {}", answer.status())),
            Err(error) => Some(error.to_string()),
        });
        answer
    }
}

/// Sends a message, and returns the answer, whose body may be cut off.
async fn send(
    http: reqwest::Client,
    request: reqwest::Request,
) -> Result<Response<Bytes>, HttpError> {
    let mut answer = http.execute(request).await?;
    let body = read_response_start(&mut answer, MAX_ANSWER_BYTES).await?;
    let mut response = Response::new(body);
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    Ok(response)
}

//! OTLP over gRPC.

mod message_memory;
mod status;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::post,
};
use bytes::{Buf, Bytes};
use http::{HeaderMap, Uri};
use neap_http::{Caller, STAMP_HEADER};
use neap_write::WriteService;
use prost::Message;
use tonic::{
    Code, Status, Streaming,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::BoxFuture,
    metadata::AsciiMetadataKey,
    server::{ClientStreamingService, Grpc},
};

use self::{message_memory::MessageMemory, status::status_of};
use crate::{
    encoding::Encoding,
    export::{ExportError, ExportOutcome, store},
    messages::ExportResponse,
    rows::Signal,
    target::ExportTarget,
};

const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Returns the routes of the three services of OTLP over gRPC, which store OpenTelemetry data with `service`.
///
/// They are merged with the other routes of a process that speaks HTTP/2, and wrapped by
/// `neap_http::with_common_layers`, which authenticates requests and turns its own errors into statuses of gRPC.
pub fn grpc_router(service: Arc<WriteService>) -> Router {
    Router::new()
        .route(METRICS, post(metrics))
        .route(LOGS, post(logs))
        .route(TRACES, post(traces))
        .with_state(service)
}

async fn metrics(State(service): State<Arc<WriteService>>, request: Request) -> Response {
    respond(service, Signal::Metrics, request).await
}

async fn logs(State(service): State<Arc<WriteService>>, request: Request) -> Response {
    respond(service, Signal::Logs, request).await
}

async fn traces(State(service): State<Arc<WriteService>>, request: Request) -> Response {
    respond(service, Signal::Traces, request).await
}

async fn respond(service: Arc<WriteService>, signal: Signal, request: Request) -> Response {
    let max_message_bytes = service.settings().max_request_bytes;
    let memory = MessageMemory::new(Arc::clone(&service));
    let request = request.map(|body| memory.reserve_message(body));
    let export = ExportMethod {
        service,
        signal,
        memory,
        caller: request.extensions().get::<Caller>().cloned(),
        headers: request.headers().clone(),
        uri: request.uri().clone(),
    };
    // On the wire, a call with one message is the same as one with a stream of messages. The message is not read before
    // the permission is checked, and it is read within a time limit.
    let mut grpc = Grpc::new(BodyCodec)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(max_message_bytes);
    grpc.client_streaming(export, request).await.map(Body::new)
}

/// A call of `Export`.
struct ExportMethod {
    service: Arc<WriteService>,
    signal: Signal,
    memory: MessageMemory,
    caller: Option<Caller>,
    headers: HeaderMap,
    uri: Uri,
}

impl ClientStreamingService<Bytes> for ExportMethod {
    type Response = ExportResponse;
    type Future = BoxFuture<tonic::Response<ExportResponse>, Status>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        let export = PendingExport {
            service: Arc::clone(&self.service),
            signal: self.signal,
            memory: self.memory.clone(),
            caller: self.caller.take(),
            headers: std::mem::take(&mut self.headers),
            uri: std::mem::take(&mut self.uri),
            messages: request.into_inner(),
        };
        Box::pin(export.run())
    }
}

/// A call whose message was not read yet.
struct PendingExport {
    service: Arc<WriteService>,
    signal: Signal,
    memory: MessageMemory,
    caller: Option<Caller>,
    headers: HeaderMap,
    uri: Uri,
    messages: Streaming<Bytes>,
}

impl PendingExport {
    async fn run(mut self) -> Result<tonic::Response<ExportResponse>, Status> {
        let Some(caller) = self.caller.take() else {
            return Err(Status::unauthenticated("Unauthenticated"));
        };
        let service = Arc::clone(&self.service);
        let target = ExportTarget::resolve(&service, &caller, &self.headers, &self.uri)
            .await
            .map_err(|error| status_of(&error))?;
        let body = self.read_message().await?;
        let reservation = self.memory.take(body.len()).await?;
        let kind = (self.signal, Encoding::Protobuf);
        let stored = store(&service, target, reservation, kind, body).await;
        stored.map(into_response).map_err(|ExportError { error, .. }| status_of(&error))
    }

    async fn read_message(&mut self) -> Result<Bytes, Status> {
        let limit = self.service.settings().body_timeout;
        let message = self.messages.message();
        let message = self.service.world().timeout(limit, message).await.ok_or_else(|| {
            let text = format!("the message did not arrive within {} s", limit.as_secs_f64());
            Status::deadline_exceeded(text)
        })?;
        match message {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(Status::invalid_argument("the request has no message")),
            // The message is too large. Clients retry `OutOfRange`.
            Err(status) if matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted) => {
                Err(Status::invalid_argument(status.message()))
            }
            Err(status) => Err(status),
        }
    }
}

fn into_response(outcome: ExportOutcome) -> tonic::Response<ExportResponse> {
    let mut response = tonic::Response::new(outcome.response);
    let stamp = outcome.stamp.map(|stamp| stamp.as_u64().to_string().parse());
    let name = AsciiMetadataKey::from_bytes(STAMP_HEADER.as_str().as_bytes());
    if let (Some(Ok(stamp)), Ok(name)) = (stamp, name) {
        response.metadata_mut().insert(name, stamp);
    }
    response
}

/// Decodes no more than the frame of a message, because the message is converted in parts.
#[derive(Clone, Copy, Debug, Default)]
struct BodyCodec;

impl Codec for BodyCodec {
    type Encode = ExportResponse;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BodyCodec {
    type Item = ExportResponse;
    type Error = Status;

    fn encode(
        &mut self,
        response: ExportResponse,
        buffer: &mut EncodeBuf<'_>,
    ) -> Result<(), Status> {
        let encoded = response.encode(buffer);
        encoded.map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for BodyCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

//! The methods of Flight.

use std::{sync::Arc, time::Duration};

use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, Criteria,
    Empty, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest,
    HandshakeResponse, PollInfo, PutResult, SchemaAsIpc, SchemaResult, Ticket,
    flight_service_server::{FlightService, FlightServiceServer},
    sql::{
        ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
        ActionCreatePreparedStatementRequest, Any, ProstMessageExt,
    },
};
use axum::{Router, body::Body, middleware::map_request};
use futures::StreamExt;
use http::header::AUTHORIZATION;
use neap_bucket::World;
use neap_http::{CounterFamily, Metrics, STAMP_HEADER};
use neap_query::{Parameters, QueryEngine, QueryRequest};
use neap_sql_changes::ChangeExecutor;
use neap_write::WriteService;
use prost::Message;
use tonic::{Code, Request, Response, Status, Streaming, codec::CompressionEncoding};
use uuid::Builder;

use crate::{
    cancellable_queries::CancellableQueries,
    changes,
    command::{RequestedRows, refuse_transaction, statement_ticket},
    ingest,
    message_limits::{MessageLimits, limit_messages},
    message_stream::{MessageStream, stream_of},
    prepared,
    request_metadata::RequestMetadata,
    row_stream::{FlightStream, set_stamps, stream_batch, stream_rows, write_options},
    statement_handle::StatementHandle,
    status,
    ticket::DecodedTicket,
    upload::{self, Upload, UploadLimits, UploadPurpose},
};

const CREATE_PREPARED_STATEMENT: &str = "CreatePreparedStatement";
const CLOSE_PREPARED_STATEMENT: &str = "ClosePreparedStatement";
const CANCEL_QUERY: &str = "CancelQuery";
const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";

/// The result `Cancelled` of the action `CancelQuery`.
const CANCELLED: i32 = 1;

/// The number of rows that a statement changed, if it is unknown.
const UNKNOWN_COUNT: i64 = -1;

/// Maximum size of a message without rows of a table, in bytes: statements and the values of their placeholders.
const MAX_QUERY_MESSAGE_BYTES: usize = 4 << 20;

/// The components of the service.
#[derive(Clone, Debug)]
pub struct FlightParts {
    /// Answers queries; `None`: this process has no query function.
    pub queries: Option<Arc<QueryEngine>>,
    /// Stores rows; `None`: this process has no write function.
    pub writes: Option<Arc<WriteService>>,
    /// The registry of the request metrics.
    pub metrics: Metrics,
    /// The clock, timers and randomness.
    pub world: World,
    /// Maximum size of a message from a client, in bytes, also when it is decompressed.
    pub max_message_bytes: usize,
    /// Maximum time between two messages of a client.
    pub message_timeout: Duration,
}

/// The routes of Flight. They are admitted, logged and limited by the layers around all routes.
pub fn router(parts: FlightParts) -> Router {
    let requests = parts.metrics.counter(
        "neap_flight_requests_total",
        "Requests of Arrow Flight by method and gRPC code.",
        &["method", "code"],
    );
    let max_message_bytes = if parts.writes.is_some() {
        parts.max_message_bytes
    } else {
        parts.max_message_bytes.min(MAX_QUERY_MESSAGE_BYTES)
    };
    let queries = MessageLimits {
        max_bytes: max_message_bytes.min(MAX_QUERY_MESSAGE_BYTES),
        timeout: parts.message_timeout,
        memory: None,
        world: parts.world.clone(),
    };
    let rows = MessageLimits {
        max_bytes: max_message_bytes,
        memory: parts.writes.clone(),
        ..queries.clone()
    };
    let service = ArrowFlight {
        queries: parts.queries,
        writes: parts.writes,
        world: parts.world,
        limits: UploadLimits {
            batch_bytes: max_message_bytes,
            message_timeout: parts.message_timeout,
        },
        running: CancellableQueries::default(),
        requests,
    };
    // Answers are not compressed by gRPC: many clients accept gzip without being asked, and it costs processor time. A
    // client chooses a compression of its rows by a header.
    let service = FlightServiceServer::new(service)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(max_message_bytes)
        .max_encoding_message_size(usize::MAX);
    let limit = move |request: http::Request<Body>| {
        let limits = if request.uri().path().ends_with("/DoPut") {
            rows.clone()
        } else {
            queries.clone()
        };
        std::future::ready(request.map(|body| limit_messages(body, limits)))
    };
    Router::new()
        .route_service("/arrow.flight.protocol.FlightService/{method}", service)
        .layer(map_request(limit))
}

/// Arrow Flight over the functions of this process.
#[derive(Debug)]
struct ArrowFlight {
    queries: Option<Arc<QueryEngine>>,
    writes: Option<Arc<WriteService>>,
    world: World,
    limits: UploadLimits,
    running: CancellableQueries,
    requests: CounterFamily,
}

impl ArrowFlight {
    fn queries(&self) -> Result<&Arc<QueryEngine>, Status> {
        self.queries
            .as_ref()
            .ok_or_else(|| Status::unimplemented("this server does not answer queries"))
    }

    fn writes(&self) -> Result<&Arc<WriteService>, Status> {
        self.writes
            .as_ref()
            .ok_or_else(|| Status::unimplemented("this server does not accept writes"))
    }

    fn executor(&self) -> Result<ChangeExecutor, Status> {
        let queries = Arc::clone(self.queries()?);
        Ok(ChangeExecutor::new(queries, self.writes.clone()))
    }

    fn metadata<T>(&self, request: &Request<T>) -> Result<RequestMetadata, Status> {
        RequestMetadata::from_request(request, &self.world)
    }

    /// Counts a request by its outcome.
    fn count<T>(&self, method: &str, outcome: Result<T, Status>) -> Result<T, Status> {
        let code = outcome.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.requests.add(&[method, &format!("{code:?}")], 1);
        outcome.map_err(status::cut)
    }

    async fn rows(
        &self,
        ticket: &[u8],
        metadata: &RequestMetadata,
    ) -> Result<Response<FlightStream>, Status> {
        let engine = self.queries()?;
        match RequestedRows::of_ticket(ticket, metadata)? {
            RequestedRows::Catalog(command, metadata) => {
                let batch = command.answer(engine, &metadata).await?;
                Ok(Response::new(stream_batch(batch)))
            }
            RequestedRows::Statement(handle, parameters) => {
                self.statement_rows(&handle, parameters, metadata).await
            }
        }
    }

    /// Executes a statement whose rows are of no interest, and returns the number of rows that it changed.
    async fn update(
        &self,
        handle: &StatementHandle,
        metadata: &RequestMetadata,
    ) -> Result<Response<MessageStream<PutResult>>, Status> {
        let executor = self.executor()?;
        if let Some(changed) = changes::execute(&executor, handle, metadata).await? {
            let rows = changed.rows.and_then(|rows| i64::try_from(rows).ok());
            let count = ingest::row_count(rows.unwrap_or(UNKNOWN_COUNT));
            let mut response = stream_of(vec![count]);
            set_stamps(&mut response, [(STAMP_HEADER, changed.stamp)]);
            return Ok(response);
        }
        let mut rows = self.statement_rows(handle, None, metadata).await?.into_inner();
        while let Some(message) = rows.next().await {
            message?;
        }
        Ok(stream_of(vec![ingest::row_count(UNKNOWN_COUNT)]))
    }

    /// Executes a statement with these values of its placeholders, or with those in its handle.
    async fn statement_rows(
        &self,
        handle: &StatementHandle,
        parameters: Option<Parameters>,
        metadata: &RequestMetadata,
    ) -> Result<Response<FlightStream>, Status> {
        let executor = self.executor()?;
        let options = write_options(metadata.headers())?;
        let parameters = match parameters {
            Some(parameters) => parameters,
            None => prepared::parameters(&executor, metadata, handle).await?,
        };
        let request = QueryRequest {
            text: handle.text.clone(),
            parameters,
            may_delete: true,
            ..metadata.query_options().clone()
        };
        let language = handle.statement_language()?;
        let query = metadata.client_query(handle.database.clone(), language, request);
        let running = self.running.register(&handle.query_id, metadata.caller());
        let rows = tokio::select! {
            biased;
            () = running.cancelled() => return Err(Status::cancelled("the query was cancelled")),
            rows = executor.queries().query_as(query) => rows.map_err(status::of_client_query)?,
        };
        Ok(stream_rows(rows, options, running, self.world.clone()))
    }

    async fn info(
        &self,
        descriptor: FlightDescriptor,
        metadata: &RequestMetadata,
    ) -> Result<FlightInfo, Status> {
        let executor = self.executor()?;
        let (columns, ticket) = match RequestedRows::of_descriptor(&descriptor, metadata)? {
            RequestedRows::Catalog(command, _) => {
                (command.columns()?, command.ticket().encode_to_vec().into())
            }
            RequestedRows::Statement(handle, parameters) => {
                let columns =
                    prepared::columns(&executor, metadata, &handle, parameters.as_ref()).await?;
                let ticket = match parameters {
                    Some(_) => descriptor.cmd.clone(),
                    None => {
                        let handle = self.with_query_id(handle);
                        statement_ticket(&handle).encode_to_vec().into()
                    }
                };
                (columns, ticket)
            }
        };
        let endpoint = FlightEndpoint::new().with_ticket(Ticket { ticket });
        let info = FlightInfo::new()
            .try_with_schema(&columns)
            .map_err(|error| Status::internal(error.to_string()))?;
        Ok(info.with_descriptor(descriptor).with_endpoint(endpoint))
    }

    /// Returns a handle under whose id the query can be cancelled.
    fn with_query_id(&self, handle: StatementHandle) -> StatementHandle {
        let mut random = [0; 16];
        self.world.entropy.fill(&mut random);
        let id = Builder::from_random_bytes(random).into_uuid();
        handle.with_query_id(id.to_string())
    }

    /// Cancels the queries that a client started with the tickets of an answer.
    fn cancel(&self, info: &FlightInfo, metadata: &RequestMetadata) -> Result<(), Status> {
        let tickets = info.endpoint.iter().flat_map(|endpoint| &endpoint.ticket);
        let mut found = false;
        for ticket in tickets {
            if let Ok(DecodedTicket::Sql(command, _)) = DecodedTicket::decode(&ticket.ticket)
                && let arrow_flight::sql::Command::TicketStatementQuery(ticket) = command
            {
                let handle = StatementHandle::from_bytes(&ticket.statement_handle)?;
                let id = &handle.query_id;
                found |= !id.is_empty() && self.running.cancel(id, metadata.caller());
            }
        }
        if found {
            Ok(())
        } else {
            Err(Status::not_found("no such query runs on this server"))
        }
    }

    async fn act(
        &self,
        action: &Action,
        metadata: &RequestMetadata,
    ) -> Result<Vec<arrow_flight::Result>, Status> {
        let answer = |message: Vec<u8>| vec![arrow_flight::Result::new(message)];
        match action.r#type.as_str() {
            CREATE_PREPARED_STATEMENT => {
                let request: ActionCreatePreparedStatementRequest = unpack(&action.body)?;
                refuse_transaction(request.transaction_id.as_deref())?;
                let prepared =
                    prepared::prepare(&self.executor()?, metadata, &request.query).await?;
                Ok(answer(prepared.as_any().encode_to_vec()))
            }
            CLOSE_PREPARED_STATEMENT => {
                // A handle holds nothing on the server.
                let _: ActionClosePreparedStatementRequest = unpack(&action.body)?;
                Ok(Vec::new())
            }
            CANCEL_QUERY => {
                let request: ActionCancelQueryRequest = unpack(&action.body)?;
                let info = FlightInfo::decode(request.info).map_err(malformed)?;
                self.cancel(&info, metadata)?;
                let result = ActionCancelQueryResult { result: CANCELLED };
                Ok(answer(result.as_any().encode_to_vec()))
            }
            CANCEL_FLIGHT_INFO => {
                let request = CancelFlightInfoRequest::decode(action.body.clone());
                let info = request.map_err(malformed)?.info.unwrap_or_default();
                self.cancel(&info, metadata)?;
                let result = CancelFlightInfoResult::new(CancelStatus::Cancelled);
                Ok(answer(result.encode_to_vec()))
            }
            other => Err(Status::unimplemented(format!("the action {other} is not supported"))),
        }
    }
}

fn malformed(error: prost::DecodeError) -> Status {
    Status::invalid_argument(format!("malformed message: {error}"))
}

/// Decodes a message within `Any`.
fn unpack<M: ProstMessageExt>(bytes: &[u8]) -> Result<M, Status> {
    let any = Any::decode(bytes).map_err(malformed)?;
    any.unpack::<M>()
        .map_err(|error| Status::invalid_argument(error.to_string()))?
        .ok_or_else(|| {
            let text = format!("the body is no {}", M::type_url());
            Status::invalid_argument(text)
        })
}

#[tonic::async_trait]
impl FlightService for ArrowFlight {
    type HandshakeStream = MessageStream<HandshakeResponse>;
    type ListFlightsStream = MessageStream<FlightInfo>;
    type DoGetStream = FlightStream;
    type DoPutStream = MessageStream<PutResult>;
    type DoActionStream = MessageStream<arrow_flight::Result>;
    type ListActionsStream = MessageStream<ActionType>;
    type DoExchangeStream = MessageStream<FlightData>;

    /// Returns the payload, and the token that the client presented.
    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let token = presented_token(&request);
        let mut messages = request.into_inner();
        let limit = self.limits.message_timeout;
        let message = self.world.timeout(limit, messages.message()).await;
        let too_slow = || Err(Status::deadline_exceeded("no message in time"));
        let answer = message.unwrap_or_else(too_slow).map(|message| {
            let payload = message.unwrap_or_default().payload;
            let mut response = stream_of(vec![HandshakeResponse { protocol_version: 0, payload }]);
            if let Some(token) = token {
                response.metadata_mut().insert("authorization", token);
            }
            response
        });
        self.count("Handshake", answer)
    }

    async fn list_flights(
        &self,
        _: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        let error = Status::unimplemented("ListFlights is not supported; use CommandGetTables");
        self.count("ListFlights", Err(error))
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let answer = async {
            let metadata = self.metadata(&request)?;
            let info = self.info(request.into_inner(), &metadata).await?;
            Ok(Response::new(info))
        };
        self.count("GetFlightInfo", answer.await)
    }

    /// Returns complete information: a query runs when its rows are requested.
    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        let answer = async {
            let metadata = self.metadata(&request)?;
            let info = self.info(request.into_inner(), &metadata).await?;
            Ok(Response::new(PollInfo::new().with_info(info)))
        };
        self.count("PollFlightInfo", answer.await)
    }

    async fn get_schema(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        let answer = async {
            let metadata = self.metadata(&request)?;
            let info = self.info(request.into_inner(), &metadata).await?;
            let schema =
                info.try_decode_schema().map_err(|error| Status::internal(error.to_string()))?;
            let options = IpcWriteOptions::default();
            let result = SchemaResult::try_from(SchemaAsIpc::new(&schema, &options))
                .map_err(|error| Status::internal(error.to_string()))?;
            Ok(Response::new(result))
        };
        self.count("GetSchema", answer.await)
    }

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let answer = async {
            let metadata = self.metadata(&request)?;
            self.rows(&request.get_ref().ticket, &metadata).await
        };
        self.count("DoGet", answer.await)
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        let answer = async {
            let metadata = self.metadata(&request)?;
            let world = self.world.clone();
            let messages = request.into_inner().boxed();
            let Some(upload) = Upload::begin(messages, self.limits, world).await? else {
                return Ok(stream_of(vec![ingest::row_count(0)]));
            };
            match upload.purpose(&metadata)? {
                UploadPurpose::Rows(target) => {
                    let writes = Arc::clone(self.writes()?);
                    ingest::store(writes, &metadata, upload, target).await
                }
                UploadPurpose::Parameters(handle) => {
                    let handle = upload.bind(handle).await?;
                    Ok(stream_of(vec![upload::bound(&handle)]))
                }
                UploadPurpose::PreparedUpdate(handle) => {
                    let handle = upload.bind(handle).await?;
                    self.update(&handle, &metadata).await
                }
                UploadPurpose::Update(handle) => self.update(&handle, &metadata).await,
            }
        };
        self.count("DoPut", answer.await)
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        let error = Status::unimplemented("DoExchange is not supported");
        self.count("DoExchange", Err(error))
    }

    async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        let answer = async {
            let metadata = self.metadata(&request)?;
            self.act(request.get_ref(), &metadata).await.map(stream_of)
        };
        self.count("DoAction", answer.await)
    }

    async fn list_actions(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        let actions = [
            (CREATE_PREPARED_STATEMENT, "Prepares a statement."),
            (CLOSE_PREPARED_STATEMENT, "Ends a prepared statement."),
            (CANCEL_QUERY, "Cancels a query."),
            (CANCEL_FLIGHT_INFO, "Cancels a query."),
        ]
        .map(|(r#type, description)| ActionType {
            r#type: r#type.to_owned(),
            description: description.to_owned(),
        });
        self.count("ListActions", Ok(stream_of(actions.into())))
    }
}

/// Returns the token of a request as the value of an `authorization` header, whatever scheme the client used.
fn presented_token<T>(
    request: &Request<T>,
) -> Option<tonic::metadata::MetadataValue<tonic::metadata::Ascii>> {
    let headers: &http::HeaderMap = request.metadata().as_ref();
    let token = neap_http::presented_token(headers.get(AUTHORIZATION)?)?;
    let bearer = format!("Bearer {}", token.reveal());
    let mut value: tonic::metadata::MetadataValue<_> = bearer.parse().ok()?;
    value.set_sensitive(true);
    Some(value)
}

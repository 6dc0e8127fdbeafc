//! Tests of Arrow Flight on the assembled server.

mod access;
mod ingest;
mod statements;

use std::sync::Arc;

use arrow::{
    array::RecordBatch, datatypes::Schema, ipc::convert::try_schema_from_ipc_buffer,
    util::pretty::pretty_format_batches,
};
use arrow_flight::{
    Action, FlightData, FlightDescriptor, FlightInfo, PutResult, Ticket,
    decode::FlightRecordBatchStream, encode::FlightDataEncoderBuilder,
    flight_service_client::FlightServiceClient, sql::ProstMessageExt,
};
use axum::Router;
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use tonic::{Code, Request, Status, metadata::MetadataMap};

use super::ServerUnderTest;

/// A client of Arrow Flight for the routes of a server.
pub(super) struct FlightTestClient {
    client: FlightServiceClient<Router>,
    /// Headers of each request.
    headers: Vec<(&'static str, String)>,
}

impl FlightTestClient {
    pub(super) fn new(served: &ServerUnderTest, headers: &[(&'static str, &str)]) -> Self {
        let headers = headers.iter();
        Self {
            client: FlightServiceClient::new(served.app.router.clone()),
            headers: headers.map(|(name, value)| (*name, (*value).to_owned())).collect(),
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (name, value) in &self.headers {
            request.metadata_mut().insert(*name, value.parse().unwrap());
        }
        request
    }

    async fn rows(&self, ticket: impl Into<Vec<u8>>) -> Result<FlightRows, Status> {
        let ticket = Ticket { ticket: ticket.into().into() };
        let answer = self.client.clone().do_get(self.request(ticket)).await?;
        let (headers, messages, _) = answer.into_parts();
        let mut rows = FlightRecordBatchStream::new_from_flight_data(messages.err_into());
        let mut batches = Vec::new();
        while let Some(batch) = rows.next().await {
            batches.push(batch.map_err(Status::from)?);
        }
        Ok(FlightRows { headers, schema: rows.schema().cloned().unwrap(), batches })
    }

    /// Returns the rows of a command of Flight SQL, by way of its ticket.
    async fn command_rows(&self, command: &impl ProstMessageExt) -> Result<FlightRows, Status> {
        let info = self.info(command).await?;
        let ticket = info.endpoint[0].ticket.clone().unwrap().ticket;
        let rows = self.rows(ticket).await?;
        // Clients plan with the schema that they get first.
        assert_eq!(*rows.schema, info.try_decode_schema().unwrap());
        Ok(rows)
    }

    async fn info(&self, command: &impl ProstMessageExt) -> Result<FlightInfo, Status> {
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let request = self.request(descriptor);
        let info = self.client.clone().get_flight_info(request).await?;
        Ok(info.into_inner())
    }

    /// Performs an action and returns its results.
    async fn act(&self, kind: &str, body: Vec<u8>) -> Result<Vec<Vec<u8>>, Status> {
        let request = self.request(Action::new(kind, body));
        let results = self.client.clone().do_action(request).await?.into_inner();
        results.map_ok(|result| result.body.to_vec()).try_collect().await
    }

    /// Sends batches with `DoPut`.
    async fn put(
        &self,
        descriptor: FlightDescriptor,
        batches: Vec<RecordBatch>,
    ) -> Result<(MetadataMap, Vec<PutResult>), Status> {
        let schema = batches.first().map(RecordBatch::schema);
        let mut encoder =
            FlightDataEncoderBuilder::new().with_flight_descriptor(Some(descriptor.clone()));
        if let Some(schema) = schema {
            encoder = encoder.with_schema(schema);
        }
        let mut messages: Vec<FlightData> = encoder
            .build(stream::iter(batches.into_iter().map(Ok)))
            .try_collect()
            .await
            .unwrap();
        if messages.is_empty() {
            messages.push(FlightData::new().with_descriptor(descriptor));
        }
        self.put_messages(messages).await
    }

    async fn put_messages(
        &self,
        messages: Vec<FlightData>,
    ) -> Result<(MetadataMap, Vec<PutResult>), Status> {
        let request = self.request(stream::iter(messages));
        let (headers, results, _) = self.client.clone().do_put(request).await?.into_parts();
        Ok((headers, results.try_collect().await?))
    }
}

/// The rows of an answer.
struct FlightRows {
    headers: MetadataMap,
    schema: Arc<Schema>,
    batches: Vec<RecordBatch>,
}

impl FlightRows {
    fn table(&self) -> String {
        pretty_format_batches(&self.batches).unwrap().to_string()
    }

    fn count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Decodes a schema as Flight SQL sends it.
fn schema_of(bytes: &[u8]) -> Schema {
    try_schema_from_ipc_buffer(bytes).unwrap()
}

/// Returns a server with a table `home` of two rows in the database `d`.
async fn server_with_rows() -> ServerUnderTest {
    let served = super::app(&["--object-store", "memory"]).await;
    let lines = "home,room=hall temp=20.5,people=2i,id=7u,open=true,note=\"é\" 1000000000\n\
                 home,room=attic temp=18.25 2000000000";
    let written = served
        .request("POST", "/api/v3/write_lp?db=d&precision=nanosecond", lines)
        .await;
    assert_eq!(written.0, 204, "{}", written.1);
    served
}

/// Starts a server with rows, and returns it with a client that sends these headers.
async fn server_and_client(
    headers: &[(&'static str, &str)],
) -> (ServerUnderTest, FlightTestClient) {
    let served = server_with_rows().await;
    let client = FlightTestClient::new(&served, headers);
    (served, client)
}

fn code<T>(answer: Result<T, Status>) -> Code {
    answer.err().map_or(Code::Ok, |status| status.code())
}

//! The access rules of the methods of Flight, for every kind of token.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampNanosecondArray};
use arrow_flight::{
    FlightDescriptor,
    sql::{
        ActionCreatePreparedStatementRequest, CommandGetCatalogs, CommandGetPrimaryKeys,
        CommandGetTables, CommandStatementQuery, CommandStatementUpdate, ProstMessageExt,
    },
};
use prost::Message;
use tonic::{Code, Status};

use super::{FlightTestClient, code};
use crate::tests::access::{AccessRule, AuthTestServer};

#[derive(Clone, Copy, Debug)]
enum FlightRequest {
    NativeTicket(&'static str),
    Influxql,
    Statement,
    Delete,
    Tables,
    PrimaryKeys,
    Catalogs,
    Prepare,
    Ingest(&'static str),
    Actions,
}

impl FlightRequest {
    async fn send(self, client: &FlightTestClient, number: usize) -> Result<(), Status> {
        let sql = "SELECT 1 AS n".to_owned();
        match self {
            Self::NativeTicket(database) => {
                let ticket = format!(r#"{{"database":"{database}","sql_query":"{sql}"}}"#);
                client.rows(ticket).await.map(drop)
            }
            Self::Influxql => {
                let ticket =
                    r#"{"database":"own","sql_query":"SHOW MEASUREMENTS","query_type":"influxql"}"#;
                client.rows(ticket).await.map(drop)
            }
            Self::Statement => {
                let command = CommandStatementQuery { query: sql, transaction_id: None };
                client.info(&command).await.map(drop)
            }
            Self::Delete => {
                let command = CommandStatementUpdate {
                    query: "DELETE FROM m".to_owned(),
                    transaction_id: None,
                };
                let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
                client.put(descriptor, Vec::new()).await.map(drop)
            }
            Self::Tables => {
                let command = CommandGetTables::default().as_any().encode_to_vec();
                client.rows(command).await.map(drop)
            }
            Self::PrimaryKeys => {
                let command = CommandGetPrimaryKeys::default().as_any().encode_to_vec();
                client.rows(command).await.map(drop)
            }
            Self::Catalogs => {
                let command = CommandGetCatalogs {}.as_any().encode_to_vec();
                client.rows(command).await.map(drop)
            }
            Self::Prepare => {
                let request =
                    ActionCreatePreparedStatementRequest { query: sql, transaction_id: None };
                let body = request.as_any().encode_to_vec();
                client.act("CreatePreparedStatement", body).await.map(drop)
            }
            Self::Ingest("new") => put(client, &format!("new{number}")).await,
            Self::Ingest(database) => put(client, database).await,
            Self::Actions => {
                let request = client.request(arrow_flight::Empty {});
                client.client.clone().list_actions(request).await.map(drop)
            }
        }
    }
}

async fn put(client: &FlightTestClient, database: &str) -> Result<(), Status> {
    let columns: [(&str, ArrayRef); 2] = [
        ("v", Arc::new(Int64Array::from(vec![1]))),
        ("time", Arc::new(TimestampNanosecondArray::from(vec![1]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = vec![database.to_owned(), "flight".to_owned()];
    client.put(FlightDescriptor::new_path(path), vec![batch]).await.map(drop)
}

#[tokio::test]
async fn flight_requests_follow_the_access_rules() {
    use AccessRule::{All, Holders, Own, OwnBoth};
    let guarded = AuthTestServer::new().await;
    let tokens: Vec<_> = guarded
        .tokens
        .iter()
        .map(|(name, secret)| (Some(name.as_str()), secret))
        .collect();
    let without_token = (None, &String::new());
    let mut number = 0;
    let mut wrong = Vec::new();
    for (request, rule, allowed) in [
        (FlightRequest::NativeTicket("own"), Own("read"), Code::Ok),
        (FlightRequest::NativeTicket("missing"), All("read"), Code::NotFound),
        (FlightRequest::Influxql, Own("read"), Code::Ok),
        (FlightRequest::Statement, Own("read"), Code::Ok),
        (FlightRequest::Delete, OwnBoth("read,write"), Code::Ok),
        (FlightRequest::Tables, Own("read"), Code::Ok),
        (FlightRequest::PrimaryKeys, Own("read"), Code::Ok),
        (FlightRequest::Catalogs, Holders, Code::Ok),
        (FlightRequest::Prepare, Own("read"), Code::Ok),
        (FlightRequest::Ingest("own"), Own("append"), Code::Ok),
        (FlightRequest::Ingest("new"), All("write"), Code::Ok),
        (FlightRequest::Actions, Holders, Code::Ok),
    ] {
        for (token, secret) in tokens.iter().chain([&without_token]) {
            number += 1;
            let bearer = format!("Bearer {secret}");
            let mut headers = vec![("database", "own")];
            headers.extend(token.map(|_| ("authorization", bearer.as_str())));
            let client = FlightTestClient::new(&guarded.served, &headers);
            let got = code(request.send(&client, number).await);
            let expected = match token {
                _ if rule.holds(*token) => allowed,
                Some(_) => Code::PermissionDenied,
                None => Code::Unauthenticated,
            };
            if got != expected {
                let token = token.unwrap_or("no token");
                wrong.push(format!("{request:?} {token}: {got:?}, expected {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

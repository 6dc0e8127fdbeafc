//! A listener on a free port with a query and a write function on a store in memory.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use neap_catalog::Catalog;
use neap_http::{AccessControl, AuthSettings, Authenticator, Metrics};
use neap_identity::IdentitySettings;
use neap_sql_changes::testing::MemoryServer;
use neap_write::{Precision, WriteOptions, WriteService, WriteSettings};
use tokio::sync::oneshot;
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage};

use crate::{PostgresListener, PostgresParts, PostgresSettings};

pub(super) const DATABASE: &str = "home";

/// Maximum time of every wait in these tests.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A server with a listener. Its database has the table `cpu` with three rows.
pub(super) struct ListenerTestBed {
    pub(super) address: SocketAddr,
    pub(super) catalog: Arc<Catalog>,
    pub(super) metrics: Metrics,
    pub(super) writes: Arc<WriteService>,
    _stop: oneshot::Sender<()>,
}

impl ListenerTestBed {
    /// A server without authentication.
    pub(super) async fn new() -> Self {
        Self::with(false, PostgresSettings::default()).await
    }

    pub(super) async fn with(needs_token: bool, settings: PostgresSettings) -> Self {
        let server = MemoryServer::new(WriteSettings::default()).unwrap();
        let MemoryServer { catalog, metrics, queries, writes, .. } = server;
        let lines = "cpu,host=a usage=0.5,n=1i 1000000000\n\
                     cpu,host=a usage=1.5,n=2i 2000000000\n\
                     cpu,host=b usage=2.5,n=3i 2000000000";
        let options = WriteOptions::with_precision(Precision::Nanosecond);
        writes.write(DATABASE, lines.into(), options).await.unwrap();
        let access = if needs_token {
            let settings = AuthSettings {
                max_age: Duration::ZERO,
                session_issuer: Some(IdentitySettings::DEFAULT_ISSUER.to_owned()),
                ..AuthSettings::default()
            };
            let authenticator = Authenticator::new(Arc::clone(&catalog), &metrics, settings);
            AccessControl::Tokens(Arc::new(authenticator))
        } else {
            AccessControl::Open
        };
        let parts = PostgresParts {
            queries,
            writes: Some(Arc::clone(&writes)),
            access,
            metrics: metrics.clone(),
            tls: None,
        };
        let listener = PostgresListener::bind("127.0.0.1:0", settings, parts).await.unwrap();
        let address = listener.address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let stopped = async {
                stopped.await.ok();
            };
            listener.serve(stopped, PATIENCE).await;
        });
        Self { address, catalog, metrics, writes, _stop: stop }
    }

    /// Returns the options of a client.
    pub(super) fn config(&self) -> Config {
        let mut config = Config::new();
        config
            .host(self.address.ip().to_string())
            .port(self.address.port())
            .user("ann")
            .dbname(DATABASE);
        config
    }

    pub(super) async fn connect(&self) -> Client {
        connect(&self.config()).await.unwrap()
    }
}

/// Returns the first message of a client.
pub(super) fn startup_message() -> Vec<u8> {
    with_length(b"\0\x03\0\0user\0ann\0database\0home\0\0")
}

/// Returns a message of a client.
pub(super) fn message(message_type: u8, body: &[u8]) -> Vec<u8> {
    [&[message_type][..], &with_length(body)].concat()
}

fn with_length(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&length.to_be_bytes(), body].concat()
}

/// Connects a client, whose messages another task exchanges.
pub(super) async fn connect(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Returns the rows of a statement as texts.
pub(super) async fn texts(client: &Client, sql: &str) -> Vec<Vec<String>> {
    let messages = client.simple_query(sql).await.unwrap();
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| {
        (0..row.len())
            .map(|index| row.get(index).unwrap_or("NULL").to_owned())
            .collect()
    })
    .collect()
}

/// Returns the SQLSTATE of an error.
pub(super) fn state(error: &Error) -> &str {
    error.code().map_or("none", |code| code.code())
}

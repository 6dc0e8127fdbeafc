//! Connections that wait for memory, on a paused clock.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use neap_bucket::{MemoryStore, World};
use neap_http::{Metrics, PendingConnections};
use tokio::{
    io::{AsyncWriteExt, DuplexStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::test_bed::{DATABASE, write_function};
use crate::{
    KeyPolicy,
    batch_writer::BatchWriter,
    close_reason::CloseReason,
    connection::{self, ConnectionContext, ConnectionLimits},
    connection_access::KeyReader,
    metrics::ConnectionMetrics,
    receive_buffer::{BufferMemory, ReceiveBuffer},
};

const MEMORY_BYTES: usize = 64 << 10;
const LINE_LIMIT: Duration = Duration::from_secs(60);

/// A connection that has sent a part of a line, for which there is no memory.
struct WaitingConnection {
    client: DuplexStream,
    serving: JoinHandle<CloseReason>,
    stop: CancellationToken,
    /// Holds all memory.
    holder: ReceiveBuffer,
    world: World,
}

impl WaitingConnection {
    async fn new() -> Self {
        let world = World::system();
        let store = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
        let metrics = Metrics::default();
        let (catalog, writes) = write_function(store, &world, &metrics);
        let memory = BufferMemory::new(MEMORY_BYTES);
        let mut holder = ReceiveBuffer::new(memory.clone(), 1 << 20);
        let mut bytes = &[b'x'; 40 << 10][..];
        while !bytes.is_empty() && holder.try_grow() {
            holder.read(&mut bytes).await.unwrap();
        }
        let stop = CancellationToken::new();
        let context = ConnectionContext {
            writer: BatchWriter {
                writes,
                keys: KeyReader {
                    catalog,
                    world: world.clone(),
                    max_age: Duration::from_secs(5),
                },
                database: DATABASE.into(),
                metrics: ConnectionMetrics::new(&metrics),
            },
            policy: KeyPolicy::Open,
            pending: PendingConnections::new(PendingConnections::USUAL_MAX),
            memory,
            limits: ConnectionLimits {
                line_bytes: 1 << 20,
                batch_bytes: 1 << 20,
                idle: Duration::from_secs(3600),
                line: LINE_LIMIT,
            },
            world: world.clone(),
            stop: stop.clone(),
        };
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let text = "x".repeat(40 << 10);
        let begin = format!("m v=1 1\nm s=\"{text}");
        client.write_all(begin.as_bytes()).await.unwrap();
        let pending = context.pending.admit(Ipv4Addr::LOCALHOST.into());
        let serving =
            tokio::spawn(async move { connection::serve(server, pending, &context).await.0 });
        Self { client, serving, stop, holder, world }
    }

    async fn wait(&self, time: Duration) {
        self.world.clock.sleep(time).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_waits_for_memory_as_long_as_for_a_line() {
    let mut connection = WaitingConnection::new().await;
    connection.wait(LINE_LIMIT / 2).await;
    assert!(!connection.serving.is_finished());
    drop(connection.holder);
    // The wait does not count as time of the line.
    connection.world.clock.sleep(LINE_LIMIT / 3 * 2).await;
    assert!(!connection.serving.is_finished());
    connection.client.write_all(b"\" 2\n").await.unwrap();
    connection.client.shutdown().await.unwrap();
    assert_eq!(connection.serving.await.unwrap(), CloseReason::Client);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_memory_ends() {
    let connection = WaitingConnection::new().await;
    connection.wait(LINE_LIMIT * 2).await;
    assert!(connection.serving.is_finished());
    assert_eq!(connection.serving.await.unwrap(), CloseReason::Memory);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_waits_for_memory_ends_when_the_server_stops() {
    let connection = WaitingConnection::new().await;
    connection.wait(LINE_LIMIT / 10).await;
    connection.stop.cancel();
    connection.wait(Duration::from_secs(1)).await;
    assert!(connection.serving.is_finished());
    assert_eq!(connection.serving.await.unwrap(), CloseReason::Stopped);
}

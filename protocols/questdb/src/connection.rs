//! A connection: receives lines and writes them, one write after the other.
//!
//! ```text
//!   socket ── ReceiveBuffer ── complete lines ── BatchWriter ── WriteService
//!                │                                   │
//!                └ continues to receive while a write is in progress: the lines of that time are the next write
//! ```
//!
//! A write begins as soon as no more bytes have arrived. So a slow client is written at once, and the writes of a fast
//! one are as large as the buffer. Writes do not overlap, because the last of several rows of the same point counts.

use std::{io, time::Duration};

use neap_bucket::World;
use neap_http::{PendingConnection, PendingConnections};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    batch_writer::BatchWriter,
    close_reason::CloseReason,
    connection_access::{ConnectionAccess, KeyPolicy},
    handshake::shake_hands,
    receive_buffer::{BufferMemory, ReceiveBuffer, ReceivedLines},
};

#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// Maximum bytes of a line.
    pub(crate) line_bytes: usize,
    /// Maximum bytes of the lines of one write.
    pub(crate) batch_bytes: usize,
    /// Maximum time without a byte.
    pub(crate) idle: Duration,
    /// Maximum time between the first and the last byte of a line, without the time in which the connection does not
    /// receive; and maximum wait for memory.
    pub(crate) line: Duration,
}

/// The components that all connections share.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionContext {
    pub(crate) writer: BatchWriter,
    pub(crate) policy: KeyPolicy,
    /// The connections whose clients have not signed the challenge.
    pub(crate) pending: PendingConnections,
    pub(crate) memory: BufferMemory,
    pub(crate) limits: ConnectionLimits,
    pub(crate) world: World,
    pub(crate) stop: CancellationToken,
}

/// Serves a connection until it ends. It is pending until the client has authenticated. Returns the reason and, if the
/// client has authenticated, the name of its key.
pub(crate) async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    pending: PendingConnection,
    context: &ConnectionContext,
) -> (CloseReason, Option<String>) {
    let mut buffer = ReceiveBuffer::new(context.memory.clone(), context.limits.batch_bytes);
    let access = tokio::select! {
        biased;
        () = context.stop.cancelled() => Err(CloseReason::Stopped),
        () = pending.displaced() => Err(CloseReason::Displaced),
        access = shake_hands(
            &mut stream,
            &mut buffer,
            context.policy,
            &context.writer.keys,
            context.limits.idle,
        ) => access,
    };
    drop(pending);
    let access = match access {
        Ok(access) => access,
        Err(reason) => return (reason, None),
    };
    let name = match &access {
        ConnectionAccess::WithoutKey => None,
        ConnectionAccess::Key { name, .. } => Some(name.clone()),
    };
    context.writer.metrics.count_bytes(buffer.bytes().len());
    let connection = Connection {
        stream,
        buffer,
        access,
        context: context.clone(),
        lines_done: 0,
        last_read: context.world.clock.monotonic(),
        line_begun: None,
    };
    (connection.run().await, name)
}

/// A connection after the handshake.
struct Connection<S> {
    stream: S,
    buffer: ReceiveBuffer,
    access: ConnectionAccess,
    context: ConnectionContext,
    /// The number of lines that are stored or skipped.
    lines_done: u64,
    /// When bytes last arrived, by the monotonic clock. Later by the time in which the connection did not receive.
    last_read: Duration,
    /// When the first byte of the incomplete line arrived. Later like `last_read`.
    line_begun: Option<Duration>,
}

/// A write in progress. Returns the number of lines of the connection that are stored or skipped.
type WriteTask = JoinHandle<Result<u64, CloseReason>>;

enum ConnectionEvent {
    Written(Result<u64, CloseReason>),
    Read(io::Result<usize>),
    /// The time of [`Connection::patience`] is over.
    TimeOver,
    Stopped,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    async fn run(mut self) -> CloseReason {
        self.find_lines();
        let mut writing: Option<WriteTask> = None;
        let mut end: Option<CloseReason> = None;
        loop {
            if writing.is_none() {
                if self.buffer.has_lines() {
                    writing = Some(self.begin_write());
                } else if let Some(reason) = end {
                    return reason;
                } else if let Err(reason) = self.make_room().await {
                    return reason;
                }
            }
            let reads = end.is_none() && self.buffer.try_grow();
            let started_at = self.context.world.clock.monotonic();
            let event = self.next_event(&mut writing, reads, end.is_none()).await;
            if !reads {
                self.extend_patience(started_at);
            }
            match event {
                ConnectionEvent::Written(Ok(lines)) => {
                    self.lines_done = lines;
                    writing = None;
                }
                ConnectionEvent::Written(Err(reason)) => return reason,
                ConnectionEvent::Read(read) => end = self.receive(read),
                ConnectionEvent::TimeOver => end = self.too_slow(),
                ConnectionEvent::Stopped => {
                    // Lines that have arrived are stored.
                    end = self.receive_arrived().or(Some(CloseReason::Stopped));
                }
            }
        }
    }

    /// Waits for memory if no byte can be received without it. Waits as long as writes are repeated by default, because
    /// the lines of other connections take the memory until then.
    async fn make_room(&mut self) -> Result<(), CloseReason> {
        if self.buffer.incomplete_bytes() > self.context.limits.line_bytes || self.buffer.is_full()
        {
            return Err(CloseReason::LineTooLong);
        }
        if self.buffer.try_grow() {
            return Ok(());
        }
        let started_at = self.context.world.clock.monotonic();
        let limit = self.context.limits.line;
        let has_room = tokio::select! {
            biased;
            () = self.context.stop.cancelled() => return Err(CloseReason::Stopped),
            has_room = self.buffer.grow(limit, &self.context.world) => has_room,
        };
        self.extend_patience(started_at);
        if has_room {
            Ok(())
        } else {
            Err(CloseReason::Memory)
        }
    }

    /// Extends the time for the next bytes by the time since `begun`, in which the connection did not receive.
    fn extend_patience(&mut self, started_at: Duration) {
        let now = self.context.world.clock.monotonic();
        let waited = now.saturating_sub(started_at);
        self.last_read = self.last_read.saturating_add(waited);
        if let Some(started_at) = &mut self.line_begun {
            *started_at = started_at.saturating_add(waited);
        }
    }

    fn begin_write(&mut self) -> WriteTask {
        let lines: ReceivedLines = self.buffer.take_lines();
        let (writer, access) = (self.context.writer.clone(), self.access.clone());
        let lines_done = self.lines_done;
        tokio::spawn(async move { writer.write(lines, &access, lines_done).await })
    }

    async fn next_event(
        &mut self,
        writing: &mut Option<WriteTask>,
        reads: bool,
        is_open: bool,
    ) -> ConnectionEvent {
        let patience = self.patience();
        let written = async {
            match writing {
                Some(task) => task.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            written = written => ConnectionEvent::Written(written.unwrap_or_else(|error| {
                Err(CloseReason::Internal(format!("a write panicked: {error}")))
            })),
            () = self.context.stop.cancelled(), if is_open => ConnectionEvent::Stopped,
            read = self.buffer.read(&mut self.stream), if reads => ConnectionEvent::Read(read),
            () = self.context.world.clock.sleep(patience), if reads => ConnectionEvent::TimeOver,
        }
    }

    /// Returns how long to wait for the next bytes.
    fn patience(&self) -> Duration {
        let limits = &self.context.limits;
        let idle_end = self.last_read.saturating_add(limits.idle);
        let line_end = self.line_begun.map(|started_at| started_at.saturating_add(limits.line));
        let end = line_end.map_or(idle_end, |line_end| line_end.min(idle_end));
        end.saturating_sub(self.context.world.clock.monotonic())
    }

    /// Returns the reason to end the connection if its time is over.
    fn too_slow(&self) -> Option<CloseReason> {
        if !self.patience().is_zero() {
            return None;
        }
        let is_incomplete = self.line_begun.is_some();
        Some(if is_incomplete {
            CloseReason::SlowLine
        } else {
            CloseReason::Idle
        })
    }

    /// Receives the result of a read, and everything else that has arrived. Returns the reason to end the connection.
    fn receive(&mut self, read: io::Result<usize>) -> Option<CloseReason> {
        self.last_read = self.context.world.clock.monotonic();
        match read {
            Err(error) => Some(CloseReason::Broken(error.to_string())),
            Ok(0) => Some(self.end_of_stream()),
            Ok(bytes) => {
                self.context.writer.metrics.count_bytes(bytes);
                self.receive_arrived()
            }
        }
    }

    fn receive_arrived(&mut self) -> Option<CloseReason> {
        let before = self.buffer.bytes().len();
        let read = self.buffer.read_arrived(&mut self.stream);
        self.context.writer.metrics.count_bytes(self.buffer.bytes().len() - before);
        self.find_lines();
        match read {
            Ok(false) if self.buffer.incomplete_bytes() > self.context.limits.line_bytes => {
                Some(CloseReason::LineTooLong)
            }
            Ok(false) => None,
            Ok(true) => Some(self.end_of_stream()),
            Err(error) => Some(CloseReason::Broken(error.to_string())),
        }
    }

    fn find_lines(&mut self) {
        let before = self.buffer.incomplete_bytes();
        self.buffer.find_lines();
        let now = self.context.world.clock.monotonic();
        let incomplete = self.buffer.incomplete_bytes();
        self.line_begun = match self.line_begun {
            _ if incomplete == 0 => None,
            // The same line as before.
            Some(started_at) if incomplete >= before => Some(started_at),
            _ => Some(now),
        };
    }

    fn end_of_stream(&self) -> CloseReason {
        match self.buffer.incomplete_bytes() {
            0 => CloseReason::Client,
            _ => CloseReason::IncompleteLine,
        }
    }
}

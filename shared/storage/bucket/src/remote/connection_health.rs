//! Detection of connections that died without notice: while this machine was suspended, or behind a router that dropped
//! their state.
//!
//! Only a timeout distinguishes such a connection from a slow store. Therefore, if the store has not answered for a
//! while, the first wait of a call is short, for as long as an older connection may still be pooled. If this wait times
//! out, all connections are discarded, and retries use a new connection with the full time limit. A store that takes
//! longer than the short wait over a new connection counts as slow and gets the full time limit.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
        HttpService, ReqwestConnector,
    },
};

use super::exchange;

/// Time after which an idle connection is closed. Stores close idle connections after about the same time.
pub(super) const IDLE_LIMIT: Duration = Duration::from_secs(15);

/// A request with more bytes than this gets the full time limit from the start.
const SMALL_BYTES: usize = 512 << 10;

/// Time in milliseconds for which a store counts as slow after a slow answer.
const SLOW_MILLIS: u64 = 60_000;

/// The state of the connections to a store, shared by its clients. Times are wall-clock milliseconds, because the wall
/// clock advances while a machine is suspended. If the wall clock is set, one wait may be too short or too long.
#[derive(Debug)]
pub(super) struct ConnectionHealth {
    /// Maximum wait for the first answer of a call; `None` if there is no short first wait.
    first_answer: Option<Duration>,
    /// Time without an answer after which connections are in doubt.
    doubt_after: Duration,
    /// Returns the time.
    clock: fn() -> u64,
    /// Time of the newest answer; zero if there was none.
    heard: AtomicU64,
    /// Time until which connections are in doubt.
    in_doubt_until: AtomicU64,
    /// Time until which the store counts as slow.
    slow_until: AtomicU64,
    /// Number of times that the connections were discarded.
    given_up: AtomicU64,
}

impl ConnectionHealth {
    pub(super) fn new(first_answer: Option<Duration>, doubt_after: Duration) -> Self {
        Self {
            first_answer,
            doubt_after,
            clock: now,
            heard: AtomicU64::new(0),
            in_doubt_until: AtomicU64::new(0),
            slow_until: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
        }
    }

    /// Returns the short wait for the head of the answer to a request with `body_bytes` bytes; `None` for the full time
    /// limit.
    fn first_answer_limit(&self, body_bytes: usize, now: u64) -> Option<Duration> {
        let order = Ordering::Relaxed;
        let heard = self.heard.load(order);
        // Before the first answer there is no connection that could have died.
        if heard > 0 && u128::from(now.saturating_sub(heard)) >= self.doubt_after.as_millis() {
            let until = now.saturating_add(millis(IDLE_LIMIT));
            self.in_doubt_until.fetch_max(until, order);
        }
        let is_in_doubt =
            now < self.in_doubt_until.load(order) && now >= self.slow_until.load(order);
        let is_short = is_in_doubt && body_bytes <= SMALL_BYTES && exchange::may_use_short_wait();
        self.first_answer.filter(|_| is_short)
    }

    /// Records that the answer to a request sent at `asked` arrived at `now`.
    fn record_answer(&self, asked: u64, now: u64) {
        self.heard.fetch_max(now, Ordering::Relaxed);
        let took = now.saturating_sub(asked);
        if self.first_answer.is_some_and(|first| took > millis(first)) {
            let until = now.saturating_add(SLOW_MILLIS);
            self.slow_until.fetch_max(until, Ordering::Relaxed);
        }
    }

    /// Discards the pooled connections, unless they were already discarded since the client was created.
    fn discard_connections(&self, made_after: u64) {
        let next = made_after.wrapping_add(1);
        let order = Ordering::Relaxed;
        let changed = self.given_up.compare_exchange(made_after, next, order, order);
        if changed.is_ok() {
            tracing::warn!("the store did not answer in time; its connections are replaced");
        }
    }
}

/// Creates HTTP clients whose connections can be discarded.
#[derive(Clone, Debug)]
pub(super) struct ReconnectingConnector(pub(super) Arc<ConnectionHealth>);

impl HttpConnector for ReconnectingConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(ReconnectingService {
            made: Mutex::new(PooledClient {
                after: self.0.given_up.load(Ordering::Relaxed),
                client: connect(options)?,
            }),
            options: options.clone(),
            silence: Arc::clone(&self.0),
        }))
    }
}

fn connect(options: &ClientOptions) -> object_store::Result<HttpClient> {
    ReqwestConnector::default().connect(options)
}

/// A client with its own connections.
#[derive(Clone, Debug)]
struct PooledClient {
    /// The number of times that connections had been discarded when the client was created.
    after: u64,
    client: HttpClient,
}

#[derive(Debug)]
struct ReconnectingService {
    options: ClientOptions,
    silence: Arc<ConnectionHealth>,
    made: Mutex<PooledClient>,
}

impl ReconnectingService {
    /// Returns the client. Creates a new one if its connections were discarded.
    fn client(&self) -> PooledClient {
        let after = self.silence.given_up.load(Ordering::Relaxed);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.after != after {
            match connect(&self.options) {
                Ok(client) => *made = PooledClient { after, client },
                Err(error) => {
                    tracing::warn!(%error, "new connections to the store could not be created")
                }
            }
        }
        made.clone()
    }
}

#[async_trait]
impl HttpService for ReconnectingService {
    #[expect(
        clippy::disallowed_methods,
        reason = "the HTTP client's time limits are by the runtime's clock, too"
    )]
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let made = self.client();
        let asked = (self.silence.clock)();
        let limit = self.silence.first_answer_limit(request.body().content_length(), asked);
        let execute = made.client.execute(request);
        let answer = match limit {
            None => execute.await,
            Some(limit) => {
                let answer = tokio::time::timeout(limit, execute).await;
                answer.unwrap_or_else(|_| {
                    exchange::record_short_timeout();
                    Err(HttpError::new(HttpErrorKind::Timeout, FirstAnswerTimeout(limit)))
                })
            }
        };
        match &answer {
            Ok(_) => self.silence.record_answer(asked, (self.silence.clock)()),
            Err(error) if error.kind() == HttpErrorKind::Timeout => {
                self.silence.discard_connections(made.after)
            }
            Err(_) => {}
        }
        answer
    }
}

/// Returns the wall-clock time in milliseconds since the Unix epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "it decides how patient a client is, as the runtime's clock does"
)]
fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    millis(now.unwrap_or_default())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Error of a request that timed out after the short first wait.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} ms", .0.as_millis())]
struct FirstAnswerTimeout(Duration);

#[cfg(test)]
#[path = "connection_health_tests.rs"]
mod tests;

//! Connections that died without a word: while this machine was frozen, or behind a router that forgot them.
//!
//! Only waiting tells them from a store that is slow. So once nothing was heard from the store for a while, the first
//! wait of a call is short, for as long as a connection from before may be kept. When such a wait is over, all
//! connections are given up, and what is repeated goes over a new one and has all the time that there is. A store that
//! takes longer than that over a new connection is slow, and gets the time that it needs.

use std::{
    fmt,
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

use super::{exchange, options::IDLE_LIMIT};

/// A request with more bytes than this may take its time from the beginning.
const SMALL_BYTES: usize = 512 << 10;

/// How long a store counts as slow that was.
const SLOW_MILLIS: u64 = 60_000;

/// What the clients of a store know together. Times are those of the wall in milliseconds, which goes on while a machine
/// is frozen; should it be set, a wait is short or long for once.
#[derive(Debug)]
pub(super) struct Silence {
    /// The longest wait for the first answer of a call, if it is shorter than others.
    first_answer: Option<Duration>,
    /// After how long without an answer connections are in doubt.
    doubt_after: Duration,
    /// When an answer came; zero: there was none.
    heard: AtomicU64,
    /// Until when connections are in doubt.
    in_doubt_until: AtomicU64,
    /// Until when the store counts as slow.
    slow_until: AtomicU64,
    /// How often connections were given up.
    given_up: AtomicU64,
}

impl Silence {
    pub(super) fn new(first_answer: Option<Duration>, doubt_after: Duration) -> Self {
        Self {
            first_answer,
            doubt_after,
            heard: AtomicU64::new(0),
            in_doubt_until: AtomicU64::new(0),
            slow_until: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
        }
    }

    /// How long to wait for the head of the answer to a request with so many bytes, if not as long as any.
    fn limit(&self, body_bytes: usize, now: u64) -> Option<Duration> {
        let order = Ordering::Relaxed;
        let heard = self.heard.load(order);
        // Before the first answer there is no connection that could have died.
        if heard > 0 && u128::from(now.saturating_sub(heard)) >= self.doubt_after.as_millis() {
            let until = now.saturating_add(millis(IDLE_LIMIT));
            self.in_doubt_until.fetch_max(until, order);
        }
        let is_in_doubt =
            now < self.in_doubt_until.load(order) && now >= self.slow_until.load(order);
        let is_short = is_in_doubt && body_bytes <= SMALL_BYTES && exchange::may_wait_briefly();
        self.first_answer.filter(|_| is_short)
    }

    /// Notes that an answer came now to a request of then.
    fn hear(&self, asked: u64, now: u64) {
        self.heard.fetch_max(now, Ordering::Relaxed);
        let took = now.saturating_sub(asked);
        if self.first_answer.is_some_and(|first| took > millis(first)) {
            let until = now.saturating_add(SLOW_MILLIS);
            self.slow_until.fetch_max(until, Ordering::Relaxed);
        }
    }

    /// Gives up the connections that are kept, unless it was done since they were made.
    fn give_up(&self, made_after: u64) {
        let next = made_after.wrapping_add(1);
        let order = Ordering::Relaxed;
        let changed = self
            .given_up
            .compare_exchange(made_after, next, order, order);
        if changed.is_ok() {
            tracing::warn!("the store did not answer in time; its connections are made anew");
        }
    }
}

/// Makes HTTP clients whose connections can be given up.
#[derive(Clone, Debug)]
pub(super) struct RenewingConnector(pub(super) Arc<Silence>);

impl HttpConnector for RenewingConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Renewing {
            made: Mutex::new(Made {
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

/// A client with connections of its own.
#[derive(Clone, Debug)]
struct Made {
    /// How often connections had been given up when it was made.
    after: u64,
    client: HttpClient,
}

#[derive(Debug)]
struct Renewing {
    options: ClientOptions,
    silence: Arc<Silence>,
    made: Mutex<Made>,
}

impl Renewing {
    /// The client, made anew if its connections were given up.
    fn made(&self) -> Made {
        let after = self.silence.given_up.load(Ordering::Relaxed);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.after != after {
            match connect(&self.options) {
                Ok(client) => *made = Made { after, client },
                Err(error) => tracing::warn!(%error, "connections can't be made anew"),
            }
        }
        made.clone()
    }
}

#[async_trait]
impl HttpService for Renewing {
    #[expect(
        clippy::disallowed_methods,
        reason = "the HTTP client's time limits are by the runtime's clock, too"
    )]
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let made = self.made();
        let asked = now();
        let limit = self.silence.limit(request.body().content_length(), asked);
        let execute = made.client.execute(request);
        let answer = match limit {
            None => execute.await,
            Some(limit) => {
                let answer = tokio::time::timeout(limit, execute).await;
                answer.unwrap_or_else(|_| {
                    exchange::waited();
                    Err(HttpError::new(HttpErrorKind::Timeout, NoAnswer(limit)))
                })
            }
        };
        match &answer {
            Ok(_) => self.silence.hear(asked, now()),
            Err(error) if error.kind() == HttpErrorKind::Timeout => {
                self.silence.give_up(made.after)
            }
            Err(_) => {}
        }
        answer
    }
}

/// The time of the wall in milliseconds since the Unix epoch.
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

/// The store was given up for now.
#[derive(Debug)]
struct NoAnswer(Duration);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer within {} ms", self.0.as_millis())
    }
}

impl std::error::Error for NoAnswer {}

#[cfg(test)]
#[path = "silence_tests.rs"]
mod tests;

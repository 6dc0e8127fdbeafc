//! The permit of a request, and its body, which releases the permit while it arrives.
//!
//! ```text
//!   head ── permit ── handler reads ─┬─ body is ready ─────────────────────────── continues
//!                                    └─ incomplete: permit released, bounded      body complete: permit acquired
//!                                       by IncomingBodies                         again, or 503 after 2 seconds
//! ```

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use futures::future::BoxFuture;
use hyper::body::{Frame, SizeHint};
use neap_bucket::World;
use neap_http::ClientNetwork;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::incoming_bodies::{IncomingBodies, IncomingBody, LimitExceeded};

/// Maximum time that a request waits for a permit.
const WAIT: Duration = Duration::from_secs(2);

/// Time after which a body with less than [`MIN_PROGRESS_BYTES`] of progress is stalled.
const STALL: Duration = Duration::from_secs(1);

/// See [`STALL`].
const MIN_PROGRESS_BYTES: usize = 1 << 10;

/// Reason why a request is rejected because of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestRejection {
    #[error("too many concurrent requests")]
    NoPermit,
    /// The body is incomplete, and all clients together exceed the limit of incomplete bodies.
    #[error(
        "too many requests with incomplete bodies; this one made no progress for the longest time"
    )]
    Incomplete,
    /// The body is incomplete, and its client exceeds the limit of incomplete bodies.
    #[error(
        "too many requests of this client with incomplete bodies; this one made no progress for the longest time"
    )]
    IncompletePerClient,
}

impl From<LimitExceeded> for RequestRejection {
    fn from(excess: LimitExceeded) -> Self {
        match excess {
            LimitExceeded::Total => Self::Incomplete,
            LimitExceeded::PerClient => Self::IncompletePerClient,
        }
    }
}

/// The permits for concurrent requests.
#[derive(Clone, Debug)]
pub(super) struct RequestPermits {
    permits: Arc<Semaphore>,
    world: World,
}

impl RequestPermits {
    /// Creates a pool of `number` permits.
    pub(super) fn new(number: usize, world: World) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(number.clamp(1, Semaphore::MAX_PERMITS))),
            world,
        }
    }

    /// Waits for a permit, at most 2 seconds.
    pub(super) async fn acquire(&self) -> Result<OwnedSemaphorePermit, RequestRejection> {
        let permit = Arc::clone(&self.permits).acquire_owned();
        match self.world.timeout(WAIT, permit).await {
            Some(Ok(permit)) => Ok(permit),
            // The semaphore is never closed.
            Some(Err(_)) | None => Err(RequestRejection::NoPermit),
        }
    }
}

/// The permit of a request, while it holds one, or the reason of its rejection.
#[derive(Debug)]
pub(super) struct RequestPermit(Mutex<Result<Option<OwnedSemaphorePermit>, RequestRejection>>);

impl RequestPermit {
    /// Creates the state of a request that holds a permit.
    pub(super) fn from_permit(permit: OwnedSemaphorePermit) -> Self {
        Self(Mutex::new(Ok(Some(permit))))
    }

    /// Returns the reason if the request was rejected while its body arrived.
    pub(super) fn rejected(&self) -> Option<RequestRejection> {
        self.state().as_ref().err().copied()
    }

    fn set(&self, state: Result<Option<OwnedSemaphorePermit>, RequestRejection>) {
        *self.state() = state;
    }

    fn state(&self) -> MutexGuard<'_, Result<Option<OwnedSemaphorePermit>, RequestRejection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client of a body, and its announced size in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnnouncedBody {
    pub(super) client: ClientNetwork,
    pub(super) bytes: usize,
}

/// The body of a request that releases its permit while it arrives.
#[derive(derive_more::Debug)]
#[debug("RequestBody {{ announced: {announced:?}, place: {place:?}, .. }}")]
pub(super) struct RequestBody {
    body: Body,
    announced: AnnouncedBody,
    place: Arc<RequestPermit>,
    places: RequestPermits,
    incoming: Arc<IncomingBodies>,
    state: BodyState,
}

/// Progress of a body.
enum BodyState {
    /// The request holds its permit: the body was ready so far, or is complete.
    HoldsPermit,
    /// The body is arriving; the request holds no permit.
    Arriving(BodyProgress),
    /// The body is complete and waits for a permit with its last frame.
    Complete(
        BoxFuture<'static, Result<OwnedSemaphorePermit, RequestRejection>>,
        Option<Frame<Bytes>>,
    ),
}

struct BodyProgress {
    incoming: IncomingBody,
    /// Bytes received since the last progress.
    bytes: usize,
    /// Completes when the body becomes stalled; `None` while it is stalled.
    stall: Option<BoxFuture<'static, ()>>,
}

impl RequestBody {
    /// Wraps the body of a request that holds a permit.
    pub(super) fn new(
        body: Body,
        announced: AnnouncedBody,
        place: Arc<RequestPermit>,
        places: RequestPermits,
        incoming: Arc<IncomingBodies>,
    ) -> Self {
        Self {
            body,
            announced,
            place,
            places,
            incoming,
            state: BodyState::HoldsPermit,
        }
    }

    /// Releases the permit.
    fn release_permit(&mut self) {
        self.place.set(Ok(None));
        let AnnouncedBody { client, bytes } = self.announced;
        self.state = BodyState::Arriving(BodyProgress {
            incoming: self.incoming.add(client, bytes),
            bytes: 0,
            stall: Some(self.places.world.clock.sleep(STALL)),
        });
    }

    fn end(&mut self, frame: Option<Frame<Bytes>>) {
        let places = self.places.clone();
        let acquire = Box::pin(async move { places.acquire().await });
        self.state = BodyState::Complete(acquire, frame);
    }

    fn turn_away(
        &mut self,
        why: RequestRejection,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.place.set(Err(why));
        self.state = BodyState::HoldsPermit;
        self.body = Body::empty();
        Poll::Ready(Some(Err(axum::Error::new(why))))
    }
}

impl BodyProgress {
    /// Waits until the body is stalled.
    fn poll_stall(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(stall) = &mut self.stall else {
            return Poll::Pending;
        };
        ready!(stall.as_mut().poll(context));
        self.stall = None;
        self.incoming.stall();
        Poll::Ready(())
    }

    fn advance(&mut self, bytes: usize, world: &World) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes >= MIN_PROGRESS_BYTES {
            self.bytes = 0;
            self.stall = Some(world.clock.sleep(STALL));
            self.incoming.advance();
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                BodyState::HoldsPermit => match Pin::new(&mut this.body).poll_frame(context) {
                    Poll::Pending => this.release_permit(),
                    ready => return ready,
                },
                BodyState::Arriving(arrival) => {
                    if let Poll::Ready(excess) = arrival.incoming.poll_excess(context) {
                        return this.turn_away(excess.into());
                    }
                    match Pin::new(&mut this.body).poll_frame(context) {
                        Poll::Pending => ready!(arrival.poll_stall(context)),
                        Poll::Ready(None) => this.end(None),
                        Poll::Ready(Some(Ok(frame))) if this.body.is_end_stream() => {
                            this.end(Some(frame));
                        }
                        Poll::Ready(Some(Ok(frame))) => {
                            let bytes = frame.data_ref().map_or(0, Bytes::len);
                            arrival.advance(bytes, &this.places.world);
                            return Poll::Ready(Some(Ok(frame)));
                        }
                        Poll::Ready(error) => return Poll::Ready(error),
                    }
                }
                BodyState::Complete(acquire, frame) => {
                    let frame = match ready!(acquire.as_mut().poll(context)) {
                        Ok(permit) => {
                            this.place.set(Ok(Some(permit)));
                            frame.take()
                        }
                        Err(why) => return this.turn_away(why),
                    };
                    this.state = BodyState::HoldsPermit;
                    return Poll::Ready(frame.map(Ok));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            BodyState::Complete(..) => false,
            _ => self.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            BodyState::Complete(_, Some(frame)) => {
                SizeHint::with_exact(frame.data_ref().map_or(0, Bytes::len) as u64)
            }
            _ => self.body.size_hint(),
        }
    }
}

//! Tracks the events in flight while an instance shuts down.
//!
//! `lambda_runtime` requests the next event as soon as one is answered, and drops events in flight when its loop is
//! dropped. Therefore the loop runs until the process ends, and this layer counts events from their arrival until
//! Lambda has accepted their response. After shutdown begins, a worker that has answered an event never requests
//! another one. A request for an event that is already pending may still return one; it is handled like any other
//! event.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::{BoxFuture, pending};
use lambda_runtime::LambdaInvocation;
use tokio::sync::watch;
use tower::{Layer, Service};

/// Phase of the shutdown of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShutdownPhase {
    Serving,
    /// The instance requests no more events; events in flight finish by themselves.
    Draining,
    /// Events that are still in flight are aborted.
    Aborting,
}

/// Shutdown state shared by event handlers and the code that stops the instance. Clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    phase: Arc<watch::Sender<ShutdownPhase>>,
    under_way: Arc<watch::Sender<usize>>,
}

impl Shutdown {
    /// Creates the state of an instance that serves events.
    pub(crate) fn new() -> Self {
        Self {
            phase: Arc::new(watch::Sender::new(ShutdownPhase::Serving)),
            under_way: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Stops workers from requesting more events.
    pub(crate) fn begin(&self) {
        self.phase.send_replace(ShutdownPhase::Draining);
    }

    /// Makes all events in flight return an error response.
    pub(crate) fn abort(&self) {
        self.phase.send_replace(ShutdownPhase::Aborting);
    }

    /// Waits until no event is in flight.
    pub(crate) async fn drained(&self) {
        let mut under_way = self.under_way.subscribe();
        // `self` holds the sender, so the channel stays open.
        drop(under_way.wait_for(|events| *events == 0).await);
    }

    /// Waits until events in flight are to be aborted.
    pub(crate) async fn aborted(&self) {
        let mut phase = self.phase.subscribe();
        drop(phase.wait_for(|phase| *phase == ShutdownPhase::Aborting).await);
    }

    fn has_begun(&self) -> bool {
        *self.phase.borrow() != ShutdownPhase::Serving
    }
}

/// An event in flight; the counter decreases when it is dropped.
struct InFlightEvent(Shutdown);

impl InFlightEvent {
    fn begin(shutdown: &Shutdown) -> Self {
        shutdown.under_way.send_modify(|events| *events += 1);
        Self(shutdown.clone())
    }
}

impl Drop for InFlightEvent {
    fn drop(&mut self) {
        self.0.under_way.send_modify(|events| *events -= 1);
    }
}

impl<S> Layer<S> for Shutdown {
    type Service = ShutdownService<S>;

    fn layer(&self, inner: S) -> ShutdownService<S> {
        ShutdownService { inner, shutdown: self.clone() }
    }
}

/// A tower service that counts the events in flight around `inner`, which handles events and posts the responses.
#[derive(Clone, Debug)]
pub(crate) struct ShutdownService<S> {
    inner: S,
    shutdown: Shutdown,
}

impl<S> Service<LambdaInvocation> for ShutdownService<S>
where
    S: Service<LambdaInvocation, Response = ()>,
    S::Future: Send + 'static,
    S::Error: Send,
{
    type Response = ();
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<(), S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let shutdown = self.shutdown.clone();
        let under_way = InFlightEvent::begin(&shutdown);
        let answered = self.inner.call(invocation);
        Box::pin(async move {
            let answered = answered.await;
            drop(under_way);
            if shutdown.has_begun() {
                // The caller would request the next event when this future completes.
                pending::<()>().await;
            }
            answered
        })
    }
}

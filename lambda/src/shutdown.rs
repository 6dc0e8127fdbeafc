//! The events under way when an instance is to end.
//!
//! `lambda_runtime` asks for the next event as soon as one is answered, and drops what is under way when its loop is
//! dropped. So the loop goes on until the process ends, and here events are counted from their arrival until their answer
//! has been taken; once the end has begun, whoever has answered an event never gets to ask for another. What a request for
//! an event that was under way then still brings is an event like others.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::{BoxFuture, pending};
use lambda_runtime::LambdaInvocation;
use tokio::sync::watch;
use tower::{Layer, Service};

/// How far the end of an instance has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// No events are asked for any more; those under way end by themselves.
    Draining,
    /// Those that are still under way are given up.
    GivingUp,
}

/// What events and whoever ends the instance know of each other. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    phase: Arc<watch::Sender<Phase>>,
    under_way: Arc<watch::Sender<usize>>,
}

impl Shutdown {
    /// Of an instance that serves.
    pub(crate) fn new() -> Self {
        Self {
            phase: Arc::new(watch::Sender::new(Phase::Serving)),
            under_way: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Has nobody ask for another event.
    pub(crate) fn begin(&self) {
        self.phase.send_replace(Phase::Draining);
    }

    /// Has all events answered that are still under way.
    pub(crate) fn give_up(&self) {
        self.phase.send_replace(Phase::GivingUp);
    }

    /// Waits until no event is under way.
    pub(crate) async fn drained(&self) {
        let mut under_way = self.under_way.subscribe();
        // The sender is `self`, so it does not go away.
        drop(under_way.wait_for(|events| *events == 0).await);
    }

    /// Waits until events under way are given up.
    pub(crate) async fn given_up(&self) {
        let mut phase = self.phase.subscribe();
        drop(phase.wait_for(|phase| *phase == Phase::GivingUp).await);
    }

    fn has_begun(&self) -> bool {
        *self.phase.borrow() != Phase::Serving
    }
}

/// An event under way.
struct UnderWay(Shutdown);

impl UnderWay {
    fn begin(shutdown: &Shutdown) -> Self {
        shutdown.under_way.send_modify(|events| *events += 1);
        Self(shutdown.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.send_modify(|events| *events -= 1);
    }
}

impl<S> Layer<S> for Shutdown {
    type Service = Tracked<S>;

    fn layer(&self, inner: S) -> Tracked<S> {
        Tracked {
            inner,
            shutdown: self.clone(),
        }
    }
}

/// Handles events and posts the answers, as `inner` does, and counts them.
#[derive(Clone, Debug)]
pub(crate) struct Tracked<S> {
    inner: S,
    shutdown: Shutdown,
}

impl<S> Service<LambdaInvocation> for Tracked<S>
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
        let under_way = UnderWay::begin(&shutdown);
        let answered = self.inner.call(invocation);
        Box::pin(async move {
            let answered = answered.await;
            drop(under_way);
            if shutdown.has_begun() {
                // Whoever waits for this asks for an event next.
                pending::<()>().await;
            }
            answered
        })
    }
}

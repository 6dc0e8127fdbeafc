//! Admits requests with a valid ticket to the worker.
//!
//! The ticket is checked before the body of a request is read. The worker then runs on threads of its own, so that
//! connections stay responsive while tasks compute.

use std::{
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use neap_bucket::World;
use neap_distributed::Ticket;
use neap_tables::run_on;
use tokio::runtime::Handle;
use tonic::{Status, body::Body};
use tower::Service;

use super::{
    WorkerThreads,
    answer_body::ThreadMonitor,
    connection::Peer,
    watched_body::{SET_TASK_PATH, watched},
};
use crate::{ClusterTickets, WorkerPortStats, rate_limit::RateLimit, tickets::TicketRefusal};

/// Minimum time between two log lines about refused requests.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// State that the requests of all connections share.
pub(super) struct Admission {
    tickets: Arc<ClusterTickets>,
    runtime: Handle,
    monitor: ThreadMonitor,
    stats: Arc<WorkerPortStats>,
    refusal_log: RateLimit,
}

impl Admission {
    pub(super) fn new(
        tickets: Arc<ClusterTickets>,
        threads: &WorkerThreads,
        stats: Arc<WorkerPortStats>,
        world: World,
    ) -> Self {
        Self {
            tickets,
            runtime: threads.handle.clone(),
            monitor: threads.monitor.clone(),
            stats,
            refusal_log: RateLimit::new(world, REFUSAL_LOG_INTERVAL),
        }
    }

    /// Checks the ticket of a request.
    async fn admit(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Ticket, Status> {
        let ticket = self.tickets.verify(headers).await.map_err(|refusal| {
            self.stats.count_refused_ticket();
            if self.refusal_log.allows() {
                let address = peer.map(Peer::address);
                tracing::warn!(?address, %refusal, "refused a request to the worker port");
            }
            refusal_status(&refusal)
        })?;
        if let Some(peer) = peer {
            peer.trust();
        }
        Ok(ticket)
    }

    /// Returns the request to the worker. The task that it sets ends when its coordinator disconnects.
    fn watch(&self, request: Request<Body>, ticket: &Ticket) -> Request<Body> {
        match request.uri().path() == SET_TASK_PATH {
            true => request.map(|body| watched(body, self.tickets.verifier().watch(ticket))),
            false => request,
        }
    }
}

/// Returns the answer to a request without a valid ticket. It does not say which part of the ticket is wrong.
fn refusal_status(refusal: &TicketRefusal) -> Status {
    match refusal {
        TicketRefusal::Ticket(_) => Status::unauthenticated("a valid ticket is required"),
        TicketRefusal::Unavailable(_) => {
            Status::unavailable("the worker can't read the secret of the cluster")
        }
    }
}

/// The worker service behind the admission.
#[derive(Clone)]
pub(super) struct WorkerGate<S> {
    service: S,
    admission: Arc<Admission>,
}

impl<S> WorkerGate<S> {
    pub(super) fn new(service: S, admission: Admission) -> Self {
        Self {
            service,
            admission: Arc::new(admission),
        }
    }
}

impl<S> fmt::Debug for WorkerGate<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerGate").finish_non_exhaustive()
    }
}

impl<S> Service<Request<Body>> for WorkerGate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The service that was polled is ready, its clone may not be.
        let clone = self.service.clone();
        let mut service = std::mem::replace(&mut self.service, clone);
        let admission = Arc::clone(&self.admission);
        Box::pin(async move {
            let peer = request.extensions().get::<Peer>();
            let ticket = match admission.admit(request.headers(), peer).await {
                Ok(ticket) => ticket,
                Err(status) => return Ok(status.into_http()),
            };
            let request = admission.watch(request, &ticket);
            let panics = admission.monitor.panics();
            let answer = async move { service.call(request).await };
            let answer = run_on(&admission.runtime, answer).await?;
            Ok(answer.map(|body| admission.monitor.guard(body, panics)))
        })
    }
}

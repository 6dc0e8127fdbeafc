//! Admits requests with a valid ticket to the worker.
//!
//! The ticket is checked before the body of a request is read. The worker then runs on threads of its own, so that
//! connections stay responsive while tasks compute.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use neap_bucket::World;
use neap_catalog::CatalogError;
use neap_distributed::{ClusterTickets, Ticket, TicketError};
use neap_http::GuardedBody;
use neap_scan::run_on;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};
use tower::Service;

use super::{answer_body::ThreadMonitor, connection::Peer, worker_threads::WorkerThreads};
use crate::{WorkerPortStats, event_interval::EventInterval};

/// The path of requests that set a task. Their bodies last as long as their queries.
const SET_TASK_PATH: &str = "/worker.WorkerService/CoordinatorChannel";

/// Minimum time between two log lines about refused requests.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Why a worker refuses a request.
#[derive(Debug, thiserror::Error)]
enum TicketRefusal {
    #[error(transparent)]
    Ticket(#[from] TicketError),
    #[error("cannot read the secret of the cluster: {0}")]
    Unavailable(#[from] CatalogError),
}

/// State that the requests of all connections share.
pub(super) struct Admission {
    tickets: Arc<ClusterTickets>,
    runtime: Handle,
    monitor: ThreadMonitor,
    stats: Arc<WorkerPortStats>,
    refusal_log: EventInterval,
    /// Cancelled when the worker takes no new tasks.
    stop: CancellationToken,
}

impl Admission {
    pub(super) fn new(
        tickets: Arc<ClusterTickets>,
        threads: &WorkerThreads,
        stats: Arc<WorkerPortStats>,
        world: World,
        stop: CancellationToken,
    ) -> Self {
        Self {
            tickets,
            runtime: threads.handle.clone(),
            monitor: threads.monitor.clone(),
            stats,
            refusal_log: EventInterval::new(world, REFUSAL_LOG_INTERVAL),
            stop,
        }
    }

    /// Checks the ticket of a request.
    async fn admit(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Ticket, Status> {
        let ticket = self.verify(headers).await.map_err(|refusal| {
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

    /// Checks the signature and the time of the ticket of a request.
    async fn verify(&self, headers: &HeaderMap) -> Result<Ticket, TicketRefusal> {
        self.tickets.refresh().await?;
        Ok(self.tickets.verifier().verify(headers)?)
    }

    /// Returns the request to the worker. The task that it sets ends when its coordinator disconnects. A worker that
    /// stops takes no new tasks, but answers requests for the rows of tasks that it has.
    fn watch(&self, request: Request<Body>, ticket: &Ticket) -> Result<Request<Body>, Status> {
        if request.uri().path() != SET_TASK_PATH {
            return Ok(request);
        }
        if self.stop.is_cancelled() {
            return Err(Status::unavailable("the worker stops"));
        }
        // The end of the body is the end of the connection of the coordinator.
        let watch = self.tickets.verifier().watch(ticket);
        Ok(request.map(|body| Body::new(GuardedBody::new(body, watch))))
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
#[derive(Clone, derive_more::Debug)]
#[debug("WorkerGate {{ .. }}")]
pub(super) struct WorkerGate<S> {
    service: S,
    admission: Arc<Admission>,
}

impl<S> WorkerGate<S> {
    pub(super) fn new(service: S, admission: Admission) -> Self {
        Self { service, admission: Arc::new(admission) }
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
            let request = match admission.watch(request, &ticket) {
                Ok(request) => request,
                Err(status) => return Ok(status.into_http()),
            };
            let panics = admission.monitor.panics();
            let answer = async move { service.call(request).await };
            let answer = run_on(&admission.runtime, answer).await?;
            Ok(answer.map(|body| admission.monitor.guard(body, panics)))
        })
    }
}

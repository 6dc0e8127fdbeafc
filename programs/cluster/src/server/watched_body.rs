//! The body of the request that sets a task: its end is the end of the connection of the coordinator.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use neap_distributed::TaskWatch;
use tonic::{Status, body::Body};

/// The path of requests that set a task. Their bodies last as long as their queries.
pub(super) const SET_TASK_PATH: &str = "/worker.WorkerService/CoordinatorChannel";

/// Returns the body with a watch that ends with it, whether the query is complete or the coordinator is gone.
pub(super) fn watched(body: Body, watch: TaskWatch) -> Body {
    Body::new(WatchedBody {
        body,
        _watch: watch,
    })
}

/// A body that cancels its task when it is dropped.
struct WatchedBody {
    body: Body,
    _watch: TaskWatch,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

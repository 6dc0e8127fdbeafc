//! The bodies of answers: they fail if the threads that produce them failed.
//!
//! A task that panics, and a task whose threads end, drop the channel through which they send rows. For the reader of
//! the channel, that is the end of the rows. A body that ended then would be taken for a whole answer with fewer rows.

use std::{
    pin::Pin,
    sync::{
        Arc, Once,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::{Status, body::Body};

/// The name of the threads that execute tasks.
pub(super) const THREAD_NAME: &str = "neap-worker";

/// Panics on threads of workers since the process started.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts panics on threads of workers from now on, in addition to what happens on a panic anyway.
fn count_panics() {
    static COUNTING: Once = Once::new();
    COUNTING.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() == Some(THREAD_NAME) {
                // The hook runs before the task drops its channel.
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            previous(panic);
        }));
    });
}

/// Observes the threads of a worker.
#[derive(Clone, Debug)]
pub(super) struct ThreadMonitor {
    have_ended: Arc<AtomicBool>,
}

impl ThreadMonitor {
    pub(super) fn new() -> Self {
        count_panics();
        Self { have_ended: Arc::default() }
    }

    /// Records that the threads are about to end.
    pub(super) fn end(&self) {
        self.have_ended.store(true, Ordering::SeqCst);
    }

    /// Returns the number of panics so far. Call it before the threads begin an answer.
    pub(super) fn panics(&self) -> u64 {
        PANICS.load(Ordering::SeqCst)
    }

    /// Returns the body of an answer that the threads produce, with a check at its end. `panics_before` is the number of
    /// panics before the threads began it.
    pub(super) fn guard(&self, body: Body, panics_before: u64) -> Body {
        Body::new(AnswerBody { body, monitor: self.clone(), panics_before })
    }
}

/// A body that ends with an error if a thread panicked, or the threads ended, since it began. Answers of other tasks
/// fail, too: a panic is rare, and their queries can be repeated.
struct AnswerBody {
    body: Body,
    monitor: ThreadMonitor,
    panics_before: u64,
}

impl AnswerBody {
    fn check_threads(&self) -> Result<(), Status> {
        if PANICS.load(Ordering::SeqCst) != self.panics_before {
            return Err(Status::internal("a task of this worker panicked"));
        }
        if self.monitor.have_ended.load(Ordering::SeqCst) {
            return Err(Status::unavailable("the worker stops"));
        }
        Ok(())
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let is_end = match &polled {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers(),
            _ => false,
        };
        match is_end.then(|| self.check_threads()) {
            Some(Err(status)) => Poll::Ready(Some(Err(status))),
            _ => polled,
        }
    }

    /// Never in advance, so that the end is always checked.
    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};
    use tokio::sync::mpsc;

    use super::*;
    use crate::server::worker_threads::WorkerThreads;

    /// Returns a body of frames from a channel, and its sender.
    fn body(monitor: &ThreadMonitor) -> (mpsc::Sender<Bytes>, Body) {
        let (sender, receiver) = mpsc::channel::<Bytes>(1);
        let frames = futures::stream::unfold(receiver, |mut receiver| async move {
            let bytes = receiver.recv().await?;
            Some((Ok::<_, Status>(Frame::data(bytes)), receiver))
        });
        let body = Body::new(StreamBody::new(Box::pin(frames)));
        (sender, monitor.guard(body, monitor.panics()))
    }

    async fn collect(body: Body) -> Result<Bytes, Status> {
        Ok(body.collect().await?.to_bytes())
    }

    #[tokio::test]
    async fn an_answer_whose_task_panics_is_an_error_and_a_later_one_is_not() {
        let threads = WorkerThreads::start(1).unwrap();
        let (sender, cut) = body(&threads.monitor);
        let task = threads.handle.spawn(async move {
            sender.send(Bytes::from_static(b"a")).await.ok();
            panic!("a panic of a test");
        });
        let error = collect(cut).await.unwrap_err();
        assert_eq!(error.message(), "a task of this worker panicked");
        assert!(task.await.unwrap_err().is_panic());
        let (sender, whole) = body(&threads.monitor);
        threads.handle.spawn(async move {
            sender.send(Bytes::from_static(b"b")).await.ok();
        });
        assert_eq!(collect(whole).await.unwrap(), "b");
    }

    #[tokio::test]
    async fn an_answer_whose_threads_end_is_an_error() {
        let threads = WorkerThreads::start(1).unwrap();
        let (sender, cut) = body(&threads.monitor);
        threads.handle.spawn(async move {
            sender.send(Bytes::from_static(b"a")).await.ok();
            std::future::pending::<()>().await;
            drop(sender);
        });
        drop(threads);
        let error = collect(cut).await.unwrap_err();
        assert_eq!(error.message(), "the worker stops");
    }
}

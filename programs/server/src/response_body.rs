//! Response bodies that end when the client stops reading.
//!
//! Over HTTP/1, a client that does not read blocks the connection, and the connection detects this. Over HTTP/2, a
//! client may stop requesting data of one stream while the connection is healthy. Therefore, a task per HTTP/2 response
//! passes the body to the connection, and drops the body with the query behind it if the connection does not take the
//! next piece in time.

use std::{
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use hyper::{
    Version,
    body::{Frame, SizeHint},
};
use neap_bucket::World;
use neap_http::GuardedBody;
use tokio::sync::mpsc;

use super::{active_count::ActiveGuard, min_rate_stream::TrafficStats};

/// Size in bytes up to which a body that is complete in memory needs no task.
const SMALL_BYTES: u64 = 64 << 10;

/// Wraps a response body for the connection.
pub(super) fn deliver(
    body: Body,
    version: Version,
    patience: Duration,
    world: World,
    traffic: Arc<TrafficStats>,
    here: [ActiveGuard; 2],
) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let size = body.size_hint();
    let is_small = size.exact().is_some_and(|bytes| bytes <= SMALL_BYTES);
    if version < Version::HTTP_2 || is_small {
        return Body::new(GuardedBody::new(body, here));
    }
    let (pieces, received) = mpsc::channel(1);
    tokio::spawn(carry(body, pieces, patience, world, traffic, here));
    Body::new(ChannelBody { received: Some(received), size })
}

/// A message from the task: a frame, or the end.
enum BodyMessage {
    Frame(Result<Frame<Bytes>, axum::Error>),
    End,
}

/// Sends a body frame by frame, as long as each frame is taken within `patience`.
async fn carry(
    mut body: Body,
    pieces: mpsc::Sender<BodyMessage>,
    patience: Duration,
    world: World,
    traffic: Arc<TrafficStats>,
    _here: [ActiveGuard; 2],
) {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            // The receiver was dropped.
            () = pieces.closed() => return,
        };
        let is_end = frame.is_none();
        let piece = frame.map_or(BodyMessage::End, BodyMessage::Frame);
        match world.timeout(patience, pieces.send(piece)).await {
            Some(Ok(())) if !is_end => {}
            Some(_) => return,
            None => {
                traffic.stalled.fetch_add(1, Ordering::Relaxed);
                tracing::info!("response aborted: the client does not read it");
                return;
            }
        }
    }
}

/// A body received from a task.
struct ChannelBody {
    /// `None` after the end.
    received: Option<mpsc::Receiver<BodyMessage>>,
    size: SizeHint,
}

impl HttpBody for ChannelBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(received) = &mut self.received else {
            return Poll::Ready(None);
        };
        match ready!(received.poll_recv(context)) {
            Some(BodyMessage::Frame(frame)) => Poll::Ready(Some(frame)),
            Some(BodyMessage::End) => {
                self.received = None;
                Poll::Ready(None)
            }
            None => {
                self.received = None;
                let error = io::Error::from(io::ErrorKind::TimedOut);
                Poll::Ready(Some(Err(axum::Error::new(error))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.received.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // The size of sent frames is not subtracted, because only the first hint is used.
        self.size
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;
    use crate::active_count::ActiveCount;

    const PATIENCE: Duration = Duration::from_secs(30);

    struct DeliveryFixture {
        presence: ActiveCount,
        traffic: Arc<TrafficStats>,
    }

    impl DeliveryFixture {
        fn new() -> Self {
            Self { presence: ActiveCount::default(), traffic: Arc::default() }
        }

        fn deliver(&self, body: Body, version: Version) -> Body {
            let here = [self.presence.enter(), self.presence.enter()];
            let traffic = Arc::clone(&self.traffic);
            deliver(body, version, PATIENCE, World::system(), traffic, here)
        }
    }

    fn pieces(count: usize) -> Body {
        let pieces = (0..count).map(|_| Ok::<_, io::Error>(Bytes::from_static(b"piece")));
        Body::from_stream(stream::iter(pieces))
    }

    #[tokio::test(start_paused = true)]
    async fn answers_arrive_whole_in_either_version() {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let delivery = DeliveryFixture::new();
            let body = delivery.deliver(pieces(100), version);
            assert_eq!(delivery.presence.count(), 2);
            let bytes = body.collect().await.unwrap().to_bytes();
            assert_eq!(bytes.len(), 500);
            delivery.presence.wait_until_zero().await;
            assert_eq!(delivery.traffic.stalled.load(Ordering::Relaxed), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_unread_response_is_aborted_and_does_not_look_complete() {
        let delivery = DeliveryFixture::new();
        let mut body = delivery.deliver(pieces(100), Version::HTTP_2);
        assert!(body.frame().await.unwrap().is_ok());
        delivery.presence.wait_until_zero().await;
        assert_eq!(delivery.traffic.stalled.load(Ordering::Relaxed), 1);
        let rest = body.collect().await;
        assert!(rest.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_query_is_not_mistaken_for_a_slow_client() {
        let delivery = DeliveryFixture::new();
        let slow = stream::once(async {
            World::system().clock.sleep(PATIENCE * 10).await;
            Ok::<_, io::Error>(Bytes::from_static(b"late"))
        });
        let body = delivery.deliver(Body::from_stream(slow), Version::HTTP_2);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "late");
    }

    #[tokio::test(start_paused = true)]
    async fn a_disconnected_client_cancels_its_work() {
        let delivery = DeliveryFixture::new();
        let never = stream::pending::<io::Result<Bytes>>();
        drop(delivery.deliver(Body::from_stream(never), Version::HTTP_2));
        delivery.presence.wait_until_zero().await;
    }
}

//! Streams of messages to clients.

use std::pin::Pin;

use futures::{Stream, stream};
use tonic::{Response, Status};

/// A stream of messages to a client.
pub(crate) type MessageStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Returns a response with these messages.
pub(crate) fn stream_of<T: Send + 'static>(messages: Vec<T>) -> Response<MessageStream<T>> {
    Response::new(Box::pin(stream::iter(messages.into_iter().map(Ok))))
}

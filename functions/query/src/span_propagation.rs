//! Makes the tasks of queries run in the spans of the tasks that spawn them, for traces.

use std::any::Any;

use datafusion::common::runtime::{JoinSetTracer, set_join_set_tracer};
use futures::{FutureExt, future::BoxFuture};
use tracing::{Instrument, Span};

/// Runs each task of DataFusion in the span in which it is spawned.
#[derive(Debug)]
struct SpanPropagation;

static SPAN_PROPAGATION: SpanPropagation = SpanPropagation;

impl JoinSetTracer for SpanPropagation {
    fn trace_future(
        &self,
        task: BoxFuture<'static, Box<dyn Any + Send>>,
    ) -> BoxFuture<'static, Box<dyn Any + Send>> {
        task.in_current_span().boxed()
    }

    fn trace_block(
        &self,
        block: Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>,
    ) -> Box<dyn FnOnce() -> Box<dyn Any + Send> + Send> {
        let span = Span::current();
        Box::new(move || span.in_scope(block))
    }
}

/// Makes the tasks of partitions run in the span of their query, so that a trace shows their requests to the store. For
/// processes that export traces.
pub fn propagate_spans() {
    // A second call has no effect.
    set_join_set_tracer(&SPAN_PROPAGATION).ok();
}

//! The process whose functions are assembled.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{heartbeat::OwnNode, traces::TraceExport};

/// The process of the functions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessContext<'a> {
    /// Its configured name.
    pub(crate) node: Option<&'a str>,
    /// Its record in the list of nodes.
    pub(crate) own: &'a Arc<OwnNode>,
    /// Cancelled when it is asked to stop.
    pub(crate) stop: &'a CancellationToken,
    pub(crate) traces: Option<&'a Arc<TraceExport>>,
}

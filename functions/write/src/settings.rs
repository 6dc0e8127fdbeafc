//! What can be set.

use std::time::Duration;

use neap_catalog::HardDelete;
use neap_http::BodyLimits;

/// The settings of a [`crate::WriteService`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteSettings {
    /// The most bytes of a body, as sent and decoded (InfluxDB 3 `--max-http-request-size`).
    pub max_request_bytes: usize,
    /// The longest time that the body of a request may take to arrive.
    pub body_timeout: Duration,
    /// The most cells, that is rows times columns, of one request. A cell takes about 8 bytes.
    pub max_cells: usize,
    /// Whether `no_sync=true` is answered before the rows are put. Must be false where an instance is
    /// frozen after its answer.
    pub no_sync_allowed: bool,
    /// The most bytes of requests that are worked on at once: bodies, columns, and what is encoded of
    /// them. What comes beyond waits for a moment and is then refused.
    pub max_bytes_in_flight: usize,
    /// When the data of a dropped database or table goes unless the request says otherwise
    /// (InfluxDB 3 `--hard-delete-default-duration`).
    pub hard_delete: HardDelete,
    /// The database of requests to `/write` that name none, as those of QuestDB's clients do; `None`: they are
    /// refused. Must be a valid name.
    pub default_database: Option<String>,
}

impl WriteSettings {
    /// What a body may be.
    pub(crate) fn body_limits(&self) -> BodyLimits {
        BodyLimits {
            max_bytes: self.max_request_bytes,
            timeout: self.body_timeout,
        }
    }
}

impl Default for WriteSettings {
    /// 10 MiB a request, 256 MiB in flight; data goes 72 hours after a drop.
    fn default() -> Self {
        Self {
            max_request_bytes: 10 << 20,
            body_timeout: Duration::from_secs(30),
            max_cells: 16 << 20,
            no_sync_allowed: true,
            max_bytes_in_flight: 256 << 20,
            hard_delete: HardDelete::DEFAULT,
            default_database: None,
        }
    }
}

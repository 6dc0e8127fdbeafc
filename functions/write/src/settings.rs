//! Settings of the write function.

use std::{str::FromStr, time::Duration};

use neap_catalog::HardDelete;
use neap_http::BodyLimits;

/// The settings of a [`crate::WriteService`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteSettings {
    /// Maximum bytes of a body, both compressed and decompressed (InfluxDB 3 `--max-http-request-size`).
    pub max_request_bytes: usize,
    /// Maximum time for the body of a request to arrive.
    pub body_timeout: Duration,
    /// Maximum cells (rows times columns) of one request. A cell takes about 8 bytes.
    pub max_cells: usize,
    /// Maximum tables that one request creates. They remain if the process ends before it stores the rows.
    pub max_new_tables: usize,
    /// Maximum columns that one request creates, in all of its tables.
    pub max_new_columns: usize,
    /// How `/write` and `/api/v2/write` treat the valid lines of a request if others are refused.
    pub legacy_writes: LegacyWrites,
    /// Whether `no_sync=true` requests are answered before their rows are put. Must be false where an instance is
    /// frozen after its answer.
    pub no_sync_allowed: bool,
    /// Maximum bytes of requests in progress: bodies, columns, and encoded rows. Requests beyond it wait for a moment
    /// and are then refused.
    pub max_bytes_in_flight: usize,
    /// When the data of a dropped database or table is deleted, unless the request says otherwise (InfluxDB 3
    /// `--hard-delete-default-duration`).
    pub hard_delete: HardDelete,
    /// The database of requests to `/write` that name none, as sent by QuestDB's clients; `None`: they are refused.
    /// Must be a valid name.
    pub default_database: Option<String>,
    /// Whether the server also accepts QuestDB's protocol over TCP. `/settings` announces it.
    pub questdb_over_tcp: bool,
}

impl WriteSettings {
    /// The default of `max_new_tables`.
    pub const MAX_NEW_TABLES: usize = 10_000;

    /// Returns the limits on a request body.
    pub fn body_limits(&self) -> BodyLimits {
        BodyLimits {
            max_bytes: self.max_request_bytes,
            timeout: self.body_timeout,
        }
    }
}

impl Default for WriteSettings {
    /// 10 MiB per request, 256 MiB in flight; data is deleted 72 hours after a drop.
    fn default() -> Self {
        Self {
            max_request_bytes: 10 << 20,
            body_timeout: Duration::from_secs(30),
            max_cells: 16 << 20,
            max_new_tables: Self::MAX_NEW_TABLES,
            max_new_columns: 100_000,
            legacy_writes: LegacyWrites::Partial,
            no_sync_allowed: true,
            max_bytes_in_flight: 256 << 20,
            hard_delete: HardDelete::DEFAULT,
            default_database: None,
            questdb_over_tcp: false,
        }
    }
}

/// How `/write` and `/api/v2/write` treat the valid lines of a request if others are refused (`--legacy-writes`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LegacyWrites {
    /// Store them, as InfluxDB 1 and 2 do, unless the request has `accept_partial=false`.
    #[default]
    Partial,
    /// Refuse them as well, as InfluxDB 3 does.
    Strict,
}

/// A value that names no [`LegacyWrites`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is neither partial nor strict")]
pub struct LegacyWritesError(String);

impl FromStr for LegacyWrites {
    type Err = LegacyWritesError;

    fn from_str(text: &str) -> Result<Self, LegacyWritesError> {
        match text {
            "partial" => Ok(Self::Partial),
            "strict" => Ok(Self::Strict),
            _ => Err(LegacyWritesError(text.to_owned())),
        }
    }
}

//! Prometheus remote write, versions 1.0 and 2.0: `POST /api/v1/write`, and `POST /api/v1/prom/write` as in InfluxDB 1.
//!
//! ```text
//! body ── read whole, within the limit of writes ── snappy, size checked first ── decode_write ──┐
//!           memory is reserved for the body, the message, and the points                         │
//!                                                                                                ▼
//!                     WriteService::write_rows ── 204, or 400 with the number of refused samples
//! ```
//!
//! Prometheus sends a request again if the answer is 429 or 5xx, and drops it if the answer is another error. Therefore
//! a request with some samples that cannot be stored is answered with 400 when the other samples are stored. The headers
//! `X-Prometheus-Remote-Write-…-Written` contain the number of stored samples. A repeated request stores the same points
//! again, which are the same rows.
//!
//! [`router`] returns the routes. The module uses neither DataFusion nor Parquet, so that the write function of Lambda can
//! serve it.

mod answer;
mod exemplar_table;
mod metadata_cache;
mod request;
mod route;

pub use route::router;

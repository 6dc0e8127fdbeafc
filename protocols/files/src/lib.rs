//! Uploads of whole files as writes: `POST /api/v3/write_file`, and as import jobs: `/api/v3/enterprise/import`.
//!
//! ```text
//! body ── read whole, within the limit of writes ── decoded in parts on a blocking thread ──┐
//!           memory is reserved for the body first, and for the rows of each part            │
//!                                                                                           ▼
//!                              WriteService::write_rows ── the answer of /api/v3/write_lp
//! ```
//!
//! The file is CSV, JSON lines, Parquet or Arrow. Its rows are validated like lines of line protocol: refused rows are
//! reported by their number, and the others are stored.
//!
//! An import job ([`ImportWorker`]) has a Parquet file that may be larger than memory, and imports its rows later.

mod bulk_import;
mod decode;
mod multipart;
mod params;
mod route;

pub use bulk_import::{ImportSettings, ImportWorker, import_router};
pub use route::router;

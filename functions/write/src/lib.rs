//! The write function: stores line protocol and row deletes as segments of the tail, and changes databases, tables and
//! caches.
//!
//! ```text
//! body ── parse against the cached catalog ──┐
//!      conditional GETs: root, catalog, mark ┤   not current? parse again
//!                                            ▼
//!                       encode ── reserve room in the group commit      too much load? 503
//!                          ▼
//!                       commit new tables and columns, one PUT per request
//!                          │        a crash here leaves tables and columns without rows, as many as a request may add
//!                          ▼
//!                       join the group commit ── one PUT ── answer with the stamp
//! ```
//!
//! Catalogs and the low-water mark are revalidated only when the cached copies become too old for a stamp, so most
//! writes cost one PUT. A request that failed can be sent again, whatever it left behind.
//!
//! | item | description |
//! |---|---|
//! | [`WriteService`] | the function without HTTP |
//! | [`router`] | its routes: `/api/v3/write_lp`, `/api/v2/write`, `/write`, `/api/v2/delete`, `/api/v3/delete_rows`, the routes that change databases, tables, caches, indexes and tokens, and `/settings` for QuestDB's clients |
//! | [`row_delete_router`] | the routes of row delete requests |

mod catalog_locks;
mod delete;
mod delete_failure;
mod duplicate_rows;
mod failure;
mod first_credentials;
mod freshness;
mod imports;
mod line_protocol_body;
mod low_water_marks;
mod metrics;
mod repetition;
mod request_memory;
mod routes;
mod row_writer;
mod rows;
mod schema;
mod selection;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod validation;

pub use delete::{AcknowledgedDelete, DeleteContext, DeleteOptions};
pub use delete_failure::DeleteFailure;
pub use duplicate_rows::{
    ALLOW_DUPLICATES_HEADER, COUNT_REPLACED_HEADER, DuplicateCheck, DuplicateRows, MissingTags,
    REPLACED_ROWS_HEADER, WARNING_HEADER,
};
pub use failure::WriteFailure;
pub use imports::SettledImport;
pub use line_protocol_body::LineProtocolBody;
pub use neap_manifest::IMPORT_RETENTION;
pub use neap_rows::line_protocol::{Dialect, LineError, LineErrorKind, Precision};
pub use neap_wal::ImportProgress;
pub use request_memory::RequestMemoryReservation;
pub use routes::{authorize_write, recovery_router, router, row_delete_router, table_exists};
pub use selection::{NamedDelete, RowSelection};
pub use service::{AcceptedWrite, WriteOptions, WriteService, WriteServiceParts};
pub use settings::{LegacyWrites, LegacyWritesError, WriteSettings};

//! The write function: line protocol and row deletes in, segments of the tail out, and the changes of databases,
//! tables and caches.
//!
//! ```text
//! body ── parse against the catalog held ──┐
//!    conditional GETs: root, catalog, mark ┤   proven current? no: parse again
//!                                          ▼
//!                       commit new tables and columns, one PUT for all of the request
//!                          │        a crash here: columns without rows, which is no harm
//!                          ▼
//!                       encode ── join the group commit ── one PUT ── answer with the stamp
//! ```
//!
//! Catalogs and mark are asked for again only when what is held gets too old for a stamp, so most writes
//! cost one PUT. Whatever a request leaves behind when it fails can be sent again.
//!
//! | piece | what it is |
//! |---|---|
//! | [`WriteService`] | the function without HTTP |
//! | [`router`] | its routes: `/api/v3/write_lp`, `/api/v2/write`, `/write`, `/api/v2/delete`, `/api/v3/delete_rows`, what changes databases, tables, caches, indexes and tokens, and `/settings` for QuestDB's clients |

mod budget;
mod delete;
mod delete_failure;
mod failure;
mod judge;
mod marks;
mod metrics;
mod proof;
mod routes;
mod rows;
mod schema;
mod selection;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod turns;

pub use delete::{DeleteOptions, Deleted, RowSelection};
pub use delete_failure::DeleteFailure;
pub use failure::WriteFailure;
pub use neap_line_protocol::{Dialect, LineError, LineErrorKind, Precision};
pub use routes::{recovery_router, router};
pub use service::{Accepted, WriteOptions, WriteParts, WriteService};
pub use settings::WriteSettings;

//! Row deletes: conditions on the rows of a table, and their evaluation on record batches.
//!
//! A delete is a segment of its own, with a position in the order of all writes. It removes older versions of points;
//! later writes stay.
//!
//! ```text
//! text of InfluxDB 2 ── Predicate::parse ──┐
//!                                          ├─ Condition (time, tags) ── mask ── rows of a batch to delete
//! DELETE FROM … WHERE ─────────────────────┘        │
//!                                                RowDelete (of a table): in segments and manifests
//! ```
//!
//! | item | purpose |
//! |---|---|
//! | [`Condition`], [`RowDelete`] | the stored form |
//! | [`DeleteIndex`] | many deletes, for evaluation |
//! | [`Predicate`] | the text form, for any number of tables |
//! | [`RowDeleter`] | executes deletes |

mod condition;
mod delete_index;
mod deleter;
mod display;
mod last_deletes;
mod limits;
mod mask;
mod predicate;
mod predicate_error;
mod tokens;

pub use condition::{Condition, RowDelete};
pub use delete_index::DeleteIndex;
pub use deleter::{DeleteRowsError, DeleteRowsErrorKind, RowDeleter};
pub use limits::{ConditionLimitError, MAX_DEPTH, MAX_TERMS, MAX_TEXT_BYTES};
pub use mask::MaskError;
pub use predicate::{Predicate, PredicateTables};
pub use predicate_error::PredicateError;

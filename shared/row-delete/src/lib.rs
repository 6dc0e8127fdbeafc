//! Row deletes: which rows of a table are to go, and which rows of a batch those are.
//!
//! A delete has a place in the order of all writes, as a segment of its own. It removes the versions of
//! points that are older than it; what is written later stays.
//!
//! ```text
//! text of InfluxDB 2 ── Predicate::parse ──┐
//!                                          ├─ Condition (time, tags) ── mask ── rows of a batch that go
//! DELETE FROM … WHERE ─────────────────────┘        │
//!                                                RowDelete (of a table): in segments and manifests
//! ```
//!
//! | piece | what it is |
//! |---|---|
//! | [`Condition`], [`RowDelete`] | what is stored |
//! | [`Predicate`] | the text form, which may name any number of tables |
//! | [`RowDeleter`] | whatever puts deletes into the order of writes |

mod condition;
mod deleter;
mod display;
mod limits;
mod mask;
mod predicate;
mod tokens;

pub use condition::{Condition, RowDelete};
pub use deleter::{DeleteRowsError, DeleteRowsErrorKind, RowDeleter};
pub use limits::{MAX_DEPTH, MAX_TERMS, MAX_TEXT_BYTES, TooComplex};
pub use mask::MaskError;
pub use predicate::{Predicate, PredicateError, Tables};

//! Plans of Flux pipelines over the tables of a database.
//!
//! ```text
//!   Pipeline --source--> branches: a plan for each field of each table
//!                           |
//!              operations on each branch; branches whose tables may have the same key are united
//!                           |
//!                        output: a plan for each set of columns, sorted by tables, and the layout of its tables
//! ```
//!
//! Flux has a table for each series and field, Neap one for each measurement, with a column for each field. A *branch* is the
//! tables of one field: their rows in one plan, and the columns of the group key, whose values divide the rows into tables.
//! Values that all rows of a branch share, such as its field and its measurement, are constants outside of the plan. So conditions
//! on them select branches before anything is read.

mod aggregates;
mod branch;
mod expressions;
mod merge;
mod operations;
mod output;
mod pivot;
mod plan;
mod schema_lists;
mod source;
mod typed_value;
mod windows;

pub use output::TablesPlan;
pub use plan::{BucketList, BucketRow, plan_tables};

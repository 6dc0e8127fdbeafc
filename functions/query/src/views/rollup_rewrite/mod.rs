//! Answers aggregates of a table from its materialized views, where their rows are current.
//!
//! ```text
//!   Aggregate: hours, max(v)                 Projection: the same columns
//!     Filter: time >= ...           ─►         Union
//!       TableScan: cpu                           Projection                  windows of the view that are current
//!                                                  TableScan: cpu_1h
//!                                                Aggregate: hours, max(v)    all other times
//!                                                  TableScan: cpu
//! ```
//!
//! Groups that consist of several windows are merged by another aggregate above the union.
//!
//! | module | purpose |
//! |---|---|
//! | `answer` | replaces the aggregates of a plan |
//! | `view_match` | whether a view has the groups and rows of an aggregate |
//! | `values` | how the values of a view become those of an aggregate |
//! | `union_plan` | the plan over the view and its source |
//! | `stored_view` | the columns of a view |
//! | `table_aggregate` | aggregates of one table |
//! | `times` | conditions on time |
//! | `typed_plan` | converts arguments to the types of functions, so that expressions can be compared |

mod answer;
mod stored_view;
mod table_aggregate;
mod times;
mod typed_plan;
mod union_plan;
mod values;
mod view_match;

pub(crate) use answer::{ViewReader, answer_from_views, reads_source};

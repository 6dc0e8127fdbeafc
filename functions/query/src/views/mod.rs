//! Materialized views: statements, definitions, and the rows of their windows.
//!
//! ```text
//!   CREATE MATERIALIZED VIEW ─► plan ─► definition ─► catalog          CREATE CONTINUOUS QUERY: influxql
//!
//!   ViewRefresher ─► ViewData: compute ─► query with the times of the windows, as of the mark
//!                              read    ─► rows of the table
//!                              delete, store ─► RowDeleter, RowWriter
//!
//!   query of the source ─► rollup_rewrite ─► current windows of the view, and the source for all other times
//! ```

mod all_views;
mod changes;
mod data;
mod definition;
mod http;
mod planners;
mod rollup_rewrite;
mod rows;
mod statement;
mod window_filter;

pub use all_views::AllViewsReport;
pub use changes::RefreshViewsError;
pub use http::view_router;

pub(crate) use changes::check_views_are_kept;
pub(crate) use rollup_rewrite::{ViewReader, answer_from_views, reads_source};
pub(crate) use statement::{ViewStatement, parse_view_statement};

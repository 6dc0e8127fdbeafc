//! The operators and rules that Neap adds to DataFusion. They make plans over scans faster, correct answers that DataFusion
//! gets wrong, and end cancelled queries.
//!
//! ```text
//!   compared_texts, regex_backslashes,
//!     time_range, subqueries                    rules of the analyzer
//!   last_rows                                   a rule of the optimizer
//!     planning_interrupts                         end the planning of a cancelled query
//!   operator_rules   rules that change the operators of a plan
//!     aggregate_split  aggregates of which the statistics of scans answer a part
//!     derived_orders   orders from which other rules would conclude too much
//!     grouping_sets    the inputs of aggregates by several groupings
//!     last_rows        the rows that aggregates of last values need
//!     limited_filters  the batches of filters below sorts with a limit
//!     run_aggregate    the first step of aggregates, run by run
//!       row_groups       the groups of rows by their keys
//!     rank_sort        sorts of few rows by times and tags
//!   cancellation     ends the execution of a cancelled query
//! ```

mod aggregate_split;
mod cancellation;
mod compared_texts;
mod derived_orders;
mod grouping_sets;
mod last_rows;
mod limited_filters;
mod one_input;
mod operator_rules;
mod passing_operators;
mod planning_interrupts;
mod rank_sort;
mod regex_backslashes;
mod row_groups;
mod run_aggregate;
mod single_execution;
mod skipped_rows;
mod statement_errors;
mod subqueries;
mod substitution_rule;
mod time_range;
mod unused_values;

pub use cancellation::{CANCELLED, Cancellation, RunningGuard, with_cancellation};
pub use compared_texts::ComparedTextRule;
pub use grouping_sets::{SmallBatchesExec, UnorderedExec};
pub use last_rows::{LastRowsExec, LastRowsParameters, LastValuesRule, TimeEnd};
pub use operator_rules::operator_rules;
pub use planning_interrupts::{interruptible, interruptible_rules};
pub use rank_sort::RankSortExec;
pub use regex_backslashes::RegexBackslashRule;
pub use run_aggregate::RunAggregateExec;
pub use statement_errors::{is_of_pattern, is_of_statement};
pub use subqueries::SubqueryRule;
pub use time_range::TimeRangeRule;
pub use unused_values::release_unused_values;

//! Rules: evaluates the groups of databases, stores their results, and sends notifications about alerts.
//!
//! ```text
//!   rules of the catalog, progress ─► due times of groups
//!                                          │ claim: commit
//!                                          ▼
//!   expression ─► RuleResult ─► RuleState::evaluate ─► samples ─► RowWriter
//!                                          │ commit
//!                                          ▼
//!                                 Notifier::deliver ── commit, end of the claim
//! ```
//!
//! `neap-rules` has the states and the notifications. The process that refreshes views calls
//! [`QueryEngine::evaluate_rules`](crate::QueryEngine::evaluate_rules).

mod all_rules;
mod definition;
mod expression;
mod group_evaluation;
mod report;
mod round;
mod samples;
#[cfg(test)]
mod tests;

pub use all_rules::AllRulesReport;
pub use definition::RuleList;
pub use report::RuleReport;

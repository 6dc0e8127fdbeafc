//! Rules: the files that define them, the states of alerts, and the notifications about them.
//!
//! ```text
//!   rule file ─ parse_file ─► RuleGroup: catalog of the database
//!                                  │
//!   results of an expression ─► RuleState::evaluate ─► samples to store: records, ALERTS
//!                                  │
//!   db/<id>/rules ◄─ RuleProgress ─┴─► Notifier ─► Alertmanager, webhooks, Slack, ntfy
//! ```
//!
//! Nothing here evaluates an expression or writes a row: the query function does.
//!
//! | rule | statement | where |
//! |---|---|---|
//! | A1 | A process evaluates the rules of a database only while it has their claim, and its writes have stamps before the end of the claim. | [`RuleProgress`], and rule V2 of materialized views |
//! | A2 | The time of an evaluation is a multiple of the interval. It is committed after its rows, once, and an interrupted one is repeated for the same time, whose rows replace each other. | [`GroupState`] |
//! | A3 | A notification is sent until its target has acknowledged it, and this is committed. | [`AlertState`] |

mod alerts;
mod duration;
mod error;
mod evaluation;
mod label_set;
mod network_address;
mod notification;
mod notifier;
mod outgoing;
mod progress;
mod rule_file;
mod rule_sample;
mod schedule;
mod target;
mod template;

pub use alerts::{AlertPhase, AlertState, AlertUsage, SentMark};
pub use duration::parse_duration;
pub use error::RuleError;
pub use evaluation::{RuleContext, RuleState};
pub use label_set::LabelSet;
pub use notifier::{DeliveryReport, Notifier, NotifierError};
pub use outgoing::{OutgoingUrlError, outgoing_client, parse_outgoing_url};
pub use progress::{GroupState, RuleProgress, limit_series, rule_progress};
pub use rule_file::{group_text, namespaces_text, parse_file, parse_group};
pub use rule_sample::{MAX_RESULT_BYTES, RuleResult, RuleSample, SampleNumber};
pub use schedule::due_times;
pub use target::{NotifyTarget, TargetError, TargetOption};

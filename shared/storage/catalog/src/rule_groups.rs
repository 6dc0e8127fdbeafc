//! Rules: expressions that are evaluated at intervals. Their results are recorded as rows, or are alerts.
//!
//! A namespace is what Prometheus calls a rule file. The names of its groups are unique in it.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

/// The language of an expression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleLanguage {
    /// PromQL.
    #[default]
    PromQl,
    /// SQL.
    Sql,
    /// InfluxQL.
    InfluxQl,
}

impl RuleLanguage {
    /// Returns whether this is the language of rules that name none.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The use of the results of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleAction {
    /// They are stored as samples.
    Record {
        /// The name of the metric.
        metric: String,
    },
    /// Each series is an alert.
    Alert {
        /// The value of the label `alertname`.
        name: String,
        /// The time for which a series must be present before its alert fires, in milliseconds.
        #[serde(default, skip_serializing_if = "is_zero")]
        for_ms: u64,
        /// The time for which an alert still fires when its series is gone, in milliseconds.
        #[serde(default, skip_serializing_if = "is_zero")]
        keep_firing_for_ms: u64,
        /// Texts for people, which are templates.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        annotations: BTreeMap<String, String>,
    },
}

/// An expression, and the use of its results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The language of the expression.
    #[serde(default, skip_serializing_if = "RuleLanguage::is_default")]
    pub language: RuleLanguage,
    /// The expression.
    pub expression: String,
    /// The labels that are added to each result. Those of alerts are templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The use of the results.
    pub action: RuleAction,
}

impl Rule {
    /// Returns the name of the metric, or that of the alerts.
    pub fn name(&self) -> &str {
        match &self.action {
            RuleAction::Record { metric } => metric,
            RuleAction::Alert { name, .. } => name,
        }
    }

    /// Returns the approximate memory size, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        let annotations = match &self.action {
            RuleAction::Record { .. } => 0,
            RuleAction::Alert { annotations, .. } => texts_bytes(annotations),
        };
        size_of::<Self>()
            + self.expression.len()
            + self.name().len()
            + texts_bytes(&self.labels)
            + annotations
    }
}

/// Rules that are evaluated one after the other, for the same time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleGroup {
    /// The interval of evaluations in milliseconds, above zero. They are for the multiples of it since the Unix epoch.
    pub interval_ms: u64,
    /// The time between the time of an evaluation and the time that its expressions see, in milliseconds: late samples
    /// are included if it is long enough.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub query_offset_ms: u64,
    /// Maximum number of results of a rule; 0 is no limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub limit: u64,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// The groups of a namespace, by name.
pub type RuleGroups = BTreeMap<String, Arc<RuleGroup>>;

impl RuleGroup {
    /// Returns the approximate memory size, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.rules.iter().map(Rule::size_bytes).sum::<usize>()
    }
}

fn texts_bytes(texts: &BTreeMap<String, String>) -> usize {
    let entries = texts.iter().map(|(name, text)| name.len() + text.len());
    entries.sum::<usize>() + texts.len() * 2 * size_of::<String>()
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

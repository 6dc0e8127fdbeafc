//! Rules: expressions that are evaluated at intervals. Their results are recorded as rows, or are alerts.
//!
//! A namespace is what Prometheus calls a rule file. The names of its groups are unique in it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};

use crate::{Catalog, CatalogError, DatabaseCatalog};

/// Maximum number of rules in a database.
pub const MAX_RULES: usize = 1_000;
/// Maximum bytes of the name of a namespace or a group.
pub const MAX_RULE_NAME_BYTES: usize = 255;
/// Maximum bytes of all texts of the rules of a database. Each process that serves the database keeps them in memory.
pub const MAX_RULES_BYTES: usize = 256 << 10;

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

/// A change of the rules of a namespace.
#[derive(Clone, Debug)]
pub enum RuleChange {
    /// The namespace has these groups, and no others.
    Replace(RuleGroups),
    /// The namespace has this group beside its other ones.
    PutGroup(String, Arc<RuleGroup>),
    /// The namespace does not have the group of this name.
    DeleteGroup(String),
}

impl Catalog {
    /// Changes the rules of a namespace. A namespace without groups does not exist.
    ///
    /// # Errors
    /// `NotFound` if there is nothing to delete, `EmptyName`, `InvalidRules`, or an error of the commit.
    pub async fn change_rules(
        &self,
        database: DatabaseId,
        namespace: &str,
        change: RuleChange,
    ) -> Result<(), CatalogError> {
        check_name("namespace", namespace)?;
        let known = self.database(database, Duration::ZERO).await?;
        let apply = |catalog: &mut DatabaseCatalog| {
            let (action, target) = catalog.apply_rule_change(namespace, &change)?;
            catalog.note(self.now()?, action, &target, None);
            Ok((true, ()))
        };
        self.change(database, Some(known), apply).await?;
        Ok(())
    }
}

impl DatabaseCatalog {
    /// Returns the groups of rules by namespace.
    pub fn rules(&self) -> &BTreeMap<String, RuleGroups> {
        &self.rules
    }

    /// Returns the approximate memory size of the rules, in bytes.
    pub(crate) fn rules_size_bytes(&self) -> usize {
        let groups = self.rules.iter().flat_map(|(namespace, groups)| {
            groups
                .iter()
                .map(|(name, group)| namespace.len() + name.len() + group.size_bytes())
        });
        groups.sum()
    }

    /// Changes the rules. Returns the action and its target for the audit log.
    fn apply_rule_change(
        &mut self,
        namespace: &str,
        change: &RuleChange,
    ) -> Result<(&'static str, String), CatalogError> {
        let mut groups = self.rules.get(namespace).cloned().unwrap_or_default();
        let not_found = |name: &str| CatalogError::NotFound {
            name: name.to_owned(),
        };
        let (action, target) = match change {
            RuleChange::Replace(new) if new.is_empty() => {
                if groups.is_empty() {
                    return Err(not_found(namespace));
                }
                groups.clear();
                ("delete rules", namespace.to_owned())
            }
            RuleChange::Replace(new) => {
                groups.clone_from(new);
                ("create rules", namespace.to_owned())
            }
            RuleChange::PutGroup(name, group) => {
                groups.insert(name.clone(), Arc::clone(group));
                ("create rules", format!("{namespace}/{name}"))
            }
            RuleChange::DeleteGroup(name) => {
                groups.remove(name).ok_or_else(|| not_found(name))?;
                ("delete rules", format!("{namespace}/{name}"))
            }
        };
        for name in groups.keys() {
            check_name("rule group", name)?;
        }
        if groups.is_empty() {
            self.rules.remove(namespace);
        } else {
            self.rules.insert(namespace.to_owned(), groups);
        }
        self.check_rules()?;
        Ok((action, target))
    }

    fn check_rules(&self) -> Result<(), CatalogError> {
        let invalid = |reason: String| Err(CatalogError::InvalidRules { reason });
        let groups = || self.rules.values().flat_map(BTreeMap::values);
        if groups().any(|group| group.interval_ms == 0) {
            return invalid("the interval of a group is not above zero".to_owned());
        }
        let rules = groups().map(|group| group.rules.len()).sum::<usize>();
        if rules > MAX_RULES {
            return invalid(format!("a database has at most {MAX_RULES} rules"));
        }
        if self.rules_size_bytes() > MAX_RULES_BYTES {
            return invalid(format!(
                "the rules of a database have at most {MAX_RULES_BYTES} bytes"
            ));
        }
        Ok(())
    }

    /// Removes all rules. Called for a copy that does not replace its source, because the source still evaluates them, and
    /// its alerts are sent once.
    pub(crate) fn remove_rules(&mut self) {
        self.rules.clear();
    }
}

impl RuleGroup {
    fn size_bytes(&self) -> usize {
        let rules = self.rules.iter().map(|rule| {
            let annotations = match &rule.action {
                RuleAction::Record { .. } => 0,
                RuleAction::Alert { annotations, .. } => texts_bytes(annotations),
            };
            size_of::<Rule>()
                + rule.expression.len()
                + rule.name().len()
                + texts_bytes(&rule.labels)
                + annotations
        });
        size_of::<Self>() + rules.sum::<usize>()
    }
}

fn texts_bytes(texts: &BTreeMap<String, String>) -> usize {
    texts.iter().map(|(name, text)| name.len() + text.len()).sum()
}

fn check_name(what: &'static str, name: &str) -> Result<(), CatalogError> {
    if name.is_empty() {
        return Err(CatalogError::EmptyName { what });
    }
    if name.len() > MAX_RULE_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(CatalogError::InvalidRules {
            reason: format!(
                "the name of a {what} has at most {MAX_RULE_NAME_BYTES} bytes and no control characters"
            ),
        });
    }
    Ok(())
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that serde calls"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(rules: usize) -> Arc<RuleGroup> {
        let rule = Rule {
            language: RuleLanguage::PromQl,
            expression: "up == 0".to_owned(),
            labels: BTreeMap::from([("severity".to_owned(), "page".to_owned())]),
            action: RuleAction::Alert {
                name: "Down".to_owned(),
                for_ms: 60_000,
                keep_firing_for_ms: 0,
                annotations: BTreeMap::new(),
            },
        };
        Arc::new(RuleGroup {
            interval_ms: 15_000,
            query_offset_ms: 0,
            limit: 0,
            rules: vec![rule; rules],
        })
    }

    fn put(catalog: &mut DatabaseCatalog, name: &str, rules: usize) -> Result<(), String> {
        let change = RuleChange::PutGroup(name.to_owned(), group(rules));
        let changed = catalog.apply_rule_change("node", &change);
        changed.map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn format() {
        let mut catalog = DatabaseCatalog::default();
        put(&mut catalog, "basics", 1).unwrap();
        insta::assert_json_snapshot!(catalog, @r#"
        {
          "next_table": 1,
          "tables": {},
          "rules": {
            "node": {
              "basics": {
                "interval_ms": 15000,
                "rules": [
                  {
                    "expression": "up == 0",
                    "labels": {
                      "severity": "page"
                    },
                    "action": {
                      "alert": {
                        "name": "Down",
                        "for_ms": 60000
                      }
                    }
                  }
                ]
              }
            }
          }
        }
        "#);
    }

    #[test]
    fn a_namespace_exists_as_long_as_it_has_groups() {
        let mut catalog = DatabaseCatalog::default();
        put(&mut catalog, "a", 1).unwrap();
        put(&mut catalog, "b", 1).unwrap();
        let only_b = RuleChange::Replace(RuleGroups::from([("b".to_owned(), group(2))]));
        catalog.apply_rule_change("node", &only_b).unwrap();
        let names: Vec<&String> = catalog.rules()["node"].keys().collect();
        assert_eq!(names, ["b"]);
        let gone = RuleChange::DeleteGroup("b".to_owned());
        catalog.apply_rule_change("node", &gone).unwrap();
        assert!(catalog.rules().is_empty());
        let again = catalog.apply_rule_change("node", &gone);
        assert!(matches!(again, Err(CatalogError::NotFound { .. })));
        let all = catalog.apply_rule_change("node", &RuleChange::Replace(RuleGroups::new()));
        assert!(matches!(all, Err(CatalogError::NotFound { .. })));
    }

    #[test]
    fn the_number_and_the_size_of_rules_are_limited() {
        let mut catalog = DatabaseCatalog::default();
        let error = put(&mut catalog, "many", MAX_RULES + 1).unwrap_err();
        assert!(error.contains("at most 1000 rules"), "{error}");
        let mut catalog = DatabaseCatalog::default();
        let mut long = RuleGroup::clone(&group(1));
        long.rules[0].expression = "x".repeat(MAX_RULES_BYTES);
        let change = RuleChange::PutGroup("long".to_owned(), Arc::new(long));
        let error = catalog.apply_rule_change("node", &change).unwrap_err().to_string();
        assert!(error.contains("at most 262144 bytes"), "{error}");
    }

    #[test]
    fn names_of_groups_are_texts_without_control_characters() {
        let mut catalog = DatabaseCatalog::default();
        assert!(put(&mut catalog, "", 1).is_err());
        assert!(put(&mut catalog, "a\n", 1).is_err());
    }
}

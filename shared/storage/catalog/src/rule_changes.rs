//! Changes the rules of a database. Each change is one commit to the catalog of the database.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use neap_schema::DatabaseId;

use crate::{Catalog, CatalogError, DatabaseCatalog, RuleGroup, RuleGroups};

/// Maximum number of rules in a database.
pub const MAX_RULES: usize = 1_000;
/// Maximum bytes of the name of a namespace or a group.
pub const MAX_RULE_NAME_BYTES: usize = 255;
/// Maximum bytes of the texts of a rule. Templates are expanded for each of its results.
pub const MAX_RULE_BYTES: usize = 64 << 10;
/// Maximum bytes of all texts of the rules of a database. Each process that serves the database keeps them in memory.
pub const MAX_RULES_BYTES: usize = 1 << 20;

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
        let not_found = |name: &str| CatalogError::NotFound { name: name.to_owned() };
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
        let mut all_rules = groups().flat_map(|group| &group.rules);
        if all_rules.any(|rule| rule.size_bytes() > MAX_RULE_BYTES) {
            return invalid(format!("a rule has at most {MAX_RULE_BYTES} bytes"));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rule, RuleAction, RuleLanguage};

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
        let expected = serde_json::json!({
            "next_table": 1, "tables": {},
            "rules": {"node": {"basics": {
                "interval_ms": 15_000,
                "rules": [{
                    "expression": "up == 0", "labels": {"severity": "page"},
                    "action": {"alert": {"name": "Down", "for_ms": 60_000}},
                }],
            }}},
        });
        assert_eq!(serde_json::to_value(catalog).unwrap(), expected);
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
        let mut long = RuleGroup::clone(&group(17));
        for rule in &mut long.rules {
            rule.expression = "x".repeat(MAX_RULE_BYTES - 1_000);
        }
        let mut longer = long.clone();
        longer.rules[0].expression = "x".repeat(MAX_RULE_BYTES);
        for (group, expected) in
            [(long, "at most 1048576 bytes"), (longer, "a rule has at most 65536 bytes")]
        {
            let change = RuleChange::PutGroup("long".to_owned(), Arc::new(group));
            let error = catalog.apply_rule_change("node", &change).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn names_of_groups_are_texts_without_control_characters() {
        let mut catalog = DatabaseCatalog::default();
        assert!(put(&mut catalog, "", 1).is_err());
        assert!(put(&mut catalog, "a\n", 1).is_err());
    }
}

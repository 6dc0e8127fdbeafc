//! Query groups: named sets of processes that compute queries together.
//!
//! A process in a group sends parts of its queries only to processes that are in a group with it. They are in the root
//! catalog, which every process reads anyway, so that they cost no request.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Catalog, CatalogError, RootCatalog};

/// Maximum number of query groups of a cluster.
pub const MAX_QUERY_GROUPS: usize = 64;
/// Maximum number of processes in a query group.
pub const MAX_QUERY_GROUP_NODES: usize = 256;
/// Maximum bytes of the name of a query group, and of a process in it.
pub const MAX_QUERY_GROUP_NAME_BYTES: usize = 255;

/// A query group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryGroup {
    /// The name.
    pub name: String,
    /// The names of the processes, as in `--node-id`.
    pub nodes: BTreeSet<String>,
    /// How many processes shall hold the same data. Stored for InfluxDB 3 Enterprise: all data is in the store.
    pub replication_factor: u32,
}

/// A change of a query group. What is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryGroupChange {
    /// The name.
    pub name: Option<String>,
    /// The names of the processes.
    pub nodes: Option<BTreeSet<String>>,
    /// The replication factor.
    pub replication_factor: Option<u32>,
}

/// The query groups of a cluster, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryGroups {
    #[serde(default)]
    last_id: u64,
    #[serde(default)]
    groups: BTreeMap<u64, QueryGroup>,
}

impl QueryGroups {
    pub(crate) fn is_unused(&self) -> bool {
        self.last_id == 0
    }

    /// Returns the groups by id.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &QueryGroup)> {
        self.groups.iter().map(|(id, group)| (*id, group))
    }

    /// Returns the group with an id.
    pub fn get(&self, id: u64) -> Option<&QueryGroup> {
        self.groups.get(&id)
    }

    /// Returns whether the process `coordinator` may send parts of its queries to the process `worker`: one that is in
    /// no group may send them to all.
    pub fn may_send(&self, coordinator: &str, worker: &str) -> bool {
        let mut own = self
            .groups
            .values()
            .filter(|group| group.nodes.contains(coordinator))
            .peekable();
        own.peek().is_none() || own.any(|group| group.nodes.contains(worker))
    }

    fn check(&self, id: u64, group: &QueryGroup) -> Result<(), CatalogError> {
        let invalid = |reason: String| Err(CatalogError::InvalidQueryGroup { reason });
        let is_name = |name: &str| {
            (1..=MAX_QUERY_GROUP_NAME_BYTES).contains(&name.len())
                && !name.chars().any(char::is_control)
        };
        if !is_name(&group.name) || !group.nodes.iter().all(|node| is_name(node)) {
            return invalid(format!(
                "a name has 1 to {MAX_QUERY_GROUP_NAME_BYTES} bytes and no control characters"
            ));
        }
        if group.nodes.len() > MAX_QUERY_GROUP_NODES {
            return invalid(format!("a group has at most {MAX_QUERY_GROUP_NODES} nodes"));
        }
        if group.replication_factor == 0 {
            return invalid("replication_factor is at least 1".to_owned());
        }
        let mut others = self.groups.iter().filter(|(other, _)| **other != id);
        if others.any(|(_, other)| other.name == group.name) {
            let name = group.name.clone();
            return Err(CatalogError::AlreadyExists { name });
        }
        Ok(())
    }
}

impl RootCatalog {
    /// Returns the query groups.
    pub fn query_groups(&self) -> &QueryGroups {
        &self.query_groups
    }
}

impl Catalog {
    /// Creates a query group, and returns its id.
    ///
    /// # Errors
    /// `InvalidQueryGroup`, `AlreadyExists`, or an error of the commit.
    pub async fn create_query_group(&self, group: QueryGroup) -> Result<u64, CatalogError> {
        let create = |root: &mut RootCatalog| {
            let groups = &mut root.query_groups;
            if groups.groups.len() >= MAX_QUERY_GROUPS {
                let reason = format!("there are {MAX_QUERY_GROUPS} query groups: delete one first");
                return Err(CatalogError::InvalidQueryGroup { reason });
            }
            let id = groups.last_id.saturating_add(1);
            groups.check(id, &group)?;
            groups.last_id = id;
            groups.groups.insert(id, group.clone());
            root.note(self.now()?, "create query group", &group.name, None);
            Ok((true, id))
        };
        self.change_root(create).await
    }

    /// Changes a query group, and returns it.
    ///
    /// # Errors
    /// `NotFound`, `InvalidQueryGroup`, `AlreadyExists`, or an error of the commit.
    pub async fn change_query_group(
        &self,
        id: u64,
        change: QueryGroupChange,
    ) -> Result<QueryGroup, CatalogError> {
        let apply = |root: &mut RootCatalog| {
            let before = root.query_groups.get(id).cloned();
            let before = before.ok_or_else(|| no_group(id))?;
            let change = change.clone();
            let after = QueryGroup {
                name: change.name.unwrap_or(before.name),
                nodes: change.nodes.unwrap_or(before.nodes),
                replication_factor: change
                    .replication_factor
                    .unwrap_or(before.replication_factor),
            };
            root.query_groups.check(id, &after)?;
            root.query_groups.groups.insert(id, after.clone());
            root.note(self.now()?, "update query group", &after.name, None);
            Ok((true, after))
        };
        self.change_root(apply).await
    }

    /// Deletes a query group.
    ///
    /// # Errors
    /// `NotFound`, or an error of the commit.
    pub async fn delete_query_group(&self, id: u64) -> Result<(), CatalogError> {
        let delete = |root: &mut RootCatalog| {
            let group = root.query_groups.groups.remove(&id);
            let group = group.ok_or_else(|| no_group(id))?;
            root.note(self.now()?, "delete query group", &group.name, None);
            Ok((true, ()))
        };
        self.change_root(delete).await
    }
}

fn no_group(id: u64) -> CatalogError {
    CatalogError::NotFound {
        name: format!("query group {id}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tests::CatalogFixture;

    fn group(name: &str, nodes: &[&str]) -> QueryGroup {
        QueryGroup {
            name: name.to_owned(),
            nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
            replication_factor: 1,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn groups_are_created_changed_and_deleted() {
        let stage = CatalogFixture::new();
        let catalog = stage.instance();
        let one = catalog.create_query_group(group("one", &["a"])).await;
        assert_eq!(one.unwrap(), 1);
        let again = catalog.create_query_group(group("one", &[])).await;
        assert!(matches!(again, Err(CatalogError::AlreadyExists { .. })));
        let two = catalog.create_query_group(group("two", &["b"])).await;
        assert_eq!(two.unwrap(), 2);
        let change = QueryGroupChange {
            nodes: Some(["a".to_owned(), "b".to_owned()].into()),
            ..QueryGroupChange::default()
        };
        let changed = catalog.change_query_group(2, change).await.unwrap();
        assert_eq!(changed, group("two", &["a", "b"]));
        catalog.delete_query_group(1).await.unwrap();
        let gone = catalog.delete_query_group(1).await;
        assert!(matches!(gone, Err(CatalogError::NotFound { .. })));
        let root = catalog.root(Duration::ZERO).await.unwrap().value;
        let groups: Vec<_> = root.query_groups().iter().collect();
        assert_eq!(groups, [(2, &group("two", &["a", "b"]))]);
        let next = catalog.create_query_group(group("one", &[])).await;
        assert_eq!(next.unwrap(), 3, "an id is not used again");
    }

    #[tokio::test(start_paused = true)]
    async fn invalid_groups_are_refused() {
        let stage = CatalogFixture::new();
        let catalog = stage.instance();
        let no_copies = QueryGroup {
            replication_factor: 0,
            ..group("a", &[])
        };
        let long = "x".repeat(MAX_QUERY_GROUP_NAME_BYTES + 1);
        for invalid in [group("", &[]), group("a", &[&long]), no_copies] {
            let refused = catalog.create_query_group(invalid).await;
            assert!(matches!(
                refused,
                Err(CatalogError::InvalidQueryGroup { .. })
            ));
        }
    }

    #[test]
    fn a_process_in_a_group_uses_only_its_groups() {
        let mut groups = QueryGroups::default();
        groups.groups.insert(1, group("one", &["a", "b"]));
        groups.groups.insert(2, group("two", &["b", "c"]));
        for (coordinator, worker, may) in [
            ("a", "b", true),
            ("a", "c", false),
            ("b", "c", true),
            ("b", "d", false),
            ("d", "a", true),
            ("d", "e", true),
        ] {
            assert_eq!(groups.may_send(coordinator, worker), may, "{coordinator}");
        }
    }
}

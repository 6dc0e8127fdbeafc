//! Query groups: named sets of processes that compute queries together.
//!
//! A process in a group sends parts of its queries only to processes that are in a group with it. They are in the root
//! catalog, which every process reads anyway, so that they cost no request.

mod changes;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::CatalogError;

pub use changes::{MAX_QUERY_GROUPS, QueryGroupChange};

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

/// The query groups of a cluster, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryGroups {
    last_id: u64,
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

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn group(name: &str, nodes: &[&str]) -> QueryGroup {
        QueryGroup {
            name: name.to_owned(),
            nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
            replication_factor: 1,
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

//! Creates, changes and deletes query groups. Each operation is one commit to the root catalog.

use std::collections::BTreeSet;

use super::QueryGroup;
use crate::{Catalog, CatalogError, RootCatalog};

/// Maximum number of query groups of a cluster.
pub const MAX_QUERY_GROUPS: usize = 64;

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
            let before = root.query_groups.get(id).cloned().ok_or_else(|| no_group(id))?;
            let change = change.clone();
            let after = QueryGroup {
                name: change.name.unwrap_or(before.name),
                nodes: change.nodes.unwrap_or(before.nodes),
                replication_factor: change.replication_factor.unwrap_or(before.replication_factor),
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
            let group = root.query_groups.groups.remove(&id).ok_or_else(|| no_group(id))?;
            root.note(self.now()?, "delete query group", &group.name, None);
            Ok((true, ()))
        };
        self.change_root(delete).await
    }
}

fn no_group(id: u64) -> CatalogError {
    CatalogError::NotFound { name: format!("query group {id}") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{MAX_QUERY_GROUP_NAME_BYTES, query_groups::tests::group, tests::CatalogFixture};

    #[tokio::test(start_paused = true)]
    async fn groups_are_created_changed_and_deleted() {
        let catalog = CatalogFixture::new().instance();
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
        let catalog = CatalogFixture::new().instance();
        let no_copies = QueryGroup { replication_factor: 0, ..group("a", &[]) };
        let long = "x".repeat(MAX_QUERY_GROUP_NAME_BYTES + 1);
        for invalid in [group("", &[]), group("a", &[&long]), no_copies] {
            let refused = catalog.create_query_group(invalid).await;
            assert!(matches!(refused, Err(CatalogError::InvalidQueryGroup { .. })));
        }
    }
}

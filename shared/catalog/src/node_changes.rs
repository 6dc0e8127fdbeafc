//! Changes of the records of processes by an operator: a process that was killed can't record that it has stopped.
//!
//! No data belongs to a process, so nothing has to be moved before a record is changed or deleted. A process that still
//! runs replaces its record with the next heartbeat.

use neap_bucket::{Bucket, Key, StoreError};

use crate::{Node, NodeReader, NodeRecord, NodeState};

/// Error of a change of the records of a process.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NodeChangeError {
    /// No process with this name has a record.
    #[error("node '{name}' not found")]
    NotFound {
        /// The name.
        name: String,
    },
    /// A process with this name is recorded as running.
    #[error("node '{name}' is running: stop it first")]
    Running {
        /// The name.
        name: String,
    },
    /// The store returns an error or does not answer in time.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Records that the processes with this name have stopped: they are shown as stopped, and get no parts of queries any
/// more. Costs one LIST, a GET for each record, and a PUT for each record that changes.
///
/// # Errors
/// `NotFound` or `Store`.
pub async fn mark_node_stopped(bucket: &Bucket, name: &str) -> Result<(), NodeChangeError> {
    for node in named(bucket, name).await? {
        if node.record.state == NodeState::Running {
            let record = NodeRecord {
                state: NodeState::Stopped,
                worker: None,
                ..node.record
            };
            record.put(bucket).await?;
        }
    }
    Ok(())
}

/// Deletes the records of the processes with this name. `force` deletes those of running processes, too. Costs one
/// LIST, a GET for each record, and one DELETE.
///
/// # Errors
/// `NotFound`, `Running` or `Store`.
pub async fn remove_node(bucket: &Bucket, name: &str, force: bool) -> Result<(), NodeChangeError> {
    let nodes = named(bucket, name).await?;
    let is_running = |node: &Node| node.record.state == NodeState::Running;
    if !force && nodes.iter().any(is_running) {
        return Err(NodeChangeError::Running {
            name: name.to_owned(),
        });
    }
    let keys = nodes
        .iter()
        .map(|node| Key::Node(node.record.instance_id).to_string());
    bucket.delete(&keys.collect::<Vec<_>>()).await?;
    Ok(())
}

/// Returns the processes with a name.
async fn named(bucket: &Bucket, name: &str) -> Result<Vec<Node>, NodeChangeError> {
    let mut nodes = NodeReader::new(bucket.clone()).read().await?;
    nodes.retain(|node| node.record.name() == name);
    match nodes.is_empty() {
        true => Err(NodeChangeError::NotFound {
            name: name.to_owned(),
        }),
        false => Ok(nodes),
    }
}

#[cfg(test)]
mod tests {
    use ulid::Ulid;

    use super::*;
    use crate::{nodes, tests::CatalogFixture};

    async fn put(stage: &CatalogFixture, instance: u128, name: &str, state: NodeState) {
        let record = NodeRecord {
            instance_id: Ulid(instance),
            node_id: Some(name.to_owned()),
            mode: vec!["all".to_owned()],
            core_count: 2,
            state,
            version: "1".to_owned(),
            address: None,
            worker: Some("http://10.0.0.1:8182".to_owned()),
        };
        record.put(&stage.bucket).await.unwrap();
    }

    async fn shown(stage: &CatalogFixture) -> Vec<(String, NodeState, bool)> {
        let nodes = nodes(&stage.bucket).await.unwrap().into_iter();
        nodes
            .map(|node| {
                let is_worker = node.record.worker.is_some();
                (node.record.name(), node.record.state, is_worker)
            })
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_killed_process_is_marked_as_stopped_and_then_removed() {
        let stage = CatalogFixture::new();
        put(&stage, 1, "a", NodeState::Running).await;
        put(&stage, 2, "b", NodeState::Running).await;
        let refused = remove_node(&stage.bucket, "a", false).await;
        assert!(matches!(refused, Err(NodeChangeError::Running { .. })));
        mark_node_stopped(&stage.bucket, "a").await.unwrap();
        let b = ("b".to_owned(), NodeState::Running, true);
        let a = ("a".to_owned(), NodeState::Stopped, false);
        assert_eq!(shown(&stage).await, [a, b.clone()]);
        mark_node_stopped(&stage.bucket, "a").await.unwrap();
        remove_node(&stage.bucket, "a", false).await.unwrap();
        assert_eq!(shown(&stage).await, [b]);
        remove_node(&stage.bucket, "b", true).await.unwrap();
        assert_eq!(shown(&stage).await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_name_is_not_found() {
        let stage = CatalogFixture::new();
        let stopped = mark_node_stopped(&stage.bucket, "a").await;
        assert!(matches!(stopped, Err(NodeChangeError::NotFound { .. })));
        let removed = remove_node(&stage.bucket, "a", true).await;
        assert!(matches!(removed, Err(NodeChangeError::NotFound { .. })));
    }
}

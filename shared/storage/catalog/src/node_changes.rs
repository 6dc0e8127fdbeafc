//! Changes of the records of processes by an operator: a request to stop, and the removal of a record.
//!
//! A process reads the request in its own record within [`NODE_CHECK_INTERVAL`](crate::NODE_CHECK_INTERVAL). A process
//! that was killed does not answer, and counts as stopped after [`STOP_REQUEST_TIMEOUT`](crate::STOP_REQUEST_TIMEOUT).
//! No data belongs to a process, so nothing has to be moved before a record is deleted.

use neap_bucket::{Bucket, Key, PutMode, StoreError};

use crate::{Node, NodeReader, NodeRecord, NodeState, RecordRead, StopProgress};

/// Maximum number of attempts to change a record that its process writes at the same time.
const MAX_ATTEMPTS: usize = 5;

/// Error of a change of the records of a process.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum NodeChangeError {
    /// No process with this name has a record.
    #[error("node '{name}' not found")]
    NotFound { name: String },
    #[error("node '{name}' is {state}: stop it and wait until it is stopped")]
    Running {
        name: String,
        /// `running` or `stopping`.
        state: &'static str,
    },
    #[error("the record of node '{name}' changes at the same time: try again")]
    Conflict { name: String },
    /// The store returns an error or does not answer in time.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Asks the processes with this name to stop, and withdraws them as workers of queries. Returns their records. Costs one
/// LIST, a GET for each record, and a GET and a PUT for each process that is asked.
///
/// # Errors
/// `NotFound`, `Conflict` or `Store`.
pub async fn request_node_stop(bucket: &Bucket, name: &str) -> Result<Vec<Node>, NodeChangeError> {
    let mut nodes = named_nodes(bucket, name).await?;
    for node in &mut nodes {
        if node.record.state == NodeState::Running && node.record.stop.is_none() {
            node.record = request_stop(bucket, &node.record).await?;
        }
    }
    Ok(nodes)
}

/// Adds the request to a record, and returns the record.
async fn request_stop(bucket: &Bucket, node: &NodeRecord) -> Result<NodeRecord, NodeChangeError> {
    for _ in 0..MAX_ATTEMPTS {
        let read = NodeRecord::read(bucket, node.instance_id, None).await?;
        let RecordRead::Found(record, etag) = read else {
            return Err(NodeChangeError::NotFound { name: node.name() });
        };
        if record.state == NodeState::Stopped || record.stop.is_some() {
            return Ok(*record);
        }
        let record = NodeRecord { stop: Some(StopProgress::Requested), worker: None, ..*record };
        let put = record.put_if(bucket, PutMode::Update(etag)).await?;
        if put.is_some() {
            return Ok(record);
        }
    }
    Err(NodeChangeError::Conflict { name: node.name() })
}

/// Deletes the records of the processes with this name. `force` deletes those of running processes, too. Costs one
/// LIST, a GET for each record, and one DELETE.
///
/// # Errors
/// `NotFound`, `Running` or `Store`.
pub async fn remove_node(bucket: &Bucket, name: &str, force: bool) -> Result<(), NodeChangeError> {
    let nodes = named_nodes(bucket, name).await?;
    let mut records = nodes.iter().map(|node| &node.record);
    let running = records.find(|record| record.state == NodeState::Running);
    if let Some(running) = running.filter(|_| !force) {
        return Err(NodeChangeError::Running {
            name: name.to_owned(),
            state: running.shown_state(),
        });
    }
    let keys = nodes.iter().map(|node| Key::Node(node.record.instance_id).to_string());
    bucket.delete(&keys.collect::<Vec<_>>()).await?;
    Ok(())
}

/// Returns the processes with a name, stopped ones included: one LIST, and a GET for each process.
///
/// # Errors
/// `NotFound` or `Store`.
pub async fn named_nodes(bucket: &Bucket, name: &str) -> Result<Vec<Node>, NodeChangeError> {
    let mut nodes = NodeReader::new(bucket.clone()).read().await?;
    nodes.retain(|node| node.record.name() == name);
    if nodes.is_empty() {
        Err(NodeChangeError::NotFound { name: name.to_owned() })
    } else {
        Ok(nodes)
    }
}

#[cfg(test)]
mod tests {
    use ulid::Ulid;

    use super::*;
    use crate::{STOP_REQUEST_TIMEOUT, nodes, tests::CatalogFixture};

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
            stop: None,
        };
        record.put(&stage.bucket).await.unwrap();
    }

    async fn shown(stage: &CatalogFixture) -> Vec<(String, &'static str, bool)> {
        let nodes = nodes(&stage.bucket).await.unwrap().into_iter();
        nodes
            .map(|node| {
                let is_worker = node.record.worker.is_some();
                (node.record.name(), node.record.shown_state(), is_worker)
            })
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_killed_process_counts_as_stopped_after_the_request_and_is_then_removed() {
        let stage = CatalogFixture::new();
        put(&stage, 1, "a", NodeState::Running).await;
        put(&stage, 2, "b", NodeState::Running).await;
        let refused = remove_node(&stage.bucket, "a", false).await;
        assert!(matches!(refused, Err(NodeChangeError::Running { .. })));
        request_node_stop(&stage.bucket, "a").await.unwrap();
        let b = ("b".to_owned(), "running", true);
        let a = |state| ("a".to_owned(), state, false);
        assert_eq!(shown(&stage).await, [a("stopping"), b.clone()]);
        let refused = remove_node(&stage.bucket, "a", false).await;
        assert!(matches!(refused, Err(NodeChangeError::Running { .. })));
        stage.sleep(STOP_REQUEST_TIMEOUT / 2).await;
        // A second request does not extend the time.
        request_node_stop(&stage.bucket, "a").await.unwrap();
        stage.sleep(STOP_REQUEST_TIMEOUT / 2).await;
        assert_eq!(shown(&stage).await, [a("stopped"), b.clone()]);
        remove_node(&stage.bucket, "a", false).await.unwrap();
        assert_eq!(shown(&stage).await, [b]);
        remove_node(&stage.bucket, "b", true).await.unwrap();
        assert_eq!(shown(&stage).await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_name_is_not_found() {
        let stage = CatalogFixture::new();
        let stopped = request_node_stop(&stage.bucket, "a").await;
        assert!(matches!(stopped, Err(NodeChangeError::NotFound { .. })));
        let removed = remove_node(&stage.bucket, "a", true).await;
        assert!(matches!(removed, Err(NodeChangeError::NotFound { .. })));
    }
}

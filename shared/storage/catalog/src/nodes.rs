//! Records of the running processes of a cluster, so that each process can list the others.
//!
//! ```text
//!   process                                  store                              reader
//!     |-- PUT nodes/<instance>: running ------> |                                  |
//!     |-- the same, every BEAT ---------------> |  <---- LIST nodes/, GET each ----|
//!     |-- GET, every NODE_CHECK_INTERVAL -----> |  <- PUT: stop requested -- operator
//!     |-- PUT nodes/<instance>: draining -----> |                                  |
//!     |-- PUT nodes/<instance>: stopped ------> |                                  |
//!    (or it dies)                               |  no record for NODE_HEARTBEAT_TIMEOUT: stopped
//!                                               |  no answer for STOP_REQUEST_TIMEOUT: stopped
//!                                               |  no record for NODE_RECORD_AGE: garbage
//! ```
//!
//! The records are informational: the storage protocol has no membership.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{
    Bucket, ETag, Get, GetOptions, Key, ListEntry, Operation, PrefixListing, Put, PutMode,
    StoreError, StoreTime,
};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// Interval at which a process writes its record.
pub const NODE_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// Interval at which a process looks for a request to stop in its record.
pub const NODE_CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// A process that has not answered a request to stop for this time counts as stopped: it was killed.
pub const STOP_REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// A process that has not written its record for this time counts as stopped.
const NODE_HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(25 * 60);

/// A record that was not updated for this time is neither shown nor kept.
pub const NODE_RECORD_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Maximum number of records that are read, newest first.
const MAX_NODES: usize = 200;

/// Maximum number of listing pages that are read.
const MAX_PAGES: usize = 10;

/// Number of records that are read concurrently.
const CONCURRENT_READS: usize = 16;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether a process is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It is running.
    Running,
    /// It has shut down, or has not written its record for too long.
    Stopped,
}

/// The progress of a stop that an operator requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopProgress {
    /// The process has not read the request yet.
    Requested,
    /// The process ends the requests in progress.
    Draining,
}

impl NodeState {
    /// Returns the name in `system.nodes`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
        }
    }
}

/// The description that a process writes of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// The id of the process, generated when it starts.
    pub instance_id: Ulid,
    /// The configured name. A process without one is shown by its `instance_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// Its roles, as in `neap serve --mode`.
    pub mode: Vec<String>,
    /// Number of processors that it may use.
    pub core_count: u64,
    /// Whether it is running.
    pub state: NodeState,
    /// The version of the program.
    pub version: String,
    /// The address on which it listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The URL at which other processes send it parts of queries; `None`: it takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The stop that an operator requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopProgress>,
}

impl NodeRecord {
    /// Returns the name of the process.
    pub fn name(&self) -> String {
        let named = self.node_id.clone();
        named.unwrap_or_else(|| self.instance_id.to_string())
    }

    /// Returns the state as `system.nodes` shows it: `running`, `stopping` or `stopped`.
    pub fn shown_state(&self) -> &'static str {
        match (self.state, self.stop) {
            (NodeState::Running, Some(_)) => "stopping",
            (state, _) => state.as_str(),
        }
    }

    /// Writes the record, replacing the previous one of the process: one PUT.
    ///
    /// # Errors
    /// The store returns an error or does not answer in time.
    pub async fn put(&self, bucket: &Bucket) -> Result<(), StoreError> {
        self.put_if(bucket, PutMode::Overwrite).await?;
        Ok(())
    }

    /// Writes the record if the condition holds: one PUT. Returns the version of the object; `None` if the store answered
    /// that the condition does not hold.
    ///
    /// # Errors
    /// The store returns an error or does not answer in time.
    pub async fn put_if(&self, bucket: &Bucket, mode: PutMode) -> Result<Option<ETag>, StoreError> {
        let key = Key::Node(self.instance_id);
        let body = serde_json::to_vec(self).map_err(|error| StoreError::Unavailable {
            operation: Operation::Put,
            key: key.to_string(),
            reason: error.to_string(),
        })?;
        let request = bucket.put(&key, Bytes::from(body), mode);
        let put = bucket.in_time(REQUEST_TIMEOUT, Operation::Put, &key, request).await?;
        Ok(match put.value {
            Put::Done(etag) => Some(etag),
            Put::Refused => None,
        })
    }

    /// Reads the record of a process: one GET. Returns [`RecordRead::Unchanged`] if it still has the version `known`.
    ///
    /// # Errors
    /// The store returns an error or does not answer in time.
    pub async fn read(
        bucket: &Bucket,
        instance: Ulid,
        known: Option<ETag>,
    ) -> Result<RecordRead, StoreError> {
        let key = Key::Node(instance);
        let options = GetOptions { if_none_match: known, ..GetOptions::default() };
        let request = bucket.get(&key, options);
        let got = bucket.in_time(REQUEST_TIMEOUT, Operation::Get, &key, request).await?;
        Ok(match got.value {
            Get::Unchanged => RecordRead::Unchanged,
            Get::Missing => RecordRead::Missing,
            Get::Found(object) => match serde_json::from_slice(&object.bytes) {
                Ok(record) => RecordRead::Found(Box::new(record), object.etag),
                Err(_) => RecordRead::Missing,
            },
        })
    }
}

/// The outcome of reading the record of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordRead {
    /// The record, and the version of its object.
    Found(Box<NodeRecord>, ETag),
    /// The record still has the known version.
    Unchanged,
    /// There is no record, or it cannot be decoded.
    Missing,
}

/// A process with a recent record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its record. The state is `Stopped` if the record was not updated for too long.
    pub record: NodeRecord,
    /// When the record was written, by the store's clock.
    pub updated: StoreTime,
}

/// Returns the processes with a record younger than [`NODE_RECORD_AGE`], by name: one LIST, and a GET for each.
/// A stopped process is omitted if another process with its name is running or stopped later.
///
/// # Errors
/// The store returns an error or does not answer in time.
pub async fn nodes(bucket: &Bucket) -> Result<Vec<Node>, StoreError> {
    let mut nodes = NodeReader::new(bucket.clone()).read().await?;
    let is_running = |node: &Node| node.record.state == NodeState::Running;
    nodes.sort_by_cached_key(|node| (node.record.name(), is_running(node), node.updated));
    let mut shown: Vec<Node> = Vec::new();
    for node in nodes {
        let last = shown.last();
        let is_successor = |last: &Node| last.record.name() == node.record.name();
        if last.is_some_and(|last| !is_running(last) && is_successor(last)) {
            shown.pop();
        }
        shown.push(node);
    }
    Ok(shown)
}

/// Reads the records of processes again and again. A read gets only the records that were written since the last one.
#[derive(Debug)]
pub struct NodeReader {
    bucket: Bucket,
    /// By key: the listing entry of the record, and the record; `None` if it cannot be decoded.
    known: BTreeMap<String, (ListEntry, Option<Node>)>,
}

impl NodeReader {
    /// Creates a reader that knows no records.
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket, known: BTreeMap::new() }
    }

    /// Returns the processes with a record younger than [`NODE_RECORD_AGE`], stopped ones included: one LIST, and a GET
    /// for each record that the listing shows as new or changed.
    ///
    /// # Errors
    /// The store returns an error or does not answer in time.
    pub async fn read(&mut self) -> Result<Vec<Node>, StoreError> {
        let (entries, now) = recent(&self.bucket).await?;
        let listed: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        let is_new = |entry: &ListEntry| {
            let known = self.known.get(&entry.key);
            known.is_none_or(|(listed, _)| listed != entry)
        };
        let new: Vec<ListEntry> = entries.into_iter().filter(is_new).collect();
        let bucket = self.bucket.clone();
        let reads = new.into_iter().map(|entry| async {
            let node = read_node(&bucket, &entry).await?;
            Ok::<_, StoreError>((entry, node))
        });
        let mut reads = stream::iter(reads).buffer_unordered(CONCURRENT_READS);
        // Each record is kept as it arrives, so that the next call does not read it again if this one fails.
        while let Some((entry, node)) = reads.try_next().await? {
            self.known.insert(entry.key.clone(), (entry, node));
        }
        drop(reads);
        self.known.retain(|key, _| listed.contains(key));
        let nodes = self.known.values().filter_map(|(_, node)| node.clone());
        Ok(nodes.map(|node| node.at(now)).collect())
    }
}

impl Node {
    /// Returns the process at this time of the store: it is stopped if its record is too old, or if it has not answered
    /// a request to stop.
    fn at(mut self, now: Option<StoreTime>) -> Self {
        let timeout = match self.record.stop {
            Some(StopProgress::Requested) => STOP_REQUEST_TIMEOUT,
            Some(StopProgress::Draining) | None => NODE_HEARTBEAT_TIMEOUT,
        };
        if now.is_some_and(|now| now.since(self.updated) >= timeout) {
            self.record.state = NodeState::Stopped;
        }
        self
    }
}

/// Lists the newest records that are young enough; also returns the store's time.
async fn recent(bucket: &Bucket) -> Result<(Vec<ListEntry>, Option<StoreTime>), StoreError> {
    let (mut entries, mut now) = (Vec::new(), None);
    let prefix = Key::NODES_PREFIX;
    let mut listing = PrefixListing::new(bucket, prefix);
    for _ in 0..MAX_PAGES {
        let page = listing.next();
        let answer = bucket.in_time(REQUEST_TIMEOUT, Operation::List, prefix, page).await?;
        let Some(page) = answer else {
            break;
        };
        now = page.date.or(now);
        entries.extend(page.value);
    }
    entries.retain(|entry| {
        let age = now.map(|now| now.since(entry.last_modified));
        age.is_none_or(|age| age < NODE_RECORD_AGE)
    });
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.last_modified));
    entries.truncate(MAX_NODES);
    Ok((entries, now))
}

/// Reads one record; `None` if it is missing or cannot be decoded.
async fn read_node(bucket: &Bucket, entry: &ListEntry) -> Result<Option<Node>, StoreError> {
    let Ok(key @ Key::Node(_)) = entry.key.parse::<Key>() else {
        return Ok(None);
    };
    let request = bucket.get(&key, GetOptions::default());
    let got = bucket.in_time(REQUEST_TIMEOUT, Operation::Get, &key, request).await?;
    let Get::Found(object) = got.value else {
        return Ok(None);
    };
    let record = serde_json::from_slice::<NodeRecord>(&object.bytes).ok();
    Ok(record.map(|record| Node { record, updated: object.last_modified }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::CatalogFixture;

    fn record(instance: u128, node_id: Option<&str>, state: NodeState) -> NodeRecord {
        NodeRecord {
            instance_id: Ulid(instance),
            node_id: node_id.map(str::to_owned),
            mode: vec!["all".to_owned()],
            core_count: 2,
            state,
            version: "1".to_owned(),
            address: None,
            worker: None,
            stop: None,
        }
    }

    async fn shown(stage: &CatalogFixture) -> Vec<(String, &'static str)> {
        let nodes = nodes(&stage.bucket).await.unwrap();
        nodes
            .into_iter()
            .map(|node| (node.record.name(), node.record.shown_state()))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_without_updates_is_stopped_and_later_omitted() {
        let stage = CatalogFixture::new();
        let running = record(1, Some("a"), NodeState::Running);
        running.put(&stage.bucket).await.unwrap();
        let nameless = record(2, None, NodeState::Running);
        nameless.put(&stage.bucket).await.unwrap();
        let name = Ulid(2).to_string();
        let both = |state| [(name.clone(), "running"), ("a".to_owned(), state)];
        assert_eq!(shown(&stage).await, both("running"));
        stage.sleep(NODE_HEARTBEAT_TIMEOUT).await;
        nameless.put(&stage.bucket).await.unwrap();
        assert_eq!(shown(&stage).await, both("stopped"));
        stage.sleep(NODE_RECORD_AGE - NODE_HEARTBEAT_TIMEOUT).await;
        let last = [(name.clone(), "stopped")];
        assert_eq!(shown(&stage).await, last);
        stage.sleep(NODE_HEARTBEAT_TIMEOUT).await;
        assert_eq!(shown(&stage).await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_does_not_answer_a_request_to_stop_counts_as_stopped() {
        let stage = CatalogFixture::new();
        let mut asked = record(1, Some("a"), NodeState::Running);
        asked.stop = Some(StopProgress::Requested);
        asked.put(&stage.bucket).await.unwrap();
        let mut draining = record(2, Some("b"), NodeState::Running);
        draining.stop = Some(StopProgress::Draining);
        draining.put(&stage.bucket).await.unwrap();
        let both = |state| [("a".to_owned(), state), ("b".to_owned(), "stopping")];
        assert_eq!(shown(&stage).await, both("stopping"));
        stage.sleep(STOP_REQUEST_TIMEOUT).await;
        assert_eq!(shown(&stage).await, both("stopped"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_node_is_hidden_by_its_successor() {
        let stage = CatalogFixture::new();
        let mut first = record(1, Some("a"), NodeState::Running);
        first.put(&stage.bucket).await.unwrap();
        stage.sleep(Duration::from_secs(1)).await;
        let second = record(2, Some("a"), NodeState::Running);
        second.put(&stage.bucket).await.unwrap();
        let running = ("a".to_owned(), "running");
        assert_eq!(shown(&stage).await, [running.clone(), running.clone()]);
        stage.sleep(Duration::from_secs(1)).await;
        first.state = NodeState::Stopped;
        first.put(&stage.bucket).await.unwrap();
        assert_eq!(shown(&stage).await, [running]);
        let second = record(2, Some("a"), NodeState::Stopped);
        stage.sleep(Duration::from_secs(1)).await;
        second.put(&stage.bucket).await.unwrap();
        assert_eq!(shown(&stage).await, [("a".to_owned(), "stopped")]);
    }

    #[tokio::test(start_paused = true)]
    async fn records_that_cannot_be_decoded_are_omitted() {
        let stage = CatalogFixture::new();
        let body = Bytes::from_static(b"{}");
        let put = stage.bucket.put(&Key::Node(Ulid(1)), body, PutMode::Overwrite);
        put.await.unwrap();
        assert_eq!(shown(&stage).await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_gets_only_the_records_that_were_written_since() {
        let stage = CatalogFixture::new();
        let mut reader = NodeReader::new(stage.bucket.clone());
        let mut read = async || {
            stage.taken();
            let nodes = reader.read().await.unwrap();
            let running = nodes.iter().filter(|node| node.record.state == NodeState::Running);
            (running.count(), nodes.len(), stage.taken().gets)
        };
        assert_eq!(read().await, (0, 0, 0));
        let mut first = record(1, None, NodeState::Running);
        first.put(&stage.bucket).await.unwrap();
        let second = record(2, None, NodeState::Running);
        second.put(&stage.bucket).await.unwrap();
        assert_eq!(read().await, (2, 2, 2));
        assert_eq!(read().await, (2, 2, 0));
        stage.sleep(Duration::from_secs(1)).await;
        first.state = NodeState::Stopped;
        first.put(&stage.bucket).await.unwrap();
        assert_eq!(read().await, (1, 2, 1));
        stage.sleep(NODE_HEARTBEAT_TIMEOUT).await;
        assert_eq!(read().await, (0, 2, 0));
        stage.sleep(NODE_RECORD_AGE).await;
        assert_eq!(read().await, (0, 0, 0));
    }

    #[test]
    fn records_are_json() {
        let mut record = record(0, Some("a"), NodeState::Running);
        insta::assert_snapshot!(
            serde_json::to_string(&record).unwrap(),
            @r#"{"instance_id":"00000000000000000000000000","node_id":"a","mode":["all"],"core_count":2,"state":"running","version":"1"}"#
        );
        record.worker = Some("http://10.0.0.1:8182".to_owned());
        insta::assert_snapshot!(
            serde_json::to_string(&record).unwrap(),
            @r#"{"instance_id":"00000000000000000000000000","node_id":"a","mode":["all"],"core_count":2,"state":"running","version":"1","worker":"http://10.0.0.1:8182"}"#
        );
        record.stop = Some(StopProgress::Draining);
        insta::assert_snapshot!(
            serde_json::to_string(&record).unwrap(),
            @r#"{"instance_id":"00000000000000000000000000","node_id":"a","mode":["all"],"core_count":2,"state":"running","version":"1","worker":"http://10.0.0.1:8182","stop":"draining"}"#
        );
    }
}

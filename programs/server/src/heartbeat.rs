//! The task that records this process in the store, for `system.nodes`, and that stops it if an operator requests that
//! in its record.

use std::{sync::Arc, thread, time::Duration};

use clap::ValueEnum;
use neap_bucket::{Bucket, ETag, PutMode};
use neap_catalog::{
    NODE_CHECK_INTERVAL, NODE_HEARTBEAT_INTERVAL, NodeRecord, NodeState, RecordRead, StopProgress,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::options::ServeMode;

/// Maximum delay of a start and a stop by the first and the last record.
const RECORD_TIMEOUT: Duration = Duration::from_secs(3);

/// This process in the list of nodes.
#[derive(Debug)]
pub(super) struct OwnNode {
    /// The id of the process.
    pub(super) instance_id: Ulid,
    /// Makes the process look at its record at once.
    check: Notify,
}

impl OwnNode {
    /// Draws an id for this process.
    pub(super) fn new(bucket: &Bucket) -> Self {
        Self { instance_id: bucket.draw_ulid(), check: Notify::new() }
    }

    /// Makes the process look at its record at once, because this process may have changed it.
    pub(super) fn check_now(&self) {
        self.check.notify_one();
    }
}

#[derive(Clone, Debug)]
pub(super) struct ProcessDescription<'a> {
    pub(super) own: Arc<OwnNode>,
    /// The configured name.
    pub(super) node_id: Option<String>,
    pub(super) modes: &'a [ServeMode],
    /// The address on which it listens for clients.
    pub(super) address: String,
    /// The URL at which other processes send it parts of queries.
    pub(super) worker: Option<String>,
}

/// Records periodically that this process is running, and looks for a request to stop. Failures are ignored.
#[derive(Debug)]
pub(super) struct Heartbeat {
    bucket: Bucket,
    own: Arc<OwnNode>,
    record: NodeRecord,
    /// The version of the record in the store; `None` if it is unknown.
    version: Option<ETag>,
}

impl Heartbeat {
    /// Writes the first record.
    pub(super) async fn begin(bucket: Bucket, process: ProcessDescription<'_>) -> Self {
        let names = process.modes.iter().filter_map(ServeMode::to_possible_value);
        let record = NodeRecord {
            instance_id: process.own.instance_id,
            node_id: process.node_id,
            mode: names.map(|mode| mode.get_name().to_owned()).collect(),
            core_count: thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
            state: NodeState::Running,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address: Some(process.address),
            worker: process.worker,
            stop: None,
        };
        let mut heartbeat = Self { bucket, own: process.own, record, version: None };
        heartbeat.write_record(PutMode::Overwrite).await;
        heartbeat
    }

    /// Renews the record until `stop`, and cancels `stop` if an operator requests it in the record. A worker is then
    /// withdrawn at once, so that no other process chooses it while it ends its requests.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Self {
        let clock = Arc::clone(&self.bucket.world().clock);
        let mut next_beat = clock.monotonic() + NODE_HEARTBEAT_INTERVAL;
        loop {
            let own = Arc::clone(&self.own);
            tokio::select! {
                () = clock.sleep(NODE_CHECK_INTERVAL) => {}
                () = own.check.notified() => {}
                () = stop.cancelled() => break,
            }
            if self.is_asked_to_stop().await {
                tracing::info!("stopping, because an operator has requested it");
                stop.cancel();
                break;
            }
            if clock.monotonic() >= next_beat {
                next_beat = clock.monotonic() + NODE_HEARTBEAT_INTERVAL;
                // A request that arrives now is kept: the condition does not hold, and the next check reads it.
                let mode = self.version.clone().map_or(PutMode::Create, PutMode::Update);
                self.write_record(mode).await;
            }
        }
        let was_worker = self.record.worker.take().is_some();
        if was_worker || self.record.stop.is_some() {
            self.write_record(PutMode::Overwrite).await;
        }
        self
    }

    /// Returns whether the record in the store has a request to stop: one conditional GET.
    async fn is_asked_to_stop(&mut self) -> bool {
        let instance = self.record.instance_id;
        let read = NodeRecord::read(&self.bucket, instance, self.version.clone());
        match self.bucket.world().timeout(RECORD_TIMEOUT, read).await {
            Some(Ok(RecordRead::Found(record, version))) => {
                self.version = Some(version);
                if record.stop.is_some() {
                    self.record.stop = Some(StopProgress::Draining);
                }
            }
            Some(Ok(RecordRead::Missing)) => self.version = None,
            Some(Ok(RecordRead::Unchanged)) => {}
            Some(Err(error)) => tracing::debug!(%error, "cannot read the record of this process"),
            None => tracing::debug!("reading the record of this process timed out"),
        }
        self.record.stop.is_some()
    }

    /// Records that the process has stopped.
    pub(super) async fn end(mut self) {
        self.record.state = NodeState::Stopped;
        self.record.worker = None;
        self.write_record(PutMode::Overwrite).await;
    }

    async fn write_record(&mut self, mode: PutMode) {
        let put = self.record.put_if(&self.bucket, mode);
        match self.bucket.world().timeout(RECORD_TIMEOUT, put).await {
            // If the condition did not hold, the version stays, so that the next check reads the record.
            Some(Ok(version)) => self.version = version.or_else(|| self.version.take()),
            Some(Err(error)) => {
                tracing::warn!(%error, "cannot record this process in system.nodes")
            }
            None => tracing::warn!("recording this process in the store timed out"),
        }
    }
}

#[cfg(test)]
mod tests {
    use neap_bucket::{ProtocolMargins, World};
    use neap_catalog::{Catalog, nodes, request_node_stop};

    use super::*;

    async fn bucket() -> Bucket {
        let bucket = Bucket::in_memory(World::system());
        let catalog = Catalog::new(bucket.clone(), ProtocolMargins::LOCAL, None);
        catalog.rules().await.unwrap();
        bucket
    }

    fn process(bucket: &Bucket, worker: Option<&str>) -> ProcessDescription<'static> {
        ProcessDescription {
            own: Arc::new(OwnNode::new(bucket)),
            node_id: Some("a".to_owned()),
            modes: &[ServeMode::Query, ServeMode::Compact],
            address: "here".to_owned(),
            worker: worker.map(str::to_owned),
        }
    }

    async fn states(bucket: &Bucket) -> Vec<(&'static str, Option<String>)> {
        let nodes = nodes(bucket).await.unwrap();
        let records = nodes.into_iter().map(|node| node.record);
        let states = records.map(|record| (record.shown_state(), record.worker));
        states.collect()
    }

    #[tokio::test]
    async fn a_process_is_recorded_from_its_start_to_its_stop() {
        let bucket = bucket().await;
        let worker = "http://10.0.0.1:8182";
        let one = Heartbeat::begin(bucket.clone(), process(&bucket, Some(worker))).await;
        assert_eq!(one.record.mode, ["query", "compact"]);
        assert_eq!(states(&bucket).await, [("running", Some(worker.to_owned()))]);
        let stop = CancellationToken::new();
        stop.cancel();
        let one = one.run(&stop).await;
        assert_eq!(states(&bucket).await, [("running", None)]);
        one.end().await;
        assert_eq!(states(&bucket).await, [("stopped", None)]);
    }

    #[tokio::test]
    async fn a_process_stops_if_its_record_says_so() {
        let bucket = bucket().await;
        let process = process(&bucket, None);
        let own = Arc::clone(&process.own);
        let one = Heartbeat::begin(bucket.clone(), process).await;
        let stop = CancellationToken::new();
        // Nothing is requested yet.
        own.check_now();
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { one.run(&stop).await }
        });
        request_node_stop(&bucket, "a").await.unwrap();
        own.check_now();
        let one = running.await.unwrap();
        assert!(stop.is_cancelled());
        assert_eq!(states(&bucket).await, [("stopping", None)]);
        let kept = one.record.stop;
        assert_eq!(kept, Some(StopProgress::Draining));
        one.end().await;
        assert_eq!(states(&bucket).await, [("stopped", None)]);
    }

    #[tokio::test]
    async fn a_heartbeat_does_not_overwrite_a_request_to_stop() {
        let bucket = bucket().await;
        let mut one = Heartbeat::begin(bucket.clone(), process(&bucket, None)).await;
        request_node_stop(&bucket, "a").await.unwrap();
        let known = one.version.clone().unwrap();
        one.write_record(PutMode::Update(known)).await;
        assert!(one.is_asked_to_stop().await);
    }
}

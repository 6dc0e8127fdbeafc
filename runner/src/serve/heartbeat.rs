//! The task that records this process in the store, for `system.nodes`.

use std::{thread, time::Duration};

use clap::ValueEnum;
use neap_bucket::Bucket;
use neap_catalog::{NODE_HEARTBEAT_INTERVAL, NodeRecord, NodeState};
use tokio_util::sync::CancellationToken;

use super::options::ServeMode;

/// Maximum delay of a start and a stop by the first and the last record.
const RECORD_TIMEOUT: Duration = Duration::from_secs(3);

/// The description of a process.
#[derive(Clone, Debug)]
pub(super) struct ProcessDescription<'a> {
    /// The configured name.
    pub(super) node_id: Option<String>,
    pub(super) modes: &'a [ServeMode],
    /// The address on which it listens for clients.
    pub(super) address: String,
    /// The URL at which other processes send it parts of queries.
    pub(super) worker: Option<String>,
}

/// Records periodically that this process is running. Failures are ignored.
#[derive(Debug)]
pub(super) struct Heartbeat {
    bucket: Bucket,
    record: NodeRecord,
}

impl Heartbeat {
    /// Writes the first record.
    pub(super) async fn begin(bucket: Bucket, process: ProcessDescription<'_>) -> Self {
        let names = process.modes.iter();
        let names = names.filter_map(ServeMode::to_possible_value);
        let record = NodeRecord {
            instance_id: bucket.draw_ulid(),
            node_id: process.node_id,
            mode: names.map(|mode| mode.get_name().to_owned()).collect(),
            core_count: thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
            state: NodeState::Running,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address: Some(process.address),
            worker: process.worker,
        };
        let heartbeat = Self { bucket, record };
        heartbeat.write_record(&heartbeat.record).await;
        heartbeat
    }

    /// Renews the record until `stop`. A worker is then withdrawn at once, so that no other process chooses it while it
    /// ends its requests.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let beats = async {
            loop {
                self.bucket
                    .world()
                    .clock
                    .sleep(NODE_HEARTBEAT_INTERVAL)
                    .await;
                self.write_record(&self.record).await;
            }
        };
        tokio::select! {
            () = beats => {}
            () = stop.cancelled() => {}
        }
        if self.record.worker.is_some() {
            let record = NodeRecord {
                worker: None,
                ..self.record.clone()
            };
            self.write_record(&record).await;
        }
    }

    /// Records that the process has stopped.
    pub(super) async fn end(&self) {
        let record = NodeRecord {
            state: NodeState::Stopped,
            worker: None,
            ..self.record.clone()
        };
        self.write_record(&record).await;
    }

    async fn write_record(&self, record: &NodeRecord) {
        let put = record.put(&self.bucket);
        match self.bucket.world().timeout(RECORD_TIMEOUT, put).await {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "cannot record this process in system.nodes")
            }
            None => tracing::warn!("recording this process in the store timed out"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use neap_bucket::{MemoryStore, ProtocolMargins, World};
    use neap_catalog::{Catalog, nodes};

    use super::*;

    #[tokio::test]
    async fn a_process_is_recorded_from_its_start_to_its_stop() {
        let world = World::system();
        let store = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
        let bucket = Bucket::new(store, world);
        Catalog::new(bucket.clone(), ProtocolMargins::LOCAL, None)
            .rules()
            .await
            .unwrap();
        let states = async || {
            let nodes = nodes(&bucket).await.unwrap();
            let records = nodes.into_iter().map(|node| node.record);
            let states = records.map(|record| (record.name(), record.state, record.worker));
            states.collect::<Vec<_>>()
        };
        let modes = [ServeMode::Query, ServeMode::Compact];
        let name = || "a".to_owned();
        let worker = Some("http://10.0.0.1:8182".to_owned());
        let process = ProcessDescription {
            node_id: Some(name()),
            modes: &modes,
            address: "here".to_owned(),
            worker: worker.clone(),
        };
        let one = Heartbeat::begin(bucket.clone(), process).await;
        assert_eq!(one.record.mode, ["query", "compact"]);
        assert_eq!(states().await, [(name(), NodeState::Running, worker)]);
        let stop = CancellationToken::new();
        stop.cancel();
        one.run(&stop).await;
        assert_eq!(states().await, [(name(), NodeState::Running, None)]);
        one.end().await;
        assert_eq!(states().await, [(name(), NodeState::Stopped, None)]);
    }
}

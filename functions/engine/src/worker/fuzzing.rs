//! The entry point of the fuzz targets (`tests/fuzz`): the frames of a run, without a process.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use neap_bucket::World;
use neap_schema::{DatabaseId, TriggerId};
use tokio_util::sync::CancellationToken;

use super::{
    LogLevel, PluginInput, PluginOnDisk, PluginRun, RunContext, RunLimits, TriggerKey,
    cache::CacheStore,
    exchange::{FailedHeader, done, log, queue},
    frames::{self, FrameReader, kind},
    host_requests::HostRequestHandler,
    process_output::OutputMeter,
};
use crate::{DatabaseAccessError, QueryRows};

/// Maximum size of a frame, and of the cache, in bytes.
const MAX_FRAME_BYTES: usize = 4 << 10;

/// Maximum size of the output of a run, in bytes. Small, so that inputs exceed it.
const MAX_OUTPUT_BYTES: usize = 512;

/// A database that refuses all requests.
#[derive(Debug)]
struct NoDatabase;

#[async_trait]
impl RunContext for NoDatabase {
    fn log(&self, _level: LogLevel, _text: String) {}

    async fn query(
        &self,
        _database: &str,
        _sql: &str,
        _parameters: &[(String, String)],
    ) -> Result<QueryRows, DatabaseAccessError> {
        Err(DatabaseAccessError("no database".to_owned()))
    }

    async fn write_now(
        &self,
        _database: &str,
        _lines: Bytes,
        _no_sync: bool,
    ) -> Result<(), DatabaseAccessError> {
        Ok(())
    }
}

/// Decodes the frames in `bytes` as the exchange with a process does, and answers requests.
///
/// # Panics
/// The run keeps more bytes than its limit of output allows.
pub fn decode_frames(bytes: &[u8]) {
    let run = run();
    let meter = OutputMeter::new(Arc::clone(&run.context), MAX_OUTPUT_BYTES);
    let cache = CacheStore::new(World::system(), MAX_FRAME_BYTES);
    let mut queued = BTreeMap::new();
    let mut reader = FrameReader::new(bytes, MAX_FRAME_BYTES);
    // Bytes in memory are there at once.
    while let Some(Ok(frame)) = reader.next().now_or_never() {
        let payload = frame.payload;
        let is_last = match frame.kind {
            kind::LOG => log(payload, &meter).is_err(),
            kind::QUEUED => queue(payload, &meter, &mut queued).is_err(),
            kind::DONE => done(payload, &meter).is_err(),
            kind::FAILED => {
                drop(frames::split::<FailedHeader>(payload));
                true
            }
            kind => {
                let mut answers = HostRequestHandler {
                    run: &run,
                    cache: &cache,
                    process: 1,
                    stop: &run.stop,
                    to: &mut Vec::<u8>::new(),
                };
                !matches!(answers.answer(kind, payload).now_or_never(), Some(Ok(true)))
            }
        };
        if is_last {
            break;
        }
    }
    let bytes_of = |(database, lines): (&String, &Vec<String>)| {
        database.len() + lines.iter().map(String::len).sum::<usize>()
    };
    assert!(queued.iter().map(bytes_of).sum::<usize>() <= MAX_OUTPUT_BYTES);
}

fn run() -> PluginRun {
    PluginRun {
        trigger: TriggerKey::Trigger { database: DatabaseId::new(1), trigger: TriggerId::new(1) },
        database_name: "db".into(),
        trigger_name: "trigger".into(),
        code: PluginOnDisk { path: "plugin.py".into(), version: "1".into() },
        arguments: None,
        call: PluginInput::Schedule { time: neap_bucket::StoreTime::from_micros(1) },
        is_async: false,
        limits: RunLimits::default(),
        stop: CancellationToken::new(),
        abandoned: CancellationToken::new(),
        context: Arc::new(NoDatabase),
    }
}

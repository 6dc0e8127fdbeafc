//! Statements in SQL and InfluxQL, planned over the tables of a database and not executed.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use neap_bucket::ProtocolRules;
use neap_catalog::{Catalog, ChangeOrigin};
use neap_http::Caller;
use neap_manifest::{ManifestSettings, ManifestStore, SnapshotReader, SnapshotSettings};
use neap_query::{
    ClientQuery, Executor, Language, QueryEngine, QueryRequest, QuerySettings, number_placeholders,
};
use neap_wal::{TailReader, TailReaderSettings};
use neap_write::{WriteOptions, WriteService, WriteServiceParts};
use tokio::runtime::Runtime;

use crate::{decoder_panics::catch_decoder_panic, stored_object::empty_bucket};

const DATABASE: &str = "db";

/// The rows of the tables.
const LINES: &str = "\
cpu,host=a,zone=x usage=0.5,count=3i,up=true,note=\"n\" 1700000000000000000
cpu,host=b usage=1.5,total=7u 1700000001000000000
mem,host=a free=1.5 1700000000000000000";

/// A query function over a database in memory.
struct PlanningEngine {
    runtime: Runtime,
    engine: Arc<QueryEngine>,
}

/// SQL. Placeholders may be question marks.
pub(crate) fn sql(input: &[u8]) {
    plan(Language::Sql, input);
}

pub(crate) fn influxql(input: &[u8]) {
    plan(Language::InfluxQl, input);
}

fn plan(language: Language, input: &[u8]) {
    static ENGINE: OnceLock<PlanningEngine> = OnceLock::new();
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let engine = ENGINE.get_or_init(PlanningEngine::new);
    let query = ClientQuery {
        caller: Caller::unrestricted(),
        origin: ChangeOrigin::default(),
        database: Some(DATABASE.to_owned()),
        language,
        request: QueryRequest {
            text: number_placeholders(text).into_owned(),
            may_delete: true,
            may_copy: true,
            ..QueryRequest::default()
        },
    };
    catch_decoder_panic(|| {
        let described = engine.runtime.block_on(engine.engine.describe_as(query));
        if let Err(error) = described {
            assert!(!error.to_string().is_empty());
        }
    });
}

impl PlanningEngine {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let bucket = empty_bucket();
        let catalog = Arc::new(Catalog::for_sole_process(bucket.clone()));
        let rules = runtime.block_on(catalog.rules()).expect("a catalog");
        runtime.block_on(write_rows(&catalog, rules));
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        let snapshots = SnapshotReader::new(
            manifests.clone(),
            Arc::clone(&catalog),
            TailReader::new(bucket.clone(), TailReaderSettings::default()),
            rules,
            SnapshotSettings::default(),
        );
        // Threads of queries have the stack that statements need. They do their I/O on the runtime that is current now.
        let executor = {
            let _current = runtime.enter();
            Executor::with_threads(1).expect("a thread")
        };
        let settings = QuerySettings { executor, ..QuerySettings::default() };
        let engine = QueryEngine::new(bucket, catalog, manifests, Arc::new(snapshots), settings);
        Self { runtime, engine: Arc::new(engine.expect("an engine")) }
    }
}

async fn write_rows(catalog: &Arc<Catalog>, rules: ProtocolRules) {
    let service = WriteService::new(WriteServiceParts::local(catalog, rules));
    let body = Bytes::from_static(LINES.as_bytes());
    let written = service.write(DATABASE, body, WriteOptions::default()).await;
    written.expect("rows are stored");
}

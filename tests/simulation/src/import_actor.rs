//! Import jobs: clients upload files, and the workers of several processes import them.

use std::{sync::Arc, time::Duration};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use axum::{Extension, body::Body};
use bytes::Bytes;
use futures::future::{Either, select};
use http::Request;
use http_body_util::BodyExt;
use neap_bucket::ObjectUploads;
use neap_files::{ImportSettings, ImportWorker, import_router};
use neap_http::{Caller, Metrics};
use neap_schema::TIME_COLUMN;
use parquet::arrow::ArrowWriter;
use serde::Deserialize;
use tower::ServiceExt;
use ulid::Ulid;

use crate::{
    actors::{ActorContext, run_on},
    instance::{DATABASE, DATABASE_NAME, Instance, InstanceSlot},
    oracle::{EndedImport, Invariant},
    rows::{HOSTS, TABLE, TAG, shared_point},
};

const ENDPOINT: &str = "/api/v3/enterprise/import";

/// The sizes of writes: one row each, or several.
const BATCH_BYTES: [usize; 2] = [1, 200];

/// Number of flushes after which a job has ended, and the pause between them.
const MAX_FLUSHES: usize = 400;
const FLUSH_PAUSE: Duration = Duration::from_secs(20);

/// A job, as the endpoint shows it.
#[derive(Debug, Deserialize)]
struct JobInfo {
    upload_uuid: String,
    row_count: u64,
    status: String,
}

impl JobInfo {
    fn is_imported(&self) -> bool {
        self.status == "imported"
    }

    fn has_ended(&self) -> bool {
        self.is_imported() || self.status == "terminal_failed"
    }
}

pub(crate) fn start_worker(instance: &Instance, max_batch_bytes: usize) -> Arc<ImportWorker> {
    let uploads = ObjectUploads::collected(Arc::new(instance.network.clone()), "");
    let settings = ImportSettings { max_batch_bytes, ..ImportSettings::default() };
    let writer = Arc::clone(&instance.writer);
    Arc::new(ImportWorker::new(writer, uploads, settings, &Metrics::default()))
}

/// Returns a file with a row for each of the first shared points.
fn parquet_file(request: u64, points: usize) -> Vec<u8> {
    let points: Vec<_> = (0..points).map(shared_point).collect();
    let times = points.iter().map(|(_, time)| *time);
    let hosts = points.iter().map(|(host, _)| host);
    let values = (0..points.len()).map(|row| 100 * request as i64 + row as i64);
    let columns: [(&str, ArrayRef); 3] = [
        (TIME_COLUMN, Arc::new(TimestampNanosecondArray::from_iter_values(times))),
        (TAG, Arc::new(StringArray::from_iter_values(hosts))),
        ("a", Arc::new(Int64Array::from_iter_values(values))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// Sends a request to the endpoint of a process. The error is the answer.
async fn send(worker: &Arc<ImportWorker>, request: Request<Body>) -> Result<Bytes, String> {
    let routes = import_router(Arc::clone(worker)).layer(Extension(Caller::unrestricted()));
    let response = routes.oneshot(request).await.unwrap();
    let is_success = response.status().is_success();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    if is_success {
        Ok(body)
    } else {
        Err(String::from_utf8_lossy(&body).into_owned())
    }
}

/// Uploads a file with a row for each of the first shared points.
pub(crate) async fn upload(
    worker: &Arc<ImportWorker>,
    request: u64,
    points: usize,
) -> Result<Bytes, String> {
    let parts = [
        ("database", DATABASE_NAME),
        ("table", TABLE),
        ("column_metadata", r#"{"column_mapping":{"host":"tag"}}"#),
    ];
    let mut body = Vec::new();
    for (name, value) in parts {
        let head = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"");
        body.extend(format!("{head}\r\n\r\n{value}\r\n").into_bytes());
    }
    let head = "--b\r\nContent-Disposition: form-data; name=\"file_bytes\"; filename=\"f\"";
    body.extend(format!("{head}\r\n\r\n").into_bytes());
    body.extend(parquet_file(request, points));
    body.extend(b"\r\n--b--\r\n");
    let posted = Request::post(ENDPOINT)
        .header("content-type", "multipart/form-data; boundary=b")
        .body(Body::from(body))
        .unwrap();
    send(worker, posted).await
}

/// Returns all jobs; `None` if they can't be read.
async fn list_jobs(worker: &Arc<ImportWorker>) -> Option<Vec<JobInfo>> {
    let request = Request::get(ENDPOINT).body(Body::empty()).unwrap();
    let body = send(worker, request).await.ok()?;
    serde_json::from_slice(&body).ok()
}

/// Accepts files, and imports those of all processes. A worker ends after a while, also in the middle of a job.
pub(crate) async fn importer(stage: ActorContext, place: Arc<InstanceSlot>) {
    let world = &stage.world;
    loop {
        world.pause(stage.mix.cast.refresh_pauses).await;
        run_on(&place, async |instance| {
            let worker = start_worker(&instance, world.chance.pick(&BATCH_BYTES));
            if world.chance.happens(0.4) {
                let request = stage.draw_request();
                let points = HOSTS.len() * world.choices.cast.days;
                let answer = upload(&worker, request, points).await;
                instance.trace(format_args!("upload {request}: {answer:?}"));
                return;
            }
            let limit = Duration::from_secs(world.chance.pick(&[70, 200, 1000]));
            let end = Box::pin(world.time.sleep(limit));
            select(Box::pin(worker.run()), end).await;
        })
        .await;
    }
}

/// Imports everything that is left, on an instance without faults, and checks the rows of all jobs.
pub(crate) async fn import_all(instance: &Arc<Instance>) {
    let world = &instance.world;
    let worker = start_worker(instance, BATCH_BYTES[0]);
    let flushes = async {
        for _ in 0..MAX_FLUSHES {
            let flushed = instance.flusher.flush(DATABASE).await;
            let jobs = list_jobs(&worker).await;
            instance.trace(format_args!("imports: {jobs:?} after {flushed:?}"));
            if let Some(jobs) = jobs
                && jobs.iter().all(JobInfo::has_ended)
            {
                return Some(jobs);
            }
            world.time.sleep(FLUSH_PAUSE).await;
        }
        None
    };
    let jobs = match select(Box::pin(flushes), Box::pin(worker.run())).await {
        Either::Left((jobs, _)) => jobs,
        Either::Right(((), _)) => None,
    };
    world.truth.oracle(|oracle| {
        let Some(jobs) = jobs else {
            let text = "an import does not end without any fault";
            return oracle.fail(Invariant::NoUnexpectedError, text);
        };
        let ended: Vec<_> = jobs
            .iter()
            .map(|job| EndedImport {
                id: Ulid(u128::from_str_radix(&job.upload_uuid.replace('-', ""), 16).unwrap()),
                rows: job.row_count,
                is_imported: job.is_imported(),
            })
            .collect();
        oracle.check_imports(&ended);
    });
}

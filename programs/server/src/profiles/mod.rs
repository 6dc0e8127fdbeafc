//! `/debug/pprof`: CPU and heap profiles of the running process, for administrators.
//!
//! A CPU profile samples the stacks of all threads that compute. A heap profile samples the stacks of allocations that are
//! made during the profile and are in use at its end. No profile runs unless it is requested, and a process that has
//! never made one has no signal handler, no timer and no memory for it.

mod encode;
mod heap;

use std::{future::Future, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{Uri, header::CONTENT_DISPOSITION, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use neap_bucket::World;
use neap_http::{ApiError, Kind, parse_query};
use pprof::{ProfilerGuard, ProfilerGuardBuilder};
use serde::Deserialize;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::JoinError,
};
use tokio_util::sync::CancellationToken;

use self::encode::{ProfileTiming, encode_cpu_profile};
use crate::heap_sampling::HeapSampling;

/// The duration of a profile, unless the request sets another one.
const DEFAULT_SECONDS: u64 = 10;
/// Maximum duration of a profile.
const MAX_SECONDS: u64 = 60;
/// Samples in a second of computing, unless the request sets another number. It is no divisor of common timer
/// frequencies, so that the samples do not follow periodic work.
const DEFAULT_FREQUENCY: i32 = 99;
/// Maximum number of samples in a second of computing.
const MAX_FREQUENCY: i32 = 999;

/// Libraries whose stacks are not unwound: the unwinder itself takes locks of these.
const UNSAFE_LIBRARIES: [&str; 4] = ["libc.so", "libgcc_s", "libpthread", "vdso"];

/// The parameters of a CPU profile.
#[derive(Debug, Deserialize)]
struct CpuProfileParams {
    #[serde(default = "default_seconds")]
    seconds: u64,
    #[serde(default = "default_frequency")]
    frequency: i32,
}

fn default_seconds() -> u64 {
    DEFAULT_SECONDS
}

fn default_frequency() -> i32 {
    DEFAULT_FREQUENCY
}

/// The parameters of a heap profile.
#[derive(Debug, Deserialize)]
struct HeapProfileParams {
    #[serde(default = "default_seconds")]
    seconds: u64,
}

/// Shared state of the routes.
#[derive(Clone, Debug)]
struct ProfileRoutes {
    /// Held by the profile that is being made, because the process has one timer and one sampler of allocations.
    running: Arc<Mutex<()>>,
    stop: CancellationToken,
    world: World,
}

/// Returns the routes. A profile ends early when the process is asked to stop.
pub(super) fn routes(stop: CancellationToken, world: World) -> Router {
    Router::new()
        .route("/debug/pprof/profile", get(cpu_profile).post(cpu_profile))
        .route("/debug/pprof/heap", get(heap_profile).post(heap_profile))
        .with_state(ProfileRoutes { running: Arc::default(), stop, world })
}

impl ProfileRoutes {
    /// Refuses durations that are too long, and a second profile at a time.
    fn begin(&self, seconds: u64) -> Result<OwnedMutexGuard<()>, ApiError> {
        if !(1..=MAX_SECONDS).contains(&seconds) {
            let text = format!("seconds must be between 1 and {MAX_SECONDS}");
            return Err(ApiError::json(Kind::Invalid, text));
        }
        let running = Arc::clone(&self.running).try_lock_owned();
        running.map_err(|_| {
            let text = "another profile is being made: try again when it has ended";
            ApiError::json(Kind::Conflict, text)
        })
    }

    /// Waits until a profile has enough samples, or the process stops. Returns when the samples were taken.
    async fn sample(&self, seconds: u64) -> ProfileTiming {
        let started_micros = self.world.clock.wall_micros();
        let started = self.world.clock.monotonic();
        tokio::select! {
            () = self.world.clock.sleep(Duration::from_secs(seconds)) => {}
            () = self.stop.cancelled() => {}
        }
        ProfileTiming {
            started_micros,
            duration: self.world.clock.monotonic().saturating_sub(started),
        }
    }
}

async fn cpu_profile(State(shared): State<ProfileRoutes>, uri: Uri) -> Result<Response, ApiError> {
    let CpuProfileParams { seconds, frequency } = parse_query(&uri)?;
    if !(1..=MAX_FREQUENCY).contains(&frequency) {
        let text = format!("frequency must be between 1 and {MAX_FREQUENCY}");
        return Err(ApiError::json(Kind::Invalid, text));
    }
    let running = shared.begin(seconds)?;
    // Reading the list of libraries and reserving the memory for samples takes milliseconds.
    let sampling = tokio::task::spawn_blocking(move || start_sampling(frequency))
        .await
        .map_err(|error| failed(error.to_string()))?
        .map_err(|error| failed(error.to_string()))?;
    let timing = shared.sample(seconds).await;
    // Symbols are looked up in the file of the program, which takes seconds for a large one.
    let encoded = tokio::task::spawn_blocking(move || {
        let report = sampling.report().build();
        drop((sampling, running));
        let report = report.map_err(|error| error.to_string())?;
        encode_cpu_profile(&report, frequency, &timing).map_err(|error| error.to_string())
    });
    answer("profile.pb.gz", encoded).await
}

async fn heap_profile(State(shared): State<ProfileRoutes>, uri: Uri) -> Result<Response, ApiError> {
    let HeapProfileParams { seconds } = parse_query(&uri)?;
    let running = shared.begin(seconds)?;
    let sampling = HeapSampling::start()
        .ok_or_else(|| failed("allocations are sampled already".to_owned()))?;
    let timing = shared.sample(seconds).await;
    let encoded = tokio::task::spawn_blocking(move || {
        let encoded = heap::encode(&sampling.finish(), &timing);
        drop(running);
        encoded.map_err(|error| error.to_string())
    });
    answer("heap.pb.gz", encoded).await
}

/// Returns the file that a task encodes.
async fn answer(
    name: &str,
    encoded: impl Future<Output = Result<Result<Vec<u8>, String>, JoinError>>,
) -> Result<Response, ApiError> {
    let encoded = encoded.await.map_err(|error| failed(error.to_string()))?;
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, encoded.map_err(failed)?).into_response())
}

fn failed(error: String) -> ApiError {
    tracing::warn!(error, "cannot make a profile");
    ApiError::json(Kind::Internal, format!("cannot make a profile: {error}"))
}

fn start_sampling(frequency: i32) -> pprof::Result<ProfilerGuard<'static>> {
    ProfilerGuardBuilder::default()
        .frequency(frequency)
        .blocklist(&UNSAFE_LIBRARIES)
        .build()
}

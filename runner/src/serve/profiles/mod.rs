//! `/debug/pprof`: CPU profiles of the running process, for administrators.
//!
//! A profile samples the stacks of all threads that compute. No profile runs unless it is requested, and a process that
//! has never made one has no signal handler, no timer and no memory for it. The allocator keeps no account of the call
//! sites of memory, so there are no heap profiles.

mod encode;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri, header::CONTENT_DISPOSITION, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use neap_bucket::World;
use neap_http::{ApiError, Kind, parse_query};
use pprof::{ProfilerGuard, ProfilerGuardBuilder};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use self::encode::{ProfileTiming, encode_profile};

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
struct ProfileParams {
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

/// Shared state of the routes.
#[derive(Clone, Debug)]
struct ProfileRoutes {
    /// Held by the profile that is being made, because the process has one timer for samples.
    running: Arc<Mutex<()>>,
    stop: CancellationToken,
    world: World,
}

/// Returns the routes. A profile ends early when the process is asked to stop.
pub(super) fn routes(stop: CancellationToken, world: World) -> Router {
    Router::new()
        .route("/debug/pprof/profile", get(cpu_profile).post(cpu_profile))
        .route("/debug/pprof/heap", get(heap_profile).post(heap_profile))
        .with_state(ProfileRoutes {
            running: Arc::default(),
            stop,
            world,
        })
}

async fn cpu_profile(State(shared): State<ProfileRoutes>, uri: Uri) -> Result<Response, ApiError> {
    let ProfileParams { seconds, frequency } = parse_query(&uri)?;
    if !(1..=MAX_SECONDS).contains(&seconds) {
        let text = format!("seconds must be between 1 and {MAX_SECONDS}");
        return Err(ApiError::json(Kind::Invalid, text));
    }
    if !(1..=MAX_FREQUENCY).contains(&frequency) {
        let text = format!("frequency must be between 1 and {MAX_FREQUENCY}");
        return Err(ApiError::json(Kind::Invalid, text));
    }
    let Ok(running) = Arc::clone(&shared.running).try_lock_owned() else {
        let text = "another profile is being made: try again when it has ended";
        return Err(ApiError::json(Kind::Conflict, text));
    };
    let started_micros = shared.world.clock.wall_micros();
    let started = shared.world.clock.monotonic();
    let failed = |error: String| {
        tracing::warn!(error, "cannot make a CPU profile");
        ApiError::json(Kind::Internal, format!("cannot make a profile: {error}"))
    };
    // Reading the list of libraries and reserving the memory for samples takes milliseconds.
    let sampling = tokio::task::spawn_blocking(move || start_sampling(frequency));
    let sampling = sampling.await.map_err(|error| failed(error.to_string()))?;
    let sampling = sampling.map_err(|error| failed(error.to_string()))?;
    tokio::select! {
        () = shared.world.clock.sleep(Duration::from_secs(seconds)) => {}
        () = shared.stop.cancelled() => {}
    }
    let timing = ProfileTiming {
        frequency,
        started_micros,
        duration: shared.world.clock.monotonic().saturating_sub(started),
    };
    // Symbols are looked up in the file of the program, which takes seconds for a large one.
    let encoded = tokio::task::spawn_blocking(move || {
        let report = sampling.report().build();
        drop((sampling, running));
        let profile = report.map_err(|error| error.to_string())?;
        encode_profile(&profile, &timing).map_err(|error| error.to_string())
    });
    let encoded = encoded.await.map_err(|error| failed(error.to_string()))?;
    let headers = [
        (CONTENT_TYPE, "application/octet-stream"),
        (
            CONTENT_DISPOSITION,
            "attachment; filename=\"profile.pb.gz\"",
        ),
    ];
    Ok((headers, encoded.map_err(failed)?).into_response())
}

fn start_sampling(frequency: i32) -> pprof::Result<ProfilerGuard<'static>> {
    ProfilerGuardBuilder::default()
        .frequency(frequency)
        .blocklist(&UNSAFE_LIBRARIES)
        .build()
}

async fn heap_profile() -> Response {
    let text = r#"{"error":"this build has no heap profiles: its allocator does not record call sites; the memory of each part is in /metrics, neap_memory_charged_bytes"}"#;
    let headers = [(CONTENT_TYPE, "application/json")];
    (StatusCode::NOT_IMPLEMENTED, headers, text).into_response()
}

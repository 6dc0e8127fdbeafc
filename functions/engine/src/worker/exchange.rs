//! Executes one run on a process: sends the input, answers requests, and enforces limits.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use neap_bucket::World;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::worker::{
    CompletedRun, LogLevel, PluginResponse, PluginRun, RunError, WorkerSettings,
    cache::CacheStore,
    descendants,
    exit_status::{describe, is_cpu_limit_signal},
    frames::{self, Frame, FrameError, kind},
    host_requests::{HostRequestError, HostRequestHandler},
    inputs::{self, InputError, RunHeaderOptions},
    process::{Process, ProcessHandle},
    process_output::OutputMeter,
};

/// Interval at which a run checks that its process is alive and has not too many children.
const PROCESS_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Estimated memory of the queued lines of a database besides its name and its lines, in bytes.
const QUEUE_BYTES: usize = 64;

/// The environment of a run on a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunEnvironment<'a> {
    pub(super) settings: &'a WorkerSettings,
    pub(super) world: &'a World,
    pub(super) cache: &'a CacheStore,
    /// Cancelled when the server stops, or the trigger is disabled or deleted.
    pub(super) stop: &'a CancellationToken,
    /// Whether several processes may run the trigger.
    pub(super) is_shared: bool,
    /// The remaining wall time of the run.
    pub(super) left: Duration,
}

/// The outcome of a run, and whether its process can take another run.
#[derive(Debug)]
pub(super) struct RunOutcome {
    pub(super) result: Result<CompletedRun, RunError>,
    pub(super) is_usable: bool,
}

/// The end of an exchange with a process.
#[derive(Debug)]
pub(super) enum ExchangeEnd {
    Done {
        response: Option<PluginResponse>,
        is_last: bool,
    },
    Failed(FailedHeader),
    /// The input can't be encoded. The plugin did not start.
    InvalidInput(RunError),
    Frame(FrameError),
    Output,
}

impl From<FrameError> for ExchangeEnd {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

#[derive(Debug, Deserialize)]
struct DoneHeader {
    last: bool,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    headers: Vec<(String, String)>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FailedHeader {
    last: bool,
    memory: bool,
    text: String,
    traceback: Option<String>,
}

#[derive(Debug, Deserialize)]
struct QueuedHeader {
    database: String,
    lines: usize,
}

/// The reason for aborting a run.
#[derive(Debug)]
enum RunAbort {
    Limit(RunError),
    /// The process ended without a final frame.
    Ended,
}

/// Runs a plugin on a process.
pub(super) async fn run(
    process: &mut Process,
    run: &PluginRun,
    environment: RunEnvironment<'_>,
) -> RunOutcome {
    let RunEnvironment { settings, world, .. } = environment;
    let started = world.clock.monotonic();
    let limit = run.limits.output_bytes.unwrap_or(settings.output_bytes);
    let meter = Arc::new(OutputMeter::new(Arc::clone(&run.context), limit));
    process.printed.attach_run(Arc::clone(&meter));
    let handle = process.handle.clone();
    let mut queued = BTreeMap::new();
    let ended = {
        let conversation = exchange_frames(process, run, environment, &meter, &mut queued);
        tokio::select! {
            end = conversation => Ok(end),
            cut = watch(run, environment, &handle, &meter) => Err(cut),
        }
    };
    let result = match ended {
        Ok(ExchangeEnd::Done { response, is_last }) => {
            let took = world.clock.monotonic().saturating_sub(started);
            let result = Ok(CompletedRun { queued, response, took });
            return RunOutcome { result, is_usable: !is_last };
        }
        Ok(ExchangeEnd::Failed(failed)) => return failure(failed, environment),
        Ok(ExchangeEnd::InvalidInput(error)) => Err(error),
        Ok(ExchangeEnd::Output) | Ok(ExchangeEnd::Frame(FrameError::TooLong(_))) => {
            Err(RunError::Output(limit))
        }
        Ok(ExchangeEnd::Frame(FrameError::Malformed(reason))) => Err(RunError::Protocol(reason)),
        // A process that floods the log is killed by the reader of its output, possibly before the limit is noticed
        // here.
        Ok(ExchangeEnd::Frame(FrameError::End)) | Err(RunAbort::Ended) if meter.is_exceeded() => {
            Err(RunError::Output(limit))
        }
        Ok(ExchangeEnd::Frame(FrameError::End)) | Err(RunAbort::Ended) => {
            Err(ending(process, run, environment).await)
        }
        Err(RunAbort::Limit(error)) => Err(error),
    };
    RunOutcome { result, is_usable: false }
}

fn failure(failed: FailedHeader, environment: RunEnvironment<'_>) -> RunOutcome {
    let FailedHeader { last, memory, text, traceback } = failed;
    let error = if environment.stop.is_cancelled() {
        RunError::Stopping
    } else if memory {
        let bytes = environment.settings.memory_bytes;
        RunError::Memory { bytes, text }
    } else {
        RunError::Plugin { text, traceback }
    };
    RunOutcome {
        is_usable: !last && matches!(error, RunError::Plugin { .. }),
        result: Err(error),
    }
}

/// Determines why a process ended.
async fn ending(
    process: &mut Process,
    run: &PluginRun,
    environment: RunEnvironment<'_>,
) -> RunError {
    let status = process.end(environment.world).await;
    match status {
        _ if environment.stop.is_cancelled() => RunError::Stopping,
        _ if process.handle.group.as_ref().is_some_and(|group| group.is_out_of_memory()) => {
            RunError::Memory {
                bytes: environment.settings.memory_bytes,
                text: "it was killed".to_owned(),
            }
        }
        Some(status) if is_cpu_limit_signal(status) => {
            RunError::CpuTime(cpu_limit(run, environment.settings))
        }
        Some(status) => RunError::Exited(describe(status)),
        None => RunError::Exited("its exit status is unknown".to_owned()),
    }
}

fn cpu_limit(run: &PluginRun, settings: &WorkerSettings) -> Duration {
    run.limits.cpu_time.unwrap_or(settings.cpu_time)
}

/// Sends the run and answers the plugin's requests until the run ends.
async fn exchange_frames(
    process: &mut Process,
    run: &PluginRun,
    environment: RunEnvironment<'_>,
    meter: &OutputMeter,
    queued: &mut BTreeMap<String, Vec<String>>,
) -> ExchangeEnd {
    let setting = RunHeaderOptions {
        is_shared: environment.is_shared,
        cpu_seconds: cpu_limit(run, environment.settings)
            .as_millis()
            .div_ceil(1_000)
            .try_into()
            .unwrap_or(0),
    };
    match inputs::send(run, setting, &mut process.input).await {
        Ok(()) => {}
        Err(InputError::Invalid(error)) => return ExchangeEnd::InvalidInput(error),
        // The reason follows in the last frame of the process or in its exit status.
        Err(InputError::Closed) => {}
    }
    let mut answers = HostRequestHandler {
        run,
        cache: environment.cache,
        process: process.number,
        stop: environment.stop,
        to: &mut process.input,
    };
    loop {
        let Frame { kind, payload } = match process.frames.next().await {
            Ok(frame) => frame,
            Err(error) => return error.into(),
        };
        let taken = match kind {
            kind::LOG => log(payload, meter),
            kind::QUEUED => queue(payload, meter, queued),
            kind::FORKED => {
                process.handle.forked.store(true, std::sync::atomic::Ordering::Release);
                Ok(())
            }
            kind::DONE => done(payload, meter),
            kind::FAILED => Err(match frames::split(payload) {
                Ok((failed, _)) => ExchangeEnd::Failed(failed),
                Err(error) => error.into(),
            }),
            _ => match answers.answer(kind, payload).await {
                Ok(true) | Err(HostRequestError::Closed) => Ok(()),
                Ok(false) => {
                    Err(FrameError::Malformed(format!("unexpected kind of frame: {kind}")).into())
                }
                Err(HostRequestError::Frame(error)) => Err(error.into()),
            },
        };
        if let Err(end) = taken {
            return end;
        }
    }
}

pub(super) fn log(mut payload: Bytes, meter: &OutputMeter) -> Result<(), ExchangeEnd> {
    let level = match payload.try_get_u8() {
        Ok(b'i') => LogLevel::Info,
        Ok(b'w') => LogLevel::Warn,
        _ => LogLevel::Error,
    };
    let text = String::from_utf8_lossy(&payload).into_owned();
    if meter.log(level, text) {
        Ok(())
    } else {
        Err(ExchangeEnd::Output)
    }
}

pub(super) fn done(payload: Bytes, meter: &OutputMeter) -> Result<(), ExchangeEnd> {
    let (done, body): (DoneHeader, Bytes) = frames::split(payload)?;
    if !meter.take(body.len()) {
        return Err(ExchangeEnd::Output);
    }
    let DoneHeader { last, status, headers } = done;
    let response = status.map(|status| PluginResponse { status, headers, body });
    Err(ExchangeEnd::Done { response, is_last: last })
}

/// Decodes queued lines: their lengths, then their bytes.
pub(super) fn queue(
    payload: Bytes,
    meter: &OutputMeter,
    queued: &mut BTreeMap<String, Vec<String>>,
) -> Result<(), ExchangeEnd> {
    let (header, mut lengths): (QueuedHeader, Bytes) = frames::split(payload)?;
    // A plugin can name any number of databases, with or without lines.
    let name_bytes = if queued.contains_key(&header.database) {
        0
    } else {
        header.database.len() + QUEUE_BYTES
    };
    if !meter.take(lengths.len() + name_bytes) {
        return Err(ExchangeEnd::Output);
    }
    let malformed = || FrameError::Malformed("truncated lines".to_owned());
    let size = header.lines.checked_mul(4).filter(|size| *size <= lengths.len());
    let mut text = lengths.split_off(size.ok_or_else(malformed)?);
    let lines = queued.entry(header.database).or_default();
    lines.reserve(header.lines);
    while let Ok(length) = lengths.try_get_u32_ne() {
        let length = usize::try_from(length).ok().filter(|length| *length <= text.len());
        let line = text.split_to(length.ok_or_else(malformed)?);
        let line = String::from_utf8(line.into()).map_err(|_| malformed())?;
        lines.push(line);
    }
    Ok(())
}

/// Waits until the run must be aborted.
async fn watch(
    run: &PluginRun,
    environment: RunEnvironment<'_>,
    handle: &ProcessHandle,
    meter: &OutputMeter,
) -> RunAbort {
    let RunEnvironment { settings, world, stop, left, .. } = environment;
    let wall_time = run.limits.wall_time.unwrap_or(settings.wall_time);
    let output = run.limits.output_bytes.unwrap_or(settings.output_bytes);
    tokio::select! {
        () = world.clock.sleep(left) => RunAbort::Limit(RunError::WallTime(wall_time)),
        () = meter.exceeded.notified() => RunAbort::Limit(RunError::Output(output)),
        () = async {
            stop.cancelled().await;
            handle.interrupt();
            world.clock.sleep(settings.grace).await;
        } => RunAbort::Limit(RunError::Stopping),
        cut = check(environment, handle) => cut,
    }
}

/// Waits until the process has ended, or its descendants exceed a limit.
async fn check(environment: RunEnvironment<'_>, handle: &ProcessHandle) -> RunAbort {
    let RunEnvironment { settings, world, .. } = environment;
    loop {
        world.clock.sleep(PROCESS_CHECK_INTERVAL).await;
        if handle.has_ended() {
            // Its last frames may still be in the pipe. The pipe ends too, unless other processes hold it open.
            world.clock.sleep(PROCESS_CHECK_INTERVAL).await;
            return RunAbort::Ended;
        }
        if !handle.forked.load(std::sync::atomic::Ordering::Acquire) {
            continue;
        }
        let (marker, pid) = (handle.marker.clone(), handle.pid);
        let counted = tokio::task::spawn_blocking(move || descendants::count(&marker, pid)).await;
        let found = counted.unwrap_or_default();
        if found.count > settings.max_descendants {
            return RunAbort::Limit(RunError::Processes(settings.max_descendants));
        }
        if found.resident_bytes > settings.memory_bytes {
            return RunAbort::Limit(RunError::Memory {
                bytes: settings.memory_bytes,
                text: format!("its {} child processes use more", found.count),
            });
        }
    }
}

//! Captures the direct output of a plugin's processes to standard output and standard error: output of C libraries and
//! other programs. Output of the plugin's Python code arrives as frames.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::Notify,
};

use crate::worker::{LogLevel, RunContext};

/// Maximum bytes of one log line.
const MAX_LINE_BYTES: usize = 16 << 10;

/// Bytes kept of the output without a run: it says why an interpreter does not start.
const TAIL_BYTES: usize = 4 << 10;

/// Counts the output of a run against its limit, and forwards its log lines.
#[derive(Debug)]
pub(super) struct OutputMeter {
    context: Arc<dyn RunContext>,
    used: AtomicUsize,
    limit: usize,
    /// Notified when the limit is exceeded.
    pub(super) exceeded: Notify,
}

impl OutputMeter {
    pub(super) fn new(context: Arc<dyn RunContext>, limit: usize) -> Self {
        Self {
            context,
            used: AtomicUsize::new(0),
            limit,
            exceeded: Notify::new(),
        }
    }

    /// Counts bytes. Returns false if the limit is exceeded.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = used.saturating_add(bytes) <= self.limit;
        if !fits {
            self.exceeded.notify_one();
        }
        fits
    }

    /// Returns whether the limit is exceeded.
    pub(super) fn is_exceeded(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.limit
    }

    /// Forwards a line to the log, if it fits. Returns whether it fits.
    pub(super) fn log(&self, level: LogLevel, text: String) -> bool {
        // Each line counts an extra byte, so that empty lines count too.
        let fits = self.take(text.len() + 1);
        if fits {
            self.context.log(level, text);
        }
        fits
    }
}

#[derive(Debug, Default)]
struct OutputState {
    meter: Option<Arc<OutputMeter>>,
    tail: VecDeque<u8>,
    /// Bytes of output since the start of the last run.
    unmetered: usize,
}

/// The captured output of a process.
#[derive(Debug, Default)]
pub(super) struct ProcessOutput {
    state: Mutex<OutputState>,
    ended: AtomicBool,
    end: Notify,
}

impl ProcessOutput {
    fn with<R>(&self, act: impl FnOnce(&mut OutputState) -> R) -> R {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Attributes further output to this run, including output shortly after its end.
    pub(super) fn attach_run(&self, meter: Arc<OutputMeter>) {
        self.with(|state| {
            state.meter = Some(meter);
            state.unmetered = 0;
        });
    }

    /// Returns the end of the output without a run.
    pub(super) fn tail(&self) -> String {
        self.with(|state| String::from_utf8_lossy(state.tail.make_contiguous()).trim().to_owned())
    }

    /// Waits until the pipe is closed by all of its writers.
    pub(super) async fn ended(&self) {
        while !self.ended.load(Ordering::Acquire) {
            self.end.notified().await;
        }
    }

    /// Reads the pipe to its end. Kills a process that writes more than twice the limit since the start of its last
    /// run.
    pub(super) async fn read(
        self: Arc<Self>,
        mut source: impl AsyncRead + Unpin,
        pid: Pid,
        limit: usize,
    ) {
        let mut buffer = vec![0; 16 << 10];
        let mut line = Vec::new();
        while let Ok(count @ 1..) = source.read(&mut buffer).await {
            let Some(mut text) = buffer.get(..count) else {
                break;
            };
            while let Some(at) = line_break(text) {
                let (head, rest) = text.split_at(at);
                line.extend_from_slice(head);
                self.line(&mut line, pid, limit);
                text = rest.get(1..).unwrap_or_default();
            }
            line.extend_from_slice(text);
            if line.len() >= MAX_LINE_BYTES {
                self.line(&mut line, pid, limit);
            }
        }
        if !line.is_empty() {
            self.line(&mut line, pid, limit);
        }
        self.ended.store(true, Ordering::Release);
        self.end.notify_one();
    }

    fn line(&self, line: &mut Vec<u8>, pid: Pid, limit: usize) {
        let text = String::from_utf8_lossy(line).into_owned();
        line.clear();
        let meter = self.with(|state| {
            if state.meter.is_none() {
                state.tail.extend(text.bytes().chain([b'\n']));
                let over = state.tail.len().saturating_sub(TAIL_BYTES);
                state.tail.drain(..over);
            }
            state.unmetered += text.len() + 1;
            if state.unmetered > 2 * limit {
                // The run of this output has reached its limit, or ended long ago.
                let _gone = kill_process_group(pid, Signal::KILL);
            }
            state.meter.clone()
        });
        if let Some(meter) = meter {
            meter.log(LogLevel::Info, text);
        }
    }
}

fn line_break(text: &[u8]) -> Option<usize> {
    text.iter().position(|byte| *byte == b'\n')
}

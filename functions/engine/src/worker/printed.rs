//! What a plugin's processes write to their standard output and error behind the interpreter's back: libraries in C and
//! other programs. What the plugin itself prints comes as frames.

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

/// The most that is logged as one line.
const MAX_LINE_BYTES: usize = 16 << 10;

/// What is kept of the text that comes while nothing runs: it says why an interpreter does not start.
const TAIL_BYTES: usize = 4 << 10;

/// Counts what a run puts out, and passes its log on.
#[derive(Debug)]
pub(super) struct Meter {
    context: Arc<dyn RunContext>,
    used: AtomicUsize,
    limit: usize,
    /// Told once when the limit is passed.
    pub(super) exceeded: Notify,
}

impl Meter {
    pub(super) fn new(context: Arc<dyn RunContext>, limit: usize) -> Self {
        Self {
            context,
            used: AtomicUsize::new(0),
            limit,
            exceeded: Notify::new(),
        }
    }

    /// Counts bytes. False: the run has put out too much.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = used.saturating_add(bytes) <= self.limit;
        if !fits {
            self.exceeded.notify_one();
        }
        fits
    }

    /// Whether the run has put out too much.
    pub(super) fn is_exceeded(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.limit
    }

    /// Passes a line on, if it fits.
    pub(super) fn log(&self, level: LogLevel, text: String) -> bool {
        // An empty line is not nothing.
        let fits = self.take(text.len() + 1);
        if fits {
            self.context.log(level, text);
        }
        fits
    }
}

#[derive(Debug, Default)]
struct State {
    meter: Option<Arc<Meter>>,
    tail: VecDeque<u8>,
    /// What came since the last run began.
    unmetered: usize,
}

/// Where the text of a process goes.
#[derive(Debug, Default)]
pub(super) struct Printed {
    state: Mutex<State>,
    ended: AtomicBool,
    end: Notify,
}

impl Printed {
    fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on text belongs to this run, even what comes a little after its end.
    pub(super) fn belongs_to(&self, meter: Arc<Meter>) {
        self.with(|state| {
            state.meter = Some(meter);
            state.unmetered = 0;
        });
    }

    /// The last of the text that came while nothing ran.
    pub(super) fn tail(&self) -> String {
        self.with(|state| {
            String::from_utf8_lossy(state.tail.make_contiguous())
                .trim()
                .to_owned()
        })
    }

    /// Waits until the pipe is closed: by the end of all who have it.
    pub(super) async fn ended(&self) {
        while !self.ended.load(Ordering::Acquire) {
            self.end.notified().await;
        }
    }

    /// Reads the pipe until its end. A process that floods it while nothing runs is killed.
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
                // The run that it belongs to has reached its limit, or is long over.
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

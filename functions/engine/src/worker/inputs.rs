//! Sends the input of a run to a plugin host.

use std::{collections::BTreeMap, path::Path};

use neap_bucket::SegmentName;
use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::worker::{
    PluginInput, PluginRun, RunError,
    columns::row_frames,
    frames::{self, kind},
};

#[derive(Debug, Serialize)]
struct RunHeader<'a> {
    function: &'static str,
    path: &'a Path,
    version: &'a str,
    database: &'a str,
    arguments: Option<&'a BTreeMap<String, String>>,
    /// The location of the trigger's local cache: `process` or `database`.
    cache: &'static str,
    cpu_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_stamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'a [(String, String)]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Vec<(String, &'a str)>>,
}

/// The values of a run's header that do not come from the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunHeaderOptions {
    /// Whether several processes may run the trigger.
    pub(super) is_shared: bool,
    pub(super) cpu_seconds: u64,
}

/// An error of sending a run's input.
#[derive(Debug)]
pub(super) enum InputError {
    /// The process closed its input.
    Closed,
    /// The input can't be encoded.
    Invalid(RunError),
}

impl From<std::io::Error> for InputError {
    fn from(_: std::io::Error) -> Self {
        Self::Closed
    }
}

/// Sends a run.
pub(super) async fn send(
    run: &PluginRun,
    setting: RunHeaderOptions,
    to: &mut (impl AsyncWrite + Unpin),
) -> Result<(), InputError> {
    let mut out = Vec::with_capacity(1_024);
    frames::push_header(&mut out, kind::RUN, &header(run, setting), b"");
    match &run.call {
        PluginInput::Writes { tables, .. } => {
            for (table, batches) in tables {
                frames::push(&mut out, kind::TABLE, table.as_bytes());
                for frame in batches.iter().flat_map(row_frames) {
                    // Does not happen: segments have no columns of unsupported types.
                    let frame =
                        frame.map_err(|error| InputError::Invalid(invalid_input(&error)))?;
                    to.write_all(&out).await?;
                    out = frame;
                }
            }
        }
        PluginInput::Request { body, .. } if !body.is_empty() => {
            frames::push(&mut out, kind::BODY, body);
        }
        PluginInput::Request { .. } | PluginInput::Schedule { .. } => {}
    }
    frames::push(&mut out, kind::GO, b"");
    to.write_all(&out).await?;
    Ok(())
}

fn invalid_input(error: &impl ToString) -> RunError {
    RunError::Plugin {
        text: format!("ValueError: {}", error.to_string()),
        traceback: None,
    }
}

fn header<'a>(run: &'a PluginRun, setting: RunHeaderOptions) -> RunHeader<'a> {
    let mut header = RunHeader {
        function: run.call.function(),
        path: &run.code.path,
        version: &run.code.version,
        database: &run.database_name,
        arguments: run.arguments.as_ref(),
        cache: if setting.is_shared {
            "database"
        } else {
            "process"
        },
        cpu_seconds: setting.cpu_seconds,
        batch_id: None,
        batch_stamp: None,
        time: None,
        method: None,
        query: None,
        headers: None,
    };
    match &run.call {
        PluginInput::Writes { stamp, .. } => {
            header.batch_id = stamp.map(|SegmentName { stamp, nonce }| format!("{stamp}-{nonce}"));
            header.batch_stamp = stamp.map(|name| name.stamp.as_u64());
        }
        PluginInput::Schedule { time } => header.time = Some(time.micros().div_euclid(1_000_000)),
        PluginInput::Request { method, query, headers, .. } => {
            let headers = headers.iter().map(|(name, value)| (name.to_lowercase(), value.as_str()));
            header.method = Some(method);
            header.query = Some(query);
            header.headers = Some(headers.filter(|(name, _)| name != "authorization").collect());
        }
    }
    header
}

impl PluginInput {
    /// Returns the name of the plugin's function.
    fn function(&self) -> &'static str {
        match self {
            Self::Writes { .. } => "process_writes",
            Self::Schedule { .. } => "process_scheduled_call",
            Self::Request { .. } => "process_request",
        }
    }
}

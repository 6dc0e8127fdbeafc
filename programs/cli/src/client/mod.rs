//! A client of a Neap or InfluxDB 3 server, with the part of its HTTP API that the commands need.
//!
//! | item | contents |
//! |---|---|
//! | [`Client`] | requests with a token; refusals as errors |
//! | [`ApiPath`] | the path of a request, in which names are escaped |
//! | [`CredentialsFile`] | the sessions of `neap auth login` |
//! | [`LineSplitter`] | splits line protocol of any length into bodies of bounded length |
//! | [`FileRows`] | reads the rows of CSV, JSON lines, Parquet and Arrow files as line protocol |
//! | [`Uploader`] | sends many such bodies concurrently, with retries, and collects refused lines |

mod api;
mod api_path;
mod credentials;
mod error;
mod file_rows;
mod line_splitter;
mod refused_lines;
mod retry;
mod upload;
mod upload_progress;

pub(crate) use api::{Client, ClientSettings, Token};
pub(crate) use api_path::ApiPath;
pub(crate) use credentials::{CredentialsFile, SignInResponse, StoredSession};
use error::ClientResult;
pub(crate) use error::{ClientError, refusal_message};
pub(crate) use file_rows::{FileRows, FileRowsError};
pub(crate) use line_splitter::{LineBatch, LineSplitter, SplitError, line_length};
pub(crate) use refused_lines::{LinePositions, RefusedLines};
pub(crate) use retry::Backoff;
pub(crate) use upload::{
    InputSource, UploadError, UploadSettings, UploadSource, UploadStats, Uploader,
};
pub(crate) use upload_progress::RowPosition;

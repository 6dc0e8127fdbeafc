//! A client of a Neap or InfluxDB 3 server, with the part of its HTTP API that the commands need.
//!
//! | item | contents |
//! |---|---|
//! | [`Client`] | requests with a token; refusals as errors |
//! | [`CredentialsFile`] | the sessions of `neap auth login` |
//! | [`LineSplitter`] | splits line protocol of any length into bodies of bounded length |
//! | [`FileRows`] | reads the rows of CSV, JSON lines, Parquet and Arrow files as line protocol |
//! | [`Uploader`] | sends many such bodies concurrently, with retries, and collects refused lines |

mod api;
mod credentials;
mod error;
mod file_rows;
mod line_splitter;
mod refused_lines;
mod retry;
mod upload;
mod upload_progress;

pub use api::{Client, ClientSettings, Token};
pub use credentials::{CredentialsFile, SignInResponse, StoredSession};
pub use error::ClientError;
pub(crate) use error::refusal_message;
pub use file_rows::{FileRows, FileRowsError};
pub(crate) use line_splitter::line_length;
pub use line_splitter::{LineBatch, LineSplitter, SplitError};
pub use refused_lines::{LinePositions, RefusedLine, RefusedLines};
pub use retry::Backoff;
pub use upload::{InputSource, UploadError, UploadSettings, UploadSource, UploadStats, Uploader};
pub use upload_progress::RowPosition;

//! A client of a Neap or InfluxDB 3 server: what the commands need of its HTTP API.
//!
//! | piece | what it is |
//! |---|---|
//! | [`Client`] | requests with a token, and refusals as errors |
//! | [`LineSplitter`] | line protocol of any length as bodies of bounded length |
//! | [`Uploader`] | many such bodies at once, with retries and the refused lines |

mod api;
mod error;
mod refused;
mod retry;
mod split;
mod upload;

pub use api::{Client, Connection, Token};
pub use error::ClientError;
pub use refused::{RefusedLine, RefusedLines};
pub use retry::Backoff;
pub use split::{Batch, LineSplitter, SplitError};
pub use upload::{Source, UploadError, UploadSettings, Uploaded, Uploader};

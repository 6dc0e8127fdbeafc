//! A client of a Neap or InfluxDB 3 server, with the part of its HTTP API that the commands need.
//!
//! | item | contents |
//! |---|---|
//! | [`Client`] | requests with a token; refusals as errors |
//! | [`LineSplitter`] | splits line protocol of any length into bodies of bounded length |
//! | [`Uploader`] | sends many such bodies concurrently, with retries, and collects refused lines |

mod api;
mod error;
mod refused;
mod retry;
mod split;
mod upload;

pub use api::{Client, ClientSettings, Token};
pub use error::ClientError;
pub use refused::{RefusedLine, RefusedLines};
pub use retry::Backoff;
pub use split::{LineBatch, LineSplitter, SplitError};
pub use upload::{InputSource, UploadError, UploadSettings, UploadStats, Uploader};

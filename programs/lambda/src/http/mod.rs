//! HTTP over Lambda events: converts events to requests and responses to JSON.
//!
//! ```text
//!   event (JSON) ── HttpEvent ── http::Request ── router of the function ── http::Response ── Answer (JSON)
//!                  four sources, three shapes                              │
//!                                                                            └─ larger than the limit: 303 to results/
//! ```
//!
//! Neap parses the events itself instead of using `lambda_http`, because `lambda_http` parses an event up to three
//! times, including the body; panics on invalid headers and on bodies that are not valid base64; takes only one of
//! several headers with the same name; and does not limit the size of responses.

mod error;
mod event;
mod function;
mod json_object;
mod large_responses;
mod response;
mod streamed_response;

pub use self::{
    error::BodyErrorMapper,
    event::{EventError, HttpEvent, HttpEventRequest, HttpSource},
    function::{HttpFunction, HttpFunctionParts, RouteProvider},
    response::HttpEventResponse,
    streamed_response::ReplyStream,
};
pub(crate) use self::{error::panic_error, streamed_response::stream_from_memory};

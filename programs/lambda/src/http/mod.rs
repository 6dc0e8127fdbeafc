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

mod event;
mod function;
mod json_object;
mod large_responses;
mod response;

pub(crate) use self::function::{panic_error, stream_from_memory};
pub use self::{
    event::{EventError, HttpEvent, HttpEventRequest, HttpSource},
    function::{BodyErrorMapper, HttpFunction, HttpFunctionParts, ReplyStream, RouteProvider},
    response::HttpEventResponse,
};

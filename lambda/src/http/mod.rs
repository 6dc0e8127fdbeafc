//! HTTP as events have it: requests in, answers out.
//!
//! ```text
//!   event (JSON) ── HttpEvent ── http::Request ── router of the function ── http::Response ── Answer (JSON)
//!                  four sources, three shapes                              │
//!                                                                            └─ larger than the limit: 303 to results/
//! ```
//!
//! The shapes are taken apart here and not by `lambda_http`, which parses an event up to three times, body and
//! all, panics where a header or a body in base64 is not what it says, takes one of several headers of a name, and
//! knows no limit for what it sends back.

mod answer;
mod event;
mod function;
mod large;
mod object;

pub(crate) use self::function::{in_pieces, panicked};
pub use self::{
    answer::Answer,
    event::{EventError, HttpEvent, Incoming, Source},
    function::{FaultOfBody, HttpFunction, HttpParts, ReplyStream, Served},
};

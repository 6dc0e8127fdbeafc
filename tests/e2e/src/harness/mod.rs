//! The test harness: processes, stores, HTTP, and waiting with timeouts.

mod binaries;
mod command;
mod http;
mod neap;
mod receiver;
mod store;
mod wait;

pub(crate) use self::{
    binaries::{lambda_binary, lambda_local_binary, neap_binary, repository, s3_server_binary},
    command::{CommandOutput, neap, neap_with_input, output_of, program, words},
    http::{Reply, STAMP, ServerClient, StoreRequests, gzip},
    neap::NeapProcess,
    receiver::receive,
    store::{CATALOG_AGE, StoreFixture},
    wait::{now, pause, try_wait_for, wait_for},
};

/// Asserts that a text has a part, and shows the text otherwise.
macro_rules! assert_contains {
    ($text:expr, $part:expr $(,)?) => {{
        let text = &$text;
        assert!(text.contains($part), "{text}");
    }};
}
pub(crate) use assert_contains;

/// Declares tests that are one call each.
macro_rules! tests {
    ($($(#[$doc:meta])* $name:ident => $call:expr;)*) => {
        $(
            $(#[$doc])*
            #[test]
            fn $name() {
                $call;
            }
        )*
    };
}
pub(crate) use tests;

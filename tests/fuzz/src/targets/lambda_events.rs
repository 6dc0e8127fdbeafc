//! Events of AWS Lambda.

use neap_lambda::{compact::CompactEvent, http::HttpEvent};

/// An event is a request of HTTP, a task of the compact function, or refused.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    CompactEvent::parse(text).ok();
    for base_path in ["", "/neap"] {
        let Ok(event) = serde_json::from_str::<HttpEvent>(text) else {
            return;
        };
        event.name();
        event.is_through_gateway();
        let source = event.source();
        let request = event.into_request(base_path);
        assert!(source.is_ok() || request.is_err());
    }
}

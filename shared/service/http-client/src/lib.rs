//! Rules that all HTTP clients share: bodies with a maximum size, names in paths, further certificate authorities,
//! and servers on this machine.

mod certificates;
mod path_segment;
mod response_body;
mod this_machine;

pub use certificates::{CertificatesError, read_certificates};
pub use path_segment::{PathSegmentError, path_segment};
pub use response_body::{ResponseBodyError, read_response, read_response_start};
pub use this_machine::is_this_machine;

//! The version of workers.

use crate::{REVISION, VERSION};

/// Returns the version of workers. A coordinator and its workers are of the same build.
pub(super) fn version_of_workers() -> String {
    format!("{VERSION}-{REVISION}")
}

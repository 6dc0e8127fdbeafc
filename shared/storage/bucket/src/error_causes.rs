//! The texts of errors whose messages leave out their causes.

use std::{error::Error, iter};

/// Returns the text of an error with all its causes, which errors of HTTP clients and of the SDK of AWS do not repeat.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(Some(error), |cause| (**cause).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

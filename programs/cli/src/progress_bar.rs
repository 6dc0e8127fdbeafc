//! Progress bars of commands.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows a bar on the standard error.
pub(crate) fn visible(bar: ProgressBar, template: &str) -> ProgressBar {
    bar.set_draw_target(ProgressDrawTarget::stderr());
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

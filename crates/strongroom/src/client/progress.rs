//! Progress bars on standard error; none where it is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over `total` bytes, or a counter where the total is not known.
pub(super) fn bytes(what: &str, total: Option<u64>, quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(total, target);
    let template = match total {
        Some(_) => "{msg:30!} {bar:25} {bytes:>11}/{total_bytes:<11} {binary_bytes_per_sec:>13} {eta:>4}",
        None => "{msg:30!} {spinner} {bytes:>11} {binary_bytes_per_sec:>13}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("█▌ "));
    }
    bar.set_message(what.to_owned());
    bar
}

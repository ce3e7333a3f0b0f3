//! What page files count, for whoever watches the server.

use metrics::{Counter, counter};
use strongroom_telemetry::names;

/// Handles, made once for each file: looking a name up would cost as much as what is counted.
#[derive(Debug)]
pub(super) struct Figures {
    /// Data pages read and opened.
    pub(super) read: Counter,
    /// Data pages sealed and written.
    pub(super) written: Counter,
    /// Lookups of entries that found their tag page in memory.
    pub(super) tag_hits: Counter,
    /// And those that did not.
    pub(super) tag_misses: Counter,
}

impl Figures {
    pub(super) fn new() -> Self {
        Self {
            read: counter!(names::PAGES_READ),
            written: counter!(names::PAGES_WRITTEN),
            tag_hits: counter!(names::TAG_CACHE_HITS),
            tag_misses: counter!(names::TAG_CACHE_MISSES),
        }
    }
}

//! Every metric of the workspace, in one place.
//!
//! Names follow the Prometheus rules: prefix, subject, unit, `_total` for counters. A histogram named
//! `…_seconds` is in seconds. Label values come from small fixed sets.

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution with these upper bounds.
    Histogram(&'static [f64]),
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things: requests, pages, keys.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
}

/// One metric's description.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// The full name.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
    /// Its label names; a metric without labels is shown from the start with the value 0.
    pub labels: &'static [&'static str],
    /// One sentence for the operator.
    pub help: &'static str,
}

/// Requests and KMS calls: from half a millisecond, which a cached read takes, to half a minute, which is past
/// what clients wait.
pub const REQUEST_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Disk synchronisation and calls that stay inside the process: from 50 microseconds.
pub const FAST_SECONDS: &[f64] =
    &[0.000_05, 0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Background work: up to ten minutes.
pub const WORK_SECONDS: &[f64] =
    &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
/// How many things share one act.
pub const BATCH_COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

macro_rules! metrics {
    ($($const:ident = $name:literal, $kind:expr, $unit:ident, [$($label:literal),*], $help:literal;)+) => {
        $(#[doc = $help] pub const $const: &str = $name;)+

        /// All of them, in the order of this file.
        pub const ALL: &[Metric] = &[$(Metric {
            name: $name,
            kind: { use Kind::*; $kind },
            unit: Unit::$unit,
            labels: &[$($label),*],
            help: $help,
        },)+];
    };
}

metrics! {
    // The S3 face.
    S3_REQUESTS = "strongroom_s3_requests_total", Counter, Count, ["operation", "status"],
        "S3 requests answered, by operation and HTTP status class (2xx, 3xx, 4xx, 5xx).";
    S3_REQUEST_SECONDS = "strongroom_s3_request_seconds", Histogram(REQUEST_SECONDS), Seconds, ["operation"],
        "Time from a request's header to the last byte of its answer.";
    S3_FIRST_BYTE_SECONDS = "strongroom_s3_first_byte_seconds", Histogram(REQUEST_SECONDS), Seconds, ["operation"],
        "Time from a request's header to the first byte of its answer.";
    S3_ERRORS = "strongroom_s3_errors_total", Counter, Count, ["operation", "code"],
        "S3 requests answered with an error, by operation and S3 error code.";
    S3_REQUESTS_OPEN = "strongroom_s3_requests_open", Gauge, Count, [],
        "S3 requests being served.";
    S3_RECEIVED_BYTES = "strongroom_s3_received_bytes_total", Counter, Bytes, [],
        "Bytes of request bodies received from S3 clients.";
    S3_SENT_BYTES = "strongroom_s3_sent_bytes_total", Counter, Bytes, [],
        "Bytes of answer bodies sent to S3 clients.";
    S3_CONNECTIONS = "strongroom_s3_connections_total", Counter, Count, [],
        "Connections accepted by the S3 listener.";
    S3_CONNECTIONS_OPEN = "strongroom_s3_connections_open", Gauge, Count, [],
        "Connections open at the S3 listener.";
    S3_CONNECTIONS_REFUSED = "strongroom_s3_connections_refused_total", Counter, Count, ["reason"],
        "Connections closed before a request was served, by reason (limit, tls, timeout).";

    // Objects.
    LIFECYCLE_EXPIRED = "strongroom_lifecycle_expired_total", Counter, Count, ["what"],
        "Objects, versions, delete markers and uploads that lifecycle rules removed.";
    LIFECYCLE_FAILED = "strongroom_lifecycle_failed_total", Counter, Count, ["what"],
        "What was due by a lifecycle rule and could not be removed.";
    OBJECTS_OPERATIONS = "strongroom_objects_operations_total", Counter, Count, ["operation", "outcome"],
        "Operations on buckets and objects, by operation and outcome (ok, refused, failed).";
    OBJECTS_WRITTEN = "strongroom_objects_written_total", Counter, Count, ["sse", "place"],
        "Object versions and parts written, by kind of encryption (s3, kms, customer) and place (inline, blob).";
    OBJECTS_SEALED_BYTES = "strongroom_objects_sealed_bytes_total", Counter, Bytes, [],
        "Plaintext bytes sealed.";
    OBJECTS_OPENED_BYTES = "strongroom_objects_opened_bytes_total", Counter, Bytes, [],
        "Plaintext bytes opened.";
    OBJECT_CACHE_LOOKUPS = "strongroom_object_cache_lookups_total", Counter, Count, ["outcome"],
        "Small objects looked for among those kept in memory, opened, by outcome (hit, miss).";
    OBJECT_CACHE_BYTES = "strongroom_object_cache_bytes", Gauge, Bytes, [],
        "Memory of small objects that are kept opened.";
    OBJECTS_SSE_ERRORS = "strongroom_objects_sse_errors_total", Counter, Count, ["sse", "error"],
        "Objects that could not be sealed or opened, by kind of encryption and error.";
    BLOBS_WRITTEN = "strongroom_blobs_written_total", Counter, Count, [],
        "Blob files made durable.";
    BLOBS_WRITTEN_BYTES = "strongroom_blobs_written_bytes_total", Counter, Bytes, [],
        "Bytes of blob files made durable, sealed.";
    BLOBS_READ_BYTES = "strongroom_blobs_read_bytes_total", Counter, Bytes, [],
        "Bytes read from blob files, sealed.";
    BLOBS_COLLECTED = "strongroom_blobs_collected_total", Counter, Count, ["reason"],
        "Blob files removed, by reason (deleted, orphan); one that copies of its object share is counted for each name.";
    BLOBS_COLLECTED_BYTES = "strongroom_blobs_collected_bytes_total", Counter, Bytes, [],
        "Bytes of the blob files removed. A file that copies of its object share under several names is counted with the last.";
    BLOB_SYNC_SECONDS = "strongroom_blobs_sync_seconds", Histogram(FAST_SECONDS), Seconds, [],
        "Time to make one blob file and its directory durable.";
    EVENTS_PENDING = "strongroom_events_pending", Gauge, Count, ["target"],
        "Events of objects that wait for a webhook.";
    EVENTS_OLDEST_SECONDS = "strongroom_events_oldest_seconds", Gauge, Seconds, ["target"],
        "Age of the oldest event that waits for a webhook.";
    EVENTS_DELIVERED = "strongroom_events_delivered_total", Counter, Count, ["target"],
        "Events that a webhook answered with success.";
    EVENTS_FAILED = "strongroom_events_failed_total", Counter, Count, ["target", "reason"],
        "Attempts to send an event that failed: the target is in trouble, or does not want the event.";
    EVENTS_DROPPED = "strongroom_events_dropped_total", Counter, Count, ["reason"],
        "Events that were not delivered: the queue was full, they were too old or refused, their bucket went, their row was damaged.";
    UPLOADS_OPEN = "strongroom_uploads_open", Gauge, Count, [],
        "Multipart uploads begun and neither completed nor aborted since the process started.";

    // Key management.
    KMS_CALLS = "strongroom_kms_calls_total", Counter, Count, ["provider", "operation"],
        "Calls to the key management service, by provider and operation.";
    KMS_ERRORS = "strongroom_kms_errors_total", Counter, Count, ["provider", "operation", "error"],
        "Calls to the key management service that failed, by provider, operation and error.";
    KMS_CALL_SECONDS = "strongroom_kms_call_seconds", Histogram(FAST_SECONDS), Seconds, ["provider", "operation"],
        "Time of calls to the key management service.";
    KMS_CACHE_HITS = "strongroom_kms_cache_hits_total", Counter, Count, [],
        "Data keys found in memory instead of being asked for.";
    KMS_CACHE_MISSES = "strongroom_kms_cache_misses_total", Counter, Count, [],
        "Data keys that had to be asked for.";
    KMS_KEYS = "strongroom_kms_keys", Gauge, Count, ["provider", "state"],
        "Keys at the key management service, by state (enabled, disabled, pending_deletion).";

    // The store: commits and the log.
    COMMITS = "strongroom_store_commits_total", Counter, Count, ["outcome"],
        "Commands given to the store, by outcome (applied, refused, failed).";
    COMMIT_SECONDS = "strongroom_store_commit_seconds", Histogram(REQUEST_SECONDS), Seconds, [],
        "Time from giving a command to the store until it is durable and applied.";
    STORE_POISONED = "strongroom_store_poisoned", Gauge, Count, [],
        "1 if a failed write made the store refuse further commits until it is restarted.";
    STORE_DAMAGE = "strongroom_store_damage_total", Counter, Count, ["what"],
        "Stored bytes that did not authenticate, by kind of file (page, root, log, mark, keyring, blob, entry).";
    LOG_APPENDS = "strongroom_log_appends_total", Counter, Count, [],
        "Frames appended to the log.";
    LOG_APPENDED_BYTES = "strongroom_log_appended_bytes_total", Counter, Bytes, [],
        "Bytes appended to the log, sealed.";
    LOG_FSYNCS = "strongroom_log_fsyncs_total", Counter, Count, [],
        "Times the log was made durable.";
    LOG_FSYNC_SECONDS = "strongroom_log_fsync_seconds", Histogram(FAST_SECONDS), Seconds, [],
        "Time to make the log durable once.";
    LOG_COMMANDS_PER_FSYNC = "strongroom_log_commands_per_fsync", Histogram(BATCH_COUNTS), Count, [],
        "Commands that became durable together.";
    LOG_BYTES = "strongroom_log_bytes", Gauge, Bytes, [],
        "Bytes of log segments on disk.";
    LOG_SEGMENTS = "strongroom_log_segments", Gauge, Count, [],
        "Log segments on disk.";
    LOG_APPENDED_LSN = "strongroom_log_appended_lsn", Gauge, Count, [],
        "Log sequence number of the newest command appended.";
    LOG_APPLIED_LSN = "strongroom_log_applied_lsn", Gauge, Count, [],
        "Log sequence number of the newest command applied.";

    // The store: pages, groups, checkpoints, recovery.
    PAGES_READ = "strongroom_pages_read_total", Counter, Count, [],
        "Pages read from disk and opened, because no cache in memory had them.";
    PAGES_WRITTEN = "strongroom_pages_written_total", Counter, Count, [],
        "Pages sealed and written to disk.";
    TAG_CACHE_HITS = "strongroom_pages_tags_cache_hits_total", Counter, Count, [],
        "Times the tags of pages were found in memory.";
    TAG_CACHE_MISSES = "strongroom_pages_tags_cache_misses_total", Counter, Count, [],
        "Times the tags of pages had to be read from disk first.";
    GROUPS = "strongroom_groups", Gauge, Count, [],
        "Groups in the keyring: one per bucket and the system group.";
    GROUPS_OPEN = "strongroom_groups_open", Gauge, Count, [],
        "Groups whose page file is open.";
    GROUPS_FAILED = "strongroom_groups_failed", Gauge, Count, [],
        "Groups whose pages are damaged or cannot be read, so that their bucket answers errors while the others go on.";
    GROUPS_IN_MEMORY = "strongroom_groups_in_memory", Gauge, Count, [],
        "Groups whose pages are kept in memory, and their log on the disk, until the disk has space for them.";
    GROUP_OPENS = "strongroom_groups_opened_total", Counter, Count, [],
        "Times a group's page file was opened.";
    GROUP_CLOSES = "strongroom_groups_closed_total", Counter, Count, [],
        "Times a group's page file was closed to make room for another.";
    CHECKPOINTS = "strongroom_checkpoints_total", Counter, Count, ["outcome"],
        "Checkpoints, by outcome (ok, failed).";
    CHECKPOINT_SECONDS = "strongroom_checkpoint_seconds", Histogram(WORK_SECONDS), Seconds, [],
        "Time of a checkpoint.";
    RECOVERY_SECONDS = "strongroom_recovery_seconds", Gauge, Seconds, [],
        "Time the last start spent on recovery.";
    RECOVERY_COMMANDS = "strongroom_recovery_replayed_commands", Gauge, Count, [],
        "Commands the last start replayed from the log.";
    RECOVERY_CUT_BYTES = "strongroom_recovery_cut_bytes", Gauge, Bytes, [],
        "Bytes of unacknowledged log tail that the last start cut off.";

    // Keys of groups and their rotation.
    KEYS = "strongroom_keys", Gauge, Count, ["state"],
        "Keys of groups in the keyring, by state (active, readable, retired).";
    KEY_AGE_SECONDS = "strongroom_keys_active_age_max_seconds", Gauge, Seconds, [],
        "Age of the oldest key that seals.";
    KEY_SEALS = "strongroom_keys_active_seals_max", Gauge, Count, [],
        "How often the most used of the keys that seal did so, as an upper bound.";
    KEY_SEALED_BYTES = "strongroom_keys_active_sealed_max_bytes", Gauge, Bytes, [],
        "How much the most used of the keys that seal sealed, as an upper bound.";
    KEYS_USED_UP = "strongroom_keys_used_up", Gauge, Count, [],
        "Keys that sealed as often as a key may and have no successor: their groups take no writes.";
    KEY_ROTATIONS = "strongroom_keys_rotated_total", Counter, Count, [],
        "New keys of groups, asked for or because the old one came to a limit.";
    KEY_RETIREMENTS = "strongroom_keys_retired_total", Counter, Count, [],
        "Keys of groups that nothing needed any more.";
    ROOT_KEY_VERSION = "strongroom_root_key_version", Gauge, Count, [],
        "Version of the root key that wraps the keyring.";
    ROOT_KEYS_WRAPPING = "strongroom_root_keys_wrapping", Gauge, Count, [],
        "Versions of root keys that wrap keys of groups; more than 1 only while a change is unfinished.";
    RESEAL_PAGES_LEFT = "strongroom_reseal_pages_left", Gauge, Count, [],
        "Pages of which an older key of their group may still seal some, at most.";
    RESEAL_GROUPS_LEFT = "strongroom_reseal_groups_left", Gauge, Count, [],
        "Groups with a key that is to retire.";
    RESEAL_MOVED_BYTES = "strongroom_reseal_moved_bytes_total", Counter, Bytes, [],
        "Bytes of pages and rows that were moved to newer keys.";
    RESEAL_RATE_BYTES = "strongroom_reseal_rate_limit_bytes", Gauge, Bytes, [],
        "The most that re-sealing moves in a second; 0 is no limit.";
    RESEAL_PAUSED = "strongroom_reseal_paused", Gauge, Count, [],
        "1 while re-sealing is paused, else 0.";

    // REST and health.
    API_REQUESTS = "strongroom_api_requests_total", Counter, Count, ["route", "status"],
        "Requests to the API listener, by route and HTTP status.";
    API_CONNECTIONS_OPEN = "strongroom_api_connections_open", Gauge, Count, [],
        "Connections open at the API listener.";
    READY = "strongroom_ready", Gauge, Count, ["check"],
        "1 if the last readiness check of this part succeeded, else 0 (kms, store).";
    READY_PROBE_SECONDS = "strongroom_ready_probe_seconds", Histogram(REQUEST_SECONDS), Seconds, ["check"],
        "Time of readiness checks that were really tried.";

    // The process.
    BUILD_INFO = "strongroom_build_info", Gauge, Count, ["version"],
        "Always 1; the label is the program's version.";
    PROCESS_RESIDENT_BYTES = "strongroom_process_resident_bytes", Gauge, Bytes, [],
        "Memory of the process that is in RAM.";
    PROCESS_RESIDENT_PEAK_BYTES = "strongroom_process_resident_peak_bytes", Gauge, Bytes, [],
        "Most memory of the process that was in RAM at once.";
    PROCESS_OPEN_FILES = "strongroom_process_open_files", Gauge, Count, [],
        "File descriptors the process holds.";
    PROCESS_THREADS = "strongroom_process_threads", Gauge, Count, [],
        "Threads of the process.";
    PROCESS_START_SECONDS = "strongroom_process_start_time_seconds", Gauge, Seconds, [],
        "When the process started, in seconds since 1970.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_say_what_they_count() {
        for metric in ALL {
            let name = metric.name;
            assert!(name.starts_with("strongroom_"), "{name}");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{name}"
            );
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            let stem = name.strip_suffix("_total").unwrap_or(name);
            assert_eq!(stem.ends_with("_bytes"), metric.unit == Unit::Bytes, "{name}");
            assert_eq!(stem.ends_with("_seconds"), metric.unit == Unit::Seconds, "{name}");
            assert!(metric.help.ends_with('.') && metric.help.len() > 10, "{name}");
        }
    }

    #[test]
    fn no_name_is_used_twice() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn buckets_ascend() {
        for metric in ALL {
            if let Kind::Histogram(bounds) = metric.kind {
                assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{}", metric.name);
            }
        }
        assert_eq!((REQUEST_SECONDS.first(), REQUEST_SECONDS.last()), (Some(&0.0005), Some(&30.0)));
    }
}

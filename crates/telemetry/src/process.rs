//! What the operating system says of this process. Where it does not say, the gauges are absent.

use std::fs;

use metrics::gauge;

use crate::names;

/// Sets the process gauges from `/proc/self`.
pub(crate) fn observe() {
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        for line in status.lines() {
            let Some((field, value)) = line.split_once(':') else { continue };
            let Some(number) = value.split_whitespace().next().and_then(|text| text.parse::<f64>().ok())
            else {
                continue;
            };
            match field {
                // The kernel writes "kB" and means KiB.
                "VmRSS" => gauge!(names::PROCESS_RESIDENT_BYTES).set(number * 1024.0),
                "VmHWM" => gauge!(names::PROCESS_RESIDENT_PEAK_BYTES).set(number * 1024.0),
                "Threads" => gauge!(names::PROCESS_THREADS).set(number),
                _ => {}
            }
        }
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        // One of them is the directory that is being read.
        let open = u32::try_from(entries.count().saturating_sub(1)).unwrap_or(u32::MAX);
        gauge!(names::PROCESS_OPEN_FILES).set(open);
    }
}

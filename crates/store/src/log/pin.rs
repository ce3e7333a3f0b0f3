//! Keeping the log from giving back what a reader still needs (`docs/spec/backup.md` §7).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::LogError;
use super::format::SegmentId;
use super::reader::{Read, SegmentReader};
use super::recover::{Record, show};
use super::segment::Surroundings;
use crate::Lsn;

/// Segments that are being read, with how many read from there on.
#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<BTreeMap<SegmentId, usize>>);

/// While it lives, no segment from its own on is given back.
#[derive(Debug)]
pub(crate) struct Pin {
    pins: Arc<Pins>,
    around: Surroundings,
    /// The newest segment when the pin was made.
    pub(crate) segment: SegmentId,
    /// The last record then. All up to it were durable.
    pub(crate) last: Lsn,
}

impl Pins {
    /// The first segment that is being read.
    pub(super) fn lowest(&self) -> Option<SegmentId> {
        self.pinned().keys().next().copied()
    }

    fn pinned(&self) -> MutexGuard<'_, BTreeMap<SegmentId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pin {
    pub(super) fn new(pins: &Arc<Pins>, around: Surroundings, segment: SegmentId, last: Lsn) -> Self {
        *pins.pinned().entry(segment).or_default() += 1;
        Self { pins: Arc::clone(pins), around, segment, last }
    }

    /// Shows the records past the pin up to `to`, which are durable, in LSN order.
    pub(crate) fn read<E: From<LogError>>(
        &self,
        to: Lsn,
        mut visit: impl FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut id = self.segment;
        loop {
            let mut reader = SegmentReader::open(&self.around, id)?;
            let mut at = reader.start();
            while at.next <= to {
                match reader.read(&at)? {
                    Read::Frame { header, end, opened } => {
                        if opened && header.last() > self.last {
                            show(&reader, &header, &mut |record: Record<'_>| {
                                if record.lsn > self.last { visit(record) } else { Ok(()) }
                            })?;
                        }
                        at = end;
                    }
                    Read::End => break,
                    Read::Bad(fault) => return Err(reader.damage(&at, fault).into()),
                }
            }
            if at.next > to {
                return Ok(());
            }
            id = id.next();
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pinned = self.pins.pinned();
        if let Some(count) = pinned.get_mut(&self.segment) {
            *count -= 1;
            if *count == 0 {
                pinned.remove(&self.segment);
            }
        }
    }
}

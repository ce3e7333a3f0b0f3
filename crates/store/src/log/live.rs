//! Reading the log while it is written to: for pages that have to be made from it again.

use super::error::{LogError, LogFault};
use super::format::SegmentId;
use super::reader::{Read, SegmentReader};
use super::recover::{Record, show};
use super::segment::Surroundings;
use crate::{GroupId, Lsn};

/// Shows the records of one group from LSN `from` to `to`, in order. All of them must be durable, and none of them may be
/// released meanwhile.
pub(crate) fn range<E: From<LogError>>(
    around: &Surroundings,
    group: GroupId,
    from: Lsn,
    to: Lsn,
    mut visit: impl FnMut(Record<'_>) -> Result<(), E>,
) -> Result<(), E> {
    if from > to {
        return Ok(());
    }
    for id in segments(around, from)? {
        let mut reader = SegmentReader::open(around, id)?;
        let mut at = reader.start();
        loop {
            if at.next > to {
                return Ok(());
            }
            match reader.read(&at)? {
                Read::Frame { header, end, opened } => {
                    if opened && header.group == group && header.last() >= from {
                        show(&reader, &header, &mut |record: Record<'_>| {
                            if record.lsn < from || record.lsn > to { Ok(()) } else { visit(record) }
                        })?;
                    }
                    at = end;
                }
                Read::End => break,
                Read::Bad(fault) => return Err(reader.damage(&at, fault).into()),
            }
        }
    }
    // What was durable is not there.
    let newest = around.disk.list(&around.dir).map_err(LogError::io("list", &around.dir))?;
    let segment = newest.iter().filter_map(|name| SegmentId::from_file_name(name)).max();
    let segment = segment.unwrap_or(SegmentId::FIRST);
    Err(LogError::Damage { segment, offset: 0, lsn: to, fault: LogFault::Short }.into())
}

/// The segments that can hold records from `from` on, oldest first.
fn segments(around: &Surroundings, from: Lsn) -> Result<Vec<SegmentId>, LogError> {
    let names = around.disk.list(&around.dir).map_err(LogError::io("list", &around.dir))?;
    let mut ids: Vec<_> = names.iter().filter_map(|name| SegmentId::from_file_name(name)).collect();
    ids.sort_unstable();
    let mut needed = Vec::new();
    for id in ids.into_iter().rev() {
        let base = match SegmentReader::open(around, id) {
            Ok(reader) => reader.header.base,
            // Released between the listing and this: nothing in it was needed, nor in those before it.
            Err(LogError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        };
        needed.push(id);
        if base <= from {
            break;
        }
    }
    needed.reverse();
    Ok(needed)
}

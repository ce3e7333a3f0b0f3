//! Making a segment's file (`docs/spec/log.md` §4).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_seal::Random;

use super::error::LogError;
use super::format::{Link, Previous, SALT_LEN, SEGMENT_HEADER_LEN, SegmentHeader, SegmentId};
use super::keys::{LogKeys, SegmentKeys};
use crate::disk::{Disk, DiskFile};
use crate::{GroupId, Lsn};

/// What making a segment needs from outside.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) keys: Arc<dyn LogKeys>,
    pub(crate) random: Arc<dyn Random>,
}

/// A segment that frames can be written to.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) path: PathBuf,
    pub(crate) keys: SegmentKeys,
    /// Where the next frame goes.
    pub(crate) position: u64,
    /// Where the file ends: behind `position` it has zeros.
    pub(crate) prepared: u64,
    /// How far the file is known to be synced.
    pub(crate) durable: u64,
    /// The last link.
    pub(crate) link: Link,
}

/// Why there is no new segment.
#[derive(Debug)]
pub(crate) struct NotMade {
    pub(crate) error: LogError,
    /// Whether its file may have the segment's name by now, so that nobody knows which segment is the newest.
    pub(crate) named: bool,
}

impl Segment {
    /// Makes a segment whose file is whole and durable before it has its name.
    pub(crate) fn create(
        around: &Surroundings,
        id: SegmentId,
        base: Lsn,
        previous: Previous,
    ) -> Result<Self, NotMade> {
        let path = around.dir.join(id.file_name());
        let new = temporary(&around.dir, id);
        let made = Self::write_header(around, id, base, previous, &new, &path).map_err(|error| {
            // Whether this works changes nothing: such a file is never read, and is replaced the next time.
            let _ = around.disk.remove(&new);
            NotMade { error, named: false }
        })?;
        around
            .disk
            .rename(&new, &path)
            .map_err(LogError::io("rename", &new))
            .and_then(|()| around.disk.sync_dir(&around.dir).map_err(LogError::io("sync", &around.dir)))
            .map_err(|error| NotMade { error, named: true })?;
        Ok(made)
    }

    fn write_header(
        around: &Surroundings,
        id: SegmentId,
        base: Lsn,
        previous: Previous,
        new: &Path,
        path: &Path,
    ) -> Result<Self, LogError> {
        let mut salt = [0; SALT_LEN];
        around.random.fill(&mut salt);
        let (source, random) = (Arc::clone(&around.keys), Arc::clone(&around.random));
        let keys = SegmentKeys::new(source, random, id, salt, None)?;
        let system = keys.system();
        let store = around.keys.store_id();
        let header = SegmentHeader { key_id: system.key_id, store, segment: id, base, salt, previous };
        let covered = header.covered();
        let context = SegmentHeader::context(&covered);
        let seal = system.cipher.seal(context.as_bytes(), &mut [], &*around.random);
        around.keys.used(GroupId::SYSTEM, system.key_id, 1, 0);
        if around.disk.exists(new).map_err(LogError::io("look for", new))? {
            around.disk.remove(new).map_err(LogError::io("remove", new))?;
        }
        let file = around.disk.create_new(new).map_err(LogError::io("create", new))?;
        file.write_at(&SegmentHeader::encode(&covered, &seal), 0).map_err(LogError::io("write", new))?;
        file.sync().map_err(LogError::io("sync", new))?;
        let end = SEGMENT_HEADER_LEN as u64;
        let path = path.to_path_buf();
        Ok(Self { id, file, path, keys, position: end, prepared: end, durable: end, link: Link(seal.tag) })
    }
}

/// Where a segment is while it is being made.
pub(crate) fn temporary(dir: &Path, id: SegmentId) -> PathBuf {
    dir.join(format!("{}.new", id.file_name()))
}

/// Whether a file of this name is a segment that never became part of the log.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.strip_suffix(".new").is_some_and(|name| SegmentId::from_file_name(name).is_some())
}

//! What a log shows without keys (`docs/spec/log.md` §7, the third read case).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::LogError;
use super::format::{
    FRAME_HEADER_LEN, FrameHeader, SEGMENT_HEADER_LEN, SegmentHeader, SegmentHeaderFault, SegmentId,
};
use crate::disk::{Disk, DiskFile};
use crate::{GroupId, Lsn};

/// One thing in a log. Nothing of it is authenticated, since that takes keys.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutlineItem {
    /// A segment starts.
    Segment {
        /// Its id, by the file's name.
        segment: SegmentId,
        /// The LSN of the first record that can stand in it.
        base: Lsn,
        /// The file's length in bytes.
        len: u64,
    },
    /// A frame.
    Frame {
        /// In which segment.
        segment: SegmentId,
        /// Where it starts, in bytes.
        offset: u64,
        /// The LSN of its first record.
        first: Lsn,
        /// How many records it holds.
        count: u16,
        /// Whose they are.
        group: GroupId,
        /// Which of the group's keys they are sealed under.
        key_id: u32,
        /// How long the sealed records are, in bytes.
        sealed_len: u32,
    },
    /// The rest of a segment is not a frame.
    Tail {
        /// In which segment.
        segment: SegmentId,
        /// Where it starts, in bytes.
        offset: u64,
        /// How long it is, in bytes.
        len: u64,
    },
}

/// Lists the log in `dir`, oldest segment first. Needs no key and changes nothing.
///
/// # Errors
/// What the file system says; the items carry the rest.
pub fn outline(disk: Arc<dyn Disk>, dir: &Path) -> Result<Outline, LogError> {
    let names = disk.list(dir).map_err(LogError::io("list", dir))?;
    let segments = names.iter().filter_map(|name| SegmentId::from_file_name(name)).collect();
    Ok(Outline { disk, dir: dir.to_path_buf(), segments, current: None })
}

/// The items of a log. Made by [`outline`].
#[derive(Debug)]
pub struct Outline {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segments: VecDeque<SegmentId>,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    segment: SegmentId,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    offset: u64,
    len: u64,
}

impl Iterator for Outline {
    type Item = Result<OutlineItem, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(mut current) = self.current.take()
            && current.offset < current.len
        {
            let item = current.item();
            self.current = Some(current);
            return Some(item);
        }
        let segment = self.segments.pop_front()?;
        Some(self.enter(segment))
    }
}

impl Outline {
    fn enter(&mut self, segment: SegmentId) -> Result<OutlineItem, LogError> {
        let path = self.dir.join(segment.file_name());
        let file = self.disk.open(&path).map_err(LogError::io("open", &path))?;
        let len = file.len().map_err(LogError::io("read", &path))?;
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        if len >= SEGMENT_HEADER_LEN as u64 {
            file.read_at(&mut bytes, 0).map_err(LogError::io("read", &path))?;
        }
        let (base, offset) = match SegmentHeader::decode(&bytes) {
            Ok((header, _)) => (header.base, SEGMENT_HEADER_LEN as u64),
            Err(SegmentHeaderFault::TooNew(version)) => return Err(LogError::TooNew { path, version }),
            Err(SegmentHeaderFault::NotOne) => return Ok(OutlineItem::Tail { segment, offset: 0, len }),
        };
        self.current = Some(Current { segment, path, file, offset, len });
        Ok(OutlineItem::Segment { segment, base, len })
    }
}

impl Current {
    fn item(&mut self) -> Result<OutlineItem, LogError> {
        let (segment, offset) = (self.segment, self.offset);
        let tail = OutlineItem::Tail { segment, offset, len: self.len - offset };
        self.offset = self.len;
        if offset + FRAME_HEADER_LEN as u64 > self.len {
            return Ok(tail);
        }
        let mut bytes = [0; FRAME_HEADER_LEN];
        self.file.read_at(&mut bytes, offset).map_err(LogError::io("read", &self.path))?;
        let Some((header, _)) = FrameHeader::decode(&bytes) else { return Ok(tail) };
        let end = offset + header.frame_len();
        if end > self.len {
            return Ok(tail);
        }
        self.offset = end;
        let FrameHeader { first, count, group, key_id, body_len, .. } = header;
        Ok(OutlineItem::Frame { segment, offset, first, count, group, key_id, sealed_len: body_len })
    }
}

//! What a log shows without keys (`docs/spec/log.md` §7, the third read case).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::LogError;
use super::format::{
    FRAME_HEADER_LEN, FRAME_MAGIC, FrameHeader, Link, Previous, SEGMENT_HEADER_LEN, SegmentHeader,
    SegmentHeaderFault, SegmentId,
};
use super::prepared;
use crate::disk::{Disk, DiskFile};
use crate::{GroupId, Lsn};

/// How much of a gap is searched at a time.
const WINDOW_LEN: u64 = 1 << 20;

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
        /// Which of the system group's keys its header is under.
        key_id: u32,
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
    /// What comes next does not continue what came before.
    Break {
        /// In which segment.
        segment: SegmentId,
        /// Where what comes next starts, in bytes.
        offset: u64,
        /// In which way.
        what: ChainBreak,
    },
    /// Bytes that are no frame, with frames behind them.
    Gap {
        /// In which segment.
        segment: SegmentId,
        /// Where it starts, in bytes.
        offset: u64,
        /// How long it is, in bytes.
        len: u64,
    },
    /// The rest of a segment is not a frame. In the newest segment that is what a crash leaves.
    Tail {
        /// In which segment.
        segment: SegmentId,
        /// Where it starts, in bytes.
        offset: u64,
        /// How long it is, in bytes.
        len: u64,
        /// Whether it is the newest segment.
        newest: bool,
    },
}

/// In which way the chain of segments and frames is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainBreak {
    /// The ids of segments have a gap.
    #[error("a segment before this one is missing")]
    MissingSegment,
    /// The segment's header names another predecessor, or another end of it.
    #[error("this segment does not continue the one before it")]
    Segment,
    /// The frame names another predecessor.
    #[error("this frame does not follow the one before it")]
    Frame,
    /// Records are missing or there twice.
    #[error("LSN {expected} should be next")]
    Lsn {
        /// The LSN that should be next.
        expected: Lsn,
    },
}

/// Lists the log in `dir`, oldest segment first. Needs no key and changes nothing.
///
/// # Errors
/// What the file system says; the items carry the rest.
pub fn outline(disk: Arc<dyn Disk>, dir: &Path) -> Result<Outline, LogError> {
    let names = disk.list(dir).map_err(LogError::io("list", dir))?;
    let segments = names.iter().filter_map(|name| SegmentId::from_file_name(name)).collect();
    Ok(Outline {
        disk,
        dir: dir.to_path_buf(),
        segments,
        current: None,
        before: None,
        ready: VecDeque::new(),
    })
}

/// The items of a log. Made by [`outline`].
#[derive(Debug)]
pub struct Outline {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segments: VecDeque<SegmentId>,
    current: Option<Current>,
    /// Where the segment before ended, by its frames.
    before: Option<(SegmentId, Place)>,
    /// Items that were found and not given yet.
    ready: VecDeque<OutlineItem>,
}

#[derive(Debug)]
struct Current {
    segment: SegmentId,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    at: Place,
    len: u64,
    newest: bool,
}

/// A place between frames.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    link: Link,
    next: Lsn,
}

impl Iterator for Outline {
    type Item = Result<OutlineItem, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            let result = match self.current.take() {
                Some(mut current) if current.at.offset < current.len => {
                    let result = current.read(&mut self.ready);
                    self.current = Some(current);
                    result
                }
                Some(current) => {
                    self.before = Some((current.segment, current.at));
                    continue;
                }
                None => {
                    let segment = self.segments.pop_front()?;
                    self.enter(segment)
                }
            };
            if let Err(error) = result {
                return Some(Err(error));
            }
        }
    }
}

impl Outline {
    fn enter(&mut self, segment: SegmentId) -> Result<(), LogError> {
        let path = self.dir.join(segment.file_name());
        let file = self.disk.open(&path).map_err(LogError::io("open", &path))?;
        let len = file.len().map_err(LogError::io("read", &path))?;
        let newest = self.segments.is_empty();
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        if len >= SEGMENT_HEADER_LEN as u64 {
            file.read_at(&mut bytes, 0).map_err(LogError::io("read", &path))?;
        }
        let (header, seal) = match SegmentHeader::decode(&bytes) {
            Ok(decoded) => decoded,
            Err(SegmentHeaderFault::TooNew(version)) => return Err(LogError::TooNew { path, version }),
            Err(SegmentHeaderFault::NotOne) => {
                self.before = None;
                self.ready.push_back(OutlineItem::Tail { segment, offset: 0, len, newest });
                return Ok(());
            }
        };
        if let Some((before, end)) = self.before.take() {
            let previous = Previous { segment: before.0, end: end.offset, link: end.link };
            let what = if before.next() != segment {
                Some(ChainBreak::MissingSegment)
            } else if header.previous != previous {
                Some(ChainBreak::Segment)
            } else if header.base != end.next {
                Some(ChainBreak::Lsn { expected: end.next })
            } else {
                None
            };
            self.ready.extend(what.map(|what| OutlineItem::Break { segment, offset: 0, what }));
        }
        let SegmentHeader { key_id, base, .. } = header;
        self.ready.push_back(OutlineItem::Segment { segment, base, key_id, len });
        let at = Place { offset: SEGMENT_HEADER_LEN as u64, link: Link(seal.tag), next: base };
        self.current = Some(Current { segment, path, file, at, len, newest });
        Ok(())
    }
}

impl Current {
    /// Reads what stands at the place, and goes on behind it.
    fn read(&mut self, found: &mut VecDeque<OutlineItem>) -> Result<(), LogError> {
        let (segment, offset) = (self.segment, self.at.offset);
        let Some((header, link)) = self.header_at(offset)? else {
            let next = self.next_frame(offset + 1)?;
            if let Some(next) = next {
                found.push_back(OutlineItem::Gap { segment, offset, len: next - offset });
                self.at.offset = next;
                return Ok(());
            }
            let io = LogError::io("read", &self.path);
            let len = match self.newest {
                true => prepared::written(&*self.file, offset, self.len).map_err(io)?,
                false => self.len - offset,
            };
            if len > 0 {
                found.push_back(OutlineItem::Tail { segment, offset, len, newest: self.newest });
            }
            self.len = offset;
            return Ok(());
        };
        let expected = self.at.next;
        let what = if header.previous != self.at.link {
            Some(ChainBreak::Frame)
        } else if header.first != expected {
            Some(ChainBreak::Lsn { expected })
        } else {
            None
        };
        found.extend(what.map(|what| OutlineItem::Break { segment, offset, what }));
        let next = Lsn(header.last().0.saturating_add(1));
        self.at = Place { offset: offset + header.frame_len(), link, next };
        let FrameHeader { first, count, group, key_id, body_len, .. } = header;
        found.push_back(OutlineItem::Frame {
            segment,
            offset,
            first,
            count,
            group,
            key_id,
            sealed_len: body_len,
        });
        Ok(())
    }

    /// The header of a frame that lies within the file.
    fn header_at(&self, offset: u64) -> Result<Option<(FrameHeader, Link)>, LogError> {
        if offset + FRAME_HEADER_LEN as u64 > self.len {
            return Ok(None);
        }
        let mut bytes = [0; FRAME_HEADER_LEN];
        self.file.read_at(&mut bytes, offset).map_err(LogError::io("read", &self.path))?;
        let found = FrameHeader::decode(&bytes);
        Ok(found
            .filter(|(header, _)| offset + header.frame_len() <= self.len)
            .map(|(header, seal)| (header, Link(seal.tag))))
    }

    /// Where the next thing is that looks like a frame.
    fn next_frame(&self, from: u64) -> Result<Option<u64>, LogError> {
        let mut window = Vec::new();
        let mut start = from;
        while start + FRAME_HEADER_LEN as u64 <= self.len {
            let len = (self.len - start).min(WINDOW_LEN);
            window.resize(usize::try_from(len).expect("a window is small"), 0);
            self.file.read_at(&mut window, start).map_err(LogError::io("read", &self.path))?;
            for (at, _) in window.windows(FRAME_MAGIC.len()).enumerate().filter(|(_, w)| w == FRAME_MAGIC) {
                if self.header_at(start + at as u64)?.is_some() {
                    return Ok(Some(start + at as u64));
                }
            }
            if len < WINDOW_LEN {
                break;
            }
            start += len - (FRAME_MAGIC.len() as u64 - 1);
        }
        Ok(None)
    }
}

//! Reading one segment, frame by frame, believing nothing (`docs/spec/log.md` §4, §5 and §8).

use std::path::PathBuf;
use std::sync::Arc;

use super::error::{LogError, LogFault};
use super::format::{
    self, FRAME_HEADER_LEN, FRAME_MAGIC, FrameHeader, Kind, Link, Payloads, SEGMENT_HEADER_LEN,
    SegmentHeader, SegmentHeaderFault, SegmentId,
};
use super::keys::{LogKeyError, SegmentKeys};
use super::prepared;
use super::segment::Surroundings;
use crate::Lsn;
use crate::disk::DiskFile;

/// How much of a tail is searched at a time.
const WINDOW_LEN: usize = 1 << 20;

/// A segment whose header is authentic.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    pub(crate) header: SegmentHeader,
    /// The file's length when it was opened.
    pub(crate) len: u64,
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    link: Link,
    keys: SegmentKeys,
    body: Vec<u8>,
}

/// A place between two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) offset: u64,
    /// The LSN of the next record.
    pub(crate) next: Lsn,
    pub(crate) link: Link,
}

/// What stands at a cursor.
#[derive(Debug)]
pub(crate) enum Read {
    /// A good frame. Its records are in the reader, unless its keys were forgotten or it was not wanted.
    Frame { header: FrameHeader, end: Cursor, opened: bool },
    /// The file ends here.
    End,
    /// Something else.
    Bad(LogFault),
}

impl SegmentReader {
    /// Opens the file of segment `id` and checks its header.
    pub(crate) fn open(around: &Surroundings, id: SegmentId) -> Result<Self, LogError> {
        let path = around.dir.join(id.file_name());
        let file = around.disk.open(&path).map_err(LogError::io("open", &path))?;
        let len = file.len().map_err(LogError::io("read", &path))?;
        let damage = |fault| LogError::Damage { segment: id, offset: 0, lsn: Lsn(0), fault };
        if len < SEGMENT_HEADER_LEN as u64 {
            return Err(damage(LogFault::Short));
        }
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        file.read_at(&mut bytes, 0).map_err(LogError::io("read", &path))?;
        let (header, seal) = match SegmentHeader::decode(&bytes) {
            Ok(decoded) => decoded,
            Err(SegmentHeaderFault::TooNew(version)) => return Err(LogError::TooNew { path, version }),
            Err(SegmentHeaderFault::NotOne) => return Err(damage(LogFault::Header)),
        };
        // Nothing vouches for the store id yet: it only makes the answer clearer than "does not open".
        if header.store != around.keys.store_id() {
            return Err(LogError::Foreign { segment: id });
        }
        let (source, random) = (Arc::clone(&around.keys), Arc::clone(&around.random));
        let keys = SegmentKeys::new(source, random, header.segment, header.salt, Some(header.key_id));
        // A key id that nobody knows is most likely a changed one.
        let keys = keys.map_err(|_| damage(LogFault::Header))?;
        let context = SegmentHeader::context(&header.covered());
        if keys.system().cipher.open(&seal, context.as_bytes(), &mut []).is_err() {
            return Err(damage(LogFault::Header));
        }
        if header.segment != id {
            return Err(LogError::Misplaced { segment: id, found: header.segment });
        }
        Ok(Self { header, len, file, path, link: Link(seal.tag), keys, body: Vec::new() })
    }

    /// The place of the first frame.
    pub(crate) fn start(&self) -> Cursor {
        Cursor { offset: SEGMENT_HEADER_LEN as u64, next: self.header.base, link: self.link }
    }

    pub(crate) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    pub(crate) fn path(&self) -> &PathBuf {
        &self.path
    }

    pub(crate) fn damage(&self, at: &Cursor, fault: LogFault) -> LogError {
        LogError::Damage { segment: self.header.segment, offset: at.offset, lsn: at.next, fault }
    }

    /// Reads what stands at `at`.
    ///
    /// # Errors
    /// A read that fails, a key that nobody knows, and a frame that is authentic but malformed.
    pub(crate) fn read(&mut self, at: &Cursor) -> Result<Read, LogError> {
        self.read_if(at, |_| true)
    }

    /// [`Self::read`] that passes over the bodies of frames that are not `wanted`, as if their keys were forgotten.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn read_if(
        &mut self,
        at: &Cursor,
        wanted: impl FnOnce(&FrameHeader) -> bool,
    ) -> Result<Read, LogError> {
        if at.offset == self.len {
            return Ok(Read::End);
        }
        let Some((header, link)) = self.header_at(at.offset)? else {
            let whole = at.offset + FRAME_HEADER_LEN as u64 <= self.len;
            return Ok(Read::Bad(if whole { LogFault::Header } else { LogFault::Short }));
        };
        if header.previous != at.link || header.first != at.next {
            return Ok(Read::Bad(LogFault::Chain));
        }
        let end = Cursor { offset: at.offset + header.frame_len(), next: Lsn(header.last().0 + 1), link };
        if end.offset > self.len {
            return Ok(Read::Bad(LogFault::Short));
        }
        if !wanted(&header) {
            return Ok(Read::Frame { header, end, opened: false });
        }
        let cipher = match self.keys.by_id(header.group, header.key_id) {
            Ok(cipher) => cipher,
            // The header is authentic, so the frame is of this group, and its records are gone on purpose.
            Err(LogKeyError::Forgotten { .. }) => return Ok(Read::Frame { header, end, opened: false }),
            Err(error) => return Err(error.into()),
        };
        self.body.resize(header.body_len as usize, 0); // authentic, and at most BODY_LEN_MAX
        let start = at.offset + FRAME_HEADER_LEN as u64;
        self.file.read_at(&mut self.body, start).map_err(LogError::io("read", &self.path))?;
        let context = header.body_context(self.header.segment, at.offset);
        if cipher.open(&header.body, context.as_bytes(), &mut self.body).is_err() {
            return Ok(Read::Bad(LogFault::Sealed));
        }
        if let Err(fault) = format::body(&self.body, header.count) {
            return Err(self.damage(at, fault));
        }
        Ok(Read::Frame { header, end, opened: true })
    }

    /// The records of the frame that was read and opened last.
    pub(crate) fn records(&self, header: &FrameHeader) -> Result<(Kind, Payloads<'_>), LogFault> {
        format::body(&self.body, header.count)
    }

    /// Whether anything behind `bad` proves that the frame there had been synced: an authentic header that says so.
    pub(crate) fn was_durable(&self, bad: &Cursor) -> Result<bool, LogError> {
        Ok(self.find_header(bad.offset + 1, |header| header.durable > bad.offset)?.is_some())
    }

    /// How many bytes behind `at` are no zeros that were written ahead.
    pub(crate) fn written_behind(&self, at: &Cursor) -> Result<u64, LogError> {
        prepared::written(&*self.file, at.offset, self.len).map_err(LogError::io("read", &self.path))
    }

    /// Where reading can go on behind what is bad at `bad`: with the next frame, or with the same one if only its
    /// place in the chain is wrong.
    pub(crate) fn resume(&self, bad: &Cursor) -> Result<Option<Cursor>, LogError> {
        if let Some((header, link)) = self.header_at(bad.offset)? {
            if header.previous != bad.link || header.first != bad.next {
                return Ok(Some(Cursor { offset: bad.offset, next: header.first, link: header.previous }));
            }
            let end =
                Cursor { offset: bad.offset + header.frame_len(), next: Lsn(header.last().0 + 1), link };
            return Ok((end.offset <= self.len).then_some(end));
        }
        let found = self.find_header(bad.offset + 1, |_| true)?;
        Ok(found.map(|(offset, header)| Cursor { offset, next: header.first, link: header.previous }))
    }

    /// The first authentic frame header from `start` on that is `wanted`.
    fn find_header(
        &self,
        start: u64,
        wanted: impl Fn(&FrameHeader) -> bool,
    ) -> Result<Option<(u64, FrameHeader)>, LogError> {
        let mut window = Vec::new();
        let mut start = start;
        while start + FRAME_HEADER_LEN as u64 <= self.len {
            // Windows overlap by a magic's length less one, so that none is missed between two.
            let len = (self.len - start).min(WINDOW_LEN as u64);
            window.resize(usize::try_from(len).unwrap_or(WINDOW_LEN), 0);
            self.file.read_at(&mut window, start).map_err(LogError::io("read", &self.path))?;
            for (at, _) in window.windows(FRAME_MAGIC.len()).enumerate().filter(|(_, w)| w == FRAME_MAGIC) {
                let offset = start + at as u64;
                if let Some((header, _)) = self.header_at(offset)?
                    && wanted(&header)
                {
                    return Ok(Some((offset, header)));
                }
            }
            start += len - (FRAME_MAGIC.len() as u64 - 1).min(len - 1);
            if len < WINDOW_LEN as u64 {
                break;
            }
        }
        Ok(None)
    }

    /// The authentic frame header at `offset`, if one is there.
    fn header_at(&self, offset: u64) -> Result<Option<(FrameHeader, Link)>, LogError> {
        if offset + FRAME_HEADER_LEN as u64 > self.len {
            return Ok(None);
        }
        let mut bytes = [0; FRAME_HEADER_LEN];
        self.file.read_at(&mut bytes, offset).map_err(LogError::io("read", &self.path))?;
        let Some((header, seal)) = FrameHeader::decode(&bytes) else { return Ok(None) };
        let context = FrameHeader::context(self.header.segment, offset, &header.covered());
        let opens = self.keys.system().cipher.open(&seal, context.as_bytes(), &mut []).is_ok();
        Ok(opens.then_some((header, Link(seal.tag))))
    }
}

//! Segment headers, frame headers and bodies as bytes (`docs/spec/log.md` §4 and §5). No file, no key.

use std::fmt;

use strongroom_seal::codec::{DecodeError, Reader};
use strongroom_seal::detached::Mark as Seal;
use strongroom_seal::{Context, Label, NONCE_LEN, TAG_LEN};

use super::error::LogFault;
use crate::{COMMAND_LEN_MAX, GroupId, Lsn};

pub(crate) const VERSION: u16 = 1;
pub(crate) const STORE_ID_LEN: usize = 16;
pub(crate) const SALT_LEN: usize = 32;

const SEGMENT_MAGIC: &[u8; 8] = b"SRlogseg";
/// The part of a segment header that its tag covers.
const SEGMENT_COVERED_LEN: usize = 112;
pub(crate) const SEGMENT_HEADER_LEN: usize = SEGMENT_COVERED_LEN + NONCE_LEN + TAG_LEN;
const _: () = assert!(SEGMENT_HEADER_LEN == 140, "the on-disk header is frozen");

pub(crate) const FRAME_MAGIC: &[u8; 4] = b"SRfr";
/// The part of a frame header that the body's tag covers.
const FRAME_BODY_COVERS_LEN: usize = 36;
/// The part of a frame header that its own tag covers.
const FRAME_COVERED_LEN: usize = FRAME_BODY_COVERS_LEN + NONCE_LEN + TAG_LEN + TAG_LEN;
pub(crate) const FRAME_HEADER_LEN: usize = FRAME_COVERED_LEN + NONCE_LEN + TAG_LEN;
const _: () = assert!(FRAME_HEADER_LEN == 108, "the on-disk header is frozen");

/// The longest payload of one record.
pub(crate) const PAYLOAD_LEN_MAX: usize = COMMAND_LEN_MAX;
/// What precedes a payload in a body.
pub(crate) const RECORD_OVERHEAD: usize = 4;
/// A body that is shorter than this can take one more record.
pub(crate) const BODY_LEN_SOFT: usize = 1 << 20;
pub(crate) const BODY_LEN_MAX: usize = PAYLOAD_LEN_MAX + (64 << 10);
const BODY_LEN_MIN: usize = 1 + RECORD_OVERHEAD;
pub(crate) const COUNT_MAX: usize = u16::MAX as usize;

/// Which segment. Ids start at 1, have no gaps, and are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId(pub u64);

impl SegmentId {
    pub(crate) const FIRST: Self = Self(1);

    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    pub(crate) fn file_name(self) -> String {
        format!("{self}.log")
    }

    /// The id in a segment's file name, if it is one.
    pub(crate) fn from_file_name(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(".log")?;
        let canonical = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if canonical { u64::from_str_radix(digits, 16).ok().map(Self) } else { None }
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The tag of a header: stands for the log up to and including what the header describes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link(pub(crate) [u8; TAG_LEN]);

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

/// What a record is. Inside the sealed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A command of the frame's group.
    Command = 1,
    /// A checkpoint record of the store.
    Checkpoint = 2,
}

impl Kind {
    fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Command),
            2 => Some(Self::Checkpoint),
            _ => None,
        }
    }
}

/// What a segment's header says of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Previous {
    /// 0 if there never was one.
    pub(crate) segment: u64,
    pub(crate) end: u64,
    pub(crate) link: Link,
}

impl Previous {
    pub(crate) const NONE: Self = Self { segment: 0, end: 0, link: Link([0; TAG_LEN]) };
}

/// A segment's header, before anything vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) key_id: u32,
    pub(crate) store: [u8; STORE_ID_LEN],
    pub(crate) segment: SegmentId,
    pub(crate) base: Lsn,
    pub(crate) salt: [u8; SALT_LEN],
    pub(crate) previous: Previous,
}

/// Why bytes are not a segment header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SegmentHeaderFault {
    NotOne,
    TooNew(u16),
}

impl SegmentHeader {
    /// The part that is authenticated, with its context.
    pub(crate) fn covered(&self) -> [u8; SEGMENT_COVERED_LEN] {
        let mut out = [0; SEGMENT_COVERED_LEN];
        let mut at = Put(&mut out, 0);
        at.put(SEGMENT_MAGIC).put(&VERSION.to_le_bytes()).put(&[0; 2]).put(&self.key_id.to_le_bytes());
        at.put(&self.store)
            .put(&self.segment.0.to_le_bytes())
            .put(&self.base.0.to_le_bytes())
            .put(&self.salt);
        at.put(&self.previous.segment.to_le_bytes()).put(&self.previous.end.to_le_bytes());
        at.put(&self.previous.link.0);
        out
    }

    pub(crate) fn context(covered: &[u8; SEGMENT_COVERED_LEN]) -> Context {
        Context::new(Label::LogSegmentHeader, covered)
    }

    pub(crate) fn encode(covered: &[u8; SEGMENT_COVERED_LEN], seal: &Seal) -> [u8; SEGMENT_HEADER_LEN] {
        let mut out = [0; SEGMENT_HEADER_LEN];
        Put(&mut out, 0).put(covered).put(&seal.nonce).put(&seal.tag);
        out
    }

    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEADER_LEN]) -> Result<(Self, Seal), SegmentHeaderFault> {
        Self::fields(bytes).map_err(|_| SegmentHeaderFault::NotOne).and_then(|fields| fields)
    }

    fn fields(
        bytes: &[u8; SEGMENT_HEADER_LEN],
    ) -> Result<Result<(Self, Seal), SegmentHeaderFault>, DecodeError> {
        let mut from = Reader::new(bytes);
        if from.array::<8>("magic")? != SEGMENT_MAGIC {
            return Ok(Err(SegmentHeaderFault::NotOne));
        }
        let version = from.u16("version")?;
        if version > VERSION {
            return Ok(Err(SegmentHeaderFault::TooNew(version)));
        }
        if version != VERSION || from.u16("reserved")? != 0 {
            return Ok(Err(SegmentHeaderFault::NotOne));
        }
        let header = Self {
            key_id: from.u32("key id")?,
            store: *from.array("store id")?,
            segment: SegmentId(from.u64("segment id")?),
            base: Lsn(from.u64("base LSN")?),
            salt: *from.array("salt")?,
            previous: Previous {
                segment: from.u64("previous segment")?,
                end: from.u64("previous end")?,
                link: Link(*from.array("previous link")?),
            },
        };
        let seal = Seal { nonce: *from.array("nonce")?, tag: *from.array("tag")? };
        from.finish("a segment header")?;
        Ok(Ok((header, seal)))
    }
}

/// A frame's header, before anything vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) body_len: u32,
    pub(crate) group: GroupId,
    pub(crate) key_id: u32,
    pub(crate) first: Lsn,
    /// How far this segment was known to be synced when the frame was sealed.
    pub(crate) durable: u64,
    pub(crate) count: u16,
    pub(crate) body: Seal,
    pub(crate) previous: Link,
}

impl FrameHeader {
    /// The LSN of the last record.
    pub(crate) fn last(&self) -> Lsn {
        Lsn(self.first.0.saturating_add(u64::from(self.count) - 1))
    }

    /// The whole frame's length.
    pub(crate) fn frame_len(&self) -> u64 {
        FRAME_HEADER_LEN as u64 + u64::from(self.body_len)
    }

    /// The fields that the body's tag covers. They do not depend on the body's seal.
    pub(crate) fn body_covers(&self) -> [u8; FRAME_BODY_COVERS_LEN] {
        let mut out = [0; FRAME_BODY_COVERS_LEN];
        let mut at = Put(&mut out, 0);
        at.put(FRAME_MAGIC).put(&self.body_len.to_le_bytes()).put(&self.group.0.to_le_bytes());
        at.put(&self.key_id.to_le_bytes()).put(&self.first.0.to_le_bytes());
        at.put(&self.durable.to_le_bytes()).put(&self.count.to_le_bytes()).put(&[0; 2]);
        out
    }

    /// The fields that the header's own tag covers.
    pub(crate) fn covered(&self) -> [u8; FRAME_COVERED_LEN] {
        let mut out = [0; FRAME_COVERED_LEN];
        Put(&mut out, 0)
            .put(&self.body_covers())
            .put(&self.body.nonce)
            .put(&self.body.tag)
            .put(&self.previous.0);
        out
    }

    pub(crate) fn body_context(&self, segment: SegmentId, offset: u64) -> Context {
        Context::new(Label::LogFrame, segment.0).and(offset).and(&self.body_covers())
    }

    pub(crate) fn context(segment: SegmentId, offset: u64, covered: &[u8; FRAME_COVERED_LEN]) -> Context {
        Context::new(Label::LogFrameHead, segment.0).and(offset).and(covered)
    }

    pub(crate) fn encode(covered: &[u8; FRAME_COVERED_LEN], seal: &Seal) -> [u8; FRAME_HEADER_LEN] {
        let mut out = [0; FRAME_HEADER_LEN];
        Put(&mut out, 0).put(covered).put(&seal.nonce).put(&seal.tag);
        out
    }

    /// The header in `bytes` with the seal over it, if they can be one.
    pub(crate) fn decode(bytes: &[u8; FRAME_HEADER_LEN]) -> Option<(Self, Seal)> {
        Self::fields(bytes).ok().flatten()
    }

    fn fields(bytes: &[u8; FRAME_HEADER_LEN]) -> Result<Option<(Self, Seal)>, DecodeError> {
        let mut from = Reader::new(bytes);
        if from.array::<4>("magic")? != FRAME_MAGIC {
            return Ok(None);
        }
        let header = Self {
            body_len: from.u32("body length")?,
            group: GroupId(from.u32("group")?),
            key_id: from.u32("key id")?,
            first: Lsn(from.u64("first LSN")?),
            durable: from.u64("durable")?,
            count: from.u16("count")?,
            body: {
                let reserved = from.u16("reserved")?;
                if reserved != 0 {
                    return Ok(None);
                }
                Seal { nonce: *from.array("body nonce")?, tag: *from.array("body tag")? }
            },
            previous: Link(*from.array("previous link")?),
        };
        let seal = Seal { nonce: *from.array("nonce")?, tag: *from.array("tag")? };
        from.finish("a frame header")?;
        let bounded = (BODY_LEN_MIN..=BODY_LEN_MAX).contains(&(header.body_len as usize));
        Ok((bounded && header.count > 0 && header.first.0 > 0).then_some((header, seal)))
    }
}

/// Takes a body apart that was opened: its kind and `count` payloads.
pub(crate) fn body(bytes: &[u8], count: u16) -> Result<(Kind, Payloads<'_>), LogFault> {
    let mut from = Reader::new(bytes);
    let kind = from.u8("kind").ok().and_then(Kind::from_number).ok_or(LogFault::Body)?;
    let payloads = Payloads { from: from.clone(), left: count };
    // One walk over the lengths first, so that no record of a malformed body is ever handed out.
    for _ in 0..count {
        from.bytes(PAYLOAD_LEN_MAX, "payload").map_err(|_| LogFault::Body)?;
    }
    from.finish("a frame body").map_err(|_| LogFault::Body)?;
    Ok((kind, payloads))
}

/// The payloads of a body.
#[derive(Debug, Clone)]
pub(crate) struct Payloads<'a> {
    from: Reader<'a>,
    left: u16,
}

impl<'a> Iterator for Payloads<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        self.from.bytes(PAYLOAD_LEN_MAX, "payload").ok()
    }
}

/// Fields one after the other in an array.
struct Put<'a>(&'a mut [u8], usize);

impl Put<'_> {
    fn put(&mut self, field: &[u8]) -> &mut Self {
        let end = self.1 + field.len();
        self.0[self.1..end].copy_from_slice(field);
        self.1 = end;
        self
    }
}

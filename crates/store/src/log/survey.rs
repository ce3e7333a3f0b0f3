//! Reading a log to its end, whatever is wrong with it (`docs/spec/log.md` §7, §8).
//!
//! Opening a log stops at the first damage. Here each one is shown, and reading goes on where authentic frames go on.
//! What counts as damage and what as a torn tail is decided as at opening.

use std::sync::Arc;

use super::error::{LogError, LogFault};
use super::format::{FrameHeader, Kind, Payloads, Previous, SegmentHeader, SegmentId};
use super::mark::{MarkFile, Proof};
use super::reader::{Cursor, Read, SegmentReader};
use super::recover::{Bounds, Checkpoint, clean_end};
use super::segment::Surroundings;
use crate::Lsn;

/// Something that was come across.
#[derive(Debug)]
pub(crate) enum Sight<'a> {
    /// An authentic segment begins.
    Segment { header: &'a SegmentHeader, len: u64 },
    /// A good frame, with its records unless its group's keys were forgotten.
    Frame { segment: SegmentId, offset: u64, header: &'a FrameHeader, records: Option<(Kind, Payloads<'a>)> },
    /// What a crash left of a batch that was not acknowledged.
    Torn { segment: SegmentId, offset: u64, len: u64 },
    /// Something that must not be.
    Damage(LogError),
}

/// What a log turned out to be.
#[derive(Debug, Default)]
pub(crate) struct Surveyed {
    pub(crate) mark: Option<Proof>,
    pub(crate) newest: Option<SegmentId>,
    /// The last record that is authentic.
    pub(crate) last: Lsn,
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) torn_bytes: u64,
    /// The first record that may be missing.
    pub(crate) damaged_from: Option<Lsn>,
}

/// Reads everything and shows it, in LSN order. Before a frame is opened all records before it have been shown, so that
/// keys that travel in the log can be given to `around.keys`. Changes nothing.
pub(crate) fn survey(around: &Surroundings, visit: &mut dyn FnMut(Sight<'_>)) -> Surveyed {
    let mut survey = Survey { around, visit, done: Surveyed::default(), next: Lsn(1) };
    survey.run();
    survey.done
}

struct Survey<'a> {
    around: &'a Surroundings,
    visit: &'a mut dyn FnMut(Sight<'_>),
    done: Surveyed,
    next: Lsn,
}

impl Survey<'_> {
    fn run(&mut self) {
        let Surroundings { disk, dir, keys, random } = self.around;
        match MarkFile::open(&**disk, dir, Arc::clone(keys), Arc::clone(random)) {
            Ok(mark) => self.done.mark = Some(mark.proof()),
            Err(error) => self.damage(error),
        }
        let names = match disk.list(dir) {
            Ok(names) => names,
            Err(error) => return self.damage(LogError::io("list", dir)(error)),
        };
        let first = self.done.mark.map_or(SegmentId(0), |mark| mark.first);
        let ids = names.iter().filter_map(|name| SegmentId::from_file_name(name)).filter(|id| *id >= first);
        let ids: Vec<_> = ids.collect();
        self.find_missing(&ids);
        self.done.newest = ids.last().copied();
        let mut before: Option<(SegmentId, Cursor)> = None;
        for (index, &id) in ids.iter().enumerate() {
            let after = ids.get(index + 1).copied();
            before = self.segment(id, before, after).map(|end| (id, end));
        }
    }

    /// Segments between the mark's first and the newest that are not there.
    fn find_missing(&mut self, ids: &[SegmentId]) {
        let mark = self.done.mark;
        let mut expected = mark.map(|mark| mark.first).or(ids.first().copied());
        for &id in ids {
            if let Some(segment) = expected.filter(|expected| *expected != id) {
                self.damage(LogError::MissingSegment { segment });
            }
            expected = Some(id.next());
        }
        let Some(mark) = mark else { return };
        if let Some(segment) = expected.filter(|expected| *expected <= mark.segment) {
            self.damage(LogError::MissingSegment { segment });
        }
        if let Some(&segment) = ids.last().filter(|newest| mark.clean && **newest > mark.segment) {
            self.damage(LogError::AfterClose { segment });
        }
    }

    /// Reads one segment; the answer is where it ends, if its end is known.
    fn segment(
        &mut self,
        id: SegmentId,
        before: Option<(SegmentId, Cursor)>,
        after: Option<SegmentId>,
    ) -> Option<Cursor> {
        let mut reader = match SegmentReader::open(self.around, id) {
            Ok(reader) => reader,
            Err(error) => {
                self.damage(error);
                return None;
            }
        };
        if let Some((segment, end)) = before.filter(|(segment, _)| segment.next() == id) {
            let previous = Previous { segment: segment.0, end: end.offset, link: end.link };
            if reader.header.previous != previous || reader.header.base != end.next {
                self.damage(LogError::Unchained { segment: id });
            }
        }
        (self.visit)(Sight::Segment { header: &reader.header, len: reader.len });
        // A next one that does not open says nothing of this one; it is reported in its turn.
        let closed = after.and_then(|next| SegmentReader::open(self.around, next).ok());
        let closed = closed.filter(|next| next.header.previous.segment == id.0).map(|next| next.header);
        let proof = self.done.mark.filter(|mark| mark.segment == id);
        let recorded = match after {
            Some(_) => closed.map(|next| next.previous.end),
            None => self.done.mark.as_ref().and_then(clean_end),
        };
        let mut bounds = Bounds { recorded, proof };
        Some(self.frames(&mut reader, &mut bounds, after.is_none()))
    }

    fn frames(&mut self, reader: &mut SegmentReader, bounds: &mut Bounds, newest: bool) -> Cursor {
        let segment = reader.header.segment;
        let mut at = reader.start();
        loop {
            if let Err(error) = bounds.check_proof(reader, &at) {
                self.damage(error);
            }
            if bounds.recorded == Some(at.offset) {
                let recorded = at.offset;
                if reader.len != recorded {
                    self.damage(LogError::Extended { segment, recorded, found: reader.len });
                } else if bounds.proof.is_some() {
                    self.damage(reader.damage(&at, LogFault::Other));
                }
                return at;
            }
            let error = match reader.read(&at) {
                Ok(Read::Frame { header, end, opened }) => {
                    self.frame(reader, at.offset, &header, opened);
                    at = end;
                    self.next = end.next;
                    continue;
                }
                Ok(Read::End) => {
                    if !newest || bounds.must_be_good() {
                        self.damage(reader.damage(&at, LogFault::Short));
                    }
                    return at;
                }
                Ok(Read::Bad(fault)) => reader.damage(&at, fault),
                Err(error) => error,
            };
            // A frame that opens and says what it must not, or whose key is nowhere, was never torn.
            let authentic =
                matches!(&error, LogError::Key(_) | LogError::Damage { fault: LogFault::Body, .. });
            let torn = newest
                && !authentic
                && !bounds.must_be_good()
                && matches!(&error, LogError::Damage { .. })
                && !reader.was_durable(&at).unwrap_or(true);
            if torn {
                let len = reader.written_behind(&at).unwrap_or(reader.len - at.offset);
                self.done.torn_bytes = len;
                if len > 0 {
                    (self.visit)(Sight::Torn { segment, offset: at.offset, len });
                }
                return at;
            }
            self.damage(error);
            match reader.resume(&at) {
                Ok(Some(next)) => at = next,
                Ok(None) => return at,
                Err(error) => {
                    self.damage(error);
                    return at;
                }
            }
        }
    }

    fn frame(&mut self, reader: &SegmentReader, offset: u64, header: &FrameHeader, opened: bool) {
        let segment = reader.header.segment;
        // A frame that was opened has been taken apart once, so it can be again.
        let records = if opened { reader.records(header).ok() } else { None };
        if let Some((Kind::Checkpoint, payloads)) = reader.records(header).ok().filter(|_| opened) {
            for (lsn, payload) in (header.first.0..).zip(payloads) {
                self.done.checkpoint = Some(Checkpoint { lsn: Lsn(lsn), payload: payload.to_vec() });
            }
        }
        self.done.last = header.last();
        (self.visit)(Sight::Frame { segment, offset, header, records });
    }

    fn damage(&mut self, error: LogError) {
        let from = match &error {
            LogError::Damage { lsn, .. } if lsn.0 > 0 => *lsn,
            _ => self.next,
        };
        self.done.damaged_from.get_or_insert(from);
        (self.visit)(Sight::Damage(error));
    }
}

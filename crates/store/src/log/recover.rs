//! Opening a log that is there (`docs/spec/log.md` §7).

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::error::{LogError, LogFault};
use super::format::{FrameHeader, Kind, Previous, SegmentId};
use super::mark::{MarkFile, Proof};
use super::reader::{Cursor, Read, SegmentReader};
use super::segment::{Surroundings, is_temporary};
use super::writer::{Log, LogOptions};
use crate::{GroupId, Lsn};

/// How much is written again at a time.
const PIECE_LEN: usize = 1 << 20;

/// One record of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Its place.
    pub(crate) lsn: Lsn,
    /// Whose it is.
    pub(crate) group: GroupId,
    /// What it is.
    pub(crate) kind: Kind,
    /// What was appended.
    pub(crate) payload: &'a [u8],
}

/// A checkpoint record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Its place.
    pub(crate) lsn: Lsn,
    /// What was appended.
    pub(crate) payload: Vec<u8>,
}

/// A log that was read and checked from its first segment to its last good frame. Scanning changed nothing.
#[derive(Debug)]
pub(crate) struct Scanned {
    around: Surroundings,
    options: LogOptions,
    mark: MarkFile,
    /// All segments of the log with where they end; the newest last.
    segments: Vec<(SegmentId, u64)>,
    /// For each of them the LSN of the next record behind it.
    nexts: Vec<Lsn>,
    leftovers: Vec<PathBuf>,
    end: Cursor,
    cut_bytes: u64,
    records: u64,
    skipped: u64,
    checkpoint: Option<Checkpoint>,
    /// Set once everything that was found is durable, and nothing else is there.
    secured: OnceLock<()>,
}

impl Scanned {
    /// Reads and checks the log, and shows each record to `visit`, in LSN order. Before a frame is opened all
    /// records before it have been shown, so that keys that travel in the log can be given to `around.keys`.
    ///
    /// # Errors
    /// Everything that makes the log untrustworthy, and what `visit` answers.
    pub(crate) fn scan<E: From<LogError>>(
        around: Surroundings,
        options: LogOptions,
        visit: impl FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let keys = Arc::clone(&around.keys);
        let mark = MarkFile::open(&*around.disk, &around.dir, keys, Arc::clone(&around.random))?;
        let proof = mark.proof();
        let names = around.disk.list(&around.dir).map_err(LogError::io("list", &around.dir))?;
        let (ids, leftovers) = sort(&around, &names, proof)?;
        let newest = *ids.last().ok_or(LogError::MissingSegment { segment: proof.first })?;
        let end = SegmentReader::open(&around, newest)?.start();
        let mut scanned = Self {
            around,
            options,
            mark,
            segments: Vec::new(),
            nexts: Vec::new(),
            leftovers,
            end,
            cut_bytes: 0,
            records: 0,
            skipped: 0,
            checkpoint: None,
            secured: OnceLock::new(),
        };
        scanned.check(&ids, visit)?;
        Ok(scanned)
    }

    fn check<E: From<LogError>>(
        &mut self,
        ids: &[SegmentId],
        mut visit: impl FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let proof = self.mark.proof();
        let mut before: Option<(SegmentId, Cursor)> = None;
        for (index, &id) in ids.iter().enumerate() {
            let mut reader = SegmentReader::open(&self.around, id)?;
            if let Some((segment, end)) = before {
                let previous = Previous { segment: segment.0, end: end.offset, link: end.link };
                if reader.header.previous != previous || reader.header.base != end.next {
                    return Err(LogError::Unchained { segment: id }.into());
                }
            }
            let after = ids.get(index + 1);
            let closed = match after {
                Some(&next) => Some(SegmentReader::open(&self.around, next)?.header),
                None => None,
            };
            let mut bounds = Bounds {
                recorded: closed.as_ref().map(|next| next.previous.end).or_else(|| clean_end(&proof)),
                proof: (proof.segment == id).then_some(proof),
            };
            let end = self.segment(&mut reader, &mut bounds, &mut visit)?;
            if let Some(next) = closed
                && (next.previous.link != end.link || next.base != end.next)
            {
                // Its frames are good, so it is the next one that belongs to another past.
                return Err(LogError::Unchained { segment: next.segment }.into());
            }
            self.segments.push((id, end.offset));
            self.nexts.push(end.next);
            self.end = end;
            before = Some((id, end));
        }
        Ok(())
    }

    /// Reads one segment; the answer is where it ends.
    fn segment<E: From<LogError>>(
        &mut self,
        reader: &mut SegmentReader,
        bounds: &mut Bounds,
        visit: &mut impl FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<Cursor, E> {
        let mut at = reader.start();
        bounds.check_proof(reader, &at)?;
        loop {
            if bounds.recorded == Some(at.offset) {
                if reader.len != at.offset {
                    let (segment, recorded, found) = (reader.header.segment, at.offset, reader.len);
                    return Err(LogError::Extended { segment, recorded, found }.into());
                }
                if bounds.proof.is_some() {
                    return Err(reader.damage(&at, LogFault::Other).into()); // the mark knows of more
                }
                return Ok(at);
            }
            let fault = match reader.read(&at)? {
                Read::Frame { header, end, opened } => {
                    self.count(reader, &header, opened, visit)?;
                    at = end;
                    bounds.check_proof(reader, &at)?;
                    continue;
                }
                Read::End => LogFault::Short,
                Read::Bad(fault) => fault,
            };
            if bounds.must_be_good() || reader.was_durable(&at)? {
                return Err(reader.damage(&at, fault).into());
            }
            self.cut_bytes = reader.written_behind(&at)?;
            return Ok(at);
        }
    }

    fn count<E: From<LogError>>(
        &mut self,
        reader: &SegmentReader,
        header: &FrameHeader,
        opened: bool,
        visit: &mut impl FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if !opened {
            self.skipped += u64::from(header.count);
            return Ok(());
        }
        self.records += u64::from(header.count);
        show(reader, header, &mut |record| {
            if record.kind == Kind::Checkpoint {
                self.checkpoint = Some(Checkpoint { lsn: record.lsn, payload: record.payload.to_vec() });
            }
            visit(record)
        })
    }

    /// Shows the records of `wanted` groups from LSN `from` on, to be applied; what is not shown is not opened once more. They
    /// are durable by then, so whoever applies them may make that durable, too: the torn tail is cut first, and what a
    /// cache may have held is written and synced.
    pub(crate) fn replay<E: From<LogError>>(
        &self,
        from: Lsn,
        wanted: impl Fn(GroupId) -> bool,
        mut visit: impl FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.secure()?;
        for (&(id, end), &next) in self.segments.iter().zip(&self.nexts) {
            if next <= from {
                continue;
            }
            let mut reader = SegmentReader::open(&self.around, id)?;
            let mut at = reader.start();
            while at.offset < end {
                match reader.read_if(&at, |header| header.last() >= from && wanted(header.group))? {
                    Read::Frame { header, end, opened } => {
                        if opened {
                            show(&reader, &header, &mut |record: Record<'_>| {
                                if record.lsn < from { Ok(()) } else { visit(record) }
                            })?;
                        }
                        at = end;
                    }
                    Read::End => return Err(reader.damage(&at, LogFault::Short).into()),
                    Read::Bad(fault) => return Err(reader.damage(&at, fault).into()),
                }
            }
        }
        Ok(())
    }

    /// The newest checkpoint record, if the log holds one.
    pub(crate) fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// How many bytes at the end were not whole frames and will be cut.
    pub(crate) fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }

    /// Whether the log had been closed.
    pub(crate) fn clean(&self) -> bool {
        self.mark.proof().clean
    }

    /// How many records there are that opened.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// How many records were passed over because their group's keys were forgotten.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The LSN of the last record.
    pub(crate) fn last(&self) -> Lsn {
        Lsn(self.end.next.0 - 1)
    }

    /// The newest segment.
    pub(crate) fn newest_segment(&self) -> SegmentId {
        self.newest().0
    }

    /// The keyring's generation that the mark knows of. A keyring that is older than this was put back.
    pub(crate) fn keyring_generation(&self) -> u64 {
        self.mark.proof().keyring
    }

    /// Cuts the tail and makes durable what was found.
    fn secure(&self) -> Result<(), LogError> {
        if self.secured.get().is_some() {
            return Ok(());
        }
        let (newest, end) = self.newest();
        let reader = SegmentReader::open(&self.around, newest)?;
        // Frames, the file's length, and names of segments, that only the caches of a killed process held begin to count now.
        reader.file().set_len(end).map_err(LogError::io("cut", reader.path()))?;
        let proof = self.mark.proof();
        let from = if proof.segment == newest { proof.offset } else { 0 };
        write_again(&reader, from, end)?;
        reader.file().sync().map_err(LogError::io("sync", reader.path()))?;
        self.around.disk.sync_dir(&self.around.dir).map_err(LogError::io("sync", &self.around.dir))?;
        let _ = self.secured.set(());
        Ok(())
    }

    /// The newest segment and where it ends.
    fn newest(&self) -> (SegmentId, u64) {
        *self.segments.last().expect("a scanned log has a segment")
    }

    /// Makes what was found durable, if [`Self::replay`] did not, and starts a new segment.
    pub(crate) fn finish(mut self) -> Result<Log, LogError> {
        self.secure()?;
        let (newest, end) = self.newest();
        let proof = self.mark.proof();
        self.mark.write_through(Proof {
            segment: newest,
            offset: end,
            lsn: self.last(),
            link: self.end.link,
            clean: false,
            ..proof
        })?;
        for path in &self.leftovers {
            self.around.disk.remove(path).map_err(LogError::io("remove", path))?;
        }
        let previous = Previous { segment: newest.0, end, link: self.end.link };
        Log::start(self.around, self.options, self.mark, self.segments, self.end.next, previous)
    }
}

/// Where a segment must end, and what must stand where.
pub(super) struct Bounds {
    /// The end that the next header or a clean mark records.
    pub(super) recorded: Option<u64>,
    /// The mark, if it speaks of this segment and its place was not reached yet.
    pub(super) proof: Option<Proof>,
}

impl Bounds {
    /// Whether a bad frame at the place that was reached cannot be a torn tail.
    pub(super) fn must_be_good(&self) -> bool {
        self.recorded.is_some() || self.proof.is_some()
    }

    /// At the mark's offset exactly what the mark says must end, and no frame may reach over it.
    pub(super) fn check_proof(&mut self, reader: &SegmentReader, at: &Cursor) -> Result<(), LogError> {
        match self.proof {
            Some(proof) if at.offset >= proof.offset => {
                let same = (proof.offset, proof.lsn.0 + 1, proof.link) == (at.offset, at.next.0, at.link);
                self.proof = None;
                if same { Ok(()) } else { Err(reader.damage(at, LogFault::Other)) }
            }
            _ => Ok(()),
        }
    }
}

/// Writes what is there once more. If the process before this one ended because a sync failed, the cache can hold
/// bytes that never reached the disk and that the system takes for written; a sync alone would not write them.
fn write_again(reader: &SegmentReader, from: u64, end: u64) -> Result<(), LogError> {
    let mut piece = Vec::new();
    let mut at = from;
    while at < end {
        piece.resize(usize::try_from(end - at).unwrap_or(usize::MAX).min(PIECE_LEN), 0);
        reader.file().read_at(&mut piece, at).map_err(LogError::io("read", reader.path()))?;
        reader.file().write_at(&piece, at).map_err(LogError::io("write", reader.path()))?;
        at += piece.len() as u64;
    }
    Ok(())
}

pub(super) fn clean_end(proof: &Proof) -> Option<u64> {
    proof.clean.then_some(proof.offset)
}

/// The segments of the log, oldest first, and the files that are to be removed.
fn sort(
    around: &Surroundings,
    names: &[String],
    proof: Proof,
) -> Result<(Vec<SegmentId>, Vec<PathBuf>), LogError> {
    let mut ids = Vec::new();
    let mut leftovers = Vec::new();
    for name in names {
        match SegmentId::from_file_name(name) {
            Some(id) if id >= proof.first => ids.push(id),
            Some(_) => leftovers.push(around.dir.join(name)),
            None if is_temporary(name) => leftovers.push(around.dir.join(name)),
            None => {}
        }
    }
    let mut expected = proof.first;
    for &id in &ids {
        if id != expected {
            return Err(LogError::MissingSegment { segment: expected });
        }
        expected = expected.next();
    }
    if expected <= proof.segment {
        return Err(LogError::MissingSegment { segment: expected });
    }
    match ids.last() {
        Some(&newest) if proof.clean && newest > proof.segment => {
            Err(LogError::AfterClose { segment: newest })
        }
        _ => Ok((ids, leftovers)),
    }
}

pub(super) fn show<E: From<LogError>>(
    reader: &SegmentReader,
    header: &FrameHeader,
    visit: &mut impl FnMut(Record<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let segment = reader.header.segment;
    let malformed = |fault| LogError::Damage { segment, offset: 0, lsn: header.first, fault };
    let (kind, payloads) = reader.records(header).map_err(malformed)?;
    for (lsn, payload) in (header.first.0..).zip(payloads) {
        visit(Record { lsn: Lsn(lsn), group: header.group, kind, payload })?;
    }
    Ok(())
}

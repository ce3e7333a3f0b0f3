//! Appending (`docs/spec/log.md` §5, §6 and §9).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use strongroom_seal::detached::Mark as Seal;
use strongroom_seal::{NONCE_LEN, Random, TAG_LEN};

use super::error::{LogError, WriteError};
use super::format::{
    BODY_LEN_SOFT, COUNT_MAX, FRAME_HEADER_LEN, FrameHeader, Kind, Link, PAYLOAD_LEN_MAX, Previous,
    RECORD_OVERHEAD, SEGMENT_HEADER_LEN, SegmentId,
};
use super::mark::{MarkFile, Proof};
use super::pin::{Pin, Pins};
use super::prepared;
use super::segment::{NotMade, Segment, Surroundings};
use crate::disk::is_no_space;
use crate::{GroupId, Lsn};

/// A buffer longer than this is given back after use; an 8 MiB command should not be paid for ever after.
const BUFFER_LEN_KEPT: usize = 4 << 20;

/// What may differ between two processes with the same log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogOptions {
    /// Past how many bytes a segment is followed by the next.
    pub(crate) segment_bytes: u64,
    /// How many zeros are written ahead of small batches (§7).
    pub(crate) ahead: usize,
}

/// A record to append.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    /// Its place: that of the entry before it plus one.
    pub(crate) lsn: Lsn,
    /// Whose it is.
    pub(crate) group: GroupId,
    /// What it says; at most [`crate::COMMAND_LEN_MAX`] bytes.
    pub(crate) payload: &'a [u8],
}

/// A log that can be appended to. One thread owns it.
#[derive(Debug)]
pub(crate) struct Log {
    around: Surroundings,
    options: LogOptions,
    mark: MarkFile,
    /// The keyring's generation that the next mark says.
    keyring: u64,
    /// The disk had no space for a mark, which is to be durable. What it says less than it could is true all the same; the
    /// next sync writes it.
    mark_due: bool,
    segment: Segment,
    /// Segments before this one that are still there, with their lengths; the oldest first.
    closed: Vec<(SegmentId, u64)>,
    /// Files that a release could not remove.
    leftovers: Vec<PathBuf>,
    next: Lsn,
    durable: Lsn,
    poison: Option<Arc<LogError>>,
    pins: Arc<Pins>,
    /// A batch on its way to the disk. Reused.
    buffer: Vec<u8>,
}

impl Log {
    /// Makes a log where none is. `keyring` is the keyring's generation.
    ///
    /// # Errors
    /// [`LogError::Exists`] if there is a log: nothing of it is changed. What an interrupted call left behind is no log.
    pub(crate) fn create(around: Surroundings, options: LogOptions, keyring: u64) -> Result<Self, LogError> {
        Self::create_at(around, options, keyring, SegmentId::FIRST, Lsn(1))
    }

    /// [`Self::create`] of a log that goes on where another one, which is not there, ended.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub(crate) fn create_at(
        around: Surroundings,
        options: LogOptions,
        keyring: u64,
        segment: SegmentId,
        base: Lsn,
    ) -> Result<Self, LogError> {
        let Surroundings { disk, dir, .. } = &around;
        disk.create_dir_all(dir).map_err(LogError::io("create", dir))?;
        if let Some(parent) = dir.parent() {
            disk.sync_dir(parent).map_err(LogError::io("sync", parent))?;
        }
        remove_interrupted(&around)?;
        let segment =
            Segment::create(&around, segment, base, Previous::NONE).map_err(|NotMade { error, .. }| error)?;
        let proof = Proof {
            first: segment.id,
            segment: segment.id,
            offset: segment.position,
            lsn: Lsn(base.0 - 1),
            link: segment.link,
            keyring,
            clean: false,
        };
        // The mark comes last: where it is, making the log was finished.
        let (keys, random) = (Arc::clone(&around.keys), Arc::clone(&around.random));
        let mark = MarkFile::create(&*around.disk, &around.dir, keys, random, proof)?;
        Ok(Self::with(around, options, mark, segment, Vec::new(), base))
    }

    /// Goes on after a log that was read and whose end is durable and marked.
    pub(super) fn start(
        around: Surroundings,
        options: LogOptions,
        mark: MarkFile,
        closed: Vec<(SegmentId, u64)>,
        next: Lsn,
        previous: Previous,
    ) -> Result<Self, LogError> {
        let segment = Segment::create(&around, SegmentId(previous.segment).next(), next, previous)
            .map_err(|NotMade { error, .. }| error)?;
        let mut log = Self::with(around, options, mark, segment, closed, next);
        let proof = log.proof();
        log.mark.write_through(proof)?;
        Ok(log)
    }

    fn with(
        around: Surroundings,
        options: LogOptions,
        mark: MarkFile,
        segment: Segment,
        closed: Vec<(SegmentId, u64)>,
        next: Lsn,
    ) -> Self {
        let durable = Lsn(next.0 - 1);
        let (leftovers, buffer) = (Vec::new(), Vec::new());
        let keyring = mark.proof().keyring;
        Self {
            around,
            options,
            mark,
            keyring,
            mark_due: false,
            segment,
            closed,
            leftovers,
            next,
            durable,
            poison: None,
            pins: Arc::default(),
            buffer,
        }
    }

    /// Appends commands. They are durable after the next [`Self::sync`].
    ///
    /// # Errors
    /// After every error but [`WriteError::Poisoned`] nothing of the batch is part of the log, and the log can be
    /// appended to again.
    pub(crate) fn append(&mut self, batch: &[Entry<'_>]) -> Result<(), WriteError> {
        self.append_kind(batch, Kind::Command)
    }

    /// Appends a checkpoint record as the next record of the system group; the answer is its LSN.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub(crate) fn append_checkpoint(&mut self, payload: &[u8]) -> Result<Lsn, WriteError> {
        let lsn = self.next;
        self.append_kind(&[Entry { lsn, group: GroupId::SYSTEM, payload }], Kind::Checkpoint)?;
        Ok(lsn)
    }

    fn append_kind(&mut self, batch: &[Entry<'_>], kind: Kind) -> Result<(), WriteError> {
        self.check_poison()?;
        let Some(last) = batch.last() else { return Ok(()) };
        let len_max = self.check(batch)?;
        let full = self.segment.position + len_max > self.options.segment_bytes;
        if full && self.segment.position > SEGMENT_HEADER_LEN as u64 {
            self.rotate()?;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let written = self.seal(batch, kind, &mut buffer).and_then(|link| {
            self.write(&buffer)?;
            Ok(link)
        });
        if buffer.capacity() <= BUFFER_LEN_KEPT {
            self.buffer = buffer;
        }
        self.segment.link = written?;
        self.next = Lsn(last.lsn.0 + 1);
        Ok(())
    }

    /// Checks that the batch is the next one; the answer is a bound on its length in the file.
    fn check(&self, batch: &[Entry<'_>]) -> Result<u64, WriteError> {
        let mut len_max = 0;
        for (expected, entry) in (self.next.0..).zip(batch) {
            if entry.lsn.0 != expected {
                return Err(WriteError::OutOfOrder { expected: Lsn(expected), found: entry.lsn });
            }
            if entry.payload.len() > PAYLOAD_LEN_MAX {
                return Err(WriteError::TooLong { len: entry.payload.len() });
            }
            len_max += (FRAME_HEADER_LEN + 1 + RECORD_OVERHEAD + entry.payload.len()) as u64;
        }
        Ok(len_max)
    }

    /// Seals a batch as frames for the current position; the answer is the last link.
    fn seal(&mut self, batch: &[Entry<'_>], kind: Kind, out: &mut Vec<u8>) -> Result<Link, WriteError> {
        let mut link = self.segment.link;
        let mut rest = batch;
        while let Some(first) = rest.first() {
            let (run, after) = rest.split_at(run_len(rest));
            rest = after;
            let group = first.group;
            let key = self.segment.keys.active(group).map_err(|source| WriteError::Key { group, source })?;
            let start = out.len();
            let offset = self.segment.position + start as u64;
            out.resize(start + FRAME_HEADER_LEN, 0);
            out.push(kind as u8);
            for entry in run {
                out.extend_from_slice(&length(entry.payload).to_le_bytes());
                out.extend_from_slice(entry.payload);
            }
            let (head, body) = out[start..].split_at_mut(FRAME_HEADER_LEN);
            let mut header = FrameHeader {
                body_len: length(body),
                group,
                key_id: key.key_id,
                first: first.lsn,
                durable: self.segment.durable,
                count: u16::try_from(run.len()).expect("a run has at most COUNT_MAX records"),
                body: Seal { nonce: [0; NONCE_LEN], tag: [0; TAG_LEN] },
                previous: link,
            };
            let random: &dyn Random = &*self.around.random;
            let context = header.body_context(self.segment.id, offset);
            header.body = key.cipher.seal(context.as_bytes(), body, random);
            let covered = header.covered();
            let context = FrameHeader::context(self.segment.id, offset, &covered);
            let seal = self.segment.keys.system().cipher.seal(context.as_bytes(), &mut [], random);
            head.copy_from_slice(&FrameHeader::encode(&covered, &seal));
            link = Link(seal.tag);
            let keys = &self.around.keys;
            keys.used(group, key.key_id, 1, u64::from(header.body_len));
            keys.used(GroupId::SYSTEM, self.segment.keys.system().key_id, 1, 0);
        }
        Ok(link)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let segment = &mut self.segment;
        match segment.file.write_at(bytes, segment.position) {
            Ok(()) => segment.position += bytes.len() as u64,
            Err(source) => {
                self.cut()?;
                // Without this a power cut could undo the cut, and a command that was refused would come to be.
                self.sync_segment()?;
                return Err(WriteError::NotWritten { source });
            }
        }
        if self.segment.position > self.segment.prepared {
            self.prepare(bytes.len())?;
        }
        Ok(())
    }

    /// Writes zeros behind a batch of this many bytes, so that the next ones do not change the file's length. If there is no
    /// space for that, it goes without.
    fn prepare(&mut self, batch: usize) -> Result<(), WriteError> {
        let segment = &mut self.segment;
        let left = self.options.segment_bytes.saturating_sub(segment.position);
        let ahead = usize::try_from(left).unwrap_or(usize::MAX).min(self.options.ahead);
        match prepared::prepare(&*segment.file, segment.position, ahead, batch) {
            Ok(end) => segment.prepared = end,
            Err(_) => self.cut()?,
        }
        Ok(())
    }

    /// Ends the file with its last frame.
    fn cut(&mut self) -> Result<(), WriteError> {
        let segment = &mut self.segment;
        let cut = segment.file.set_len(segment.position).map_err(LogError::io("cut", &segment.path));
        segment.prepared = segment.position;
        cut.map_err(|error| self.poisoned(error))
    }

    /// Makes everything that was appended durable; the answer is the last record's LSN.
    ///
    /// # Errors
    /// [`WriteError::Poisoned`]: what of the records since the last success is durable is unknown, and the log can
    /// not be written to any more.
    pub(crate) fn sync(&mut self) -> Result<Lsn, WriteError> {
        self.check_poison()?;
        if self.segment.durable == self.segment.position {
            return Ok(self.durable);
        }
        self.sync_segment()?;
        Ok(self.durable)
    }

    /// [`Self::sync_segment`], and the file ends with its last frame.
    fn end_segment(&mut self) -> Result<(), WriteError> {
        if self.segment.prepared > self.segment.position {
            self.cut()?;
        }
        self.sync_segment()
    }

    fn sync_segment(&mut self) -> Result<(), WriteError> {
        let synced = self.segment.file.sync().map_err(LogError::io("sync", &self.segment.path));
        synced.map_err(|error| self.poisoned(error))?;
        self.segment.durable = self.segment.position;
        self.durable = Lsn(self.next.0 - 1);
        self.move_mark(self.proof(), false)
    }

    /// Lets the mark say more; durably if `through`, under the key that is active by now. Without space for that it comes with
    /// the next sync.
    fn move_mark(&mut self, proof: Proof, through: bool) -> Result<(), WriteError> {
        self.mark_due |= through;
        match self.write_mark(proof) {
            Err(WriteError::NotWritten { source }) => {
                if !std::mem::replace(&mut self.mark_due, true) || through {
                    tracing::warn!(error = %source, "the log's mark stays behind until there is space");
                }
                Ok(())
            }
            done => done,
        }
    }

    /// Writes the mark, durably if one is due.
    ///
    /// # Errors
    /// [`WriteError::NotWritten`] for lack of space: the mark is as it was, and the next one goes to the same place.
    fn write_mark(&mut self, proof: Proof) -> Result<(), WriteError> {
        if self.mark_due {
            self.mark.use_active_key().map_err(|error| self.poisoned(error))?;
        }
        match self.mark.write(proof) {
            Ok(()) => {}
            Err(LogError::Io { source, .. }) if is_no_space(&source) => {
                return Err(WriteError::NotWritten { source });
            }
            Err(error) => return Err(self.poisoned(error)),
        }
        if self.mark_due {
            self.mark.sync().map_err(|error| self.poisoned(error))?;
            self.mark_due = false;
        }
        Ok(())
    }

    /// Makes everything durable and starts a new segment, whose id is the answer. Keys that are active by now are
    /// used from then on.
    ///
    /// # Errors
    /// After [`WriteError::NotWritten`] and [`WriteError::Key`] the log goes on in the segment it had.
    pub(crate) fn rotate(&mut self) -> Result<SegmentId, WriteError> {
        self.check_poison()?;
        self.end_segment()?;
        let old = &self.segment;
        let previous = Previous { segment: old.id.0, end: old.position, link: old.link };
        match Segment::create(&self.around, old.id.next(), self.next, previous) {
            Ok(segment) => {
                let old = std::mem::replace(&mut self.segment, segment);
                self.closed.push((old.id, old.position));
            }
            Err(NotMade { error: LogError::Io { source, .. }, named: false }) => {
                return Err(WriteError::NotWritten { source });
            }
            Err(NotMade { error: LogError::Key(source), named: false }) => {
                return Err(WriteError::Key { group: GroupId::SYSTEM, source });
            }
            Err(NotMade { error, .. }) => return Err(self.poisoned(error)),
        }
        self.move_mark(self.proof(), true)?;
        Ok(self.segment.id)
    }

    /// These groups have another active key, which seals their next frames. A new key of the system group means a new
    /// segment.
    ///
    /// # Errors
    /// As [`Self::rotate`], and only if the system group is among them.
    pub(crate) fn keys_changed(&mut self, groups: &[GroupId]) -> Result<(), WriteError> {
        self.check_poison()?;
        for group in groups {
            self.segment.keys.look_up_again(*group);
        }
        if groups.contains(&GroupId::SYSTEM) {
            self.rotate()?;
        }
        Ok(())
    }

    /// Removes the segments before `segment`, whose records nobody needs any more.
    ///
    /// # Errors
    /// [`WriteError::Leftover`] if a file could not be removed: it is no part of the log any more, and the next
    /// release or opening tries again. [`WriteError::NotWritten`] if there is no space for the mark: nothing was removed.
    pub(crate) fn release_before(&mut self, segment: SegmentId) -> Result<(), WriteError> {
        self.check_poison()?;
        let first = self.mark.proof().first;
        if segment < first || segment > self.segment.id {
            return Err(WriteError::NoSuchSegment { segment });
        }
        let segment = self.pins.lowest().map_or(segment, |pinned| pinned.min(segment));
        if segment > first {
            self.sync()?;
            // A mark that is due is one of its own: with this one, both places are under the key that is active by now.
            if self.mark_due {
                self.write_mark(self.proof())?;
            }
            self.mark_due = true;
            self.write_mark(Proof { first: segment, ..self.proof() })?;
            let keep = self.closed.partition_point(|&(id, _)| id < segment);
            let dir = &self.around.dir;
            self.leftovers.extend(self.closed.drain(..keep).map(|(id, _)| dir.join(id.file_name())));
        }
        while let Some(path) = self.leftovers.last() {
            match self.around.disk.remove(path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(WriteError::Leftover(LogError::io("remove", path)(error))),
            }
            self.leftovers.pop();
        }
        Ok(())
    }

    /// Makes durable that the keyring has this generation. To be called after each replacement of the keyring. Two
    /// threads replace it, so the calls may come in another order.
    pub(crate) fn keyring_changed(&mut self, generation: u64) -> Result<(), WriteError> {
        self.check_poison()?;
        self.keyring = self.keyring.max(generation);
        let proof = Proof { keyring: self.keyring, ..self.mark.proof() };
        self.move_mark(proof, true)
    }

    /// Makes everything durable and records that the log ends here.
    pub(crate) fn close_clean(mut self) -> Result<(), WriteError> {
        self.check_poison()?;
        self.end_segment()?;
        let proof = Proof { clean: true, ..self.proof() };
        self.mark.write_through(proof).map_err(|error| self.poisoned(error))
    }

    /// Keeps the segments from the present one on until the pin is dropped.
    pub(crate) fn pin(&self) -> Pin {
        Pin::new(&self.pins, self.around.clone(), self.segment.id, self.durable)
    }

    /// The LSN of the next record.
    pub(crate) fn next_lsn(&self) -> Lsn {
        self.next
    }

    /// The LSN of the last record that is known to be durable.
    pub(crate) fn durable_lsn(&self) -> Lsn {
        self.durable
    }

    /// The segment that is written to.
    pub(crate) fn segment(&self) -> SegmentId {
        self.segment.id
    }

    /// The first segment that is part of the log.
    pub(crate) fn first_segment(&self) -> SegmentId {
        self.mark.proof().first
    }

    /// How many segments there are.
    pub(crate) fn segments(&self) -> usize {
        self.closed.len() + 1
    }

    /// How long all segments are together, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.segment.position + self.closed.iter().map(|&(_, len)| len).sum::<u64>()
    }

    /// Why nothing can be written any more, if that is so.
    pub(crate) fn poison(&self) -> Option<&Arc<LogError>> {
        self.poison.as_ref()
    }

    /// What is durable by now.
    fn proof(&self) -> Proof {
        let segment = &self.segment;
        debug_assert_eq!(segment.durable, segment.position, "a mark is written after a sync only");
        Proof {
            segment: segment.id,
            offset: segment.durable,
            lsn: self.durable,
            link: segment.link,
            keyring: self.keyring,
            first: self.mark.proof().first,
            clean: false,
        }
    }

    fn check_poison(&self) -> Result<(), WriteError> {
        match &self.poison {
            Some(cause) => Err(WriteError::Poisoned { cause: Arc::clone(cause) }),
            None => Ok(()),
        }
    }

    fn poisoned(&mut self, error: LogError) -> WriteError {
        let cause = Arc::new(error);
        self.poison = Some(Arc::clone(&cause));
        WriteError::Poisoned { cause }
    }
}

/// How many entries from the start of `rest` share a frame.
fn run_len(rest: &[Entry<'_>]) -> usize {
    let group = rest[0].group;
    let mut body_len = 1;
    rest.iter()
        .take(COUNT_MAX)
        .enumerate()
        .take_while(|(index, entry)| {
            body_len += RECORD_OVERHEAD + entry.payload.len();
            entry.group == group && (*index == 0 || body_len <= BODY_LEN_SOFT)
        })
        .count()
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a body is bounded far below 4 GiB")
}

/// Removes what an interrupted creation left: a first segment without frames.
fn remove_interrupted(around: &Surroundings) -> Result<(), LogError> {
    let Surroundings { disk, dir, .. } = around;
    let exists = || LogError::Exists { dir: dir.clone() };
    let mark = MarkFile::path(dir);
    if disk.exists(&mark).map_err(LogError::io("look for", &mark))? {
        return Err(exists());
    }
    for name in disk.list(dir).map_err(LogError::io("list", dir))? {
        let Some(id) = SegmentId::from_file_name(&name) else { continue };
        let path = dir.join(&name);
        let file = disk.open(&path).map_err(LogError::io("open", &path))?;
        if id != SegmentId::FIRST
            || file.len().map_err(LogError::io("read", &path))? > SEGMENT_HEADER_LEN as u64
        {
            return Err(exists());
        }
        disk.remove(&path).map_err(LogError::io("remove", &path))?;
    }
    Ok(())
}

//! Opening content, piece by piece.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use strongroom_kms::KmsError;
use strongroom_seal::stream::{HEADER_LEN, Header};

use super::{ObjectDamage, ObjectFinding, ObjectPlace, Verifier};
use crate::blobs::{BlobReader, ReadFault};
use crate::layers::{ContentKeys, open_all, sealed_len};
use crate::rows::{BlobId, SealedAs, SseRow};
use crate::sse::{Belongs, UnwrapError, Unwrapper};
use crate::{Damaged, ObjectError};

/// Content is opened in windows of this many bytes, rounded up to a chunk.
const WINDOW_LEN: u64 = 1 << 20;

/// A piece of content.
pub(super) enum Job {
    Inline { entry: Arc<Entry>, sealed: Vec<u8>, size: u64 },
    Blob { entry: Arc<Entry>, part: u16, blob: PlacedBlob, size: u64, range: Range<u64> },
}

/// A blob: where it is, and what it was when it was sealed.
#[derive(Clone, Copy)]
pub(super) struct PlacedBlob {
    pub(super) at: BlobId,
    pub(super) sealed_as: BlobId,
}

/// What pieces of content have in common: where they belong, and their key.
pub(super) struct Entry {
    belongs: Belongs,
    /// Where the content belonged when it was sealed.
    sealed: Belongs,
    sse: SseRow,
    pub(super) place: ObjectPlace,
    /// The bucket's name is known, which keys from the KMS are bound to.
    named: bool,
    key: OnceLock<Key>,
}

enum Key {
    Is(Box<ContentKeys>),
    /// Only the customer has it.
    Customer,
    /// Damage, or a KMS that did not answer; told already.
    None,
}

impl Entry {
    pub(super) fn new(
        belongs: Belongs,
        sealed_as: Option<&SealedAs>,
        sse: SseRow,
        place: ObjectPlace,
        named: bool,
    ) -> Self {
        let sealed = belongs.when_sealed(sealed_as);
        Self { belongs, sealed, sse, place, named, key: OnceLock::new() }
    }
}

impl Verifier<'_> {
    /// Opens a piece of content.
    pub(super) fn open(&self, job: &Job) {
        match job {
            Job::Inline { entry, sealed, size } => self.inline(entry, sealed, *size),
            Job::Blob { entry, part, blob, size, range } => {
                let place = ObjectPlace { part: *part, ..entry.place.clone() };
                match entry.key.get_or_init(|| self.unwrap(entry)) {
                    Key::Is(key) => self.blob(entry, key, place, blob, *size, range.clone()),
                    Key::Customer | Key::None if range.start > 0 => {}
                    without => {
                        if matches!(without, Key::Customer) {
                            self.count(|counts| counts.customer += 1);
                        }
                        if let Err(fault) = self.outside(entry, &blob.at, *size) {
                            self.fault(place, fault);
                        }
                    }
                }
            }
        }
    }

    fn unwrap(&self, entry: &Entry) -> Key {
        let Entry { belongs, sse, place, .. } = entry;
        let unwrapper = match sse {
            SseRow::Group { .. } => Unwrapper::Group,
            SseRow::Customer { .. } => return Key::Customer,
            SseRow::Kms { .. } | SseRow::Dsse { .. } | SseRow::BucketKey { .. } => {
                match self.ask_kms(entry) {
                    Ok(unwrapper) => unwrapper,
                    Err(key) => return key,
                }
            }
        };
        match unwrapper.unwrap(sse, belongs, self.image) {
            Ok(key) => Key::Is(Box::new(key)),
            Err(UnwrapError::Unsealable) => {
                self.damaged(place.clone(), Damaged::Key);
                Key::None
            }
            Err(UnwrapError::Read(error)) => self.no_key(place, error.to_string()),
        }
    }

    fn ask_kms(&self, entry: &Entry) -> Result<Unwrapper, Key> {
        let Entry { belongs, sse, place, named, .. } = entry;
        let Some(keys) = &self.keys else {
            return Err(self.no_key(place, "no KMS was given".to_owned()));
        };
        if !named {
            let why = "the bucket's name, which the key is bound to, cannot be read";
            return Err(self.no_key(place, why.to_owned()));
        }
        let asked = self.options.runtime.block_on(sse.unwrapper(None, belongs, keys));
        asked.map_err(|error| match error {
            ObjectError::Kms(KmsError::WrongContextOrDamaged { .. }) => {
                self.damaged(place.clone(), Damaged::Key);
                Key::None
            }
            error => self.no_key(place, error.to_string()),
        })
    }

    fn no_key(&self, place: &ObjectPlace, error: String) -> Key {
        self.count(|counts| counts.keyless += 1);
        self.watch.found(ObjectFinding::KeyNotToBeHad { place: place.clone(), error });
        Key::None
    }

    fn inline(&self, entry: &Entry, sealed: &[u8], size: u64) {
        let place = || entry.place.clone();
        match entry.key.get_or_init(|| self.unwrap(entry)) {
            Key::Is(key) => {
                let opened = open_all(key, &entry.sealed.inline(), sealed);
                match opened.filter(|plain| plain.len() as u64 == size) {
                    Some(_) => self.count(|counts| {
                        counts.inline += 1;
                        counts.bytes += size;
                    }),
                    None => self.damaged(place(), Damaged::Inline),
                }
            }
            without => {
                if matches!(without, Key::Customer) {
                    self.count(|counts| counts.customer += 1);
                }
                let fits = Header::parse(sealed).is_ok_and(|header| {
                    sealed_len(size, entry.sse.layers(), header.spec()) == sealed.len() as u64
                });
                if !fits {
                    self.damaged(place(), Damaged::Inline);
                }
            }
        }
        self.watch.checked(sealed.len() as u64);
    }

    /// What can be said of a blob without its key: that it is there, begins as a stream and is as long as it must be.
    fn outside(&self, entry: &Entry, blob: &BlobId, size: u64) -> Result<(), ReadFault> {
        let (file, length) = self.blobs.open_file(entry.belongs.group, blob)?;
        let mut header = [0; HEADER_LEN];
        if length < HEADER_LEN as u64 {
            return Err(ReadFault::Damaged(Damaged::Length));
        }
        file.read_at(&mut header, 0).map_err(ReadFault::Io)?;
        let header = Header::parse(&header).map_err(|_| ReadFault::Damaged(Damaged::Header))?;
        if sealed_len(size, entry.sse.layers(), header.spec()) != length {
            return Err(ReadFault::Damaged(Damaged::Length));
        }
        self.watch.checked(length);
        Ok(())
    }

    fn blob(
        &self,
        entry: &Entry,
        keys: &ContentKeys,
        place: ObjectPlace,
        blob: &PlacedBlob,
        size: u64,
        range: Range<u64>,
    ) {
        let places = entry.sealed.blob(place.part, &blob.sealed_as);
        let reader = match self.blobs.read(entry.belongs.group, &blob.at, size, keys, &places) {
            Ok(reader) => reader,
            // One piece tells it for all.
            Err(_) if range.start > 0 => return,
            Err(fault) => return self.fault(place, fault),
        };
        let end = range.end;
        if let Err(fault) = self.chunks(&reader, &place, range) {
            self.fault(place, fault);
        }
        if end == size {
            self.count(|counts| counts.blobs += 1);
        }
    }

    /// Opens a range, passing over chunks that do not open.
    fn chunks(&self, reader: &BlobReader, place: &ObjectPlace, range: Range<u64>) -> Result<(), ReadFault> {
        let chunk_size = reader.chunk_size();
        let window = WINDOW_LEN.max(chunk_size) / chunk_size * chunk_size;
        let mut bad: Option<(u64, u64)> = None;
        let mut at = range.start;
        // Also for nothing: an empty blob has a chunk that must open.
        loop {
            let end = range.end.min(at + window);
            match reader.window(at..end) {
                Ok(plain) => {
                    self.watch.checked(plain.len() as u64);
                    self.count(|counts| counts.bytes += plain.len() as u64);
                    at = end;
                }
                Err(ReadFault::Damaged(Damaged::Chunk(chunk))) => {
                    // What stands before it in the window opens.
                    let before = (chunk * chunk_size).saturating_sub(at);
                    self.count(|counts| counts.bytes += before);
                    at = ((chunk + 1) * chunk_size).min(range.end);
                    bad = match bad {
                        Some((first, last)) if last + 1 == chunk => Some((first, chunk)),
                        other => {
                            self.bad_chunks(place, other);
                            Some((chunk, chunk))
                        }
                    };
                }
                Err(other) => {
                    self.bad_chunks(place, bad);
                    return Err(other);
                }
            }
            if at >= range.end {
                self.bad_chunks(place, bad);
                return Ok(());
            }
        }
    }

    fn bad_chunks(&self, place: &ObjectPlace, bad: Option<(u64, u64)>) {
        if let Some((first, last)) = bad {
            let what = ObjectDamage::Chunks(first..=last);
            self.watch.found(ObjectFinding::Damaged { place: place.clone(), what });
        }
    }

    fn fault(&self, place: ObjectPlace, fault: ReadFault) {
        match fault {
            ReadFault::Damaged(what) => self.damaged(place, what),
            ReadFault::Io(error) => self.watch.found(ObjectFinding::Io {
                path: self.options.blob_dir.clone(),
                error: format!("{place}: {error}"),
            }),
        }
    }
}

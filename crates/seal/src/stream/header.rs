//! The header and what its commitment unlocks (`docs/spec/sealed-stream.md` §2 and §3).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time;

use super::cipher::Cipher;
use super::layout::Layout;
use super::{ChunkSize, HeaderError, InOrder, Opener, StreamError, StreamSpec};
use crate::derive::{KeyAndCommitment, key_and_commitment};
use crate::{Context, Label, ObjectKey, Random, Suite};

const MAGIC: &[u8; 8] = b"SRstream";
const VERSION: u8 = 1;

const VERSION_AT: usize = MAGIC.len();
const SUITE_AT: usize = VERSION_AT + 1;
const CHUNK_SIZE_AT: usize = SUITE_AT + 1;
const RESERVED_AT: usize = CHUNK_SIZE_AT + 1;
const SALT_AT: usize = RESERVED_AT + 5;
const COMMITMENT_AT: usize = SALT_AT + 32;

/// How long a header is, in bytes.
pub const HEADER_LEN: usize = COMMITMENT_AT + 32;
const _: () = assert!(HEADER_LEN == 80, "the on-disk header is frozen");

/// A well-formed header, not verified yet: nothing can be opened with it before [`Self::unlock`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    spec: StreamSpec,
    bytes: [u8; HEADER_LEN],
}

impl Header {
    /// Reads a header off the start of `bytes`; what follows is not looked at.
    ///
    /// # Errors
    /// Every [`HeaderError`] but [`HeaderError::Unsealable`].
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let bytes = *bytes.first_chunk::<HEADER_LEN>().ok_or(HeaderError::Short { length: bytes.len() })?;
        if bytes[..VERSION_AT] != *MAGIC {
            return Err(HeaderError::NotAStream);
        }
        let (version, number, log2) = (bytes[VERSION_AT], bytes[SUITE_AT], bytes[CHUNK_SIZE_AT]);
        if version != VERSION {
            return Err(HeaderError::TooNew { version });
        }
        let suite = Suite::from_number(number).ok_or(HeaderError::UnknownSuite { number })?;
        let chunk_size = ChunkSize::from_log2(log2).ok_or(HeaderError::ChunkSize { log2 })?;
        if bytes[RESERVED_AT..SALT_AT].iter().any(|&byte| byte != 0) {
            return Err(HeaderError::Reserved);
        }
        Ok(Self { spec: StreamSpec { suite, chunk_size }, bytes })
    }

    /// Suite and chunk size, as the header claims them.
    pub fn spec(&self) -> StreamSpec {
        self.spec
    }

    /// Derives the stream's key and verifies that the header commits to it.
    ///
    /// # Errors
    /// [`HeaderError::Unsealable`] if key, context or header are other ones than those that sealed.
    pub fn unlock(&self, key: &ObjectKey, context: &Context) -> Result<Unlocked, HeaderError> {
        let derived = self.derived(key, context);
        constant_time::verify_slices_are_equal(&derived.commitment, &self.bytes[COMMITMENT_AT..])
            .map_err(|_| HeaderError::Unsealable)?;
        let cipher = Cipher::new(self.spec.suite, &derived, context, self.spec.chunk_size);
        Ok(Unlocked { cipher: Arc::new(cipher) })
    }

    /// A header with a fresh salt, and the cipher it commits to.
    pub(super) fn fresh(
        key: &ObjectKey,
        context: &Context,
        spec: StreamSpec,
        random: &dyn Random,
    ) -> ([u8; HEADER_LEN], Cipher) {
        let mut header = Self { spec, bytes: [0; HEADER_LEN] };
        header.bytes[..VERSION_AT].copy_from_slice(MAGIC);
        header.bytes[VERSION_AT] = VERSION;
        header.bytes[SUITE_AT] = spec.suite.number();
        header.bytes[CHUNK_SIZE_AT] = spec.chunk_size.log2();
        random.fill(&mut header.bytes[SALT_AT..COMMITMENT_AT]);
        let derived = header.derived(key, context);
        header.bytes[COMMITMENT_AT..].copy_from_slice(&derived.commitment);
        (header.bytes, Cipher::new(spec.suite, &derived, context, spec.chunk_size))
    }

    fn derived(&self, key: &ObjectKey, context: &Context) -> KeyAndCommitment {
        let salt = &self.bytes[SALT_AT..COMMITMENT_AT];
        key_and_commitment(key.dangerous_expose(), salt, Label::Stream, &self.bytes[..SALT_AT], context)
    }
}

/// A stream whose header was verified: the proof that openers are made from.
pub struct Unlocked {
    cipher: Arc<Cipher>,
}

impl Unlocked {
    /// How many bytes of plaintext a chunk holds.
    pub fn chunk_size(&self) -> ChunkSize {
        self.cipher.chunk_size()
    }

    /// Opens any chunk of a stream that is known to hold `plain_len` bytes.
    ///
    /// # Errors
    /// [`StreamError::TooLong`] if no stream holds that much.
    pub fn with_plain_len(self, plain_len: u64) -> Result<Opener, StreamError> {
        Ok(Opener::over(Layout::new(self.cipher.chunk_size(), plain_len)?, self.cipher))
    }

    /// Opens one chunk after the other, of a stream whose length is not known.
    pub fn in_order(self) -> InOrder {
        InOrder::over(self.cipher)
    }
}

impl fmt::Debug for Unlocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unlocked").field("chunk_size", &self.chunk_size()).finish_non_exhaustive()
    }
}

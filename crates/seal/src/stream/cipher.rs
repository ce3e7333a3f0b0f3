//! One stream's key at work on numbered chunks (`docs/spec/sealed-stream.md` §4).

use crate::aead::Aead;
use crate::derive::KeyAndCommitment;
use crate::stream::ChunkSize;
use crate::{Context, NONCE_LEN, Suite, TAG_LEN, Unsealable};

/// Seals and opens chunks by number. Only [`super::Sealer`] decides numbers to seal.
pub(super) struct Cipher {
    aead: Aead,
    associated: Vec<u8>,
    chunk_size: ChunkSize,
}

impl Cipher {
    pub(super) fn new(
        suite: Suite,
        derived: &KeyAndCommitment,
        context: &Context,
        chunk_size: ChunkSize,
    ) -> Self {
        let aead = Aead::new(suite, &derived.key);
        Self { aead, associated: context.as_bytes().to_vec(), chunk_size }
    }

    pub(super) fn chunk_size(&self) -> ChunkSize {
        self.chunk_size
    }

    pub(super) fn seal(&self, chunk: u64, last: bool, buffer: &mut [u8]) -> [u8; TAG_LEN] {
        self.aead.seal(nonce(chunk, last), &self.associated, buffer)
    }

    /// `out` is a tag longer than `plain`.
    pub(super) fn seal_to(&self, chunk: u64, last: bool, plain: &[u8], out: &mut [u8]) {
        let (body, tag) = out.split_last_chunk_mut::<TAG_LEN>().expect("the caller leaves room for the tag");
        self.aead.seal_to(nonce(chunk, last), &self.associated, plain, body, tag);
    }

    /// Opens in place; the tag stays where it is. On failure the plaintext's place is wiped.
    pub(super) fn open(&self, chunk: u64, last: bool, sealed: &mut [u8]) -> Result<(), Unsealable> {
        let (body, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(Unsealable)?;
        self.aead.open(nonce(chunk, last), &self.associated, body, tag)
    }

    /// `out` is a tag shorter than `sealed`. On failure it is wiped.
    pub(super) fn open_to(
        &self,
        chunk: u64,
        last: bool,
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<(), Unsealable> {
        let (body, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(Unsealable)?;
        self.aead.open_to(nonce(chunk, last), &self.associated, body, tag, out)
    }
}

/// The chunk's number in eleven bytes, big-endian, then the flag of the last chunk.
fn nonce(chunk: u64, last: bool) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce[3..11].copy_from_slice(&chunk.to_be_bytes());
    nonce[11] = last.into();
    nonce
}

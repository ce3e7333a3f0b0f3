//! A key wrapped by a key management service, with the names needed to unwrap it.
//!
//! Layout: `docs/spec/envelope.md`.

use crate::codec::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;
const PROVIDER_LEN_MAX: usize = 32;
const KEY_ID_LEN_MAX: usize = 2048;
const BLOB_LEN_MAX: usize = 16 * 1024;

/// A wrapped key and who can unwrap it. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The kind of provider: `local`, `vault`, `aws`, …
    pub provider: String,
    /// The wrapping key's id at that provider.
    pub key_id: String,
    /// The wrapping key's version.
    pub key_version: u32,
    /// What the provider made; only it can read this.
    pub blob: Vec<u8>,
}

/// Why bytes are not an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Written by a newer version than this one.
    #[error("the envelope has version {version}, newer than this program reads")]
    TooNew {
        /// The version found.
        version: u8,
    },
    /// Not an encoding.
    #[error("the envelope is malformed: {0}")]
    Malformed(#[from] DecodeError),
}

impl Envelope {
    /// An envelope whose fields are known to fit: for names and blobs that come from elsewhere.
    ///
    /// # Errors
    /// [`EnvelopeError::Malformed`] with the field that is too long.
    pub fn new(
        provider: String,
        key_id: String,
        key_version: u32,
        blob: Vec<u8>,
    ) -> Result<Self, EnvelopeError> {
        let envelope = Self { provider, key_id, key_version, blob };
        match envelope.too_long() {
            Some(field) => Err(DecodeError::OutOfRange { field }.into()),
            None => Ok(envelope),
        }
    }

    fn too_long(&self) -> Option<&'static str> {
        [
            ("provider", self.provider.len(), PROVIDER_LEN_MAX),
            ("key id", self.key_id.len(), KEY_ID_LEN_MAX),
            ("wrapped key", self.blob.len(), BLOB_LEN_MAX),
        ]
        .into_iter()
        .find_map(|(field, length, most)| (length > most).then_some(field))
    }

    /// The encoded form.
    ///
    /// # Panics
    /// If a field is longer than an envelope may have it: what was written then could never be read back.
    pub fn encode(&self) -> Vec<u8> {
        assert_eq!(self.too_long(), None, "the field is longer than an envelope may have it");
        let mut out = Writer::new();
        out.u8(VERSION).text(&self.provider).text(&self.key_id).u32(self.key_version).bytes(&self.blob);
        out.finish()
    }

    /// Reads [`Self::encode`]'s output.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut input = Reader::new(bytes);
        let version = input.u8("envelope version")?;
        if version != VERSION {
            return Err(EnvelopeError::TooNew { version });
        }
        let envelope = Self {
            provider: input.text(PROVIDER_LEN_MAX, "provider")?.to_owned(),
            key_id: input.text(KEY_ID_LEN_MAX, "key id")?.to_owned(),
            key_version: input.u32("key version")?,
            blob: input.bytes(BLOB_LEN_MAX, "wrapped key")?.to_vec(),
        };
        input.finish("envelope")?;
        Ok(envelope)
    }
}

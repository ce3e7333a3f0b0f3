//! Rows of buckets (`docs/spec/object-entry.md` §2).

use strongroom_seal::codec::{DecodeError, Reader, Writer};
use strongroom_store::GroupId;

use super::{RowError, VERSION, read_opt_text, versioned, write_opt_text, writer};
use crate::{BucketSettings, DefaultEncryption, Timestamp, Versioning};

pub(crate) const OWNER_LEN_MAX: usize = 256;
const SETTINGS_LEN_MAX: usize = 64 * 1024;
const KEY_ID_LEN_MAX: usize = 2048;

/// Whether a bucket takes writes. In the bucket's row and in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupState {
    Active,
    Deleting,
}

impl GroupState {
    fn number(self) -> u8 {
        match self {
            Self::Active => 1,
            Self::Deleting => 2,
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8("state")? {
            1 => Ok(Self::Active),
            2 => Ok(Self::Deleting),
            _ => Err(DecodeError::OutOfRange { field: "state" }),
        }
    }

    /// The value of the state row in the bucket's group.
    pub(crate) fn encode(self) -> Vec<u8> {
        vec![VERSION, self.number()]
    }

    /// Reads [`Self::encode`]'s output.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let mut input = versioned(bytes)?;
        let state = Self::read(&mut input)?;
        input.finish("state row")?;
        Ok(state)
    }
}

/// What the system group knows of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BucketRow {
    pub(crate) group: GroupId,
    pub(crate) state: GroupState,
    pub(crate) created: Timestamp,
    pub(crate) owner: String,
    pub(crate) settings: BucketSettings,
}

impl BucketRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut settings = Writer::new();
        write_settings(&mut settings, &self.settings);
        let mut out = writer();
        out.u32(self.group.0)
            .u8(self.state.number())
            .u64(self.created.0)
            .text(&self.owner)
            .bytes(&settings.finish());
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let mut input = versioned(bytes)?;
        let row = Self {
            group: GroupId(input.u32("group")?),
            state: GroupState::read(&mut input)?,
            created: Timestamp(input.u64("created")?),
            owner: input.text(OWNER_LEN_MAX, "owner")?.to_owned(),
            settings: read_settings(input.bytes(SETTINGS_LEN_MAX, "settings")?)?,
        };
        input.finish("bucket row")?;
        Ok(row)
    }
}

fn write_settings(out: &mut Writer, settings: &BucketSettings) {
    let versioning = match settings.versioning {
        Versioning::Off => 0,
        Versioning::Enabled => 1,
        Versioning::Suspended => 2,
    };
    let blocked = match (settings.customer_keys_blocked, settings.nothing_blocked) {
        (false, false) => 0,
        (true, _) => 1,
        (false, true) => 2,
    };
    out.u8(VERSION).u8(versioning).u8(blocked);
    match &settings.encryption {
        DefaultEncryption::S3 => drop(out.u8(1)),
        DefaultEncryption::Kms { key_id, bucket_key } => {
            out.u8(2);
            write_opt_text(out, key_id.as_deref());
            out.u8(u8::from(*bucket_key));
        }
        DefaultEncryption::Dsse { key_id, bucket_key } => {
            out.u8(3);
            write_opt_text(out, key_id.as_deref());
            out.u8(u8::from(*bucket_key));
        }
        DefaultEncryption::S3Set { bucket_key } => drop(out.u8(4).u8(u8::from(*bucket_key))),
    }
}

fn read_settings(bytes: &[u8]) -> Result<BucketSettings, RowError> {
    let mut input = versioned(bytes)?;
    let versioning = match input.u8("versioning")? {
        0 => Versioning::Off,
        1 => Versioning::Enabled,
        2 => Versioning::Suspended,
        _ => return Err(DecodeError::OutOfRange { field: "versioning" }.into()),
    };
    let (customer_keys_blocked, nothing_blocked) = match input.u8("blocked encryption")? {
        0 => (false, false),
        1 => (true, false),
        2 => (false, true),
        _ => return Err(DecodeError::OutOfRange { field: "blocked encryption" }.into()),
    };
    let encryption = match input.u8("default encryption")? {
        1 => DefaultEncryption::S3,
        2 => DefaultEncryption::Kms {
            key_id: read_opt_text(&mut input, KEY_ID_LEN_MAX, "default key id")?,
            bucket_key: input.flag("bucket key")?,
        },
        3 => DefaultEncryption::Dsse {
            key_id: read_opt_text(&mut input, KEY_ID_LEN_MAX, "default key id")?,
            bucket_key: input.flag("bucket key")?,
        },
        4 => DefaultEncryption::S3Set { bucket_key: input.flag("bucket key")? },
        _ => return Err(DecodeError::OutOfRange { field: "default encryption" }.into()),
    };
    input.finish("bucket settings")?;
    Ok(BucketSettings { versioning, encryption, customer_keys_blocked, nothing_blocked })
}

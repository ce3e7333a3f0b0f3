//! The body of an object's version: key, content and metadata (`docs/spec/object-entry.md` §5).

use strongroom_seal::Envelope;
use strongroom_seal::codec::{DecodeError, Reader, Writer};

use super::head::{read_algorithm, read_value};
use super::{
    BlobId, ContentId, RowError, checked_version, read_opt_text, versioned_for_checksums, write_opt_text,
    writer_for,
};
use crate::{
    ChecksumAlgorithm, ChecksumValue, LegalHold, ObjectMeta, PART_NUMBER_MAX, Retention, RetentionMode,
    SystemMeta, Timestamp,
};

/// A sealed record around 32 bytes.
pub(crate) const WRAPPED_LEN: usize = 32 + strongroom_seal::record::OVERHEAD;
pub(crate) const CLIENT_CONTEXT_LEN_MAX: usize = 8 * 1024;
const ENVELOPE_LEN_MAX: usize = 20 * 1024;
const INLINE_LEN_MAX: usize = 512 * 1024;
pub(crate) const TEXT_LEN_MAX: usize = 8 * 1024;
const TAGS_MAX: usize = 50;
/// number, size, blob, no checksum.
const PART_LEN_MIN: usize = 2 + 8 + BlobId::LEN + 1;
/// What is kept free in a row of many parts for all that is no part.
const NO_CONTENT_LEN_MAX: usize = 64 * 1024;

/// Everything of a version that a listing does not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) sse: SseRow,
    pub(crate) content: ContentAt,
    /// What the content was sealed as, if that is something else.
    pub(crate) sealed_as: Option<SealedAs>,
    /// Without the storage class, which the head has.
    pub(crate) meta: ObjectMeta,
}

/// How the object key is wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SseRow {
    Group {
        key_id: u32,
        wrapped: Box<[u8; WRAPPED_LEN]>,
    },
    Kms {
        envelope: Box<Envelope>,
        context: Option<String>,
        wrapped: Box<[u8; WRAPPED_LEN]>,
    },
    Customer {
        salt: [u8; 32],
        verifier: [u8; 32],
        wrapped: Box<[u8; WRAPPED_LEN]>,
    },
    /// Two layers: the inner one first.
    Dsse {
        envelopes: Box<[Envelope; 2]>,
        context: Option<String>,
        wrapped: [Box<[u8; WRAPPED_LEN]>; 2],
    },
    BucketKey {
        envelope: Box<Envelope>,
        context: Option<String>,
        wrapped: Box<[u8; WRAPPED_LEN]>,
    },
}

/// Where the content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContentAt {
    /// A sealed stream, here.
    Inline(Vec<u8>),
    /// One blob, as long as the object.
    Blob(BlobId),
    /// The blobs of the parts it was uploaded in.
    Parts(Vec<PartAt>),
}

/// One part of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartAt {
    pub(crate) number: u16,
    pub(crate) size: u64,
    pub(crate) blob: BlobId,
    pub(crate) checksum: Option<ChecksumValue>,
}

/// What content was sealed as that has come to another version since: its bytes are the same, and each blob is there under
/// a further name. What it is called *now* says where it is and whose; what it was called *then* is in the contexts that open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealedAs {
    pub(crate) content: ContentId,
    /// For each blob of the content, the one it was.
    pub(crate) blobs: Vec<BlobId>,
}

impl ContentAt {
    /// The blobs, in the order of the content.
    pub(crate) fn blobs(&self) -> Vec<BlobId> {
        match self {
            Self::Inline(_) => Vec::new(),
            Self::Blob(blob) => vec![*blob],
            Self::Parts(parts) => parts.iter().map(|part| part.blob).collect(),
        }
    }

    /// Whether a row has room for what each of its blobs was sealed as, beside the parts and all that is no content. The longest checksums
    /// of ten thousand parts leave none.
    pub(crate) fn has_room_for_names(&self) -> bool {
        let Self::Parts(parts) = self else { return true };
        let checksum_len =
            |part: &PartAt| part.checksum.as_ref().map_or(0, |value| 1 + value.as_bytes().len());
        let len = |part: &PartAt| PART_LEN_MIN + checksum_len(part) + BlobId::LEN;
        parts.iter().map(len).sum::<usize>() <= strongroom_store::VALUE_LEN_MAX - NO_CONTENT_LEN_MAX
    }

    /// The algorithm of each part's checksum.
    fn algorithms(&self) -> impl Iterator<Item = ChecksumAlgorithm> {
        let parts = match self {
            Self::Parts(parts) => parts.as_slice(),
            Self::Inline(_) | Self::Blob(_) => &[],
        };
        parts.iter().filter_map(|part| part.checksum.as_ref().map(ChecksumValue::algorithm))
    }

    /// The same content in other blobs, of which there are as many.
    pub(crate) fn in_blobs(&self, blobs: &[BlobId]) -> Self {
        debug_assert_eq!(self.blobs().len(), blobs.len(), "each blob has another one in its place");
        match self {
            Self::Inline(sealed) => Self::Inline(sealed.clone()),
            Self::Blob(blob) => Self::Blob(blobs.first().copied().unwrap_or(*blob)),
            Self::Parts(parts) => {
                let in_blob = |(part, blob): (&PartAt, &BlobId)| PartAt { blob: *blob, ..part.clone() };
                Self::Parts(parts.iter().zip(blobs).map(in_blob).collect())
            }
        }
    }
}

impl Body {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = writer_for(self.content.algorithms());
        write_sse(&mut out, &self.sse);
        if let Some(sealed) = &self.sealed_as {
            out.u8(4).raw(&sealed.content.0);
        }
        write_content(&mut out, &self.content);
        for blob in self.sealed_as.iter().flat_map(|sealed| &sealed.blobs) {
            out.raw(&blob.to_bytes());
        }
        write_meta(&mut out, &self.meta);
        out.finish()
    }

    /// The id of the group's key that wraps the object key of this row, if one does.
    pub(crate) fn group_key_id(bytes: &[u8]) -> Result<Option<u32>, RowError> {
        Ok(read_group_key_id(&mut versioned_for_checksums(bytes)?.0)?)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let (mut input, version) = versioned_for_checksums(bytes)?;
        let sse = read_sse(&mut input)?;
        let (content, sealed_as) = match input.u8("content kind")? {
            4 => {
                let id = ContentId(*input.array("sealed content id")?);
                let kind = input.u8("sealed content kind")?;
                let content = read_content(&mut input, kind)?;
                let sealed = SealedAs { content: id, blobs: read_sealed_blobs(&mut input, &content)? };
                (content, Some(sealed))
            }
            kind => (read_content(&mut input, kind)?, None),
        };
        let meta = read_meta(&mut input)?;
        input.finish("body")?;
        checked_version(version, content.algorithms())?;
        Ok(Self { sse, content, sealed_as, meta })
    }
}

fn write_content(out: &mut Writer, content: &ContentAt) {
    match content {
        ContentAt::Inline(sealed) => drop(out.u8(1).bytes(sealed)),
        ContentAt::Blob(blob) => drop(out.u8(2).raw(&blob.to_bytes())),
        ContentAt::Parts(parts) => {
            out.u8(3).u32(u32::try_from(parts.len()).expect("there are at most 10,000 parts"));
            for part in parts {
                out.u16(part.number).u64(part.size).raw(&part.blob.to_bytes());
                match &part.checksum {
                    Some(value) => out.u8(1).u8(value.algorithm() as u8).raw(value.as_bytes()),
                    None => out.u8(0),
                };
            }
        }
    }
}

fn read_content(input: &mut Reader<'_>, kind: u8) -> Result<ContentAt, DecodeError> {
    Ok(match kind {
        1 => ContentAt::Inline(input.bytes(INLINE_LEN_MAX, "inline content")?.to_vec()),
        2 => ContentAt::Blob(BlobId::from_bytes(input.array("blob id")?)),
        3 => ContentAt::Parts(read_parts(input)?),
        _ => return Err(DecodeError::OutOfRange { field: "content kind" }),
    })
}

/// What the blobs of `content` were when they were sealed. One that still is what it was would be its own source's, and a
/// blob has one owner.
fn read_sealed_blobs(input: &mut Reader<'_>, content: &ContentAt) -> Result<Vec<BlobId>, DecodeError> {
    let field = "sealed blob";
    let read = |blob: BlobId| {
        let sealed = BlobId::from_bytes(input.array(field)?);
        if sealed == blob { Err(DecodeError::OutOfRange { field }) } else { Ok(sealed) }
    };
    content.blobs().into_iter().map(read).collect()
}

fn read_parts(input: &mut Reader<'_>) -> Result<Vec<PartAt>, DecodeError> {
    let count = input.count(PART_LEN_MIN, "parts")?;
    let mut parts: Vec<PartAt> = Vec::with_capacity(count);
    for _ in 0..count {
        let field = "part number";
        let number = input.u16(field)?;
        let least = parts.last().map_or(1, |last| last.number + 1);
        if !(least..=PART_NUMBER_MAX).contains(&number) {
            return Err(DecodeError::OutOfRange { field });
        }
        let size = input.u64("part size")?;
        let blob = BlobId::from_bytes(input.array("part blob")?);
        let checksum = if input.flag("part checksum")? {
            let algorithm = read_algorithm(input)?;
            Some(read_value(input, algorithm)?)
        } else {
            None
        };
        parts.push(PartAt { number, size, blob, checksum });
    }
    if parts.is_empty() { Err(DecodeError::OutOfRange { field: "parts" }) } else { Ok(parts) }
}

pub(super) fn write_sse(out: &mut Writer, sse: &SseRow) {
    match sse {
        SseRow::Group { key_id, wrapped } => out.u8(1).u32(*key_id).raw(&**wrapped),
        SseRow::Kms { envelope, context, wrapped } => {
            out.u8(2).bytes(&envelope.encode());
            write_opt_text(out, context.as_deref());
            out.raw(&**wrapped)
        }
        SseRow::Customer { salt, verifier, wrapped } => out.u8(3).raw(salt).raw(verifier).raw(&**wrapped),
        SseRow::Dsse { envelopes, context, wrapped } => {
            out.u8(4).bytes(&envelopes[0].encode()).bytes(&envelopes[1].encode());
            write_opt_text(out, context.as_deref());
            out.raw(&*wrapped[0]).raw(&*wrapped[1])
        }
        SseRow::BucketKey { envelope, context, wrapped } => {
            out.u8(5).bytes(&envelope.encode());
            write_opt_text(out, context.as_deref());
            out.raw(&**wrapped)
        }
    };
}

/// The beginning of what [`write_sse`] wrote.
pub(super) fn read_group_key_id(input: &mut Reader<'_>) -> Result<Option<u32>, DecodeError> {
    Ok(match input.u8("encryption")? {
        1 => Some(input.u32("key id")?),
        _ => None,
    })
}

pub(super) fn read_sse(input: &mut Reader<'_>) -> Result<SseRow, DecodeError> {
    let wrapped = |input: &mut Reader<'_>| input.array("wrapped key").map(|bytes| Box::new(*bytes));
    Ok(match input.u8("encryption")? {
        1 => SseRow::Group { key_id: input.u32("key id")?, wrapped: wrapped(input)? },
        2 => SseRow::Kms {
            envelope: Box::new(read_envelope(input)?),
            context: read_opt_text(input, CLIENT_CONTEXT_LEN_MAX, "client context")?,
            wrapped: wrapped(input)?,
        },
        3 => SseRow::Customer {
            salt: *input.array("salt")?,
            verifier: *input.array("verifier")?,
            wrapped: wrapped(input)?,
        },
        4 => SseRow::Dsse {
            envelopes: Box::new([read_envelope(input)?, read_envelope(input)?]),
            context: read_opt_text(input, CLIENT_CONTEXT_LEN_MAX, "client context")?,
            wrapped: [wrapped(input)?, wrapped(input)?],
        },
        5 => SseRow::BucketKey {
            envelope: Box::new(read_envelope(input)?),
            context: read_opt_text(input, CLIENT_CONTEXT_LEN_MAX, "client context")?,
            wrapped: wrapped(input)?,
        },
        _ => return Err(DecodeError::OutOfRange { field: "encryption" }),
    })
}

fn read_envelope(input: &mut Reader<'_>) -> Result<Envelope, DecodeError> {
    let field = "envelope";
    Envelope::decode(input.bytes(ENVELOPE_LEN_MAX, field)?).map_err(|_| DecodeError::OutOfRange { field })
}

pub(super) fn write_meta(out: &mut Writer, meta: &ObjectMeta) {
    let system = &meta.system;
    for text in [
        &system.content_type,
        &system.content_encoding,
        &system.content_language,
        &system.content_disposition,
        &system.cache_control,
        &system.expires,
        &system.website_redirect,
    ] {
        write_opt_text(out, text.as_deref());
    }
    write_pairs(out, &meta.user);
    write_pairs(out, &meta.tags);
    match meta.retention {
        Some(Retention { mode, until }) => {
            let mode = match mode {
                RetentionMode::Governance => 1,
                RetentionMode::Compliance => 2,
            };
            out.u8(1).u8(mode).u64(until.0)
        }
        None => out.u8(0),
    };
    out.u8(match meta.legal_hold {
        None => 0,
        Some(LegalHold::On) => 1,
        Some(LegalHold::Off) => 2,
    });
}

pub(super) fn read_meta(input: &mut Reader<'_>) -> Result<ObjectMeta, DecodeError> {
    let mut text = |field| read_opt_text(input, TEXT_LEN_MAX, field);
    let system = SystemMeta {
        content_type: text("content type")?,
        content_encoding: text("content encoding")?,
        content_language: text("content language")?,
        content_disposition: text("content disposition")?,
        cache_control: text("cache control")?,
        expires: text("expires")?,
        website_redirect: text("website redirect")?,
        storage_class: None,
    };
    let user = read_pairs(input, usize::MAX, "user metadata")?;
    let tags = read_pairs(input, TAGS_MAX, "tags")?;
    let retention = if input.flag("retention")? {
        let mode = match input.u8("retention mode")? {
            1 => RetentionMode::Governance,
            2 => RetentionMode::Compliance,
            _ => return Err(DecodeError::OutOfRange { field: "retention mode" }),
        };
        Some(Retention { mode, until: Timestamp(input.u64("retention until")?) })
    } else {
        None
    };
    let field = "legal hold";
    let legal_hold = match input.u8(field)? {
        0 => None,
        1 => Some(LegalHold::On),
        2 => Some(LegalHold::Off),
        _ => return Err(DecodeError::OutOfRange { field }),
    };
    Ok(ObjectMeta { system, user, tags, retention, legal_hold })
}

fn write_pairs(out: &mut Writer, pairs: &[(String, String)]) {
    out.u32(u32::try_from(pairs.len()).expect("metadata is bounded to 2 KiB"));
    for (name, value) in pairs {
        out.text(name).text(value);
    }
}

fn read_pairs(
    input: &mut Reader<'_>,
    most: usize,
    field: &'static str,
) -> Result<Vec<(String, String)>, DecodeError> {
    let count = input.count(8, field)?;
    if count > most {
        return Err(DecodeError::OutOfRange { field });
    }
    let pair =
        |_| Ok((input.text(TEXT_LEN_MAX, field)?.to_owned(), input.text(TEXT_LEN_MAX, field)?.to_owned()));
    (0..count).map(pair).collect()
}

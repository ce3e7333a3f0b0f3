//! Documents with the checksums that the protocol library has no places for: SHA512, MD5 and those of xxHash.
//!
//! The library refuses documents with elements that it does not know. So a completion that has such is read here, and the
//! library gets one without parts in its place; and what it writes is written again with them. AWS S3 API Reference,
//! "CompletedPart", "ObjectPart", "Checksum".

use std::io::Write;

use bytes::Bytes;
use s3s::S3Response;
use s3s::dto::{self, ETag};
use s3s::xml::{DeError, DeResult, Deserialize, Deserializer, SerResult, SerializeContent, Serializer};
use strongroom_objects::ChecksumAlgorithm;

use crate::checksum::{OTHERS, Others};
use crate::error::{ApiError, DECLARATION};
use crate::face::OwnDocument;

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";
const COMPLETION: &str = "CompleteMultipartUpload";
/// What the library reads in place of a completion that was read here.
const NO_PARTS: &[u8] = b"<CompleteMultipartUpload></CompleteMultipartUpload>";
/// What the elements of all checksums begin with, before the algorithm's name.
const CHECKSUM: &str = "Checksum";

/// A part as a completion names it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct NamedPart {
    pub(crate) number: Option<i32>,
    pub(crate) etag: Option<ETag>,
    pub(crate) checksums: Vec<(ChecksumAlgorithm, String)>,
}

impl From<dto::CompletedPart> for NamedPart {
    fn from(part: dto::CompletedPart) -> Self {
        let given = [
            (ChecksumAlgorithm::Crc32, part.checksum_crc32),
            (ChecksumAlgorithm::Crc32c, part.checksum_crc32c),
            (ChecksumAlgorithm::Crc64Nvme, part.checksum_crc64nvme),
            (ChecksumAlgorithm::Sha1, part.checksum_sha1),
            (ChecksumAlgorithm::Sha256, part.checksum_sha256),
        ];
        let checksums = given.into_iter().filter_map(|(algorithm, text)| Some((algorithm, text?))).collect();
        Self { number: part.part_number, etag: part.e_tag, checksums }
    }
}

/// The document that the library is to read, and the parts if it is not the one that came.
pub(crate) fn taken_out(document: Bytes) -> Result<(Bytes, Option<Vec<NamedPart>>), ApiError> {
    if !has_others(&document) {
        return Ok((document, None));
    }
    let parts = read(&document).map_err(|_| ApiError::malformed_xml())?;
    Ok((Bytes::from_static(NO_PARTS), Some(parts)))
}

/// Whether an element may be a checksum that the library does not know. An element with a prefix has another name, which the library
/// refuses.
fn has_others(document: &[u8]) -> bool {
    let is_other = |element: &[u8]| {
        let rest = element.strip_prefix(CHECKSUM.as_bytes());
        rest.is_some_and(|rest| OTHERS.iter().any(|other| rest.starts_with(other.name().as_bytes())))
    };
    document.split(|byte| *byte == b'<').any(is_other)
}

fn read(document: &[u8]) -> DeResult<Vec<NamedPart>> {
    struct Parts(Vec<NamedPart>);

    impl<'xml> Deserialize<'xml> for Parts {
        fn deserialize(input: &mut Deserializer<'xml>) -> DeResult<Self> {
            let mut parts = Vec::new();
            input.named_element(COMPLETION, |input| {
                input.for_each_element(|input, name| match name {
                    b"Part" => {
                        parts.push(part(input)?);
                        Ok(())
                    }
                    _ => Err(DeError::UnexpectedTagName),
                })
            })?;
            input.expect_eof()?;
            Ok(Self(parts))
        }
    }

    Parts::deserialize(&mut Deserializer::new(document)).map(|Parts(parts)| parts)
}

fn part(input: &mut Deserializer<'_>) -> DeResult<NamedPart> {
    let mut part = NamedPart::default();
    input.for_each_element(|input, name| match name {
        b"ETag" => once(part.etag.replace(input.content()?)),
        b"PartNumber" => once(part.number.replace(input.content()?)),
        _ => {
            let algorithm = algorithm_of(name).ok_or(DeError::UnexpectedTagName)?;
            if part.checksums.iter().any(|(there, _)| *there == algorithm) {
                return Err(DeError::DuplicateField);
            }
            part.checksums.push((algorithm, input.content()?));
            Ok(())
        }
    })?;
    Ok(part)
}

fn once<T>(before: Option<T>) -> DeResult {
    before.map_or(Ok(()), |_| Err(DeError::DuplicateField))
}

/// The algorithm whose value an element is: the end of its name is the algorithm's.
fn algorithm_of(element: &[u8]) -> Option<ChecksumAlgorithm> {
    let name = element.strip_prefix(CHECKSUM.as_bytes())?;
    ChecksumAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name().as_bytes() == name)
}

impl Others {
    /// Writes their elements.
    pub(crate) fn write<W: Write>(&self, out: &mut Serializer<W>) -> SerResult {
        for (algorithm, text) in self.iter() {
            out.content(&format!("{CHECKSUM}{}", algorithm.name()), text)?;
        }
        Ok(())
    }

    /// The document of `content` with them in it, if there are any.
    pub(crate) fn document(&self, root: &str, content: &impl SerializeContent) -> Option<OwnDocument> {
        let write = |out: &mut Serializer<&mut Vec<u8>>| {
            content.serialize_content(out)?;
            self.write(out)
        };
        (!self.is_empty()).then(|| document(root, write))
    }
}

/// The document that `write` fills.
pub(crate) fn document(
    root: &str,
    write: impl FnOnce(&mut Serializer<&mut Vec<u8>>) -> SerResult,
) -> OwnDocument {
    let mut out = DECLARATION.as_bytes().to_vec();
    let written = Serializer::new(&mut out).element_with_ns(root, NAMESPACE, write);
    written.expect("a vector takes whatever is written");
    OwnDocument(out.into())
}

/// An answer with this document in place of the library's.
pub(crate) fn answer<T>(output: T, own: Option<OwnDocument>) -> S3Response<T> {
    let mut response = S3Response::new(output);
    if let Some(own) = own {
        response.extensions.insert(own);
    }
    response
}

/// What is read here is what the library would have read, but for the elements that it does not know.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_for_fuzzing(bytes: &[u8]) -> bool {
    let of_library = dto::CompletedMultipartUpload::deserialize(&mut Deserializer::new(bytes));
    let ours = read(bytes);
    if let (Ok(theirs), Ok(ours)) = (of_library, &ours) {
        let theirs: Vec<NamedPart> = theirs.parts.unwrap_or_default().into_iter().map(Into::into).collect();
        assert_eq!(theirs.len(), ours.len());
        for (theirs, ours) in theirs.iter().zip(ours) {
            assert_eq!((theirs.number, &theirs.etag), (ours.number, &ours.etag));
        }
    }
    let _ = taken_out(Bytes::copy_from_slice(bytes));
    ours.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completion(inside: &str) -> Bytes {
        Bytes::from(format!(
            "<CompleteMultipartUpload xmlns=\"{NAMESPACE}\">{inside}</CompleteMultipartUpload>"
        ))
    }

    fn parts(inside: &str) -> Option<Vec<NamedPart>> {
        let (rest, parts) = taken_out(completion(inside)).ok()?;
        assert_eq!(&rest[..], NO_PARTS);
        parts
    }

    #[test]
    fn parts_are_read_with_every_checksum() {
        for algorithm in OTHERS {
            let name = algorithm.name();
            let found = parts(&format!(
                "<Part><Checksum{name}>AA==</Checksum{name}><ETag>\"e\"</ETag><PartNumber>7</PartNumber></Part>\
                 <Part><PartNumber>8</PartNumber><ChecksumCRC32>AAAA</ChecksumCRC32></Part>"
            ));
            let first = NamedPart {
                number: Some(7),
                etag: Some(ETag::Strong("e".to_owned())),
                checksums: vec![(algorithm, "AA==".to_owned())],
            };
            let checksums = vec![(ChecksumAlgorithm::Crc32, "AAAA".to_owned())];
            assert_eq!(found, Some(vec![first, NamedPart { number: Some(8), etag: None, checksums }]));
        }
    }

    #[test]
    fn completions_that_the_library_knows_are_left_to_it() {
        for inside in
            ["", "<Part><PartNumber>1</PartNumber><ChecksumSHA256>AA==</ChecksumSHA256></Part>", "<Par"]
        {
            let document = completion(inside);
            let (rest, parts) = taken_out(document.clone()).unwrap();
            assert_eq!((rest, parts), (document, None));
        }
    }

    #[test]
    fn what_the_library_refuses_is_refused_here() {
        let md5 = "<ChecksumMD5>AA==</ChecksumMD5>";
        for inside in [
            format!("<Part>{md5}{md5}</Part>"),
            format!("<Part>{md5}<PartNumber>1</PartNumber><PartNumber>1</PartNumber></Part>"),
            format!("<Part>{md5}<PartNumber>one</PartNumber></Part>"),
            format!("<Part>{md5}<ChecksumMD6>AA==</ChecksumMD6></Part>"),
            format!("<Part>{md5}"),
            md5.to_owned(),
        ] {
            let refused = taken_out(completion(&inside)).unwrap_err();
            assert_eq!(refused.code, "MalformedXML", "{inside}");
        }
        let behind = [completion(&format!("<Part>{md5}</Part>")), completion("")].concat();
        assert!(taken_out(behind.into()).is_err());
    }

    #[test]
    fn answers_have_the_elements_of_all_checksums() {
        let result = dto::CopyObjectResult { checksum_crc32: Some("A".to_owned()), ..Default::default() };
        let mut others = Others::default();
        assert!(others.document("CopyObjectResult", &result).is_none());
        others.push(ChecksumAlgorithm::XxHash3, "B+/=".to_owned());
        let OwnDocument(text) = others.document("CopyObjectResult", &result).unwrap();
        let expected = format!(
            "{DECLARATION}<CopyObjectResult xmlns=\"{NAMESPACE}\"><ChecksumCRC32>A</ChecksumCRC32>\
             <ChecksumXXHASH3>B+/=</ChecksumXXHASH3></CopyObjectResult>"
        );
        assert_eq!(text, expected);
    }
}

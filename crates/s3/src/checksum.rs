//! Checksum headers: `x-amz-checksum-*`, their trailers, `x-amz-sdk-checksum-algorithm`, `Content-MD5`.
//!
//! AWS S3 User Guide, "Checking object integrity in Amazon S3".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use md5::{Digest, Md5};
use s3s::TrailingHeaders;
use s3s::dto;
use strongroom_objects::{
    Checksum, ChecksumAlgorithm, ChecksumKind, ChecksumRequest, ChecksumValue, ObjectError, TrailerValue,
};

use crate::checksum_document::NamedPart;
use crate::error::{ApiError, Subject, answer, messages};

const CONTENT_MD5: &str = "content-md5";
const NAMED: &str = "x-amz-sdk-checksum-algorithm";
/// The names of what comes behind a body.
pub(crate) const TRAILER: &str = "x-amz-trailer";

/// The header of an algorithm's values.
fn header(algorithm: ChecksumAlgorithm) -> &'static str {
    match algorithm {
        ChecksumAlgorithm::Crc32 => "x-amz-checksum-crc32",
        ChecksumAlgorithm::Crc32c => "x-amz-checksum-crc32c",
        ChecksumAlgorithm::Crc64Nvme => "x-amz-checksum-crc64nvme",
        ChecksumAlgorithm::Sha1 => "x-amz-checksum-sha1",
        ChecksumAlgorithm::Sha256 => "x-amz-checksum-sha256",
        ChecksumAlgorithm::Sha512 => "x-amz-checksum-sha512",
        ChecksumAlgorithm::Md5 => "x-amz-checksum-md5",
        ChecksumAlgorithm::XxHash64 => "x-amz-checksum-xxhash64",
        ChecksumAlgorithm::XxHash3 => "x-amz-checksum-xxhash3",
        ChecksumAlgorithm::XxHash128 => "x-amz-checksum-xxhash128",
    }
}

/// The algorithms whose values the protocol library has no places for.
pub(crate) const OTHERS: [ChecksumAlgorithm; 5] = [
    ChecksumAlgorithm::Sha512,
    ChecksumAlgorithm::Md5,
    ChecksumAlgorithm::XxHash64,
    ChecksumAlgorithm::XxHash3,
    ChecksumAlgorithm::XxHash128,
];

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default()).filter(|text| !text.is_empty())
}

/// The checksums that an upload's headers ask for.
pub(crate) fn upload_request(
    headers: &HeaderMap,
    trailers: Option<TrailingHeaders>,
) -> Result<ChecksumRequest, ApiError> {
    let expected = given(headers)?;
    let trailer = announced(headers)?;
    if expected.is_some() && trailer.is_some() {
        return Err(several());
    }
    let carried = expected.as_ref().map(ChecksumValue::algorithm).or(trailer);
    if let Some(name) = text(headers, NAMED) {
        let named = algorithm(NAMED, name)?;
        match carried {
            None => {
                return Err(ApiError::invalid_request(format!(
                    "{NAMED} specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
                )));
            }
            Some(carried) if carried != named => {
                return Err(ApiError::invalid_request(format!("Value for {NAMED} header is invalid.")));
            }
            Some(_) => {}
        }
    }
    let trailer = trailer.map(|algorithm| {
        let value: TrailerValue = Box::new(move || {
            // The content has ended without an error, so it is there and a value.
            trailers?.read(|trailers| ChecksumValue::parse(algorithm, text(trailers, header(algorithm))?))?
        });
        (algorithm, value)
    });
    Ok(ChecksumRequest { expected: expected.into_iter().collect(), compute: None, trailer })
}

/// Whether a header is the value of a checksum, of an algorithm that is known here or of another one.
pub(crate) fn is_value(name: &str) -> bool {
    let rest = name.strip_prefix("x-amz-checksum-");
    rest.is_some_and(|rest| !["algorithm", "mode", "type"].contains(&rest))
}

/// The one checksum value in the headers. What cannot be verified is refused: a client that sends it relies on that.
pub(crate) fn given(headers: &HeaderMap) -> Result<Option<ChecksumValue>, ApiError> {
    let known = |name: &str| ChecksumAlgorithm::ALL.into_iter().any(|algorithm| header(algorithm) == name);
    if headers.keys().any(|name| is_value(name.as_str()) && !known(name.as_str())) {
        return Err(ApiError::invalid_request(
            "The algorithm type you specified in x-amz-checksum- header is invalid.",
        ));
    }
    let mut found = None;
    for algorithm in ChecksumAlgorithm::ALL {
        let Some(value) = text(headers, header(algorithm)) else { continue };
        let value = parse(algorithm, value)?;
        if found.replace(value).is_some() {
            return Err(several());
        }
    }
    Ok(found)
}

fn several() -> ApiError {
    ApiError::invalid_request(
        "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
    )
}

/// A value in a header. The `-N` of composite values is not part of it.
fn parse(algorithm: ChecksumAlgorithm, value: &str) -> Result<ChecksumValue, ApiError> {
    let bare = value.split_once('-').map_or(value, |(bare, _)| bare);
    ChecksumValue::parse(algorithm, bare).ok_or_else(|| {
        ApiError::invalid_request(format!("Value for {} header is invalid.", header(algorithm)))
    })
}

/// The algorithm whose value the headers announce as a trailer.
fn announced(headers: &HeaderMap) -> Result<Option<ChecksumAlgorithm>, ApiError> {
    let Some(names) = text(headers, TRAILER) else { return Ok(None) };
    let mut found = None;
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let algorithm =
            ChecksumAlgorithm::ALL.into_iter().find(|one| header(*one).eq_ignore_ascii_case(name));
        let Some(algorithm) = algorithm else {
            return Err(ApiError::invalid_request(
                "The value specified in the x-amz-trailer header is not supported",
            ));
        };
        if found.replace(algorithm).is_some() {
            return Err(several());
        }
    }
    Ok(found)
}

/// An algorithm by its name.
pub(crate) fn algorithm(header: &'static str, name: &str) -> Result<ChecksumAlgorithm, ApiError> {
    ChecksumAlgorithm::parse(name).ok_or_else(|| {
        let valid = ChecksumAlgorithm::ALL.map(ChecksumAlgorithm::name).join(", ");
        ApiError::invalid_request(format!(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [{valid}] \
             ({header})"
        ))
    })
}

/// `x-amz-checksum-type`.
pub(crate) fn kind(given: Option<&dto::ChecksumType>) -> Result<Option<ChecksumKind>, ApiError> {
    match given.map(dto::ChecksumType::as_str) {
        None => Ok(None),
        Some(dto::ChecksumType::FULL_OBJECT) => Ok(Some(ChecksumKind::FullObject)),
        Some(dto::ChecksumType::COMPOSITE) => Ok(Some(ChecksumKind::Composite)),
        Some(_) => Err(ApiError::invalid_request("Value for x-amz-checksum-type header is invalid.")),
    }
}

/// Refuses a document whose `Content-MD5` is that of another one. Of a completion no other header is about its document: checksums are
/// the object's (AWS, "CompleteMultipartUpload").
pub(crate) fn verify_md5(headers: &HeaderMap, document: &[Bytes]) -> Result<(), ApiError> {
    let Some(expected) = content_md5(text(headers, CONTENT_MD5))? else { return Ok(()) };
    let mut md5 = Md5::new();
    document.iter().for_each(|piece| md5.update(piece));
    let computed: [u8; 16] = md5.finalize().into();
    match expected == computed {
        true => Ok(()),
        false => Err(answer(&ObjectError::BadDigest { expected, computed }, Subject::default())),
    }
}

/// Refuses a document whose headers carry the checksum of another one.
pub(crate) fn verify_document(headers: &HeaderMap, document: &[Bytes]) -> Result<(), ApiError> {
    verify_md5(headers, document)?;
    if let Some(expected) = given(headers)? {
        let algorithm = expected.algorithm();
        if ChecksumValue::of(algorithm, document) != expected {
            return Err(answer(&ObjectError::ChecksumMismatch { algorithm }, Subject::default()));
        }
    }
    Ok(())
}

/// The same of a checksum that comes behind the document.
pub(crate) fn verify_trailer(
    headers: &HeaderMap,
    trailers: Option<&TrailingHeaders>,
    document: &[Bytes],
) -> Result<(), ApiError> {
    let Some(value) = Trailing::of(headers, trailers)?.check()? else { return Ok(()) };
    let algorithm = value.algorithm();
    match value == ChecksumValue::of(algorithm, document) {
        true => Ok(()),
        false => Err(answer(&ObjectError::ChecksumMismatch { algorithm }, Subject::default())),
    }
}

/// What is to come behind a body in chunks, and what came. Both have to be the same: what no header announced is as wrong as what was
/// announced and is not there (<https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>).
pub(crate) struct Trailing {
    announced: Option<ChecksumAlgorithm>,
    came: Option<TrailingHeaders>,
}

impl Trailing {
    pub(crate) fn of(headers: &HeaderMap, came: Option<&TrailingHeaders>) -> Result<Self, ApiError> {
        Ok(Self { announced: announced(headers)?, came: came.cloned() })
    }

    /// Whether there is nothing to look at when the body has ended.
    pub(crate) fn is_nothing(&self) -> bool {
        self.announced.is_none() && self.came.is_none()
    }

    /// The checksum that came, once the body has ended.
    pub(crate) fn check(&self) -> Result<Option<ChecksumValue>, ApiError> {
        let came = self.came.as_ref().and_then(|came| came.read(HeaderMap::clone)).unwrap_or_default();
        let malformed = || ApiError::new(StatusCode::BAD_REQUEST, "MalformedTrailerError", messages::TRAILER);
        match self.announced {
            None if came.is_empty() => Ok(None),
            None => Err(malformed()),
            Some(algorithm) => {
                let name = header(algorithm);
                let value = came.get(name).filter(|_| came.len() == 1).ok_or_else(malformed)?;
                let value = value.to_str().ok().and_then(|value| ChecksumValue::parse(algorithm, value));
                let invalid =
                    || ApiError::invalid_request(format!("Value for {name} trailing header is invalid."));
                value.map(Some).ok_or_else(invalid)
            }
        }
    }
}

/// `Content-MD5`.
pub(crate) fn content_md5(header: Option<&str>) -> Result<Option<[u8; 16]>, ApiError> {
    let Some(header) = header else { return Ok(None) };
    let bytes = STANDARD.decode(header).ok().and_then(|bytes| bytes.try_into().ok());
    match bytes {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "InvalidDigest",
            "The Content-MD5 you specified was invalid.",
        )
        .field("Content-MD5", header)),
    }
}

pub(crate) fn algorithm_out(algorithm: ChecksumAlgorithm) -> dto::ChecksumAlgorithm {
    dto::ChecksumAlgorithm::from_static(algorithm.name())
}

pub(crate) fn kind_out(kind: ChecksumKind) -> dto::ChecksumType {
    dto::ChecksumType::from_static(match kind {
        ChecksumKind::FullObject => dto::ChecksumType::FULL_OBJECT,
        ChecksumKind::Composite => dto::ChecksumType::COMPOSITE,
    })
}

/// Values as they are answered.
#[derive(Default)]
pub(crate) struct Values {
    /// Those that the library puts into headers and documents.
    pub(crate) known: dto::Checksum,
    /// Those that it has no places for.
    pub(crate) others: Others,
}

/// Values that are put into headers and documents beside the library.
#[derive(Default)]
#[must_use = "what is left here is missing in the answer"]
pub(crate) struct Others(Vec<(ChecksumAlgorithm, String)>);

impl Others {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(ChecksumAlgorithm, String)> {
        self.0.iter()
    }

    pub(crate) fn push(&mut self, algorithm: ChecksumAlgorithm, text: String) {
        self.0.push((algorithm, text));
    }

    /// Puts their headers among those of an answer.
    pub(crate) fn put_into(&self, headers: &mut HeaderMap) {
        for (algorithm, text) in self.iter() {
            let value = HeaderValue::from_str(text).expect("Base64 and a number are a header's value");
            headers.insert(header(*algorithm), value);
        }
    }

    /// Their headers alone.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        self.put_into(&mut headers);
        headers
    }
}

/// The checksum elements and headers of answers.
pub(crate) fn checksum_out(checksums: &[Checksum]) -> Values {
    let mut out = Values::default();
    for checksum in checksums {
        set_value(&mut out, checksum.value.algorithm(), checksum.to_string());
        out.known.checksum_type = Some(kind_out(checksum.kind));
    }
    out
}

/// The same without the number of parts behind composite values.
pub(crate) fn values_out(checksums: &[Checksum]) -> Values {
    let mut out = Values::default();
    for checksum in checksums {
        set_value(&mut out, checksum.value.algorithm(), checksum.value.to_string());
        out.known.checksum_type = Some(kind_out(checksum.kind));
    }
    out
}

/// The same for a part, whose checksum has no kind.
pub(crate) fn value_out(value: Option<&ChecksumValue>) -> Values {
    let mut out = Values::default();
    if let Some(value) = value {
        set_value(&mut out, value.algorithm(), value.to_string());
    }
    out
}

fn set_value(out: &mut Values, algorithm: ChecksumAlgorithm, text: String) {
    let known = &mut out.known;
    let slot = match algorithm {
        ChecksumAlgorithm::Crc32 => &mut known.checksum_crc32,
        ChecksumAlgorithm::Crc32c => &mut known.checksum_crc32c,
        ChecksumAlgorithm::Crc64Nvme => &mut known.checksum_crc64nvme,
        ChecksumAlgorithm::Sha1 => &mut known.checksum_sha1,
        ChecksumAlgorithm::Sha256 => &mut known.checksum_sha256,
        _ => return out.others.push(algorithm, text),
    };
    *slot = Some(text);
}

/// Puts values into an answer with the usual fields, and hands back those that it has no fields for.
macro_rules! answer_checksums {
    ($output:expr, $values:expr) => {{
        let $crate::checksum::Values { known, others } = $values;
        $output.checksum_crc32 = known.checksum_crc32;
        $output.checksum_crc32c = known.checksum_crc32c;
        $output.checksum_crc64nvme = known.checksum_crc64nvme;
        $output.checksum_sha1 = known.checksum_sha1;
        $output.checksum_sha256 = known.checksum_sha256;
        others
    }};
}
pub(crate) use answer_checksums;

/// The checksum that a part of a completion names.
pub(crate) fn completed(part: &NamedPart) -> Result<Option<ChecksumValue>, ApiError> {
    match part.checksums.as_slice() {
        [] => Ok(None),
        [(algorithm, text)] => parse(*algorithm, text).map(Some),
        [_, _, ..] => Err(several()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn value_in_a_header_is_expected() {
        let request = upload_request(&headers(&[("x-amz-checksum-crc32", "AAAAAA==")]), None).unwrap();
        assert_eq!(request.expected, [ChecksumValue::new(ChecksumAlgorithm::Crc32, vec![0; 4]).unwrap()]);
        assert!(request.trailer.is_none());
        let none = upload_request(&HeaderMap::new(), None).unwrap();
        assert!(none.expected.is_empty() && none.trailer.is_none() && none.compute.is_none());
    }

    #[test]
    fn announced_trailer_that_never_came_has_no_value() {
        let given = [("x-amz-trailer", "x-amz-checksum-sha256"), (NAMED, "SHA256")];
        let request = upload_request(&headers(&given), None).unwrap();
        let (algorithm, value) = request.trailer.unwrap();
        assert_eq!(algorithm, ChecksumAlgorithm::Sha256);
        assert!(value().is_none());
    }

    #[test]
    fn contradicting_headers_are_refused() {
        let rows: [&[(&'static str, &'static str)]; 7] = [
            &[("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-checksum-crc32c", "AAAAAA==")],
            &[("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-trailer", "x-amz-checksum-crc32")],
            &[("x-amz-checksum-crc32", "AAAA")],
            &[("x-amz-checksum-crc32", "!")],
            &[(NAMED, "CRC32")],
            &[(NAMED, "SHA1"), ("x-amz-checksum-crc32", "AAAAAA==")],
            &[("x-amz-trailer", "x-amz-meta-a")],
        ];
        for row in rows {
            assert_eq!(upload_request(&headers(row), None).unwrap_err().code, "InvalidRequest", "{row:?}");
        }
    }

    #[test]
    fn checksum_that_cannot_be_verified_is_refused() {
        for name in ["md6", "sha3", "xxhash32", "of-next-year"] {
            let name = http::HeaderName::try_from(format!("x-amz-checksum-{name}")).unwrap();
            let headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("AAAAAA=="))]);
            for refused in [
                upload_request(&headers, None).err(),
                verify_document(&headers, &[]).err(),
                given(&headers).err(),
            ] {
                assert_eq!(refused.unwrap().code, "InvalidRequest", "{name}");
            }
        }
        for name in ["x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"] {
            assert_eq!(given(&headers(&[(name, "x")])).unwrap(), None, "{name}");
        }
    }

    #[test]
    fn part_has_one_checksum() {
        let crc32 = Some("AAAAAA==".to_owned());
        let mut part = dto::CompletedPart { checksum_crc32: crc32.clone(), ..Default::default() };
        assert!(completed(&part.clone().into()).unwrap().is_some());
        part.checksum_crc32c = crc32;
        assert_eq!(completed(&part.into()).unwrap_err().code, "InvalidRequest");
        let other = (ChecksumAlgorithm::XxHash64, "AAAAAAAAAAA=".to_owned());
        let mut part = NamedPart { checksums: vec![other.clone()], ..NamedPart::default() };
        assert_eq!(completed(&part).unwrap().unwrap().algorithm(), ChecksumAlgorithm::XxHash64);
        part.checksums.push((ChecksumAlgorithm::Md5, other.1));
        assert_eq!(completed(&part).unwrap_err().code, "InvalidRequest");
    }

    #[test]
    fn every_algorithm_is_read_from_a_header_and_told_in_one() {
        for algorithm in ChecksumAlgorithm::ALL {
            let value = ChecksumValue::new(algorithm, vec![7; algorithm.value_len()]).unwrap();
            let name = format!("x-amz-checksum-{}", algorithm.name().to_lowercase());
            assert_eq!(header(algorithm), name);
            let text = HeaderValue::try_from(value.to_string()).unwrap();
            let given_headers = HeaderMap::from_iter([
                (http::HeaderName::try_from(&name).unwrap(), text.clone()),
                (http::HeaderName::from_static(NAMED), HeaderValue::from_static(algorithm.name())),
            ]);
            let request = upload_request(&given_headers, None).unwrap();
            assert_eq!(request.expected, std::slice::from_ref(&value));
            assert_eq!(announced(&headers(&[(TRAILER, header(algorithm))])).unwrap(), Some(algorithm));
            let checksum = Checksum { value: value.clone(), kind: ChecksumKind::FullObject, parts: 0 };
            let Values { known, others } = checksum_out(&[checksum]);
            let places = [
                known.checksum_crc32,
                known.checksum_crc32c,
                known.checksum_crc64nvme,
                known.checksum_sha1,
                known.checksum_sha256,
                others.headers().get(&name).map(|value| value.to_str().unwrap().to_owned()),
            ];
            assert_eq!(places.into_iter().flatten().collect::<Vec<_>>(), [value.to_string()], "{name}");
            assert_eq!(known.checksum_type.unwrap().as_str(), "FULL_OBJECT");
        }
    }

    #[test]
    fn content_md5_has_sixteen_bytes() {
        assert_eq!(content_md5(Some("AAAAAAAAAAAAAAAAAAAAAA==")).unwrap(), Some([0; 16]));
        assert_eq!(content_md5(None).unwrap(), None);
        for bad in ["", "AAAA", "?"] {
            assert_eq!(content_md5(Some(bad)).unwrap_err().code, "InvalidDigest");
        }
    }

    #[test]
    fn composite_checksums_keep_their_count_and_completions_drop_it() {
        let value = ChecksumValue::new(ChecksumAlgorithm::Crc32c, vec![0; 4]).unwrap();
        let checksum = Checksum { value: value.clone(), kind: ChecksumKind::Composite, parts: 3 };
        let out = checksum_out(&[checksum]);
        assert_eq!(out.known.checksum_crc32c.as_deref(), Some("AAAAAA==-3"));
        assert_eq!(out.known.checksum_type.unwrap().as_str(), "COMPOSITE");
        assert_eq!(given(&headers(&[("x-amz-checksum-crc32c", "AAAAAA==-3")])).unwrap(), Some(value));
    }
}

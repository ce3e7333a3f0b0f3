//! `CopyObject`.

use s3s::dto::{CopyObjectInput, CopyObjectOutput, CopyObjectResult, MetadataDirective, TaggingDirective};
use strongroom_objects::request::{CopyRequest, Directive, NotCopied};

use super::common::{expiration_of_written, refuse_acl};
use super::object_lock;
use super::take::{copy_source, meta_headers, write_headers};
use crate::checksum::{self, answer_checksums, checksum_out};
use crate::checksum_document;
use crate::convert;
use crate::error::{ApiError, Subject, answer};
use crate::face::{Answer, Call, SourceName};
use crate::sse::{self, answer_sse};

pub(crate) async fn run(call: Call, input: CopyObjectInput) -> Answer<CopyObjectOutput> {
    refuse_acl(input.acl.as_ref().map(|acl| acl.as_str()), &call.headers)?;
    let locks = object_lock::of_headers(&call.headers)?;
    let metadata = directive(
        "x-amz-metadata-directive",
        input.metadata_directive.as_ref().map(MetadataDirective::as_str),
        "Unknown metadata directive.",
    )?;
    let tagging = directive(
        "x-amz-tagging-directive",
        input.tagging_directive.as_ref().map(TaggingDirective::as_str),
        "Unknown tagging directive.",
    )?;
    let source = copy_source!(input);
    let sse = write_headers!(input);
    let meta = meta_headers!(input);
    let class = meta.storage_class.clone();
    let named = input.checksum_algorithm.as_ref();
    let key = input.key.clone();
    let mut meta = convert::object_meta(meta, locks, &call.headers)?;
    meta.system.storage_class = class;
    let request = CopyRequest {
        sse: sse::write_request(sse, call.sse_setting(&input.bucket))?,
        source: source.into_request(&call).await?,
        bucket: convert::bucket_name(&input.bucket)?,
        name: convert::object_name(input.key)?,
        meta,
        metadata,
        tagging,
        // The library's input has neither of the two.
        conditions: convert::write_conditions(&call.headers)?,
        checksum: named
            .map(|algorithm| checksum::algorithm("x-amz-checksum-algorithm", algorithm.as_str()))
            .transpose()?,
    };
    let (from, to) = (SourceName::of(&request.source), (request.bucket.clone(), request.name.clone()));
    let copied = call
        .objects()
        .copy_if(request, |taken| {
            call.authorise_copy(&from, (&to.0, &to.1), taken, tagging == Directive::Copy)
        })
        .await
        .map_err(|error| not_copied(error, Subject { key: Some(&key), ..Subject::default() }))?;
    let stored = copied.put;
    let mut result = CopyObjectResult {
        checksum_type: stored.checksums.first().map(|checksum| checksum::kind_out(checksum.kind)),
        e_tag: Some(convert::etag_out(&stored.etag)),
        last_modified: Some(convert::time_out(stored.mtime)),
        ..CopyObjectResult::default()
    };
    let others = answer_checksums!(result, checksum_out(&stored.checksums));
    let own = others.document("CopyObjectResult", &result);
    let mut output = CopyObjectOutput {
        copy_object_result: Some(result),
        expiration: expiration_of_written(&call, &to, &stored),
        copy_source_version_id: convert::version_out(copied.source_version),
        version_id: convert::version_out(stored.version),
        ..CopyObjectOutput::default()
    };
    answer_sse!(output, &stored.sse, with context);
    Ok(checksum_document::answer(output, own))
}

/// Why nothing was copied; what is wrong with the source is told otherwise than of a read.
pub(super) fn not_copied(error: NotCopied<ApiError>, subject: Subject<'_>) -> ApiError {
    let error = match error {
        NotCopied::Refused(error) => error,
        NotCopied::Failed(error) => answer(&error, subject),
    };
    if error.code == "MethodNotAllowed" {
        return ApiError::invalid_request(
            "The source of a copy request may not specifically refer to a delete marker by version id.",
        );
    }
    error
}

fn directive(
    header: &'static str,
    given: Option<&str>,
    message: &'static str,
) -> Result<Directive, ApiError> {
    match given {
        None | Some("COPY") => Ok(Directive::Copy),
        Some("REPLACE") => Ok(Directive::Replace),
        Some(other) => Err(ApiError::invalid_argument(header, other, message)),
    }
}

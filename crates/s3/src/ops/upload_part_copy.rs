//! `UploadPartCopy`.

use s3s::dto::{CopyPartResult, UploadPartCopyInput, UploadPartCopyOutput};
use strongroom_objects::request::CopyPart;

use super::copy_object::not_copied;
use super::take::{copy_source, customer_headers};
use crate::checksum::{answer_checksums, value_out};
use crate::checksum_document;
use crate::convert;
use crate::error::{ApiError, Subject};
use crate::face::{Answer, Call, SourceName};
use crate::sse::{self, answer_sse};

pub(crate) async fn run(call: Call, input: UploadPartCopyInput) -> Answer<UploadPartCopyOutput> {
    sse::refuse_method(&call.headers)?;
    let customer = customer_headers!(input);
    let source = copy_source!(input);
    let range = input.copy_source_range;
    let bucket = convert::bucket_name(&input.bucket)?;
    let request = CopyPart {
        source: source.into_request(&call).await?,
        range: range.as_deref().map(range_in).transpose()?,
        name: convert::object_name(input.key)?,
        upload: call.upload_id(&bucket, &input.upload_id).await?,
        bucket,
        part: convert::part_number(input.part_number)?,
        customer_key: sse::part_key(customer, call.sse_setting(&input.bucket))?,
    };
    call.authorise_parts(&request.bucket, &request.name, request.upload).await?;
    let subject = Subject { range: range.as_deref(), ..Subject::default() };
    let (from, to) = (SourceName::of(&request.source), (request.bucket.clone(), request.name.clone()));
    let stored = call
        .objects()
        .copy_part_if(request, |taken| call.authorise_copy(&from, (&to.0, &to.1), taken, false))
        .await
        .map_err(|error| not_copied(error, subject))?;
    let mut result = CopyPartResult {
        e_tag: Some(convert::etag_out(&stored.etag)),
        last_modified: Some(convert::time_out(stored.mtime)),
        ..CopyPartResult::default()
    };
    let others = answer_checksums!(result, value_out(stored.checksum.as_ref()));
    let own = others.document("CopyPartResult", &result);
    let mut output = UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id: convert::version_out(stored.source_version),
        ..UploadPartCopyOutput::default()
    };
    answer_sse!(output, &stored.sse);
    Ok(checksum_document::answer(output, own))
}

/// `x-amz-copy-source-range`: `bytes=first-last`, nothing left out.
pub(crate) fn range_in(text: &str) -> Result<(u64, u64), ApiError> {
    let parse = || {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some((first, last))
    };
    parse().ok_or_else(|| {
        ApiError::invalid_argument(
            "x-amz-copy-source-range",
            text,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the \
             zero-based offsets of the first and last bytes to copy",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_of_a_part_copy_names_both_ends() {
        assert_eq!(range_in("bytes=0-9").unwrap(), (0, 9));
        for bad in ["bytes=0-", "bytes=-9", "0-9", "bytes=9-0", "bytes=a-b", "bytes=0-9,11-12", ""] {
            assert_eq!(range_in(bad).unwrap_err().code, "InvalidArgument", "{bad}");
        }
    }
}

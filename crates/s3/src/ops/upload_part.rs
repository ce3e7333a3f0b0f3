//! `UploadPart`.

use s3s::S3Response;
use s3s::dto::{UploadPartInput, UploadPartOutput};
use strongroom_objects::request::PutPart;

use super::take::customer_headers;
use crate::checksum::{self, Trailing, answer_checksums, value_out};
use crate::convert;
use crate::face::{Answer, Call};
use crate::sse::{self, answer_sse};
use crate::wire::content::content;

pub(crate) async fn run(mut call: Call, input: UploadPartInput) -> Answer<UploadPartOutput> {
    sse::refuse_method(&call.headers)?;
    call.require_length()?;
    let customer = customer_headers!(input);
    let bucket = convert::bucket_name(&input.bucket)?;
    let trailing = Trailing::of(&call.headers, call.trailers.as_ref())?;
    let request = PutPart {
        name: convert::object_name(input.key)?,
        upload: call.upload_id(&bucket, &input.upload_id).await?,
        bucket,
        part: convert::part_number(input.part_number)?,
        content: content(input.body, input.content_length, &call.headers, trailing)?,
        checksums: checksum::upload_request(&call.headers, call.trailers.take())?,
        content_md5: checksum::content_md5(input.content_md5.as_deref())?,
        customer_key: sse::part_key(customer, call.sse_setting(&input.bucket))?,
    };
    call.authorise_parts(&request.bucket, &request.name, request.upload).await?;
    let stored = call.objects().put_part(request).await?;
    let mut output =
        UploadPartOutput { e_tag: Some(convert::etag_out(&stored.etag)), ..UploadPartOutput::default() };
    answer_sse!(output, &stored.sse);
    let others = answer_checksums!(output, value_out(stored.checksum.as_ref()));
    Ok(S3Response::with_headers(output, others.headers()))
}

//! `HeadBucket`.

use s3s::S3Response;
use s3s::dto::{HeadBucketInput, HeadBucketOutput};

use crate::convert;
use crate::face::{Answer, Call};

pub(crate) async fn run(call: Call, input: HeadBucketInput) -> Answer<HeadBucketOutput> {
    call.objects().head_bucket(&convert::bucket_name(&input.bucket)?).await?;
    Ok(S3Response::new(HeadBucketOutput {
        access_point_alias: Some(false),
        bucket_region: Some(call.region().to_owned()),
        ..HeadBucketOutput::default()
    }))
}

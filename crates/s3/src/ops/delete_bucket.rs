//! `DeleteBucket`.

use s3s::S3Response;
use s3s::dto::{DeleteBucketInput, DeleteBucketOutput};

use crate::convert;
use crate::face::{Answer, Call};

pub(crate) async fn run(call: Call, input: DeleteBucketInput) -> Answer<DeleteBucketOutput> {
    call.objects().delete_bucket(&convert::bucket_name(&input.bucket)?).await?;
    Ok(S3Response::new(DeleteBucketOutput {}))
}

//! Beginning a multipart upload.

use std::sync::Arc;

use metrics::gauge;
use strongroom_store::{Command, Outcome, Write};
use strongroom_telemetry::names;

use crate::layers::ContentKeys;
use crate::measure::counted;
use crate::objects::{Objects, blocking, carried_out};
use crate::request::{CreateUpload, UploadCreated};
use crate::rows::{self, ContentId, UploadRow};
use crate::sse::{Belongs, Wrapper};
use crate::{ChecksumAlgorithm, ChecksumKind, ObjectError, UploadId};

impl Objects {
    /// Begins an upload. The object's key is made here and never leaves the wrap until a part needs it.
    ///
    /// # Errors
    /// Those of metadata, encryption and checksum kind.
    pub async fn create_upload(&self, request: CreateUpload) -> Result<UploadCreated, ObjectError> {
        counted("create_upload", async {
            let bucket = self.0.bucket(&request.bucket)?;
            crate::meta::check(&request.meta)?;
            bucket.check_locks(&request.meta, self.0.options.clock.now())?;
            let checksum = request.checksum.map(|(algorithm, kind)| kind_of(algorithm, kind)).transpose()?;
            let inner = Arc::clone(&self.0);
            let content = ContentId::generate(&*inner.options.random);
            let belongs =
                Belongs { bucket: request.bucket, group: bucket.group, name: request.name, content };
            let wrapper = Wrapper::choose(request.sse, &bucket.settings, &belongs, &inner.keys).await?;
            let sse = wrapper.applied();
            carried_out(async move {
                let _held = inner.wraps.hold(bucket.group);
                let begun = inner.options.clock.now();
                let upload = UploadId::generate(begun, &*inner.options.random);
                let (job, at) = (Arc::clone(&inner), Arc::clone(&bucket));
                let command = blocking(move || {
                    let random = &*job.options.random;
                    let keys = ContentKeys::generate(wrapper.layers(), random);
                    let sse = wrapper
                        .wrap(&job.store, &belongs, &keys, random)
                        .map_err(|error| at.read_error(error))?;
                    let row = UploadRow { begun, content, sse, checksum, meta: request.meta };
                    let key = rows::upload_key(&belongs.name, &upload);
                    Ok(Command {
                        group: at.group,
                        checks: vec![at.is_active()],
                        writes: vec![Write::Put { key, value: row.encode() }],
                    })
                })
                .await?;
                let commit = async || {
                    inner.store.commit(command.clone()).await.map_err(|error| bucket.commit_error(error))
                };
                if let Outcome::Refused { .. } = commit().await? {
                    inner.refused(&bucket).await?;
                    if let Outcome::Refused { .. } = commit().await? {
                        return Err(bucket.gone());
                    }
                }
                gauge!(names::UPLOADS_OPEN).increment(1.0);
                Ok(UploadCreated { upload, sse, checksum })
            })
            .await
        })
        .await
    }
}

/// The kind that is asked for, or the algorithm's usual one, which composes if it can.
fn kind_of(
    algorithm: ChecksumAlgorithm,
    kind: Option<ChecksumKind>,
) -> Result<(ChecksumAlgorithm, ChecksumKind), ObjectError> {
    let usual = if algorithm.composes() { ChecksumKind::Composite } else { ChecksumKind::FullObject };
    let kind = kind.unwrap_or(usual);
    let has_it = match kind {
        ChecksumKind::Composite => algorithm.composes(),
        ChecksumKind::FullObject => algorithm.covers_whole_uploads(),
    };
    if has_it { Ok((algorithm, kind)) } else { Err(ObjectError::ChecksumKindUnsupported { algorithm }) }
}

//! Copying a range of an object into a part of an upload.

use crate::measure::counted;
use crate::objects::Objects;
use crate::ops::copy::content;
use crate::ops::put::PUT_LEN_MAX;
use crate::ops::put_part::PartTarget;
use crate::request::{CopyPart, NotCopied, PartStored, ToCopy};
use crate::{ChecksumRequest, ObjectError};

impl Objects {
    /// Copies a range of an object into a part.
    ///
    /// # Errors
    /// Those of reading the source and of [`Self::put_part`]; [`ObjectError::InvalidCopyRange`] for a range that is not
    /// inside the source.
    pub async fn copy_part(&self, request: CopyPart) -> Result<PartStored, ObjectError> {
        self.copy_part_if(request, |_| Ok(())).await.map_err(NotCopied::of_nobody)
    }

    /// [`Self::copy_part`], if `allow` has nothing against it: as in [`Self::copy_if`].
    ///
    /// # Errors
    /// Those of [`Self::copy_part`], and what `allow` says.
    pub async fn copy_part_if<E: Send>(
        &self,
        request: CopyPart,
        allow: impl FnOnce(ToCopy<'_>) -> Result<(), E> + Send,
    ) -> Result<PartStored, NotCopied<E>> {
        counted("copy_part", async {
            let bucket = self.0.bucket(&request.bucket)?;
            let mut opened = self.open_source(request.source, None, allow).await?;
            let size = opened.object.size;
            if let Some((first, last)) = request.range {
                if first > last || last >= size {
                    return Err(ObjectError::InvalidCopyRange { size }.into());
                }
                opened.wanted.bytes = first..last + 1;
            }
            let length = opened.wanted.length();
            if length > PUT_LEN_MAX {
                return Err(ObjectError::CopySourceTooLarge { most: PUT_LEN_MAX }.into());
            }
            let source_version = opened.shown_version();
            let content = content(opened.body(&self.0).await?);
            let target = PartTarget {
                bucket,
                name: request.name,
                upload: request.upload,
                part: request.part,
                customer_key: request.customer_key,
                copied: true,
            };
            let mut stored = self.0.store_part(target, content, ChecksumRequest::default(), None).await?;
            stored.source_version = source_version;
            Ok(stored)
        })
        .await
    }
}

//! What is known of an object and its parts.

use crate::measure::counted;
use crate::objects::Objects;
use crate::ops::get::Purpose;
use crate::request::{Attributes, GetRequest};
use crate::rows::ContentAt;
use crate::{ObjectError, PartNumber};

impl Objects {
    /// An object's description with the parts it was uploaded in.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub async fn attributes(&self, request: GetRequest) -> Result<Attributes, ObjectError> {
        counted("attributes", async {
            let opened = self.0.open_object(request, Purpose::Description).await?;
            let info = opened.info();
            let parts = match opened.body.content {
                ContentAt::Parts(parts) => parts,
                ContentAt::Inline(_) | ContentAt::Blob(_) => Vec::new(),
            };
            let numbered = |part: crate::rows::PartAt| {
                Some((PartNumber::new(part.number.into())?, part.size, part.checksum))
            };
            Ok(Attributes { info, parts: parts.into_iter().filter_map(numbered).collect() })
        })
        .await
    }
}

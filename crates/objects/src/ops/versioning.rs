//! Switching a bucket's versioning.

use std::sync::Arc;
use std::time::Duration;

use strongroom_store::GroupId;

use crate::measure::counted;
use crate::objects::{Objects, carried_out};
use crate::{BucketName, ObjectError, Versioning};

/// How often it is looked whether those who write under the setting before are done. They are about to commit.
const WAIT: Duration = Duration::from_millis(2);

impl Objects {
    /// Switches versioning on or suspends it. When this returns, no write goes on that began under the setting before.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`]; [`ObjectError::ObjectLockOn`]; [`ObjectError::Unsupported`] for switching off what was on: versions made meanwhile
    /// would be neither reachable nor removed.
    pub async fn set_versioning(&self, name: &BucketName, versioning: Versioning) -> Result<(), ObjectError> {
        counted("set_versioning", async {
            let (this, name) = (self.clone(), name.clone());
            let group = carried_out(async move {
                let _changing = this.0.buckets.changing().await;
                let bucket = this.0.bucket(&name)?;
                if versioning == Versioning::Off && bucket.settings.versioning != Versioning::Off {
                    return Err(ObjectError::Unsupported { what: "switching versioning off again" });
                }
                if versioning != Versioning::Enabled && bucket.object_lock()?.is_some() {
                    return Err(ObjectError::ObjectLockOn);
                }
                let mut changed = (*bucket).clone();
                changed.settings.versioning = versioning;
                this.replace_row(&bucket, &Arc::new(changed)).await?;
                Ok(bucket.group)
            })
            .await?;
            self.settled(group).await;
            Ok(())
        })
        .await
    }

    /// Waits until nobody goes on with what was set on the group's bucket before now.
    pub(crate) async fn settled(&self, group: GroupId) {
        // Writers hold it from reading the setting until they have committed.
        let earlier = self.0.wraps.earlier(group);
        while !earlier.are_done() {
            tokio::time::sleep(WAIT).await;
        }
    }
}

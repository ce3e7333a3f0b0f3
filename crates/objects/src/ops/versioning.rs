//! Switching a bucket's versioning.

use std::time::Duration;

use crate::commit::Note;
use crate::measure::counted;
use crate::objects::Objects;
use crate::{BucketName, ObjectError, Versioning};

/// How often it is looked whether those who write under the setting before are done. They are about to commit.
const WAIT: Duration = Duration::from_millis(2);

impl Objects {
    /// Switches versioning on or suspends it. When this returns, no write goes on that began under the setting before.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`]; [`ObjectError::Unsupported`] for switching off what was on: versions made meanwhile
    /// would be neither reachable nor removed.
    pub async fn set_versioning(&self, name: &BucketName, versioning: Versioning) -> Result<(), ObjectError> {
        counted("set_versioning", async {
            let note = Note::new();
            let refused = note.clone();
            let changed = self.change_settings(name, move |settings| {
                if versioning == Versioning::Off && settings.versioning != Versioning::Off {
                    refused.put(ObjectError::Unsupported { what: "switching versioning off again" });
                } else {
                    settings.versioning = versioning;
                }
            });
            changed.await?;
            match note.take() {
                Some(error) => Err(error),
                None => {
                    self.settled().await;
                    Ok(())
                }
            }
        })
        .await
    }

    /// Waits until nobody goes on with what was set on a bucket before now.
    pub(crate) async fn settled(&self) {
        // Writers hold it from reading the setting until they have committed.
        let earlier = self.0.wraps.earlier();
        while !earlier.are_done() {
            tokio::time::sleep(WAIT).await;
        }
    }
}

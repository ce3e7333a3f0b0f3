//! Blob files that no row names.

use std::io;
use std::path::Path;

use strongroom_store::{GroupId, ReadError, Reading};

use super::{ObjectFinding, Verifier};
use crate::rows::{self, BlobId};

impl Verifier<'_> {
    /// Looks at every file of the blob directory.
    pub(super) fn orphans(&self) {
        match self.blobs.groups() {
            Ok(groups) => {
                let existing = self.image.groups();
                for group in groups {
                    self.orphans_of(group, existing.contains(&group));
                }
            }
            // A store without large objects may never have had one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.unlistable(&self.options.blob_dir, &error),
        }
        let temporary = self.disk.list(&self.options.blob_dir.join("tmp")).unwrap_or_default();
        self.count(|counts| counts.temporary += temporary.len() as u64);
    }

    fn orphans_of(&self, group: GroupId, exists: bool) {
        let files = match self.blobs.of_earlier_runs(group) {
            Ok(files) => files,
            Err(error) => return self.unlistable(&self.options.blob_dir.join(group.to_string()), &error),
        };
        let reading = if exists { self.image.read(group).ok() } else { None };
        if exists && reading.is_none() {
            // Damage of the index, told already: it is no proof that a blob has no owner.
            return;
        }
        for blob in files {
            match reading.as_ref().map(|reading| use_of(reading, &blob)) {
                Some(Ok(Use::Owned)) => {}
                Some(Ok(Use::Garbage)) => self.count(|counts| counts.garbage += 1),
                Some(Err(_)) => return,
                Some(Ok(Use::Nobodys)) | None => self.orphan(group, &blob),
            }
        }
    }

    fn orphan(&self, group: GroupId, blob: &BlobId) {
        let path = self.blobs.path(group, blob);
        let len = self.disk.open(&path).and_then(|file| file.len()).unwrap_or(0);
        self.count(|counts| {
            counts.orphans += 1;
            counts.orphan_bytes += len;
        });
        self.watch.found(ObjectFinding::Orphan { path, len });
    }

    fn unlistable(&self, path: &Path, error: &io::Error) {
        self.watch.found(ObjectFinding::Io { path: path.to_owned(), error: error.to_string() });
    }
}

enum Use {
    Owned,
    Garbage,
    Nobodys,
}

fn use_of(reading: &Reading, blob: &BlobId) -> Result<Use, ReadError> {
    if reading.get(&rows::owner_key(blob))?.is_some() {
        return Ok(Use::Owned);
    }
    Ok(if reading.get(&rows::garbage_key(blob))?.is_some() { Use::Garbage } else { Use::Nobodys })
}

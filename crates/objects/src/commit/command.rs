//! The command of a change. Every row that it moves or removes is checked to be the one that was read, so that the
//! turns that writers of one name take within a process only spare attempts.

use strongroom_store::{Check, Command, Write};

use super::{Action, Change, Done, Seen, body};
use crate::events::{Happened, What};
use crate::objects::Inner;
use crate::rows::{self, BlobId, Body, ContentId, Head, HeadKind, end_of_prefix};
use crate::versions::{Version, newest_noncurrent, noncurrent, shown};
use crate::{ObjectError, Timestamp, VersionId, Versioning};

/// A command, and what is true once it was carried out.
pub(super) struct Prepared {
    pub(super) command: Command,
    /// Blobs that nothing refers to any more.
    pub(super) dropped: Vec<BlobId>,
    pub(super) done: Done,
    /// What it is to those who are told of events.
    pub(super) happened: Happened,
}

/// The command of a change.
pub(super) fn of(inner: &Inner, seen: &Seen<'_>, change: Change) -> Result<Prepared, ObjectError> {
    let Change { action, checks, writes, dropped } = change;
    let mut draft = Draft { inner, seen, checks: Vec::new(), writes, dropped };
    draft.checks.push(seen.bucket.is_active());
    let (mut size, mut etag) = (None, None);
    let (what, done) = match action {
        Action::New { object, mut body, mtime } => {
            seen.bucket.lock_new(&mut body.meta, inner.options.clock.now())?;
            (size, etag) = (Some(object.size), Some(object.etag.to_string()));
            let content = object.content;
            let version = draft.put_head(HeadKind::Object(object), mtime)?;
            draft.put_body(content, &body);
            (What::Created, Done { version, delete_marker: false })
        }
        Action::Amend { version, body } => {
            draft.checks.push(version.is_the_same());
            if let Some(object) = version.object() {
                etag = Some(object.etag.to_string());
                draft.put_body(object.content, &body);
            }
            let version = draft.shown(version.head.version);
            (What::Amended, Done { version, delete_marker: false })
        }
        Action::Delete { mtime } => match (seen.bucket.settings.versioning, seen.current) {
            (Versioning::Off, Some(current)) if current.head.version == VersionId::Null => {
                draft.remove(current)?;
                (What::Removed, Done::default())
            }
            _ => {
                let version = draft.put_head(HeadKind::DeleteMarker, mtime)?;
                (What::Marked, Done { version, delete_marker: true })
            }
        },
        Action::Remove { version } => {
            draft.remove(&version)?;
            let delete_marker = version.object().is_none();
            (What::Removed, Done { version: Some(version.head.version), delete_marker })
        }
    };
    draft.checks.extend(checks);
    let happened = Happened { what, version: done.version, size, etag };
    Ok(draft.finish(done, happened))
}

/// A command that is being put together.
struct Draft<'a> {
    inner: &'a Inner,
    seen: &'a Seen<'a>,
    checks: Vec<Check>,
    writes: Vec<Write>,
    dropped: Vec<BlobId>,
}

impl Draft<'_> {
    /// Puts a new head in the place of the current one.
    fn put_head(&mut self, kind: HeadKind, mtime: Timestamp) -> Result<Option<VersionId>, ObjectError> {
        let Seen { name, current, bucket, .. } = *self.seen;
        // Above what it replaces, even if the clock went back.
        let least = current.map_or(1, |current| current.head.order.saturating_add(1));
        let order = self.inner.options.clock.now().0.max(least);
        let version = match bucket.settings.versioning {
            Versioning::Enabled => VersionId::generate(order, &*self.inner.options.random),
            Versioning::Off | Versioning::Suspended => VersionId::Null,
        };
        let keeps = match &kind {
            HeadKind::Object(object) => Some(object.content),
            HeadKind::DeleteMarker => None,
        };
        self.check_current();
        match current {
            Some(current) if current.head.version == version => self.drop_content(current, keeps)?,
            Some(current) => {
                if version == VersionId::Null {
                    self.remove_noncurrent_null()?;
                }
                self.set_aside(current);
            }
            None => {}
        }
        let head = Head { version, order, mtime, kind };
        self.writes.push(Write::Put { key: rows::head_key(name), value: head.encode() });
        Ok(self.shown(version))
    }

    fn put_body(&mut self, content: ContentId, body: &Body) {
        let value = body.encode();
        debug_assert!(Body::decode(&value).is_ok(), "limits are checked before a row is made");
        self.writes.push(Write::Put { key: rows::body_key(self.seen.name, &content), value });
    }

    /// A version goes; if it is the current one, the newest of the others takes its place.
    fn remove(&mut self, version: &Version) -> Result<(), ObjectError> {
        let Seen { name, bucket, reading, .. } = *self.seen;
        if !version.is_current() {
            return self.remove_noncurrent(version);
        }
        self.checks.push(version.is_the_same());
        self.drop_content(version, None)?;
        let key = rows::head_key(name);
        if bucket.settings.versioning == Versioning::Off {
            self.writes.push(Write::Delete { key });
            return Ok(());
        }
        let from = rows::versions_of(name.as_bytes());
        match newest_noncurrent(reading, bucket, name)? {
            Some(next) => {
                self.checks.push(Check::RangeEmpty { from, to: next.key.clone() });
                self.checks.push(next.is_the_same());
                self.writes.push(Write::Delete { key: next.key });
                if next.head.version == VersionId::Null {
                    self.writes.push(Write::Delete { key: rows::null_version_key(name) });
                }
                self.writes.push(Write::Put { key, value: next.row });
            }
            None => {
                let to = end_of_prefix(&from);
                self.checks.push(Check::RangeEmpty { from, to });
                self.writes.push(Write::Delete { key });
            }
        }
        Ok(())
    }

    /// The current version stays, as the newest of those that are not current.
    fn set_aside(&mut self, current: &Version) {
        let Head { version, order, .. } = current.head;
        let name = self.seen.name;
        if version == VersionId::Null {
            let key = rows::null_version_key(name);
            self.checks.push(Check::Absent { key: key.clone() });
            self.writes.push(Write::Put { key, value: rows::encode_order(order) });
        }
        let key = rows::version_key(name, order, version);
        self.writes.push(Write::Put { key, value: current.row.clone() });
    }

    /// There is at most one null version: one that comes takes the place of the one there is.
    fn remove_noncurrent_null(&mut self) -> Result<(), ObjectError> {
        let Seen { name, bucket, reading, .. } = *self.seen;
        match noncurrent(reading, bucket, name, VersionId::Null)? {
            Some(null) => self.remove_noncurrent(&null),
            None => {
                self.checks.push(Check::Absent { key: rows::null_version_key(name) });
                Ok(())
            }
        }
    }

    fn remove_noncurrent(&mut self, version: &Version) -> Result<(), ObjectError> {
        self.checks.push(version.is_the_same());
        self.drop_content(version, None)?;
        self.writes.push(Write::Delete { key: version.key.clone() });
        if version.head.version == VersionId::Null {
            self.writes.push(Write::Delete { key: rows::null_version_key(self.seen.name) });
        }
        Ok(())
    }

    /// The body of a version goes, and its blobs with it, unless the new version has them.
    fn drop_content(&mut self, version: &Version, keeps: Option<ContentId>) -> Result<(), ObjectError> {
        let Seen { name, bucket, reading, .. } = *self.seen;
        let Some(object) = version.object().filter(|object| Some(object.content) != keeps) else {
            return Ok(());
        };
        match body(reading, bucket, name, version.head.version, object) {
            Ok(body) => self.dropped.extend(body.content.blobs()),
            // What cannot be read any more can still be replaced and removed. Which blobs it had nobody knows, so they stay:
            // their owner rows say that somebody has them.
            Err(error @ ObjectError::Damaged(_)) => {
                tracing::error!(group = %bucket.group, %error, "a damaged object goes; blobs of it may be left");
            }
            Err(error) => return Err(error),
        }
        self.writes.push(Write::Delete { key: rows::body_key(name, &object.content) });
        Ok(())
    }

    fn check_current(&mut self) {
        self.checks.push(match self.seen.current {
            Some(current) => current.is_the_same(),
            None => Check::Absent { key: rows::head_key(self.seen.name) },
        });
    }

    fn shown(&self, version: VersionId) -> Option<VersionId> {
        shown(self.seen.bucket.settings.versioning, version)
    }

    fn finish(self, done: Done, happened: Happened) -> Prepared {
        let Self { inner, seen, checks, mut writes, dropped } = self;
        let epoch = rows::encode_epoch(inner.blobs.epoch());
        for blob in &dropped {
            writes.push(Write::Delete { key: rows::owner_key(blob) });
            writes.push(Write::Put { key: rows::garbage_key(blob), value: epoch.clone() });
        }
        let command = Command { group: seen.bucket.group, checks, writes };
        Prepared { command, dropped, done, happened }
    }
}

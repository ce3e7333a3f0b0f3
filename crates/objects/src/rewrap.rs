//! Wrapping object keys anew after their bucket's group got a new key.
//!
//! Rows that hold a key wrapped by the group's: bodies, and uploads that nobody completed. Parts have none, heads have
//! none, and the rows of the system group have none.
//!
//! # Why nothing is left over
//!
//! The old key may go once no row has anything that it wraps, *and none will have*. A row can still get such a wrap
//! from an operation that made it before the rotation, or that read it from another row (a completion takes it from the
//! upload, a change of tags puts a body back as it was read). Both hold a [`WrapHeld`](crate::wraps::WrapHeld) of the group
//! from before they make or read it until their command was carried out, and so does a reader until it has unwrapped. A
//! reader that finds a row whose key the group's does not wrap has nothing of it in hand, and lets go.
//!
//! So passes are made until one finds nothing. Each first waits for all that held one of the group when it began, and then
//! looks at uploads, and at bodies after them. Let a pass have found nothing, and let *X* be the first operation to commit
//! an old wrap to a row after the pass looked at it. *X* was not waited for, so it began after the rotation and did not
//! make the wrap: it read it, from a row that was old then. As *X* is the first, that was before the pass looked at
//! that row, and the pass found it new or gone. It was not wrapped anew, since this pass wrapped nothing, the one before
//! had ended, and one at a time renews a group. So it was replaced or removed, which *X*'s own check excludes before *X* commits: bodies are bound to their
//! head, uploads to their row. That leaves that *X* itself removed it, which is a completion: but uploads are looked at before
//! bodies, and *X*'s commit is after the look at the body. Hence there is no *X*.
//!
//! A crash leaves rows of which each opens under the key that it names; the next run goes on.

use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use strongroom_store::{Check, Command, GroupId, KeyUser, KeyUserError, Outcome, Write};

use crate::buckets::Bucket;
use crate::commit::damaged;
use crate::objects::{Inner, Objects};
use crate::rows::{self, Body, RowError, SseRow, UploadRow, table};
use crate::sse::{Belongs, UnwrapError, Unwrapper, Wrapper};
use crate::{Damaged, ObjectError, VersionId};

/// Rows of one command, by the bytes of their old and new values: far below what a command may have, so that writers
/// of the same bucket hardly wait.
const BATCH_BYTES: usize = 256 << 10;
/// Rows looked at before others get their turn and the page file may let go of what it kept for the reading.
const BATCH_ROWS: usize = 4096;
/// How often it is looked whether those who hold a wrap are done. They are about to commit, so it is soon.
const WAIT: Duration = Duration::from_millis(2);
/// How often at most: some seconds, which is more than a commit takes. The next call waits for those who hold one then, so a
/// shorter wait might not come to its end where writers never pause.
const WAITS_MAX: u32 = 2500;

impl Objects {
    /// What wraps object keys anew when their bucket has a new key. The store is told of it once it is open.
    pub fn key_user(&self) -> Arc<dyn KeyUser> {
        Arc::new(Rewrap(Arc::downgrade(&self.0)))
    }
}

/// Weak, because the store that owns it is owned by the objects.
struct Rewrap(Weak<Inner>);

impl fmt::Debug for Rewrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rewrap(objects)")
    }
}

impl KeyUser for Rewrap {
    fn rewrap(
        &self,
        group: GroupId,
        _active: u32,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, KeyUserError> {
        // Whoever closed the objects closes the store next.
        let Some(inner) = self.0.upgrade() else { return Ok(false) };
        inner.rewrap(group, pace, WAITS_MAX).map_err(KeyUserError::new)
    }
}

/// Whether to go on.
type Pace<'a> = &'a mut dyn FnMut(u64) -> bool;

/// What a pass came to.
#[derive(Debug, Default)]
struct Pass {
    /// Rows with an old wrap, moved or not.
    found: u64,
    /// The first of them that does not open. It is not the pass's to judge, and keeps its key.
    damaged: Option<ObjectError>,
    stopped: bool,
}

/// A row with an old wrap, and what it shall be.
struct OldRow {
    key: Vec<u8>,
    old: Vec<u8>,
    new: Vec<u8>,
}

/// A part of a table.
struct Found {
    rows: Vec<OldRow>,
    damaged: Option<ObjectError>,
    /// The last row that was looked at, if others may follow.
    last: Option<Vec<u8>>,
}

impl Inner {
    /// Makes passes until none finds anything. `false` if it was told to stop, or somebody holds a wrap for too long.
    fn rewrap(&self, group: GroupId, pace: Pace<'_>, waits_max: u32) -> Result<bool, ObjectError> {
        if group == GroupId::SYSTEM {
            return Ok(true);
        }
        let Some(bucket) = self.buckets.of_group(group) else {
            // Being made or dropped. One that is made has nothing old; one that is dropped has no keys soon.
            return Ok(!self.store.groups().contains(&group));
        };
        let Some(_alone) = self.wraps.renew(group) else { return Ok(false) };
        loop {
            let earlier = self.wraps.earlier(group);
            let mut waits = 0;
            while !earlier.are_done() {
                // Others need the thread: whoever holds one for so long is waited for at the next call.
                if waits == waits_max || !pace(0) {
                    return Ok(false);
                }
                waits += 1;
                thread::sleep(WAIT);
            }
            let pass = match self.pass(&bucket, pace) {
                // It is being deleted, and its keys go with it.
                Err(ObjectError::NoSuchBucket { .. }) => return Ok(!self.store.groups().contains(&group)),
                pass => pass?,
            };
            match pass {
                Pass { stopped: true, .. } => return Ok(false),
                Pass { found: 0, damaged: None, .. } => return Ok(true),
                Pass { found: 0, damaged: Some(error), .. } => return Err(error),
                _ => {}
            }
        }
    }

    fn pass(&self, bucket: &Arc<Bucket>, pace: Pace<'_>) -> Result<Pass, ObjectError> {
        let mut pass = Pass::default();
        // In this order: a completion moves a wrap from an upload to a body.
        for table in [table::UPLOAD, table::BODY] {
            let mut from = Bound::Included(vec![table]);
            loop {
                let found = self.old_rows(bucket, table, &from)?;
                pass.damaged = pass.damaged.or(found.damaged);
                pass.found += found.rows.len() as u64;
                let moved = self.commit_rows(bucket, found.rows)?;
                if !pace(moved) {
                    return Ok(Pass { stopped: true, ..pass });
                }
                match found.last {
                    Some(last) => from = Bound::Excluded(last),
                    None => break,
                }
            }
        }
        Ok(pass)
    }

    /// The next rows of a table that an older key wraps, with their new values.
    fn old_rows(&self, bucket: &Arc<Bucket>, table: u8, from: &Bound<Vec<u8>>) -> Result<Found, ObjectError> {
        let (active, _) = self.store.group_key(bucket.group).map_err(|error| bucket.read_error(error))?;
        let reading = self.read(bucket)?;
        let end = [table + 1];
        let from = from.as_ref().map(Vec::as_slice);
        let mut found = Found { rows: Vec::new(), damaged: None, last: None };
        let (mut looked, mut bytes) = (0, 0);
        for entry in reading.range(from, Bound::Excluded(&end))? {
            let (key, value) = entry?;
            looked += 1;
            let key_id = match table {
                table::UPLOAD => UploadRow::group_key_id(&value),
                _ => Body::group_key_id(&value),
            };
            let new = match key_id {
                Ok(None) => None,
                Ok(Some(key_id)) if key_id == active => None,
                Ok(Some(_)) => self.rewrapped(bucket, table, &key, &value).transpose(),
                Err(error) => Some(Err(row_error(error, table))),
            };
            match new {
                None => {}
                Some(Ok(new)) => {
                    bytes += value.len() + new.len();
                    found.rows.push(OldRow { key: key.to_vec(), old: value.to_vec(), new });
                }
                Some(Err(error @ (ObjectError::Damaged(_) | ObjectError::DamagedRow { .. }))) => {
                    found.damaged = found.damaged.or(Some(error));
                }
                Some(Err(error)) => return Err(error),
            }
            if looked == BATCH_ROWS || bytes >= BATCH_BYTES {
                found.last = Some(key.to_vec());
                break;
            }
        }
        Ok(found)
    }

    /// A row's value with its object key wrapped anew; `None` if the group's key is not what wraps it.
    fn rewrapped(
        &self,
        bucket: &Arc<Bucket>,
        table: u8,
        key: &[u8],
        value: &[u8],
    ) -> Result<Option<Vec<u8>>, ObjectError> {
        let malformed = ObjectError::DamagedRow { table: table_name(table) };
        let (name, content, mut row) = match table {
            table::UPLOAD => {
                let (name, _) = rows::upload_of_key(key).ok_or(malformed)?;
                let row = UploadRow::decode(value).map_err(|error| row_error(error, table))?;
                (name, row.content, OldValue::Upload(row))
            }
            _ => {
                let (name, content) = rows::body_of_key(key).ok_or(malformed)?;
                (name, content, OldValue::Body(Body::decode(value).map_err(|error| row_error(error, table))?))
            }
        };
        let belongs = Belongs { bucket: bucket.name.clone(), group: bucket.group, name, content };
        let sse = match &mut row {
            OldValue::Upload(row) => &mut row.sse,
            OldValue::Body(row) => &mut row.sse,
        };
        if !matches!(sse, SseRow::Group { .. }) {
            return Ok(None);
        }
        let object_key =
            Unwrapper::Group.unwrap(sse, &belongs, &self.store).map_err(|error| match error {
                UnwrapError::Read(error) => bucket.read_error(error),
                UnwrapError::Unsealable => damaged(bucket, &belongs.name, VersionId::Null, 0, Damaged::Key),
            })?;
        *sse = Wrapper::Group
            .wrap(&self.store, &belongs, &object_key, &*self.options.random)
            .map_err(|error| bucket.read_error(error))?;
        Ok(Some(match row {
            OldValue::Upload(row) => row.encode(),
            OldValue::Body(row) => row.encode(),
        }))
    }

    /// Puts the rows in their place, together or else one by one: a row that somebody changed meanwhile stays as that
    /// one left it, and is looked at again by the next pass. Gives the bytes that were written.
    fn commit_rows(&self, bucket: &Bucket, rows: Vec<OldRow>) -> Result<u64, ObjectError> {
        if rows.is_empty() {
            return Ok(0);
        }
        let commit = |rows: &[OldRow]| {
            let same = |row: &OldRow| Check::Equals { key: row.key.clone(), value: row.old.clone() };
            let put = |row: &OldRow| Write::Put { key: row.key.clone(), value: row.new.clone() };
            let checks = [bucket.is_active()].into_iter().chain(rows.iter().map(same)).collect();
            let writes = rows.iter().map(put).collect();
            match self.store.commit_blocking(Command { group: bucket.group, checks, writes }) {
                Ok(Outcome::Applied { .. }) => {
                    Ok(Some(rows.iter().map(|row| (row.old.len() + row.new.len()) as u64).sum()))
                }
                Ok(Outcome::Refused { check: 0 }) => Err(bucket.gone()),
                Ok(Outcome::Refused { .. }) => Ok(None),
                Err(error) => Err(bucket.commit_error(error)),
            }
        };
        if let Some(bytes) = commit(&rows)? {
            return Ok(bytes);
        }
        let mut bytes = 0;
        for row in &rows {
            bytes += commit(std::slice::from_ref(row))?.unwrap_or(0);
        }
        Ok(bytes)
    }
}

/// A row of one of the two tables.
enum OldValue {
    Upload(UploadRow),
    Body(Body),
}

fn row_error(error: RowError, table: u8) -> ObjectError {
    error.of(table_name(table))
}

fn table_name(table: u8) -> &'static str {
    match table {
        table::UPLOAD => "upload",
        _ => "object",
    }
}

#[cfg(test)]
mod tests;

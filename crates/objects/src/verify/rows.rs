//! Every row, and what each leads to.

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use strongroom_store::{GroupId, ReadError, Reading};

use super::content::{Entry, Job, PlacedBlob};
use super::scan::{Rows, table_name};
use super::{ObjectDamage, ObjectFinding, ObjectPlace, Verifier};
use crate::events::{Event, event_of_key};
use crate::rows::{
    self, BlobId, Body, ContentAt, ContentId, GroupState, Head, HeadKind, PartRow, UploadRow, table,
};
use crate::sse::Belongs;
use crate::{BucketName, Damaged, ObjectName, UploadId, VersionId};

/// Content is opened in pieces of this many bytes, so that a large blob keeps all threads busy.
const PIECE_LEN: u64 = 64 << 20;

/// A bucket as far as it is known.
struct Bucket {
    group: GroupId,
    /// What findings call it.
    label: String,
    /// Its name, or something in its place: only keys from the KMS are bound to it.
    name: BucketName,
    named: bool,
}

impl Verifier<'_> {
    /// Reads all groups and hands out their content.
    pub(super) fn groups(&self, jobs: &SyncSender<Job>) {
        let buckets = self.buckets();
        for group in self.image.groups().into_iter().filter(|group| *group != GroupId::SYSTEM) {
            let known = buckets.iter().find(|(_, of)| *of == group).map(|(name, _)| name.clone());
            self.count(|counts| counts.buckets += 1);
            let label = known.as_ref().map_or_else(|| format!("group {group}"), ToString::to_string);
            let stand_in = || BucketName::parse(&format!("group-{group}")).ok();
            let named = known.is_some();
            let Some(name) = known.or_else(stand_in) else { continue };
            self.bucket(&Bucket { group, label, name, named }, jobs);
        }
    }

    fn bucket(&self, bucket: &Bucket, jobs: &SyncSender<Job>) {
        let rows = |table| Rows { bucket: &bucket.label, group: bucket.group, table };
        self.of_no_table(&bucket.label, bucket.group);
        self.scan(rows(rows::STATE[0]), &mut |_, key, value| {
            if key != rows::STATE {
                self.unknown(&bucket.label, key);
            } else if GroupState::decode(value).is_err() {
                self.malformed(&bucket.label, "state", key);
            }
            Ok(())
        });
        for table in [table::HEAD, table::VERSION] {
            self.scan(rows(table), &mut |reading, key, value| {
                let name = if table == table::HEAD { key.get(1..) } else { None };
                let name = name.map(<[u8]>::to_vec).or_else(|| shifted_name(key));
                let name = name.and_then(|name| ObjectName::parse(String::from_utf8(name).ok()?).ok());
                match (name, Head::decode(value)) {
                    (Some(name), Ok(head))
                        if table == table::HEAD || is_older(reading, &name, &head, key)? =>
                    {
                        self.head(bucket, reading, name, &head, jobs)
                    }
                    _ => {
                        self.malformed(&bucket.label, table_name(table), key);
                        Ok(())
                    }
                }
            });
        }
        self.scan(rows(table::NULL), &mut |reading, key, value| {
            let name = key.get(1..).and_then(|name| String::from_utf8(name.to_vec()).ok());
            let name = name.and_then(|name| ObjectName::parse(name).ok());
            let there = match (name, rows::decode_order(value)) {
                (Some(name), Ok(order)) => {
                    reading.get(&rows::version_key(&name, order, VersionId::Null))?.is_some()
                }
                _ => false,
            };
            if !there {
                self.malformed(&bucket.label, table_name(table::NULL), key);
            }
            Ok(())
        });
        let mut versions = VersionsOf::default();
        self.scan(rows(table::BODY), &mut |reading, key, value| {
            let Some((name, content)) = rows::body_of_key(key) else {
                self.malformed(&bucket.label, table_name(table::BODY), key);
                return Ok(());
            };
            if !versions.name(reading, &name, content)? {
                let decodes = Body::decode(value).is_ok();
                let (bucket, name) = (bucket.label.clone(), name.as_str().to_owned());
                self.watch.found(ObjectFinding::Nameless { bucket, name, decodes });
            }
            Ok(())
        });
        let mut uploads = HashSet::new();
        self.scan(rows(table::UPLOAD), &mut |reading, key, value| match (
            rows::upload_of_key(key),
            UploadRow::decode(value),
        ) {
            (Some((name, id)), Ok(row)) => {
                uploads.insert(id);
                self.upload(bucket, reading, name, id, row, jobs)
            }
            _ => {
                self.malformed(&bucket.label, table_name(table::UPLOAD), key);
                Ok(())
            }
        });
        for table in [table::PART, table::OWNER, table::GARBAGE, table::EVENT] {
            self.scan(rows(table), &mut |_, key, value| {
                let good = match table {
                    table::PART => key
                        .get(1..25)
                        .and_then(|id| id.try_into().ok())
                        .is_some_and(|id| uploads.contains(&UploadId(id)) && PartRow::decode(value).is_ok()),
                    table::OWNER => BlobId::of_key(key).is_some() && value == rows::PRESENT,
                    table::EVENT => event_of_key(key).is_some() && Event::decode(value).is_ok(),
                    _ => BlobId::of_key(key).is_some() && rows::decode_epoch(value).is_ok(),
                };
                if !good {
                    self.malformed(&bucket.label, table_name(table), key);
                }
                Ok(())
            });
        }
    }

    fn head(
        &self,
        bucket: &Bucket,
        reading: &Reading,
        name: ObjectName,
        head: &Head,
        jobs: &SyncSender<Job>,
    ) -> Result<(), ReadError> {
        let HeadKind::Object(object) = &head.kind else {
            self.count(|counts| counts.delete_markers += 1);
            return Ok(());
        };
        self.count(|counts| counts.objects += 1);
        let place = ObjectPlace {
            bucket: bucket.label.clone(),
            name: name.as_str().to_owned(),
            version: Some(head.version),
            upload: None,
            part: 0,
        };
        let row = reading.get(&rows::body_key(&name, &object.content))?;
        let Some(body) = row.and_then(|row| Body::decode(&row).ok()) else {
            self.damaged(place, Damaged::Entry);
            return Ok(());
        };
        let belongs =
            Belongs { bucket: bucket.name.clone(), group: bucket.group, name, content: object.content };
        let sealed_as = body.sealed_as;
        let entry = Arc::new(Entry::new(belongs, sealed_as.as_ref(), body.sse, place, bucket.named));
        let sealed_blobs = sealed_as.map_or_else(|| body.content.blobs(), |sealed| sealed.blobs);
        let parts = match body.content {
            ContentAt::Inline(sealed) => {
                drop(jobs.send(Job::Inline { entry, sealed, size: object.size }));
                return Ok(());
            }
            ContentAt::Blob(blob) => vec![(1, blob, object.size)],
            ContentAt::Parts(parts) => {
                let sum = parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(part.size));
                if sum != Some(object.size) {
                    self.damaged(entry.place.clone(), Damaged::Entry);
                }
                parts.iter().map(|part| (part.number, part.blob, part.size)).collect()
            }
        };
        for ((number, at, size), sealed_as) in parts.into_iter().zip(sealed_blobs) {
            self.hand_out(reading, &entry, number, PlacedBlob { at, sealed_as }, size, jobs)?;
        }
        Ok(())
    }

    fn upload(
        &self,
        bucket: &Bucket,
        reading: &Reading,
        name: ObjectName,
        upload: UploadId,
        row: UploadRow,
        jobs: &SyncSender<Job>,
    ) -> Result<(), ReadError> {
        self.count(|counts| counts.uploads += 1);
        let place = ObjectPlace {
            bucket: bucket.label.clone(),
            name: name.as_str().to_owned(),
            version: None,
            upload: Some(upload),
            part: 0,
        };
        let belongs =
            Belongs { bucket: bucket.name.clone(), group: bucket.group, name, content: row.content };
        let entry = Arc::new(Entry::new(belongs, None, row.sse, place, bucket.named));
        let from = rows::part_key(&upload, 0);
        let to = rows::part_key(&upload, u16::MAX);
        for part in reading.range(Bound::Included(&from), Bound::Included(&to))? {
            let (key, value) = part?;
            let number = key.last_chunk::<2>().map_or(0, |number| u16::from_be_bytes(*number));
            // One that does not decode is reported with its table.
            let Ok(part) = PartRow::decode(&value) else { continue };
            self.count(|counts| counts.parts += 1);
            let blob = PlacedBlob { at: part.blob, sealed_as: part.blob };
            self.hand_out(reading, &entry, number, blob, part.size, jobs)?;
        }
        Ok(())
    }

    /// Hands out a blob, in pieces that several threads can open.
    fn hand_out(
        &self,
        reading: &Reading,
        entry: &Arc<Entry>,
        part: u16,
        blob: PlacedBlob,
        size: u64,
        jobs: &SyncSender<Job>,
    ) -> Result<(), ReadError> {
        if reading.get(&rows::owner_key(&blob.at))?.is_none() {
            let place = ObjectPlace { part, ..entry.place.clone() };
            self.watch.found(ObjectFinding::Damaged { place, what: ObjectDamage::NoOwner });
        }
        let mut start = 0;
        loop {
            let end = size.min(start + PIECE_LEN);
            let entry = Arc::clone(entry);
            drop(jobs.send(Job::Blob { entry, part, blob, size, range: start..end }));
            if end == size {
                return Ok(());
            }
            start = end;
        }
    }

    pub(super) fn damaged(&self, place: ObjectPlace, what: Damaged) {
        self.watch.found(ObjectFinding::Damaged { place, what: ObjectDamage::Of(what) });
    }

    pub(super) fn unknown(&self, bucket: &str, key: &[u8]) {
        self.watch.found(ObjectFinding::Unknown { bucket: bucket.to_owned(), key: key.to_vec() });
    }

    pub(super) fn malformed(&self, bucket: &str, table: &'static str, key: &[u8]) {
        self.watch.found(ObjectFinding::Row { bucket: bucket.to_owned(), table, key: key.to_vec() });
    }
}

/// The contents that the versions of one name have: rows of one name lie beside one another.
#[derive(Default)]
struct VersionsOf {
    name: Option<ObjectName>,
    contents: HashSet<ContentId>,
}

impl VersionsOf {
    /// Whether a version of the name has this content.
    fn name(&mut self, reading: &Reading, name: &ObjectName, content: ContentId) -> Result<bool, ReadError> {
        if self.name.as_ref() != Some(name) {
            self.name = None;
            self.contents.clear();
            self.take(reading.get(&rows::head_key(name))?.as_deref());
            let from = rows::versions_of(name.as_bytes());
            let to = rows::end_of_prefix(&from);
            for row in reading.range(Bound::Included(&from), Bound::Excluded(&to))? {
                self.take(Some(&row?.1));
            }
            self.name = Some(name.clone());
        }
        Ok(self.contents.contains(&content))
    }

    /// A head that does not decode is reported with its table.
    fn take(&mut self, head: Option<&[u8]>) {
        let head = head.and_then(|row| Head::decode(row).ok());
        if let Some(HeadKind::Object(object)) = head.map(|head| head.kind) {
            self.contents.insert(object.content);
        }
    }
}

/// Whether the head is of an older version that is where its key says, and is found by what leads to it.
fn is_older(reading: &Reading, name: &ObjectName, head: &Head, key: &[u8]) -> Result<bool, ReadError> {
    let current = reading.get(&rows::head_key(name))?;
    let newer =
        current.and_then(|row| Head::decode(&row).ok()).is_some_and(|current| current.order > head.order);
    let found = match head.version {
        VersionId::Id(_) => true,
        VersionId::Null => {
            let order = reading.get(&rows::null_version_key(name))?;
            order.is_some_and(|row| rows::decode_order(&row) == Ok(head.order))
        }
    };
    Ok(newer && found && key == rows::version_key(name, head.order, head.version))
}

/// The name in the key of a version's row.
fn shifted_name(key: &[u8]) -> Option<Vec<u8>> {
    let rest = key.get(1..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    Some(rest[..end].iter().map(|byte| byte.wrapping_sub(1)).collect())
}

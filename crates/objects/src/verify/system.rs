//! Rows of the system group, and rows of no table at all.

use std::ops::Bound;

use strongroom_seal::GroupKey;
use strongroom_store::{GroupId, ReadError};

use super::scan::TABLES;
use super::{ObjectFinding, UnreadRows, Verifier};
use crate::BucketName;
use crate::events::check_audit_row;
use crate::rows::{self, BucketRow};

const SYSTEM: &str = "system";

impl Verifier<'_> {
    /// The buckets that the system group names. All rows of the system group are read, and each is looked at.
    pub(super) fn buckets(&self) -> Vec<(BucketName, GroupId)> {
        let mut buckets = Vec::new();
        // Where reading ended, in words and in bytes.
        let mut last = Vec::new();
        let mut read = || -> Result<(), ReadError> {
            for row in self.image.read(GroupId::SYSTEM)?.range(Bound::Unbounded, Bound::Unbounded)? {
                let (key, value) = row?;
                self.count(|counts| counts.system_rows += 1);
                self.system_row(&key, &value, &mut buckets);
                last = key;
            }
            Ok(())
        };
        if let Err(error) = read() {
            self.watch.found(ObjectFinding::Unread(UnreadRows {
                bucket: SYSTEM.to_owned(),
                group: GroupId::SYSTEM,
                table: "rows of the system group",
                after: (!last.is_empty()).then(|| last.escape_ascii().to_string()),
                before: None,
                error,
            }));
        }
        buckets
    }

    fn system_row(&self, key: &[u8], value: &[u8], buckets: &mut Vec<(BucketName, GroupId)>) {
        let (names, documents) = (rows::system_buckets(), rows::system_documents());
        let within = |(from, to): &(Vec<u8>, Vec<u8>)| key >= from.as_slice() && key < to.as_slice();
        if within(&names) {
            let name = std::str::from_utf8(&key[names.0.len()..]).ok();
            let name = name.and_then(|name| BucketName::parse(name).ok());
            match (name, BucketRow::decode(value)) {
                (Some(name), Ok(row)) => buckets.push((name, row.group)),
                _ => self.malformed(SYSTEM, "buckets", key),
            }
            return;
        }
        let group_key = |id| -> Option<GroupKey> { self.image.group_key_by_id(GroupId::SYSTEM, id).ok() };
        let others = || self.options.others.as_ref()?.check(key, value, &group_key);
        let found = if within(&documents) {
            let good = rows::document_of_key(key).is_some_and(|(kind, group)| {
                // Buckets come before documents.
                buckets.iter().any(|(_, of)| *of == group) && rows::decode_document(kind, value).is_ok()
            });
            Some(("documents", good))
        } else if key == rows::BLOBS_SWEPT {
            Some(("blobs", rows::decode_epoch(value).is_ok()))
        } else {
            check_audit_row(key, value).or_else(others)
        };
        match found {
            Some((_, true)) => {}
            Some((table, false)) => self.malformed(SYSTEM, table, key),
            None => self.unknown(SYSTEM, key),
        }
    }

    /// Rows of a bucket's group that no table has.
    pub(super) fn of_no_table(&self, bucket: &str, group: GroupId) {
        let mut from = Bound::Included(Vec::new());
        let mut look = || -> Result<(), ReadError> {
            let reading = self.image.read(group)?;
            loop {
                let mut range = reading.range(from.as_ref().map(Vec::as_slice), Bound::Unbounded)?;
                let Some(row) = range.next() else { return Ok(()) };
                let (key, _) = row?;
                match key.first() {
                    // Past the whole table.
                    Some(table) if TABLES.contains(table) => from = Bound::Included(vec![table + 1]),
                    _ => {
                        self.unknown(bucket, &key);
                        from = Bound::Excluded(key);
                    }
                }
            }
        };
        if let Err(error) = look() {
            let (bucket, table) = (bucket.to_owned(), "rows of no table");
            self.watch.found(ObjectFinding::Unread(UnreadRows {
                bucket,
                group,
                table,
                after: None,
                before: None,
                error,
            }));
        }
    }
}

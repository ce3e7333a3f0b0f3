//! What a group's rows were at one moment.

use std::fmt;
use std::ops::{Bound, Deref};
use std::sync::Arc;

use redb::{OwnedAccessGuard, OwnedRange, ReadOnlyTable};

use super::file::PageFile;
use super::group::translate;
use super::moment::Moment;
use crate::{GroupId, Lsn, ReadError};

type Bytes = &'static [u8];

/// The rows of one group at one moment. Later commands do not change it; while it lives, the pages it reads stay.
/// Calls block on the disk.
pub struct Reading {
    pub(super) rows: ReadOnlyTable<Bytes, Bytes>,
    pub(super) lsn: Lsn,
    pub(super) moment: Option<Moment>,
    pub(super) group: GroupId,
    pub(super) file: Arc<PageFile>,
}

impl Reading {
    /// The value of the row with this key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>, ReadError> {
        match self.rows.get_owned(key) {
            Ok(value) => Ok(value.map(Value)),
            Err(error) => Err(translate(&self.file, error).into_read(self.group)),
        }
    }

    /// The rows between two keys, in the order of their keys' bytes, from either end. Nothing if the bounds cross.
    pub fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<Range, ReadError> {
        let crossed = match (from, to) {
            (Bound::Included(from), Bound::Included(to)) => from > to,
            (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => {
                from >= to
            }
            _ => false,
        };
        let rows = if crossed {
            None
        } else {
            let rows = self.rows.range_owned::<&[u8]>((from, to));
            Some(rows.map_err(|error| translate(&self.file, error).into_read(self.group))?)
        };
        Ok(Range { rows, group: self.group, file: Arc::clone(&self.file) })
    }

    /// The last command of this group whose writes are visible.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// When it was made; nothing if a command was just being applied.
    pub fn moment(&self) -> Option<Moment> {
        self.moment
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("group", &self.group).field("lsn", &self.lsn).finish_non_exhaustive()
    }
}

/// The rows between two keys. Ends after its first error.
pub struct Range {
    rows: Option<OwnedRange<Bytes, Bytes>>,
    group: GroupId,
    file: Arc<PageFile>,
}

type Row = (OwnedAccessGuard<Bytes>, OwnedAccessGuard<Bytes>);

impl Range {
    fn row(&mut self, row: Result<Row, redb::StorageError>) -> Result<(Vec<u8>, Value), ReadError> {
        match row {
            Ok((key, value)) => Ok((key.value().to_vec(), Value(value))),
            Err(error) => {
                self.rows = None;
                Err(translate(&self.file, error).into_read(self.group))
            }
        }
    }
}

impl Iterator for Range {
    type Item = Result<(Vec<u8>, Value), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.as_mut()?.next()?;
        Some(self.row(row))
    }
}

impl DoubleEndedIterator for Range {
    fn next_back(&mut self) -> Option<Self::Item> {
        let row = self.rows.as_mut()?.next_back()?;
        Some(self.row(row))
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Range").field("group", &self.group).finish_non_exhaustive()
    }
}

/// A row's value, lying in the page cache.
pub struct Value(OwnedAccessGuard<Bytes>);

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self.0.value()
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_ref()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.as_ref().len())
    }
}

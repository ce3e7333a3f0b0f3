//! What a group's rows were at one moment.

use std::fmt;
use std::ops::{Bound, Deref};
use std::sync::Arc;

use crate::registry::OpenGroup;
use crate::{Lsn, Moment, ReadError, pages};

/// The rows of one group at one moment. Later commands do not change it; while it lives, the group's page file stays
/// open and the pages it reads stay. Calls block on the disk.
#[derive(Debug)]
pub struct Reading {
    // Dropped in this order: what reads the file before what keeps it open.
    rows: pages::Reading,
    group: Arc<OpenGroup>,
}

/// Keeps a group's page file open ([`crate::Store::keep_open`]).
#[derive(Debug)]
pub struct KeptOpen(pub(crate) Arc<OpenGroup>);

impl KeptOpen {
    /// Whether the group's rows are what they were at that moment ([`Reading::moment`]): what was read then, of this group, would be
    /// read again now. Once a command is about to be applied that is over, whichever rows it changes.
    pub fn is_at(&self, moment: Moment) -> bool {
        self.0.db().is_ok_and(|db| db.is_at(moment))
    }
}

impl Reading {
    pub(crate) fn new(rows: pages::Reading, group: Arc<OpenGroup>) -> Self {
        Self { rows, group }
    }

    /// The value of the row with this key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>, ReadError> {
        let value = self.rows.get(key)?;
        Ok(value.map(|value| Value { value, _group: Arc::clone(&self.group) }))
    }

    /// The rows between two keys, in the order of their keys' bytes, from either end. Nothing if the bounds cross.
    pub fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<Range, ReadError> {
        Ok(Range { rows: self.rows.range(from, to)?, group: Arc::clone(&self.group) })
    }

    /// The last command of this group whose writes are visible.
    pub fn lsn(&self) -> Lsn {
        self.rows.lsn()
    }

    /// The moment of which these are the rows; nothing if a command was just being applied.
    pub fn moment(&self) -> Option<Moment> {
        self.rows.moment()
    }
}

/// The rows between two keys. Ends after its first error.
#[derive(Debug)]
pub struct Range {
    rows: pages::Range,
    group: Arc<OpenGroup>,
}

impl Range {
    fn row(&self, row: Result<(Vec<u8>, pages::Value), ReadError>) -> Result<(Vec<u8>, Value), ReadError> {
        row.map(|(key, value)| (key, Value { value, _group: Arc::clone(&self.group) }))
    }
}

impl Iterator for Range {
    type Item = Result<(Vec<u8>, Value), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next()?;
        Some(self.row(row))
    }
}

impl DoubleEndedIterator for Range {
    fn next_back(&mut self) -> Option<Self::Item> {
        let row = self.rows.next_back()?;
        Some(self.row(row))
    }
}

/// A row's value, lying in the page cache.
pub struct Value {
    value: pages::Value,
    _group: Arc<OpenGroup>,
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self.value.as_ref()
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

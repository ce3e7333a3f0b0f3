//! What a group's rows were at one moment.

use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::ops::{Bound, Deref};
use std::sync::Arc;

use crate::{Lsn, ReadError};

pub(crate) type Rows = BTreeMap<Vec<u8>, Arc<[u8]>>;

/// The rows of one group at one moment. Later commands do not change it; while it lives, the pages it reads stay.
/// Calls block on the disk.
#[derive(Debug)]
pub struct Reading {
    pub(crate) rows: Arc<Rows>,
    pub(crate) lsn: Lsn,
}

impl Reading {
    /// The value of the row with this key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>, ReadError> {
        Ok(self.rows.get(key).cloned().map(Value))
    }

    /// The rows between two keys, in the order of their keys' bytes, from either end. Nothing if the bounds cross.
    pub fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<Range<'_>, ReadError> {
        let crossed = match (from, to) {
            (Bound::Included(from), Bound::Included(to)) => from > to,
            (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => {
                from >= to
            }
            _ => false,
        };
        Ok(Range(if crossed { btree_map::Range::default() } else { self.rows.range::<[u8], _>((from, to)) }))
    }

    /// The last command of this group whose writes are visible.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }
}

/// The rows between two keys.
#[derive(Debug)]
pub struct Range<'a>(btree_map::Range<'a, Vec<u8>, Arc<[u8]>>);

impl Iterator for Range<'_> {
    type Item = Result<(Vec<u8>, Value), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| Ok((key.clone(), Value(Arc::clone(value)))))
    }
}

impl DoubleEndedIterator for Range<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|(key, value)| Ok((key.clone(), Value(Arc::clone(value)))))
    }
}

/// A row's value, lying in the page cache.
pub struct Value(Arc<[u8]>);

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        &self.0
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

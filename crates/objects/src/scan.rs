//! Scans of a table in the order of names, in which what shares a prefix up to a delimiter is one.
//!
//! A common prefix is passed over by one seek, so a page costs what it shows and not what the bucket holds.

use std::ops::Bound;

use strongroom_store::{Reading, Value};

use crate::ObjectError;
use crate::rows::{Prefix, end_of_prefix};

/// What a page is asked for.
pub(crate) struct Scan<'a> {
    pub(crate) table: Prefix,
    pub(crate) prefix: &'a str,
    pub(crate) delimiter: Option<&'a str>,
    /// The first key that counts, if it is not the prefix's first.
    pub(crate) from: Option<Bound<Vec<u8>>>,
    pub(crate) max: usize,
}

/// What a scan comes across.
pub(crate) enum Found<T> {
    Row(T),
    CommonPrefix(String),
}

/// A page of a scan.
pub(crate) struct Page<T> {
    pub(crate) found: Vec<Found<T>>,
    pub(crate) truncated: bool,
}

/// The common prefix of a name, if it has one: up to and with the first delimiter after the prefix.
pub(crate) fn common_prefix<'a>(name: &'a str, prefix: &str, delimiter: Option<&str>) -> Option<&'a str> {
    let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty())?;
    let at = name.get(prefix.len()..)?.find(delimiter)?;
    name.get(..prefix.len() + at + delimiter.len())
}

impl Scan<'_> {
    /// Runs the scan. `row` gives a row's name and what is shown of it; `None` leaves the row out.
    pub(crate) fn run<T>(
        &self,
        reading: &Reading,
        row: impl Fn(&[u8], &Value) -> Result<Option<(String, T)>, ObjectError>,
    ) -> Result<Page<T>, ObjectError> {
        let start = self.table.of(self.prefix.as_bytes());
        let end = end_of_prefix(&start);
        let mut from = match &self.from {
            Some(Bound::Included(key)) if *key > start => Bound::Included(key.clone()),
            Some(Bound::Excluded(key)) if *key >= start => Bound::Excluded(key.clone()),
            _ => Bound::Included(start),
        };
        let mut page = Page { found: Vec::new(), truncated: false };
        if self.max == 0 {
            return Ok(page);
        }
        'seek: loop {
            let bound = match &from {
                Bound::Included(key) => Bound::Included(key.as_slice()),
                Bound::Excluded(key) => Bound::Excluded(key.as_slice()),
                Bound::Unbounded => Bound::Unbounded,
            };
            for entry in reading.range(bound, Bound::Excluded(&end))? {
                let (key, value) = entry?;
                let Some((name, shown)) = row(&key, &value)? else { continue };
                if page.found.len() == self.max {
                    page.truncated = true;
                    return Ok(page);
                }
                match common_prefix(&name, self.prefix, self.delimiter) {
                    Some(common) => {
                        from = Bound::Included(end_of_prefix(&self.table.of(common.as_bytes())));
                        page.found.push(Found::CommonPrefix(common.to_owned()));
                        continue 'seek;
                    }
                    None => page.found.push(Found::Row(shown)),
                }
            }
            return Ok(page);
        }
    }

    /// Where names after `after` start: past everything under it if it is a common prefix of this scan.
    pub(crate) fn after(&self, after: &str) -> Bound<Vec<u8>> {
        let key = self.table.of(after.as_bytes());
        if after.starts_with(self.prefix) && common_prefix(after, self.prefix, self.delimiter) == Some(after)
        {
            Bound::Included(end_of_prefix(&key))
        } else {
            Bound::Excluded(key)
        }
    }
}

//! Reading all rows of a table, around pages that are damaged.

use std::ops::Bound;

use strongroom_store::{GroupId, ReadError, Reading};

use super::{ObjectFinding, UnreadRows, Verifier};
use crate::events::event_of_key;
use crate::rows::{BlobId, STATE, table};

/// The rows of one table of one group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) bucket: &'a str,
    pub(super) group: GroupId,
    pub(super) table: u8,
}

/// What the keys of a bucket's group begin with.
pub(super) const TABLES: [u8; 10] = [
    table::HEAD,
    table::VERSION,
    table::NULL,
    table::BODY,
    table::UPLOAD,
    table::PART,
    table::OWNER,
    table::GARBAGE,
    table::EVENT,
    STATE[0],
];

/// How far a pass came.
enum Pass {
    /// All rows were seen.
    Done,
    /// The row was seen and what it leads to could not be read: the pass goes on behind it.
    Row(Vec<u8>, ReadError),
    /// The next row could not be read.
    Stuck(ReadError),
}

type See<'a> = dyn FnMut(&Reading, &[u8], &[u8]) -> Result<(), ReadError> + 'a;

impl Verifier<'_> {
    /// Shows every row that can be read to `see`: from the start up to the first damage, then from the end down to the
    /// last. A failed read stops a group's file, so each pass has a reading of its own.
    pub(super) fn scan(&self, rows: Rows<'_>, see: &mut See<'_>) {
        let (mut low, mut high) = (vec![rows.table], vec![rows.table + 1]);
        let error = match self.run_passes(rows, &mut low, &mut high, true, see) {
            None => return,
            Some(error) => error,
        };
        // What can be read from the other end; what is between two damaged pages cannot be said.
        self.run_passes(rows, &mut low, &mut high, false, see);
        let after = name_of(&low).filter(|_| low.len() > 1);
        let before = name_of(&high).filter(|_| high != [rows.table + 1]);
        let Rows { bucket, group, table } = rows;
        self.watch.found(ObjectFinding::Unread(UnreadRows {
            bucket: bucket.to_owned(),
            group,
            table: table_name(table),
            after,
            before,
            error,
        }));
    }

    /// One direction. `low` and `high` close in on what was not seen; the answer is why they did not meet.
    fn run_passes(
        &self,
        rows: Rows<'_>,
        low: &mut Vec<u8>,
        high: &mut Vec<u8>,
        forward: bool,
        see: &mut See<'_>,
    ) -> Option<ReadError> {
        loop {
            let reading = match self.image.read(rows.group) {
                Ok(reading) => reading,
                Err(error) => return Some(error),
            };
            let pass = pass(&reading, low, high, forward, see);
            drop(reading);
            match pass {
                Pass::Done => return None,
                Pass::Stuck(error) => return Some(error),
                Pass::Row(key, error) => {
                    let name = name_of(&key);
                    self.watch.found(ObjectFinding::Unread(UnreadRows {
                        bucket: rows.bucket.to_owned(),
                        group: rows.group,
                        table: "entries",
                        after: name.clone(),
                        before: name,
                        error,
                    }));
                }
            }
        }
    }
}

fn pass(reading: &Reading, low: &mut Vec<u8>, high: &mut Vec<u8>, forward: bool, see: &mut See<'_>) -> Pass {
    let from = if low.len() == 1 { Bound::Included(low.clone()) } else { Bound::Excluded(low.clone()) };
    let range = reading.range(from.as_ref().map(Vec::as_slice), Bound::Excluded(&high.clone()));
    let mut range = match range {
        Ok(range) => range,
        Err(error) => return Pass::Stuck(error),
    };
    loop {
        let next = if forward { range.next() } else { range.next_back() };
        let (key, value) = match next {
            None => return Pass::Done,
            Some(Err(error)) => return Pass::Stuck(error),
            Some(Ok(row)) => row,
        };
        let edge = if forward { &mut *low } else { &mut *high };
        edge.clone_from(&key);
        if let Err(error) = see(reading, &key, &value) {
            return Pass::Row(key, error);
        }
    }
}

/// The name in a row's key, if its table has one.
fn name_of(key: &[u8]) -> Option<String> {
    let (table, rest) = key.split_first()?;
    let name: Vec<u8> = match *table {
        table::HEAD | table::NULL => rest.to_vec(),
        table::VERSION | table::BODY | table::UPLOAD => {
            rest.iter().take_while(|byte| **byte != 0).map(|byte| byte.wrapping_sub(1)).collect()
        }
        _ => return Some(hex::encode(rest)),
    };
    Some(String::from_utf8_lossy(&name).into_owned())
}

/// What a table's rows are, in words.
pub(super) fn table_name(table: u8) -> &'static str {
    match table {
        table::HEAD => "objects",
        table::VERSION => "older versions",
        table::NULL => "null versions",
        table::BODY => "entries",
        table::UPLOAD => "uploads",
        table::PART => "parts",
        table::OWNER => "owners of blobs",
        table::GARBAGE => "dropped blobs",
        table::EVENT => "events",
        _ => "rows",
    }
}

/// A row of a bucket's group in words, by its key: which table, and which object, upload or blob. `None` if no table has
/// such a key.
pub fn describe_row(key: &[u8]) -> Option<String> {
    let (table, rest) = key.split_first()?;
    let named = || name_of(key).map(|name| format!("{name:?}"));
    // After a shifted name and a zero byte.
    let id = || rest.iter().position(|byte| *byte == 0).map(|end| hex::encode(&rest[end + 1..]));
    Some(match *table {
        table::HEAD => format!("object {}", named()?),
        table::VERSION => format!("version {} of {}", id()?, named()?),
        table::NULL => format!("null version of {}", named()?),
        table::BODY => format!("entry {} of {}", id()?, named()?),
        table::UPLOAD => format!("upload {} of {}", id()?, named()?),
        table::PART => {
            let (upload, number) = rest.split_last_chunk::<2>()?;
            format!("part {} of upload {}", u16::from_be_bytes(*number), hex::encode(upload))
        }
        table::OWNER => format!("owner of blob {}", BlobId::of_key(key)?),
        table::GARBAGE => format!("dropped blob {}", BlobId::of_key(key)?),
        table::EVENT => {
            let (target, place) = event_of_key(key)?;
            format!("event {place} for {target}")
        }
        _ if key == STATE => "state".to_owned(),
        _ => return None,
    })
}

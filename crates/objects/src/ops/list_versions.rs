//! Listing the versions of objects.

use std::ops::Bound;
use std::sync::Arc;

use strongroom_store::{Range, Reading, Value};

use crate::buckets::Bucket;
use crate::measure::counted;
use crate::objects::{Objects, blocking};
use crate::ops::list::{PAGE_MAX, listed};
use crate::request::{ListVersions, ListedVersion, VersionListing};
use crate::rows::{self, Head, Prefix, end_of_prefix, table};
use crate::scan::common_prefix;
use crate::versions;
use crate::{ObjectError, ObjectName, VersionId};

impl Objects {
    /// A page of the versions and delete markers of a bucket: by name, the newest of a name first.
    ///
    /// # Errors
    /// [`ObjectError::NoSuchBucket`], and what reading the index can fail with.
    pub async fn list_versions(&self, request: ListVersions) -> Result<VersionListing, ObjectError> {
        counted("list_versions", async {
            let bucket = self.0.bucket(&request.bucket)?;
            let inner = Arc::clone(&self.0);
            blocking(move || list(&inner.read(&bucket)?, &bucket, &request)).await
        })
        .await
    }
}

/// Where a page starts.
enum Start {
    /// At this name, of which only what has a lower order than this counts.
    At(String, Option<u64>),
    /// After this name.
    After(String),
    /// After all names that start with this.
    Past(String),
}

fn list(reading: &Reading, bucket: &Bucket, request: &ListVersions) -> Result<VersionListing, ObjectError> {
    let mut page = VersionListing::default();
    let max = request.max.min(PAGE_MAX) as usize;
    if max == 0 {
        return Ok(page);
    }
    let start = start(reading, bucket, request)?;
    let (prefix, delimiter) = (request.prefix.as_str(), request.delimiter.as_deref());
    let mut scan = Merged::from(reading, prefix, &start)?;
    let mut count = 0;
    while let Some((name, head, latest)) = scan.next()? {
        if let Start::At(at, Some(below)) = &start
            && name.as_str() == at
            && head.order >= *below
        {
            continue;
        }
        if count == max {
            page.truncated = true;
            return Ok(page);
        }
        count += 1;
        page.next_version = None;
        match common_prefix(name.as_str(), prefix, delimiter) {
            Some(common) => {
                let common = common.to_owned();
                scan = Merged::from(reading, prefix, &Start::Past(common.clone()))?;
                page.next_name = Some(common.clone());
                page.common_prefixes.push(common);
            }
            None => {
                page.next_name = Some(name.as_str().to_owned());
                page.next_version = Some(head.version);
                let (version, mtime) = (head.version, head.mtime);
                let object = listed(&name, head);
                page.versions.push(ListedVersion { name, version, mtime, latest, object });
            }
        }
    }
    page.next_name = None;
    page.next_version = None;
    Ok(page)
}

fn start(reading: &Reading, bucket: &Bucket, request: &ListVersions) -> Result<Start, ObjectError> {
    let Some(after) = request.name_after.clone().filter(|after| !after.is_empty()) else {
        return Ok(Start::At(String::new(), None));
    };
    let Some(marker) = request.version_after else {
        let common = common_prefix(&after, &request.prefix, request.delimiter.as_deref());
        let past = after.starts_with(&request.prefix) && common == Some(after.as_str());
        return Ok(if past { Start::Past(after) } else { Start::After(after) });
    };
    let below = match (marker.order(), ObjectName::parse(after.clone())) {
        (Some(order), _) => Some(order),
        // The order of the null version is known as long as it is there. If it is not, older versions may be left that
        // no page has shown: it is better to show some twice.
        (None, Ok(name)) => versions::order_of_null(reading, bucket, &name)?,
        (None, Err(_)) => None,
    };
    Ok(Start::At(after, below))
}

/// The heads of both tables, by name and then by age. Both tables have names in the same order, and where a name has
/// older versions it has a current one.
struct Merged {
    current: Side,
    older: Side,
}

struct Side {
    range: Range,
    next: Option<(ObjectName, Head)>,
    /// What a key says: name, order and version.
    name: OfKey,
}

type OfKey = fn(&[u8]) -> Option<(ObjectName, u64, VersionId)>;

impl Merged {
    fn from(reading: &Reading, prefix: &str, start: &Start) -> Result<Self, ObjectError> {
        // In one table nothing follows the name, in the other a zero byte and more.
        let past_current = |name: &str| [CURRENT.of(name.as_bytes()), vec![0]].concat();
        let past_older = |name: &str| end_of_prefix(&rows::versions_of(name.as_bytes()));
        let of = |table: Prefix, past_name: fn(&str) -> Vec<u8>| {
            let first = table.of(prefix.as_bytes());
            let end = end_of_prefix(&first);
            let from = match start {
                Start::At(name, _) => table.of(name.as_bytes()),
                Start::After(name) => past_name(name),
                Start::Past(names) => end_of_prefix(&table.of(names.as_bytes())),
            };
            (first.max(from), end)
        };
        let (current, older) = (of(CURRENT, past_current), of(OLDER, past_older));
        let name_of_current = |key: &[u8]| {
            let name = std::str::from_utf8(key.get(1..)?).ok()?;
            // Above all others of its name.
            Some((ObjectName::parse(name).ok()?, u64::MAX, versions::UNKNOWN))
        };
        let name_of_older = rows::version_of_key;
        Ok(Self {
            current: Side::new(reading, current, name_of_current)?,
            older: Side::new(reading, older, name_of_older)?,
        })
    }

    /// The next version, and whether it is current.
    fn next(&mut self) -> Result<Option<(ObjectName, Head, bool)>, ObjectError> {
        let current_first = match (&self.current.next, &self.older.next) {
            (Some((current, _)), Some((older, _))) => current.as_bytes() <= older.as_bytes(),
            (current, _) => current.is_some(),
        };
        let side = if current_first { &mut self.current } else { &mut self.older };
        let next = side.next.take();
        side.advance()?;
        Ok(next.map(|(name, head)| (name, head, current_first)))
    }
}

impl Side {
    fn new(reading: &Reading, (from, to): (Vec<u8>, Vec<u8>), name: OfKey) -> Result<Self, ObjectError> {
        let to = to.max(from.clone());
        let range = reading.range(Bound::Included(&from), Bound::Excluded(&to))?;
        let mut side = Self { range, next: None, name };
        side.advance()?;
        Ok(side)
    }

    fn advance(&mut self) -> Result<(), ObjectError> {
        let row = self.range.next().transpose()?;
        self.next = row.map(|(key, value)| self.decoded(&key, &value)).transpose()?;
        Ok(())
    }

    fn decoded(&self, key: &[u8], value: &Value) -> Result<(ObjectName, Head), ObjectError> {
        let of_key = (self.name)(key).ok_or(ObjectError::DamagedRow { table: "object" })?;
        let (name, order, version) = of_key;
        Ok((name, versions::listed_head(value, version, order)))
    }
}

const CURRENT: Prefix = Prefix::Plain(table::HEAD);
const OLDER: Prefix = Prefix::Shifted(table::VERSION);

//! The audit trail: what was done to buckets and keys (`docs/spec/events.md` §8).

use std::ops::Bound;
use std::sync::Arc;

use strongroom_seal::codec::DecodeError;
use strongroom_store::{Command, GroupId, Outcome, Write};
use tokio::sync::{Mutex, MutexGuard, watch};

use super::row::cut;
use crate::objects::{Inner, Objects, blocking, carried_out};
use crate::rows::{RowError, end_of_prefix, versioned, writer};
use crate::{ObjectError, Timestamp};

/// Entries that the trail keeps.
pub const AUDIT_ENTRIES_MAX: u64 = 100_000;

const TRAIL: &[u8] = b"audit/";
const TOLD: &[u8] = b"events/told/";
const PRINCIPAL_LEN_MAX: usize = 256;
const SUBJECT_LEN_MAX: usize = 2048;
const DETAIL_LEN_MAX: usize = 1024;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditKind {
    /// A bucket was made.
    BucketCreated,
    /// A bucket was deleted.
    BucketDeleted,
    /// A setting of a bucket was changed; the detail says which.
    BucketSettingsChanged,
    /// A bucket, or the system group, has a new key.
    GroupKeyRotated,
    /// The keys of all groups are wrapped by another root key.
    RootKeyChanged,
}

impl AuditKind {
    const ALL: [Self; 5] = [
        Self::BucketCreated,
        Self::BucketDeleted,
        Self::BucketSettingsChanged,
        Self::GroupKeyRotated,
        Self::RootKeyChanged,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::BucketCreated => "BucketCreated",
            Self::BucketDeleted => "BucketDeleted",
            Self::BucketSettingsChanged => "BucketSettingsChanged",
            Self::GroupKeyRotated => "GroupKeyRotated",
            Self::RootKeyChanged => "RootKeyChanged",
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::BucketCreated => 1,
            Self::BucketDeleted => 2,
            Self::BucketSettingsChanged => 3,
            Self::GroupKeyRotated => 4,
            Self::RootKeyChanged => 5,
        }
    }
}

/// An entry of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What was done.
    pub kind: AuditKind,
    /// By whom; empty if nobody is known.
    pub by: String,
    /// To what.
    pub subject: String,
    /// What of it.
    pub detail: String,
}

/// What is told to targets one after the other, each target up to a place of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditStream {
    /// The audit trail.
    Trail,
    /// The changes of identities.
    Identities,
}

impl AuditEntry {
    /// The value of the row; the number is in its key.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = writer();
        out.u64(self.at.0).u8(self.kind.number());
        out.text(cut(&self.by, PRINCIPAL_LEN_MAX));
        out.text(cut(&self.subject, SUBJECT_LEN_MAX)).text(cut(&self.detail, DETAIL_LEN_MAX));
        out.finish()
    }

    pub(crate) fn decode(seq: u64, bytes: &[u8]) -> Result<Self, RowError> {
        let mut input = versioned(bytes)?;
        let at = Timestamp(input.u64("at")?);
        let number = input.u8("kind")?;
        let kind = AuditKind::ALL.into_iter().find(|kind| kind.number() == number);
        let entry = Self {
            seq,
            at,
            kind: kind.ok_or(DecodeError::OutOfRange { field: "kind" })?,
            by: input.text(PRINCIPAL_LEN_MAX, "principal")?.to_owned(),
            subject: input.text(SUBJECT_LEN_MAX, "subject")?.to_owned(),
            detail: input.text(DETAIL_LEN_MAX, "detail")?.to_owned(),
        };
        input.finish("audit entry")?;
        Ok(entry)
    }
}

/// Who may add to the trail, and who waits for it.
#[derive(Debug)]
pub(crate) struct Audit {
    /// The next number; `None` if it has to be looked for. Held from when it is drawn until its command was carried out.
    next: Mutex<Option<u64>>,
    added: watch::Sender<()>,
    most: u64,
}

/// The one entry that may be added now. If it goes away unused, or what came of its command is not known, the next one looks.
pub(crate) struct AuditTurn<'a> {
    next: MutexGuard<'a, Option<u64>>,
    audit: &'a Audit,
    seq: u64,
}

impl Audit {
    pub(crate) fn new(most: u64) -> Self {
        Self { next: Mutex::new(None), added: watch::Sender::new(()), most }
    }
}

impl AuditTurn<'_> {
    /// The writes that add an entry, and remove the one that is too old for it.
    pub(crate) fn writes(&self, at: Timestamp, what: (AuditKind, &str, &str), by: &str) -> Vec<Write> {
        let (kind, subject, detail) = what;
        let (by, subject, detail) = (by.to_owned(), subject.to_owned(), detail.to_owned());
        let entry = AuditEntry { seq: self.seq, at, kind, by, subject, detail };
        let mut writes = vec![Write::Put { key: entry_key(self.seq), value: entry.encode() }];
        if let Some(oldest) = self.seq.checked_sub(self.audit.most).filter(|oldest| *oldest > 0) {
            writes.push(Write::Delete { key: entry_key(oldest) });
        }
        writes
    }

    /// The command with the entry was applied.
    pub(crate) fn done(mut self) {
        *self.next = Some(self.seq + 1);
        self.audit.added.send_replace(());
    }
}

impl Inner {
    /// Waits for the turn to add to the trail.
    pub(crate) async fn audit_turn(self: &Arc<Self>) -> Result<AuditTurn<'_>, ObjectError> {
        let mut next = self.audit.next.lock().await;
        let seq = match next.take() {
            Some(seq) => seq,
            None => {
                let inner = Arc::clone(self);
                blocking(move || inner.audit_last()).await? + 1
            }
        };
        Ok(AuditTurn { next, audit: &self.audit, seq })
    }

    /// The last number of the trail; 0 if it is empty. Blocks.
    fn audit_last(&self) -> Result<u64, ObjectError> {
        let reading = self.store.read(GroupId::SYSTEM)?;
        let last = reading.range(Bound::Included(TRAIL), Bound::Excluded(&end_of_prefix(TRAIL)))?.next_back();
        match last.transpose()? {
            Some((key, _)) => seq_of_key(&key).ok_or(ObjectError::DamagedRow { table: "audit" }),
            None => Ok(0),
        }
    }
}

impl Objects {
    /// Adds to the audit trail what was done by other means than those of this crate.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn record(
        &self,
        by: &str,
        kind: AuditKind,
        subject: &str,
        detail: &str,
    ) -> Result<(), ObjectError> {
        let (inner, by) = (Arc::clone(&self.0), by.to_owned());
        let (subject, detail) = (subject.to_owned(), detail.to_owned());
        carried_out(async move {
            let turn = inner.audit_turn().await?;
            let writes = turn.writes(inner.options.clock.now(), (kind, &subject, &detail), &by);
            let command = Command { group: GroupId::SYSTEM, checks: Vec::new(), writes };
            match inner.store.commit(command).await? {
                Outcome::Applied { .. } | Outcome::Refused { .. } => turn.done(),
            }
            Ok(())
        })
        .await
    }

    /// The entries after `seq`, oldest first, at most `max`.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn audit_after(&self, seq: u64, max: usize) -> Result<Vec<AuditEntry>, ObjectError> {
        let inner = Arc::clone(&self.0);
        blocking(move || {
            let reading = inner.store.read(GroupId::SYSTEM)?;
            let (from, to) = (entry_key(seq), end_of_prefix(TRAIL));
            let mut entries = Vec::new();
            for row in reading.range(Bound::Excluded(&from), Bound::Excluded(&to))?.take(max) {
                let (key, value) = row?;
                let seq = seq_of_key(&key).ok_or(ObjectError::DamagedRow { table: "audit" })?;
                entries.push(AuditEntry::decode(seq, &value).map_err(|error| error.of("audit"))?);
            }
            Ok(entries)
        })
        .await
    }

    /// The number of the newest entry; 0 if there is none.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn audit_newest(&self) -> Result<u64, ObjectError> {
        let inner = Arc::clone(&self.0);
        blocking(move || inner.audit_last()).await
    }

    /// Is told whenever an entry was added.
    pub fn audit_added(&self) -> watch::Receiver<()> {
        self.0.audit.added.subscribe()
    }

    /// Up to where a target was told of a stream; `None` if it never was.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn told_up_to(&self, stream: AuditStream, target: &str) -> Result<Option<u64>, ObjectError> {
        let (inner, key) = (Arc::clone(&self.0), told_key(stream, target));
        blocking(move || {
            let row = inner.store.read(GroupId::SYSTEM)?.get(&key)?;
            row.map(|row| decode_told(&row).map_err(|error| error.of("told"))).transpose()
        })
        .await
    }

    /// Keeps up to where a target was told.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn set_told_up_to(
        &self,
        stream: AuditStream,
        target: &str,
        seq: u64,
    ) -> Result<(), ObjectError> {
        let writes = vec![Write::Put { key: told_key(stream, target), value: encode_told(seq) }];
        let command = Command { group: GroupId::SYSTEM, checks: Vec::new(), writes };
        let inner = Arc::clone(&self.0);
        carried_out(async move {
            inner.store.commit(command).await?;
            Ok(())
        })
        .await
    }
}

pub(crate) fn entry_key(seq: u64) -> Vec<u8> {
    [TRAIL, &seq.to_be_bytes()].concat()
}

pub(crate) fn seq_of_key(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.strip_prefix(TRAIL)?.try_into().ok()?))
}

fn told_key(stream: AuditStream, target: &str) -> Vec<u8> {
    let number = match stream {
        AuditStream::Trail => 1,
        AuditStream::Identities => 2,
    };
    [TOLD, &[number], target.as_bytes()].concat()
}

/// Of a row of the system group: whether it is as it must be, if it is one of the trail or a place in it.
pub(crate) fn check_row(key: &[u8], value: &[u8]) -> Option<(&'static str, bool)> {
    if key.starts_with(TRAIL) {
        let good = seq_of_key(key).is_some_and(|seq| AuditEntry::decode(seq, value).is_ok());
        return Some(("audit trail", good));
    }
    let (stream, target) = key.strip_prefix(TOLD)?.split_first().unwrap_or((&0, &[]));
    let named = matches!(stream, 1 | 2) && !target.is_empty() && std::str::from_utf8(target).is_ok();
    Some(("places in audit streams", named && decode_told(value).is_ok()))
}

pub(crate) fn encode_told(seq: u64) -> Vec<u8> {
    let mut out = writer();
    out.u64(seq);
    out.finish()
}

pub(crate) fn decode_told(bytes: &[u8]) -> Result<u64, RowError> {
    let mut input = versioned(bytes)?;
    let seq = input.u64("seq")?;
    input.finish("told")?;
    Ok(seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_and_nothing_else_does() {
        for kind in AuditKind::ALL {
            let entry = AuditEntry {
                seq: 7,
                at: Timestamp(1),
                kind,
                by: "root".to_owned(),
                subject: "photos".to_owned(),
                detail: String::new(),
            };
            let bytes = entry.encode();
            assert_eq!(AuditEntry::decode(7, &bytes), Ok(entry));
            assert!((0..bytes.len()).all(|length| AuditEntry::decode(7, &bytes[..length]).is_err()));
            assert!(AuditEntry::decode(7, &[bytes.as_slice(), &[0]].concat()).is_err());
        }
        assert_eq!(seq_of_key(&entry_key(9)), Some(9));
        assert_eq!(decode_told(&encode_told(9)), Ok(9));
    }
}

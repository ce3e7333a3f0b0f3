//! The mark: a lower bound on what has been made durable (`docs/spec/log.md` §6).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_seal::codec::{DecodeError, Reader, Writer};
use strongroom_seal::{Context, GroupKey, Label, LogKey, Random, derive, record};

use super::error::LogError;
use super::format::{Link, STORE_ID_LEN, SegmentId, VERSION};
use super::keys::{LogKeyError, LogKeys};
use crate::disk::{Disk, DiskFile};
use crate::{GroupId, Lsn};

const MAGIC: &[u8; 8] = b"SRlogmrk";
const SLOT_LEN: usize = 512; // one sector
const SLOT_STRIDE: usize = 4096;
const FILE_LEN: usize = 2 * SLOT_STRIDE;
const PREFIX_LEN: usize = 16;
const BODY_LEN: usize = 81;
const SEALED_LEN: usize = BODY_LEN + record::OVERHEAD;
const _: () = assert!(PREFIX_LEN + SEALED_LEN <= SLOT_LEN, "a slot fits one sector");
/// What [`LogError::DamagedMark`] calls the bytes around the slots.
const AROUND: u8 = 2;

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The oldest segment that is still part of the log.
    pub(crate) first: SegmentId,
    /// The log has been synced up to `offset` of this segment,
    pub(crate) segment: SegmentId,
    pub(crate) offset: u64,
    /// which ends with this record
    pub(crate) lsn: Lsn,
    /// and this link.
    pub(crate) link: Link,
    /// The keyring's generation; an older keyring is a replayed one.
    pub(crate) keyring: u64,
    /// Whether the log ends there exactly.
    pub(crate) clean: bool,
}

/// The file.
#[derive(Debug)]
pub(crate) struct MarkFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    keys: Arc<dyn LogKeys>,
    random: Arc<dyn Random>,
    /// Seals the next mark.
    key: (u32, LogKey),
    sequence: u64,
    proof: Proof,
}

impl MarkFile {
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("mark")
    }

    /// A new file that says `proof`. It gets its name when all of it is durable.
    pub(crate) fn create(
        disk: &dyn Disk,
        dir: &Path,
        keys: Arc<dyn LogKeys>,
        random: Arc<dyn Random>,
        proof: Proof,
    ) -> Result<Self, LogError> {
        let path = Self::path(dir);
        let new = dir.join("mark.new");
        if disk.exists(&new).map_err(LogError::io("look for", &new))? {
            disk.remove(&new).map_err(LogError::io("remove", &new))?;
        }
        let file = disk.create_new(&new).map_err(LogError::io("create", &new))?;
        let key = mark_key(&*keys, None)?;
        let mut mark = Self { file, path: path.clone(), keys, random, key, sequence: 0, proof };
        mark.file.set_len(FILE_LEN as u64).map_err(LogError::io("write", &new))?;
        mark.write(proof)?;
        mark.write(proof)?;
        mark.sync()?;
        disk.rename(&new, &path).map_err(LogError::io("rename", &new))?;
        disk.sync_dir(dir).map_err(LogError::io("sync", dir))?;
        Ok(mark)
    }

    /// The file that is there. Both slots must be what was written to them; the newer one counts.
    pub(crate) fn open(
        disk: &dyn Disk,
        dir: &Path,
        keys: Arc<dyn LogKeys>,
        random: Arc<dyn Random>,
    ) -> Result<Self, LogError> {
        let path = Self::path(dir);
        if !disk.exists(&path).map_err(LogError::io("look for", &path))? {
            return Err(LogError::MissingMark { path });
        }
        let file = disk.open(&path).map_err(LogError::io("open", &path))?;
        if file.len().map_err(LogError::io("read", &path))? != FILE_LEN as u64 {
            return Err(LogError::DamagedMark { slot: AROUND });
        }
        let mut bytes = [0; FILE_LEN];
        file.read_at(&mut bytes, 0).map_err(LogError::io("read", &path))?;
        let slot = |index: u8| {
            let start = usize::from(index) * SLOT_STRIDE;
            slot(&bytes[start..start + SLOT_STRIDE], index, &*keys, &path)
        };
        let (even, odd) = (slot(0)?, slot(1)?);
        let (sequence, proof) = if even.0 > odd.0 { even } else { odd };
        let key = mark_key(&*keys, None)?;
        Ok(Self { file, path, keys, random, key, sequence, proof })
    }

    pub(crate) fn proof(&self) -> Proof {
        self.proof
    }

    /// Overwrites the older slot, without making it durable.
    pub(crate) fn write(&mut self, proof: Proof) -> Result<(), LogError> {
        let sequence = self.sequence + 1;
        let index = index_of(sequence);
        let mut slot = [0; SLOT_LEN];
        slot[..8].copy_from_slice(MAGIC);
        slot[8..10].copy_from_slice(&VERSION.to_le_bytes());
        slot[12..PREFIX_LEN].copy_from_slice(&self.key.0.to_le_bytes());
        let body = body(self.keys.store_id(), sequence, &proof);
        let context = context(index, &slot[..PREFIX_LEN]);
        let sealed = record::seal(&self.key.1, &context, &body, &*self.random);
        slot[PREFIX_LEN..PREFIX_LEN + SEALED_LEN].copy_from_slice(&sealed);
        let at = u64::from(index) * SLOT_STRIDE as u64;
        self.file.write_at(&slot, at).map_err(LogError::io("write", &self.path))?;
        self.keys.used(GroupId::SYSTEM, self.key.0, 1, sealed.len() as u64);
        (self.sequence, self.proof) = (sequence, proof);
        Ok(())
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&self) -> Result<(), LogError> {
        self.file.sync().map_err(LogError::io("sync", &self.path))
    }

    /// What is written from now on is under the system group's key that is active by now.
    pub(crate) fn use_active_key(&mut self) -> Result<(), LogError> {
        self.key = mark_key(&*self.keys, None)?;
        Ok(())
    }

    /// Writes durably, under the system group's key that is active by now.
    pub(crate) fn write_through(&mut self, proof: Proof) -> Result<(), LogError> {
        self.use_active_key()?;
        self.write(proof)?;
        self.sync()
    }
}

fn index_of(sequence: u64) -> u8 {
    u8::from(sequence % 2 == 1)
}

fn context(index: u8, prefix: &[u8]) -> Context {
    Context::new(Label::LogMark, u64::from(index)).and(prefix)
}

fn mark_key(keys: &dyn LogKeys, key_id: Option<u32>) -> Result<(u32, LogKey), LogKeyError> {
    let (key_id, key): (u32, GroupKey) = keys.log_key(GroupId::SYSTEM, key_id)?;
    let context = Context::new(Label::LogMark, 0_u64);
    Ok((key_id, derive::<LogKey>(&key, &keys.store_id(), &context)))
}

/// Reads one slot with the bytes up to the next.
pub(super) fn slot(
    bytes: &[u8],
    index: u8,
    keys: &dyn LogKeys,
    path: &Path,
) -> Result<(u64, Proof), LogError> {
    let damaged = LogError::DamagedMark { slot: index };
    let mut from = Reader::new(bytes);
    let (Ok(magic), Ok(version), Ok(reserved), Ok(key_id)) =
        (from.array::<8>("magic"), from.u16("version"), from.u16("reserved"), from.u32("key id"))
    else {
        return Err(damaged);
    };
    if magic == MAGIC && version > VERSION {
        return Err(LogError::TooNew { path: path.to_path_buf(), version });
    }
    let rest_is_zero = bytes[PREFIX_LEN + SEALED_LEN..].iter().all(|&byte| byte == 0);
    if magic != MAGIC || version != VERSION || reserved != 0 || !rest_is_zero {
        return Err(damaged);
    }
    // A key id that the keyring does not know is most likely a changed one: nothing vouched for it yet.
    let Ok((_, key)) = mark_key(keys, Some(key_id)) else { return Err(damaged) };
    let Ok(sealed) = from.raw(SEALED_LEN, "sealed mark") else { return Err(damaged) };
    let Ok(body) = record::open(&key, &context(index, &bytes[..PREFIX_LEN]), sealed) else {
        return Err(damaged);
    };
    match proof(&body) {
        Ok((store, sequence, proof)) if store == keys.store_id() && index_of(sequence) == index => {
            Ok((sequence, proof))
        }
        _ => Err(damaged),
    }
}

/// What a slot seals.
pub(super) fn body(store: [u8; STORE_ID_LEN], sequence: u64, proof: &Proof) -> Vec<u8> {
    let mut out = Writer::new();
    out.raw(&store).u64(sequence).u64(proof.first.0).u64(proof.segment.0).u64(proof.offset);
    out.u64(proof.lsn.0).raw(&proof.link.0).u64(proof.keyring).u8(proof.clean.into());
    out.finish()
}

/// Reads [`body`]'s output.
pub(super) fn proof(body: &[u8]) -> Result<([u8; STORE_ID_LEN], u64, Proof), DecodeError> {
    let mut from = Reader::new(body);
    let store = *from.array("store id")?;
    let sequence = from.u64("sequence")?;
    let proof = Proof {
        first: SegmentId(from.u64("first segment")?),
        segment: SegmentId(from.u64("durable segment")?),
        offset: from.u64("durable offset")?,
        lsn: Lsn(from.u64("durable LSN")?),
        link: Link(*from.array("link")?),
        keyring: from.u64("keyring generation")?,
        clean: from.flag("clean")?,
    };
    from.finish("a mark")?;
    Ok((store, sequence, proof))
}

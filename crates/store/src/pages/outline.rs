//! What a page file shows without keys (`docs/spec/pages.md` §4).

use std::io;
use std::path::{Path, PathBuf};

use super::geometry::slot_place;
use super::root::{HEADER_LEN, Header, MAGIC, RECORD_LEN_MAX, VERSION};
use crate::directory::io_error;
use crate::disk::{Disk, DiskFile};
use crate::{GroupId, OpenError};

/// A page file as it looks without keys. Nothing of it is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageFileOutline {
    /// The file.
    pub path: PathBuf,
    /// Whose it is by its name; `None` for a name that is no page file's.
    pub group: Option<GroupId>,
    /// Its length in bytes. Holes count, so the disk may hold less.
    pub len: u64,
    /// Its two root slots. The one with the higher sequence number counts, if it opens.
    pub slots: [SlotState; 2],
}

/// What a root slot looks like without keys.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotState {
    /// Never written.
    Blank,
    /// It has a root's header.
    Root(SlotOutline),
    /// Written by a newer version of this program.
    TooNew {
        /// Its format.
        version: u32,
    },
    /// It has no root's header.
    Unreadable,
}

/// The plain part of a root slot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotOutline {
    /// Whose file it is.
    pub group: GroupId,
    /// The file's random id.
    pub file: [u8; 16],
    /// The root's number.
    pub sequence: u64,
    /// Which of the group's keys seals it.
    pub key_id: u32,
    /// How long the sealed part is, in bytes.
    pub sealed_len: u32,
}

/// The page files in `dir`, by name.
pub(crate) fn outline(disk: &dyn Disk, dir: &Path) -> Result<Vec<PageFileOutline>, OpenError> {
    let names = disk.list(dir).map_err(|error| io_error(dir, error))?;
    let mut files = Vec::with_capacity(names.len());
    for name in names.iter().filter(|name| name.ends_with(".pages")) {
        let path = dir.join(name);
        let read = || {
            let file = disk.open(&path)?;
            Ok((file.len()?, [slot(&*file, 0)?, slot(&*file, 1)?]))
        };
        let (len, slots) = read().map_err(|error: io::Error| io_error(&path, error))?;
        files.push(PageFileOutline { group: group_of(name), path, len, slots });
    }
    Ok(files)
}

/// The group that a page file's name stands for.
fn group_of(name: &str) -> Option<GroupId> {
    let digits = name.strip_suffix(".pages")?;
    let group = GroupId(u32::from_str_radix(digits, 16).ok()?);
    // One name per group: other spellings of the number are none of ours.
    (group.to_string() == digits).then_some(group)
}

fn slot(file: &dyn DiskFile, index: u8) -> io::Result<SlotState> {
    let mut bytes = [0; HEADER_LEN];
    match file.read_at(&mut bytes, slot_place(index)) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(SlotState::Unreadable),
        Err(error) => return Err(error),
    }
    if bytes == [0; HEADER_LEN] {
        return Ok(SlotState::Blank);
    }
    let (start, fields) = bytes.split_at(MAGIC.len() + size_of::<u32>());
    let (magic, version) = start.split_at(MAGIC.len());
    let version = version.try_into().map_or(0, u32::from_le_bytes);
    if magic != MAGIC || version == 0 {
        return Ok(SlotState::Unreadable);
    }
    if version > VERSION {
        return Ok(SlotState::TooNew { version });
    }
    Ok(match Header::decode(fields) {
        Ok(header) if header.seq.slot() == index && header.record_len as usize <= RECORD_LEN_MAX => {
            SlotState::Root(SlotOutline {
                group: header.group,
                file: header.file,
                sequence: header.seq.0,
                key_id: header.key_id,
                sealed_len: header.record_len,
            })
        }
        _ => SlotState::Unreadable,
    })
}

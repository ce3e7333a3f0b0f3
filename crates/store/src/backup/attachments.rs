//! Files outside the store that rows stand for (`docs/spec/backup.md` §6).

use std::fmt;
use std::path::{Path, PathBuf};

use crate::GroupId;

const COMPONENTS_MAX: usize = 4;
const COMPONENT_LEN_MAX: usize = 64;
pub(super) const PATH_LEN_MAX: usize = COMPONENTS_MAX * (COMPONENT_LEN_MAX + 1);

/// Says which rows stand for files, and where those are. The files never change, and none that a row stands for when a
/// backup begins is removed while it runs: whoever starts the backup sees to that.
pub trait Attachments: Send + Sync + fmt::Debug {
    /// The directory that paths start from.
    fn dir(&self) -> &Path;
    /// Between which keys (the second excluded) a group's rows may stand for files.
    fn keys(&self, group: GroupId) -> Option<(Vec<u8>, Vec<u8>)>;
    /// The file that a row with this key stands for.
    fn file_of(&self, group: GroupId, key: &[u8]) -> Option<FilePath>;
}

/// A relative path of one to four components of `0-9a-f`: never absolute, never upwards.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(String);

impl FilePath {
    /// The path with these components joined by `/`, if it is one.
    pub fn parse(path: &str) -> Option<Self> {
        let plain = |component: &str| {
            (1..=COMPONENT_LEN_MAX).contains(&component.len())
                && component.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
        };
        let right = path.len() <= PATH_LEN_MAX
            && path.split('/').count() <= COMPONENTS_MAX
            && path.split('/').all(plain);
        right.then(|| Self(path.to_owned()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn in_dir(&self, dir: &Path) -> PathBuf {
        dir.join(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_that_stay_below_are_paths() {
        for path in ["0", "00000001/0000000a/00ff", "a/b/c/d"] {
            assert_eq!(FilePath::parse(path).unwrap().as_str(), path);
        }
        let long = "a".repeat(65);
        for path in ["", "/", "a/", "/a", "a//b", "..", "a/../b", "A", "a/b/c/d/e", "g", "a\0", &long] {
            assert_eq!(FilePath::parse(path), None, "{path:?}");
        }
    }
}

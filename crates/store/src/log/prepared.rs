//! Zeros that are written ahead of the frames (`docs/spec/log.md` §7).
//!
//! A sync of a file that grew has to make the file's new length durable too, which is a second write at another place and
//! costs a small batch as much as its own. So the newest segment is kept longer than its frames, a step at a time.

use std::io;

use crate::disk::DiskFile;

/// How far ahead at most.
pub(crate) const STEP: usize = 256 << 10;
/// A batch of which fewer than this go into a step gains nothing worth writing everything twice.
const BATCHES: usize = 4;
/// How much of a tail is looked at a time.
const WINDOW_LEN: u64 = 64 << 10;

static ZEROS: [u8; STEP] = [0; STEP];

/// Writes up to `ahead` zeros from `position` on, where a batch of `batch` bytes just ended the file; the answer is where the
/// file ends now.
///
/// # Errors
/// Those of the file, which may be longer than `position` then.
pub(super) fn prepare(file: &dyn DiskFile, position: u64, ahead: usize, batch: usize) -> io::Result<u64> {
    let zeros = &ZEROS[..ahead.min(STEP)];
    if batch > zeros.len() / BATCHES {
        return Ok(position);
    }
    file.write_at(zeros, position)?;
    Ok(position + zeros.len() as u64)
}

/// How many bytes of `from..len` there are up to the last that is not zero.
///
/// # Errors
/// Those of the file.
pub(super) fn written(file: &dyn DiskFile, from: u64, len: u64) -> io::Result<u64> {
    let mut window = Vec::new();
    let mut end = len;
    while end > from {
        let start = end.saturating_sub(WINDOW_LEN).max(from);
        window.resize(usize::try_from(end - start).expect("a window is small"), 0);
        file.read_at(&mut window, start)?;
        if let Some(last) = window.iter().rposition(|&byte| byte != 0) {
            return Ok(start + last as u64 + 1 - from);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::disk::Disk;
    use crate::sim::SimDisk;

    #[test]
    fn what_was_written_ends_with_the_last_byte_that_is_not_zero() {
        let file = SimDisk::from_seed(1).create_new(Path::new("/file")).unwrap();
        let end = prepare(&*file, 10, STEP, 1).unwrap();
        assert_eq!((end, file.len().unwrap()), (10 + STEP as u64, 10 + STEP as u64));
        assert_eq!(written(&*file, 0, end).unwrap(), 0);
        for at in [0, 9, 10, WINDOW_LEN - 1, WINDOW_LEN, end - WINDOW_LEN, end - 1] {
            file.write_at(&[1], at).unwrap();
            for from in [0, at / 2, at] {
                assert_eq!(written(&*file, from, end).unwrap(), at + 1 - from);
            }
            assert_eq!(written(&*file, at + 1, end).unwrap(), 0);
        }
    }

    #[test]
    fn nothing_is_prepared_for_large_batches() {
        let file = SimDisk::from_seed(1).create_new(Path::new("/file")).unwrap();
        assert_eq!(prepare(&*file, 0, STEP, STEP).unwrap(), 0);
        assert_eq!(prepare(&*file, 0, 0, 1).unwrap(), 0);
        assert_eq!(file.len().unwrap(), 0);
    }
}

//! Buffers that are used again: fresh ones would be zeroed and faulted in page by page for every window of a download.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Buffers of one length. Those that come back are kept, up to a number, for whoever asks next.
///
/// Buffers hold what they held before. [`Filled`] shows only what its maker wrote.
#[derive(Debug)]
pub(super) struct Buffers {
    length: usize,
    kept_max: usize,
    kept: Mutex<Vec<Box<[u8]>>>,
}

impl Buffers {
    pub(super) fn new(length: usize, kept_max: usize) -> Arc<Self> {
        Arc::new(Self { length, kept_max, kept: Mutex::default() })
    }

    /// A buffer of at least `length` bytes: from here if that wastes little, else one of just that length.
    pub(super) fn take(self: &Arc<Self>, length: usize) -> Buffer {
        if length > self.length || length <= self.length / 4 {
            return Buffer { bytes: vec![0; length].into(), home: None };
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = kept.unwrap_or_else(|| vec![0; self.length].into());
        Buffer { bytes, home: Some(Arc::clone(self)) }
    }
}

/// A buffer. It goes back to where it came from when it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    home: Option<Arc<Buffers>>,
}

impl Buffer {
    pub(super) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// What was written to `range`, without a copy.
    pub(super) fn into_bytes(self, range: Range<usize>) -> Bytes {
        Bytes::from_owner(Filled { buffer: self, range })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(home) = &self.home else { return };
        let mut kept = home.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < home.kept_max {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

struct Filled {
    buffer: Buffer,
    range: Range<usize>,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer.bytes[self.range.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_only_when_nobody_sees_it_any_more() {
        let buffers = Buffers::new(64, 2);
        let mut first = buffers.take(64);
        first.as_mut().fill(1);
        let seen = first.into_bytes(8..16);
        let mut second = buffers.take(64);
        second.as_mut().fill(2);
        assert_eq!(seen, [1; 8].as_slice());
        let slice = seen.slice(2..4);
        drop(seen);
        assert_eq!(buffers.kept.lock().unwrap().len(), 0, "a slice of it lives");
        drop(slice);
        assert_eq!(buffers.kept.lock().unwrap().len(), 1);
        assert_eq!(buffers.take(40).bytes[..], [1; 64]);
    }

    #[test]
    fn small_and_large_requests_get_buffers_of_their_own_and_few_are_kept() {
        let buffers = Buffers::new(64, 2);
        assert_eq!(buffers.take(16).bytes.len(), 16);
        assert_eq!(buffers.take(65).bytes.len(), 65);
        let many: Vec<Buffer> = (0..5).map(|_| buffers.take(64)).collect();
        drop(many);
        assert_eq!(buffers.kept.lock().unwrap().len(), 2);
    }
}

//! The same streams on several threads: memory that is already there in slices, or from a reader to a writer
//! with a bounded window.

use std::num::NonZeroUsize;
use std::thread;

use super::{OpenRun, SealRun, StreamError};
use crate::TAG_LEN;

/// Seals `plain` into `out` as [`SealRun::seal_to`] does, on up to `threads` threads.
///
/// # Errors
/// As [`SealRun::seal_to`].
pub fn seal_slices(
    run: SealRun,
    plain: &[u8],
    out: &mut [u8],
    threads: NonZeroUsize,
) -> Result<(), StreamError> {
    run.check(plain.len(), out.len())?;
    let share = run.chunks().div_ceil(threads.get());
    let stride = run.chunk_size().bytes();
    thread::scope(|scope| {
        let (mut run, mut plain, mut out) = (run, plain, out);
        let mut others = Vec::new();
        while run.chunks() > share {
            let (mine, rest) = run.split_at(share);
            let (my_plain, rest_plain) = plain.split_at(share * stride);
            let (my_out, rest_out) = out.split_at_mut(share * (stride + TAG_LEN));
            others.push(scope.spawn(move || mine.seal_to(my_plain, my_out)));
            (run, plain, out) = (rest, rest_plain, rest_out);
        }
        run.seal_to(plain, out)?;
        others.into_iter().try_for_each(join)
    })
}

/// Opens `sealed` into the front of `out` as [`OpenRun::open_to`] does, on up to `threads` threads, and returns
/// how long the plaintext is.
///
/// # Errors
/// As [`OpenRun::open_to`]; of several chunks that do not open, the first is named.
pub fn open_slices(
    run: OpenRun,
    sealed: &[u8],
    out: &mut [u8],
    threads: NonZeroUsize,
) -> Result<usize, StreamError> {
    run.check(sealed.len(), out.len())?;
    let opened = run.plain_len();
    let share = run.chunks().div_ceil(threads.get());
    let size = run.chunk_size().bytes();
    thread::scope(|scope| {
        let (mut run, mut sealed, mut out) = (run, sealed, out);
        let mut others = Vec::new();
        while run.chunks() > share {
            let (mine, rest) = run.split_at(share);
            let (my_sealed, rest_sealed) = sealed.split_at(share * (size + TAG_LEN));
            let (my_out, rest_out) = out.split_at_mut(share * size);
            others.push(scope.spawn(move || mine.open_to(my_sealed, my_out)));
            (run, sealed, out) = (rest, rest_sealed, rest_out);
        }
        let last = run.open_to(sealed, out);
        others.into_iter().try_for_each(|other| join(other).map(drop))?;
        last.map(|_| opened)
    })
}

/// What the thread returned; a panic goes on in this thread.
fn join<T>(handle: thread::ScopedJoinHandle<'_, Result<T, StreamError>>) -> Result<T, StreamError> {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

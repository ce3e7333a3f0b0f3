//! What the readers and writers around the core promise.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test helper that panics fails its test")]

use std::io::{self, Cursor, Read, Write};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use strongroom_seal::stream::parallel::{self, Effort};
use strongroom_seal::stream::{
    self, AsyncOpenReader, AsyncSealReader, ChunkSize, HEADER_LEN, Last, OpenReader, SealReader, SealWriter,
    Sealer, StreamError, StreamSpec,
};
use strongroom_seal::{Context, Label, ObjectKey, Random, SeededRandom, TAG_LEN};
use tokio::io::AsyncReadExt;

const CHUNK: usize = 4096;
const STRIDE: usize = CHUNK + TAG_LEN;

fn random() -> SeededRandom {
    SeededRandom::dangerous_from_seed(7)
}

fn key() -> ObjectKey {
    ObjectKey::from_slice(&[0x11; 32]).unwrap()
}

fn context() -> Context {
    Context::new(Label::PartContent, "bucket").and("version").and(1u64)
}

fn spec() -> StreamSpec {
    StreamSpec { chunk_size: ChunkSize::MIN, ..StreamSpec::default() }
}

fn plain(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SeededRandom::dangerous_from_seed(length as u64).fill(&mut bytes);
    bytes
}

fn sealed(length: usize) -> Vec<u8> {
    stream::seal_all(&key(), &context(), spec(), &plain(length), &random())
}

fn lengths() -> Vec<usize> {
    vec![0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5 * CHUNK - 1, 5 * CHUNK, 5 * CHUNK + 1]
}

fn effort(threads: usize, window: usize) -> Effort {
    Effort { threads: NonZeroUsize::new(threads).unwrap(), window }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn every_way_of_sealing_gives_the_same_bytes() {
    for length in lengths() {
        let (plain, expected) = (plain(length), sealed(length));
        for piece in [1, 1000, CHUNK, CHUNK + 1, 100 * CHUNK] {
            let mut writer = SealWriter::new(&key(), &context(), spec(), &random(), Vec::new()).unwrap();
            plain.chunks(piece).for_each(|piece| writer.write_all(piece).unwrap());
            assert!(writer.finish().unwrap() == expected, "{length} written in pieces of {piece}");
        }

        let mut read = Vec::new();
        SealReader::new(&key(), &context(), spec(), &random(), plain.as_slice())
            .read_to_end(&mut read)
            .unwrap();
        assert!(read == expected, "{length} read");

        let mut read = Vec::new();
        let mut reader = AsyncSealReader::new(&key(), &context(), spec(), &random(), plain.as_slice());
        wait(reader.read_to_end(&mut read)).unwrap();
        assert!(read == expected, "{length} read asynchronously");

        for (threads, window) in [(1, 1), (2, 1), (3, 2 * CHUNK), (2, 1 << 20)] {
            let mut out = Vec::new();
            let effort = effort(threads, window);
            let written =
                parallel::seal(&key(), &context(), spec(), &random(), plain.as_slice(), &mut out, effort)
                    .unwrap();
            assert_eq!(written, expected.len() as u64);
            assert!(out == expected, "{length} on {threads} threads");
        }

        for threads in 1..=4 {
            let mut out = vec![0; expected.len()];
            let (mut sealer, header) = Sealer::new(&key(), &context(), spec(), &random());
            out[..HEADER_LEN].copy_from_slice(&header);
            let run = sealer.reserve(length, Last::Yes).unwrap();
            let threads = NonZeroUsize::new(threads).unwrap();
            parallel::seal_slices(run, &plain, &mut out[HEADER_LEN..], threads).unwrap();
            assert!(out == expected, "{length} in slices on {threads} threads");
        }
    }
}

#[test]
fn every_way_of_opening_gives_the_same_bytes() {
    for length in lengths() {
        let (expected, sealed) = (plain(length), sealed(length));
        let mut read = Vec::new();
        OpenReader::new(&key(), &context(), sealed.as_slice()).read_to_end(&mut read).unwrap();
        assert!(read == expected, "{length} read");

        let mut read = Vec::new();
        wait(AsyncOpenReader::new(&key(), &context(), sealed.as_slice()).read_to_end(&mut read)).unwrap();
        assert!(read == expected, "{length} read asynchronously");

        for (threads, window) in [(1, 1), (2, 1), (3, 2 * CHUNK), (2, 1 << 20)] {
            let mut out = Vec::new();
            let effort = effort(threads, window);
            let written = parallel::open(&key(), &context(), sealed.as_slice(), &mut out, effort).unwrap();
            assert_eq!(written, length as u64);
            assert!(out == expected, "{length} on {threads} threads");
        }

        for threads in 1..=4 {
            let opener = stream::Opener::new(&key(), &context(), &sealed, length as u64).unwrap();
            let run = opener.run(0, sealed.len() - HEADER_LEN).unwrap();
            let mut out = vec![0; length];
            let threads = NonZeroUsize::new(threads).unwrap();
            assert_eq!(parallel::open_slices(run, &sealed[HEADER_LEN..], &mut out, threads).unwrap(), length);
            assert!(out == expected, "{length} in slices on {threads} threads");
        }
    }
}

#[test]
fn only_genuine_chunks_are_handed_out_before_a_fault_and_the_fault_stays() {
    let length = 4 * CHUNK + 7;
    for chunk in 0..5 {
        let mut changed = sealed(length);
        changed[HEADER_LEN + chunk * STRIDE] ^= 1;
        let genuine = &plain(length)[..chunk * CHUNK];

        let mut reader = OpenReader::new(&key(), &context(), changed.as_slice());
        let mut read = Vec::new();
        let fault = StreamError::from_io(reader.read_to_end(&mut read).unwrap_err());
        assert!(matches!(fault, StreamError::Unsealable { chunk: found } if found == chunk as u64));
        assert_eq!(read, genuine);
        for _ in 0..3 {
            let again = reader.read(&mut [0; 16]).expect_err("a fault is not an end");
            assert!(matches!(StreamError::from_io(again), StreamError::Broken));
        }

        let mut reader = AsyncOpenReader::new(&key(), &context(), changed.as_slice());
        let mut read = Vec::new();
        wait(reader.read_to_end(&mut read)).unwrap_err();
        assert_eq!(read, genuine);
        assert!(wait(reader.read(&mut [0; 16])).is_err());

        for threads in 1..=3 {
            let mut out = Vec::new();
            let fault = parallel::open(&key(), &context(), changed.as_slice(), &mut out, effort(threads, 1));
            assert!(matches!(fault, Err(StreamError::Unsealable { chunk: found }) if found == chunk as u64));
            assert_eq!(out, genuine);
        }
    }
}

#[test]
fn of_several_faults_the_first_is_named_however_many_threads_look() {
    let mut changed = sealed(8 * CHUNK);
    for chunk in [2, 3, 7] {
        changed[HEADER_LEN + chunk * STRIDE] ^= 1;
    }
    for threads in 1..=4 {
        let opener = stream::Opener::new(&key(), &context(), &changed, 8 * CHUNK as u64).unwrap();
        let run = opener.run(0, changed.len() - HEADER_LEN).unwrap();
        let mut out = vec![0; 8 * CHUNK];
        let count = NonZeroUsize::new(threads).unwrap();
        let fault = parallel::open_slices(run, &changed[HEADER_LEN..], &mut out, count);
        assert!(matches!(fault, Err(StreamError::Unsealable { chunk: 2 })), "{threads} threads");
        let fault = parallel::open(&key(), &context(), changed.as_slice(), io::sink(), effort(threads, 1));
        assert!(
            matches!(fault, Err(StreamError::Unsealable { chunk: 2 })),
            "{threads} threads, from a reader"
        );
    }
}

#[test]
fn every_cut_is_reported_by_readers_in_order() {
    let whole = sealed(2 * CHUNK);
    for length in 0..whole.len() {
        let fault = OpenReader::new(&key(), &context(), &whole[..length]).read_to_end(&mut Vec::new());
        let fault = StreamError::from_io(fault.expect_err("a cut stream has no end"));
        match length {
            0..HEADER_LEN => assert!(matches!(fault, StreamError::Header(_)), "{length}: {fault}"),
            // Between chunks nothing is damaged, so the cut can be named.
            _ if (length - HEADER_LEN).is_multiple_of(STRIDE) => {
                let cut = ((length - HEADER_LEN) / STRIDE) as u64;
                assert!(
                    matches!(fault, StreamError::Truncated { chunk } if chunk == cut),
                    "{length}: {fault}"
                );
            }
            _ => assert!(
                matches!(fault, StreamError::Truncated { .. } | StreamError::Unsealable { .. }),
                "{length}: {fault}"
            ),
        }
    }
}

#[test]
fn a_writer_that_is_not_finished_leaves_a_truncated_stream() {
    for length in [0, 1, CHUNK, 3 * CHUNK] {
        let mut out = Vec::new();
        let mut writer = SealWriter::new(&key(), &context(), spec(), &random(), &mut out).unwrap();
        writer.write_all(&plain(length)).unwrap();
        drop(writer);
        let fault =
            OpenReader::new(&key(), &context(), out.as_slice()).read_to_end(&mut Vec::new()).unwrap_err();
        assert!(matches!(StreamError::from_io(fault), StreamError::Truncated { .. }), "{length}");
    }
}

/// Fails once `left` bytes have passed.
struct Failing<T> {
    inner: T,
    left: usize,
}

impl<T> Failing<T> {
    fn pass(&mut self, wanted: usize) -> io::Result<usize> {
        let passed = wanted.min(self.left);
        self.left -= passed;
        if passed == 0 && wanted > 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(passed) }
    }
}

impl<R: Read> Read for Failing<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let passed = self.pass(out.len())?;
        self.inner.read(&mut out[..passed])
    }
}

impl<W: Write> Write for Failing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let passed = self.pass(bytes.len())?;
        self.inner.write(&bytes[..passed])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn is_full(error: &StreamError) -> bool {
    matches!(error, StreamError::Io(error) if error.kind() == io::ErrorKind::StorageFull)
}

#[test]
fn failures_of_what_is_wrapped_come_through_and_end_the_stream() {
    let (plain, whole) = (plain(4 * CHUNK), sealed(4 * CHUNK));
    for left in [0, 100, HEADER_LEN + STRIDE, HEADER_LEN + 2 * STRIDE + 7] {
        for threads in 1..=3 {
            let reader = Failing { inner: whole.as_slice(), left };
            let mut out = Vec::new();
            let error = parallel::open(&key(), &context(), reader, &mut out, effort(threads, 1)).unwrap_err();
            assert!(is_full(&error), "{error}");
            assert!(plain.starts_with(&out));

            let writer = Failing { inner: Vec::new(), left };
            let reader = plain.as_slice();
            let error =
                parallel::seal(&key(), &context(), spec(), &random(), reader, writer, effort(threads, 1));
            assert!(is_full(&error.unwrap_err()));
        }
    }

    let inner = Failing { inner: Vec::new(), left: HEADER_LEN + 100 };
    let mut writer = SealWriter::new(&key(), &context(), spec(), &random(), inner).unwrap();
    let error = writer.write_all(&plain).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(matches!(StreamError::from_io(writer.write(&plain).unwrap_err()), StreamError::Broken));
    assert!(matches!(writer.finish(), Err(StreamError::Broken)), "a hole in a stream is never closed");
}

/// Panics once it has given everything.
struct Panicking<'a>(&'a [u8]);

impl Read for Panicking<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        assert!(!self.0.is_empty(), "the reader panics");
        Read::read(&mut self.0, out)
    }
}

#[test]
fn a_panicking_reader_leaves_no_thread_waiting() {
    let plain = plain(4 * CHUNK);
    let panicked = std::panic::catch_unwind(|| {
        let reader = Panicking(&plain);
        let _ = parallel::seal(&key(), &context(), spec(), &random(), reader, io::sink(), effort(3, 1));
    });
    assert!(panicked.is_err());
}

/// Counts what is on its way.
struct Gauge<'a> {
    inner: Cursor<Vec<u8>>,
    read: &'a AtomicUsize,
    written: &'a AtomicUsize,
    most: &'a AtomicUsize,
}

impl Read for Gauge<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = Read::read(&mut self.inner, out)?;
        let read = self.read.fetch_add(count, Ordering::SeqCst) + count;
        self.most.fetch_max(read.saturating_sub(self.written.load(Ordering::SeqCst)), Ordering::SeqCst);
        Ok(count)
    }
}

struct Written<'a>(&'a AtomicUsize);

impl Write for Written<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(bytes.len(), Ordering::SeqCst);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn threads_read_no_further_ahead_than_a_window_each() {
    for threads in 1..=4 {
        let (read, written, most) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let inner = Cursor::new(plain(100 * CHUNK));
        let reader = Gauge { inner, read: &read, written: &written, most: &most };
        parallel::seal(
            &key(),
            &context(),
            spec(),
            &random(),
            reader,
            Written(&written),
            effort(threads, 2 * CHUNK),
        )
        .unwrap();
        assert_eq!(read.load(Ordering::SeqCst), 100 * CHUNK);
        let most = most.load(Ordering::SeqCst);
        assert!(most <= threads * 2 * CHUNK + 1, "{most} bytes ahead with {threads} threads");
    }
}

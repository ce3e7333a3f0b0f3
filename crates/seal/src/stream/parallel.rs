//! The same streams on several threads: from a reader to a writer with a bounded window, or in memory that is
//! there already.

use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::run::{Run, Runs};
use super::{HEADER_LEN, Header, Last, OpenRun, SealRun, Sealer, StreamError, StreamSpec};
use crate::{Context, ObjectKey, Random};

/// How much of the machine to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// How many threads work, the caller's included.
    pub threads: NonZeroUsize,
    /// How many bytes a thread takes at a time, rounded down to whole chunks, at least one. Each thread holds that
    /// much twice, as input and as output; nothing else grows with the stream.
    pub window: usize,
}

/// Seals all that `reader` gives into `writer`, header first, and returns how many bytes were written.
///
/// # Errors
/// [`StreamError::Io`] and [`StreamError::TooLong`]. What was written then has no last chunk.
pub fn seal(
    key: &ObjectKey,
    context: &Context,
    spec: StreamSpec,
    random: &dyn Random,
    reader: impl Read + Send,
    mut writer: impl Write + Send,
    effort: Effort,
) -> Result<u64, StreamError> {
    let (sealer, header) = Sealer::new(key, context, spec, random);
    writer.write_all(&header)?;
    Ok(HEADER_LEN as u64 + run_line(sealer, reader, writer, effort)?)
}

/// Opens the stream that `reader` gives into `writer`, and returns how many bytes were written.
///
/// Plaintext is written as chunks prove genuine, in order. What was written is the whole content only if this
/// returns without error.
///
/// # Errors
/// As for [`super::OpenReader`]: the first fault in the order of the stream.
pub fn open(
    key: &ObjectKey,
    context: &Context,
    mut reader: impl Read + Send,
    writer: impl Write + Send,
    effort: Effort,
) -> Result<u64, StreamError> {
    let mut header = [0; HEADER_LEN];
    let length = fill(&mut reader, &mut header)?;
    let chunks = Header::parse(&header[..length])?.unlock(key, context)?.in_order();
    run_line(chunks, reader, writer, effort)
}

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
    spread(run, plain, out, threads)
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
    let opened = run.plain_len();
    spread(run, sealed, out, threads)?;
    Ok(opened)
}

/// Cuts a run into one piece for each thread.
fn spread<R: Run>(run: R, input: &[u8], output: &mut [u8], threads: NonZeroUsize) -> Result<(), StreamError> {
    run.check(input.len(), output.len())?;
    let share = run.chunks().div_ceil(threads.get());
    let (input_share, output_share) = run.lengths(share);
    thread::scope(|scope| {
        let (mut run, mut input, mut output) = (run, input, output);
        let mut others = Vec::new();
        while run.chunks() > share {
            let (mine, rest) = run.split_at(share);
            let (my_input, rest_input) = input.split_at(input_share);
            let (my_output, rest_output) = output.split_at_mut(output_share);
            others.push(scope.spawn(move || mine.work(my_input, my_output)));
            (run, input, output) = (rest, rest_input, rest_output);
        }
        let last = run.work(input, output);
        for other in others {
            other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        last
    })
}

/// Threads that each read a window, work on it, and write it when its turn has come.
struct Line<S, R, W> {
    source: Mutex<Source<S, R>>,
    sink: Mutex<Sink<W>>,
    turn: Condvar,
    window: usize,
}

struct Source<S, R> {
    runs: S,
    reader: R,
    /// The byte after the last window: that there is one told that the window was not the last.
    carry: Option<u8>,
    ended: bool,
    tickets: u64,
}

struct Sink<W> {
    writer: W,
    turn: u64,
    written: u64,
    stopped: bool,
    fault: Option<StreamError>,
}

fn run_line<S: Runs, R: Read + Send, W: Write + Send>(
    runs: S,
    reader: R,
    writer: W,
    effort: Effort,
) -> Result<u64, StreamError> {
    let chunk = runs.chunk_len();
    let line = Line {
        window: (effort.window / chunk).max(1) * chunk,
        source: Mutex::new(Source { runs, reader, carry: None, ended: false, tickets: 0 }),
        sink: Mutex::new(Sink { writer, turn: 0, written: 0, stopped: false, fault: None }),
        turn: Condvar::new(),
    };
    thread::scope(|scope| {
        for _ in 1..effort.threads.get() {
            scope.spawn(|| line.work());
        }
        line.work();
    });
    let mut sink = line.sink.into_inner().unwrap_or_else(PoisonError::into_inner);
    match sink.fault {
        Some(fault) => Err(fault),
        None => {
            sink.writer.flush()?;
            Ok(sink.written)
        }
    }
}

impl<S: Runs, R: Read, W: Write> Line<S, R, W> {
    fn work(&self) {
        let _alarm = Alarm(self);
        let (mut input, mut output) = (Vec::new(), Vec::new());
        while let Some((ticket, run)) = self.draw(&mut input) {
            let done = run.and_then(|(run, length)| {
                output.resize(run.output_len(), 0);
                run.work(&input[..length], &mut output)
            });
            if !self.deliver(ticket, done.map(|()| output.as_slice())) {
                return;
            }
        }
    }

    /// Reads the next window, and reserves its place in the stream.
    #[expect(clippy::type_complexity, reason = "a ticket, and what it is for or why there is nothing")]
    fn draw(&self, input: &mut Vec<u8>) -> Option<(u64, Result<(S::Run, usize), StreamError>)> {
        let mut source = self.source.lock().ok()?;
        let source = &mut *source;
        if source.ended {
            return None;
        }
        input.resize(self.window + 1, 0);
        let held = usize::from(source.carry.is_some());
        if let Some(carry) = source.carry.take() {
            input[0] = carry;
        }
        let run = fill(&mut source.reader, &mut input[held..]).map_err(StreamError::from).and_then(|read| {
            let filled = held + read;
            let (length, last) =
                if filled > self.window { (self.window, Last::No) } else { (filled, Last::Yes) };
            source.carry = input.get(self.window).copied();
            source.ended = last == Last::Yes;
            Ok((source.runs.next(length, last)?, length))
        });
        source.ended |= run.is_err();
        source.tickets += 1;
        Some((source.tickets - 1, run))
    }

    /// Writes when all before has been written. Returns whether to go on.
    fn deliver(&self, ticket: u64, done: Result<&[u8], StreamError>) -> bool {
        let sink = self.sink();
        let mut sink = self
            .turn
            .wait_while(sink, |sink| sink.turn != ticket && !sink.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        if sink.stopped {
            return false;
        }
        let written = done.and_then(|output| {
            sink.writer.write_all(output)?;
            Ok(output.len())
        });
        match written {
            Ok(count) => {
                sink.turn += 1;
                sink.written += count as u64;
            }
            Err(fault) => {
                sink.fault = Some(fault);
                sink.stopped = true;
            }
        }
        self.turn.notify_all();
        !sink.stopped
    }

    fn sink(&self) -> MutexGuard<'_, Sink<W>> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets nobody wait for the turn of a thread that panicked.
struct Alarm<'a, S: Runs, R: Read, W: Write>(&'a Line<S, R, W>);

impl<S: Runs, R: Read, W: Write> Drop for Alarm<'_, S, R, W> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.sink().stopped = true;
            self.0.turn.notify_all();
        }
    }
}

/// Reads until `out` is full or the input ends.
fn fill(reader: &mut impl Read, out: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < out.len() {
        match reader.read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

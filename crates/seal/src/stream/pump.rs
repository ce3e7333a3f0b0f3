//! What all reading faces share: bytes are put in, a window is sealed or opened, bytes are taken out.

use std::io;
use std::ops::Range;

use super::{HEADER_LEN, Header, InOrder, Last, Sealer, StreamError};
use crate::{Context, ObjectKey, TAG_LEN};

/// One direction: turns windows of input into output.
pub(super) trait Step {
    /// How many bytes the next window has, unless it is the last.
    fn window(&self) -> usize;
    /// Puts what comes of `input` at the front of `output`, which only grows, and returns how long it is.
    fn step(&mut self, input: &[u8], last: Last, output: &mut Vec<u8>) -> Result<usize, StreamError>;
}

impl Step for Sealer {
    fn window(&self) -> usize {
        self.chunk_size()
    }

    fn step(&mut self, input: &[u8], last: Last, output: &mut Vec<u8>) -> Result<usize, StreamError> {
        let run = self.reserve(input.len(), last)?;
        let length = run.sealed_len();
        run.seal_to(input, grown(output, length))?;
        Ok(length)
    }
}

/// The opening direction: the header first, then chunks.
pub(super) enum Opening {
    Header { key: ObjectKey, context: Context },
    Chunks(InOrder),
}

impl Opening {
    pub(super) fn new(key: &ObjectKey, context: &Context) -> Self {
        Self::Header { key: key.clone(), context: context.clone() }
    }
}

impl Step for Opening {
    fn window(&self) -> usize {
        match self {
            Self::Header { .. } => HEADER_LEN,
            Self::Chunks(chunks) => chunks.chunk_size() + TAG_LEN,
        }
    }

    fn step(&mut self, input: &[u8], last: Last, output: &mut Vec<u8>) -> Result<usize, StreamError> {
        match self {
            Self::Header { key, context } => {
                let unlocked = Header::parse(input)?.unlock(key, context)?;
                *self = Self::Chunks(unlocked.in_order());
                if last == Last::Yes { Err(StreamError::Truncated { chunk: 0 }) } else { Ok(0) }
            }
            Self::Chunks(chunks) => {
                let run = chunks.next_run(input.len(), last)?;
                let length = run.plain_len();
                run.open_to(input, grown(output, length))
            }
        }
    }
}

/// The first `length` bytes of a buffer, which is made longer only if it is too short: zeroing it each time would
/// cost a good part of what sealing does.
fn grown(buffer: &mut Vec<u8>, length: usize) -> &mut [u8] {
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    &mut buffer[..length]
}

/// Holds one window of input and the byte after it, which tells that the window is not the last.
pub(super) struct Pump<S> {
    step: S,
    input: Vec<u8>,
    filled: usize,
    output: Vec<u8>,
    /// What of the output can be taken.
    ready: Range<usize>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Ended,
    Broken,
}

impl<S: Step> Pump<S> {
    /// `before` is handed out ahead of everything.
    pub(super) fn new(step: S, before: &[u8]) -> Self {
        let input = vec![0; step.window() + 1];
        Self {
            step,
            input,
            filled: 0,
            output: before.to_vec(),
            ready: 0..before.len(),
            state: State::Running,
        }
    }

    /// What can be taken. Once it is empty and [`Self::space`] is too, the end was reached without fault.
    pub(super) fn ready(&self) -> &[u8] {
        &self.output[self.ready.clone()]
    }

    pub(super) fn take(&mut self, count: usize) {
        self.ready.start = self.ready.end.min(self.ready.start + count);
    }

    /// Where to put more input; empty at the end.
    ///
    /// # Errors
    /// [`StreamError::Broken`] after [`Self::accept`] or [`Self::failed`] reported a fault: a reader that is asked again
    /// must not seem to be at its end.
    pub(super) fn space(&mut self) -> Result<&mut [u8], StreamError> {
        match self.state {
            State::Running => Ok(&mut self.input[self.filled..]),
            State::Ended => Ok(&mut []),
            State::Broken => Err(StreamError::Broken),
        }
    }

    /// Takes note of `count` more bytes in [`Self::space`]; none mean that the input ends. Only to be called when
    /// nothing is [`Self::ready`].
    pub(super) fn accept(&mut self, count: usize) -> Result<(), StreamError> {
        self.filled = self.input.len().min(self.filled + count);
        if count > 0 && self.filled < self.input.len() {
            return Ok(());
        }
        let (length, last, after) = if count == 0 {
            (self.filled, Last::Yes, State::Ended)
        } else {
            (self.filled - 1, Last::No, State::Running)
        };
        // Broken until the step has succeeded.
        self.state = State::Broken;
        self.ready = 0..0;
        self.ready.end = self.step.step(&self.input[..length], last, &mut self.output)?;
        self.state = after;
        if last == Last::No {
            self.input[0] = self.input[length];
            self.filled = 1;
            self.input.resize(self.step.window() + 1, 0);
        }
        Ok(())
    }

    /// Takes note that the input could not be read. Interruptions are no faults.
    pub(super) fn failed(&mut self, error: &io::Error) {
        if !matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) {
            self.state = State::Broken;
        }
    }
}

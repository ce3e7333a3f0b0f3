//! What all reading faces share: bytes are put in, a window is sealed or opened, bytes are taken out.

use std::io;

use super::{HEADER_LEN, Header, InOrder, Last, Sealer, StreamError};
use crate::{Context, ObjectKey, TAG_LEN};

/// One direction: turns windows of input into output.
pub(super) trait Step {
    /// How many bytes the next window has, unless it is the last.
    fn window(&self) -> usize;
    /// Appends what comes of `input`.
    fn step(&mut self, input: &[u8], last: Last, output: &mut Vec<u8>) -> Result<(), StreamError>;
}

impl Step for Sealer {
    fn window(&self) -> usize {
        self.chunk_size()
    }

    fn step(&mut self, input: &[u8], last: Last, output: &mut Vec<u8>) -> Result<(), StreamError> {
        self.seal_batch(input, last, output)
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

    fn step(&mut self, input: &[u8], last: Last, output: &mut Vec<u8>) -> Result<(), StreamError> {
        match self {
            Self::Header { key, context } => {
                let unlocked = Header::parse(input)?.unlock(key, context)?;
                *self = Self::Chunks(unlocked.in_order());
                if last == Last::Yes { Err(StreamError::Truncated { chunk: 0 }) } else { Ok(()) }
            }
            Self::Chunks(chunks) => {
                let run = chunks.next_run(input.len(), last)?;
                let at = output.len();
                output.resize(at + run.plain_len(), 0);
                run.open_to(input, &mut output[at..]).map(drop)
            }
        }
    }
}

/// Holds one window of input and the byte after it, which tells that the window is not the last.
pub(super) struct Pump<S> {
    step: S,
    input: Vec<u8>,
    filled: usize,
    output: Vec<u8>,
    taken: usize,
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
        Self { step, input, filled: 0, output: before.to_vec(), taken: 0, state: State::Running }
    }

    /// What can be taken. Once it is empty and [`Self::space`] is too, the end was reached without fault.
    pub(super) fn ready(&self) -> &[u8] {
        &self.output[self.taken..]
    }

    pub(super) fn take(&mut self, count: usize) {
        self.taken = self.output.len().min(self.taken + count);
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
        self.output.clear();
        self.taken = 0;
        let (length, last, after) = if count == 0 {
            (self.filled, Last::Yes, State::Ended)
        } else {
            (self.filled - 1, Last::No, State::Running)
        };
        // Broken until the step has succeeded.
        self.state = State::Broken;
        self.step.step(&self.input[..length], last, &mut self.output).inspect_err(|_| self.output.clear())?;
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

//! What can be wrong with a stream, and with a caller.

use std::io;

/// Why the first bytes are not a header that this key and context open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Fewer bytes than a header has.
    #[error("the header is cut short: {length} bytes")]
    Short {
        /// How many bytes there are.
        length: usize,
    },
    /// The magic is another one.
    #[error("not a sealed stream")]
    NotAStream,
    /// Written by a newer version than this one.
    #[error("the stream has version {version}, newer than this program reads")]
    TooNew {
        /// The version found.
        version: u8,
    },
    /// No suite has this number.
    #[error("the stream is under suite {number}, which this program does not know")]
    UnknownSuite {
        /// The number found.
        number: u8,
    },
    /// The chunk size is outside of 4 KiB to 16 MiB.
    #[error("the stream has chunks of 2^{log2} bytes, which no writer makes")]
    ChunkSize {
        /// The binary logarithm found.
        log2: u8,
    },
    /// Reserved bytes are not zero.
    #[error("reserved bytes of the header are not zero")]
    Reserved,
    /// Key or context are other ones, or the header was changed. Which of them is not said.
    #[error("the header does not open: it was changed, or belongs to another key or place")]
    Unsealable,
}

/// Why a stream could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The header is not one, or not for this key and context.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A chunk was changed, moved, or belongs to another stream.
    #[error("chunk {chunk} does not open: it was changed, or belongs elsewhere")]
    Unsealable {
        /// The chunk's number, from 0.
        chunk: u64,
    },
    /// The stream ends before its last chunk does.
    #[error("the stream is cut short at chunk {chunk}")]
    Truncated {
        /// The chunk that is missing or incomplete, from 0.
        chunk: u64,
    },
    /// Bytes follow the last chunk.
    #[error("bytes follow chunk {chunk}, which is the stream's last")]
    Trailing {
        /// The last chunk's number, from 0.
        chunk: u64,
    },
    /// No stream with this chunk size is that long.
    #[error("no sealed stream is {sealed_len} bytes long")]
    Length {
        /// The length in bytes, header included.
        sealed_len: u64,
    },
    /// The caller's bytes are not whole chunks of this stream.
    #[error("{length} bytes are not whole chunks from chunk {first_chunk} of this stream")]
    Run {
        /// Where the bytes were said to start, as a chunk's number.
        first_chunk: u64,
        /// How many bytes were given.
        length: usize,
    },
    /// More plaintext than one stream may hold.
    #[error("a stream holds at most {plain_len_max} bytes")]
    TooLong {
        /// The limit in bytes.
        plain_len_max: u64,
    },
    /// The caller sealed something that is not a chunk: too long, too short before the last, or empty.
    #[error("{length} bytes are no chunk here")]
    ChunkLength {
        /// How many bytes were given.
        length: usize,
    },
    /// The caller went on after the last chunk.
    #[error("the stream's last chunk is already sealed")]
    Finished,
    /// The caller went on after reading, writing, sealing or opening had failed.
    #[error("the stream failed before and cannot go on")]
    Broken,
    /// Reading or writing failed.
    #[error("reading or writing failed: {0}")]
    Io(#[from] io::Error),
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match error {
            StreamError::Io(error) => return error,
            StreamError::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            StreamError::TooLong { .. } => io::ErrorKind::FileTooLarge,
            StreamError::ChunkLength { .. }
            | StreamError::Finished
            | StreamError::Broken
            | StreamError::Run { .. } => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

impl StreamError {
    /// Gets back what one of the reading or writing faces returned as an [`io::Error`].
    pub fn from_io(error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(Self::Io)
    }
}

//! Content on its way in and out.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream, StreamExt};

use crate::ObjectError;

/// Why a content stream ended before its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// The client went away.
    #[error("the client went away before the end of the content")]
    Disconnected,
    /// The client was too slow.
    #[error("the client sent nothing for too long")]
    TimedOut,
    /// The face that decodes the content refused it; it knows the error by its type.
    #[error("the content was refused: {source}")]
    Refused {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Content on its way in.
pub struct Content {
    /// How many bytes the client announced. Another number of bytes is [`ObjectError::IncompleteBody`].
    pub length: Option<u64>,
    /// The bytes.
    pub stream: BoxStream<'static, Result<Bytes, ContentError>>,
}

impl Content {
    /// Content of an announced length.
    pub fn new(
        length: Option<u64>,
        stream: impl Stream<Item = Result<Bytes, ContentError>> + Send + 'static,
    ) -> Self {
        Self { length, stream: stream.boxed() }
    }

    /// No bytes.
    pub fn empty() -> Self {
        Self::from_bytes(Bytes::new())
    }

    /// These bytes.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::new(Some(bytes.len() as u64), stream::iter((!bytes.is_empty()).then_some(Ok(bytes))))
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("length", &self.length).finish_non_exhaustive()
    }
}

/// Content on its way out: pieces of about 1 MiB, opened and authenticated before they are handed over.
///
/// After an error the stream ends. What came before the error was authentic.
pub struct ObjectBody {
    length: u64,
    pieces: Pieces,
}

enum Pieces {
    /// All of it is there. Empty once it was handed over.
    Ready(Bytes),
    Coming(BoxStream<'static, Result<Bytes, ObjectError>>),
}

impl ObjectBody {
    pub(crate) fn new(
        length: u64,
        stream: impl Stream<Item = Result<Bytes, ObjectError>> + Send + 'static,
    ) -> Self {
        Self { length, pieces: Pieces::Coming(stream.boxed()) }
    }

    /// A body that is already there.
    pub(crate) fn ready(bytes: Bytes) -> Self {
        Self { length: bytes.len() as u64, pieces: Pieces::Ready(bytes) }
    }

    /// What is left of it, if all of that is in memory.
    ///
    /// # Errors
    /// The body, if it is not.
    pub fn into_ready(self) -> Result<Bytes, Self> {
        match self.pieces {
            Pieces::Ready(bytes) => Ok(bytes),
            pieces @ Pieces::Coming(_) => Err(Self { pieces, ..self }),
        }
    }

    /// How many bytes the whole body has.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// All of it, in memory.
    pub async fn collect(mut self) -> Result<Vec<u8>, ObjectError> {
        let mut out = Vec::new();
        while let Some(piece) = self.next().await {
            out.extend_from_slice(&piece?);
        }
        Ok(out)
    }
}

impl Stream for ObjectBody {
    type Item = Result<Bytes, ObjectError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.pieces {
            Pieces::Ready(bytes) if bytes.is_empty() => Poll::Ready(None),
            Pieces::Ready(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Pieces::Coming(stream) => stream.as_mut().poll_next(context),
        }
    }
}

impl fmt::Debug for ObjectBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectBody").field("length", &self.length).finish_non_exhaustive()
    }
}

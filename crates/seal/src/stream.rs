//! Sealed streams: anything long, in chunks that open on their own.
//!
//! Layout, limits and argument: `docs/spec/sealed-stream.md`.
//!
//! ```text
//! header ‖ chunk 0 ‖ tag ‖ chunk 1 ‖ tag ‖ … ‖ last chunk ‖ tag
//! ```
//!
//! [`Sealer`] and [`Opener`] are the core: bytes in, bytes out. [`Sealer`] owns the chunk numbers, so no caller
//! can seal two chunks alike; an [`Opener`] only comes out of a header whose commitment was verified. The faces
//! read and write around that core: [`SealWriter`], [`SealReader`] and [`OpenReader`] block, [`AsyncSealReader`]
//! and [`AsyncOpenReader`] do not, [`parallel`] uses several threads.
//!
//! ```
//! use strongroom_seal::{Context, Label, ObjectKey, OsRandom, stream};
//!
//! let key = ObjectKey::generate(&OsRandom);
//! let context = Context::new(Label::PartContent, "bucket").and("version").and(1u64);
//! let sealed = stream::seal_all(&key, &context, stream::StreamSpec::default(), b"words", &OsRandom);
//! assert_eq!(stream::open_all(&key, &context, &sealed)?.as_slice(), b"words");
//! # Ok::<(), stream::StreamError>(())
//! ```

mod blocking;
mod cipher;
mod error;
mod header;
mod layout;
mod nonblocking;
mod opener;
pub mod parallel;
mod pump;
mod run;
mod sealer;
mod whole;

pub use blocking::{OpenReader, SealReader, SealWriter};
pub use error::{HeaderError, StreamError};
pub use header::{HEADER_LEN, Header, Unlocked};
pub use layout::{ChunkSize, Cover, plain_len, plain_len_max, sealed_len};
pub use nonblocking::{AsyncOpenReader, AsyncSealReader};
pub use opener::{InOrder, OpenRun, Opener};
pub use sealer::{Last, SealRun, Sealer, StreamSpec};
pub use whole::{open_all, seal_all};

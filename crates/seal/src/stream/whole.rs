//! Streams that fit in memory, in one call.

use zeroize::Zeroizing;

use super::header::Header;
use super::{HEADER_LEN, Last, Sealer, StreamError, StreamSpec, plain_len, sealed_len};
use crate::{Context, ObjectKey, Random};

/// Seals `plain` as one stream, header included.
pub fn seal_all(
    key: &ObjectKey,
    context: &Context,
    spec: StreamSpec,
    plain: &[u8],
    random: &dyn Random,
) -> Vec<u8> {
    let (mut sealer, header) = Sealer::new(key, context, spec, random);
    let length = usize::try_from(sealed_len(plain.len() as u64, spec.chunk_size)).unwrap_or(0);
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(&header);
    sealer.seal_batch(plain, Last::Yes, &mut out).expect("memory holds less than the 16 TiB of a stream");
    out
}

/// Opens what [`seal_all`] or any other writer made. The plaintext is wiped when dropped.
///
/// # Errors
/// [`StreamError::Header`], [`StreamError::Length`] or [`StreamError::Unsealable`].
pub fn open_all(
    key: &ObjectKey,
    context: &Context,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, StreamError> {
    let unlocked = Header::parse(sealed)?.unlock(key, context)?;
    let length = plain_len(sealed.len() as u64, unlocked.chunk_size())?;
    let opener = unlocked.with_plain_len(length)?;
    let length =
        usize::try_from(length).map_err(|_| StreamError::Length { sealed_len: sealed.len() as u64 })?;
    let mut plain = Zeroizing::new(vec![0; length]);
    opener.open_to(0, &sealed[HEADER_LEN..], &mut plain)?;
    Ok(plain)
}

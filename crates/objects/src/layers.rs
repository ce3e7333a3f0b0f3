//! Content in one layer of sealing, or under DSSE-KMS in two.
//!
//! Layout and argument: `docs/spec/blobs.md` §2.1 and `docs/spec/object-entry.md` §5.

use strongroom_seal::stream::{self, HEADER_LEN, Header, StreamSpec};
use strongroom_seal::{Context, ObjectKey, Random, Suite};
use zeroize::Zeroizing;

/// What seals an object's content.
#[derive(Debug, Clone)]
pub(crate) struct ContentKeys {
    /// The key of the only layer, or of the inner one.
    pub(crate) inner: ObjectKey,
    /// The key of the outer layer, if there is one.
    pub(crate) outer: Option<ObjectKey>,
}

/// How many layers content has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layers {
    One,
    Two,
}

/// Where content belongs, for each layer.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) inner: Context,
    pub(crate) outer: Context,
}

impl ContentKeys {
    /// Fresh keys, drawn one after the other: neither tells anything of the other.
    pub(crate) fn generate(layers: Layers, random: &dyn Random) -> Self {
        let inner = ObjectKey::generate(random);
        let outer = (layers == Layers::Two).then(|| ObjectKey::generate(random));
        Self { inner, outer }
    }
}

/// How the inner of two layers is sealed: with the other cipher and chunks of the same size.
pub(crate) fn inner_spec(outer: StreamSpec) -> StreamSpec {
    let suite = match outer.suite {
        Suite::Aes256Gcm => Suite::ChaCha20Poly1305,
        Suite::ChaCha20Poly1305 => Suite::Aes256Gcm,
    };
    StreamSpec { suite, ..outer }
}

/// Whether these are the headers of two layers that belong to each other.
pub(crate) fn fit(outer: &Header, inner: &Header) -> bool {
    outer.spec().suite != inner.spec().suite && outer.spec().chunk_size == inner.spec().chunk_size
}

/// How long sealed content of `plain_len` bytes is.
pub(crate) fn sealed_len(plain_len: u64, layers: Layers, spec: StreamSpec) -> u64 {
    let once = stream::sealed_len(plain_len, spec.chunk_size);
    match layers {
        Layers::One => once,
        Layers::Two => stream::sealed_len(once, spec.chunk_size),
    }
}

/// Seals content that is in memory.
pub(crate) fn seal_all(
    keys: &ContentKeys,
    places: &Places,
    spec: StreamSpec,
    plain: &[u8],
    random: &dyn Random,
) -> Vec<u8> {
    match &keys.outer {
        None => stream::seal_all(&keys.inner, &places.inner, spec, plain, random),
        Some(outer) => {
            let inner = stream::seal_all(&keys.inner, &places.inner, inner_spec(spec), plain, random);
            stream::seal_all(outer, &places.outer, spec, &inner, random)
        }
    }
}

/// Opens what [`seal_all`] made.
pub(crate) fn open_all(keys: &ContentKeys, places: &Places, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let Some(outer) = &keys.outer else { return stream::open_all(&keys.inner, &places.inner, sealed).ok() };
    let inner = stream::open_all(outer, &places.outer, sealed).ok()?;
    let headers = (Header::parse(sealed).ok()?, Header::parse(inner.get(..HEADER_LEN)?).ok()?);
    if !fit(&headers.0, &headers.1) {
        return None;
    }
    stream::open_all(&keys.inner, &places.inner, &inner).ok()
}

#[cfg(test)]
mod tests {
    use strongroom_seal::{Label, SeededRandom};

    use super::*;

    fn places() -> Places {
        Places {
            inner: Context::new(Label::InlineContent, 1u64),
            outer: Context::new(Label::InlineContentOuter, 1u64),
        }
    }

    #[test]
    fn two_layers_have_keys_and_ciphers_of_their_own_and_each_is_needed() {
        let random = SeededRandom::dangerous_from_seed(7);
        let spec = StreamSpec::default();
        let keys = ContentKeys::generate(Layers::Two, &random);
        let outer = keys.outer.clone().unwrap();
        assert_ne!(outer, keys.inner);
        for length in [0usize, 1, 70_000] {
            let plain = vec![5; length];
            let sealed = seal_all(&keys, &places(), spec, &plain, &random);
            assert_eq!(sealed.len() as u64, sealed_len(length as u64, Layers::Two, spec));
            assert_eq!(*open_all(&keys, &places(), &sealed).unwrap(), plain);
            // The outer key alone gives a stream that is sealed still.
            let inner = stream::open_all(&outer, &places().outer, &sealed).unwrap();
            assert_ne!(Header::parse(&inner).unwrap().spec().suite, spec.suite);
            assert!(stream::open_all(&outer, &places().inner, &inner).is_err());
            // The inner key alone opens nothing.
            assert!(stream::open_all(&keys.inner, &places().inner, &sealed).is_err());
            let one = ContentKeys { inner: keys.inner.clone(), outer: None };
            assert!(open_all(&one, &places(), &sealed).is_none());
        }
    }

    #[test]
    fn a_layer_under_the_same_cipher_is_refused() {
        let random = SeededRandom::dangerous_from_seed(8);
        let keys = ContentKeys::generate(Layers::Two, &random);
        let spec = StreamSpec::default();
        let inner = stream::seal_all(&keys.inner, &places().inner, spec, b"x", &random);
        let outer = keys.outer.as_ref().unwrap();
        let sealed = stream::seal_all(outer, &places().outer, spec, &inner, &random);
        assert!(open_all(&keys, &places(), &sealed).is_none());
    }
}

//! Keys, contexts, derivation and detached sealing.

#![allow(clippy::unwrap_used, reason = "a test helper that panics fails its test")]

use std::collections::HashSet;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use strongroom_seal::detached::{Detached, Mark};
use strongroom_seal::{
    Context, CustomerKey, DataKey, Field, GroupKey, KeyringKey, Label, LogKey, ObjectKey, PageKey, Random,
    RootKey, SEALS, SecretKey, SeededRandom, UnlockKey, derive,
};
use zeroize::{Zeroize, ZeroizeOnDrop};

fn random() -> SeededRandom {
    SeededRandom::dangerous_from_seed(11)
}

macro_rules! for_each_key {
    ($check:ident) => {
        $check!(
            RootKey,
            UnlockKey,
            KeyringKey,
            GroupKey,
            PageKey,
            LogKey,
            SecretKey,
            DataKey,
            CustomerKey,
            ObjectKey
        )
    };
}

#[test]
fn a_key_prints_its_name_and_nothing_of_itself() {
    macro_rules! check {
        ($($key:ident),+) => {$(
            let key = $key::from_bytes(&mut [0x41; 32]);
            for shown in [format!("{key:?}"), format!("{key:#?}")] {
                assert_eq!(shown, concat!(stringify!($key), "(..)"));
            }
        )+};
    }
    for_each_key!(check);
}

#[test]
fn keys_are_wiped_when_dropped_and_when_taken() {
    fn wiped<T: ZeroizeOnDrop>() {}
    macro_rules! check {
        ($($key:ident),+) => {$(
            wiped::<$key>();
            let mut bytes = [0x41; 32];
            let mut key = $key::from_bytes(&mut bytes);
            assert_eq!(bytes, [0; 32], "the caller's copy");
            assert_eq!(key.dangerous_expose(), &[0x41; 32]);
            key.zeroize();
            assert_eq!(key.dangerous_expose(), &[0; 32]);
        )+};
    }
    for_each_key!(check);
}

#[test]
fn keys_are_equal_only_if_all_their_bytes_are() {
    let key = ObjectKey::generate(&random());
    assert_eq!(key, key.clone());
    for byte in 0..32 {
        let mut bytes = *key.dangerous_expose();
        bytes[byte] ^= 1;
        assert_ne!(key, ObjectKey::from_bytes(&mut bytes));
    }
    assert!(ObjectKey::from_slice(&[0; 31]).is_none());
    assert!(ObjectKey::from_slice(&[0; 33]).is_none());
}

#[test]
fn generated_keys_differ() {
    let random = random();
    let keys: HashSet<[u8; 32]> = (0..100).map(|_| *DataKey::generate(&random).dangerous_expose()).collect();
    assert_eq!(keys.len(), 100);
}

#[test]
fn derived_keys_depend_on_source_salt_label_and_every_field() {
    let key = |source: u8, salt: &[u8], context: &Context| -> [u8; 32] {
        let source = GroupKey::from_bytes(&mut [source; 32]);
        *derive::<PageKey>(&source, salt, context).dangerous_expose()
    };
    let context = Context::new(Label::PageFileKey, 1u64).and("file");
    let keys = [
        key(1, b"salt", &context),
        key(2, b"salt", &context),
        key(1, b"tlas", &context),
        key(1, b"", &context),
        key(1, b"salt", &Context::new(Label::LogSegmentKey, 1u64).and("file")),
        key(1, b"salt", &Context::new(Label::PageFileKey, 2u64).and("file")),
        key(1, b"salt", &Context::new(Label::PageFileKey, 1u64).and("elif")),
        key(1, b"salt", &Context::new(Label::PageFileKey, 1u64)),
        key(1, b"salt", &context.clone().and(0u64)),
    ];
    assert_eq!(keys[0], key(1, b"salt", &context), "and on nothing else");
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Owned {
    Number(u64),
    Bytes(Vec<u8>),
}

const LABELS: [Label; 3] = [Label::PartContent, Label::InlineContent, Label::ClientToken];

fn context(label: usize, fields: &[Owned]) -> Context {
    fields[1..].iter().fold(Context::new(LABELS[label], as_field(&fields[0])), |context, owned| {
        context.and(as_field(owned))
    })
}

fn as_field(owned: &Owned) -> Field<'_> {
    match owned {
        Owned::Number(number) => Field::Number(*number),
        Owned::Bytes(bytes) => Field::Bytes(bytes),
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    // Small alphabets, and bytes that look like encoded fields, so that near misses are tried.
    prop_oneof![
        prop_oneof![0_u64..3, Just(u64::MAX), Just(0x0101_0101_0101_0101)].prop_map(Owned::Number),
        prop::collection::vec(0_u8..3, 0..14).prop_map(Owned::Bytes),
        (0_u64..3).prop_map(|number| Owned::Bytes(number.to_le_bytes().to_vec())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn distinct_contexts_never_encode_alike(
        one in (0_usize..3, prop::collection::vec(owned(), 1..4)),
        two in (0_usize..3, prop::collection::vec(owned(), 1..4)),
    ) {
        let (first, second) = (context(one.0, &one.1), context(two.0, &two.1));
        prop_assert_eq!(one == two, first.as_bytes() == second.as_bytes());
        prop_assert_eq!(one == two, first == second);
    }
}

#[test]
fn neighbouring_fields_do_not_run_together() {
    let of = |fields: &[&str]| {
        fields[1..]
            .iter()
            .fold(Context::new(Label::PartContent, fields[0]), |context, field| context.and(*field))
    };
    let contexts = [of(&["ab", "c"]), of(&["a", "bc"]), of(&["abc"]), of(&["abc", ""]), of(&["", "abc"])];
    assert_eq!(contexts.iter().map(Context::as_bytes).collect::<HashSet<_>>().len(), contexts.len());
}

#[test]
fn detached_sealing_keeps_length_and_opens_only_in_its_place() {
    let random = random();
    let cipher = Detached::new(&PageKey::generate(&random), &random);
    let page = vec![0x5a; 4096];
    let mut sealed = page.clone();
    let mark = cipher.seal(b"page 7", &mut sealed, &random);
    assert_eq!(sealed.len(), page.len());
    assert!(!SEALS || sealed != page);

    let opened = |mark: &Mark, place: &[u8], sealed: &[u8]| {
        let mut buffer = sealed.to_vec();
        let opens = cipher.open(mark, place, &mut buffer).is_ok();
        assert!(opens || buffer.iter().all(|byte| *byte == 0), "what does not open is wiped");
        opens.then_some(buffer)
    };
    assert_eq!(opened(&mark, b"page 7", &sealed), Some(page.clone()));
    assert_eq!(opened(&mark, b"page 8", &sealed), None);
    for byte in [0, 2048, 4095] {
        let mut changed = sealed.clone();
        changed[byte] ^= 1;
        assert_eq!(opened(&mark, b"page 7", &changed), None);
    }
    for byte in 0..12 {
        let mut changed = mark;
        changed.nonce[byte] ^= 1;
        assert_eq!(opened(&changed, b"page 7", &sealed), None);
    }
    for byte in 0..16 {
        let mut changed = mark;
        changed.tag[byte] ^= 1;
        assert_eq!(opened(&changed, b"page 7", &sealed), None);
    }

    let mut again = page;
    let newer = cipher.seal(b"page 7", &mut again, &random);
    assert_ne!(newer.nonce, mark.nonce, "the same page again is under another nonce");
    assert_eq!(opened(&mark, b"page 7", &again), None);
    assert_eq!(cipher.seals(), 2);
}

#[test]
fn threads_that_share_a_cipher_share_no_nonce() {
    let random = random();
    let cipher = Detached::new(&PageKey::generate(&random), &random);
    let nonces: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..500).map(|_| cipher.seal(b"x", &mut [0; 16], &random).nonce).collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(nonces.iter().collect::<HashSet<_>>().len(), 2000);
}

#[test]
fn a_seed_gives_the_same_bytes_each_time_and_another_seed_others() {
    let draw = |seed| {
        let mut bytes = [0; 100];
        SeededRandom::dangerous_from_seed(seed).fill(&mut bytes);
        bytes
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

//! What every provider must do. A provider's own tests call [`holds`] with a fresh provider that can create keys.

use strongroom_kms::{KeyState, KmsError, Provider};
use strongroom_seal::{Context, DataKey, Envelope, Label};

/// The whole contract of `Provider`.
pub(crate) async fn holds(provider: &dyn Provider) {
    provider.create_key("conformance/one").await.unwrap();
    wrapped_key_opens_with_its_context_alone(provider).await;
    generated_key_is_the_wrapped_one(provider).await;
    changed_envelope_never_opens(provider).await;
    wrapping_twice_gives_different_bytes(provider).await;
    unknown_key_is_named(provider).await;
    rotation_keeps_older_envelopes_readable(provider).await;
    key_exists_once(provider).await;
    unusable_key_neither_wraps_nor_unwraps(provider).await;
    listing_is_sorted_and_agrees_with_describing(provider).await;
    provider.describe(provider.default_key()).await.unwrap();
    provider.probe().await.unwrap();
}

const KEY: &str = "conformance/one";

fn context(number: u64) -> Context {
    Context::new(Label::KmsDataKey, number)
}

async fn wrapped_key_opens_with_its_context_alone(provider: &dyn Provider) {
    let here = Context::new(Label::KmsDataKey, "bucket").and("key").and(7_u64);
    let envelope = provider.wrap(KEY, &[0x5A; 32], &here).await.unwrap();
    assert_eq!((envelope.provider.as_str(), envelope.key_id.as_str()), (provider.name(), KEY));
    assert_eq!(envelope.key_version, provider.describe(KEY).await.unwrap().version());
    assert!(
        !envelope.blob.windows(4).any(|window| window == [0x5A; 4]),
        "the key is visible in its envelope"
    );
    let opened = provider.unwrap(&envelope, &here).await.unwrap();
    assert_eq!(opened.dangerous_expose(), &[0x5A; 32]);

    let elsewhere = [
        Context::new(Label::KmsDataKey, "bucket").and("key").and(8_u64),
        Context::new(Label::KmsDataKey, "bucket").and("key"),
        Context::new(Label::KmsDataKey, "bucketkey").and(7_u64),
        Context::new(Label::GroupKeyWrap, "bucket").and("key").and(7_u64),
    ];
    for context in elsewhere {
        let error = provider.unwrap(&envelope, &context).await.unwrap_err();
        assert!(matches!(&error, KmsError::WrongContextOrDamaged { key_id } if key_id == KEY), "{error:?}");
    }
}

async fn generated_key_is_the_wrapped_one(provider: &dyn Provider) {
    let (key, envelope) = provider.generate(KEY, &context(1)).await.unwrap();
    assert_eq!(provider.unwrap(&envelope, &context(1)).await.unwrap(), key);
    let (other, _) = provider.generate(KEY, &context(1)).await.unwrap();
    assert_ne!(key, other);
    assert_ne!(key, DataKey::from_bytes(&mut [0; 32]));
}

async fn changed_envelope_never_opens(provider: &dyn Provider) {
    let envelope = provider.wrap(KEY, &[1; 32], &context(2)).await.unwrap();
    for at in 0..envelope.blob.len() {
        let mut changed = envelope.clone();
        changed.blob[at] ^= 0x10;
        let error = provider.unwrap(&changed, &context(2)).await.unwrap_err();
        assert!(matches!(error, KmsError::WrongContextOrDamaged { .. }), "byte {at}: {error:?}");
    }
    for length in [0, 1, envelope.blob.len() - 1] {
        let cut = Envelope { blob: envelope.blob[..length].to_vec(), ..envelope.clone() };
        assert!(provider.unwrap(&cut, &context(2)).await.is_err(), "cut to {length}");
    }
    let longer = Envelope { blob: [envelope.blob.as_slice(), &[0]].concat(), ..envelope.clone() };
    assert!(provider.unwrap(&longer, &context(2)).await.is_err());

    let other_provider = Envelope { provider: "another".into(), ..envelope.clone() };
    let error = provider.unwrap(&other_provider, &context(2)).await.unwrap_err();
    assert!(matches!(&error, KmsError::OtherProvider { made_by, .. } if made_by == "another"), "{error:?}");
    for version in [0, envelope.key_version + 1, u32::MAX] {
        let other_version = Envelope { key_version: version, ..envelope.clone() };
        let error = provider.unwrap(&other_version, &context(2)).await.unwrap_err();
        assert!(matches!(error, KmsError::NoSuchVersion { .. }), "version {version}: {error:?}");
    }
    let default_key = Envelope { key_id: provider.default_key().to_owned(), ..envelope };
    assert!(provider.unwrap(&default_key, &context(2)).await.is_err(), "another key opened it");
}

async fn wrapping_twice_gives_different_bytes(provider: &dyn Provider) {
    let first = provider.wrap(KEY, &[2; 32], &context(3)).await.unwrap();
    let second = provider.wrap(KEY, &[2; 32], &context(3)).await.unwrap();
    assert_ne!(first.blob, second.blob);
}

async fn unknown_key_is_named(provider: &dyn Provider) {
    let errors = [
        provider.wrap("nobody", &[0; 32], &context(4)).await.unwrap_err(),
        provider.generate("nobody", &context(4)).await.unwrap_err(),
        provider.describe("nobody").await.unwrap_err(),
        provider.rotate("nobody").await.unwrap_err(),
        provider.set_state("nobody", KeyState::Disabled).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(&error, KmsError::NotFound { key_id } if key_id == "nobody"), "{error:?}");
        assert!(error.to_string().contains("nobody"));
    }
}

async fn rotation_keeps_older_envelopes_readable(provider: &dyn Provider) {
    let before = provider.wrap(KEY, &[3; 32], &context(5)).await.unwrap();
    let version = provider.rotate(KEY).await.unwrap();
    assert_eq!(version, before.key_version + 1);
    let after = provider.wrap(KEY, &[4; 32], &context(5)).await.unwrap();
    assert_eq!(after.key_version, version);
    assert_eq!(provider.unwrap(&before, &context(5)).await.unwrap().dangerous_expose(), &[3; 32]);
    assert_eq!(provider.unwrap(&after, &context(5)).await.unwrap().dangerous_expose(), &[4; 32]);
    let crossed = Envelope { key_version: version, ..before };
    assert!(provider.unwrap(&crossed, &context(5)).await.is_err(), "another version opened it");
    assert_eq!(provider.describe(KEY).await.unwrap().version(), version);
}

async fn key_exists_once(provider: &dyn Provider) {
    let error = provider.create_key(KEY).await.unwrap_err();
    assert!(matches!(error, KmsError::Exists { .. }), "{error:?}");
    for id in ["", "with space", "new\nline", "ä", &"x".repeat(257)] {
        let error = provider.create_key(id).await.unwrap_err();
        assert!(matches!(error, KmsError::InvalidKeyId), "{id:?}: {error:?}");
    }
}

async fn unusable_key_neither_wraps_nor_unwraps(provider: &dyn Provider) {
    let envelope = provider.wrap(KEY, &[5; 32], &context(6)).await.unwrap();
    for state in [KeyState::Disabled, KeyState::PendingDeletion { delete_after: 4_000_000_000 }] {
        assert_eq!(provider.set_state(KEY, state).await.unwrap().state, state);
        assert_eq!(provider.describe(KEY).await.unwrap().state, state);
        let errors = [
            provider.wrap(KEY, &[0; 32], &context(6)).await.unwrap_err(),
            provider.generate(KEY, &context(6)).await.unwrap_err(),
            provider.unwrap(&envelope, &context(6)).await.unwrap_err(),
            provider.rotate(KEY).await.unwrap_err(),
        ];
        for error in errors {
            let expected = match (&error, state) {
                (KmsError::Disabled { .. }, KeyState::Disabled) => true,
                (KmsError::PendingDeletion { delete_after, .. }, KeyState::PendingDeletion { .. }) => {
                    *delete_after == 4_000_000_000
                }
                _ => false,
            };
            assert!(expected, "{state:?}: {error:?}");
        }
    }
    provider.set_state(KEY, KeyState::Enabled).await.unwrap();
    assert_eq!(provider.unwrap(&envelope, &context(6)).await.unwrap().dangerous_expose(), &[5; 32]);
}

async fn listing_is_sorted_and_agrees_with_describing(provider: &dyn Provider) {
    provider.create_key("conformance/0").await.unwrap();
    let keys = provider.list().await.unwrap();
    assert!(keys.windows(2).all(|pair| pair[0].id < pair[1].id), "{keys:?}");
    for key in &keys {
        assert_eq!(&provider.describe(&key.id).await.unwrap(), key);
    }
    assert!(keys.iter().any(|key| key.id == KEY));
}

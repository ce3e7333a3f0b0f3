//! The keys of a target (`docs/spec/backup.md` §3).

use strongroom_seal::{BackupKey, Context, Label, MacKey, SecretKey, derive};

use crate::directory::StoreId;

/// Names a target; random and no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TargetId(pub(super) [u8; 16]);

/// What a target's key is used as.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) backup: BackupKey,
    pub(super) chunk: SecretKey,
    pub(super) manifest: SecretKey,
    pub(super) name: MacKey,
    pub(super) cut: MacKey,
    pub(super) file: MacKey,
}

impl Keys {
    pub(super) fn new(backup: BackupKey, target: TargetId) -> Self {
        let key = |label| derive::<SecretKey>(&backup, &target.0, &Context::new(label, 0u64));
        Self {
            chunk: key(Label::BackupChunkKey),
            manifest: key(Label::BackupManifestKey),
            name: MacKey::new(&key(Label::BackupNameKey)),
            cut: MacKey::new(&key(Label::BackupCutKey)),
            file: MacKey::new(&key(Label::BackupFileKey)),
            backup,
        }
    }
}

pub(super) fn wrap_context(target: TargetId, store: StoreId) -> Context {
    Context::new(Label::BackupKeyWrap, &target.0).and(&store.0)
}

//! Keys are types, not bytes: wiped on drop, never printed, compared in constant time.

use std::fmt;

use aws_lc_rs::constant_time;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::Random;

mod sealed {
    /// Only this crate's key types can be derived from and into.
    pub trait Material {
        fn from_array(bytes: [u8; 32]) -> Self;
        fn bytes(&self) -> &[u8; 32];
    }
}
pub(crate) use sealed::Material;

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name(Box<[u8; 32]>);

        impl $name {
            /// A fresh key.
            pub fn generate(random: &dyn Random) -> Self {
                let mut key = Self(Box::new([0; 32]));
                random.fill(key.0.as_mut_slice());
                key
            }

            /// The key with these bytes; the caller's copy is wiped.
            pub fn from_bytes(bytes: &mut [u8; 32]) -> Self {
                let mut key = Self(Box::new([0; 32]));
                key.0.copy_from_slice(bytes);
                bytes.zeroize();
                key
            }

            /// The key with these bytes, if there are 32 of them. The caller wipes its copy.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                let mut key = Self(Box::new([0; 32]));
                if bytes.len() != key.0.len() {
                    return None;
                }
                key.0.copy_from_slice(bytes);
                Some(key)
            }

            /// The bytes themselves: only to wrap the key, or to hand it to a key management service.
            pub fn dangerous_expose(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl sealed::Material for $name {
            fn from_array(mut bytes: [u8; 32]) -> Self {
                Self::from_bytes(&mut bytes)
            }
            fn bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                constant_time::verify_slices_are_equal(self.0.as_slice(), other.0.as_slice()).is_ok()
            }
        }
        impl Eq for $name {}
    )+};
}

keys! {
    /// A root key of the local KMS: wraps keys, never seals data.
    RootKey;
    /// What opens the local KMS's key file.
    UnlockKey;
    /// Seals the keyring's body.
    KeyringKey;
    /// A group's key: only derived from.
    GroupKey;
    /// Seals the pages of one file.
    PageKey;
    /// Seals one group's frames in one log segment.
    LogKey;
    /// Wraps other keys; derived from a group key, or from a KMS.
    SecretKey;
    /// A data key from a KMS.
    DataKey;
    /// A customer's key (SSE-C): wraps an object key, never seals data.
    CustomerKey;
    /// The random key of one object version: only derived from.
    ObjectKey;
    /// The random key of one backup target: only derived from.
    BackupKey;
}

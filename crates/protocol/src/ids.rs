//! Typed ids and numbers.
//!
//! **Elsewhere.** Addresses are in [`crate::address`]; how an account or device id
//! comes from keys, in [`crate::roster`] and [`crate::signature`].
//!
//! **Always.** Every id has the right length.

use std::fmt;

use bytes::Bytes;

/// The bytes are not as long as the id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} is {length} bytes long, not {expected}")]
pub struct WrongLength {
    /// Which id.
    pub kind: &'static str,
    /// How long the bytes are.
    pub length: usize,
    /// How long the id is.
    pub expected: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $length:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// Length in bytes.
            pub const LENGTH: usize = $length;

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }

            /// A copy, as wire messages hold it.
            pub fn to_bytes(self) -> Bytes {
                Bytes::copy_from_slice(&self.0)
            }

            /// `length` random bytes.
            pub fn random(rng: &mut (impl rand_core::Rng + ?Sized)) -> Self {
                let mut bytes = [0; $length];
                rng.fill_bytes(&mut bytes);
                Self(bytes)
            }

            /// From lower-case or upper-case hexadecimal.
            pub fn from_hex(text: &str) -> Result<Self, WrongLength> {
                let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).unwrap_or_default();
                Self::try_from(bytes.as_slice())
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = WrongLength;

            fn try_from(bytes: &[u8]) -> Result<Self, WrongLength> {
                bytes.try_into().map(Self).map_err(|_| WrongLength {
                    kind: $kind,
                    length: bytes.len(),
                    expected: $length,
                })
            }
        }

        impl TryFrom<&Bytes> for $name {
            type Error = WrongLength;

            fn try_from(bytes: &Bytes) -> Result<Self, WrongLength> {
                Self::try_from(bytes.as_ref())
            }
        }

        /// Lower-case hexadecimal.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        /// The name only: ids link people, and `Debug` ends up in logs.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

id!(
    /// A person on a relay: SHA-256 of the first statement of the roster.
    AccountId, 32, "an account id"
);
id!(
    /// One installation: SHA-256 of its identity keys.
    DeviceId, 32, "a device id"
);
id!(
    /// A queue of ciphertexts for one device.
    MailboxId, 16, "a mailbox id"
);
id!(
    /// A group: random, also the MLS group id.
    GroupId, 16, "a group id"
);
id!(
    /// A post: chosen by who posts it, so that posting twice is posting once.
    PostId, 16, "a post id"
);
id!(
    /// A registration that is under way.
    RegistrationId, 16, "a registration id"
);

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// An MLS epoch (RFC 9420 section 8).
    Epoch
);
number!(
    /// A place in a mailbox, from 1; may skip.
    MailboxSequence
);
number!(
    /// A place in a group's order of posts, from 1; may skip.
    GroupSequence
);

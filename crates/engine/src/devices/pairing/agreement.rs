//! How two devices agree on keys with nothing but a code in common.
//!
//! ```text
//!   new device                                                     old device
//!   hello: SPAKE2 element, X-Wing key            ─────────▶
//!                                                ◀─────────  reply: SPAKE2 element,
//!                                                            X-Wing ciphertext, MAC
//!   confirm: MAC                                 ─────────▶
//! ```
//!
//! Both take the code's secret as the password of SPAKE2 (RFC 9382, ed25519, as the
//! `spake2` crate has it), and an X-Wing secret (X25519 and ML-KEM-768) beside it. All
//! keys come from HKDF-SHA-256 over (SPAKE2 key, X-Wing secret), salted with the hash
//! of the transcript: the rendezvous' number, the id of the relay's key log (which names
//! the relay's pinned key), and the four values above, each in its role's place. The
//! MACs, one under a key for each direction, are of that transcript.
//!
//! Why that is enough:
//!
//! - *A relay, or anyone between, has one guess at each side.* SPAKE2 hides the password
//!   perfectly in its elements, and its key can be computed only for the one password
//!   that an attacker has put into their own element. So a reply's MAC tells who played
//!   the new device whether the one guess was right, and a confirm, likewise, is right
//!   or not; nothing can be tried afterwards. A wrong MAC ends the attempt at the side
//!   that sees it; the code is used up at the relay when the second device joins and is
//!   dead in the device that made it. With 45 secret bits, that is two guesses in 2^45.
//! - *Nobody in the middle can swap the X-Wing part*: it is in the transcript, and the
//!   MACs need the SPAKE2 key as well. It cannot weaken SPAKE2 either, since both secrets
//!   go into HKDF together, and X-Wing's part is independent of the password.
//! - *Recorded traffic stays closed to a quantum computer.* It finds the SPAKE2 key for
//!   each password it likes to try, but neither the X-Wing secret nor, for want of it,
//!   which password was right: the MACs are under keys that both secrets went into.
//!   (One that sits between the two while they talk could use the password that it
//!   computes; there is no standard PAKE yet that resists that.)
//! - *Other groups' points do not help*: elements of small or mixed order, encodings that
//!   are not canonical, and X25519 keys of small order are refused.
//!
//! **Elsewhere**: what is said under the keys: [`super::session`]; who says what when:
//! the state machines beside this file.
//!
//! **Always**: each value takes itself apart when it is used ([`NewSide::finish`],
//! [`OldSide::finish`]), so that a second guess cannot be written down. Nothing but the
//! three messages leaves a device before the other's MAC was right.

use core::fmt;

use curve25519_dalek::{edwards::CompressedEdwardsY, montgomery::MontgomeryPoint};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use spake2::{Ed25519Group, Identity, Password, Spake2};
use waxwing_protocol::pb::{PairingConfirm, PairingHello, PairingReply};
use x_wing::{
    DecapsulationKeyRejectNonContrib, Decapsulator as _, Encapsulate as _, EncapsulationKey,
    KeyExport as _, TryDecapsulate as _,
};
use zeroize::Zeroizing;

use super::{code::PairingSecret, session::Session};

const LABEL: &[u8] = b"waxwing pairing v1";

/// What both sides must see alike, besides the code's secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct PairingContext {
    /// Of the rendezvous.
    pub number: u32,
    /// Of the relay, as this side's link shows it.
    pub log_id: [u8; 32],
}

/// The two did not agree: the code was another, or somebody is between them. The
/// attempt is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the two devices did not agree on keys")]
pub(crate) struct NotAgreed;

/// The new device, while it waits for the reply.
pub(crate) struct NewSide {
    pake: Spake2<Ed25519Group>,
    kem: DecapsulationKeyRejectNonContrib,
    place: PairingContext,
    hello: PairingHello,
}

/// The old device, while it waits for the confirmation.
pub(crate) struct OldSide {
    keys: PairingKeys,
}

impl fmt::Debug for PairingContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place(..)")
    }
}

impl fmt::Debug for NewSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewSide(..)")
    }
}

impl fmt::Debug for OldSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OldSide(..)")
    }
}

impl NewSide {
    /// Begins; gives what to say first.
    pub(crate) fn begin(
        rng: &mut dyn CryptoRng,
        secret: &PairingSecret,
        place: PairingContext,
    ) -> (Self, PairingHello) {
        let (new, old) = identities(place);
        let password = Password::new(secret.as_bytes());
        let (pake, element) =
            Spake2::<Ed25519Group>::start_a_with_rng(&password, &new, &old, Rng06(rng));
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        let kem = DecapsulationKeyRejectNonContrib::from(*seed);
        let hello = PairingHello {
            pake: element.into(),
            kem_key: kem.encapsulation_key().to_bytes().to_vec().into(),
        };
        let side = Self {
            pake,
            kem,
            place,
            hello: hello.clone(),
        };
        (side, hello)
    }

    /// The old device has replied: if it knows the code, gives what to answer and the
    /// session.
    pub(crate) fn finish(
        self,
        reply: &PairingReply,
    ) -> Result<(PairingConfirm, Session), NotAgreed> {
        is_element(&reply.pake)?;
        let pake_key = Zeroizing::new(self.pake.finish(&reply.pake).map_err(|_| NotAgreed)?);
        let ciphertext = reply
            .kem_ciphertext
            .as_ref()
            .try_into()
            .map_err(|_| NotAgreed)?;
        let kem_secret = self
            .kem
            .try_decapsulate(&ciphertext)
            .map_err(|_| NotAgreed)?;
        let kem_secret = Zeroizing::new(kem_secret.0);
        let transcript = transcript(self.place, &self.hello, &reply.pake, &reply.kem_ciphertext);
        let keys = PairingKeys::derive(&pake_key, &kem_secret, &transcript);
        keys.check(Role::Old, &reply.confirmation)?;
        let confirm = PairingConfirm {
            confirmation: keys.confirm(Role::New).into(),
        };
        Ok((confirm, keys.session(Role::New)))
    }
}

impl OldSide {
    /// The new device has said hello: gives what to reply.
    pub(crate) fn answer(
        rng: &mut dyn CryptoRng,
        secret: &PairingSecret,
        place: PairingContext,
        hello: &PairingHello,
    ) -> Result<(Self, PairingReply), NotAgreed> {
        is_element(&hello.pake)?;
        let kem_key = kem_key(&hello.kem_key)?;
        let (new, old) = identities(place);
        let password = Password::new(secret.as_bytes());
        let (pake, element) =
            Spake2::<Ed25519Group>::start_b_with_rng(&password, &new, &old, Rng06(rng));
        let pake_key = Zeroizing::new(pake.finish(&hello.pake).map_err(|_| NotAgreed)?);
        let (ciphertext, kem_secret) = kem_key.encapsulate_with_rng(rng);
        let kem_secret = Zeroizing::new(kem_secret.0);
        let transcript = transcript(place, hello, &element, &ciphertext);
        let keys = PairingKeys::derive(&pake_key, &kem_secret, &transcript);
        let reply = PairingReply {
            pake: element.into(),
            kem_ciphertext: ciphertext.to_vec().into(),
            confirmation: keys.confirm(Role::Old).into(),
        };
        Ok((Self { keys }, reply))
    }

    /// The new device has confirmed: if it knows the code, gives the session.
    pub(crate) fn finish(self, confirm: &PairingConfirm) -> Result<Session, NotAgreed> {
        self.keys.check(Role::New, &confirm.confirmation)?;
        Ok(self.keys.session(Role::Old))
    }
}

/// Who is who: the same two words at both ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    New,
    Old,
}

/// What the agreement gives.
struct PairingKeys {
    transcript: [u8; 32],
    confirms: [Zeroizing<[u8; 32]>; 2],
    seals: [Zeroizing<[u8; 32]>; 2],
}

impl PairingKeys {
    fn derive(pake_key: &[u8], kem_secret: &[u8; 32], transcript: &[u8; 32]) -> Self {
        // SPAKE2's key is a hash: always 32 bytes, so that the two are told apart.
        let secrets = Zeroizing::new([pake_key, kem_secret].concat());
        let hkdf = Hkdf::<Sha256>::new(Some(transcript), &secrets);
        let key = |label: &[u8]| {
            let mut key = Zeroizing::new([0; 32]);
            // 32 bytes are fewer than HKDF can give (RFC 5869 section 2.3).
            let expanded = hkdf.expand_multi_info(&[LABEL, b" ", label], key.as_mut());
            debug_assert!(expanded.is_ok());
            key
        };
        Self {
            transcript: *transcript,
            confirms: [key(b"confirm new"), key(b"confirm old")],
            seals: [key(b"seal new"), key(b"seal old")],
        }
    }

    fn mac(&self, of: Role) -> Option<Hmac<Sha256>> {
        let [new, old] = &self.confirms;
        let key = if of == Role::New { new } else { old };
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_slice()).ok()?;
        mac.update(&self.transcript);
        Some(mac)
    }

    fn confirm(&self, of: Role) -> Vec<u8> {
        // HMAC takes keys of any length.
        self.mac(of)
            .map(|mac| mac.finalize().into_bytes().to_vec())
            .unwrap_or_default()
    }

    fn check(&self, of: Role, confirmation: &[u8]) -> Result<(), NotAgreed> {
        let mac = self.mac(of).ok_or(NotAgreed)?;
        mac.verify_slice(confirmation).map_err(|_| NotAgreed)
    }

    fn session(self, of: Role) -> Session {
        let [new, old] = self.seals;
        match of {
            Role::New => Session::new(new, old),
            Role::Old => Session::new(old, new),
        }
    }
}

fn identities(place: PairingContext) -> (Identity, Identity) {
    let of = |role: &[u8]| {
        let number = place.number.to_be_bytes();
        Identity::new(&[LABEL, role, &number, &place.log_id].concat())
    };
    (of(b" new device "), of(b" old device "))
}

fn transcript(
    place: PairingContext,
    hello: &PairingHello,
    pake: &[u8],
    kem_ciphertext: &[u8],
) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(LABEL);
    hash.update(place.number.to_be_bytes());
    hash.update(place.log_id);
    for part in [&hello.pake, &hello.kem_key, pake, kem_ciphertext] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// A SPAKE2 message: a side's letter and a point of the prime-order group.
fn is_element(message: &[u8]) -> Result<(), NotAgreed> {
    let (_, point) = message.split_first().ok_or(NotAgreed)?;
    let point = CompressedEdwardsY::from_slice(point).map_err(|_| NotAgreed)?;
    let decompressed = point.decompress().ok_or(NotAgreed)?;
    let of_the_group = decompressed.compress() == point
        && decompressed.is_torsion_free()
        && !decompressed.is_small_order();
    if of_the_group { Ok(()) } else { Err(NotAgreed) }
}

/// An X-Wing key whose halves are valid.
pub(crate) fn kem_key(bytes: &[u8]) -> Result<EncapsulationKey, NotAgreed> {
    let key = EncapsulationKey::try_from(bytes).map_err(|_| NotAgreed)?;
    // The last 32 bytes are X25519's. A point of small order gives zero with each key.
    let x25519 = bytes.last_chunk::<32>().ok_or(NotAgreed)?;
    let product = MontgomeryPoint(*x25519).mul_clamped([0x5a; 32]);
    if product == MontgomeryPoint([0; 32]) {
        Err(NotAgreed)
    } else {
        Ok(key)
    }
}

/// Randomness for a crate that has an older idea of it.
struct Rng06<'a>(&'a mut dyn CryptoRng);

impl rand_core_06::RngCore for Rng06<'_> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl rand_core_06::CryptoRng for Rng06<'_> {}

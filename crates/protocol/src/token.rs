//! Tokens: anonymous permission for a first contact.
//!
//! RFC 9497's verifiable oblivious pseudorandom function (ristretto255-SHA512), used as
//! Privacy Pass does (RFC 9578 section 5): the client blinds random inputs, the relay
//! evaluates them on a logged-in link, and the client spends input and output on a link
//! that is not. Blinding is perfect (the relay's view is independent of the input), so
//! not even a quantum computer links the two; it could at most forge tokens. The proof
//! shows that the relay used its one public key, the same for everybody.
//!
//! Each period has a key of its own, derived from one seed, so that tokens that nobody
//! spends expire, and spent ones need not be remembered for ever.
//!
//! **Elsewhere.** Budgets and the spent set: `relay`. When to ask for more: `engine`.
//!
//! **Always.** Outputs are compared in constant time.

use std::fmt;

use bytes::Bytes;
use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use voprf::{
    BlindedElement, EvaluationElement, Group as _, Proof, Ristretto255, VoprfClient, VoprfServer,
};
use zeroize::Zeroizing;

use crate::{limits, pb};

/// A token that cannot be made or checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// An element, scalar or proof is malformed.
    #[error("a token element is malformed")]
    Malformed,
    /// More than [`limits::TOKENS_PER_REQUEST`], or not as many as were asked for.
    #[error("the number of tokens is wrong")]
    WrongCount,
    /// The relay used another key than the one it shows.
    #[error("the relay's proof does not verify")]
    Proof,
}

/// The relay's half.
pub struct TokenIssuer(VoprfServer<Ristretto255>);

impl TokenIssuer {
    /// From 32 secret bytes (RFC 9497 section 3.2.1).
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, TokenError> {
        VoprfServer::new_from_seed(seed, b"waxwing token v1")
            .map(Self)
            .map_err(|_| TokenError::Malformed)
    }

    /// The key of one period, from the seed of all.
    pub fn of_period(seed: &[u8; 32], period: u64) -> Result<Self, TokenError> {
        let info = [b"waxwing token period".as_slice(), &period.to_be_bytes()].concat();
        let mut of_period = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, seed)
            .expand(&info, of_period.as_mut())
            .map_err(|_| TokenError::Malformed)?;
        Self::from_seed(&of_period)
    }

    /// For [`pb::Hello`].
    pub fn public_key(&self) -> [u8; 32] {
        Ristretto255::serialize_elem(self.0.get_public_key()).into()
    }

    /// Evaluates blinded elements.
    pub fn issue(
        &self,
        rng: &mut (impl CryptoRng + ?Sized),
        blinded: &[Bytes],
    ) -> Result<pb::TokensIssued, TokenError> {
        if blinded.is_empty() || blinded.len() > limits::TOKENS_PER_REQUEST {
            return Err(TokenError::WrongCount);
        }
        let blinded = blinded
            .iter()
            .map(|element| BlindedElement::<Ristretto255>::deserialize(element))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| TokenError::Malformed)?;
        let result = self
            .0
            .batch_blind_evaluate(&mut Bridge(rng), &blinded)
            .map_err(|_| TokenError::WrongCount)?;
        Ok(pb::TokensIssued {
            evaluated: result
                .messages
                .iter()
                .map(|element| Bytes::copy_from_slice(&element.serialize()))
                .collect(),
            proof: Bytes::copy_from_slice(&result.proof.serialize()),
            token_key: Bytes::copy_from_slice(&self.public_key()),
        })
    }

    /// Whether the relay issued `token`. Whether it was spent before is the caller's
    /// to know, by [`spent_id`].
    pub fn verifies(&self, token: &pb::Token) -> bool {
        token.input.len() == 32
            && self
                .0
                .evaluate(&token.input)
                .is_ok_and(|output| output.as_slice().ct_eq(&token.output).into())
    }
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenIssuer(…)")
    }
}

/// Under which name the relay remembers that `token` was spent.
pub fn spent_id(token: &pb::Token) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::digest(&token.input).into();
    let mut id = [0; 16];
    id.copy_from_slice(hash.split_at(16).0);
    id
}

/// A token that was asked for and is not there yet.
pub struct PendingToken {
    input: Zeroizing<[u8; 32]>,
    client: VoprfClient<Ristretto255>,
}

impl fmt::Debug for PendingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PendingToken(…)")
    }
}

/// Blinds `count` fresh inputs.
pub fn request(
    rng: &mut (impl CryptoRng + ?Sized),
    count: usize,
) -> Result<(Vec<PendingToken>, pb::IssueTokens), TokenError> {
    if count == 0 || count > limits::TOKENS_PER_REQUEST {
        return Err(TokenError::WrongCount);
    }
    let mut pending = Vec::with_capacity(count);
    let mut blinded = Vec::with_capacity(count);
    for _ in 0..count {
        let mut input = Zeroizing::new([0; 32]);
        rng.fill_bytes(input.as_mut());
        let blinding = VoprfClient::<Ristretto255>::blind(input.as_ref(), &mut Bridge(&mut *rng))
            .map_err(|_| TokenError::Malformed)?;
        blinded.push(Bytes::copy_from_slice(&blinding.message.serialize()));
        pending.push(PendingToken {
            input,
            client: blinding.state,
        });
    }
    Ok((pending, pb::IssueTokens { blinded }))
}

/// Unblinds what the relay issued, after checking its proof against `token_key`: the
/// key that the relay shows on links that are not logged in.
pub fn finish(
    pending: &[PendingToken],
    issued: &pb::TokensIssued,
    token_key: &[u8],
) -> Result<Vec<pb::Token>, TokenError> {
    if issued.evaluated.len() != pending.len() {
        return Err(TokenError::WrongCount);
    }
    let evaluated = issued
        .evaluated
        .iter()
        .map(|element| EvaluationElement::<Ristretto255>::deserialize(element))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| TokenError::Malformed)?;
    let proof =
        Proof::<Ristretto255>::deserialize(&issued.proof).map_err(|_| TokenError::Malformed)?;
    let key = Ristretto255::deserialize_elem(token_key).map_err(|_| TokenError::Malformed)?;
    let inputs: Vec<&[u8]> = pending.iter().map(|token| token.input.as_slice()).collect();
    let clients: Vec<VoprfClient<Ristretto255>> =
        pending.iter().map(|token| token.client.clone()).collect();
    VoprfClient::batch_finalize(&inputs, &clients, &evaluated, &proof, key)
        .map_err(|_| TokenError::Proof)?
        .zip(pending)
        .map(|(output, token)| {
            let output = output.map_err(|_| TokenError::Malformed)?;
            Ok(pb::Token {
                input: Bytes::copy_from_slice(token.input.as_ref()),
                output: Bytes::copy_from_slice(&output),
            })
        })
        .collect()
}

/// Hands our generator (rand_core 0.10) to voprf (rand_core 0.9).
struct Bridge<'a, R: ?Sized>(&'a mut R);

impl<R: CryptoRng + ?Sized> rand_core_09::RngCore for Bridge<'_, R> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

impl<R: CryptoRng + ?Sized> rand_core_09::CryptoRng for Bridge<'_, R> {}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    use super::*;

    #[test]
    fn an_issued_token_verifies_and_another_relays_does_not() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let issuer = TokenIssuer::from_seed(&[1; 32]).unwrap();
        let other = TokenIssuer::from_seed(&[2; 32]).unwrap();
        let (pending, request) = request(&mut rng, 3).unwrap();
        let issued = issuer.issue(&mut rng, &request.blinded).unwrap();
        let tokens = finish(&pending, &issued, &issuer.public_key()).unwrap();
        assert_eq!(tokens.len(), 3);
        for token in &tokens {
            assert!(issuer.verifies(token));
            assert!(!other.verifies(token));
            let forged = pb::Token {
                input: Bytes::from_static(&[0; 32]),
                ..token.clone()
            };
            assert!(!issuer.verifies(&forged));
            assert!(!request.blinded.contains(&token.input));
        }
    }

    #[test]
    fn each_period_has_a_key_of_its_own() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let issuer = TokenIssuer::of_period(&[1; 32], 7).unwrap();
        let again = TokenIssuer::of_period(&[1; 32], 7).unwrap();
        let (pending, request) = request(&mut rng, 1).unwrap();
        let issued = issuer.issue(&mut rng, &request.blinded).unwrap();
        let token = finish(&pending, &issued, &again.public_key())
            .unwrap()
            .remove(0);
        assert!(again.verifies(&token));
        for (seed, period) in [([1; 32], 8), ([1; 32], 6), ([2; 32], 7)] {
            let other = TokenIssuer::of_period(&seed, period).unwrap();
            assert!(!other.verifies(&token));
        }
        assert!(!TokenIssuer::from_seed(&[1; 32]).unwrap().verifies(&token));
    }

    #[test]
    fn a_relay_that_uses_another_key_for_one_person_is_refused() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let everyones = TokenIssuer::from_seed(&[1; 32]).unwrap();
        let tagging = TokenIssuer::from_seed(&[2; 32]).unwrap();
        let (pending, request) = request(&mut rng, 2).unwrap();
        let issued = tagging.issue(&mut rng, &request.blinded).unwrap();
        assert_eq!(
            finish(&pending, &issued, &everyones.public_key()).unwrap_err(),
            TokenError::Proof
        );
    }

    #[test]
    fn malformed_elements_are_refused() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let issuer = TokenIssuer::from_seed(&[1; 32]).unwrap();
        for bad in [vec![0; 32], vec![0xff; 32], vec![1; 31], vec![]] {
            assert_eq!(
                issuer.issue(&mut rng, &[bad.into()]).unwrap_err(),
                TokenError::Malformed
            );
        }
        assert_eq!(
            issuer.issue(&mut rng, &[]).unwrap_err(),
            TokenError::WrongCount
        );
    }
}

//! Who says what when, while two devices are paired.
//!
//! ```text
//!   new:  Waiting ──(reply)──▶ Offered ──(proposal)──▶ consent, and on to the transfer
//!   old:  Awaiting ─(hello)─▶ Replied ─(confirm)─▶ Confirmed ─(offer)─▶ Asking
//!                                                    ─(the person: yes)─▶ Proposed
//!                                                    ─(consent)─▶ the roster is changed
//! ```
//!
//! **Elsewhere**: the rendezvous, the person and the store: [`super`]. Keys:
//! [`super::agreement`].
//!
//! **Always**: a step takes the state before apart. Anything that does not fit the state ends the
//! attempt: nothing is tried twice.

use bytes::Bytes;
use prost::Message as _;
use rand_core::CryptoRng;
use waxwing_protocol::{
    limits,
    pb::{
        DeviceConsent, DeviceEntry, DeviceOffer, DeviceProposal, PairingConfirm, PairingMessage,
        PairingRefused, PairingWords, pairing_message::Body, pairing_words::Body as Words,
    },
    roster::Proposal,
};

use super::{
    agreement::{NewSide, NotAgreed, OldSide, PairingContext},
    code::PairingSecret,
    session::{Session, SessionBroken},
};

/// Why an attempt is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PairingEnded {
    /// The code was another, or somebody is in between.
    #[error(transparent)]
    NotAgreed(#[from] NotAgreed),
    /// What came is no message, or none that fits.
    #[error("an unexpected message arrived at the rendezvous")]
    OutOfOrder,
    /// The other side said no.
    #[error("the other device refused")]
    Refused,
}

impl From<SessionBroken> for PairingEnded {
    fn from(_: SessionBroken) -> Self {
        Self::OutOfOrder
    }
}

/// The new device's state.
#[derive(Debug)]
pub(crate) enum NewStep {
    /// The hello is on its way; the code is shown.
    Waiting(Box<NewSide>),
    /// Both have confirmed; the offer is made.
    Offered(Session),
}

/// The old device's state.
#[derive(Debug)]
pub(crate) enum OldStep {
    /// The code was typed.
    Awaiting(PairingSecret, PairingContext),
    /// The reply is on its way.
    Replied(Box<OldSide>),
    /// Both have confirmed.
    Confirmed(Session),
    /// The person is asked.
    Asking(Session, DeviceEntry),
    /// They said yes; the consent is awaited.
    Proposed(Session, Proposal),
}

/// What a message led to.
pub(crate) enum NewOutcome {
    /// Nothing that anybody should do yet.
    Going(NewStep),
    /// The codes match: these are sent next.
    Agreed(NewStep, Vec<Bytes>),
    /// What the old device proposes; the answer goes through [`consent`].
    Proposed(Session, Box<DeviceProposal>),
}

/// What a message led to.
pub(crate) enum OldOutcome {
    /// Nothing that anybody should do yet; these are sent next.
    Going(OldStep, Vec<Bytes>),
    /// A device asks to be admitted, under this name.
    Asked(OldStep, String),
    /// It agreed to the statement.
    Agreed(Proposal, waxwing_protocol::pb::HybridSignature),
}

impl NewStep {
    /// A message came. `offer` is made when the other side is known to have the code.
    pub(crate) fn handle_message(
        self,
        body: &[u8],
        offer: impl FnOnce() -> DeviceOffer,
    ) -> Result<NewOutcome, PairingEnded> {
        let message = decode(body)?;
        match (self, message) {
            (Self::Waiting(side), Body::Reply(reply)) => {
                let (confirm, mut session) = side.finish(&reply)?;
                let mut next = vec![encode(Body::Confirm(confirm))];
                next.extend(seal(&mut session, Words::Offer(offer()))?);
                Ok(NewOutcome::Agreed(Self::Offered(session), next))
            }
            (Self::Offered(mut session), Body::Sealed(sealed)) => {
                match opened(&mut session, &sealed)? {
                    None => Ok(NewOutcome::Going(Self::Offered(session))),
                    Some(Words::Proposal(proposal)) => {
                        Ok(NewOutcome::Proposed(session, Box::new(proposal)))
                    }
                    Some(_) => Err(PairingEnded::OutOfOrder),
                }
            }
            _ => Err(PairingEnded::OutOfOrder),
        }
    }
}

impl OldStep {
    /// A message came.
    pub(crate) fn handle_message(
        self,
        rng: &mut dyn CryptoRng,
        body: &[u8],
    ) -> Result<OldOutcome, PairingEnded> {
        let message = decode(body)?;
        match (self, message) {
            (Self::Awaiting(secret, place), Body::Hello(hello)) => {
                let (side, reply) = OldSide::answer(rng, &secret, place, &hello)?;
                let step = Self::Replied(Box::new(side));
                Ok(OldOutcome::Going(step, vec![encode(Body::Reply(reply))]))
            }
            (Self::Replied(side), Body::Confirm(confirm)) => {
                let session = side.finish(&confirm)?;
                Ok(OldOutcome::Going(Self::Confirmed(session), Vec::new()))
            }
            (Self::Confirmed(mut session), Body::Sealed(sealed)) => {
                match opened(&mut session, &sealed)? {
                    None => Ok(OldOutcome::Going(Self::Confirmed(session), Vec::new())),
                    Some(Words::Offer(DeviceOffer {
                        entry: Some(entry),
                        name,
                    })) if name.len() <= limits::DEVICE_NAME_BYTES => {
                        Ok(OldOutcome::Asked(Self::Asking(session, entry), name))
                    }
                    Some(_) => Err(PairingEnded::OutOfOrder),
                }
            }
            (Self::Proposed(mut session, proposal), Body::Sealed(sealed)) => {
                match opened(&mut session, &sealed)? {
                    None => Ok(OldOutcome::Going(
                        Self::Proposed(session, proposal),
                        Vec::new(),
                    )),
                    Some(Words::Consent(DeviceConsent {
                        signature: Some(signature),
                    })) => Ok(OldOutcome::Agreed(proposal, signature)),
                    Some(_) => Err(PairingEnded::OutOfOrder),
                }
            }
            // While the person is asked, the other device has nothing to say.
            _ => Err(PairingEnded::OutOfOrder),
        }
    }
}

/// The first thing that the new device says.
pub(crate) fn hello(
    rng: &mut dyn CryptoRng,
    secret: &PairingSecret,
    place: PairingContext,
) -> (NewStep, Bytes) {
    let (side, hello) = NewSide::begin(rng, secret, place);
    (NewStep::Waiting(Box::new(side)), encode(Body::Hello(hello)))
}

/// The old device's person said yes: what it proposes.
pub(crate) fn propose(
    mut session: Session,
    proposal: DeviceProposal,
    statement: Proposal,
) -> Result<(OldStep, Vec<Bytes>), PairingEnded> {
    let sealed = seal(&mut session, Words::Proposal(proposal))?;
    Ok((OldStep::Proposed(session, statement), sealed))
}

/// The new device agrees.
pub(crate) fn consent(
    session: &mut Session,
    signature: waxwing_protocol::pb::HybridSignature,
) -> Result<Vec<Bytes>, PairingEnded> {
    let consent = DeviceConsent {
        signature: Some(signature),
    };
    seal(session, Words::Consent(consent))
}

/// The keys differ, says either side: a confirmation that is none.
pub(crate) fn not_agreed() -> Bytes {
    encode(Body::Confirm(PairingConfirm::default()))
}

/// Either side says no.
pub(crate) fn refuse(session: &mut Session) -> Vec<Bytes> {
    seal(session, Words::Refused(PairingRefused {})).unwrap_or_default()
}

fn opened(session: &mut Session, sealed: &[u8]) -> Result<Option<Words>, PairingEnded> {
    match session.open(sealed)? {
        None => Ok(None),
        Some(PairingWords {
            body: Some(Words::Refused(_)),
        }) => Err(PairingEnded::Refused),
        Some(words) => words.body.map(Some).ok_or(PairingEnded::OutOfOrder),
    }
}

fn seal(session: &mut Session, words: Words) -> Result<Vec<Bytes>, PairingEnded> {
    let sealed = session.seal(&PairingWords { body: Some(words) })?;
    Ok(sealed
        .into_iter()
        .map(|part| encode(Body::Sealed(part.into())))
        .collect())
}

fn decode(body: &[u8]) -> Result<Body, PairingEnded> {
    PairingMessage::decode(body)
        .ok()
        .and_then(|message| message.body)
        .ok_or(PairingEnded::OutOfOrder)
}

fn encode(body: Body) -> Bytes {
    PairingMessage { body: Some(body) }.encode_to_vec().into()
}

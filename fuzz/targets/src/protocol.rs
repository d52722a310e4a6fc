//! Targets that need the protocol only.

use std::{collections::BTreeSet, sync::LazyLock};

use bytes::Bytes;
use prost::Message as _;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use waxwing_protocol::{
    address::Address,
    conversation::ConversationSecrets,
    frame,
    ids::{Epoch, GroupId, MailboxId},
    limits, padding, pb,
    pb::statement::{Change, Signer},
    roster::Roster,
    sealing::{Sealed, SealingKey},
    signature::{HybridSigningKey, Purpose, SigningSeed},
    token::{self, PendingToken, TokenIssuer},
};

/// What a client sent.
pub fn client_frame(bytes: &[u8]) {
    if let Ok(frame) = frame::decode_client(Bytes::copy_from_slice(bytes)) {
        let again = frame::decode_client(frame.encode_to_vec().into());
        assert_eq!(
            again.as_ref(),
            Ok(&frame),
            "a frame is another after the wire"
        );
    }
}

/// What a relay sent.
pub fn relay_frame(bytes: &[u8]) {
    if let Ok(frame) = frame::decode_relay(Bytes::copy_from_slice(bytes)) {
        let again = frame::decode_relay(frame.encode_to_vec().into());
        assert_eq!(
            again.as_ref(),
            Ok(&frame),
            "a frame is another after the wire"
        );
    }
}

/// What a person typed, or another program sent, as an address.
pub fn address(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(address) = Address::parse(&text) else {
        return;
    };
    let canonical = address.canonical();
    assert!(canonical.is_ascii(), "a canonical form is ASCII");
    assert!(
        !canonical
            .bytes()
            .any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control()),
        "nothing in an address ends a line of a letter"
    );
    for form in [canonical, address.display()] {
        let again = Address::parse(form).map(|again| again.canonical().to_owned());
        assert_eq!(
            again.as_deref(),
            Ok(canonical),
            "both forms of an address are the address"
        );
    }
}

/// A roster: as it came, and signed by whom it names, so that what is behind the check
/// of the signatures is reached as well.
pub fn roster(bytes: &[u8]) {
    let Ok(looked_up) = pb::LookedUp::decode(bytes) else {
        return;
    };
    verify(&looked_up.roster);
    if looked_up.roster.len() <= 16 {
        verify(&signed_anew(&looked_up.roster));
    }
}

/// Whether checking a chain at once is checking it step by step, and what comes out is a
/// roster.
fn verify(statements: &[pb::SignedStatement]) {
    let whole = Roster::verify(statements);
    let Some((first, rest)) = statements.split_first() else {
        assert!(whole.is_err(), "no statement is no roster");
        return;
    };
    let Ok(mut roster) = Roster::verify(std::slice::from_ref(first)) else {
        assert!(whole.is_err(), "a chain has a valid first statement");
        return;
    };
    for statement in rest {
        let before = roster.clone();
        if let Err(error) = roster.extend(statement) {
            assert!(roster == before, "a refused statement changes nothing");
            assert_eq!(whole, Err(error), "a chain fails where its statement does");
            return;
        }
        assert_eq!(roster.length(), before.length() + 1);
        assert_eq!(
            roster.account(),
            before.account(),
            "an account stays the account"
        );
        let ids: BTreeSet<_> = roster.devices().iter().map(|device| device.id).collect();
        assert_eq!(ids.len(), roster.devices().len(), "a device is there once");
        assert!(ids.len() <= limits::DEVICES);
    }
    assert!(whole == Ok(roster), "a chain is its statements");
}

struct Key {
    signing: HybridSigningKey,
}

static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    // As in `vectors/protocol/roster`.
    (1..=4)
        .map(|number| Key {
            signing: HybridSigningKey::from_seed(&SigningSeed::from_bytes(&[number; 64])),
        })
        .collect()
});

fn signed_anew(statements: &[pb::SignedStatement]) -> Vec<pb::SignedStatement> {
    let mut chain: Vec<pb::SignedStatement> = Vec::new();
    for signed in statements {
        let roster = Roster::verify(&chain).ok();
        chain.push(sign_anew(signed, roster.as_ref()).unwrap_or_else(|| signed.clone()));
    }
    chain
}

/// The statement at its place behind `roster`, signed by whom it names; `None` when
/// nobody here has the key.
fn sign_anew(signed: &pb::SignedStatement, roster: Option<&Roster>) -> Option<pb::SignedStatement> {
    let mut statement = pb::Statement::decode(signed.statement.clone()).ok()?;
    if let Some(roster) = roster {
        statement.previous = Bytes::copy_from_slice(roster.head());
        statement.position = roster.length();
    }
    let signer = match statement.signer.as_ref()? {
        Signer::DeviceId(id) => KEYS
            .iter()
            .find(|key| *id == key.signing.public().device_id().as_bytes().as_slice())?,
        Signer::RecoveryKey(_) => {
            let recovery_key = roster?.recovery_key();
            KEYS.iter()
                .find(|key| key.signing.public() == recovery_key)?
        }
    };
    let consenting = match statement.change.as_ref()? {
        Change::AddDevice(entry) => KEYS
            .iter()
            .find(|key| Some(key.signing.public().to_wire()) == entry.identity),
        _ => None,
    };
    let statement = statement.encode_to_vec();
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    Some(pb::SignedStatement {
        signature: Some(
            signer
                .signing
                .sign(&mut rng, Purpose::Statement, &statement),
        ),
        consent: consenting.map(|key| {
            key.signing
                .sign(&mut rng, Purpose::DeviceConsent, &statement)
        }),
        statement: statement.into(),
    })
}

/// Sealed bytes, and what is inside of them; what is in a leaf and in a group's context.
pub fn sealed(bytes: &[u8]) {
    let key = SealingKey::from_bytes([16; 32]);
    let (group, epoch) = (GroupId([12; 16]), Epoch(1));
    for what in [Sealed::FanOut, Sealed::GroupInfo, Sealed::ExternalCommit] {
        if let Ok(opened) = key.open(what, group, epoch, bytes) {
            assert_eq!(opened.len() + 40, bytes.len());
            assert_eq!(what, Sealed::FanOut, "the seeds are sealed for one purpose");
        }
    }
    let sealed = key.seal(
        &mut ChaCha20Rng::from_seed([1; 32]),
        Sealed::FanOut,
        group,
        epoch,
        bytes,
    );
    let opened = key
        .open(Sealed::FanOut, group, epoch, &sealed)
        .unwrap_or_default();
    assert_eq!(opened, bytes, "what is sealed opens");
    if let Ok(fan_out) = pb::FanOut::decode(opened.as_slice()) {
        let ids: Result<Vec<_>, _> = fan_out.mailboxes.iter().map(MailboxId::try_from).collect();
        assert_eq!(
            ids.is_ok(),
            fan_out
                .mailboxes
                .iter()
                .all(|id| id.len() == MailboxId::LENGTH)
        );
    }
    if let Ok(secrets) = ConversationSecrets::decode(bytes) {
        let again = ConversationSecrets::decode(&secrets.encode());
        assert_eq!(
            again.map(|again| again.addresses),
            Ok(secrets.addresses),
            "what was accepted is accepted again"
        );
    }
    if let Ok(credential) = pb::LeafCredential::decode(bytes) {
        assert_eq!(
            pb::LeafCredential::decode(credential.encode_to_vec().as_slice()),
            Ok(credential)
        );
    }
}

static ISSUER: LazyLock<Option<TokenIssuer>> =
    LazyLock::new(|| TokenIssuer::from_seed(&[17; 32]).ok());

static PENDING: LazyLock<Vec<PendingToken>> = LazyLock::new(|| {
    token::request(&mut ChaCha20Rng::from_seed([4; 32]), 2)
        .map(|(pending, _)| pending)
        .unwrap_or_default()
});

/// A request for tokens, an answer to one, or a token that is spent.
pub fn token(bytes: &[u8]) {
    let Some(issuer) = ISSUER.as_ref() else {
        return;
    };
    if let Ok(request) = pb::IssueTokens::decode(bytes)
        && let Ok(issued) = issuer.issue(&mut ChaCha20Rng::from_seed([5; 32]), &request.blinded)
    {
        assert_eq!(issued.evaluated.len(), request.blinded.len());
        assert!(issued.evaluated.len() <= limits::TOKENS_PER_REQUEST);
    }
    if let Ok(issued) = pb::TokensIssued::decode(bytes) {
        let own_key = issuer.public_key();
        if let Ok(tokens) = token::finish(&PENDING, &issued, &own_key) {
            assert!(
                tokens.iter().all(|token| issuer.verifies(token)),
                "the proof holds"
            );
        }
        // The key of the answer itself: what a client that compared nothing would take.
        let _ = token::finish(&PENDING, &issued, &issued.token_key);
    }
    if let Ok(token) = pb::Token::decode(bytes) {
        let takes = issuer.verifies(&token);
        assert!(
            !takes || token.output.len() == 64,
            "a token has a whole output"
        );
    }
}

/// What an MLS message carried.
pub fn envelope(bytes: &[u8]) {
    let Ok(envelope) = pb::Envelope::decode(bytes) else {
        return;
    };
    let padded = padding::encode_padded(envelope.clone());
    assert_eq!(
        padding::padded_length(padded.len()),
        padded.len(),
        "a Padmé length"
    );
    let again = pb::Envelope::decode(padded.as_slice());
    let without_padding = pb::Envelope {
        padding: Bytes::new(),
        ..envelope
    };
    assert_eq!(
        again.map(|again| pb::Envelope {
            padding: Bytes::new(),
            ..again
        }),
        Ok(without_padding),
        "an envelope is the same without its padding"
    );
}

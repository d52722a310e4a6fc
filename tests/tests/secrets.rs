//! No `Debug` shows a secret, an address or a text.
//!
//! **Elsewhere**: what the programs write to their logs is searched in `waxwing`'s tests.
//!
//! **Always**: each search is proved able to find what it looks for.

use std::fmt::Debug;

use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use waxwing_engine::{
    Effect as EngineEffect, Event, LinkKind, RelayPlace,
    account::RecoveryKey,
    api::{
        ApproveDevice, History, LinkDevice, Notice, PairingChanged, PairingStage, Problem, Recover,
        Register, RegistrationChanged, RegistrationStage, Request, SendText, SubmitCode,
    },
    mls::{EpochKeys, LeafKey},
    store::{Store, StoreKey},
};
use waxwing_protocol::{
    address::Address,
    pb::{self, client_frame, relay_frame},
    posting::PostingKey,
    sealing::{RejoinSecret, SealingKey},
    signature::{HybridSigningKey, SigningSeed},
    token::{self, TokenIssuer},
};
use waxwing_relay::{
    data_dir::DataDir,
    identity::Identity,
    mail::{Letter, LetterRequest, MailRoute, SmtpUrl},
    relay::{Effect as RelayEffect, LinkId},
};
use waxwing_system_tests::leaks::found;

const ADDRESS: &str = "alice.canary@example.org";
const CODE: &str = "90210733";
const TEXT: &str = "meet me where the canary sings";

/// What was printed, with the name of what it was printed of.
#[derive(Default)]
struct Printed(Vec<(&'static str, String)>);

impl Printed {
    fn add(&mut self, name: &'static str, value: &dyn Debug) {
        self.0
            .push((name, format!("{value:?} {value:#?} {value:x?}")));
    }

    /// That a secret stands nowhere.
    #[track_caller]
    fn has_no(&self, what: &str, secret: &[u8]) {
        for (name, printed) in &self.0 {
            let forms = found(printed.as_bytes(), secret);
            assert!(forms.is_empty(), "{name} shows {what} {forms:?}: {printed}");
        }
    }
}

/// A value that shows what it holds, as a type without care would.
#[derive(Debug)]
struct Careless {
    #[expect(dead_code, reason = "its Debug reads it")]
    key: [u8; 32],
    #[expect(dead_code, reason = "its Debug reads it")]
    text: &'static str,
}

#[test]
fn the_search_finds_what_a_careless_type_shows() {
    let mut printed = Printed::default();
    let key: [u8; 32] = std::array::from_fn(|n| u8::try_from(n + 100).unwrap());
    printed.add("Careless", &Careless { key, text: TEXT });
    let shown = printed.0[0].1.as_bytes();
    assert!(!found(shown, &key).is_empty());
    assert!(!found(shown, TEXT.as_bytes()).is_empty());
}

#[test]
fn no_debug_shows_a_key_a_code_a_token_an_address_or_a_text() {
    let mut rng = ChaCha20Rng::seed_from_u64(11);
    let mut secrets: Vec<(&str, Vec<u8>)> =
        [("an address", ADDRESS), ("a code", CODE), ("a text", TEXT)]
            .map(|(name, text)| (name, text.as_bytes().to_vec()))
            .to_vec();
    let mut fresh = |name| {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        secrets.push((name, bytes.to_vec()));
        bytes
    };
    let mut printed = Printed::default();

    // protocol
    let seed = fresh("a posting key");
    printed.add("PostingKey", &PostingKey::from_seed(&seed));
    let key = fresh("a sealing key");
    printed.add("SealingKey", &SealingKey::from_bytes(key));
    let rejoin = fresh("a rejoin secret");
    printed.add("RejoinSecret", &RejoinSecret::from_slice(&rejoin).unwrap());
    let (first, second) = (fresh("an Ed25519 seed"), fresh("an ML-DSA seed"));
    let both: [u8; 64] = [first, second].concat().try_into().unwrap();
    let seed = SigningSeed::from_bytes(&both);
    printed.add("SigningSeed", &seed);
    printed.add("HybridSigningKey", &HybridSigningKey::from_seed(&seed));
    let seed = fresh("the token seed");
    printed.add("TokenIssuer", &TokenIssuer::from_seed(&seed).unwrap());
    printed.add("Address", &Address::parse(ADDRESS).unwrap());
    let (input, output) = (fresh("a token's input"), fresh("a token's output"));
    let bytes = |bytes: [u8; 32]| Bytes::copy_from_slice(&bytes);
    let token = pb::Token {
        input: bytes(input),
        output: bytes(output),
    };
    printed.add("pb::Token", &token);
    let fan_out_key = bytes(fresh("a fan-out key"));
    let mailbox = bytes(fresh("a mailbox of a group"));
    let envelope = pb::Envelope {
        body: Some(pb::envelope::Body::Mimi(TEXT.into())),
        ..pb::Envelope::default()
    };
    printed.add("pb::Envelope", &envelope);
    printed.add("pb::envelope::Body", &envelope.body);
    printed.add(
        "pb::FanOut",
        &pb::FanOut {
            mailboxes: vec![mailbox.clone()],
        },
    );
    printed.add(
        "pb::ConversationSecrets",
        &pb::ConversationSecrets {
            rejoin_secret: bytes(rejoin),
            addresses: vec![pb::MemberAddress {
                account_id: mailbox.clone(),
                address: ADDRESS.into(),
            }],
            state: None,
        },
    );
    printed.add(
        "pb::LookedUp",
        &relay_frame::Body::LookedUp(Box::new(pb::LookedUp {
            address: ADDRESS.into(),
            ..pb::LookedUp::default()
        })),
    );
    let bodies = [
        client_frame::Body::StartRegistration(pb::StartRegistration {
            address: ADDRESS.into(),
            ..pb::StartRegistration::default()
        }),
        client_frame::Body::FinishRegistration(pb::FinishRegistration {
            code: CODE.into(),
            ..pb::FinishRegistration::default()
        }),
        client_frame::Body::LookUp(pb::LookUp {
            address: ADDRESS.into(),
            ..pb::LookUp::default()
        }),
        client_frame::Body::ClaimKeyPackages(pb::ClaimKeyPackages {
            address: ADDRESS.into(),
            ..pb::ClaimKeyPackages::default()
        }),
        client_frame::Body::CreateGroup(pb::CreateGroup {
            fan_out_key: fan_out_key.clone(),
            token: Some(token),
            ..pb::CreateGroup::default()
        }),
        client_frame::Body::AuthorisePosting(pb::AuthorisePosting {
            fan_out_key: fan_out_key.clone(),
            ..pb::AuthorisePosting::default()
        }),
        client_frame::Body::Post(pb::Post {
            next_fan_out_key: fan_out_key.clone(),
            ..pb::Post::default()
        }),
        client_frame::Body::Rejoin(pb::Rejoin {
            next_fan_out_key: fan_out_key,
            ..pb::Rejoin::default()
        }),
    ];
    for body in bodies {
        let frame = pb::ClientFrame {
            request: 1,
            body: Some(body),
        };
        printed.add("pb::ClientFrame", &frame);
        printed.add(
            "engine::Effect",
            &EngineEffect::Send {
                link: LinkKind::Posting,
                frame,
            },
        );
    }

    // engine
    let key = fresh("a store key");
    printed.add("StoreKey", &StoreKey::from_bytes(key));
    printed.add("Store", &Store::open_in_memory().unwrap());
    printed.add("LeafKey", &LeafKey::from_seed(&fresh("a leaf key")));
    let (send_key, fan_out_key) = (fresh("a send key"), fresh("an epoch's fan-out key"));
    printed.add(
        "EpochKeys",
        &EpochKeys {
            send_key,
            fan_out_key,
            signal_key: fresh("an epoch's signal key"),
            rejoin_secret: fresh("an epoch's signal key"),
        },
    );
    let recovery = RecoveryKey::from_entropy(&fresh("a recovery key"));
    let words = recovery.words();
    printed.add("RecoveryKey", &recovery);
    let exporter = fresh("an exporter");
    let opened = Event::LinkOpened {
        link: LinkKind::Mailbox,
        exporter,
        pin: None,
    };
    printed.add("Event", &opened);
    let requests = [
        Request::Register(Register {
            address: ADDRESS.into(),
            relay: "https://relay.example".into(),
            pin: None,
            name: Some(ADDRESS.into()),
            device: Some(TEXT.into()),
        }),
        Request::LinkDevice(LinkDevice {
            relay: "https://relay.example".into(),
            pin: None,
            name: TEXT.into(),
        }),
        Request::ApproveDevice(ApproveDevice { code: CODE.into() }),
        Request::Recover(Recover {
            address: ADDRESS.into(),
            relay: "https://relay.example".into(),
            pin: None,
            words: words.clone(),
            name: TEXT.into(),
            from_file: false,
            revoke_others: false,
        }),
        Request::SubmitCode(SubmitCode { code: CODE.into() }),
        Request::Send(SendText {
            to: ADDRESS.into(),
            text: TEXT.into(),
            ..SendText::default()
        }),
        Request::History(History {
            of: ADDRESS.into(),
            limit: None,
            before: None,
            search: Some(TEXT.into()),
            ..Default::default()
        }),
    ];
    for request in requests {
        printed.add("Request", &request);
        printed.add("Event", &Event::Command(request));
    }
    let problem = Problem::RecipientUnknown {
        address: ADDRESS.into(),
    };
    printed.add("ProblemReport", &problem.report());
    printed.add("Problem", &problem);
    let place = RelayPlace {
        url: format!("https://{ADDRESS}/"),
        pin: None,
    };
    printed.add("RelayPlace", &place);
    let registered = Notice::Registration(RegistrationChanged {
        stage: RegistrationStage::Registered,
        address: ADDRESS.into(),
        expires_at: None,
        recovery_words: Some(words.clone()),
        recovery_qr: Some(recovery.qr_text()),
        account_id: None,
        problem: None,
    });
    printed.add("Notice", &registered);
    printed.add("Effect", &EngineEffect::Notify(registered));

    let linking = Notice::Pairing(PairingChanged {
        stage: PairingStage::Code,
        code: Some(CODE.into()),
        qr: Some(CODE.into()),
        device: None,
        name: Some(TEXT.into()),
        address: Some(ADDRESS.into()),
        problem: None,
    });
    printed.add("Notice", &linking);
    printed.add("Effect", &EngineEffect::Notify(linking));

    // relay
    let url = format!("smtps://{ADDRESS}:{CODE}@mail.example.org").replacen('@', "%40", 1);
    let url = SmtpUrl::parse(&url).unwrap();
    printed.add("SmtpUrl", &url);
    printed.add("Route", &MailRoute::Smtp(url));
    let link = LinkId(1);
    printed.add(
        "Letter",
        &Letter::new(
            &Address::parse(ADDRESS).unwrap(),
            CODE.into(),
            LetterRequest { link, request: 1 },
        ),
    );
    printed.add(
        "relay::Effect",
        &RelayEffect::SendCode {
            link,
            request: 1,
            address: Address::parse(ADDRESS).unwrap(),
            code: CODE.into(),
        },
    );
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open_or_create(folder.path()).unwrap();
    let identity = Identity::open_or_create(&data).unwrap();
    printed.add("Identity", &identity);
    secrets.push(("the relay's token seed", identity.token_seed().to_vec()));
    secrets.push(("the relay's address key", identity.address_key().to_vec()));
    let mut rng = ChaCha20Rng::seed_from_u64(12);
    let (pending, _) = token::request(&mut rng, 1).unwrap();
    printed.add("PendingToken", &pending);

    secrets.push(("recovery words", words.into_bytes()));
    for (name, printed) in &printed.0 {
        assert!(!printed.is_empty(), "{name}");
    }
    for (name, secret) in &secrets {
        printed.has_no(name, secret);
    }
}

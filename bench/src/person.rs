//! People under load: real accounts with real keys, registered by real codes, and pairs
//! of them that talk in a group.
//!
//! **Elsewhere**: what a person's client really encrypts is the engine's; here a post's
//! body is random bytes, which is all that the relay ever sees of one.
//!
//! **Always**: everything that the relay checks is real: signatures, tokens, send keys.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use prost::Message as _;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use waxwing_protocol::ids::{Epoch, GroupId, MailboxId, PostId, RegistrationId};
use waxwing_protocol::pb::{self, client_frame, relay_frame};
use waxwing_protocol::posting::{PostingAct, PostingKey};
use waxwing_protocol::roster::{self, Roster};
use waxwing_protocol::sealing::{RejoinSecret, Sealed, SealingKey};
use waxwing_protocol::signature::{
    HybridSigningKey, Purpose, SigningSeed, login_message, registration_message,
};
use waxwing_protocol::time::Time;
use waxwing_protocol::token;
use xtask::demo::smtp::{MailServer, code_in};

use crate::link::{Link, Target, source};

/// For a mail with a code.
const PATIENCE: Duration = Duration::from_mins(1);

/// The sizes that the engine's own welcome and sealed group information have, about.
const WELCOME_BYTES: usize = 5_500;
const GROUP_INFO_BYTES: usize = 5_000;

/// One registered device.
pub struct Person {
    number: usize,
    device: HybridSigningKey,
    rng: ChaCha20Rng,
    /// Where its posts wait.
    pub mailbox: MailboxId,
}

impl Person {
    /// Registers the `number`th person and gives the link that did it, not logged in.
    pub async fn register(
        number: usize,
        target: &Target,
        mail: &Arc<MailServer>,
    ) -> Result<(Self, Link)> {
        let mut rng = ChaCha20Rng::seed_from_u64(number as u64);
        let device = HybridSigningKey::from_seed(&SigningSeed::generate(&mut rng));
        let recovery = HybridSigningKey::from_seed(&SigningSeed::generate(&mut rng));
        let leaf = PostingKey::from_seed(&random(&mut rng));
        let first = roster::create_account(
            &mut rng,
            now()?,
            &device,
            *leaf.public().as_bytes(),
            recovery.public(),
        );
        let statements = vec![first];
        let checked = Roster::verify(&statements).context("our own roster does not verify")?;

        let address = format!("person{number}@bench.waxwing.example");
        let device_id = device.public().device_id();
        let mut link = Link::open(target, source(number)).await?;
        let started = link
            .ask(client_frame::Body::StartRegistration(
                pb::StartRegistration {
                    address: address.clone(),
                    device_id: device_id.to_bytes(),
                },
            ))
            .await?;
        let relay_frame::Body::RegistrationStarted(started) = started else {
            bail!("no registration was started");
        };
        let mail = Arc::clone(mail);
        let code = tokio::task::spawn_blocking(move || {
            mail.take_mail(&address, PATIENCE)
                .and_then(|mail| code_in(&mail))
        })
        .await??;
        let registration = RegistrationId::try_from(&started.registration_id)?;
        let message = registration_message(
            &link.exporter,
            registration,
            &code,
            checked.account(),
            checked.head(),
        );
        let signature = Some(device.sign(&mut rng, Purpose::Registration, &message));
        let registered = link
            .ask(client_frame::Body::FinishRegistration(
                pb::FinishRegistration {
                    registration_id: started.registration_id,
                    code,
                    roster: statements,
                    signature,
                },
            ))
            .await?;
        let relay_frame::Body::Registered(registered) = registered else {
            bail!("the registration was not finished");
        };
        let mailbox = MailboxId::try_from(&registered.mailbox_id)?;
        Ok((
            Self {
                number,
                device,
                rng,
                mailbox,
            },
            link,
        ))
    }

    /// Opens a link and logs it in.
    pub async fn mailbox_link(&mut self, target: &Target) -> Result<Link> {
        let mut link = Link::open(target, source(self.number)).await?;
        self.log_in(&mut link).await?;
        Ok(link)
    }

    /// Logs a link in.
    pub async fn log_in(&mut self, link: &mut Link) -> Result<()> {
        let challenge: [u8; 32] = link
            .hello
            .challenge
            .as_ref()
            .try_into()
            .context("no challenge")?;
        let device_id = self.device.public().device_id();
        let message = login_message(&link.exporter, &challenge, device_id);
        let signature = Some(self.device.sign(&mut self.rng, Purpose::Login, &message));
        let answer = link
            .ask(client_frame::Body::Login(pb::Login {
                device_id: device_id.to_bytes(),
                signature,
            }))
            .await?;
        match answer {
            relay_frame::Body::LoggedIn(_) => Ok(()),
            _ => bail!("the login was not answered"),
        }
    }

    /// One token, on a link that is logged in.
    async fn token(&mut self, link: &mut Link) -> Result<pb::Token> {
        let (pending, request) = token::request(&mut self.rng, 1)?;
        let issued = link.ask(client_frame::Body::IssueTokens(request)).await?;
        let relay_frame::Body::TokensIssued(issued) = issued else {
            bail!("no tokens were issued");
        };
        let tokens = token::finish(&pending, &issued, &link.hello.token_key)?;
        tokens.into_iter().next().context("no token")
    }
}

/// A group of two, and one member's right to post to it.
pub struct Pair {
    group: GroupId,
    send_seed: [u8; 32],
    fan_out_key: SealingKey,
    /// The number of the first member; the other is the next.
    number: usize,
}

/// The epoch that every pair is in.
const EPOCH: Epoch = Epoch(1);

impl Pair {
    /// Opens a group of `mailboxes` on the relay, with a token of `first` on its
    /// mailbox link `logged_in`.
    pub async fn create(
        first: &mut Person,
        logged_in: &mut Link,
        mailboxes: &[MailboxId],
        target: &Target,
    ) -> Result<Self> {
        let token = first.token(logged_in).await?;
        let rng = &mut first.rng;
        let pair = Self {
            group: GroupId::random(rng),
            send_seed: random(rng),
            fan_out_key: SealingKey::from_bytes(random(rng)),
            number: first.number,
        };
        let fan_out = pb::FanOut {
            mailboxes: mailboxes.iter().map(|mailbox| mailbox.to_bytes()).collect(),
        };
        let sealed_fan_out = pair.fan_out_key.seal(
            rng,
            Sealed::FanOut,
            pair.group,
            EPOCH,
            &fan_out.encode_to_vec(),
        );
        let rejoin = RejoinSecret::generate(rng);
        let create = pb::CreateGroup {
            group_id: pair.group.to_bytes(),
            token: Some(token),
            epoch: EPOCH.0,
            keys: Some(pb::EpochKeys {
                send_key: Bytes::copy_from_slice(pair.send_key().public().as_bytes()),
                sealed_fan_out: sealed_fan_out.into(),
                sealed_group_info: body(rng, GROUP_INFO_BYTES),
                rejoin_key: bytes::Bytes::new(),
            }),
            rejoin_key: Bytes::copy_from_slice(rejoin.signing_key().public().as_bytes()),
            fan_out_key: Bytes::copy_from_slice(pair.fan_out_key.as_bytes()),
            post_id: PostId::random(rng).to_bytes(),
            welcome: body(rng, WELCOME_BYTES),
        };
        let mut posting = Link::open(target, source(pair.number)).await?;
        posting.ask(client_frame::Body::CreateGroup(create)).await?;
        Ok(pair)
    }

    /// A posting link of one of the two members, authorised.
    pub async fn posting_link(&self, member: usize, target: &Target) -> Result<Link> {
        let mut link = Link::open(target, source(self.number + member)).await?;
        let act = PostingAct::Authorise {
            exporter: &link.exporter,
            epoch: EPOCH,
        };
        let signature = self.send_key().sign(self.group, act);
        let authorise = pb::AuthorisePosting {
            group_id: self.group.to_bytes(),
            epoch: EPOCH.0,
            fan_out_key: Bytes::copy_from_slice(self.fan_out_key.as_bytes()),
            signature: Bytes::copy_from_slice(&signature),
        };
        link.ask(client_frame::Body::AuthorisePosting(authorise))
            .await?;
        Ok(link)
    }

    /// A message to the group.
    pub fn post(&self, post_id: PostId, body: Bytes) -> client_frame::Body {
        client_frame::Body::Post(pb::Post {
            group_id: self.group.to_bytes(),
            epoch: EPOCH.0,
            kind: pb::PostKind::Message.into(),
            post_id: post_id.to_bytes(),
            body,
            next: None,
            next_fan_out_key: Bytes::new(),
            welcome: Bytes::new(),
            first_attempt: true,
        })
    }

    fn send_key(&self) -> PostingKey {
        PostingKey::from_seed(&self.send_seed)
    }
}

/// Random bytes.
pub fn body(rng: &mut ChaCha20Rng, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    rng.fill_bytes(&mut bytes);
    bytes.into()
}

fn random(rng: &mut ChaCha20Rng) -> [u8; 32] {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn now() -> Result<Time> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(Time(u64::try_from(since.as_millis())?))
}

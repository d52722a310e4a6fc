//! People under load: real accounts with real keys, registered by real codes, and pairs
//! of them that talk in a group.
//!
//! **Elsewhere**: what a person's client really encrypts is the engine's; here a post's
//! body is random bytes, which is all that the relay ever sees of one.
//!
//! **Always**: everything that the relay checks is real: signatures, tokens, send keys.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use prost::Message as _;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use waxwing_protocol::Exporter;
use waxwing_protocol::ids::{Epoch, GroupId, MailboxId, PostId, RegistrationId};
use waxwing_protocol::pb::{self, client_frame, relay_frame};
use waxwing_protocol::posting::{PostingAct, PostingKey};
use waxwing_protocol::roster::{self, Roster, SigningWith};
use waxwing_protocol::sealing::{RejoinSecret, Sealed, SealingKey};
use waxwing_protocol::signature::{
    HybridSigningKey, Purpose, SigningSeed, login_message, registration_message,
};
use waxwing_protocol::time::Time;
use waxwing_protocol::token;
use xtask::demo::mails::Mails;

use crate::link::{Link, Refusal, Target, source};

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

/// Somebody who is about to register.
pub struct Newcomer {
    number: usize,
    device: HybridSigningKey,
    rng: ChaCha20Rng,
    address: String,
    statements: Vec<pb::SignedStatement>,
    roster: Roster,
}

/// A registration that waits for its code.
pub type Started = pb::RegistrationStarted;

/// The address of the `number`th person.
pub fn address(number: usize) -> String {
    format!("person{number}@bench.waxwing.example")
}

impl Newcomer {
    /// The `number`th person, with a roster of so many statements.
    pub fn new(number: usize, address: String, statements: usize) -> Result<Self> {
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
        let mut chain = vec![first];
        let mut checked = Roster::verify(&chain).context("our own roster does not verify")?;
        while chain.len() < statements {
            let leaf = PostingKey::from_seed(&random(&mut rng));
            let leaf = Bytes::copy_from_slice(leaf.public().as_bytes());
            let next = roster::next_statement(
                &mut rng,
                now()?,
                &checked,
                SigningWith::Device(&device),
                pb::statement::Change::SetLeafKey(leaf),
                None,
            );
            checked.extend(&next)?;
            chain.push(next);
        }
        Ok(Self {
            number,
            device,
            rng,
            address,
            statements: chain,
            roster: checked,
        })
    }

    /// What asks for a code.
    pub fn start(&self) -> client_frame::Body {
        client_frame::Body::StartRegistration(pb::StartRegistration {
            address: self.address.clone(),
            device_id: self.device.public().device_id().to_bytes(),
        })
    }

    /// What enters the code on the link with this exporter.
    pub fn finish(
        &mut self,
        exporter: &Exporter,
        started: &Started,
        code: String,
    ) -> Result<pb::FinishRegistration> {
        let registration = RegistrationId::try_from(&started.registration_id)?;
        let (account, head) = (self.roster.account(), self.roster.head());
        let message = registration_message(exporter, registration, &code, account, head);
        let signature = self
            .device
            .sign(&mut self.rng, Purpose::Registration, &message);
        Ok(pb::FinishRegistration {
            registration_id: started.registration_id.clone(),
            code,
            roster: self.statements.clone(),
            signature: Some(signature),
        })
    }

    /// Asks for a code.
    pub async fn ask_for_code(&self, link: &mut Link) -> Result<Started> {
        match link.ask(self.start()).await? {
            relay_frame::Body::RegistrationStarted(started) => Ok(started),
            _ => bail!("no registration was started"),
        }
    }

    /// The code in the next mail that comes within that time.
    pub async fn code(&self, mail: &Arc<Mails>, patience: Duration) -> Result<String> {
        let (mail, address) = (Arc::clone(mail), self.address.clone());
        tokio::task::spawn_blocking(move || mail.next_code(&address, patience)).await?
    }

    /// Registers, on a link that is not logged in. Where others ask for codes for this address
    /// too, the codes in all mails that come from now on are tried.
    pub async fn register(
        &mut self,
        link: &mut Link,
        mail: &Arc<Mails>,
        patience: Duration,
    ) -> Result<MailboxId> {
        while self.code(mail, Duration::ZERO).await.is_ok() {}
        let started = self.ask_for_code(link).await?;
        loop {
            let code = self.code(mail, patience).await?;
            let finish = self.finish(&link.exporter, &started, code)?;
            let answer = link
                .ask(client_frame::Body::FinishRegistration(finish))
                .await;
            match answer {
                Ok(relay_frame::Body::Registered(registered)) => {
                    return Ok(MailboxId::try_from(&registered.mailbox_id)?);
                }
                Ok(_) => bail!("the registration was not finished"),
                // Somebody else's code.
                Err(error) if is_code_refused(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Once registered.
    pub fn into_person(self, mailbox: MailboxId) -> Person {
        Person {
            number: self.number,
            device: self.device,
            rng: self.rng,
            mailbox,
        }
    }
}

fn is_code_refused(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Refusal>()
        .is_some_and(|refusal| refusal.code == pb::ErrorCode::CodeRefused)
}

impl Person {
    /// Registers the `number`th person and gives the link that did it, not logged in.
    pub async fn register(
        number: usize,
        target: &Target,
        mail: &Arc<Mails>,
    ) -> Result<(Self, Link)> {
        let mut newcomer = Newcomer::new(number, address(number), 1)?;
        let mut link = Link::open(target, source(number)).await?;
        let mailbox = newcomer.register(&mut link, mail, PATIENCE).await?;
        Ok((newcomer.into_person(mailbox), link))
    }

    /// Where this person's links come from.
    pub fn source(&self) -> Ipv4Addr {
        source(self.number)
    }

    /// The device's id.
    pub fn device_id(&self) -> Bytes {
        self.device.public().device_id().to_bytes()
    }

    /// Opens a link and logs it in.
    pub async fn mailbox_link(&mut self, target: &Target) -> Result<Link> {
        let mut link = Link::open(target, source(self.number)).await?;
        self.log_in(&mut link).await?;
        Ok(link)
    }

    /// Logs a link in.
    pub async fn log_in(&mut self, link: &mut Link) -> Result<()> {
        let login = self.login(link)?;
        match link.ask(login).await? {
            relay_frame::Body::LoggedIn(_) => Ok(()),
            _ => bail!("the login was not answered"),
        }
    }

    /// What logs that link in.
    pub fn login(&mut self, link: &Link) -> Result<client_frame::Body> {
        let challenge = link.hello.challenge.as_ref().try_into();
        let challenge: [u8; 32] = challenge.context("no challenge")?;
        let device_id = self.device.public().device_id();
        let message = login_message(&link.exporter, &challenge, device_id);
        let signature = Some(self.device.sign(&mut self.rng, Purpose::Login, &message));
        Ok(client_frame::Body::Login(pb::Login {
            device_id: device_id.to_bytes(),
            signature,
        }))
    }

    /// One token, on a link that is logged in.
    async fn token(&mut self, link: &mut Link) -> Result<pb::Token> {
        let tokens = self.tokens(link, 1).await?;
        tokens.into_iter().next().context("no token")
    }

    /// Tokens, on a link that is logged in; at most as many as one request may ask for.
    pub async fn tokens(&mut self, link: &mut Link, count: usize) -> Result<Vec<pb::Token>> {
        let (pending, request) = token::request(&mut self.rng, count)?;
        let issued = link.ask(client_frame::Body::IssueTokens(request)).await?;
        let relay_frame::Body::TokensIssued(issued) = issued else {
            bail!("no tokens were issued");
        };
        Ok(token::finish(&pending, &issued, &link.hello.token_key)?)
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
        link.ask(self.authorise(&link.exporter)).await?;
        Ok(link)
    }

    /// What authorises the link with this exporter to post.
    pub fn authorise(&self, exporter: &Exporter) -> client_frame::Body {
        let act = PostingAct::Authorise {
            exporter,
            epoch: EPOCH,
        };
        let signature = self.send_key().sign(self.group, act);
        client_frame::Body::AuthorisePosting(pb::AuthorisePosting {
            group_id: self.group.to_bytes(),
            epoch: EPOCH.0,
            fan_out_key: Bytes::copy_from_slice(self.fan_out_key.as_bytes()),
            signature: Bytes::copy_from_slice(&signature),
        })
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

/// A random key or seed.
pub fn random(rng: &mut ChaCha20Rng) -> [u8; 32] {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn now() -> Result<Time> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(Time(u64::try_from(since.as_millis())?))
}

//! What in a message is a trick, or may be one, and a sentence for people about each.
//!
//! A text message proves nothing: anybody can write any sender into one. What can be told is
//! where it tries to seem what it is not. In 2012 a phone showed the address that a reply was
//! asked to go to in the sender's place; here the sender is shown, and the wish is a
//! [finding](What::RepliesElsewhere).
//!
//! **Elsewhere**: looking at senders is `sender`, at links `link`, at what nobody sees `hidden`, at
//! what people are asked for `phrases`.
//!
//! **Always**: findings are shown and nothing is hidden or deleted for them. Nothing is looked up
//! anywhere: whom a person knows is handed in, and stays where it is.

mod domain;
mod hidden;
mod link;
mod look;
mod number;
mod phrases;
mod scan;
mod sender;

use serde::Serialize;

use crate::coding::{Class, DataCoding, Mailbox, ProtocolId};
use crate::concatenation::Disagreement;
use crate::header::{Element, Service};
use crate::push::{self, Push};
use crate::tpdu::{Deliver, Submit};
use crate::user_data::{Body, UserData};

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Often a trick.
    Caution,
    /// A trick, or what only tricks do.
    Danger,
}

/// Something that the reader of a message should know about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A reply is asked to go to another number than the sender's: the attack of 2012.
    RepliesElsewhere {
        /// Who it says that it is from.
        originator: String,
        /// Where a reply is asked to go.
        reply_to: String,
    },
    /// A message from a phone asks that replies go to this number.
    AsksForRepliesTo {
        /// Where a reply is asked to go.
        reply_to: String,
    },
    /// The sender is a name, and a reply cannot reach it.
    CannotBeAnswered {
        /// The name.
        sender: String,
    },
    /// The sender calls itself as somebody whom the reader knows is called.
    ImitatesContact {
        /// The sender.
        sender: String,
        /// Who is imitated.
        contact: String,
    },
    /// The sender looks like a short number that the reader knows.
    ImitatesShortCode {
        /// The sender.
        sender: String,
        /// The number.
        short_code: String,
        /// Whose that is.
        owner: String,
    },
    /// The sender is a name that is written to look like a number.
    NameLikeNumber {
        /// The sender.
        sender: String,
    },
    /// The sender has characters that look like others.
    ConfusableSender {
        /// The sender.
        sender: String,
        /// As what it can be read.
        reads_as: String,
    },
    /// A link to a number instead of a name.
    LinkToNumber {
        /// The number.
        host: String,
    },
    /// A link whose name is written in ASCII for what has other letters.
    LinkPunycode {
        /// The name as it is in the link.
        host: String,
        /// What that shows as.
        shows_as: String,
    },
    /// A link with characters that look like others.
    LinkConfusable {
        /// The name.
        host: String,
        /// As what it can be read.
        reads_as: String,
    },
    /// A link that does not say where it leads.
    LinkShortened {
        /// The service that shortened it.
        host: String,
    },
    /// A link to a domain that looks like one that the reader knows.
    LinkImitates {
        /// Where it leads.
        host: String,
        /// What it looks like.
        domain: String,
    },
    /// A link that shows one place and leads to another.
    LinkShowsOther {
        /// What is shown.
        shown: String,
        /// Where it leads.
        host: String,
    },
    /// A link that runs something, or installs it, instead of showing a site.
    LinkRuns {
        /// Its scheme.
        scheme: String,
    },
    /// A link that loads a program.
    LinkProgram {
        /// From where.
        host: String,
        /// The file.
        file: String,
    },
    /// A link through a page of a well-known site that leads on to wherever the link says.
    LinkRedirects {
        /// The site.
        host: String,
        /// Where it leads on to, where that can be read.
        target: Option<String>,
    },
    /// A link to a domain that the reader knows, but with another country's ending.
    LinkOtherEnding {
        /// Where it leads.
        host: String,
        /// What the reader knows.
        domain: String,
    },
    /// A link that names a domain that the reader knows behind another one.
    LinkMentions {
        /// Where it leads.
        host: String,
        /// What it names.
        domain: String,
    },
    /// A link to a name so long that its end, which counts, is not seen.
    LinkLong {
        /// The name.
        host: String,
        /// Its end.
        own: String,
    },
    /// A code, to be dialled, that forwards calls, changes PINs, or erases the phone.
    DialsCode {
        /// The code.
        code: String,
    },
    /// It asks for an answer, so that the phone lets its link be opened.
    ActivatesLink,
    /// It claims to be from somebody close who has a new number.
    NewNumber,
    /// It asks for a code that was sent to the reader.
    AsksForCode,
    /// It was to appear on the screen at once, over everything else, and be kept nowhere.
    Flash,
    /// It was to be shown to nobody: it tells its sender that the phone is on.
    Silent,
    /// It asks the phone to open a page, to load something, or to take settings.
    Push {
        /// The port.
        port: u16,
        /// Where it leads, as far as that can be read.
        leads_to: Option<String>,
    },
    /// A picture message (MMS) waits for the reader.
    PictureMessage {
        /// Where, as far as that can be read.
        host: Option<String>,
    },
    /// It says that something waits in a mailbox, such as voice mail.
    MessageWaiting {
        /// In which.
        mailbox: WaitingIn,
    },
    /// A contact for the address book.
    ContactCard,
    /// An appointment for the calendar.
    Appointment,
    /// It is for a program and not for a person.
    Port {
        /// The port.
        port: u16,
    },
    /// It is for the phone or its card and not for a person.
    ForTheDevice,
    /// It came from an e-mail, through a gateway.
    FromEmail,
    /// It takes the place of an earlier message.
    Replaces,
    /// It is of octets, or compressed, and cannot be shown as text.
    NotText,
    /// Its header is broken.
    BrokenHeader,
    /// The parts of it do not fit together.
    PartsDisagree {
        /// In what.
        about: Vec<About>,
    },
    /// Some of its parts have not arrived.
    PartsMissing {
        /// Which.
        parts: Vec<u8>,
    },
    /// Its text has characters that are not seen and change how it reads.
    HiddenCharacters,
}

/// Where something waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum WaitingIn {
    VoiceMail,
    Fax,
    Email,
    Other,
}

/// In what parts disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// How many there are.
    Count,
    /// What one of them says.
    Content,
    /// Where a reply is to go.
    ReplyAddress,
    /// How they are written.
    Coding,
}

/// What the reader knows; nothing of it leaves the device.
#[derive(Clone, Default)]
pub struct Known {
    /// The people.
    pub contacts: Vec<Contact>,
    /// Short numbers.
    pub short_codes: Vec<ShortCode>,
}

/// Somebody whom the reader knows.
#[derive(Clone, Default)]
pub struct Contact {
    /// What the reader calls them.
    pub name: String,
    /// Their numbers, in E.164 with the plus sign.
    pub numbers: Vec<String>,
    /// The domains of their e-mail addresses.
    pub domains: Vec<String>,
}

/// A short number, such as a bank's.
#[derive(Clone)]
pub struct ShortCode {
    /// Its digits.
    pub digits: String,
    /// Whose it is.
    pub owner: String,
}

/// A message, as far as its parts have arrived.
pub struct Message<'a> {
    /// It, or all its parts joined.
    pub deliver: &'a Deliver,
    /// What its parts disagree in.
    pub disagreements: &'a [Disagreement],
    /// Which of its parts have not arrived.
    pub missing: &'a [u8],
}

impl<'a> From<&'a Deliver> for Message<'a> {
    fn from(deliver: &'a Deliver) -> Self {
        Self {
            deliver,
            disagreements: &[],
            missing: &[],
        }
    }
}

/// All findings about a message, the worst first.
pub fn of(message: &Message<'_>, known: &Known) -> Vec<Finding> {
    let mut found = Vec::new();
    let deliver = message.deliver;
    sender::look(deliver, known, &mut found);
    let content = Content {
        protocol: deliver.protocol,
        coding: deliver.coding,
        user_data: &deliver.user_data,
    };
    content.look(known, &mut found);
    if let Body::Text(text) = &deliver.user_data.body
        && !sender::claims_to_be_known(&deliver.originator, known)
    {
        look_at_phrases(text, &mut found);
    }
    look_at_parts(message, &mut found);
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found
}

/// All findings about a message from a phone, the worst first: what it would do to its reader.
pub fn of_submit(submit: &Submit, known: &Known) -> Vec<Finding> {
    let mut found = Vec::new();
    let content = Content {
        protocol: submit.protocol,
        coding: submit.coding,
        user_data: &submit.user_data,
    };
    for reply_to in submit.user_data.header.reply_addresses() {
        let what = What::AsksForRepliesTo {
            reply_to: reply_to.to_string(),
        };
        found.push(Finding::new(Severity::Danger, what));
    }
    content.look(known, &mut found);
    if let Body::Text(text) = &submit.user_data.body {
        look_at_phrases(text, &mut found);
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found
}

fn look_at_phrases(text: &str, found: &mut Vec<Finding>) {
    for phrase in phrases::phrases(text) {
        let what = match phrase {
            phrases::Phrase::ActivateLink => What::ActivatesLink,
            phrases::Phrase::NewNumber => What::NewNumber,
            phrases::Phrase::AsksForCode => What::AsksForCode,
        };
        found.push(Finding::new(Severity::Caution, what));
    }
}

/// What a message is: one that came, or one that is sent.
struct Content<'a> {
    protocol: ProtocolId,
    coding: DataCoding,
    user_data: &'a UserData,
}

impl Content<'_> {
    fn look(&self, known: &Known, found: &mut Vec<Finding>) {
        let header = &self.user_data.header;
        if let Body::Text(text) = &self.user_data.body {
            link::look(text, &[], header, known, found);
            if hidden::hides(text) {
                found.push(Finding::new(Severity::Caution, What::HiddenCharacters));
            }
        }
        self.look_at_handling(found);
        self.look_at_purpose(known, found);
        let odd = |element: &Element| {
            // Such as should be known, and are not as they should be.
            matches!(element, Element::Other { identifier, .. }
                if matches!(identifier, 0x00 | 0x04 | 0x05 | 0x08 | 0x21 | 0x22))
        };
        if header.malformed.is_some() || header.elements.iter().any(odd) {
            found.push(Finding::new(Severity::Caution, What::BrokenHeader));
        }
    }

    fn look_at_handling(&self, found: &mut Vec<Finding>) {
        let protocol = self.protocol;
        let mut tell = |is_so: bool, severity, what| {
            if is_so {
                found.push(Finding::new(severity, what));
            }
        };
        let flash = self.coding.class() == Some(Class::Flash);
        tell(flash, Severity::Caution, What::Flash);
        tell(protocol.silent(), Severity::Danger, What::Silent);
        // A text that is to be kept on the SIM card is for people all the same.
        let is_text = matches!(self.user_data.body, Body::Text(_));
        let device =
            protocol.for_the_device() || self.coding.class() == Some(Class::Sim) && !is_text;
        tell(device, Severity::Caution, What::ForTheDevice);
        tell(protocol.from_email(), Severity::Note, What::FromEmail);
        tell(
            protocol.replaces().is_some(),
            Severity::Note,
            What::Replaces,
        );
        if let Some(mailbox) = self.mailbox() {
            let text = match &self.user_data.body {
                Body::Text(text) => text.as_str(),
                _ => "",
            };
            // A phone's own network needs to send no link and no number to call.
            let severity = if link::has_link(text) || has_phone_number(text) {
                Severity::Caution
            } else {
                Severity::Note
            };
            tell(true, severity, What::MessageWaiting { mailbox });
        }
    }

    fn mailbox(&self) -> Option<WaitingIn> {
        let by_coding = self.coding.waiting().map(|waiting| waiting.mailbox);
        let by_header = self.user_data.header.waiting().map(|(mailbox, _)| mailbox);
        Some(match by_coding.or(by_header)? {
            Mailbox::Voice => WaitingIn::VoiceMail,
            Mailbox::Fax => WaitingIn::Fax,
            Mailbox::Email => WaitingIn::Email,
            Mailbox::Other => WaitingIn::Other,
        })
    }

    /// What program it is for, and what it asks of that.
    fn look_at_purpose(&self, known: &Known, found: &mut Vec<Finding>) {
        let header = &self.user_data.header;
        let octets = match &self.user_data.body {
            Body::Octets(octets) => octets.as_slice(),
            _ => &[],
        };
        let Some(ports) = header.ports() else {
            if !matches!(self.user_data.body, Body::Text(_)) {
                found.push(Finding::new(Severity::Note, What::NotText));
            }
            return;
        };
        let port = ports.destination;
        let mut tell = |severity, what| found.push(Finding::new(severity, what));
        match ports.service() {
            Service::Push => look_at_push(&push::read(octets), port, known, found),
            Service::Settings => tell(
                Severity::Danger,
                What::Push {
                    port,
                    leads_to: None,
                },
            ),
            Service::ContactCard | Service::Appointment => {
                let what = if ports.service() == Service::ContactCard {
                    What::ContactCard
                } else {
                    What::Appointment
                };
                tell(Severity::Note, what);
                link::look(&push::text(octets), &[], header, known, found);
            }
            Service::Picture => tell(Severity::Note, What::Port { port }),
            Service::Other => tell(Severity::Caution, What::Port { port }),
        }
    }
}

fn look_at_push(push: &Push, port: u16, known: &Known, found: &mut Vec<Finding>) {
    let first = push.links.first();
    if push.kind == push::Kind::Mms {
        found.push(Finding::new(
            Severity::Note,
            What::PictureMessage {
                host: first.and_then(|link| link::host_of(link)),
            },
        ));
        link::look_at_mms(&push.links, known, found);
        return;
    }
    found.push(Finding::new(
        Severity::Danger,
        What::Push {
            port,
            leads_to: first.cloned(),
        },
    ));
    let text = push.texts.join(" ");
    let none = crate::header::Header::default();
    link::look(&text, &push.links, &none, known, found);
}

/// Whether a text has a number that one would call.
fn has_phone_number(text: &str) -> bool {
    const DIGITS: usize = 7;
    let is_of_number = |one: char| one.is_ascii_digit() || " +-()/".contains(one);
    text.split(|one| !is_of_number(one))
        .any(|run| run.chars().filter(char::is_ascii_digit).count() >= DIGITS)
}

fn look_at_parts(message: &Message<'_>, found: &mut Vec<Finding>) {
    if !message.disagreements.is_empty() {
        let about = message.disagreements.iter().map(|one| match one {
            Disagreement::Count => About::Count,
            Disagreement::Content => About::Content,
            Disagreement::ReplyAddress => About::ReplyAddress,
            Disagreement::Coding => About::Coding,
        });
        found.push(Finding::new(
            Severity::Danger,
            What::PartsDisagree {
                about: about.collect(),
            },
        ));
    }
    if !message.missing.is_empty() {
        found.push(Finding::new(
            Severity::Note,
            What::PartsMissing {
                parts: message.missing.to_vec(),
            },
        ));
    }
}

impl Finding {
    fn new(severity: Severity, what: What) -> Self {
        Self { severity, what }
    }

    /// Says what it means, in a sentence or two.
    pub fn sentence(&self) -> String {
        self.what.sentence()
    }
}

impl What {
    fn sentence(&self) -> String {
        match self {
            Self::RepliesElsewhere {
                originator,
                reply_to,
            } => format!(
                "It is from {originator}, but asks you to reply to {reply_to}. Some phones show \
                 {reply_to} as the sender, which makes it easy to forge one. Reply only if you \
                 know the number."
            ),
            Self::AsksForRepliesTo { reply_to } => format!(
                "It asks its reader to reply to {reply_to}. Some phones show {reply_to} as the \
                 sender."
            ),
            Self::CannotBeAnswered { sender } => format!(
                "“{sender}” is a name that the sender chose. Anybody can choose it, and a reply \
                 does not reach them."
            ),
            Self::ImitatesContact { sender, contact } => format!(
                "The sender “{sender}” looks like {contact}, whom you know, but it is not their \
                 number. Ask them in another way before you do what the message says."
            ),
            Self::ImitatesShortCode {
                sender,
                short_code,
                owner,
            } => format!(
                "The sender “{sender}” looks like {short_code}, the number of {owner}, but is a \
                 different number."
            ),
            Self::NameLikeNumber { sender } => format!(
                "“{sender}” looks like a number, but is a name that the sender chose. Nothing \
                 proves that the message comes from that number."
            ),
            Self::ConfusableSender { sender, reads_as } => format!(
                "The sender “{sender}” can be read as “{reads_as}”, but is written with other \
                 characters."
            ),
            Self::LinkToNumber { host } => format!(
                "A link leads to {host}, a bare number. Banks, shops and offices use names."
            ),
            Self::LinkPunycode { host, shows_as } => format!(
                "A link leads to {host}, which browsers show as “{shows_as}”. Read it letter by \
                 letter."
            ),
            Self::LinkConfusable { host, reads_as } => format!(
                "A link leads to “{host}”, which looks like {reads_as} but is another site."
            ),
            Self::LinkShortened { host } => {
                format!("A link goes through {host}, which hides where it leads.")
            }
            Self::LinkImitates { host, domain } => format!(
                "A link leads to {host}, which looks like {domain}, which you know, but is another \
                 site."
            ),
            Self::LinkShowsOther { shown, host } => {
                format!("A link shows “{shown}” but leads to {host}.")
            }
            Self::LinkRuns { scheme } => format!(
                "A link begins with “{scheme}:”. It does not show a site: it runs or installs \
                 something. Do not open it."
            ),
            Self::LinkProgram { host, file } => format!(
                "A link to {host} loads a program ({file}). Banks, shops and delivery services do \
                 not send programs."
            ),
            Self::LinkRedirects { host, target } => match target {
                Some(target) => {
                    format!("A link to {host} only passes you on to another site: {target}.")
                }
                None => format!("A link to {host} passes you on to another site, and hides which."),
            },
            Self::LinkOtherEnding { host, domain } => format!(
                "A link leads to {host}. You know {domain}; both may belong to the same company, \
                 or not."
            ),
            Self::LinkMentions { host, domain } => format!(
                "A link has the name of {domain} in it, which you know, but leads to {host}."
            ),
            Self::LinkLong { host, own } => format!(
                "A link leads to {host}. The name is so long that its end, {own}, is easily \
                 overlooked; only the end says whose site it is."
            ),
            Self::DialsCode { code } => format!(
                "It has the code {code}. If you dial it, your calls may go to somebody else, or \
                 your phone may be locked or erased."
            ),
            Self::ActivatesLink => {
                "It asks you to reply before its link works. Phones block links \
                                    from strangers, and your reply would switch that protection \
                                    off."
                    .to_owned()
            }
            Self::NewNumber => {
                "It claims to be from somebody close to you, with a new number. Call \
                                them on the number you know before you answer or pay anything."
                    .to_owned()
            }
            Self::AsksForCode => {
                "It asks you for a code that was sent to you. With it somebody else \
                                  can take over your account. Tell nobody the code."
                    .to_owned()
            }
            Self::PictureMessage { host } => match host {
                Some(host) => {
                    format!("A picture message (MMS) waits at {host}. Waxwing did not fetch it.")
                }
                None => "A picture message (MMS) waits. Waxwing did not fetch it.".to_owned(),
            },
            Self::MessageWaiting { mailbox } => {
                let what = match mailbox {
                    WaitingIn::VoiceMail => "a voice mail",
                    WaitingIn::Fax => "a fax",
                    WaitingIn::Email => "an e-mail",
                    WaitingIn::Other => "a message",
                };
                format!(
                    "It tells the phone that {what} is waiting. Anybody can send that; call your \
                     mailbox as you always do, and no number or link that a message gives."
                )
            }
            Self::ContactCard => "It is a contact for your address book. Check the number before \
                                  you save it under a name you know."
                .to_owned(),
            Self::Appointment => "It is an appointment for your calendar.".to_owned(),
            Self::Flash => "It was made to appear on top of everything on the screen, and not to \
                            be stored. Honest senders seldom do that."
                .to_owned(),
            Self::Silent => {
                "It was made to be shown to nobody: it tells its sender that this number is \
                 switched on, and where."
                    .to_owned()
            }
            Self::Push { port, leads_to } => match leads_to {
                Some(link) => format!(
                    "It asks the phone to open {link} by itself (WAP push, port {port}). Waxwing \
                     did not."
                ),
                None => format!(
                    "It asks the phone to open a page, load something or take settings (WAP push, \
                     port {port}). Waxwing did none of this."
                ),
            },
            Self::Port { port } => format!(
                "It is for a program (port {port}), not for a person. Waxwing did nothing with it."
            ),
            Self::ForTheDevice => {
                "It is for the phone or its SIM card, not for a person. Waxwing did nothing with \
                 it."
                .to_owned()
            }
            Self::FromEmail => "It was sent as an e-mail. The text begins with a sender's name, \
                                but nobody has checked that."
                .to_owned(),
            Self::Replaces => {
                "It asks to replace an earlier message. Waxwing kept the earlier one.".to_owned()
            }
            Self::NotText => "It contains no text that can be shown.".to_owned(),
            Self::BrokenHeader => {
                "Its header, which phones read, is broken: by mistake, or to crash a phone."
                    .to_owned()
            }
            Self::PartsDisagree { .. } => "Its parts do not fit together: somebody may have \
                                           inserted a part into another sender's message."
                .to_owned(),
            Self::PartsMissing { parts } => match parts.as_slice() {
                [part] => format!("This long message is incomplete: part {part} is missing."),
                parts => {
                    let numbers: Vec<String> = parts.iter().map(u8::to_string).collect();
                    format!(
                        "This long message is incomplete: parts {} are missing.",
                        numbers.join(", ")
                    )
                }
            },
            Self::HiddenCharacters => {
                "It has invisible characters, which can make it look different from what it is."
                    .to_owned()
            }
        }
    }
}

//! What in a message is a trick, or may be one, and a sentence for people about each.
//!
//! A text message proves nothing: anybody can write any sender into one. What can be told is
//! where it tries to seem what it is not. In 2012 a phone showed the address that a reply was
//! asked to go to in the sender's place; here the sender is shown, and the wish is a
//! [finding](What::RepliesElsewhere).
//!
//! **Elsewhere**: looking at senders is `sender`, at links `link`.
//!
//! **Always**: findings are shown and nothing is hidden or deleted for them. Nothing is looked up
//! anywhere: whom a person knows is handed in, and stays where it is.

mod link;
mod look;
mod sender;

use serde::Serialize;

use crate::coding::Class;
use crate::concatenation::Disagreement;
use crate::header::Element;
use crate::tpdu::Deliver;
use crate::user_data::Body;

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
    /// It was to appear on the screen at once, over everything else, and be kept nowhere.
    Flash,
    /// It was to be shown to nobody: it tells its sender that the phone is on.
    Silent,
    /// It asks the phone to open a page, to load something, or to take settings.
    Push {
        /// The port.
        port: u16,
    },
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
    if let Body::Text(text) = &deliver.user_data.body {
        link::look(text, &deliver.user_data.header, known, &mut found);
        if text.chars().any(hidden) {
            found.push(Finding::new(Severity::Caution, What::HiddenCharacters));
        }
    }
    look_at_handling(deliver, &mut found);
    look_at_parts(message, &mut found);
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    found
}

fn look_at_handling(deliver: &Deliver, found: &mut Vec<Finding>) {
    let protocol = deliver.protocol;
    let mut tell = |is_so: bool, severity, what| {
        if is_so {
            found.push(Finding::new(severity, what));
        }
    };
    let flash = deliver.coding.class() == Some(Class::Flash);
    tell(flash, Severity::Caution, What::Flash);
    tell(protocol.silent(), Severity::Danger, What::Silent);
    let device = protocol.for_the_device() || deliver.coding.class() == Some(Class::Sim);
    tell(device, Severity::Caution, What::ForTheDevice);
    tell(protocol.from_email(), Severity::Note, What::FromEmail);
    tell(
        protocol.replaces().is_some(),
        Severity::Note,
        What::Replaces,
    );
    let header = &deliver.user_data.header;
    if let Some(ports) = header.ports() {
        let port = ports.destination;
        if ports.is_push() {
            tell(true, Severity::Danger, What::Push { port });
        } else {
            tell(true, Severity::Caution, What::Port { port });
        }
    } else {
        let not_text = !matches!(deliver.user_data.body, Body::Text(_));
        tell(not_text, Severity::Note, What::NotText);
    }
    let odd = |element: &Element| {
        // Such as should be known, and are not as they should be.
        matches!(element, Element::Other { identifier, .. }
            if matches!(identifier, 0x00 | 0x04 | 0x05 | 0x08 | 0x21 | 0x22))
    };
    let broken = header.malformed.is_some() || header.elements.iter().any(odd);
    tell(broken, Severity::Caution, What::BrokenHeader);
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

/// Turns the direction of a line around, or takes no room at all. Joiners and the choice of a
/// picture are part of emoji and of many scripts, and are left.
fn hidden(character: char) -> bool {
    matches!(character,
        '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{00ad}' | '\u{061c}')
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
            Self::Flash => "It was made to appear on top of everything on the screen, and not to \
                            be stored. Honest senders seldom do that."
                .to_owned(),
            Self::Silent => {
                "It was made to be shown to nobody: it tells its sender that this number is \
                 switched on, and where."
                    .to_owned()
            }
            Self::Push { port } => format!(
                "It asks the phone to open a page, load something or take settings (WAP push, port \
                 {port}). Waxwing did none of this."
            ),
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
            Self::PartsMissing { parts } => {
                let numbers: Vec<String> = parts.iter().map(u8::to_string).collect();
                format!(
                    "This long message is incomplete: it is missing part {}.",
                    numbers.join(", ")
                )
            }
            Self::HiddenCharacters => {
                "It has invisible characters, which can make it look different from what it is."
                    .to_owned()
            }
        }
    }
}

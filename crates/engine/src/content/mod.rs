//! The content of messages: MIMI content (draft-ietf-mimi-content-08), in CBOR.
//!
//! [`decode()`] reads what another device sent, [`Content::encode`] writes; [`Content::shown`]
//! is what a person sees of it.
//!
//! **Elsewhere**: the envelope around it (counter, padding) is in `waxwing_protocol`; `inbox`
//! decides on delivered and read receipts, and [`status`] encodes them.
//!
//! **Always**: a length never causes an allocation by itself, nesting is bounded, and content
//! that this version does not know is kept unchanged.

mod decode;
mod encode;
mod file;
mod message_id;
pub(crate) mod preview;
mod shown;
pub mod status;

#[cfg(test)]
mod tests;

use ciborium::Value;

pub use decode::{DecodeError, decode};
pub(crate) use file::{FILES, File, files, parts};
pub use file::{shortened_name, split_ending};
pub use message_id::{MessageId, account_uri, group_uri};
pub use shown::VisibleContent;

/// Bytes of one message's content, at most.
pub const CONTENT_BYTES: usize = waxwing_protocol::limits::POST_BYTES;
/// Bytes of a topic id, at most (the draft's security considerations).
pub const TOPIC_BYTES: usize = 4096;
/// The most parts of a message (counted in the same way).
pub const PARTS: usize = 1024;
/// The most parts within parts (counted in the same way).
pub const DEPTH: usize = 4;
/// Bytes of the name of an extension, at most (section 4.3).
pub const EXTENSION_NAME_BYTES: usize = 255;
/// Bytes of the value of an extension, encoded, at most (section 4.3).
pub const EXTENSION_VALUE_BYTES: usize = 4095;

/// `text/plain` as we write it.
const TEXT_PLAIN: &str = "text/plain;charset=utf-8";
/// Formatted text as we write it (RFC 7763, 7764).
const TEXT_MARKDOWN: &str = "text/markdown;charset=utf-8;variant=GFM";

/// The extension of forwarded messages; its value is `true`.
const FORWARDED: &str = "waxwing.forwarded";

/// A message (the draft's `mimiContent`).
#[derive(Clone, PartialEq)]
pub struct Content {
    /// Random, so that the message id tells nothing of the text.
    pub salt: [u8; 16],
    /// The message that this one changes or takes back.
    pub replaces: Option<MessageId>,
    /// Messages with the same topic belong together; empty is none.
    pub topic: Vec<u8>,
    /// When it is to be deleted.
    pub expires: Option<Expiration>,
    /// The message that this one answers.
    pub in_reply_to: Option<MessageId>,
    /// What the draft leaves open.
    pub extensions: Extensions,
    /// What it says.
    pub body: Part,
}

/// When a message is to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiration {
    /// So many seconds after it was read.
    AfterReading(u32),
    /// At this time, in seconds since 1970.
    At(u32),
}

/// Names and values that this version does not look into, as they came.
#[derive(Clone, Default, PartialEq)]
pub struct Extensions(Vec<(Value, Value)>);

impl Extensions {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A part of a message (the draft's `NestedPart`).
#[derive(Clone, PartialEq)]
pub struct Part {
    /// What it is there for.
    pub disposition: Disposition,
    /// Language tags with commas between, or nothing.
    pub language: String,
    /// What it is.
    pub body: PartBody,
}

/// What a part is there for: a number of the draft's registry, 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disposition(pub u8);

impl Disposition {
    /// Not said.
    pub const UNSPECIFIED: Self = Self(0);
    /// To be shown.
    pub const RENDER: Self = Self(1);
    /// A reaction to another message.
    pub const REACTION: Self = Self(2);
    /// To be shown in its place.
    pub const INLINE: Self = Self(4);
    /// To be fetched when asked for.
    pub const ATTACHMENT: Self = Self(6);

    /// What something else looks like.
    pub const PREVIEW: Self = Self(8);

    /// Whether it is to be shown: numbers that are not known are treated so.
    const fn shows(self) -> bool {
        matches!(self.0, 0 | 1 | 4 | 9..)
    }
}

/// What a part is.
#[derive(Clone, PartialEq)]
pub enum PartBody {
    /// Nothing: a message or reaction is taken back.
    Null,
    /// Bytes of a media type.
    Single {
        /// Media type with parameters.
        content_type: String,
        /// The bytes.
        content: Vec<u8>,
    },
    /// Bytes elsewhere.
    External(Box<External>),
    /// Further parts.
    Multi {
        /// How they belong together.
        semantics: Semantics,
        /// Two at least.
        parts: Vec<Part>,
    },
    /// Something that a later version knows, as it came.
    Unknown(Unknown),
}

/// A part that this version does not know.
#[derive(Clone, PartialEq)]
pub struct Unknown {
    cardinality: u64,
    fields: Vec<Value>,
}

/// How parts belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Semantics {
    /// The receiver takes the one that it likes best.
    ChooseOne,
    /// All or none.
    SingleUnit,
    /// As many as can be shown.
    ProcessAll,
}

/// Content that is kept elsewhere, encrypted (the draft's `ExternalPart`).
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the draft's own names, section 4.5")]
pub struct External {
    pub content_type: String,
    pub url: String,
    pub expires: u32,
    pub size: u64,
    pub encryption: u16,
    pub key: Vec<u8>,
    pub nonce: Vec<u8>,
    pub aad: Vec<u8>,
    pub hash: u8,
    pub content_hash: Vec<u8>,
    pub description: String,
    pub filename: String,
}

impl Content {
    /// A text, in answer to another message or not.
    pub fn text(salt: [u8; 16], text: &str, in_reply_to: Option<MessageId>) -> Self {
        Self {
            in_reply_to,
            ..Self::single(salt, Disposition::RENDER, TEXT_PLAIN, text.into())
        }
    }

    /// The text is Markdown.
    #[must_use]
    pub fn in_markdown(mut self) -> Self {
        fn mark(part: &mut Part) {
            match &mut part.body {
                PartBody::Single { content_type, .. } if content_type == TEXT_PLAIN => {
                    TEXT_MARKDOWN.clone_into(content_type);
                }
                PartBody::Multi { parts, .. } => parts.iter_mut().for_each(mark),
                _ => {}
            }
        }
        mark(&mut self.body);
        self
    }

    /// Whether all text that is shown of it is Markdown.
    pub fn is_markdown(&self) -> bool {
        let mut left = vec![&self.body];
        let mut any = false;
        while let Some(part) = left.pop() {
            match &part.body {
                PartBody::Single { content_type, .. } if part.disposition.shows() => {
                    let name = content_type.split(';').next().unwrap_or_default().trim();
                    if !name.eq_ignore_ascii_case("text/markdown") {
                        return false;
                    }
                    any = true;
                }
                PartBody::Multi { parts, .. } => left.extend(parts),
                _ => {}
            }
        }
        any
    }

    /// A text with files, or files alone; each with a part that shows what it is, or none.
    pub fn with_files(
        salt: [u8; 16],
        text: &str,
        in_reply_to: Option<MessageId>,
        files: Vec<(External, Option<Part>)>,
    ) -> Self {
        let mut content = Self::text(salt, text, in_reply_to);
        let attached = |file| Part {
            disposition: Disposition::ATTACHMENT,
            language: String::new(),
            body: PartBody::External(Box::new(file)),
        };
        let mut parts = Vec::new();
        for (file, preview) in files {
            parts.push(attached(file));
            parts.extend(preview);
        }
        if !text.is_empty() {
            parts.insert(0, content.body.clone());
        }
        content.body = match (parts.pop(), parts.is_empty()) {
            (Some(only), true) => only,
            (Some(last), false) => {
                parts.push(last);
                Part {
                    disposition: Disposition::RENDER,
                    language: String::new(),
                    body: PartBody::Multi {
                        semantics: Semantics::ProcessAll,
                        parts,
                    },
                }
            }
            (None, _) => content.body,
        };
        content
    }

    /// Says that the message is forwarded, and not by whom it was first. Versions that do not know
    /// the extension show the message without it.
    #[must_use]
    pub fn forwarded(mut self) -> Self {
        if !self.is_forwarded() {
            let name = Value::Text(FORWARDED.to_owned());
            self.extensions.0.push((name, Value::Bool(true)));
        }
        self
    }

    /// Whether its sender says that it is forwarded.
    pub fn is_forwarded(&self) -> bool {
        let extensions = self.extensions.0.iter();
        let is_it = |(name, value): &(Value, Value)| {
            name.as_text() == Some(FORWARDED) && value.as_bool() == Some(true)
        };
        extensions.into_iter().any(is_it)
    }

    /// With a part behind what it says.
    #[must_use]
    pub fn with_part(mut self, part: Part) -> Self {
        if let PartBody::Multi {
            semantics: Semantics::ProcessAll,
            parts,
        } = &mut self.body.body
        {
            parts.push(part);
            return self;
        }
        self.body = Part {
            disposition: Disposition::RENDER,
            language: String::new(),
            body: PartBody::Multi {
                semantics: Semantics::ProcessAll,
                parts: vec![self.body, part],
            },
        };
        self
    }

    /// A reaction to a message, or none any more.
    pub fn reaction(salt: [u8; 16], to: MessageId, emoji: Option<&str>) -> Self {
        let text = emoji.unwrap_or_default();
        let mut content = Self::single(salt, Disposition::REACTION, TEXT_PLAIN, text.into());
        content.in_reply_to = Some(to);
        if emoji.is_none() {
            content.body.body = PartBody::Null;
        }
        content
    }

    /// A text in place of what a message said, with what that answered.
    pub fn edit(
        salt: [u8; 16],
        replaces: MessageId,
        text: &str,
        in_reply_to: Option<MessageId>,
    ) -> Self {
        Self {
            replaces: Some(replaces),
            ..Self::text(salt, text, in_reply_to)
        }
    }

    /// Nothing in place of what a message said.
    pub fn taken_back(salt: [u8; 16], replaces: MessageId) -> Self {
        let mut content = Self::single(salt, Disposition::RENDER, TEXT_PLAIN, Vec::new());
        content.body.body = PartBody::Null;
        content.replaces = Some(replaces);
        content
    }

    /// A message of one part.
    fn single(
        salt: [u8; 16],
        disposition: Disposition,
        content_type: &str,
        content: Vec<u8>,
    ) -> Self {
        let body = PartBody::Single {
            content_type: content_type.to_owned(),
            content,
        };
        Self {
            salt,
            replaces: None,
            topic: Vec::new(),
            expires: None,
            in_reply_to: None,
            extensions: Extensions::default(),
            body: Part {
                disposition,
                language: String::new(),
                body,
            },
        }
    }
}

macro_rules! says_its_name_only {
    ($($name:ident),*) => {$(
        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}
says_its_name_only!(Content, Extensions, Part, PartBody, Unknown, External);

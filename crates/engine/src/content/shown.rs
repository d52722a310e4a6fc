//! What a person sees of a message.
//!
//! **Elsewhere**: `inbox::messages` has the text that replaces content which cannot be shown.

use super::{
    Content, Disposition, File, MessageId, Part, PartBody, Semantics,
    status::{self, DeliveryStatus},
};

/// What a message comes to, for this version.
#[derive(Clone, PartialEq, Eq)]
pub enum VisibleContent {
    /// A text, plain or Markdown.
    Text(String),
    /// A reaction to a message; without an emoji, it is taken back.
    Reaction(MessageId, Option<String>),
    /// What a message says from now on.
    Edit(MessageId, String),
    /// A message is taken back.
    TakenBack(MessageId),
    /// What became of messages.
    Statuses(Vec<(MessageId, DeliveryStatus)>),
    /// Something that needs a newer version: say so, and keep the content.
    NeedsNewer,
}

impl core::fmt::Debug for VisibleContent {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text(..)",
            Self::Reaction(..) => "Reaction(..)",
            Self::Edit(..) => "Edit(..)",
            Self::TakenBack(_) => "TakenBack(..)",
            Self::Statuses(_) => "Statuses(..)",
            Self::NeedsNewer => "NeedsNewer",
        })
    }
}

impl Content {
    /// What this version shows of the message.
    pub fn shown(&self) -> VisibleContent {
        // Edits and messages taken back would be wrong as messages of their own.
        if let Some(of) = self.replaces {
            return match (&self.body.body, shown(&self.body)) {
                (PartBody::Null, _) => VisibleContent::TakenBack(of),
                (_, Some(VisibleContent::Text(text))) => VisibleContent::Edit(of, text),
                _ => VisibleContent::NeedsNewer,
            };
        }
        if self.body.disposition == Disposition::REACTION {
            return self.reacts().unwrap_or(VisibleContent::NeedsNewer);
        }
        shown(&self.body).unwrap_or(VisibleContent::NeedsNewer)
    }

    fn reacts(&self) -> Option<VisibleContent> {
        let to = self.in_reply_to?;
        match &self.body.body {
            PartBody::Null => Some(VisibleContent::Reaction(to, None)),
            PartBody::Single {
                content_type,
                content,
            } => match single(content_type, content)? {
                VisibleContent::Text(emoji) => Some(VisibleContent::Reaction(to, Some(emoji))),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The depth is that of decoded content, or of content that we made.
fn shown(part: &Part) -> Option<VisibleContent> {
    // A file is shown beside the text.
    if let PartBody::External(external) = &part.body
        && File::from_part(external).is_some()
    {
        return Some(VisibleContent::Text(String::new()));
    }
    if !part.disposition.shows() {
        return None;
    }
    match &part.body {
        PartBody::Single {
            content_type,
            content,
        } => single(content_type, content),
        PartBody::Multi {
            semantics: Semantics::SingleUnit,
            parts,
        } => {
            let all = parts.iter().map(shown).collect::<Option<Vec<_>>>()?;
            joined(all.into_iter())
        }
        PartBody::Multi {
            semantics: Semantics::ChooseOne,
            parts,
        } => parts.iter().find_map(shown),
        PartBody::Multi {
            semantics: Semantics::ProcessAll,
            parts,
        } => joined(parts.iter().filter_map(shown)),
        PartBody::Null | PartBody::External(_) | PartBody::Unknown(_) => None,
    }
}

fn single(content_type: &str, content: &[u8]) -> Option<VisibleContent> {
    let mut parameters = content_type.split(';').map(str::trim);
    match parameters.next()?.to_ascii_lowercase().as_str() {
        "text/plain" | "text/markdown" => {
            let utf_8 = parameters.all(|parameter| {
                parameter.split_once('=').is_none_or(|(name, value)| {
                    !name.trim().eq_ignore_ascii_case("charset")
                        || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
                        || value
                            .trim()
                            .trim_matches('"')
                            .eq_ignore_ascii_case("us-ascii")
                })
            });
            let text = std::str::from_utf8(content).ok().filter(|_| utf_8)?;
            Some(VisibleContent::Text(text.to_owned()))
        }
        status::CONTENT_TYPE => status::decode(content).ok().map(VisibleContent::Statuses),
        _ => None,
    }
}

/// Texts one below the other; a message of texts is not one of receipts.
fn joined(parts: impl Iterator<Item = VisibleContent>) -> Option<VisibleContent> {
    let texts: Vec<String> = parts
        .filter_map(|part| match part {
            VisibleContent::Text(text) => Some(text),
            _ => None,
        })
        .collect();
    if texts.is_empty() {
        return None;
    }
    let texts: Vec<String> = texts.into_iter().filter(|text| !text.is_empty()).collect();
    Some(VisibleContent::Text(texts.join("\n\n")))
}

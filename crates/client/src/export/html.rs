//! An exported conversation as a page to read: without scripts, without anything that is loaded
//! from elsewhere, and with a policy by which a browser enforces both.
//!
//! **Always.** What people wrote is escaped, and has its own text direction. A picture is shown
//! only if its first bytes are those of a format that browsers decode, never because its sender
//! says so, and never as SVG.

use std::{fmt::Write as _, fs::File, io::Read as _};

use data_encoding::BASE64;
use maud::{Markup, PreEscaped, Render, html};
use sha2::{Digest as _, Sha256};
use waxwing_engine::api::{Attachment, Direction, Entry, Message, Poll, Span};

use super::{Head, Saved, Sentence};

/// Larger pictures are links.
const SHOWN_BYTES: u64 = 4 << 20;

/// Closes the page.
pub(super) const END: &str = "</main>\n</html>\n";

const STYLE: &str = "
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 46rem; padding: 1rem; background: Canvas; color: CanvasText; }
header, .event, time, .note { color: GrayText; }
h2 { font-size: 1rem; text-align: center; margin: 2rem 0 1rem; }
article { margin: .5rem 20% .5rem 0; padding: .5rem .8rem; border-radius: .8rem;
  background: color-mix(in srgb, CanvasText 8%, Canvas); overflow-wrap: anywhere; }
article.out { margin: .5rem 0 .5rem 20%; background: color-mix(in srgb, #2a7ae2 22%, Canvas); }
article:target { outline: 2px solid #2a7ae2; }
article p { margin: .2rem 0; white-space: pre-wrap; }
article img { max-width: 100%; max-height: 24rem; border-radius: .4rem; }
time, .note { font-size: .8rem; } .event { text-align: center; font-size: .9rem; }
blockquote { margin: 0; padding-left: .6rem; border-left: 3px solid GrayText; }
";

/// All of the page that stands before the entries.
pub(super) fn begin(head: &Head) -> String {
    let style = BASE64.encode(&Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; img-src data:; base-uri 'none'; \
         form-action 'none'"
    );
    let beginning = html! {
        meta charset="utf-8";
        meta http-equiv="Content-Security-Policy" content=(policy);
        meta name="referrer" content="no-referrer";
        meta name="viewport" content="width=device-width, initial-scale=1";
        title { (Text(&head.with)) }
        style { (PreEscaped(STYLE)) }
        header {
            h1 { bdi { (Text(&head.with)) } }
            p {
                "Exported from Waxwing by " bdi { (Text(&head.account)) } ", "
                (moment(&head.exported_at.to_string()))
                ". A file proves nothing: anybody can change it."
            }
        }
    };
    let beginning = beginning.into_string();
    format!("<!doctype html>\n<html lang=\"en\">\n{beginning}\n<main>\n")
}

/// An entry, and a heading before the first of a day.
pub(super) fn entry(
    entry: &Entry,
    saved: &[Saved],
    day: &mut String,
    sentence: Sentence,
) -> String {
    let (at, inner) = match entry {
        Entry::Message(message) => (message.sent_at.to_string(), self::message(message, saved)),
        Entry::Event(event) => {
            let inner = html! { p.event dir="auto" { (Text(&sentence(event))) } };
            (event.at.to_string(), inner)
        }
        Entry::Gap(gap) => {
            let inner = html! {
                p.event { (gap.missing) " messages of " bdi { (Text(&gap.from)) } " are missing." }
            };
            (gap.at.to_string(), inner)
        }
    };
    let of = at.split('T').next().unwrap_or_default().to_owned();
    let begins = of != *day;
    let html = html! {
        @if begins { h2 { (Text(&of)) } "\n" }
        (inner) "\n"
    };
    *day = of;
    html.into_string()
}

fn message(message: &Message, saved: &[Saved]) -> Markup {
    let is_own = message.direction == Direction::Out;
    let at = message.sent_at.to_string();
    let file = |attachment: &Attachment| {
        let number = attachment.number;
        saved.iter().find(move |file| file.number == number)
    };
    html! {
        article #{ "m" (message.id) } .out[is_own] {
            "\n"
            b { bdi { (Text(&message.from)) } } "\n"
            time datetime=(Text(&at)) { (moment(&at)) } "\n"
            (notes(message))
            @if message.taken_back {
                p.note { "deleted" } "\n"
            } @else if let Some(poll) = &message.poll {
                (self::poll(poll)) "\n"
            } @else if !message.formatted.is_empty() {
                p dir="auto" { @for part in &message.formatted { (span(part)) } } "\n"
            } @else if !message.text.is_empty() {
                p dir="auto" { (Text(&message.text)) } "\n"
            }
            @if let Some(link) = &message.link_preview {
                blockquote {
                    bdi { (Text(&link.title)) } br; (Text(&link.description))
                }
                "\n"
            }
            @for attachment in &message.attachments {
                (self::attachment(attachment, file(attachment))) "\n"
            }
            @for reaction in &message.reactions {
                p.note {
                    (Text(&reaction.emoji)) " " bdi { (Text(&reaction.by.join(", "))) }
                }
                "\n"
            }
        }
    }
}

/// A question, its options, and the votes.
fn poll(poll: &Poll) -> Markup {
    html! {
        p dir="auto" { (Text(&poll.question)) }
        ul {
            @for option in &poll.options {
                li dir="auto" {
                    bdi { (Text(&option.text)) } ": " (option.votes)
                    @if !option.by.is_empty() {
                        " (" bdi { (Text(&option.by.join(", "))) } ")"
                    }
                }
            }
        }
        p.note {
            (poll.voters) " voted"
            @if poll.anonymous { "; anonymous" }
            @if poll.closed_at.is_some() { "; closed" }
        }
    }
}

/// What is worth knowing about a message, in one line.
fn notes(message: &Message) -> Markup {
    let mut notes = Vec::new();
    if !message.from_verified && message.direction == Direction::In {
        notes.push(html! { "sender not verified" });
    }
    if message.view_once {
        notes.push(html! { "to be viewed once" });
    }
    if message.forwarded {
        notes.push(html! { "forwarded" });
    }
    if message.imported {
        notes.push(html! { "imported, not verified" });
    }
    if message.edited_at.is_some() {
        notes.push(html! { "edited" });
    }
    if let Some(id) = message.reply_to {
        notes.push(html! { a href={ "#m" (id) } { "reply to" } });
    }
    html! {
        @if !notes.is_empty() {
            span.note {
                @for (at, note) in notes.iter().enumerate() {
                    @if at > 0 { " · " }
                    (note)
                }
            }
            "\n"
        }
    }
}

fn span(span: &Span) -> Markup {
    let mut html = html! { (Text(&span.text)) };
    if span.code {
        html = html! { code { (html) } };
    }
    if span.strong {
        html = html! { strong { (html) } };
    }
    if span.emphasis {
        html = html! { em { (html) } };
    }
    if span.struck {
        html = html! { s { (html) } };
    }
    if span.quoted {
        html = html! { q { (html) } };
    }
    // Where it leads is always to be seen.
    let link = span.link.as_ref().filter(|link| **link != span.text);
    html! {
        (html)
        @if let Some(link) = link { " (" (Text(link)) ")" }
    }
}

fn attachment(attachment: &Attachment, saved: Option<&Saved>) -> Markup {
    let name = html! { bdi { (Text(&attachment.name)) } };
    let Some(saved) = saved else {
        return html! {
            p.note { (name) " (" (attachment.size) " bytes) is not in this export." }
        };
    };
    html! {
        p {
            @if let Some(source) = picture(saved) { img alt="" src=(source); br; }
            a href=(percent(&saved.path)) download { (name) }
            " " span.note { (attachment.size) " bytes" }
        }
    }
}

/// A small picture, as the source of an image in the page itself.
fn picture(saved: &Saved) -> Option<String> {
    if saved.bytes > SHOWN_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    let file = File::open(&saved.at).ok()?;
    file.take(SHOWN_BYTES).read_to_end(&mut bytes).ok()?;
    let kind = kind(&bytes)?;
    let data = BASE64.encode(&bytes);
    Some(format!("data:{kind};base64,{data}"))
}

/// What browsers decode as a picture, by its first bytes.
fn kind(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some("image/png"),
        [0xFF, 0xD8, 0xFF, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        _ => None,
    }
}

/// Text as text, wherever in a page it stands: escaped, and without control characters.
struct Text<'a>(&'a str);

impl Render for Text<'_> {
    fn render_to(&self, page: &mut String) {
        let shown = |c: char| match c {
            '\n' | '\t' => c,
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        };
        let text: String = self.0.chars().map(shown).collect();
        text.render_to(page);
    }
}

/// A path in a link.
fn percent(path: &str) -> String {
    let mut text = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// A time as people read it.
fn moment(rfc3339: &str) -> String {
    let text = rfc3339.replace('T', " ");
    let minutes = text.get(..16).unwrap_or(&text);
    format!("{minutes} UTC")
}

#[cfg(test)]
mod tests {
    use waxwing_engine::api::{PollOption, Timestamp};

    use super::*;

    #[test]
    fn what_people_write_is_text_and_nothing_else() {
        let hostile = "<script>alert('1')</script>\" onload=\"x\" & \u{0}\u{1b}[2J";
        let text = html! { p title=(Text(hostile)) { (Text(hostile)) } }.into_string();
        let inner = text.strip_prefix("<p title=\"").unwrap();
        let (attribute, inner) = inner.split_once("\">").unwrap();
        let inner = inner.strip_suffix("</p>").unwrap();
        assert_eq!(attribute, inner);
        for forbidden in ['<', '>', '"', '\u{0}', '\u{1b}'] {
            assert!(!inner.contains(forbidden), "{text}");
        }
        assert_eq!(percent("files/1-a b\"<.png"), "files/1-a%20b%22%3C.png");
    }

    #[test]
    fn a_poll_is_on_the_page_with_its_votes() {
        let option = |text: &str, by: &[&str]| PollOption {
            text: text.into(),
            votes: 2,
            own: false,
            by: by.iter().map(|one| (*one).to_owned()).collect(),
        };
        let asked = Poll {
            question: "<b>Where?</b>".into(),
            options: vec![
                option("Thai & more", &["bob@example.org", "<i>@example.org"]),
                option("Pizza", &[]),
            ],
            several: true,
            anonymous: false,
            voters: 3,
            closed_at: None,
        };
        let page = poll(&asked).into_string();
        for shown in [
            "<p dir=\"auto\">&lt;b&gt;Where?&lt;/b&gt;</p>",
            "<bdi>Thai &amp; more</bdi>: 2 (<bdi>bob@example.org, &lt;i&gt;@example.org</bdi>)",
            "<bdi>Pizza</bdi>: 2</li>",
            "3 voted</p>",
        ] {
            assert!(page.contains(shown), "{shown} is not in {page}");
        }
        let closed = Poll {
            anonymous: true,
            closed_at: Some(Timestamp(waxwing_protocol::time::Time(5))),
            ..asked
        };
        let page = poll(&closed).into_string();
        assert!(page.contains("3 voted; anonymous; closed</p>"), "{page}");
    }

    #[test]
    fn only_what_is_a_picture_is_shown_as_one() {
        assert_eq!(kind(b"<svg xmlns="), None);
        assert_eq!(kind(b"<html>"), None);
        assert_eq!(kind(b""), None);
        assert_eq!(kind(b"\x89PNG\r\n\x1a\nrest"), Some("image/png"));
    }
}

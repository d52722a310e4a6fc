//! An exported conversation as a page to read: without scripts, without anything that is loaded
//! from elsewhere, and with a policy by which a browser enforces both.
//!
//! **Always.** What people wrote is escaped, and has its own text direction. A picture is shown
//! only if its first bytes are those of a format that browsers decode, never because its sender
//! says so, and never as SVG.

use std::{fmt::Write as _, fs::File, io::Read as _};

use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};
use waxwing_engine::api::{Attachment, Direction, Entry, Message, Span};

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
    let with = escape(&head.with);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'sha256-{style}'; img-src data:; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{with}</title>\n<style>{STYLE}</style>\n\
         <header><h1><bdi>{with}</bdi></h1>\n\
         <p>Exported from Waxwing by <bdi>{}</bdi>, {}. A file proves nothing: anybody can \
         change it.</p></header>\n<main>\n",
        escape(&head.account),
        moment(&head.exported_at.to_string()),
    )
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
            let text = escape(&sentence(event));
            let inner = format!("<p class=\"event\" dir=\"auto\">{text}</p>\n");
            (event.at.to_string(), inner)
        }
        Entry::Gap(gap) => {
            let from = escape(&gap.from);
            let inner = format!(
                "<p class=\"event\">{} messages of <bdi>{from}</bdi> are missing.</p>\n",
                gap.missing
            );
            (gap.at.to_string(), inner)
        }
    };
    let of = at.split('T').next().unwrap_or_default().to_owned();
    let mut html = String::new();
    if of != *day {
        let _ = writeln!(html, "<h2>{}</h2>", escape(&of));
        *day = of;
    }
    html.push_str(&inner);
    html
}

fn message(message: &Message, saved: &[Saved]) -> String {
    let class = match message.direction {
        Direction::Out => " class=\"out\"",
        Direction::In => "",
    };
    let mut html = format!("<article id=\"m{}\"{class}>\n", message.id);
    let _ = writeln!(html, "<b><bdi>{}</bdi></b>", escape(&message.from));
    let at = message.sent_at.to_string();
    let _ = writeln!(
        html,
        "<time datetime=\"{}\">{}</time>",
        escape(&at),
        moment(&at)
    );
    let mut notes = Vec::new();
    if !message.from_verified && message.direction == Direction::In {
        notes.push("sender not verified".to_owned());
    }
    if message.imported {
        notes.push("imported, not verified".to_owned());
    }
    if message.edited_at.is_some() {
        notes.push("edited".to_owned());
    }
    if let Some(id) = message.reply_to {
        notes.push(format!("<a href=\"#m{id}\">reply to</a>"));
    }
    if !notes.is_empty() {
        let _ = writeln!(html, "<span class=\"note\">{}</span>", notes.join(" · "));
    }
    if message.taken_back {
        html.push_str("<p class=\"note\">deleted</p>\n");
    } else if !message.formatted.is_empty() {
        let spans: String = message.formatted.iter().map(span).collect();
        let _ = writeln!(html, "<p dir=\"auto\">{spans}</p>");
    } else if !message.text.is_empty() {
        let _ = writeln!(html, "<p dir=\"auto\">{}</p>", escape(&message.text));
    }
    if let Some(link) = &message.link_preview {
        let _ = writeln!(
            html,
            "<blockquote><bdi>{}</bdi><br>{}</blockquote>",
            escape(&link.title),
            escape(&link.description)
        );
    }
    for attachment in &message.attachments {
        let file = saved.iter().find(|file| file.number == attachment.number);
        html.push_str(&self::attachment(attachment, file));
    }
    for reaction in &message.reactions {
        let _ = writeln!(
            html,
            "<p class=\"note\">{} <bdi>{}</bdi></p>",
            escape(&reaction.emoji),
            escape(&reaction.by.join(", "))
        );
    }
    html.push_str("</article>\n");
    html
}

fn span(span: &Span) -> String {
    let mut html = escape(&span.text);
    for (on, tag) in [
        (span.code, "code"),
        (span.strong, "strong"),
        (span.emphasis, "em"),
        (span.struck, "s"),
        (span.quoted, "q"),
    ] {
        if on {
            html = format!("<{tag}>{html}</{tag}>");
        }
    }
    match &span.link {
        // Where it leads is always to be seen.
        Some(link) if *link != span.text => format!("{html} ({})", escape(link)),
        _ => html,
    }
}

fn attachment(attachment: &Attachment, saved: Option<&Saved>) -> String {
    let name = escape(&attachment.name);
    let Some(saved) = saved else {
        return format!(
            "<p class=\"note\"><bdi>{name}</bdi> ({} bytes) is not in this export.</p>\n",
            attachment.size
        );
    };
    let path: String = percent(&saved.path);
    let picture = picture(saved).unwrap_or_default();
    format!(
        "<p>{picture}<a href=\"{path}\" download><bdi>{name}</bdi></a> \
         <span class=\"note\">{} bytes</span></p>\n",
        attachment.size
    )
}

/// A small picture, in the page itself.
fn picture(saved: &Saved) -> Option<String> {
    if saved.bytes > SHOWN_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    let file = File::open(&saved.at).ok()?;
    file.take(SHOWN_BYTES).read_to_end(&mut bytes).ok()?;
    let kind = kind(&bytes)?;
    let data = BASE64.encode(&bytes);
    Some(format!(
        "<img alt=\"\" src=\"data:{kind};base64,{data}\"><br>"
    ))
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

/// Text as text, wherever in a page it stands.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => escaped.push('\u{FFFD}'),
            c => escaped.push(c),
        }
    }
    escaped
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
    escape(&format!("{minutes} UTC"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_text_and_nothing_else() {
        let hostile = "<script>alert('1')</script>\" onload=\"x\" & \u{0}\u{1b}[2J";
        let text = escape(hostile);
        for forbidden in ['<', '>', '"', '\'', '\u{0}', '\u{1b}'] {
            assert!(!text.contains(forbidden), "{text}");
        }
        assert_eq!(percent("files/1-a b\"<.png"), "files/1-a%20b%22%3C.png");
    }

    #[test]
    fn only_what_is_a_picture_is_shown_as_one() {
        assert_eq!(kind(b"<svg xmlns="), None);
        assert_eq!(kind(b"<html>"), None);
        assert_eq!(kind(b""), None);
        assert_eq!(kind(b"\x89PNG\r\n\x1a\nrest"), Some("image/png"));
    }
}

//! Formatted text as spans, from the small part of Markdown that messages support; and
//! mentions.
//!
//! Supported are strong, emphasised and struck text, code, links, lists and quotes. Headings
//! are strong lines. HTML and images stay the characters that they are written with: nothing
//! is loaded.
//!
//! **Elsewhere**: the program that shows a span decides how it looks.
//!
//! **Always**: the spans in order are everything that is shown; a link's target is in its
//! span, never hidden behind another text.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use waxwing_protocol::address::Address;

use crate::api::Span;

/// Spans of one message, at most. What is beyond is one plain span.
const SPANS_MAX: usize = 2_048;
/// Mentions of one message, at most.
const MENTIONS_MAX: usize = 64;

/// What a Markdown text looks like.
pub(crate) fn spans(text: &str) -> Vec<Span> {
    let mut shown = SpanBuilder::default();
    let parser = Parser::new_ext(text, Options::ENABLE_STRIKETHROUGH);
    for (event, at) in parser.into_offset_iter() {
        if shown.spans.len() >= SPANS_MAX {
            shown.plain(text.get(at.start..).unwrap_or_default());
            break;
        }
        shown.event(event);
    }
    shown.spans
}

#[derive(Default)]
struct SpanBuilder {
    spans: Vec<Span>,
    strong: usize,
    emphasis: usize,
    struck: usize,
    quoted: usize,
    code: bool,
    link: Option<String>,
    /// The next number of each list that is open; none for points.
    lists: Vec<Option<u64>>,
    /// Whether the next text begins a block.
    breaks: bool,
}

impl SpanBuilder {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text)
            | Event::Html(text)
            | Event::InlineHtml(text)
            | Event::FootnoteReference(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text) => self.text(&text),
            Event::Code(text) => {
                let before = std::mem::replace(&mut self.code, true);
                self.text(&text);
                self.code = before;
            }
            // As it was typed: people press return where they want a line to end.
            Event::SoftBreak | Event::HardBreak => self.text("\n"),
            Event::Rule => {
                self.block();
                self.text("———");
                self.breaks = true;
            }
            Event::TaskListMarker(done) => self.text(if done { "☑ " } else { "☐ " }),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Strong => self.strong += 1,
            Tag::Emphasis => self.emphasis += 1,
            Tag::Strikethrough => self.struck += 1,
            Tag::Heading { .. } => {
                self.block();
                self.strong += 1;
            }
            Tag::BlockQuote(_) => {
                self.block();
                self.quoted += 1;
            }
            Tag::CodeBlock(_) => {
                self.block();
                self.code = true;
            }
            Tag::List(first) => {
                self.block();
                self.lists.push(first);
            }
            Tag::Item => {
                self.block();
                let depth = self.lists.len().saturating_sub(1);
                let mark = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        let mark = format!("{number}. ");
                        *number = number.saturating_add(1);
                        mark
                    }
                    _ => "• ".to_owned(),
                };
                self.text(&format!("{}{mark}", "  ".repeat(depth.min(8))));
                self.breaks = false;
            }
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.link = Some(dest_url.into_string());
            }
            // Not after a list's mark.
            Tag::Paragraph if self.breaks => self.block(),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Strong => self.strong = self.strong.saturating_sub(1),
            TagEnd::Emphasis => self.emphasis = self.emphasis.saturating_sub(1),
            TagEnd::Strikethrough => self.struck = self.struck.saturating_sub(1),
            TagEnd::Heading(_) => {
                self.strong = self.strong.saturating_sub(1);
                self.breaks = true;
            }
            TagEnd::BlockQuote(_) => {
                self.quoted = self.quoted.saturating_sub(1);
                self.breaks = true;
            }
            TagEnd::CodeBlock => {
                self.code = false;
                if let Some(last) = self.spans.last_mut() {
                    last.text.truncate(last.text.trim_end_matches('\n').len());
                }
                self.breaks = true;
            }
            TagEnd::List(_) => {
                self.lists.pop();
                self.breaks = true;
            }
            TagEnd::Item | TagEnd::Paragraph => self.breaks = true,
            TagEnd::Link | TagEnd::Image => self.link = None,
            _ => {}
        }
    }

    /// A new line, unless nothing stands above.
    fn block(&mut self) {
        self.breaks = false;
        let ends = |span: &Span| span.text.ends_with('\n');
        if self.spans.last().is_some_and(|last| !ends(last)) {
            self.plain("\n");
        }
    }

    fn text(&mut self, text: &str) {
        if self.breaks {
            self.block();
        }
        let span = Span {
            text: text.to_owned(),
            strong: self.strong > 0,
            emphasis: self.emphasis > 0,
            struck: self.struck > 0,
            quoted: self.quoted > 0,
            code: self.code,
            link: self.link.clone(),
        };
        self.push(span);
    }

    fn plain(&mut self, text: &str) {
        self.push(Span {
            text: text.to_owned(),
            ..Span::default()
        });
    }

    /// With the one before, where they look alike.
    fn push(&mut self, span: Span) {
        if let Some(last) = self.spans.last_mut()
            && last.looks_like(&span)
        {
            last.text.push_str(&span.text);
        } else if !span.text.is_empty() {
            self.spans.push(span);
        }
    }
}

/// The addresses that a text mentions: an `@`, and an address, as a word of its own.
pub(crate) fn mentions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in text.split_whitespace() {
        let word = word.trim_start_matches(['(', '[', '"', '\'', '*', '_', '~', '>']);
        let Some(address) = word.strip_prefix('@') else {
            continue;
        };
        let address = address.trim_end_matches(|c: char| !c.is_alphanumeric());
        let Ok(address) = Address::parse(address) else {
            continue;
        };
        let address = address.canonical().to_owned();
        if !found.contains(&address) {
            found.push(address);
        }
        if found.len() >= MENTIONS_MAX {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `*` strong, `/` emphasis, `~` struck, `>` quoted, `#` code, `[…]` a link.
    fn seen(text: &str) -> String {
        let mut all = String::new();
        for span in spans(text) {
            for (on, mark) in [
                (span.strong, '*'),
                (span.emphasis, '/'),
                (span.struck, '~'),
                (span.quoted, '>'),
                (span.code, '#'),
            ] {
                if on {
                    all.push(mark);
                }
            }
            all.push_str(&span.text);
            if let Some(link) = span.link {
                all.extend(["[", &link, "]"]);
            }
            all.push('|');
        }
        all
    }

    #[test]
    fn what_people_write_looks_as_they_mean_it() {
        assert_eq!(seen("one\ntwo"), "one\ntwo|");
        assert_eq!(
            seen("**bold** and *soft* and ~~gone~~"),
            "*bold| and |/soft| and |~gone|"
        );
        assert_eq!(seen("`x = 1`"), "#x = 1|");
        assert_eq!(seen("```\na\nb\n```\nafter"), "#a\nb|\nafter|");
        assert_eq!(seen("> said\n\nyes"), ">said|\nyes|");
        assert_eq!(seen("1. a\n2. b"), "1. a\n2. b|");
        assert_eq!(seen("- a\n- b\n\nc"), "• a\n• b\nc|");
        assert_eq!(seen("# Title\ntext"), "*Title|\ntext|");
        assert_eq!(seen("2 * 3 * 4"), "2 * 3 * 4|");
    }

    #[test]
    fn a_link_shows_where_it_goes_and_nothing_is_loaded() {
        assert_eq!(
            seen("[bank](https://evil.test)"),
            "bank[https://evil.test]|"
        );
        assert_eq!(
            seen("![x](https://evil.test/pixel)"),
            "x[https://evil.test/pixel]|"
        );
        assert_eq!(seen("<b>x</b>"), "<b>x</b>|");
    }

    #[test]
    fn mentions_are_addresses_that_stand_alone() {
        let text = "@bob@example.org, (@Carol@Example.org) x@y.org @ @nobody @bob@example.org!";
        assert_eq!(mentions(text), ["bob@example.org", "carol@example.org"]);
        assert_eq!(mentions("call @+491711234567."), ["+491711234567"]);
    }

    proptest! {
        #[test]
        fn any_text_is_shown_in_bounds(text in "[*_~`>#\\[\\]()!\\- \n0-9a-c<&;.@]{0,200}") {
            let spans = spans(&text);
            prop_assert!(spans.len() <= SPANS_MAX + 1);
            prop_assert!(spans.iter().all(|span| !span.text.is_empty()));
            let _ = mentions(&text);
        }
    }
}

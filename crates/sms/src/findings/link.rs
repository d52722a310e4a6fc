//! Where the links in a text lead.
//!
//! **Elsewhere**: what two words have to look like to be taken for each other is `look`; what is
//! a name's registrable domain says the public suffix list (`psl`), what a link is read as by
//! browsers the URL standard (`url`).
//!
//! **Always**: no link is opened, and no name is looked up.

use std::collections::BTreeSet;

use url::{Host, Url};

use super::look::{looks, one_letter_off, reads_as};
use super::{Finding, Known, Severity, What};
use crate::header::{Element, Header};

/// So many links of a text are looked at; no message has room for more that mean anything.
const LINKS_MAX: usize = 64;

/// Services that stand between a link and where it leads. There are many more: not to be in
/// this list proves nothing.
const SHORTENERS: [&str; 40] = [
    "adf.ly",
    "amzn.to",
    "bit.do",
    "bit.ly",
    "bitly.com",
    "bl.ink",
    "buff.ly",
    "clck.ru",
    "cutt.ly",
    "dlvr.it",
    "fb.me",
    "goo.gl",
    "goo.su",
    "is.gd",
    "j.mp",
    "kutt.it",
    "lnkd.in",
    "mcaf.ee",
    "n9.cl",
    "ow.ly",
    "qr.ae",
    "rb.gy",
    "rebrand.ly",
    "s.id",
    "short.gy",
    "shorturl.at",
    "soo.gd",
    "surl.li",
    "t.cn",
    "t.co",
    "t.ly",
    "t2m.io",
    "tiny.cc",
    "tiny.one",
    "tinyurl.com",
    "tr.im",
    "u.to",
    "urlz.fr",
    "v.gd",
    "x.co",
];

pub(super) fn look(text: &str, header: &Header, known: &Known, found: &mut Vec<Finding>) {
    let mut domains = None;
    for url in words(text).filter_map(link).take(LINKS_MAX) {
        let domains = domains.get_or_insert_with(|| KnownDomain::all(known));
        look_at(&url, domains, found);
        // What stands before an @ is shown first, and means nothing.
        if !url.username().is_empty() {
            shows_other(url.username(), &url, found);
        }
    }
    for (shown, url) in labelled(text, header) {
        shows_other(shown, &url, found);
    }
}

/// A text that names one place and leads to another.
fn shows_other(shown: &str, url: &Url, found: &mut Vec<Finding>) {
    let Some(host) = url.host_str() else {
        return;
    };
    // Only a text that is itself a place can be another place.
    let named = words(shown).find_map(link);
    let Some(named) = named.as_ref().and_then(Url::host_str) else {
        return;
    };
    if registrable(named) != registrable(host) {
        push(
            found,
            Severity::Danger,
            What::LinkShowsOther {
                shown: shown.to_owned(),
                host: host.to_owned(),
            },
        );
    }
}

fn look_at(url: &Url, known: &[KnownDomain<'_>], found: &mut Vec<Finding>) {
    match url.host() {
        None => {}
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => {
            let host = url.host_str().unwrap_or_default().to_owned();
            push(found, Severity::Danger, What::LinkToNumber { host });
        }
        Some(Host::Domain(host)) => look_at_name(host, known, found),
    }
}

fn look_at_name(host: &str, known: &[KnownDomain<'_>], found: &mut Vec<Finding>) {
    let (shows_as, _) = idna::domain_to_unicode(host);
    if let Some(reads_as) = reads_as(&shows_as) {
        push(
            found,
            Severity::Danger,
            What::LinkConfusable {
                host: shows_as.clone(),
                reads_as,
            },
        );
    }
    if shows_as != host {
        push(
            found,
            Severity::Caution,
            What::LinkPunycode {
                host: host.to_owned(),
                shows_as: shows_as.clone(),
            },
        );
    }
    let own = registrable(host);
    if SHORTENERS.contains(&own) || SHORTENERS.contains(&host) {
        push(
            found,
            Severity::Caution,
            What::LinkShortened {
                host: host.to_owned(),
            },
        );
    }
    if let Some(domain) = imitated(host, &shows_as, known) {
        push(
            found,
            Severity::Danger,
            What::LinkImitates {
                host: shows_as,
                domain: domain.to_owned(),
            },
        );
    }
}

/// A domain of somebody whom the reader knows, with what it looks like: that is worked out once
/// for all links of a message.
struct KnownDomain<'a> {
    domain: &'a str,
    /// What was registered.
    own: &'a str,
    /// Its first label.
    name: String,
    own_looks: BTreeSet<String>,
    name_looks: BTreeSet<String>,
}

impl<'a> KnownDomain<'a> {
    fn all(known: &'a Known) -> Vec<Self> {
        let domains = known.contacts.iter().flat_map(|one| &one.domains);
        domains
            .filter_map(|domain| {
                let (own, name) = (registrable(domain), main_label(domain)?);
                Some(Self {
                    domain,
                    own,
                    own_looks: looks(own),
                    name_looks: looks(&name),
                    name,
                })
            })
            .collect()
    }
}

/// The known domain that a name is made to be taken for: it looks the same, is one letter off,
/// or has the domain's own name somewhere in it.
fn imitated<'a>(host: &str, shows_as: &str, known: &[KnownDomain<'a>]) -> Option<&'a str> {
    if known.is_empty() {
        return None;
    }
    let label = main_label(shows_as)?;
    let (registered, own) = (registrable(host), looks(registrable(shows_as)));
    let label_looks = looks(&label);
    let pieces: Vec<BTreeSet<String>> = shows_as.split(['.', '-']).map(looks).collect();
    let alike = |one: &BTreeSet<String>, other| !one.is_disjoint(other);
    let found = known
        .iter()
        .filter(|one| one.own != registered)
        .find(|one| {
            alike(&own, &one.own_looks)
                || alike(&label_looks, &one.name_looks)
                || one.name.len() >= 5 && one_letter_off(&label, &one.name)
                || one.name.len() >= 4 && pieces.iter().any(|piece| alike(piece, &one.name_looks))
        });
    found.map(|one| one.domain)
}

/// The part of a name that somebody registered; the whole where the list does not say.
fn registrable(host: &str) -> &str {
    psl::domain_str(host).unwrap_or(host)
}

/// The first label of what somebody registered: `bank` of `www.bank.co.uk`.
pub(super) fn main_label(host: &str) -> Option<String> {
    let own = registrable(host);
    own.split('.').next().map(str::to_lowercase)
}

/// What stands between spaces, without what people put around a link.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|one: char| one.is_whitespace() || "<>\"“”'()[]{}|,;".contains(one))
        .map(|word| word.trim_end_matches(['.', '!', '?', ':', '…', '*', '_']))
        .filter(|word| word.len() > 3)
}

/// The link that a phone makes of a word, if it makes one.
fn link(word: &str) -> Option<Url> {
    let lower = word.get(..8.min(word.len())).map(str::to_lowercase);
    let has_scheme = lower.is_some_and(|one| one.starts_with("http:") || one.starts_with("https:"));
    if has_scheme {
        return Url::parse(word).ok();
    }
    // An e-mail address is none, and neither is a word with a dot in it whose end is no suffix.
    let host = word.split(['/', '?', '#', ':']).next()?;
    if host.contains('@') || !host.contains('.') {
        return None;
    }
    let url = Url::parse(&format!("http://{word}")).ok()?;
    match url.host()? {
        Host::Domain(host) => {
            let suffix = psl::suffix(host.as_bytes())?;
            (suffix.is_known() && suffix.as_bytes().len() < host.len()).then_some(url)
        }
        // A bare number with dots is one only where it looks like one: not 1.5 or 12.30.
        Host::Ipv4(_) => (host.split('.').count() == 4).then_some(url),
        Host::Ipv6(_) => None,
    }
}

/// Texts that are shown for links: in the header's element, in HTML, and in Markdown.
fn labelled<'a>(text: &'a str, header: &Header) -> Vec<(&'a str, Url)> {
    let mut found = Vec::new();
    for element in &header.elements {
        if let Element::Hyperlink(link) = element {
            let begin = usize::from(link.position);
            let middle = begin + usize::from(link.title);
            let end = middle + usize::from(link.url);
            let shown = characters(text, begin, middle);
            let target = characters(text, middle, end);
            found.extend(shown.zip(target.and_then(|one| words(one).find_map(self::link))));
        }
    }
    for piece in text.split("](").skip(1).zip(text.split("](")) {
        let (behind, before) = piece;
        let shown = before.rsplit('[').next();
        let target = behind.split(')').next().and_then(link);
        found.extend(shown.zip(target));
    }
    for piece in text.split("href=").skip(1) {
        let target = piece.trim_start_matches(['"', '\'']);
        let target = target.split(['"', '\'', '>', ' ']).next().and_then(link);
        let shown = piece.split_once('>').map(|(_, behind)| behind);
        let shown = shown.and_then(|one| one.split('<').next());
        found.extend(shown.zip(target));
    }
    found.truncate(LINKS_MAX);
    found
}

/// A piece of a text, counted in characters.
fn characters(text: &str, begin: usize, end: usize) -> Option<&str> {
    let at = |count: usize| {
        let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        places.nth(count)
    };
    text.get(at(begin)?..at(end)?)
}

fn push(found: &mut Vec<Finding>, severity: Severity, what: What) {
    let finding = Finding::new(severity, what);
    if !found.contains(&finding) {
        found.push(finding);
    }
}

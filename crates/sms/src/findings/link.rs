//! Where the links in a message lead.
//!
//! **Elsewhere**: finding them is `scan`, comparing names with known ones is `domain`, what two
//! words have to look like to be taken for each other is `look`.
//!
//! **Always**: no link is opened, and no name is looked up.

use std::net::{IpAddr, Ipv4Addr};

use unicode_script::{Script, UnicodeScript as _};
use url::{Host, Url};

use super::domain::{self, KnownDomain, Likeness, registrable};
use super::look::stands_in_for;
use super::scan::{self, Link, Site};
use super::{Finding, Known, Severity, What};
use crate::header::{Element, Header};

/// So many links behind other links are looked at.
const INNER_MAX: usize = 8;

/// Services that stand between a link and where it leads. There are many more: not to be in
/// this list proves nothing.
const SHORTENERS: [&str; 63] = [
    "adf.ly",
    "adfoc.us",
    "b.link",
    "bc.vc",
    "bit.do",
    "bit.ly",
    "bitly.com",
    "bl.ink",
    "buff.ly",
    "chilp.it",
    "clck.ru",
    "cutt.ly",
    "dlvr.it",
    "dub.sh",
    "goo.gl",
    "goo.su",
    "gg.gg",
    "hyperurl.co",
    "ibit.ly",
    "is.gd",
    "j.mp",
    "kutt.it",
    "l.ead.me",
    "linktr.ee",
    "lnkd.in",
    "mcaf.ee",
    "n9.cl",
    "ow.ly",
    "qr.ae",
    "qrco.de",
    "rb.gy",
    "rebrand.ly",
    "reurl.cc",
    "s.id",
    "short.gy",
    "short.io",
    "shorturl.at",
    "shorte.st",
    "shrtco.de",
    "smarturl.it",
    "soo.gd",
    "surl.li",
    "t.cn",
    "t.co",
    "t.ly",
    "t2m.io",
    "tiny.cc",
    "tiny.one",
    "tinyurl.com",
    "tly.link",
    "tr.im",
    "trib.al",
    "u.to",
    "urlz.fr",
    "v.gd",
    "vk.cc",
    "vo.la",
    "x.co",
    "x.gd",
    "xurl.es",
    "y2u.be",
    "yourls.org",
    "zws.im",
];

/// Short names of companies that lead to their own sites only.
const OWN_SHORT: [&str; 17] = [
    "photos.app.goo.gl",
    "aka.ms",
    "amzn.eu",
    "amzn.to",
    "apple.co",
    "fb.me",
    "g.co",
    "g.page",
    "ig.me",
    "m.me",
    "maps.app.goo.gl",
    "pin.it",
    "spoti.fi",
    "t.me",
    "wa.me",
    "wme.ink",
    "youtu.be",
];

/// Pages of well-known sites that lead on to wherever their link says.
const REDIRECTS: [(&str, &str); 27] = [
    ("google.", "/url"),
    ("google.", "/amp/s/"),
    ("googleadservices.com", "/pagead/"),
    ("doubleclick.net", "/"),
    ("translate.google.", "/"),
    ("translate.goog", "/"),
    ("cdn.ampproject.org", "/"),
    ("l.facebook.com", "/l.php"),
    ("lm.facebook.com", "/l.php"),
    ("facebook.com", "/flx/warn"),
    ("facebook.com", "/l.php"),
    ("l.instagram.com", "/"),
    ("l.messenger.com", "/"),
    ("youtube.com", "/redirect"),
    ("bing.com", "/ck/"),
    ("linkedin.com", "/redir"),
    ("linkedin.com", "/safety/go"),
    ("t.umblr.com", "/redirect"),
    ("href.li", "/"),
    ("out.reddit.com", "/"),
    ("vk.com", "/away.php"),
    ("away.vk.com", "/"),
    ("steamcommunity.com", "/linkfilter"),
    ("duckduckgo.com", "/l/"),
    ("baidu.com", "/link"),
    ("slack-redir.net", "/"),
    ("page.link", "/"),
];

/// Sites where everybody has pages: that one of them names somebody says nothing.
const PLATFORMS: [&str; 27] = [
    "apple.com",
    "bbc.co.uk",
    "bing.com",
    "facebook.com",
    "glassdoor.com",
    "google.com",
    "instagram.com",
    "linkedin.com",
    "medium.com",
    "nytimes.com",
    "pinterest.com",
    "reddit.com",
    "t.me",
    "telegram.me",
    "telegram.org",
    "tiktok.com",
    "trustpilot.com",
    "twitter.com",
    "vk.com",
    "wa.me",
    "whatsapp.com",
    "wikipedia.org",
    "x.com",
    "xing.com",
    "yelp.com",
    "youtube.com",
    "zoom.us",
];

/// Files that a phone or computer runs or installs.
const PROGRAMS: [&str; 22] = [
    "apk",
    "apks",
    "apkm",
    "xapk",
    "aab",
    "bat",
    "cmd",
    "deb",
    "dmg",
    "exe",
    "hta",
    "ipa",
    "jar",
    "js",
    "lnk",
    "mobileconfig",
    "msi",
    "pkg",
    "ps1",
    "scr",
    "vbs",
    "wsf",
];

/// More labels, or more characters, no phone shows: the end of the name, which counts, is not
/// seen.
const LABELS: usize = 6;
const CHARACTERS: usize = 50;

/// Looks at the links of a text. `links` are such as the message has beside it.
pub(super) fn look(
    text: &str,
    links: &[String],
    header: &Header,
    known: &Known,
    found: &mut Vec<Finding>,
) {
    let mut looking = Looking {
        text,
        domains: None,
        known,
        found,
    };
    for link in scan::links(text) {
        looking.look_at(&link, true);
    }
    for link in links.iter().flat_map(|link| scan::links(link)) {
        looking.look_at(&link, true);
    }
    for code in scan::dangerous_codes(text) {
        looking.tell(Severity::Danger, What::DialsCode { code });
    }
    for (shown, url) in labelled(text, header) {
        looking.shows_other(shown, &url);
    }
}

/// Looks at where a picture message waits: networks use bare numbers for that among themselves.
pub(super) fn look_at_mms(links: &[String], known: &Known, found: &mut Vec<Finding>) {
    let mut looking = Looking {
        text: "",
        domains: None,
        known,
        found,
    };
    for link in links.iter().flat_map(|link| scan::links(link)) {
        looking.look_at(&link, true);
    }
}

/// Where a link of a push leads.
pub(super) fn host_of(link: &str) -> Option<String> {
    let url = scan::first_site(link)?;
    url.host_str().map(domain::shown)
}

/// Whether a text leads anywhere.
pub(super) fn has_link(text: &str) -> bool {
    !scan::links(text).is_empty()
}

struct Looking<'a, 'b> {
    text: &'b str,
    /// Made when the first link is found.
    domains: Option<Vec<KnownDomain<'a>>>,
    known: &'a Known,
    found: &'b mut Vec<Finding>,
}

impl<'a> Looking<'a, '_> {
    fn tell(&mut self, severity: Severity, what: What) {
        let finding = Finding::new(severity, what);
        if !self.found.contains(&finding) {
            self.found.push(finding);
        }
    }

    fn domains(&mut self) -> &[KnownDomain<'a>] {
        let known = self.known;
        self.domains.get_or_insert_with(|| KnownDomain::all(known))
    }

    fn look_at(&mut self, link: &Link, look_inside: bool) {
        match link {
            Link::Site(site) => self.look_at_site(site, look_inside),
            Link::Runs(scheme) => self.tell(
                Severity::Danger,
                What::LinkRuns {
                    scheme: scheme.clone(),
                },
            ),
            Link::Dials(code) => {
                self.tell(Severity::Danger, What::DialsCode { code: code.clone() });
            }
        }
    }

    fn look_at_site(&mut self, site: &Site, look_inside: bool) {
        let url = &site.url;
        match url.host() {
            None => return,
            Some(Host::Ipv4(number)) => self.look_at_number(url, is_private(number)),
            Some(Host::Ipv6(number)) => {
                let embedded = number.to_ipv4_mapped();
                let private = number.is_loopback()
                    || number.is_unique_local()
                    || number.is_unicast_link_local()
                    || embedded.is_some_and(is_private);
                self.look_at_number(url, private);
            }
            Some(Host::Domain(host)) => self.look_at_name(&domain::shown(host), host),
        }
        let host = url.host_str().map(domain::shown).unwrap_or_default();
        let shown = site.user.as_ref().or(site.shown.as_ref());
        if let Some(shown) = shown {
            // What stands before an @, or before what only looks like a slash, means nothing.
            self.tell(
                Severity::Danger,
                What::LinkShowsOther {
                    shown: decoded(shown),
                    host: host.clone(),
                },
            );
        }
        if let Some(file) = program(url) {
            self.tell(
                Severity::Danger,
                What::LinkProgram {
                    host: host.clone(),
                    file,
                },
            );
        }
        self.look_at_path(url, &host);
        if look_inside {
            self.look_inside(url, &host);
        }
    }

    fn look_at_number(&mut self, url: &Url, private: bool) {
        let severity = if private {
            Severity::Note
        } else {
            Severity::Danger
        };
        let host = url.host_str().unwrap_or_default().to_owned();
        self.tell(severity, What::LinkToNumber { host });
    }

    fn look_at_name(&mut self, shows_as: &str, host: &str) {
        let confusable = confusable(shows_as, self.text);
        let severity = if confusable.is_some() {
            Severity::Caution
        } else {
            Severity::Note
        };
        if shows_as != host && self.text.to_lowercase().contains("xn--") {
            self.tell(
                severity,
                What::LinkPunycode {
                    host: host.to_owned(),
                    shows_as: shows_as.to_owned(),
                },
            );
        }
        if let Some(reads_as) = confusable {
            self.tell(
                Severity::Danger,
                What::LinkConfusable {
                    host: shows_as.to_owned(),
                    reads_as,
                },
            );
        }
        let own = registrable(shows_as);
        if OWN_SHORT.contains(&own) || OWN_SHORT.contains(&shows_as) {
            self.tell(
                Severity::Note,
                What::LinkShortened {
                    host: shows_as.to_owned(),
                },
            );
        } else if SHORTENERS.contains(&own) || SHORTENERS.contains(&shows_as) {
            self.tell(
                Severity::Caution,
                What::LinkShortened {
                    host: shows_as.to_owned(),
                },
            );
        }
        let likeness = domain::likeness(shows_as, self.domains());
        match likeness {
            Some(Likeness::Imitates(domain)) => self.tell(
                Severity::Danger,
                What::LinkImitates {
                    host: shows_as.to_owned(),
                    domain: domain.to_owned(),
                },
            ),
            Some(Likeness::OtherEnding(domain)) => self.tell(
                Severity::Note,
                What::LinkOtherEnding {
                    host: shows_as.to_owned(),
                    domain: domain.to_owned(),
                },
            ),
            None => {}
        }
        if let Some(shown) = domain::shown_in_front(shows_as) {
            self.tell(
                Severity::Danger,
                What::LinkShowsOther {
                    shown,
                    host: shows_as.to_owned(),
                },
            );
        } else if shows_as.split('.').count() >= LABELS || shows_as.chars().count() > CHARACTERS {
            self.tell(
                Severity::Caution,
                What::LinkLong {
                    host: shows_as.to_owned(),
                    own: own.to_owned(),
                },
            );
        }
    }

    /// A name that the reader knows, behind another site's.
    fn look_at_path(&mut self, url: &Url, host: &str) {
        let own = registrable(host).to_owned();
        if PLATFORMS.contains(&own.as_str()) {
            return;
        }
        let words = domain::words(&decoded(&format!(
            "{} {} {}",
            url.path(),
            url.query().unwrap_or_default(),
            url.fragment().unwrap_or_default()
        )));
        if words.is_empty() {
            return;
        }
        let domains = self.domains();
        if domains.iter().any(|one| registrable(one.domain()) == own) {
            return;
        }
        let named = domains.iter().find(|one| one.is_named_in(&words));
        if let Some(domain) = named.map(KnownDomain::domain) {
            self.tell(
                Severity::Caution,
                What::LinkMentions {
                    host: host.to_owned(),
                    domain: domain.to_owned(),
                },
            );
        }
    }

    /// Links behind a link: such as are in its query or its path.
    fn look_inside(&mut self, url: &Url, host: &str) {
        let redirects = is_redirect(url, host);
        let path = decoded(url.path());
        let in_path = path
            .to_lowercase()
            .rfind("http")
            .and_then(|at| path.get(at..).map(str::to_owned));
        let amp = path
            .split_once("/amp/s/")
            .or_else(|| path.split_once("/c/s/"))
            .map(|(_, rest)| format!("https://{rest}"));
        let translated = host.strip_suffix(".translate.goog").map(|name| {
            format!(
                "https://{}",
                name.replace("--", "\u{0}")
                    .replace('-', ".")
                    .replace('\u{0}', "-")
            )
        });
        let in_query = url.query_pairs().map(|(_, value)| value.into_owned());
        let inner: Vec<Site> = in_query
            .chain(in_path)
            .chain(amp)
            .chain(translated)
            .filter(|value| value.starts_with("http:") || value.starts_with("https:") || redirects)
            .flat_map(|value| scan::links(&value))
            .filter_map(|link| match link {
                Link::Site(site) => Some(site),
                _ => None,
            })
            .take(INNER_MAX)
            .collect();
        let other = inner
            .iter()
            .filter_map(|site| site.url.host_str())
            .map(domain::shown)
            .find(|target| registrable(target) != registrable(host));
        if redirects {
            self.tell(
                Severity::Caution,
                What::LinkRedirects {
                    host: host.to_owned(),
                    target: other,
                },
            );
        }
        for site in inner {
            self.look_at_site(&site, false);
        }
    }

    /// A text that names one place and leads to another.
    fn shows_other(&mut self, shown: &str, url: &Url) {
        let Some(host) = url.host_str() else {
            return;
        };
        // Only a text that is itself a place can be another place.
        let named = scan::first_site(shown);
        let Some(named) = named.as_ref().and_then(Url::host_str) else {
            return;
        };
        let (named, host) = (domain::shown(named), domain::shown(host));
        if registrable(&named) != registrable(&host) {
            self.tell(
                Severity::Danger,
                What::LinkShowsOther {
                    shown: shown.to_owned(),
                    host,
                },
            );
        }
    }
}

/// Numbers that only reach what is near: a router, a network's own machines.
fn is_private(number: Ipv4Addr) -> bool {
    let [first, second, ..] = number.octets();
    IpAddr::V4(number).is_loopback()
        || number.is_private()
        || number.is_link_local()
        || first == 100 && (64..128).contains(&second)
}

/// As what a name can be read whose letters are not what they look like.
fn confusable(shows_as: &str, text: &str) -> Option<String> {
    let ending_is_ascii = domain::suffix(shows_as).is_ascii();
    let stands_in = shows_as
        .split(['.', '-'])
        .any(|label| stands_in_for(label, ending_is_ascii).is_some());
    let mixed = shows_as.split(['.', '-']).any(mixes_scripts);
    (stands_in || mixed || has_stray_i(shows_as, text))
        .then(|| super::look::bare(shows_as).to_lowercase())
}

/// Latin letters, and letters of a script that is easily taken for it, in one word.
fn mixes_scripts(label: &str) -> bool {
    use Script::{Armenian, Cherokee, Cyrillic, Greek, Latin};
    let has = |scripts: &[Script]| label.chars().any(|one| scripts.contains(&one.script()));
    has(&[Latin]) && has(&[Armenian, Cherokee, Cyrillic, Greek])
}

/// The ı without a dot is a letter of Turkish and its neighbours, and an i to everybody else.
fn has_stray_i(shows_as: &str, text: &str) -> bool {
    const TURKIC: [&str; 8] = ["tr", "az", "kz", "uz", "tm", "cy", "ru", "bg"];
    let country = shows_as.rsplit('.').next().unwrap_or_default();
    let is_turkish = |text: &str| text.chars().any(|one| "ğşĞŞİəƏ".contains(one));
    // The text around the link, or other letters of the name, say that it is Turkish.
    let around: String = text
        .split_whitespace()
        .filter(|word| !word.contains('.'))
        .collect();
    shows_as.contains('ı')
        && !TURKIC.contains(&country)
        && !is_turkish(shows_as)
        && !is_turkish(&around)
        && !around.contains('ı')
}

fn is_redirect(url: &Url, host: &str) -> bool {
    let host = host.strip_prefix("www.").unwrap_or(host);
    let is_host = |name: &str| {
        if name.ends_with('.') {
            host.starts_with(name)
        } else {
            host == name
                || host
                    .strip_suffix(name)
                    .is_some_and(|rest| rest.ends_with('.'))
        }
    };
    REDIRECTS
        .iter()
        .any(|(name, path)| is_host(name) && url.path().starts_with(path))
}

/// The file that a link loads, where that is a program.
fn program(url: &Url) -> Option<String> {
    let last = url
        .path_segments()?
        .next_back()
        .unwrap_or_default()
        .to_owned();
    let in_query = url.query_pairs().map(|(_, value)| value.into_owned());
    std::iter::once(decoded(&last))
        .chain(in_query)
        .find_map(|file| as_program(&file).map(str::to_owned))
}

/// The name of a program, without what is glued to it.
fn as_program(file: &str) -> Option<&str> {
    let is_of_ending = |one: char| one.is_ascii_alphanumeric();
    let mut dots = file.match_indices('.').filter(|(at, _)| *at > 0);
    dots.find_map(|(at, _)| {
        let behind = file.get(at + 1..)?;
        let length = behind
            .find(|one| !is_of_ending(one))
            .unwrap_or(behind.len());
        let (ending, rest) = behind.split_at(length);
        let is_end = !rest.starts_with(['.', '-', '_']);
        let is_program = PROGRAMS.contains(&ending.to_lowercase().as_str());
        (is_end && is_program).then(|| file.get(..at + 1 + length))?
    })
}

/// Without percent signs.
fn decoded(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        let mut ahead = rest.clone();
        let mut digit = || {
            let digit = char::from(ahead.next()?).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        if octet == b'%'
            && let (Some(high), Some(low)) = (digit(), digit())
        {
            octets.push(high << 4 | low);
            rest = ahead;
        } else {
            octets.push(octet);
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

/// Texts that are shown for links: in the header's element, in HTML, and in Markdown.
fn labelled<'a>(text: &'a str, header: &Header) -> Vec<(&'a str, Url)> {
    /// No message has more that mean anything.
    const LABELLED_MAX: usize = 64;
    let mut found = Vec::new();
    for element in &header.elements {
        if let Element::Hyperlink(link) = element {
            let begin = usize::from(link.position);
            let middle = begin + usize::from(link.title);
            let end = middle + usize::from(link.url);
            let shown = characters(text, begin, middle);
            let target = characters(text, middle, end);
            found.extend(shown.zip(target.and_then(scan::first_site)));
        }
    }
    for piece in text.split("](").skip(1).zip(text.split("](")) {
        let (behind, before) = piece;
        let shown = before.rsplit('[').next();
        let target = behind.split(')').next().and_then(scan::first_site);
        found.extend(shown.zip(target));
    }
    for piece in text.split("href=").skip(1) {
        let target = piece.trim_start_matches(['"', '\'']);
        let target = target.split(['"', '\'', '>', ' ']).next();
        let shown = piece.split_once('>').map(|(_, behind)| behind);
        let shown = shown.and_then(|one| one.split('<').next());
        found.extend(shown.zip(target.and_then(scan::first_site)));
    }
    found.truncate(LABELLED_MAX);
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

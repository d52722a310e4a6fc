//! Names of sites: what of one was registered, and whether it is made to be taken for one that
//! the reader knows.
//!
//! **Elsewhere**: what two words have to look like to be taken for each other is `look`; the
//! public suffix list is `psl`.
//!
//! **Always**: the same company's site in another country is no trick (amazon.de, amazon.com).

use std::collections::BTreeSet;

use super::Known;
use super::look::{alike, looks, one_letter_off};

/// Whose e-mail addresses anybody can have: the domain says nothing of the person.
const FOR_ANYBODY: [&str; 62] = [
    "126.com",
    "163.com",
    "abv.bg",
    "aol.com",
    "bigpond.com",
    "bluewin.ch",
    "bol.com.br",
    "btinternet.com",
    "centrum.cz",
    "comcast.net",
    "docomo.ne.jp",
    "fastmail.com",
    "free.fr",
    "freenet.de",
    "gmail.com",
    "gmx.at",
    "gmx.ch",
    "gmx.com",
    "gmx.de",
    "gmx.net",
    "googlemail.com",
    "hotmail.co.uk",
    "hotmail.com",
    "hotmail.fr",
    "hotmail.it",
    "icloud.com",
    "inbox.lv",
    "interia.pl",
    "laposte.net",
    "libero.it",
    "live.com",
    "mac.com",
    "mail.com",
    "mail.ru",
    "me.com",
    "msn.com",
    "naver.com",
    "o2.pl",
    "onet.pl",
    "orange.fr",
    "outlook.com",
    "outlook.de",
    "pm.me",
    "posteo.de",
    "proton.me",
    "protonmail.com",
    "qq.com",
    "rambler.ru",
    "rediffmail.com",
    "seznam.cz",
    "sfr.fr",
    "t-online.de",
    "telia.com",
    "terra.com.br",
    "tutanota.com",
    "ukr.net",
    "uol.com.br",
    "wanadoo.fr",
    "web.de",
    "wp.pl",
    "yahoo.com",
    "ziggo.nl",
];

/// Words that stand in the names of many sites.
const COMMON: [&str; 24] = [
    "bank", "card", "city", "club", "direct", "family", "free", "home", "info", "live", "mail",
    "mobile", "my", "net", "office", "online", "orange", "pay", "post", "school", "shop", "store",
    "team", "web",
];

/// Words that tricks put beside a name.
pub(super) const LURES: [&str; 44] = [
    "24", "access", "account", "alert", "alerts", "app", "auth", "bank", "billing", "care",
    "center", "centre", "check", "confirm", "customer", "de", "delivery", "fraud", "help", "id",
    "info", "kyc", "login", "mobile", "notice", "official", "online", "parcel", "pay", "payment",
    "portal", "safe", "secure", "security", "service", "services", "signin", "sms", "support",
    "team", "track", "tracking", "update", "verify",
];

/// A domain of somebody whom the reader knows, with what it looks like: that is worked out once
/// for all links of a message.
pub(super) struct KnownDomain<'a> {
    domain: &'a str,
    /// What was registered.
    own: String,
    /// Its first label.
    label: String,
    own_looks: BTreeSet<String>,
    label_looks: BTreeSet<String>,
}

/// What a name is to a known one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Likeness<'a> {
    /// It is made to be taken for this one.
    Imitates(&'a str),
    /// It is this one's name in another country.
    OtherEnding(&'a str),
}

impl<'a> KnownDomain<'a> {
    pub(super) fn all(known: &'a Known) -> Vec<Self> {
        let domains = known.contacts.iter().flat_map(|one| &one.domains);
        domains.filter_map(|domain| Self::of(domain)).collect()
    }

    fn of(domain: &'a str) -> Option<Self> {
        if is_for_anybody(domain) {
            return None;
        }
        let shown = shown(domain);
        let own = registrable(&shown).to_owned();
        let label = first_label(&own)?.to_owned();
        Some(Self {
            domain,
            own_looks: looks(&own),
            label_looks: looks(&label),
            own,
            label,
        })
    }

    /// Whether one of these words is its name.
    pub(super) fn is_named_in(&self, words: &[BTreeSet<String>]) -> bool {
        self.label.chars().count() >= 4
            && !is_common(&self.label)
            && words.iter().any(|word| alike(word, &self.label_looks))
    }

    pub(super) fn domain(&self) -> &'a str {
        self.domain
    }

    fn likeness(&self, name: &Name<'_>) -> Option<Likeness<'a>> {
        if self.own == name.own {
            return None;
        }
        if self.label == name.label {
            let ending = suffix(name.own);
            return Some(if is_countrys(&self.own, ending) {
                Likeness::OtherEnding(self.domain)
            } else {
                Likeness::Imitates(self.domain)
            });
        }
        let is_one_off = self.label.chars().count() >= 5 && one_letter_off(name.label, &self.label);
        let is_it = alike(&name.own_looks, &self.own_looks)
            || alike(&name.label_looks, &self.label_looks)
            || is_one_off
            || self.is_piece_of(name)
            || self.is_glued_into(name.label);
        is_it.then_some(Likeness::Imitates(self.domain))
    }

    /// `nordbank-secure.net`, `nordbank.login.net`, `my-bank-login.com` for `my-bank.com`.
    fn is_piece_of(&self, name: &Name<'_>) -> bool {
        if is_common(&self.label) {
            return false;
        }
        if self.label.chars().count() < 4 {
            // A short name is a piece only where it stands there as it is.
            let pieces = name.pieces.iter().map(String::as_str);
            return name.pieces.len() > 1 && pieces.clone().any(|piece| piece == self.label);
        }
        name.runs.iter().any(|run| alike(run, &self.label_looks))
    }

    /// `nordbanksecure.net`
    fn is_glued_into(&self, label: &str) -> bool {
        let own = self.label.as_str();
        let rest = label
            .strip_prefix(own)
            .or_else(|| label.strip_suffix(own))
            .map(|rest| rest.trim_matches('-'));
        own.chars().count() >= 5 && rest.is_some_and(|rest| LURES.contains(&rest))
    }
}

/// The first of the known ones that a name is like; the worst first.
pub(super) fn likeness<'a>(shows_as: &str, known: &[KnownDomain<'a>]) -> Option<Likeness<'a>> {
    if known.is_empty() {
        return None;
    }
    let name = Name::of(shows_as)?;
    if known.iter().any(|one| one.own == name.own) {
        return None;
    }
    let mut all: Vec<Likeness<'a>> = known.iter().filter_map(|one| one.likeness(&name)).collect();
    let worst = all
        .iter()
        .position(|one| matches!(one, Likeness::Imitates(_)))
        .unwrap_or(0);
    (worst < all.len()).then(|| all.swap_remove(worst))
}

/// A name that is compared.
struct Name<'a> {
    own: &'a str,
    label: &'a str,
    own_looks: BTreeSet<String>,
    label_looks: BTreeSet<String>,
    /// What stands between dots and hyphens, without the suffix.
    pieces: Vec<String>,
    /// How up to three neighbouring pieces look together.
    runs: Vec<BTreeSet<String>>,
}

impl<'a> Name<'a> {
    fn of(shows_as: &'a str) -> Option<Self> {
        let own = registrable(shows_as);
        let label = first_label(own)?;
        let without = shows_as.strip_suffix(suffix(shows_as)).unwrap_or(shows_as);
        let pieces: Vec<String> = without
            .split(['.', '-', '_'])
            .filter(|piece| !piece.is_empty())
            .map(str::to_owned)
            .collect();
        let runs = (1..=3)
            .flat_map(|count| pieces.windows(count).map(<[String]>::concat))
            .map(|run| looks(&run))
            .collect();
        Some(Self {
            own,
            label,
            own_looks: looks(own),
            label_looks: looks(label),
            pieces,
            runs,
        })
    }
}

/// As browsers show it, in small letters.
pub(super) fn shown(host: &str) -> String {
    let (shown, _) = idna::domain_to_unicode(host);
    shown.to_lowercase()
}

/// How the words of a path or a query look: those between signs, and those between hyphens.
pub(super) fn words(path: &str) -> Vec<BTreeSet<String>> {
    let path = path.to_lowercase();
    let words = path.split(|one: char| !one.is_alphanumeric() && one != '-');
    let parts = words.flat_map(|word| {
        let whole = word.contains('-').then_some(word);
        word.split('-').chain(whole)
    });
    parts.filter(|word| word.len() >= 4).map(looks).collect()
}

/// Whether a word stands in the names of many sites.
pub(super) fn is_common(label: &str) -> bool {
    COMMON.contains(&label)
}

/// Whether anybody can have an address there.
pub(super) fn is_for_anybody(domain: &str) -> bool {
    FOR_ANYBODY.contains(&domain.to_lowercase().as_str())
}

/// The part of a name that somebody registered; the whole where the list does not say.
pub(super) fn registrable(host: &str) -> &str {
    psl::domain_str(host).unwrap_or(host)
}

/// Its public suffix: `co.uk`.
pub(super) fn suffix(host: &str) -> &str {
    psl::suffix_str(host).unwrap_or_default()
}

/// Whether somebody registered something under a suffix of the list.
pub(super) fn has_known_suffix(name: &str) -> bool {
    let shown = shown(name);
    psl::suffix(shown.as_bytes())
        .is_some_and(|suffix| suffix.is_known() && suffix.as_bytes().len() < shown.len())
}

/// `bank` of `www.bank.co.uk`.
pub(super) fn main_label(host: &str) -> Option<String> {
    let shown = shown(host);
    first_label(registrable(&shown)).map(str::to_owned)
}

fn first_label(own: &str) -> Option<&str> {
    own.split('.').next().filter(|label| !label.is_empty())
}

/// Whether this ending is what a company takes in another country, and no slip of the pen for
/// that of `own`.
fn is_countrys(own: &str, ending: &str) -> bool {
    let of_country = ending
        .rsplit('.')
        .next()
        .is_some_and(|last| last.chars().count() == 2 || !last.is_ascii());
    let slip = suffix(own) == "com" && matches!(ending, "co" | "cm" | "om" | "ne")
        || suffix(own) == "net" && ending == "ne"
        || suffix(own) == "org" && matches!(ending, "og" | "or");
    (of_country && !slip) || matches!(ending, "com" | "eu" | "int")
}

/// A name in front of what somebody registered that is itself like a registered one:
/// `nordbank.com` of `nordbank.com.login.net`, and of `nordbank.com-login.net`.
pub(super) fn shown_in_front(shows_as: &str) -> Option<String> {
    const ENDINGS: [&str; 9] = [
        "com", "net", "org", "gov", "edu", "co", "gob", "gouv", "info",
    ];
    // Countries whose two letters are no word that stands in names (`my`, `in`, `it`, `id`).
    const COUNTRIES: [&str; 21] = [
        "at", "au", "br", "ca", "ch", "cz", "de", "dk", "es", "fi", "fr", "jp", "kr", "mx", "nl",
        "pl", "pt", "ru", "se", "tr", "uk",
    ];
    // Words in front of a country's letters that say which of a site's parts it is.
    const PARTS: [&str; 30] = [
        "account", "api", "app", "apps", "blog", "cdn", "click", "email", "go", "help", "id",
        "img", "info", "link", "links", "login", "m", "mail", "my", "news", "secure", "shop",
        "static", "store", "support", "t", "track", "tracking", "web", "www",
    ];
    let own = registrable(shows_as);
    let front = shows_as.strip_suffix(own)?.trim_end_matches('.');
    let labels: Vec<&str> = front.split('.').collect();
    let own_first = first_label(own)?;
    // `com-login` of `nordbank.com-login.net`.
    let hyphened = own_first.split_once('-').map_or("", |(first, _)| first);
    let last = labels.len().checked_sub(1);
    let is_name = |label: &&str| label.len() > 1 && !PARTS.contains(label);
    if let Some(name) = last
        .and_then(|last| labels.get(last))
        .filter(|one| is_name(one))
        && (ENDINGS.contains(&hyphened) || COUNTRIES.contains(&hyphened))
    {
        return Some(format!("{name}.{hyphened}"));
    }
    labels.windows(2).rev().find_map(|two| match two {
        [name, ending]
            if is_name(name) && (ENDINGS.contains(ending) || COUNTRIES.contains(ending)) =>
        {
            Some(format!("{name}.{ending}"))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Contact;
    use super::*;

    fn likeness_to<'a>(domains: &'a Known, name: &str) -> Option<Likeness<'a>> {
        likeness(name, &KnownDomain::all(domains))
    }

    fn known(domains: &[&str]) -> Known {
        Known {
            contacts: vec![Contact {
                name: String::new(),
                numbers: Vec::new(),
                domains: domains.iter().map(|one| (*one).to_owned()).collect(),
            }],
            short_codes: Vec::new(),
        }
    }

    #[test]
    fn a_company_in_another_country_is_no_imitation() {
        let known = known(&["amazon.com", "post.at", "gmail.com", "dhl.de"]);
        for (name, domain) in [
            ("amazon.de", "amazon.com"),
            ("www.amazon.co.uk", "amazon.com"),
            ("post.ch", "post.at"),
            ("www.dhl.com", "dhl.de"),
        ] {
            let expected = Some(Likeness::OtherEnding(domain));
            assert_eq!(likeness_to(&known, name), expected, "{name}");
        }
        for name in [
            "amazon.com",
            "smile.amazon.com",
            "gmail.de",
            "post-office.example",
        ] {
            assert_eq!(likeness_to(&known, name), None, "{name}");
        }
        for name in [
            "amazon.co",
            "amazon.top",
            "arnazon.com",
            "dhl-paket.info",
            "amazonlogin.net",
        ] {
            let found = likeness_to(&known, name);
            assert!(
                matches!(found, Some(Likeness::Imitates(_))),
                "{name}: {found:?}"
            );
        }
    }

    #[test]
    fn hyphens_in_a_known_name_hide_nothing() {
        let known = known(&["my-bank.se"]);
        for name in [
            "mybank.net",
            "my-bank-login.com",
            "login.my-bank.example.com",
            "m-y-bank.com",
        ] {
            let found = likeness_to(&known, name);
            assert!(
                matches!(found, Some(Likeness::Imitates(_))),
                "{name}: {found:?}"
            );
        }
    }

    #[test]
    fn a_name_in_front_of_the_true_one_is_seen() {
        for (name, shown) in [
            ("nordbank.com.login.net", "nordbank.com"),
            ("www.nordbank.com.secure.example.net", "nordbank.com"),
            ("nordbank.com-login.net", "nordbank.com"),
            ("dhl.de.paket-info.top", "dhl.de"),
            ("dhl.de-paket.top", "dhl.de"),
        ] {
            assert_eq!(shown_in_front(name).as_deref(), Some(shown), "{name}");
        }
        for name in [
            "www.nordbank.com",
            "de.wikipedia.org",
            "www.de.nordbank.com",
            "shop.de.nordbank.com",
            "a.b.example.co.uk",
            "co-op.example.com",
        ] {
            assert_eq!(shown_in_front(name), None, "{name}");
        }
    }
}

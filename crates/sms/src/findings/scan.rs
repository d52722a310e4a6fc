//! Finds the links in a text, as phones and browsers find them: glued to other writing, without
//! a scheme, with characters that nobody sees, and in schemes that run something.
//!
//! **Elsewhere**: what is wrong with a link is `link`.
//!
//! **Always**: no link is opened, and no name is looked up. A word with a dot is a link only
//! where its end is a public suffix; four numbers with dots are one only with a path or a port.

use unicode_script::{Script, UnicodeScript as _};
use url::Url;

use super::domain;
use super::hidden;

/// So many links of a text are looked at; no message has room for more that mean anything.
const LINKS_MAX: usize = 64;

/// Schemes by which a link runs something, or installs it, instead of showing a site.
const RUNS: [&str; 13] = [
    "javascript:",
    "vbscript:",
    "data:",
    "blob:",
    "file:",
    "content:",
    "intent:",
    "itms-services:",
    "ms-appinstaller:",
    "ms-msdt:",
    "search-ms:",
    "jar:",
    "view-source:",
];

/// Characters that look like a slash, and such as are written for one.
const FALSE_SLASHES: [&str; 9] = [
    "\u{2215}", "\u{2044}", "\u{29f8}", "\u{2571}", "\u{ff0f}", "\u{ff3c}", "%2f", "%5c",
    "\u{27cb}",
];

/// A link.
pub(super) enum Link {
    /// To a site.
    Site(Site),
    /// To something that runs: its scheme.
    Runs(String),
    /// To a code that the phone dials.
    Dials(String),
}

/// A link to a site.
pub(super) struct Site {
    /// What a browser makes of it.
    pub url: Url,
    /// What stands before an @, which is shown first and means nothing.
    pub user: Option<String>,
    /// A name before a character that only looks like a slash.
    pub shown: Option<String>,
}

/// The links in a text.
pub(super) fn links(text: &str) -> Vec<Link> {
    let text = readable(text);
    let mut found = Vec::new();
    for token in text.split(is_border) {
        in_token(token, &mut found);
        if found.len() >= LINKS_MAX {
            break;
        }
    }
    found.truncate(LINKS_MAX);
    found
}

/// The first site that a text leads to.
pub(super) fn first_site(text: &str) -> Option<Url> {
    links(text).into_iter().find_map(|link| match link {
        Link::Site(site) => Some(site.url),
        _ => None,
    })
}

/// The text without what nobody sees, and with the dots of other scripts that browsers take for
/// dots, where they stand in a name.
fn readable(text: &str) -> String {
    let seen: Vec<char> = text
        .chars()
        .filter(|one| !hidden::is_unseen(*one))
        .collect();
    let is_name = |one: Option<&char>| one.is_some_and(|one| is_form_of_ascii(*one));
    seen.iter()
        .enumerate()
        .map(|(at, one)| {
            let before = at.checked_sub(1).and_then(|before| seen.get(before));
            match one {
                '。' | '．' | '｡' if is_name(before) && is_name(seen.get(at + 1)) => '.',
                other => *other,
            }
        })
        .collect()
}

/// A letter or digit of ASCII, of full width too.
fn is_form_of_ascii(one: char) -> bool {
    one.is_ascii_alphanumeric()
        || matches!(one, '\u{ff10}'..='\u{ff19}' | '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}')
}

/// What no link has in it.
fn is_border(one: char) -> bool {
    one.is_whitespace()
        || one.is_control()
        || "<>\"“”„«»‹›‘’‚'`^{}|,;…「」『』【】〔〕《》〈〉、。！？；，：（）［］·•→".contains(one)
}

fn in_token(token: &str, found: &mut Vec<Link>) {
    let Some((begin, scheme)) = scheme_in(token) else {
        bare(token, found);
        return;
    };
    let (before, behind) = token.split_at(begin);
    bare(before, found);
    let rest = behind.get(scheme.len()..).unwrap_or_default();
    match scheme {
        "http:" | "https:" => found.extend(site(scheme, rest).map(Link::Site)),
        "tel:" | "telprompt:" => {
            let code = rest.trim_matches('/').to_lowercase();
            let code = code.replace("%23", "#").replace("%2a", "*");
            if code.contains(['*', '#']) {
                found.push(Link::Dials(code));
            }
        }
        _ => found.push(Link::Runs(scheme.trim_end_matches(':').to_owned())),
    }
}

/// The first scheme in a token that a phone or browser does something for, and where it begins.
fn scheme_in(token: &str) -> Option<(usize, &'static str)> {
    let lower = token.to_ascii_lowercase();
    let web = ["https:", "http:"].into_iter().filter_map(|scheme| {
        let begin = lower.find(scheme)?;
        let rest = lower.get(begin + scheme.len()..)?;
        (!rest.trim_start_matches(['/', '\\']).is_empty()).then_some((begin, scheme))
    });
    let others = RUNS.into_iter().chain(["tel:", "telprompt:"]);
    let others = others.filter_map(|scheme| {
        let begin = lower.find(scheme)?;
        let before = lower.get(..begin)?.chars().next_back();
        let rest = lower.get(begin + scheme.len()..)?;
        // `Data: 5 GB`, `data:5`, `file:a.txt` are words.
        let leads = match scheme {
            "data:" => rest.contains('/') && rest.starts_with(|one: char| one.is_ascii_lowercase()),
            "javascript:" | "vbscript:" => rest.contains(['(', '.', '=', '/']),
            "tel:" | "telprompt:" => true,
            _ => rest.starts_with("//") || rest.contains("#intent;"),
        };
        let is_word = before.is_some_and(|one| one.is_ascii_alphanumeric() || one == '-');
        (leads && !is_word).then_some((begin, scheme))
    });
    web.chain(others).min_by_key(|(begin, _)| *begin)
}

/// What a browser makes of what stands behind `http:`. It takes any number of slashes, of both
/// kinds.
fn site(scheme: &str, rest: &str) -> Option<Site> {
    let rest = clipped(rest.trim_start_matches(['/', '\\']));
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let lower = host.to_lowercase();
    let false_slash = FALSE_SLASHES
        .into_iter()
        .filter_map(|slash| Some((lower.find(slash)?, slash.len())))
        .min();
    let parsed = |host: &str, tail: &str| Url::parse(&format!("{scheme}//{host}{tail}")).ok();
    if let Some((at, length)) = false_slash {
        let behind = lower.get(at + length..).unwrap_or_default();
        return Some(Site {
            url: parsed(behind, tail)?,
            user: user.map(str::to_owned),
            shown: lower.get(..at).map(str::to_owned),
        });
    }
    let (name, port) = port_of(host);
    let url = match plausible(name, false) {
        // What stands behind it was glued to it.
        Some(shorter) if shorter.len() < name.len() => parsed(shorter, ""),
        _ => parsed(&format!("{name}{port}"), tail),
    };
    Some(Site {
        url: url?,
        user: user.map(str::to_owned),
        shown: None,
    })
}

/// The name, and its port with the colon.
fn port_of(host: &str) -> (&str, &str) {
    match host.rfind(':') {
        Some(at) if !host.ends_with(']') => host.split_at(at),
        _ => (host, ""),
    }
}

/// Without the brackets around a link, and the signs behind it.
fn clipped(link: &str) -> &str {
    let mut open = 0_usize;
    let begin = if link.starts_with('[') {
        link.find(']').map_or(0, |at| at + 1)
    } else {
        0
    };
    let behind = link.get(begin..).unwrap_or_default();
    let end = behind.find(|one| match one {
        '(' => {
            open += 1;
            false
        }
        ')' if open > 0 => {
            open -= 1;
            false
        }
        ')' | '[' | ']' => true,
        _ => false,
    });
    let end = end.map_or(link.len(), |end| begin + end);
    let link = link.get(..end).unwrap_or(link);
    link.trim_end_matches(['.', '!', '?', ':', '*', '_', '~'])
}

/// Names in a token that have no scheme.
fn bare(token: &str, found: &mut Vec<Link>) {
    let mut rest = token;
    let mut before = None;
    while let Some(begin) = rest.find(is_of_name) {
        before = rest
            .get(..begin)
            .and_then(|skipped| skipped.chars().next_back())
            .or(before);
        let behind = rest.get(begin..).unwrap_or_default();
        let end = behind.find(|one| !is_of_name(one)).unwrap_or(behind.len());
        let (run, tail) = behind.split_at(end);
        // An e-mail address leads to no site.
        if before != Some('@')
            && !tail.starts_with('@')
            && let Some(url) = bare_site(run, tail)
        {
            found.push(Link::Site(Site {
                url,
                user: None,
                shown: None,
            }));
            if tail.starts_with(['/', '?', '#', ':']) {
                return;
            }
        }
        before = run.chars().next_back();
        rest = tail;
    }
}

fn is_of_name(one: char) -> bool {
    one.is_alphanumeric()
        || matches!(one, '-' | '.' | '_')
        || !one.is_ascii() && one.script() != Script::Common
}

fn bare_site(run: &str, tail: &str) -> Option<Url> {
    let run = run.trim_matches(['.', '-', '_']);
    if !run.contains('.') {
        return None;
    }
    let tail = if tail.starts_with(['/', '?', '#', ':']) {
        clipped(tail)
    } else {
        ""
    };
    let numbers = run.split('.');
    if numbers
        .clone()
        .all(|one| one.bytes().all(|byte| byte.is_ascii_digit()))
    {
        // 1.2.3.4 is a version, 10.1.1.4/24 is a network.
        let leads = tail.strip_prefix('/').is_some_and(has_letter)
            || tail.strip_prefix(':').is_some_and(is_webs_port);
        return (numbers.count() == 4 && leads)
            .then(|| Url::parse(&format!("http://{run}{tail}")).ok())?;
    }
    let name = plausible(run, true)?;
    let is_end = run.ends_with(name);
    let is_port = tail
        .strip_prefix(':')
        .is_some_and(|port| !port.starts_with(|one: char| one.is_ascii_digit()));
    let tail = if is_end && !is_port { tail } else { "" };
    Url::parse(&format!("http://{name}{tail}")).ok()
}

/// A port that pages are on; 8.8.8.8:53 is a name server.
fn is_webs_port(tail: &str) -> bool {
    let end = tail.find(|one: char| !one.is_ascii_digit());
    let port = tail.get(..end.unwrap_or(tail.len())).unwrap_or_default();
    port.parse().is_ok_and(|port: u16| port >= 80)
}

fn has_letter(path: &str) -> bool {
    path.chars().any(char::is_alphabetic)
}

/// The name in a run of letters. Where people write no spaces, other words are glued to it.
fn plausible(run: &str, is_bare: bool) -> Option<&str> {
    let begin = if is_bare { glued_before(run) } else { 0 };
    let run = run.get(begin..)?;
    let whole = Some(run.len());
    let ends = whole.into_iter().chain(seams(run).into_iter().rev());
    ends.filter_map(|end| run.get(..end))
        .map(|name| name.trim_matches(['.', '-', '_']))
        .find(|name| domain::has_known_suffix(name))
}

/// Where the first label changes from a script that nobody takes for Latin to ASCII.
fn glued_before(run: &str) -> usize {
    let label = run.find('.').unwrap_or(run.len());
    let mut begin = 0;
    let mut far = false;
    for (at, one) in run.char_indices().take_while(|(at, _)| *at < label) {
        if far && one.is_ascii_alphanumeric() {
            begin = at;
        }
        far = !one.is_ascii() && !is_like_latin(one);
    }
    begin
}

/// Where ASCII ends and something else begins.
fn seams(run: &str) -> Vec<usize> {
    let mut seams = Vec::new();
    let mut ascii = false;
    for (at, one) in run.char_indices() {
        if ascii && !one.is_ascii() {
            seams.push(at);
        }
        ascii = one.is_ascii();
    }
    seams
}

/// Whether letters of its script are taken for Latin ones.
fn is_like_latin(one: char) -> bool {
    use Script::{Armenian, Cherokee, Coptic, Cyrillic, Greek, Inherited, Latin, Lisu};
    let like = [
        Latin, Cyrillic, Greek, Armenian, Cherokee, Coptic, Lisu, Inherited,
    ];
    like.contains(&one.script()) || !one.is_alphanumeric()
}

/// Codes that forward calls, change PINs or erase a phone, typed or in a link. Those that show a
/// balance or switch forwarding off are none of these.
pub(super) fn dangerous_codes(text: &str) -> Vec<String> {
    let text = readable(text).replace("%23", "#").replace("%2A", "*");
    let text = text.replace("%2a", "*");
    let is_code = |one: char| matches!(one, '*' | '#' | '+') || one.is_ascii_digit();
    let mut codes = Vec::new();
    let mut rest = text.as_str();
    while let Some(begin) = rest.find(['*', '#']) {
        let behind = rest.get(begin..).unwrap_or_default();
        let end = behind.find(|one| !is_code(one)).unwrap_or(behind.len());
        let (code, tail) = behind.split_at(end);
        if is_dangerous(code, tail) {
            codes.push(code.to_owned());
        }
        rest = tail;
    }
    codes
}

/// `tail` is what stands behind the code: a placeholder for a number, perhaps.
fn is_dangerous(code: &str, tail: &str) -> bool {
    const ERASES: [&str; 4] = ["*2767*3855", "*#*#7780#*#*", "*#7780#", "#*2562#"];
    // 3GPP TS 22.030: forwarding (21, 61, 62, 67, 002, 004), passwords and PINs (03, 04, 042, 05).
    const REGISTERS: [&str; 11] = [
        "21", "61", "62", "67", "002", "004", "401", "03", "04", "042", "05",
    ];
    if ERASES.iter().any(|erases| code.starts_with(erases)) {
        return true;
    }
    let Some(service) = code.strip_prefix("**").or_else(|| code.strip_prefix('*')) else {
        return false;
    };
    // Stars around a number (`*21*`, `**04**`) are bold type.
    let registers = service.split_once('*').is_some_and(|(number, to)| {
        let leads = to.starts_with(|one: char| one.is_ascii_digit() || one == '+')
            || to.is_empty()
                && tail.starts_with(|one: char| "…<[({.".contains(one) || one.is_alphabetic());
        REGISTERS.contains(&number) && leads
    });
    // As networks of North America forward calls.
    let forwards = ["72", "90", "92"].iter().any(|number| {
        service
            .strip_prefix(number)
            .is_some_and(|to| to.len() >= 7 && to.bytes().all(|one| one.is_ascii_digit()))
    });
    registers || forwards && !code.starts_with("**")
}

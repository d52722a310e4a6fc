//! Link previews: fetches the title, a description and a small picture of the page that a link
//! leads to, to send them with the message.
//!
//! The site that a link leads to learns that somebody is about to send it: it sees this device's IP
//! address, and when. It is therefore contacted only if the person wants that, only by the sender's
//! device, and never by the recipients.
//!
//! **Elsewhere.** The engine's `message::link_preview` decides what a message carries, and for
//! which link it is shown.
//!
//! **Always.** Only over TLS and only with sites on the public internet (no page can make this
//! device contact its router), and this device connects only to addresses that it has checked.
//! Through a proxy, it checks addresses, and leaves names to the proxy: a host that is not what its
//! certificate says gets no request.
//! Everything is bounded in bytes, steps and time; nothing is decompressed, and no code of a page
//! is run.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use html5gum::{DefaultEmitter, Token, Tokenizer};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{ACCEPT, CONTENT_TYPE, HOST, LOCATION, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};
use waxwing_dial::Route;
use waxwing_engine::api::LinkPreview;

use crate::{blobs::preview, link::circuit};

/// All of it takes so long, at most.
const LIMIT: Duration = Duration::from_secs(10);
/// So much of a page is read; its title stands at its beginning.
const PAGE_BYTES: usize = 512 << 10;
/// Larger pictures are left out.
const PICTURE_BYTES: usize = 4 << 20;
/// A link may lead on so often.
const STEPS: usize = 4;
/// Characters of a title and a description that are kept.
const TITLE: usize = 200;
const DESCRIPTION: usize = 400;

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum NoPreview {
    /// It is no link, or none that begins with https.
    #[error("only links that begin with https:// have a preview")]
    NotHttps,
    /// The name leads to no address of the public internet.
    #[error("{host} is not on the public internet")]
    NotPublic {
        /// The name.
        host: String,
    },
    /// It cannot be reached, or breaks off.
    #[error("{host} cannot be reached: {detail}")]
    Unreachable {
        /// The name.
        host: String,
        /// What the system says.
        detail: String,
    },
    /// It answers with something else than a page.
    #[error("there is nothing to show ({status})")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// It leads on and on.
    #[error("it redirects too often")]
    Circles,
    /// It is no page and no picture, or one without a title.
    #[error("it has no title")]
    Nothing,
    /// It took too long.
    #[error("it does not answer in time")]
    Slow,
}

/// The first link in a text that can have a preview.
pub fn first_link(text: &str) -> Option<&str> {
    text.split(|one: char| one.is_whitespace() || "<>()[]\"'".contains(one))
        .map(|word| word.trim_end_matches(['.', ',', ';', ':', '!', '?']))
        .find(|word| word.starts_with("https://") && Url::parse(word).is_ok())
}

/// Asks for what links lead to.
#[derive(Clone)]
pub struct Fetcher {
    route: Route,
    tls: Arc<ClientConfig>,
    may_reach: fn(IpAddr) -> bool,
}

/// What came.
struct Got {
    url: Url,
    media_type: String,
    body: Vec<u8>,
}

impl Fetcher {
    /// For the web, reached by this route, with the authorities that the web trusts.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(route: Route) -> Result<Self, rustls::Error> {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        Self::trusting(route, roots, is_public)
    }

    fn trusting(
        route: Route,
        roots: RootCertStore,
        may_reach: fn(IpAddr) -> bool,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            route,
            tls: Arc::new(tls),
            may_reach,
        })
    }

    /// What this link leads to.
    ///
    /// # Errors
    /// Where it leads to nothing that can be shown; a message may go without a preview.
    pub async fn preview(&self, link: &str) -> Result<LinkPreview, NoPreview> {
        timeout(LIMIT, self.look(link))
            .await
            .map_err(|_| NoPreview::Slow)?
    }

    async fn look(&self, link: &str) -> Result<LinkPreview, NoPreview> {
        let url = Url::parse(link).map_err(|_| NoPreview::NotHttps)?;
        let got = self.get(url, PAGE_BYTES, "text/html").await?;
        let mut preview = LinkPreview {
            url: link.to_owned(),
            ..LinkPreview::default()
        };
        if got.media_type.starts_with("image/") {
            let name = got.url.path_segments().and_then(Iterator::last);
            preview.title = shortened(name.unwrap_or_default(), TITLE);
            preview.thumbnail = preview::thumbnail(&got.body).unwrap_or_default();
        } else if got.media_type.contains("html") {
            let page = read(&got.body);
            preview.title = shortened(&page.title, TITLE);
            preview.description = shortened(&page.description, DESCRIPTION);
            // A page without its picture is a page all the same.
            if let Ok(url) = got.url.join(&page.picture)
                && !page.picture.is_empty()
                && let Ok(got) = self.get(url, PICTURE_BYTES, "image/*").await
                && got.media_type.starts_with("image/")
                && got.body.len() < PICTURE_BYTES
            {
                preview.thumbnail = preview::thumbnail(&got.body).unwrap_or_default();
            }
        }
        if preview.title.is_empty() {
            return Err(NoPreview::Nothing);
        }
        Ok(preview)
    }

    /// What is at a place, or where that leads on to; `most` bytes of it.
    async fn get(&self, mut url: Url, most: usize, accept: &str) -> Result<Got, NoPreview> {
        for _ in 0..STEPS {
            let answer = self.ask(&url, accept).await?;
            let header = |name| {
                let value = answer.headers().get(name);
                value.and_then(|value| value.to_str().ok())
            };
            match answer.status() {
                StatusCode::OK => {
                    let media_type = header(CONTENT_TYPE).unwrap_or_default();
                    let media_type = media_type.to_ascii_lowercase();
                    let body = self::body(answer, most).await;
                    return Ok(Got {
                        url,
                        media_type,
                        body,
                    });
                }
                status if status.is_redirection() => {
                    let next = header(LOCATION).and_then(|next| url.join(next).ok());
                    url = next.ok_or(NoPreview::Circles)?;
                }
                status => {
                    return Err(NoPreview::Refused {
                        status: status.as_u16(),
                    });
                }
            }
        }
        Err(NoPreview::Circles)
    }

    async fn ask(&self, url: &Url, accept: &str) -> Result<hyper::Response<Incoming>, NoPreview> {
        if url.scheme() != "https" {
            return Err(NoPreview::NotHttps);
        }
        let host = url.host_str().ok_or(NoPreview::NotHttps)?.to_owned();
        let unreachable = |detail: String| NoPreview::Unreachable {
            host: host.clone(),
            detail,
        };
        let broken = |error: hyper::Error| unreachable(error.to_string());
        let socket = self.connect(url, &host).await?;
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|error| unreachable(error.to_string()))?;
        let stream = TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, socket)
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // It ends with the answer.
        tokio::spawn(connection);
        let mut path = url.path().to_owned();
        if let Some(query) = url.query() {
            path.push('?');
            path.push_str(query);
        }
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        let request = Request::get(path)
            .header(HOST, authority)
            .header(USER_AGENT, "Waxwing link preview")
            .header(ACCEPT, accept)
            .body(Empty::<Bytes>::new())
            .map_err(|error| unreachable(error.to_string()))?;
        sender.send_request(request).await.map_err(broken)
    }

    async fn connect(&self, url: &Url, host: &str) -> Result<TcpStream, NoPreview> {
        let unreachable = |detail: String| NoPreview::Unreachable {
            host: host.to_owned(),
            detail,
        };
        if self.route == Route::Direct {
            let places = self.places(url, host).await?;
            return waxwing_dial::connect_to_any(places)
                .await
                .map_err(|error| unreachable(error.to_string()));
        }
        // The name is the proxy's to look up.
        if matches!(url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_))) {
            self.places(url, host).await?;
        }
        let port = url.port_or_known_default().unwrap_or(443);
        self.route
            .connect(host.trim_matches(['[', ']']), port, &circuit())
            .await
            .map_err(|error| unreachable(error.to_string()))
    }

    /// The addresses to connect with. All that the name leads to must be public: otherwise it is
    /// meant to lead somewhere else at the next look.
    async fn places(&self, url: &Url, host: &str) -> Result<Vec<SocketAddr>, NoPreview> {
        let port = url.port_or_known_default().unwrap_or(443);
        let found: Vec<SocketAddr> = match url.host() {
            Some(Host::Ipv4(address)) => vec![(address, port).into()],
            Some(Host::Ipv6(address)) => vec![(address, port).into()],
            _ => lookup_host((host, port))
                .await
                .map_err(|error| NoPreview::Unreachable {
                    host: host.to_owned(),
                    detail: error.to_string(),
                })?
                .collect(),
        };
        let all_public = found.iter().all(|one| (self.may_reach)(one.ip()));
        if found.is_empty() || !all_public {
            return Err(NoPreview::NotPublic {
                host: host.to_owned(),
            });
        }
        Ok(found)
    }
}

/// The beginning of what comes: what breaks off ends there.
async fn body(answer: hyper::Response<Incoming>, most: usize) -> Vec<u8> {
    let mut incoming = answer.into_body();
    let mut body = Vec::new();
    while let Some(Ok(frame)) = incoming.frame().await {
        if let Some(data) = frame.data_ref() {
            let left = most.saturating_sub(body.len());
            body.extend(data.iter().take(left));
        }
        if body.len() >= most {
            break;
        }
    }
    body
}

/// Whether an address is one of the public internet (RFC 6890 and its registries).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_broadcast()
                || address.is_documentation()
                || address.is_multicast()
                || a == 0
                || a >= 240
                || (a, b & 0xc0) == (100, 64)
                || (a, b, c) == (192, 0, 0)
                || (a, b & 0xfe) == (198, 18))
        }
        IpAddr::V6(address) => {
            if let Some(mapped) = address.to_ipv4_mapped() {
                return is_public(mapped.into());
            }
            // Global unicast is 2000::/3; what in it leads to IPv4 addresses, or nowhere, is not
            // taken.
            let [first, second, ..] = address.segments();
            first & 0xe000 == 0x2000
                && first != 0x2002
                && !(first == 0x2001 && (second < 0x0200 || second == 0x0db8))
        }
    }
}

/// What a page says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct WebPage {
    title: String,
    description: String,
    picture: String,
}

fn read(body: &[u8]) -> WebPage {
    let mut page = WebPage::default();
    let mut plain_title = String::new();
    let mut in_title = false;
    // The content of a title or a script is text, no matter what it looks like.
    let mut emitter = DefaultEmitter::<()>::default();
    emitter.naively_switch_states(true);
    for Ok(token) in Tokenizer::new_with_emitter(body, emitter) {
        match token {
            Token::StartTag(tag) => {
                let attribute = |name: &[u8]| {
                    let value = tag.attributes.get(name);
                    value.map(|value| String::from_utf8_lossy(value).into_owned())
                };
                match tag.name.as_slice() {
                    b"title" => in_title = plain_title.is_empty(),
                    b"meta" => {
                        let name = attribute(b"property").or_else(|| attribute(b"name"));
                        let content = attribute(b"content").unwrap_or_default();
                        let slot = match name.unwrap_or_default().to_ascii_lowercase().as_str() {
                            "og:title" => &mut page.title,
                            "og:description" => &mut page.description,
                            "description" if page.description.is_empty() => &mut page.description,
                            "og:image" if page.picture.is_empty() => &mut page.picture,
                            _ => continue,
                        };
                        *slot = content;
                    }
                    b"body" => break,
                    _ => {}
                }
            }
            Token::EndTag(tag) => {
                in_title &= tag.name.as_slice() != b"title";
                if tag.name.as_slice() == b"head" {
                    break;
                }
            }
            Token::String(text) if in_title => {
                plain_title.push_str(&String::from_utf8_lossy(&text));
            }
            _ => {}
        }
    }
    if page.title.is_empty() {
        page.title = plain_title;
    }
    page
}

/// On one line, without what steers or hides, and not longer than this.
fn shortened(text: &str, characters: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words
        .join(" ")
        .chars()
        .filter(|one| {
            !one.is_control() && !matches!(one, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        })
        .collect();
    if line.chars().count() <= characters {
        return line;
    }
    let mut cut: String = line.chars().take(characters - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rustls::{ServerConfig, pki_types::PrivateKeyDer};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A web server that has these answers, by path; and who it was asked for.
    async fn server(
        answers: &'static [(&'static str, &'static str)],
    ) -> (Fetcher, u16, Arc<Mutex<Vec<String>>>) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let asking = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let mut stream = acceptor.accept(socket).await.unwrap();
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = request.split(' ').nth(1).unwrap().to_owned();
                let answer = answers.iter().find(|(of, _)| *of == path);
                let answer = answer.map_or("HTTP/1.1 404 No\r\n\r\n", |(_, answer)| answer);
                asking.lock().unwrap().push(path);
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        // Where "localhost" leads to both loopback addresses, only one of them listens.
        let reach = |address: IpAddr| address.is_loopback();
        let fetcher = Fetcher::trusting(Route::Direct, roots, reach).unwrap();
        (fetcher, port, asked)
    }

    #[tokio::test]
    async fn a_page_says_what_it_is_wherever_the_link_leads() {
        let (fetcher, port, asked) = server(&[
            (
                "/short",
                "HTTP/1.1 302 Found\r\nlocation: /page?x=1\r\ncontent-length: 0\r\n\r\n",
            ),
            (
                "/page?x=1",
                "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\n\r\n\
                 <html><head><title>Plain</title><meta property='og:title' content='Waxwings &amp; more'>\
                 <meta name=description content=' They  eat\nberries. '>\
                 <meta property='og:image' content='/missing.png'></head>\
                 <body><title>Not this</title>",
            ),
        ])
        .await;
        let link = format!("https://localhost:{port}/short");
        let preview = fetcher.preview(&link).await.unwrap();
        assert_eq!(preview.url, link);
        assert_eq!(preview.title, "Waxwings & more");
        assert_eq!(preview.description, "They eat berries.");
        assert_eq!(preview.thumbnail, "");
        assert_eq!(
            *asked.lock().unwrap(),
            ["/short", "/page?x=1", "/missing.png"]
        );
    }

    #[tokio::test]
    async fn what_leads_nowhere_has_no_preview() {
        let (fetcher, port, _) = server(&[
            (
                "/circle",
                "HTTP/1.1 301 Again\r\nlocation: /circle\r\ncontent-length: 0\r\n\r\n",
            ),
            (
                "/plain",
                "HTTP/1.1 302 Found\r\nlocation: http://localhost/\r\ncontent-length: 0\r\n\r\n",
            ),
            (
                "/text",
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nhello",
            ),
        ])
        .await;
        let look = async |path: &str| {
            let link = format!("https://localhost:{port}{path}");
            fetcher.preview(&link).await.unwrap_err().to_string()
        };
        assert_eq!(look("/circle").await, NoPreview::Circles.to_string());
        assert_eq!(look("/plain").await, NoPreview::NotHttps.to_string());
        assert_eq!(look("/text").await, NoPreview::Nothing.to_string());
        assert_eq!(look("/none").await, "there is nothing to show (404)");
    }

    #[tokio::test]
    async fn no_page_has_this_device_ask_its_own_network() {
        let (fetcher, port, asked) = server(&[]).await;
        let careful = Fetcher {
            may_reach: is_public,
            ..fetcher
        };
        for host in ["localhost", "127.0.0.1", "[::1]", "2130706433"] {
            let link = format!("https://{host}:{port}/");
            let error = careful.preview(&link).await.unwrap_err();
            assert!(
                matches!(error, NoPreview::NotPublic { .. }),
                "{host}: {error}"
            );
        }
        assert_eq!(asked.lock().unwrap().len(), 0);
        for address in [
            "10.1.2.3",
            "192.168.0.1",
            "172.16.5.4",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "198.18.0.1",
            "255.255.255.255",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "::1",
            "2002:a00:1::",
            "2001:db8::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "2606:4700::1111",
            "2001:4860:4860::8888",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn the_first_link_of_a_text_is_found() {
        assert_eq!(
            first_link("See (https://a.example/b), or https://c.example"),
            Some("https://a.example/b")
        );
        assert_eq!(first_link("http://a.example or a.example"), None);
    }

    #[test]
    fn a_page_without_more_has_its_title() {
        let page = read(b"<title>One <b>two</title><meta name=description content=x>");
        assert_eq!(
            (page.title.as_str(), page.description.as_str()),
            ("One <b>two", "x")
        );
        assert_eq!(read(&[0xff; 100]), WebPage::default());
        assert_eq!(shortened(&"x".repeat(500), 10).chars().count(), 10);
    }
}

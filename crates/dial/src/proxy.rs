//! Connections through a SOCKS5 proxy (RFC 1928, RFC 1929), such as Tor.
//!
//! **Elsewhere**: the crate `tokio-socks` speaks with the proxy; connecting with the proxy's own
//! host works as for any other ([`crate::connect`]).
//!
//! **Always**: a [`Route`] through a proxy never connects with anything but the proxy, and never
//! looks up the name of the host that is meant: the proxy does. If the proxy fails, so does the
//! connection.

use std::{fmt, io, str::FromStr, time::Duration};

use percent_encoding::percent_decode_str;
use tokio::{net::TcpStream, time::timeout};
use tokio_socks::{Error as SocksError, tcp::Socks5Stream};
use url::{Host, Url};
use zeroize::Zeroizing;

/// The port of a proxy whose URL names none (RFC 1928 section 3).
pub const DEFAULT_PORT: u16 = 1080;
/// How long the proxy may take to connect with the host. Tor may have to build a circuit first.
pub const PROXY_LIMIT: Duration = Duration::from_mins(1);
/// Bytes of a user name or a password, at most (RFC 1929 section 2).
const CREDENTIAL_BYTES: usize = 255;
/// What a route without a proxy is called.
const DIRECT: &str = "none";

/// How connections are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Route {
    /// To the host itself.
    #[default]
    Direct,
    /// Through a proxy, always.
    Proxy(Proxy),
}

/// A SOCKS5 proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    credentials: Option<Credentials>,
}

#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    user: String,
    password: Zeroizing<String>,
}

/// Why a text does not name a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteMalformed {
    /// It is a proxy of another kind, or not a URL.
    #[error("a proxy looks like socks5://HOST:PORT or socks5://USER:PASSWORD@HOST:PORT")]
    Scheme,
    /// The host or the port is missing or wrong, or something follows them.
    #[error("the proxy needs a host and a port, and nothing after them")]
    Host,
    /// SOCKS5 cannot send them.
    #[error("the proxy's user name and password must each have 1 to 255 bytes")]
    Credentials,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// The host cannot be reached; it makes no difference whether the proxy found that out.
    #[error("{0}")]
    Host(io::Error),
    /// The proxy cannot be used, so nothing was sent to the host.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

/// Why a proxy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Nobody listens there.
    #[error("{authority} cannot be reached: {source}")]
    Unreachable {
        /// Where the proxy should be.
        authority: String,
        /// What the system said.
        source: io::Error,
    },
    /// It wants a user name and a password, or other ones.
    #[error("{authority} does not accept the user name and password")]
    Credentials {
        /// Where the proxy is.
        authority: String,
    },
    /// Its rules forbid the connection.
    #[error("{authority} does not allow this connection")]
    Forbidden {
        /// Where the proxy is.
        authority: String,
    },
    /// It does not speak SOCKS5, or closes the connection.
    #[error("{authority} breaks off, or is not a SOCKS5 proxy")]
    NotSocks {
        /// Where it is.
        authority: String,
    },
    /// It accepted the connection, and nothing more came.
    #[error("{authority} does not answer")]
    Silent {
        /// Where it is.
        authority: String,
    },
}

impl Route {
    /// Connects with a host: a DNS name, or an IP address without brackets.
    ///
    /// `circuit` is a text that nobody else uses, of 1 to 255 bytes. A proxy without credentials
    /// gets it as user name and password, because Tor keeps connections with different credentials
    /// on different circuits (`IsolateSOCKSAuth`): the host cannot tell by their addresses that two
    /// connections belong together.
    pub async fn connect(
        &self,
        host: &str,
        port: u16,
        circuit: &str,
    ) -> Result<TcpStream, RouteError> {
        match self {
            // Only Tor can reach these; the name must not be looked up elsewhere (RFC 7686).
            Self::Direct if is_onion(host) => Err(RouteError::Host(io::Error::new(
                io::ErrorKind::NotFound,
                "names that end in .onion need a proxy",
            ))),
            Self::Direct => crate::connect(host, port).await.map_err(RouteError::Host),
            Self::Proxy(proxy) => proxy.connect(host, port, circuit).await,
        }
    }
}

fn is_onion(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host.rsplit_once('.')
        .is_some_and(|(_, last)| last.eq_ignore_ascii_case("onion"))
}

impl Proxy {
    /// `host:port`, with brackets around IPv6.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    async fn connect(&self, host: &str, port: u16, circuit: &str) -> Result<TcpStream, RouteError> {
        if let Some(own) = &self.credentials {
            let through = self.through(host, port, Some((&own.user, &own.password)));
            return through.await.map_err(|error| self.meaning(error));
        }
        match self.through(host, port, Some((circuit, circuit))).await {
            // It asks for credentials where it can, but may also do without.
            Err(Failed::Socks(SocksError::PasswordAuthFailure(_))) => {
                let through = self.through(host, port, None);
                through.await.map_err(|error| self.meaning(error))
            }
            result => result.map_err(|error| self.meaning(error)),
        }
    }

    async fn through(
        &self,
        host: &str,
        port: u16,
        credentials: Option<(&str, &str)>,
    ) -> Result<TcpStream, Failed> {
        let socket = crate::connect(&self.host, self.port)
            .await
            .map_err(Failed::Unreachable)?;
        let speaking = async {
            match credentials {
                Some((user, password)) => {
                    Socks5Stream::connect_with_password_and_socket(
                        socket,
                        (host, port),
                        user,
                        password,
                    )
                    .await
                }
                None => Socks5Stream::connect_with_socket(socket, (host, port)).await,
            }
        };
        let stream = timeout(PROXY_LIMIT, speaking)
            .await
            .map_err(|_| Failed::Silent)?
            .map_err(Failed::Socks)?;
        Ok(stream.into_inner())
    }

    fn meaning(&self, failed: Failed) -> RouteError {
        let authority = self.authority();
        let host = |kind, words: &str| RouteError::Host(io::Error::new(kind, words));
        let error = match failed {
            Failed::Unreachable(source) => ProxyError::Unreachable { authority, source },
            Failed::Silent => ProxyError::Silent { authority },
            Failed::Socks(error) => match error {
                SocksError::HostUnreachable
                | SocksError::NetworkUnreachable
                | SocksError::TtlExpired => {
                    return host(
                        io::ErrorKind::HostUnreachable,
                        "the proxy finds no way to it",
                    );
                }
                SocksError::ConnectionRefused => {
                    return host(
                        io::ErrorKind::ConnectionRefused,
                        "connection refused, says the proxy",
                    );
                }
                // What most proxies say of all kinds of trouble with the host.
                SocksError::GeneralSocksServerFailure => {
                    return host(io::ErrorKind::Other, "the proxy cannot connect with it");
                }
                SocksError::AddressTypeNotSupported | SocksError::InvalidTargetAddress(_) => {
                    return host(
                        io::ErrorKind::Unsupported,
                        "the proxy does not support its address",
                    );
                }
                SocksError::ConnectionNotAllowedByRuleset => ProxyError::Forbidden { authority },
                SocksError::PasswordAuthFailure(_)
                | SocksError::AuthorizationRequired
                | SocksError::NoAcceptableAuthMethods
                | SocksError::InvalidAuthValues(_) => ProxyError::Credentials { authority },
                _ => ProxyError::NotSocks { authority },
            },
        };
        error.into()
    }
}

/// How an attempt ended.
enum Failed {
    Unreachable(io::Error),
    Silent,
    Socks(SocksError),
}

impl FromStr for Route {
    type Err = RouteMalformed;

    /// `none`, or the URL of a proxy: `socks5://`, `socks5h://` or `socks://`, which mean the same.
    fn from_str(text: &str) -> Result<Self, RouteMalformed> {
        let text = text.trim();
        if text.eq_ignore_ascii_case(DIRECT) {
            return Ok(Self::Direct);
        }
        let url = Url::parse(text).map_err(|_| RouteMalformed::Scheme)?;
        if !["socks5", "socks5h", "socks"].contains(&url.scheme()) {
            return Err(RouteMalformed::Scheme);
        }
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(Host::Domain(_)) | None => return Err(RouteMalformed::Host),
        };
        let port = url.port().unwrap_or(DEFAULT_PORT);
        let has_more =
            !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some();
        if port == 0 || has_more {
            return Err(RouteMalformed::Host);
        }
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => Some(Credentials {
                user: decoded(user)?,
                password: Zeroizing::new(decoded(password.unwrap_or_default())?),
            }),
        };
        Ok(Self::Proxy(Proxy {
            host,
            port,
            credentials,
        }))
    }
}

fn decoded(text: &str) -> Result<String, RouteMalformed> {
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| RouteMalformed::Credentials)?;
    if (1..=CREDENTIAL_BYTES).contains(&text.len()) {
        Ok(text.into_owned())
    } else {
        Err(RouteMalformed::Credentials)
    }
}

/// Without the password; the text cannot be read again if there was one.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str(DIRECT),
            Self::Proxy(proxy) => {
                let secret = if proxy.credentials.is_some() {
                    "…@"
                } else {
                    ""
                };
                write!(f, "socks5h://{secret}{}", proxy.authority())
            }
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxy(..)")
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        task::JoinHandle,
    };

    use super::*;

    /// What a proxy does with those who come.
    #[derive(Clone, Copy)]
    enum Rule {
        /// No credentials, whatever is offered.
        Open,
        /// This user name and password.
        Password(&'static str, &'static str),
        /// Prefers credentials, refuses them, and lets people in who offer none.
        PrefersPasswords,
        /// Lets them in, and answers their request with this.
        Answers(u8),
        /// Not SOCKS.
        Http,
        Closes,
    }

    /// What it was asked for: each host, port and user.
    type Asked = Vec<(String, u16, Option<String>)>;

    /// Serves `connections`, and gives what was asked for. Nothing is connected further.
    async fn proxy(rule: Rule, connections: usize) -> (Proxy, JoinHandle<Asked>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let mut asked = Vec::new();
            for _ in 0..connections {
                let (mut stream, _) = listener.accept().await.unwrap();
                if let Ok(Some(one)) = serve(&mut stream, rule).await {
                    asked.push(one);
                }
            }
            asked
        });
        let Route::Proxy(proxy) = format!("socks5://127.0.0.1:{port}").parse().unwrap() else {
            panic!("no proxy");
        };
        (proxy, serving)
    }

    async fn text(stream: &mut TcpStream) -> io::Result<String> {
        let length = stream.read_u8().await?;
        let mut bytes = vec![0; length.into()];
        stream.read_exact(&mut bytes).await?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    async fn serve(
        stream: &mut TcpStream,
        rule: Rule,
    ) -> io::Result<Option<(String, u16, Option<String>)>> {
        if matches!(rule, Rule::Closes) {
            return Ok(None);
        }
        assert_eq!(stream.read_u8().await?, 5);
        let mut methods = vec![0; stream.read_u8().await?.into()];
        stream.read_exact(&mut methods).await?;
        let by_password = match rule {
            Rule::Http => {
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\n").await?;
                return Ok(None);
            }
            Rule::Password(..) => true,
            Rule::PrefersPasswords => methods.contains(&2),
            Rule::Open | Rule::Answers(_) => false,
            Rule::Closes => return Ok(None),
        };
        let mut user = None;
        if by_password {
            if !methods.contains(&2) {
                stream.write_all(&[5, 0xff]).await?;
                return Ok(None);
            }
            stream.write_all(&[5, 2]).await?;
            assert_eq!(stream.read_u8().await?, 1);
            let (name, password) = (text(stream).await?, text(stream).await?);
            let is_right = match rule {
                Rule::Password(own, secret) => own == name && secret == password,
                _ => false,
            };
            stream.write_all(&[1, u8::from(!is_right)]).await?;
            if !is_right {
                return Ok(None);
            }
            user = Some(name);
        } else {
            stream.write_all(&[5, 0]).await?;
        }
        let mut head = [0; 4];
        stream.read_exact(&mut head).await?;
        let host = match head {
            [5, 1, 0, 3] => text(stream).await?,
            [5, 1, 0, 1] => {
                let mut address = [0; 4];
                stream.read_exact(&mut address).await?;
                std::net::Ipv4Addr::from(address).to_string()
            }
            other => panic!("{other:?}"),
        };
        let port = stream.read_u16().await?;
        let answer = match rule {
            Rule::Answers(answer) => answer,
            _ => 0,
        };
        stream
            .write_all(&[5, answer, 0, 1, 0, 0, 0, 0, 0, 0])
            .await?;
        if answer == 0 {
            stream.write_all(b"from the host").await?;
        }
        Ok(Some((host, port, user)))
    }

    fn with(proxy: &Proxy, user: &str, password: &str) -> Route {
        let url = format!("socks5h://{user}:{password}@{}", proxy.authority());
        url.parse().unwrap()
    }

    const HOST: &str = "relay.no-such-name.example";

    #[tokio::test]
    async fn the_proxy_gets_the_name_and_nobody_else_does() {
        let (proxy, asked) = proxy(Rule::Open, 2).await;
        let route = Route::Proxy(proxy);
        let mut stream = route.connect(HOST, 4433, "one").await.unwrap();
        let mut came = [0; 13];
        stream.read_exact(&mut came).await.unwrap();
        assert_eq!(&came, b"from the host");
        route.connect("192.0.2.7", 443, "two").await.unwrap();
        let hosts = [(HOST.into(), 4433, None), ("192.0.2.7".into(), 443, None)];
        assert_eq!(asked.await.unwrap(), hosts);
    }

    #[tokio::test]
    async fn each_connection_has_a_circuit_of_its_own() {
        let (proxy, asked) = proxy(Rule::Password("one", "one"), 1).await;
        Route::Proxy(proxy).connect(HOST, 1, "one").await.unwrap();
        assert_eq!(
            asked.await.unwrap(),
            [(HOST.into(), 1, Some("one".to_owned()))]
        );
        // A proxy that takes no credentials, though it would have liked some.
        let (proxy, asked) = self::proxy(Rule::PrefersPasswords, 2).await;
        Route::Proxy(proxy).connect(HOST, 1, "one").await.unwrap();
        assert_eq!(asked.await.unwrap(), [(HOST.into(), 1, None)]);
    }

    #[tokio::test]
    async fn a_user_name_and_a_password_are_the_persons() {
        let rule = Rule::Password("al:ice", "p@ss word");
        let (proxy, asked) = proxy(rule, 2).await;
        let right = with(&proxy, "al%3Aice", "p%40ss%20word");
        right.connect(HOST, 1, "one").await.unwrap();
        let wrong = with(&proxy, "alice", "guess").connect(HOST, 1, "one").await;
        assert!(matches!(
            wrong,
            Err(RouteError::Proxy(ProxyError::Credentials { .. }))
        ));
        assert_eq!(asked.await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_the_proxy_answers_is_told_apart() {
        let told = async |rule, connections| {
            let (proxy, _asked) = proxy(rule, connections).await;
            Route::Proxy(proxy)
                .connect(HOST, 1, "one")
                .await
                .unwrap_err()
        };
        for (answer, kind) in [
            (1, io::ErrorKind::Other),
            (3, io::ErrorKind::HostUnreachable),
            (4, io::ErrorKind::HostUnreachable),
            (5, io::ErrorKind::ConnectionRefused),
        ] {
            let RouteError::Host(error) = told(Rule::Answers(answer), 1).await else {
                panic!("{answer}");
            };
            assert_eq!(error.kind(), kind, "{answer}");
        }
        for (rule, connections, words) in [
            (Rule::Answers(2), 1, "does not allow this connection"),
            (Rule::Http, 1, "is not a SOCKS5 proxy"),
            (Rule::Closes, 1, "is not a SOCKS5 proxy"),
            (
                Rule::Password("alice", "secret"),
                2,
                "does not accept the user name",
            ),
        ] {
            let error = told(rule, connections).await;
            assert!(matches!(error, RouteError::Proxy(_)));
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[tokio::test]
    async fn without_its_proxy_a_host_that_listens_is_not_reached() {
        let host = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = host.local_addr().unwrap().port();
        let closed = {
            let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
            gone.local_addr().unwrap()
        };
        let route: Route = format!("socks5://{closed}").parse().unwrap();
        let error = route.connect("127.0.0.1", port, "one").await.unwrap_err();
        assert!(matches!(
            error,
            RouteError::Proxy(ProxyError::Unreachable { .. })
        ));
        let nobody = timeout(Duration::from_millis(50), host.accept()).await;
        assert!(nobody.is_err());
    }

    #[tokio::test]
    async fn an_onion_name_is_never_looked_up() {
        for host in ["abc.onion", "ABC.Onion."] {
            let error = Route::Direct.connect(host, 1, "one").await.unwrap_err();
            assert!(error.to_string().contains("need a proxy"), "{error}");
        }
        assert!(!is_onion("onion.example.org") && !is_onion("onion"));
    }

    #[test]
    fn a_route_is_read_and_shown_without_its_password() {
        for (text, shown) in [
            ("none", "none"),
            ("socks5://127.0.0.1:9050", "socks5h://127.0.0.1:9050"),
            ("socks5h://localhost/", "socks5h://localhost:1080"),
            ("socks://[::1]:9050", "socks5h://[::1]:9050"),
            (
                "SOCKS5://alice:secret@proxy.example.org:1",
                "socks5h://…@proxy.example.org:1",
            ),
        ] {
            let route: Route = text.parse().unwrap();
            assert_eq!(route.to_string(), shown);
            assert!(!format!("{route:?}").contains("secret"));
        }
        let long = format!("socks5://{}:x@h", "a".repeat(256));
        for (text, error) in [
            ("127.0.0.1:9050", RouteMalformed::Scheme),
            ("http://proxy.example.org:3128", RouteMalformed::Scheme),
            ("socks4://proxy.example.org", RouteMalformed::Scheme),
            ("", RouteMalformed::Scheme),
            ("socks5://", RouteMalformed::Host),
            ("socks5://h:0", RouteMalformed::Host),
            ("socks5://h:1/path", RouteMalformed::Host),
            ("socks5://alice@h", RouteMalformed::Credentials),
            (&long, RouteMalformed::Credentials),
        ] {
            assert_eq!(text.parse::<Route>(), Err(error), "{text}");
        }
    }
}

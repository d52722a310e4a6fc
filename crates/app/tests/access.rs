//! The server as others see it: other sites, other users, other names for this machine.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails here has failed"
)]

use std::{fmt::Write as _, io, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use waxwing_app::{App, Keys};
use waxwing_client::home::{KeyKeeping, KeySource};
use zeroize::Zeroizing;

struct InFile;

impl KeySource for InFile {
    fn preference(&self) -> Option<KeyKeeping> {
        Some(KeyKeeping::File)
    }

    fn passphrase(&mut self, _: bool) -> io::Result<Option<Zeroizing<String>>> {
        Ok(None)
    }
}

struct Served {
    address: SocketAddr,
    token: String,
    home_folder: tempfile::TempDir,
}

async fn serve() -> Served {
    let home = tempfile::tempdir().unwrap();
    let keys: Keys = Arc::new(|| Box::new(InFile));
    let app = App::bind(home.path().join("home"), keys, |_| String::new(), 0)
        .await
        .unwrap();
    std::fs::create_dir(home.path().join("home")).unwrap();
    let url = app.url();
    let served = Served {
        address: app.address().unwrap(),
        token: url.split_once('#').unwrap().1.to_owned(),
        home_folder: home,
    };
    tokio::spawn(app.run(std::future::pending()));
    served
}

impl Served {
    /// Sends a request with these headers, and returns the whole answer.
    async fn send(&self, line: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut request = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in headers {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        write!(request, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn status(&self, line: &str, headers: &[(&str, &str)], body: &str) -> u16 {
        let answer = self.send(line, headers, body).await;
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn host(&self) -> String {
        self.address.to_string()
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bearer and the files' secret.
    async fn session(&self) -> (String, String) {
        let (host, origin) = (self.host(), self.origin());
        let headers = [("Host", host.as_str()), ("Origin", origin.as_str())];
        let answer = self.send("POST /session", &headers, &self.token).await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let session: serde_json::Value = serde_json::from_str(body).unwrap();
        let text = |name: &str| session[name].as_str().unwrap().to_owned();
        (text("bearer"), text("files"))
    }
}

#[tokio::test]
async fn the_token_opens_one_session_and_only_for_the_page() {
    let served = serve().await;
    let (host, origin) = (served.host(), served.origin());
    let post = "POST /session";
    let evil = [("Host", host.as_str()), ("Origin", "http://evil.example")];
    assert_eq!(served.status(post, &evil, &served.token).await, 403);
    let none = [("Host", host.as_str())];
    assert_eq!(served.status(post, &none, &served.token).await, 403);
    let own = [("Host", host.as_str()), ("Origin", origin.as_str())];
    assert_eq!(served.status(post, &own, "guess").await, 401);
    assert_eq!(served.status(post, &own, &served.token).await, 200);
    assert_eq!(served.status(post, &own, &served.token).await, 401);
}

#[tokio::test]
async fn other_names_of_this_machine_get_nothing() {
    let served = serve().await;
    let (bearer, _) = served.session().await;
    let bearer = format!("Bearer {bearer}");
    let port = served.address.port();
    for host in [
        format!("localhost:{port}"),
        format!("rebound.example:{port}"),
    ] {
        let headers = [("Host", host.as_str()), ("Authorization", &bearer)];
        assert_eq!(served.status("GET /session", &headers, "").await, 421);
        assert_eq!(served.status("GET /", &headers, "").await, 421);
    }
}

#[tokio::test]
async fn nothing_is_given_or_taken_without_the_bearer() {
    let served = serve().await;
    let (bearer, files) = served.session().await;
    let (host, origin) = (served.host(), served.origin());
    let own = [("Host", host.as_str()), ("Origin", origin.as_str())];
    for line in [
        "GET /session",
        "GET /preferences",
        "PUT /preferences",
        "POST /files?name=a",
        "POST /export",
        "GET /files/guess/00/0",
        "GET /rpc",
    ] {
        assert_eq!(served.status(line, &own, "{}").await, 401, "{line}");
    }
    let bearer = format!("Bearer {bearer}");
    let allowed = [own[0], own[1], ("Authorization", bearer.as_str())];
    assert_eq!(
        served
            .status("PUT /preferences", &allowed, "{\"theme\":\"dark\"}")
            .await,
        200
    );
    let kept = served.send("GET /preferences", &allowed, "").await;
    assert!(kept.ends_with("{\"theme\":\"dark\"}"), "{kept}");
    assert_eq!(served.status("PUT /preferences", &allowed, "[]").await, 400);
    // Another site that knows everything but is another site.
    let path = format!("GET /files/{files}/{}/0", "0".repeat(64));
    let elsewhere = [own[0], ("Sec-Fetch-Site", "cross-site")];
    assert_eq!(served.status(&path, &elsewhere, "").await, 403);
}

#[tokio::test]
async fn a_file_is_sealed_while_it_arrives() {
    let served = serve().await;
    let (bearer, _) = served.session().await;
    let (host, origin) = (served.host(), served.origin());
    let bearer = format!("Bearer {bearer}");
    let allowed = [
        ("Host", host.as_str()),
        ("Origin", origin.as_str()),
        ("Authorization", bearer.as_str()),
    ];
    let answer = served
        .send(
            "POST /files?name=a%20b.txt",
            &allowed,
            &"secret ".repeat(30_000),
        )
        .await;
    assert!(answer.contains("\"name\":\"a b.txt\""), "{answer}");
    let blobs = served.home_folder.path().join("home/blobs");
    for blob in std::fs::read_dir(blobs).unwrap() {
        let bytes = std::fs::read(blob.unwrap().path()).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"secret "));
    }
}

#[tokio::test]
async fn no_answer_lets_a_browser_run_more_than_the_page() {
    let served = serve().await;
    let host = served.host();
    for line in ["GET /", "GET /nothing", "GET /session", "DELETE /"] {
        let answer = served
            .send(line, &[("Host", &host)], "")
            .await
            .to_lowercase();
        let policy = answer
            .lines()
            .find_map(|line| line.strip_prefix("content-security-policy: "))
            .unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{line}: {policy}");
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{line}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{line}: {policy}");
        assert!(answer.contains("x-content-type-options: nosniff"));
        assert!(answer.contains("referrer-policy: no-referrer"));
        assert!(answer.contains("cache-control: no-store"));
        assert!(!answer.contains("access-control-allow"));
    }
}

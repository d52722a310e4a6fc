//! `waxwing-relay` as an operator and a supervisor meet it: a process.

#![cfg(test)]
#![allow(clippy::string_slice)]

#[path = "../../relay/tests/support/mod.rs"]
#[allow(dead_code)]
mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use rustls::version::TLS13;
use support::{Link, config, connect, errors};
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;
use waxwing_protocol::pb::{self, client_frame::Body as Request, relay_frame::Body as Answer};

const PROGRAM: &str = env!("CARGO_BIN_EXE_waxwing-relay");

/// A relay in a process of its own, ended with the test.
struct Relay {
    child: Child,
    url: String,
    address: SocketAddr,
}

impl Relay {
    fn start(data: &Path, listen: &str, arguments: &[&str]) -> Self {
        let mut child = serve(data, listen, arguments).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let Some(url) = line.strip_prefix("listening ") else {
            let mut log = String::new();
            let mut stderr = child.stderr.take().unwrap();
            stderr.read_to_string(&mut log).unwrap();
            panic!("no ready line, but {line:?}: {log}");
        };
        let url = url.trim_end().to_owned();
        let address = url["https://".len()..].split('/').next().unwrap();
        Self {
            child,
            address: address.parse().unwrap(),
            url,
        }
    }

    /// Asks it to stop; gives the exit code and what it logged.
    fn stop(mut self) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let mut log = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }

    async fn link(&self) -> Link {
        let stream = connect(self.address, config(&[&TLS13])).await.unwrap();
        let mut link = Link::upgrade(stream).await;
        assert!(matches!(link.next().await, Some(Answer::Hello(_))));
        link.ask(Request::Open(pb::Open { version: 1 })).await;
        link
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(data: &Path, listen: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(["serve", "--listen", listen, "--data"])
        .arg(data)
        .args(arguments)
        .env("WAXWING_LOG", "trace")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_first_start_makes_an_identity_that_stays() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("new/relay");
    let ready = dir.path().join("ready");
    let ready_file = ["--ready-file", ready.to_str().unwrap()];
    let relay = Relay::start(&data, "127.0.0.1:0", &ready_file);
    let url = relay.url.clone();
    let address = relay.address.to_string();
    let line = std::fs::read_to_string(&ready).unwrap();
    assert_eq!(line, format!("listening {url}\n"));
    for entry in std::fs::read_dir(data.join("identity")).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let (code, log) = relay.stop();
    assert_eq!(code, Some(0), "{log}");

    let again = Relay::start(&data, &address, &[]);
    assert_eq!(again.url, url);
    let port = again.address.port().to_string();
    let data = data.to_str().unwrap();
    let identity = run(&["identity", "--data", data, "--port", &port]);
    let identity = String::from_utf8(identity.stdout).unwrap();
    let pin = url.split('#').nth(1).unwrap();
    assert_eq!(identity, format!("pin {pin}\nurl {url}\n"));
}

#[test]
fn two_relays_never_share_a_data_directory_or_a_port() {
    let dir = tempfile::tempdir().unwrap();
    let first = Relay::start(dir.path(), "127.0.0.1:0", &[]);
    let second = serve(dir.path(), "127.0.0.1:0", &[]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(
        said(&second).contains("in use by another"),
        "{}",
        said(&second)
    );

    let other = tempfile::tempdir().unwrap();
    let port = first.address.to_string();
    let second = serve(other.path(), &port, &[]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(said(&second).contains("another port"), "{}", said(&second));
}

#[test]
fn mistakes_get_a_sentence_and_their_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "smpt = \"smtp://user:hunter2@host\"\n").unwrap();
    let file = file.to_str().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    for (arguments, code, sentence) in [
        (&["serve"][..], 2, "--data"),
        (&["check", "--data", data], 1, "holds no relay"),
        (&["identity", "--data", data], 1, "holds no relay"),
        (&["serve", "--data", file], 1, "Give a directory"),
        (&["serve", "--data", data, "--config", file], 1, "line 1"),
        (
            &["serve", "--data", data, "--smtp", "mail.example.org"],
            1,
            "smtps://",
        ),
        (
            &["serve", "--data", data, "--name", "not a name"],
            1,
            "not a host name",
        ),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(said(&output).contains(sentence), "{}", said(&output));
        assert!(!said(&output).contains("hunter2"));
    }
    let completions = run(&["completions", "bash"]);
    assert!(String::from_utf8_lossy(&completions.stdout).contains("waxwing-relay"));
    let manual = run(&["man"]);
    assert!(String::from_utf8_lossy(&manual.stdout).contains("confirm\\-clock"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_relay_logs_nothing_about_anybody() {
    let dir = tempfile::tempdir().unwrap();
    let mails = dir.path().join("mails");
    let arguments = [
        "--mail-dir",
        mails.to_str().unwrap(),
        "--log-format",
        "json",
    ];
    let relay = Relay::start(&dir.path().join("data"), "127.0.0.1:0", &arguments);
    let device = [0xab; 32];
    let mut link = relay.link().await;
    let start = Request::StartRegistration(pb::StartRegistration {
        address: "Alice.Secret@example.org".to_owned(),
        device_id: device.to_vec().into(),
    });
    let Answer::RegistrationStarted(started) = link.ask(start).await else {
        panic!("a registration starts");
    };
    let code = code_in(&mails).await;
    let finish = Request::FinishRegistration(pb::FinishRegistration {
        registration_id: started.registration_id.clone(),
        code: code.clone(),
        ..pb::FinishRegistration::default()
    });
    assert_eq!(errors(&[link.ask(finish).await]).len(), 1);
    let look_up = Request::LookUp(pb::LookUp {
        address: "bob.secret@example.org".to_owned(),
        known_head: 0,
    });
    assert_eq!(errors(&[link.ask(look_up).await]).len(), 1);
    link.send_raw(Message::Binary(vec![0xff; 1000].into()))
        .await;
    link.ending().await;
    let (exit, log) = relay.stop();
    assert_eq!(exit, Some(0), "{log}");
    assert!(log.contains("the relay is ready"), "{log}");
    for line in log.lines() {
        assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    }
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let log = log.to_lowercase();
    for secret in [
        "alice.secret",
        "bob.secret",
        &code,
        &hex(&device),
        &hex(&started.registration_id),
        "ab, ab",
        "171, 171",
    ] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    // Where the relay itself listens, and nobody else's address.
    assert_eq!(log.matches("127.0.0.1").count(), 1, "{log}");
}

/// The code in the first mail of a directory.
async fn code_in(mails: &Path) -> String {
    loop {
        let files = std::fs::read_dir(mails).unwrap();
        let mut files = files.map(|file| file.unwrap().path());
        if let Some(file) = files.find(|file| file.extension().is_some_and(|e| e == "eml")) {
            let mail = std::fs::read_to_string(file).unwrap();
            let subject = mail.lines().find(|line| line.starts_with("Subject: "));
            return subject.unwrap()["Subject: ".len()..][..8].to_owned();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_restarts_during_a_handshake_is_reached_again() {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::start(dir.path(), "127.0.0.1:0", &[]);
    let address = relay.address;
    let mut link = relay.link().await;
    let mut half = tokio::net::TcpStream::connect(address).await.unwrap();
    half.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let stopped = tokio::task::spawn_blocking(move || relay.stop());
    assert_eq!(link.ending().await.1, Some(1001));
    drop(link);
    let (code, log) = stopped.await.unwrap();
    assert_eq!(code, Some(0), "{log}");
    drop(half);

    let relay = Relay::start(dir.path(), &address.to_string(), &[]);
    relay.link().await.works().await;
    // And without any warning.
    drop(relay);
    let relay = Relay::start(dir.path(), &address.to_string(), &[]);
    relay.link().await.works().await;
}

#[test]
fn a_sound_directory_passes_the_check() {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::start(dir.path(), "127.0.0.1:0", &[]);
    let check = ["check", "--data", dir.path().to_str().unwrap()];
    let output = run(&check);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("in use by another"),
        "{}",
        said(&output)
    );
    relay.stop();
    for leave_out in ["", "lock"] {
        if !leave_out.is_empty() {
            std::fs::remove_file(dir.path().join(leave_out)).unwrap();
        }
        let before = everything(dir.path());
        let output = run(&check);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(
            everything(dir.path()) == before,
            "the check changed something"
        );
    }
}

/// Every file and folder below a folder, and what is in the files.
fn everything(path: &Path) -> Vec<(std::path::PathBuf, Option<Vec<u8>>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.push((path.clone(), None));
            all.extend(everything(&path));
        } else {
            let content = std::fs::read(&path).unwrap();
            all.push((path, Some(content)));
        }
    }
    all.sort();
    all
}

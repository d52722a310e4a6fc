//! Phone numbers, through an SMSC that we did not write: `tests/smsc`, in JavaScript.
//!
//! Where there is no Node.js, or its packages are not installed (`npm ci` in `tests/smsc`), these
//! say so and pass; where CI is set they fail.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test fails loudly where it stands"
)]

mod world;

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::Receiver,
};

use serde_json::{Value, json};
use world::{Home, PATIENCE, lines, relay::Relay};

const PASSWORD: &str = "hunter2";
const NUMBER: &str = "+358401234567";

/// The SMSC, as a process.
struct Smsc {
    child: Child,
    input: Option<ChildStdin>,
    said: Receiver<String>,
    port: u64,
}

impl Smsc {
    /// None where there is no Node.js.
    fn start() -> Option<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/smsc");
        let missing = |what: &str| {
            assert!(std::env::var_os("CI").is_none(), "{what}");
            eprintln!("skipped: {what}");
        };
        if !folder.join("node_modules/smpp").is_dir() {
            missing("the SMSC's packages are not installed: npm ci in tests/smsc does it");
            return None;
        }
        let child = Command::new("node")
            .arg(folder.join("smsc.js"))
            .args(["waxwing", PASSWORD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            missing("there is no Node.js");
            return None;
        };
        let said = lines(child.stdout.take().unwrap());
        let mut smsc = Self {
            input: child.stdin.take(),
            child,
            said,
            port: 0,
        };
        smsc.port = smsc.says("listening")["port"].as_u64().unwrap();
        Some(smsc)
    }

    fn url(&self, password: &str) -> String {
        format!("smpp://waxwing:{password}@127.0.0.1:{}", self.port)
    }

    /// The next thing of this kind that it says.
    fn says(&self, kind: &str) -> Value {
        loop {
            let line = self
                .said
                .recv_timeout(PATIENCE)
                .expect("the SMSC says nothing");
            let said: Value = serde_json::from_str(&line).unwrap();
            if said["type"] == kind {
                return said;
            }
        }
    }

    fn told(&mut self, command: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{command}").unwrap();
    }
}

impl Drop for Smsc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Registers a number with the code that the SMSC is given for it.
fn register(home: &Home, relay: &Relay, smsc: &Smsc) -> Value {
    let mut child = home
        .command(&["register", &home.address, "--relay", &relay.url, "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let submitted = smsc.says("submitted");
    let text = submitted["text"].as_str().unwrap();
    let code = text.split(' ').next().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{code}\n").as_bytes()).unwrap();
    drop(input);
    let ended: world::Ended = child.wait_with_output().unwrap().into();
    assert_eq!(ended.code, 0, "{ended:?}");
    submitted
}

/// The first message that `listen` printed.
fn first_message(heard: &world::Ended) -> Value {
    let objects = heard.objects();
    let found = objects.iter().find(|one| one["type"] == "message");
    found.unwrap_or_else(|| panic!("{heard:?}")).clone()
}

#[test]
fn a_phone_number_is_verified_and_is_an_address_like_another() {
    let Some(smsc) = Smsc::start() else { return };
    let relay = Relay::start_with_smsc(smsc.url(PASSWORD));
    smsc.says("bound");
    let alice = Home::new("+358 40 1234567");
    let submitted = register(&alice, &relay, &smsc);
    assert_eq!(submitted["to"], "358401234567");
    assert_eq!(submitted["to_kind"], 1);
    assert_eq!(
        (&submitted["from"], &submitted["from_kind"]),
        (&json!("Waxwing"), &json!(5))
    );
    assert_eq!(submitted["receipt"], 1);
    let text = submitted["text"].as_str().unwrap();
    assert!(
        text.contains(" is your Waxwing code for 127.0.0.1."),
        "{text}"
    );
    // The receipt was taken.
    assert_eq!(smsc.says("deliver_answered")["status"], 0);

    let bob = relay.person("bob");
    let sent = bob.run(&["send", NUMBER, "Hello phone"]);
    assert_eq!(sent.code, 0, "{sent:?}");
    let heard = alice.run(&["listen", "--count", "1", "--timeout", "60", "--json"]);
    let message = first_message(&heard);
    assert_eq!(
        (&message["text"], &message["from_verified"]),
        (&json!("Hello phone"), &json!(true))
    );
    let answered = alice.run(&["send", "bob@example.org", "Hello mail"]);
    assert_eq!(answered.code, 0, "{answered:?}");
    let heard = bob.run(&["listen", "--count", "1", "--timeout", "60", "--json"]);
    let message = first_message(&heard);
    assert_eq!(message["from"], "+358 40 1234567");
    assert_eq!(message["from_verified"], true);

    // The relay's log, at its most talkative, has neither the password nor the number.
    let log = fs::read_to_string(relay.log()).unwrap();
    assert!(log.contains("there is a session with the SMSC"), "{log}");
    for secret in [PASSWORD, "358401234567", "40 1234567", text] {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[test]
fn an_smsc_that_asks_for_less_or_goes_away_gets_the_code_in_the_end() {
    let Some(mut smsc) = Smsc::start() else {
        return;
    };
    let relay = Relay::start_with_smsc(smsc.url(PASSWORD));
    smsc.says("bound");
    smsc.told(&json!({ "throttle": 1 }));
    register(&Home::new(NUMBER), &relay, &smsc);
    smsc.told(&json!({ "drop": true }));
    smsc.says("bound");
    register(&Home::new("+358401234568"), &relay, &smsc);
}

#[test]
fn an_smsc_that_refuses_the_relay_is_told_to_whom_the_code_was_for() {
    let Some(smsc) = Smsc::start() else { return };
    let relay = Relay::start_with_smsc(smsc.url("wrong"));
    smsc.says("refused");
    smsc.says("refused");
    let log = fs::read_to_string(relay.log()).unwrap();
    assert!(log.contains("it refused the user or password"), "{log}");
    assert!(!log.contains("wrong@"), "{log}");
}

#[test]
fn a_relay_that_cannot_text_says_so() {
    let relay = Relay::start();
    let alice = Home::new(NUMBER);
    let ended = alice.run(&[
        "register", NUMBER, "--relay", &relay.url, "--code", "12345678",
    ]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("sends text messages"), "{ended:?}");
}

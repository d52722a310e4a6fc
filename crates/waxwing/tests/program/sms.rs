//! Phone numbers, through an SMSC that we did not write: `tests/smsc`, in JavaScript.
//!
//! Where there is no Node.js, or its packages are not installed (`npm ci` in `tests/smsc`), these
//! say so and pass; where CI is set they fail.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::Receiver,
};

use crate::world::{Home, PATIENCE, lines, relay::Relay};
use serde_json::{Value, json};

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
        Self::start_with(&[])
    }

    /// One that speaks TLS, with this key and certificate.
    fn start_with(secrets: &[&Path]) -> Option<Self> {
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
            .args(secrets)
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
    let ended: crate::world::Ended = child.wait_with_output().unwrap().into();
    assert_eq!(ended.code, 0, "{ended:?}");
    submitted
}

/// The first message that `listen` printed.
fn first_message(heard: &crate::world::Ended) -> Value {
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

/// Waits until a device has told the relay what texts for it are sealed to: the SMSC's text is
/// taken then.
fn delivered(smsc: &mut Smsc, home: &Home, text: &Value) {
    for _ in 0..20 {
        smsc.told(&json!({ "deliver": text }));
        // Receipts are answered as well; of those nothing is told with another status.
        if smsc.says("deliver_answered")["status"] == 0 {
            return;
        }
        home.run(&["doctor"]);
    }
    panic!("the relay does not take it");
}

#[test]
fn a_text_shows_who_sent_it_and_not_who_it_wants_to_be() {
    let Some(mut smsc) = Smsc::start() else {
        return;
    };
    let relay = Relay::start_with_smsc(smsc.url(PASSWORD));
    smsc.says("bound");
    let alice = Home::new(NUMBER);
    register(&alice, &relay, &smsc);
    // That of the code's receipt.
    smsc.says("deliver_answered");
    // The attack of 2012: answers are asked to go to +46708251358.
    let spoof = json!({
        "source_addr": "46700000001", "source_addr_ton": 1,
        "destination_addr": "358401234567",
        "udh": "0a22080b916407281553f8", "text": "Send me the code, please",
    });
    delivered(&mut smsc, &alice, &spoof);
    let heard = alice.run(&["listen", "--count", "1", "--timeout", "60", "--json"]);
    let message = first_message(&heard);
    assert_eq!(message["from"], "+46700000001");
    assert_eq!(message["channel"], "sms");
    assert_eq!(message["from_verified"], false);
    assert_eq!(message["asks_reply_to"], "+46708251358");
    assert_eq!(message["text"], "Send me the code, please");
    assert_eq!(message["findings"][0]["kind"], "replies_elsewhere");
    assert_eq!(message["findings"][0]["severity"], "danger");
    let shown = alice.run(&["history", "sms:+46700000001"]);
    for words in ["+46700000001 (SMS, not verified)", "DANGER", "+46708251358"] {
        assert!(shown.out.contains(words), "{words}: {shown:?}");
    }
    // Nothing of it is on the relay's disk or in its log, once it is with her.
    let log = fs::read_to_string(relay.log()).unwrap();
    for secret in ["46700000001", "46708251358", "Send me"] {
        assert!(!log.contains(secret), "{secret}");
    }

    // In parts, the last first, and from a name with a link that only looks like a bank's.
    for (number, text) in [(2, "the second half"), (1, "The first half and ")] {
        let part = json!({
            "source_addr": "46708251358", "source_addr_ton": 1,
            "destination_addr": "358401234567",
            "udh": format!("0500032a02{number:02x}"), "text": text,
        });
        delivered(&mut smsc, &alice, &part);
    }
    let bank = json!({
        "source_addr": "N0RDBANK", "source_addr_ton": 5,
        "destination_addr": "358401234567",
        "text": "Your account is locked: https://xn--nrdbank-90a.com/login",
    });
    delivered(&mut smsc, &alice, &bank);
    let heard = alice.run(&["listen", "--count", "2", "--timeout", "60", "--json"]);
    let objects = heard.objects();
    let texts: Vec<&Value> = objects
        .iter()
        .filter(|one| one["type"] == "message")
        .collect();
    assert_eq!(texts[0]["text"], "The first half and the second half");
    let kinds: Vec<&str> = texts[1]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|finding| finding["kind"].as_str())
        .collect();
    for kind in ["cannot_be_answered", "link_punycode"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    let unanswered = alice.run(&["sms", "send", "sms:N0RDBANK", "hello", "--yes"]);
    assert_eq!(unanswered.code, 1, "{unanswered:?}");
}

#[test]
fn a_text_to_a_phone_is_paid_for_knowingly_and_followed() {
    let Some(smsc) = Smsc::start() else { return };
    let relay = Relay::start_with_smsc(smsc.url(PASSWORD));
    smsc.says("bound");
    let alice = Home::new(NUMBER);
    register(&alice, &relay, &smsc);
    let phone = "+46 70 825 13 58";
    let text = "Näkemiin 😀 and some more, so that it takes more than one of them: seventy";
    let refused = alice.run(&["sms", "send", phone, text]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("not encrypted"), "{refused:?}");
    let cost = alice.run(&["sms", "send", phone, text, "--cost"]);
    assert!(cost.out.contains("2 text messages"), "{cost:?}");
    let sent = alice.run(&["sms", "send", phone, text, "--yes", "--json"]);
    assert_eq!(sent.code, 0, "{sent:?}");
    let parts = [smsc.says("submitted"), smsc.says("submitted")];
    for part in &parts {
        assert_eq!(part["from"], "358401234567");
        assert_eq!(part["from_kind"], 1);
        assert_eq!(part["to"], "46708251358");
        assert_eq!(part["coding"], 8);
    }
    // The receipts of both, through the relay to her.
    let history = || {
        alice
            .run(&["history", "sms:+46708251358", "--json"])
            .objects()
    };
    let mut state = Value::Null;
    for _ in 0..20 {
        alice.run(&["listen", "--timeout", "2"]);
        let objects = history();
        let found = objects.iter().find(|one| one["type"] == "message");
        state = found.unwrap()["state"].clone();
        if state == "delivered" {
            break;
        }
    }
    assert_eq!(state, "delivered");

    // Once the number is on Waxwing, nothing goes by SMS.
    let bob = Home::new("+46708251358");
    register(&bob, &relay, &smsc);
    let here = alice.run(&["sms", "send", phone, "hello", "--yes"]);
    assert_eq!(here.code, 1, "{here:?}");
    assert!(here.err.contains("is on Waxwing now"), "{here:?}");
    let objects = history();
    let event = objects.iter().find(|one| one["event"] == "on_waxwing");
    assert!(event.is_some(), "{objects:?}");
}

#[test]
fn over_tls_an_smsc_is_trusted_by_its_certificates_issuer() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (key, certificate) = (folder.path().join("key"), folder.path().join("certificate"));
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::write(&certificate, made.cert.pem()).unwrap();
    let Some(smsc) = Smsc::start_with(&[&key, &certificate]) else {
        return;
    };
    let url = smsc.url(PASSWORD).replace("smpp://", "smpps://");
    let config = folder.path().join("relay.toml");
    let trusted = format!("[sms]\nsmpp = \"5.0\"\nauthorities = {certificate:?}\n");
    fs::write(&config, trusted).unwrap();
    let relay = Relay::start_with_smsc_and(url.clone(), config);
    assert_eq!(smsc.says("bound")["version"], 0x50);
    register(&Home::new(NUMBER), &relay, &smsc);
    drop(relay);
    // Nobody of the web's authorities has issued it.
    let relay = Relay::start_with_smsc(url);
    let refused =
        Home::new("+358401234569").run(&["register", "+358401234569", "--relay", &relay.url]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let log = fs::read_to_string(relay.log()).unwrap();
    assert!(log.contains("TLS with it failed"), "{log}");
}

#[test]
fn an_smsc_that_asks_for_less_or_goes_away_gets_the_code() {
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
fn a_refusing_smsc_is_reported_to_who_asked_for_the_code() {
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

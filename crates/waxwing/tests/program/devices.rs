//! Several devices of one person, from the command line, over a real relay.

use std::{
    process::{Child, Stdio},
    sync::mpsc::Receiver,
};

use crate::world::{Ended, Home, PATIENCE, lines, relay::Relay};
use serde_json::Value;

/// A command that runs beside others, and the objects that it prints; killed when dropped.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(home: &Home, arguments: &[&str]) -> Self {
        let mut child = home
            .command(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next object of a kind for which this holds.
    #[track_caller]
    fn until(&self, kind: &str, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self
                .lines
                .recv_timeout(PATIENCE)
                .expect("it says something");
            let object: Value = serde_json::from_str(&line).unwrap();
            if object["type"] == kind && holds(&object) {
                return object;
            }
        }
    }

    #[track_caller]
    fn ends_well(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn done(ended: Ended) -> Ended {
    assert_eq!(ended.code, 0, "{ended:?}");
    ended
}

/// Links a new home to an account, by the text of the QR code.
fn link(relay: &Relay, old: &Home, new: &Home) {
    let arguments = ["devices", "link", "--relay", &relay.url, "--json"];
    let arguments = [&arguments[..], &["--name", "Tablet"]].concat();
    let linking = Running::start(new, &arguments);
    let code = linking.until("pairing", |pairing| pairing["stage"] == "code");
    let qr = code["qr"].as_str().unwrap();
    let approved = done(old.run(&["devices", "approve", qr, "--yes", "--json"]));
    let asked = approved.objects();
    let asked = asked.iter().find(|object| object["stage"] == "confirm");
    assert_eq!(asked.unwrap()["name"], "Tablet");
    assert_eq!(asked.unwrap()["device"], code["device"]);
    linking.until("pairing", |pairing| pairing["stage"] == "done");
    linking.ends_well();
}

fn write(from: &Home, to: &str, text: &str) {
    done(from.run(&["send", to, text]));
}

/// Runs until so many messages have come.
fn listen(home: &Home, count: &str) -> Vec<Value> {
    let arguments = ["listen", "--count", count, "--timeout", "60", "--json"];
    let ended = done(home.run(&arguments)).objects();
    let messages = ended
        .into_iter()
        .filter(|object| object["type"] == "message");
    messages.collect()
}

/// Like [`listen`], while the sender is there as well: whatever could not be read is asked
/// for.
fn listen_while(sender: &Home, home: &Home) -> Vec<Value> {
    let _there = Running::start(sender, &["listen", "--json"]);
    listen(home, "1")
}

#[test]
fn a_second_device_is_linked_and_the_first_is_revoked() {
    let relay = Relay::start();
    let (alice, bob) = (Home::new("alice@example.org"), Home::new("bob@example.org"));
    relay.register(&alice);
    relay.register(&bob);
    write(&alice, "bob@example.org", "before");
    listen(&bob, "1");
    let tablet = Home::new("alice@example.org");
    link(&relay, &alice, &tablet);
    assert_eq!(tablet.texts("bob@example.org"), ["before"]);
    // Both show what Bob sends.
    write(&bob, "alice@example.org", "to both");
    for device in [&alice, &tablet] {
        assert_eq!(listen(device, "1")[0]["text"], "to both");
    }
    let devices = done(tablet.run(&["devices", "--json"])).objects();
    assert_eq!(devices.len(), 2);
    assert_eq!(devices[1]["name"], "Tablet");
    assert_eq!(devices[1]["this"], true);
    // The first is lost.
    let first = devices[0]["short"].as_str().unwrap();
    done(tablet.run(&["devices", "revoke", first]));
    write(&bob, "alice@example.org", "to the tablet");
    assert_eq!(listen_while(&bob, &tablet)[0]["text"], "to the tablet");
    alice
        .run(&["send", "bob@example.org", "I am still here"])
        .failed_with("removed this device from the account");
    let texts = alice.texts("bob@example.org");
    assert!(!texts.contains(&"to the tablet".to_owned()));
    assert!(
        !bob.texts("alice@example.org")
            .contains(&"I am still here".to_owned())
    );
    let alarms = done(alice.run(&["alarms", "--json"])).objects();
    assert!(alarms.iter().any(|alarm| alarm["code"] == "device_revoked"));
    assert!(!done(bob.run(&["alarms", "--json"])).out.contains("code"));
}

#[test]
fn a_wrong_code_admits_nobody_and_is_said_on_both_sides() {
    let relay = Relay::start();
    let alice = Home::new("alice@example.org");
    relay.register(&alice);
    alice
        .run(&["devices", "approve", "hello"])
        .failed_with("not a code");
    let tablet = Home::new("alice@example.org");
    let linking = Running::start(
        &tablet,
        &["devices", "link", "--relay", &relay.url, "--json"],
    );
    let code = linking.until("pairing", |pairing| pairing["stage"] == "code");
    let code = code["code"].as_str().unwrap();
    // One character more, and the check character that goes with it.
    let (start, secret) = code.split_at(code.find('-').unwrap() + 1);
    let first = if secret.starts_with('A') { 'B' } else { 'A' };
    let wrong = "0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars().find_map(|last| {
        let middle = &secret[1..secret.len() - 1];
        let guess = format!("{start}{first}{middle}{last}");
        let ended = alice.run(&["devices", "approve", &guess, "--yes"]);
        (!ended.err.contains("mistyped the code")).then_some(ended)
    });
    wrong.unwrap().failed_with("not the same on both devices");
    let failed = linking.until("pairing", |pairing| pairing["stage"] == "failed");
    assert_eq!(failed["problem"]["code"], "pairing_not_agreed");
    alice
        .run(&["devices", "approve", code, "--yes"])
        .failed_with("This code no longer works");
    let devices = done(alice.run(&["devices", "--json"])).objects();
    assert_eq!(devices.len(), 1);
}

#[test]
fn an_account_is_recovered_with_its_words_and_a_backup() {
    let relay = Relay::start();
    let (alice, bob) = (Home::new("alice@example.org"), Home::new("bob@example.org"));
    let registered = relay.register(&alice);
    let registered = registered.objects().into_iter();
    let words = registered.map(|object| object["recovery_words"].clone());
    let words = words
        .into_iter()
        .find_map(|words| words.as_str().map(str::to_owned));
    let words = words.unwrap();
    relay.register(&bob);
    write(&alice, "bob@example.org", "before");
    listen(&bob, "1");
    done(alice.run(&["backup"]));
    let file = alice.path().join("backup");
    done(alice.run(&["backup", "--file", file.to_str().unwrap()]));
    for from in [None, Some(file.to_str().unwrap())] {
        let anew = Home::new("alice@example.org");
        let mut arguments = vec!["recover", "alice@example.org", "--relay", &relay.url];
        arguments.push("--revoke-others");
        arguments.extend(from.iter().flat_map(|file| ["--from", file]));
        let wrong = anew.run_with_input(&arguments, b"one two three\n");
        wrong.failed_with("recovery key");
        if from.is_some() {
            // A wrong file is refused before anything changes, so that the right one can follow.
            let letter = alice.path().join("letter");
            std::fs::write(&letter, "Dear Alice").unwrap();
            let mut wrong = arguments.clone();
            *wrong.last_mut().unwrap() = letter.to_str().unwrap();
            let refused = anew.run_with_input(&wrong, format!("{words}\n").as_bytes());
            refused.failed_with("does not open with this recovery key");
            let again = alice.run(&["backup", "--file", file.to_str().unwrap()]);
            again.failed_with("already exists");
        }
        let recovered = anew.run_with_input(&arguments, format!("{words}\n").as_bytes());
        assert!(done(recovered).out.contains("history are back"));
        assert_eq!(anew.texts("bob@example.org"), ["before"]);
        write(&anew, "bob@example.org", "here I am");
        assert_eq!(listen(&bob, "1")[0]["text"], "here I am");
        write(&bob, "alice@example.org", "good");
        assert_eq!(listen_while(&bob, &anew)[0]["text"], "good");
        // Bob sees nothing alarming.
        assert!(done(bob.run(&["alarms", "--json"])).objects().is_empty());
        let devices = done(anew.run(&["devices", "--json"])).objects();
        assert_eq!(devices.len(), 1);
    }
}

#[test]
fn an_address_is_locked_and_unlocked() {
    let relay = Relay::start();
    let alice = Home::new("alice@example.org");
    alice.run(&["lock"]).failed_with("no account");
    relay.register(&alice);
    for (action, locked) in [("on", true), ("off", false)] {
        let changed = done(alice.run(&["lock", action, "--json"])).objects();
        assert_eq!(changed[0]["locked"], locked);
        let shown = done(alice.run(&["lock", "--json"])).objects();
        assert_eq!(shown[0]["locked"], locked);
    }
    done(alice.run(&["lock", "keep"]));
}

#[test]
fn a_listener_shows_what_other_own_devices_send() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    write(&alice, &bob.address, "before");
    let tablet = Home::new("alice@example.org");
    link(&relay, &alice, &tablet);
    let listening = Running::start(&tablet, &["listen", "--json"]);
    listening.until("connection", |changed| changed["connection"] == "online");
    write(&alice, &bob.address, "from the other device");
    let own = listening.until("message", |message| message["direction"] == "out");
    assert_eq!(own["text"], "from the other device");
}

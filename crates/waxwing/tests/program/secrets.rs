//! The logs of both programs, at the level that logs most, show no secret.
//!
//! **Elsewhere**: what `Debug` shows of each type is searched in the workspace's `tests`.
//!
//! **Always**: each search is proved able to find what it looks for.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use crate::world::{
    Ended, Home,
    relay::{Relay, built},
};
use waxwing_system_tests::leaks::found;

const PASSPHRASE: &str = "correct horse battery canary";
const TEXT: &str = "meet me where the canary sings";
const ANSWER: &str = "bring the other canary along";

const LEVELS: [&str; 5] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"];

/// Everybody's log lines, without what is written for people.
fn log_of(ended: &[Ended]) -> String {
    let mut log = String::new();
    let lines = ended.iter().flat_map(|ended| ended.err.lines());
    for line in lines.filter(|line| LEVELS.iter().any(|level| line.contains(level))) {
        writeln!(log, "{line}").unwrap();
    }
    log
}

/// The private keys in a home whose key lies in a file, by name.
fn private_keys(home: &Home) -> Vec<(String, Vec<u8>)> {
    let program = built("xtask-keys", "xtask-keys");
    let told = Command::new(program).arg(home.path()).output().unwrap();
    assert!(
        told.status.success(),
        "{}",
        String::from_utf8_lossy(&told.stderr)
    );
    let told = String::from_utf8(told.stdout).unwrap();
    let keys = told.lines().map(|line| {
        let (name, digits) = line.split_once(' ').unwrap();
        let bytes = (0..digits.len() / 2)
            .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        (name.to_owned(), bytes)
    });
    keys.collect()
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push((path.display().to_string(), fs::read(path).unwrap()));
        }
    }
    all
}

#[test]
fn the_logs_of_a_registration_and_an_exchange_show_no_secret() {
    let mut relay = Relay::start();
    let alice = Home::with_variables(&[("WAXWING_LOG", "trace"), ("WAXWING_KEY_STORE", "file")]);
    let mut bob = Home::with_variables(&[
        ("WAXWING_LOG", "trace"),
        ("WAXWING_PASSPHRASE", PASSPHRASE),
        ("WAXWING_KEY_STORE", "passphrase"),
    ]);
    bob.address = "bob.canary@example.org".into();

    let mut secrets: Vec<(String, Vec<u8>)> = Vec::new();
    let mut ended = Vec::new();
    for home in [&alice, &bob] {
        let registered = relay.register(home);
        let words = registered.objects()[0]["recovery_words"].to_string();
        secrets.push(("recovery words".into(), words.trim_matches('"').into()));
        secrets.push(("an address".into(), home.address.clone().into()));
        secrets.push(("a code".into(), relay.code(&home.address, 1).into()));
        ended.push(registered);
    }
    ended.push(alice.run(&["send", &bob.address, TEXT]));
    ended.push(bob.run(&["listen", "--count", "1", "--timeout", "60"]));
    ended.push(bob.run(&["send", &alice.address, ANSWER]));
    ended.push(alice.run(&["listen", "--count", "1", "--timeout", "60"]));
    ended.push(alice.run(&["doctor"]));
    for ended in &ended {
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    // So that the client has something to say.
    relay.kill();
    ended.push(alice.run(&["send", &bob.address, TEXT, "--wait", "1"]));

    secrets.push(("a passphrase".into(), PASSPHRASE.into()));
    secrets.push(("a text".into(), TEXT.into()));
    secrets.push(("a text".into(), ANSWER.into()));
    let private = private_keys(&alice);
    assert!(private.len() > 5, "{}", private.len());
    secrets.extend(private);
    let identity = files(&relay.data().join("identity"));
    assert!(identity.len() >= 3);
    secrets.extend(identity.into_iter().filter(|(_, bytes)| bytes.len() >= 16));

    let clients = log_of(&ended);
    let relays = fs::read_to_string(relay.log()).unwrap();
    assert!(clients.contains("a link could not be opened"), "{ended:?}");
    assert!(relays.contains("the relay is ready"), "{relays}");
    for (name, secret) in &secrets {
        for (whose, log) in [("the client's", &clients), ("the relay's", &relays)] {
            let forms = found(log.as_bytes(), secret);
            assert!(
                forms.is_empty(),
                "{name} is in {whose} log {forms:?}:\n{log}"
            );
        }
    }

    // The search finds what is there: a code in its mail, the key in its file.
    let mails = files(&relay.mail());
    let code = relay.code(&bob.address, 1);
    assert!(
        mails
            .iter()
            .any(|(_, mail)| !found(mail, code.as_bytes()).is_empty())
    );
    let key_file = fs::read(alice.path().join("key.json")).unwrap();
    let (_, store_key) = secrets
        .iter()
        .find(|(name, _)| name == "store-key")
        .unwrap();
    assert_eq!(found(&key_file, store_key), ["as hexadecimal digits"]);
}

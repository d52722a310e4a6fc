//! How commands end: the exit code where the output fails, waits that end, signals, usage errors.

use std::{
    fs::OpenOptions,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::world::{Ended, Home, PATIENCE, relay::Relay};

/// Longer than a command waits for a relay that is away, and much shorter than a test may take.
const SOON: Duration = Duration::from_secs(40);

/// Output that cannot be written.
#[derive(Clone, Copy, Debug)]
enum Sink {
    /// The disk is full.
    Full,
    /// The reader has ended.
    Closed,
}

const SINKS: [Sink; 2] = [Sink::Full, Sink::Closed];

fn started(home: &Home, arguments: &[&str], sink: Sink) -> Child {
    let mut command: Command = home.command(arguments);
    command.stderr(Stdio::piped());
    match sink {
        Sink::Full => {
            let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
            command.stdout(full);
        }
        Sink::Closed => {
            command.stdout(Stdio::piped());
        }
    }
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    child
}

fn run_into(home: &Home, arguments: &[&str], sink: Sink) -> Ended {
    let child = started(home, arguments, sink);
    child.wait_with_output().unwrap().into()
}

fn done(ended: Ended) -> Ended {
    assert_eq!(ended.code, 0, "{ended:?}");
    ended
}

#[test]
fn the_exit_code_tells_what_happened_to_the_message() {
    let mut relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    for (sink, text) in SINKS.into_iter().zip(["into a full disk", "into nothing"]) {
        let sent = done(run_into(&alice, &["send", &bob.address, text], sink));
        assert!(!sent.err.contains("error"), "{sent:?}");
        let json = ["send", &bob.address, text, "--json"];
        done(run_into(&alice, &json, sink));
        for arguments in [
            &["send", "nobody@example.org", "hello"][..],
            &["send", "nobody@example.org", "hello", "--json"],
            &["send", "nobody", "hello"],
        ] {
            let ended = run_into(&alice, arguments, sink);
            assert_eq!(ended.code, 1, "{sink:?} {ended:?}");
        }
        let messages = alice.rpc().call("history", json!({"of": bob.address}));
        let id = messages["entries"][0]["id"].as_str().unwrap().to_owned();
        done(run_into(&alice, &["react", &id, "👍"], sink));
        done(run_into(&alice, &["edit", &id, "edited"], sink));
        done(run_into(&alice, &["pin", &bob.address], sink));
    }
    let texts = alice.texts(&bob.address);
    assert_eq!(texts.len(), 4, "one was lost or sent twice: {texts:?}");
    relay.kill();
    for sink in SINKS {
        let late = ["send", &bob.address, "later", "--wait", "1"];
        let ended = run_into(&alice, &late, sink);
        assert_eq!(ended.code, 3, "{sink:?} {ended:?}");
    }
}

#[test]
fn a_command_that_only_shows_fails_if_nobody_can_read_it() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    done(alice.run(&["send", &bob.address, "hello"]));
    for arguments in [
        &["history", &bob.address][..],
        &["history", &bob.address, "--json"],
        &["contacts"],
        &["conversations", "--json"],
        &["search", "hello"],
        &["devices"],
        &["alarms"],
        &["completions", "bash"],
        &["man"],
        &["--help"],
        &[
            "sms",
            "inspect",
            "07917283010010F5040BC87238880900F10000993092516195800AE8329BFD4697D9EC37",
        ],
    ] {
        let ended = run_into(&alice, arguments, Sink::Full);
        assert_eq!(ended.code, 1, "{arguments:?} {ended:?}");
    }
    // What `| head` does is no error.
    done(run_into(&alice, &["history", &bob.address], Sink::Closed));
}

#[test]
fn what_could_not_be_printed_is_not_read() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    done(alice.run(&["send", &bob.address, "read me"]));
    for sink in SINKS {
        // It ends by itself.
        run_into(&bob, &["listen", "--timeout", "20"], sink);
    }
    let heard = done(bob.run(&["listen", "--count", "1", "--timeout", "60"]));
    assert!(heard.out.contains("read me"), "{heard:?}");
}

#[test]
fn recovery_words_that_could_not_be_printed_are_shown_again() {
    let relay = Relay::start();
    let home = Home::new("alice@example.org");
    let register = ["register", &home.address, "--relay", &relay.url];
    let mut command = home.command(&register);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let code = relay.code(&home.address, 1);
    std::io::Write::write_all(
        &mut child.stdin.take().unwrap(),
        format!("{code}\n").as_bytes(),
    )
    .unwrap();
    let ended: Ended = child.wait_with_output().unwrap().into();
    ended.failed_with("recovery words could not be printed");
    let again = done(home.run(&[&register[..], &["--json"]].concat()));
    let words = again.objects()[0]["recovery_words"].clone();
    assert_eq!(words.as_str().unwrap().split_whitespace().count(), 24);
    // And then no more.
    assert_eq!(home.run(&register).code, 1);
}

#[test]
fn a_wait_ends_and_says_what_was_in_its_way() {
    let mut relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file.txt");
    std::fs::write(&file, "a file").unwrap();
    let file = file.to_str().unwrap();
    done(bob.run(&["send", &alice.address, "hello"]));
    done(alice.run(&["listen", "--count", "1", "--timeout", "60"]));
    done(alice.run(&["accept", &bob.address]));
    done(bob.run(&["send", &alice.address, "look", "--attach", file]));
    done(alice.run(&["listen", "--count", "1", "--timeout", "60"]));
    let messages = alice.run(&["history", &bob.address, "--json"]).objects();
    let with_file = messages.iter().find(|one| one["text"] == "look").unwrap();
    let with_file = with_file["id"].as_str().unwrap();
    relay.kill();
    let tablet = Home::new("alice@example.org");
    let to = folder.path().to_str().unwrap();
    let cases: [(&Home, &[&str], i32); 6] = [
        (
            &bob,
            &[
                "send",
                &alice.address,
                "late",
                "--attach",
                file,
                "--wait",
                "2",
            ],
            3,
        ),
        (&bob, &["send", &alice.address, "late", "--attach", file], 3),
        (&alice, &["backup"], 1),
        (&alice, &["lock", "on"], 1),
        (&tablet, &["devices", "link", "--relay", &relay.url], 1),
        (&alice, &["save", with_file, "--to", to], 1),
    ];
    let begun = Instant::now();
    let running: Vec<(Child, &[&str], i32)> = cases
        .into_iter()
        .map(|(home, arguments, code)| {
            let mut command = home.command(arguments);
            let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
            (command.spawn().unwrap(), arguments, code)
        })
        .collect();
    for (child, arguments, code) in running {
        let ended: Ended = child.wait_with_output().unwrap().into();
        // The file may have come before the relay went away.
        if arguments[0] == "save" && ended.code == 0 {
            continue;
        }
        assert_eq!(ended.code, code, "{arguments:?} {ended:?}");
        assert!(
            ended.err.contains("cannot be reached"),
            "{arguments:?} {ended:?}"
        );
        // Said once.
        let told = ended.err.matches("error:").count();
        assert!(told <= 1, "{arguments:?} {ended:?}");
    }
    assert!(begun.elapsed() < SOON, "a wait took {:?}", begun.elapsed());
}

fn terminate(child: &Child) {
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::TERM).unwrap();
}

#[test]
fn somebody_who_ends_a_command_learns_how_it_ended() {
    let mut relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    // What goes on until it is ended has ended well.
    for arguments in [&["listen", "--json"][..], &["rpc"]] {
        let mut child = alice
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Connected, or answered: it runs.
        if arguments[0] == "rpc" {
            let call = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\"}\n";
            std::io::Write::write_all(child.stdin.as_mut().unwrap(), call).unwrap();
        }
        let lines = crate::world::lines(child.stdout.take().unwrap());
        lines.recv_timeout(PATIENCE).expect("it says something");
        terminate(&child);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
    }
    // A message that was not sent yet is in the outbox.
    relay.kill();
    let waiting = ["send", &bob.address, "patience", "--wait", "600"];
    let child = alice
        .command(&waiting)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !alice
        .run(&["history", &bob.address])
        .out
        .contains("patience")
    {
        assert!(begun.elapsed() < PATIENCE, "it was never in the outbox");
    }
    terminate(&child);
    let ended: Ended = child.wait_with_output().unwrap().into();
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.out.contains("in your outbox"), "{ended:?}");
}

#[test]
fn wrong_usage_is_an_object_where_a_program_asks() {
    let home = Home::new("alice@example.org");
    for arguments in [
        &["--json"][..],
        &["send", "--json"],
        &["frobnicate", "--json"],
        &["--json", "listen", "--count", "0"],
        &["man", "frobnicate", "--json"],
        &["send", "bob@example.org", "--queu", "--json"],
    ] {
        let ended = home.run(arguments);
        assert_eq!(ended.code, 2, "{arguments:?} {ended:?}");
        let said: Value = serde_json::from_str(&ended.err).unwrap();
        assert_eq!(
            (&said["type"], &said["code"]),
            (&json!("error"), &json!("usage"))
        );
        assert!(!said["message"].as_str().unwrap().is_empty());
    }
    // Only an option, and not a text that looks like it.
    let ended = home.run(&["listen", "--count", "0"]);
    assert!(ended.err.starts_with("error: "), "{ended:?}");
}

#[test]
fn a_text_may_begin_with_a_hyphen() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    let texts = ["-5 °C tonight", "- milk\n- bread", "-:)", "-- so long --"];
    for text in texts {
        done(alice.run(&["send", &bob.address, text]));
    }
    assert_eq!(alice.texts(&bob.address), texts);
    // What may be a mistyped option is not sent.
    assert_eq!(alice.run(&["send", &bob.address, "--quue"]).code, 2);
    done(alice.run(&["send", &bob.address, "--", "--quue"]));
    assert_eq!(alice.texts(&bob.address).last().unwrap(), "--quue");
}

#[test]
fn every_object_has_a_type() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    done(alice.run(&["group", "create", "Family", &bob.address]));
    done(alice.run(&["send", &bob.address, "hello"]));
    let history = alice.run(&["history", &bob.address, "--json"]).objects();
    let id = history[0]["id"].as_str().unwrap().to_owned();
    for arguments in [
        &["send", &bob.address, "again", "--reply-to", &id][..],
        &["history", &bob.address],
        &["search", "hello"],
        &["thread", &id],
        &["info", &id],
        &["star", &id],
        &["starred"],
        &["react", &id, "👍"],
        &["contacts"],
        &["conversations"],
        &["requests"],
        &["group"],
        &["group", "show", "Family"],
        &["group", "invite", "Family"],
        &["profile"],
        &["profile", "--name", "Alice"],
        &["nickname", &bob.address, "Bobby"],
        &["verify", &bob.address],
        &["devices"],
        &["lock"],
        &["alarms"],
        &["doctor"],
        &["audit", "auditors"],
        &["audit", "evidence"],
        &["disappear", &bob.address, "1d"],
    ] {
        let ended = alice.run(&[arguments, &["--json"]].concat());
        assert_eq!(ended.code, 0, "{arguments:?} {ended:?}");
        for object in ended.objects() {
            assert!(object["type"].is_string(), "{arguments:?} {object}");
        }
    }
}

#[test]
fn a_nickname_is_a_name() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    done(alice.run(&["send", &bob.address, "hello"]));
    done(alice.run(&["nickname", &bob.address, "Uncle Bob"]));
    done(alice.run(&["send", "uncle bob", "by your nickname"]));
    let both = ["hello", "by your nickname"];
    assert_eq!(alice.texts("Uncle Bob"), both);
    assert_eq!(alice.texts(&bob.address), both);
    done(alice.run(&["group", "create", "Family", "Uncle Bob"]));
    let shown = done(alice.run(&["group", "show", "Family"]));
    assert!(shown.out.contains(&bob.address), "{shown:?}");
    // A group of the same name makes it ambiguous.
    done(alice.run(&["group", "create", "Uncle Bob"]));
    alice
        .run(&["send", "Uncle Bob", "to whom?"])
        .failed_with("Several conversations");
}

#[test]
fn a_reply_shows_what_it_replies_to() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    done(bob.run(&["send", &alice.address, "Are you there?"]));
    done(alice.run(&["listen", "--count", "1", "--timeout", "60"]));
    let shown = done(alice.run(&["history", &bob.address, "--ids"]));
    let line = shown
        .out
        .lines()
        .find(|line| line.contains("there?"))
        .unwrap();
    let id = line.split_whitespace().next().unwrap();
    done(alice.run(&["send", &bob.address, "Yes", "--reply-to", id]));
    let heard = done(bob.run(&["listen", "--count", "1", "--timeout", "60"]));
    for shown in [heard.out, alice.run(&["history", &bob.address]).out] {
        assert!(shown.contains("↪"), "{shown}");
        assert!(shown.contains("Are you there?"), "{shown}");
    }
    alice
        .run(&["send", &bob.address, "No", "--reply-to", "ffffffffff"])
        .failed_with("no message with this id");
}

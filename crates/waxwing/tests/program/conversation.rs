//! Two people, their real clients and a real relay.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
    time::{Duration, Instant},
};

use crate::world::{Ended, Home, PATIENCE, Rpc, is_in_files, lines, relay::Relay};
use serde_json::{Value, json};

#[track_caller]
fn send(from: &Home, to: &Home, text: &str) {
    let ended = from.run(&["send", &to.address, text]);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[track_caller]
fn listen(home: &Home, count: usize) -> Vec<Value> {
    let count = count.to_string();
    let ended = home.run(&["listen", "--json", "--count", &count, "--timeout", "60"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let mut objects = ended.objects();
    objects.retain(|object| object["type"] == "message");
    objects
}

fn texts(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message["text"].as_str().unwrap())
        .collect()
}

/// Asks until a condition holds.
#[track_caller]
fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn two_people_register_and_talk_both_ways() {
    let relay = Relay::start();
    let alice = Home::new("alice@example.org");
    let registered = relay.register(&alice).objects();
    assert_eq!(registered[0]["type"], "registered");
    assert_eq!(registered[0]["address"], "alice@example.org");
    assert!(
        registered[0]["recovery_words"]
            .as_str()
            .unwrap()
            .split_whitespace()
            .count()
            >= 12
    );
    let bob = relay.person("bob");

    send(&alice, &bob, "Hello Bob, the canary sings");
    let first = listen(&bob, 1);
    assert_eq!(first[0]["text"], "Hello Bob, the canary sings");
    assert_eq!(first[0]["from"], "alice@example.org");
    assert_eq!(first[0]["from_verified"], true);
    assert_eq!(first[0]["channel"], "waxwing");

    let answered = bob.run_with_input(&["send", &alice.address], b"Hello Alice\nsecond line\n");
    assert_eq!(answered.code, 0, "{answered:?}");
    assert_eq!(texts(&listen(&alice, 1)), ["Hello Alice\nsecond line"]);

    for home in [&alice, &bob] {
        let with = if home.address == alice.address {
            &bob
        } else {
            &alice
        };
        let both = ["Hello Bob, the canary sings", "Hello Alice\nsecond line"];
        assert_eq!(home.texts(&with.address), both);
        let contacts = home.run(&["contacts", "--json"]).objects();
        assert_eq!(contacts.len(), 1);
        assert_eq!(contacts[0]["address"], with.address.as_str());
        assert_eq!(contacts[0]["verified"], true);
        let doctor = home.run(&["doctor", "--json"]);
        assert_eq!(doctor.code, 0, "{doctor:?}");
        let checks = doctor.objects();
        let tls = checks.iter().find(|check| check["check"] == "tls").unwrap();
        assert!(tls["sentence"].as_str().unwrap().contains("X25519MLKEM768"));
    }
    let numbers = [&alice, &bob].map(|home| {
        home.run(&["contacts", "--json"]).objects()[0]["safety_number"]
            .as_str()
            .unwrap()
            .to_owned()
    });
    assert_eq!(
        numbers[0], numbers[1],
        "the two see different safety numbers"
    );
    let words = registered[0]["recovery_words"].as_str().unwrap();
    let account = alice.rpc().call("account", json!({}));
    assert!(
        account.get("recovery_words").is_none(),
        "the recovery words were kept"
    );
    for text in ["the canary sings", "second line", words] {
        assert!(!is_in_files(&relay.data(), text));
        assert!(!is_in_files(&alice.path(), text));
    }
}

/// Bob has written to Alice: she is no stranger to him, and is told what becomes of hers.
fn acquainted(alice: &Home, bob: &Home) {
    send(bob, alice, "hello");
    assert_eq!(texts(&listen(alice, 1)), ["hello"]);
}

#[test]
fn the_human_output_shows_who_wrote_and_how_far_it_got() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    acquainted(&alice, &bob);
    send(&alice, &bob, "steer \u{1b}[31mthis");
    let heard = bob.run(&["listen", "--count", "1", "--timeout", "60"]);
    assert_eq!(heard.code, 0, "{heard:?}");
    assert!(
        heard
            .out
            .contains("alice@example.org ✓: steer \u{fffd}[31mthis"),
        "{heard:?}"
    );
    // Receipts travel while both are there.
    let mut both = [alice.rpc(), bob.rpc()];
    for rpc in &mut both {
        rpc.call("version", json!({}));
    }
    until(|| alice.run(&["history", &bob.address]).out.contains("✓✓"));
    let shown = alice.run(&["contacts"]).out;
    assert!(
        shown.contains("bob@example.org") && shown.contains("this address is theirs"),
        "{shown}"
    );
}

#[test]
fn a_listener_that_counts_sends_receipts_before_it_ends() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    acquainted(&alice, &bob);
    let mut from = alice.rpc();
    from.call("subscribe", json!({}));
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        let sent = from.call("send", json!({"to": bob.address, "text": text}));
        ids.push(sent["id"].clone());
    }
    // Both listeners have ended when the receipts come.
    assert_eq!(texts(&listen(&bob, 2)), ["one", "two"]);
    assert_eq!(texts(&listen(&bob, 1)), ["three"]);
    // In whatever order one receipt names them.
    while !ids.is_empty() {
        let arrived = |notice: &Value| {
            ["delivered", "read"]
                .map(Value::from)
                .contains(&notice["state"])
        };
        let told = from.notice(arrived);
        ids.retain(|id| told["id"] != *id);
    }
    let status = bob.rpc().call("status", json!({}));
    assert_eq!(status["receipts"], 0);
}

#[test]
fn a_listener_does_not_wait_for_receipts_for_ever() {
    let mut relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    acquainted(&alice, &bob);
    send(&alice, &bob, "one");
    // Bob's device has it and owes a receipt, and the relay is away.
    let mut rpc = bob.rpc();
    rpc.call("subscribe", json!({}));
    rpc.notice(|notice| notice["text"] == "one");
    relay.kill();
    rpc.kill();
    let ended = bob.run(&["listen", "--count", "1", "--timeout", "60"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("one"), "{ended:?}");
    assert!(
        ended.err.contains("has not taken the receipts"),
        "{ended:?}"
    );
}

#[test]
fn a_message_that_was_listened_to_is_not_shown_again() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    send(&alice, &bob, "one");
    send(&alice, &bob, "two");
    assert_eq!(texts(&listen(&bob, 1)), ["one"]);
    assert_eq!(texts(&listen(&bob, 1)), ["two"]);
    let ended = bob.run(&["listen", "--count", "1", "--timeout", "1"]);
    assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{ended:?}");
}

#[test]
fn sending_and_listening_on_one_home_at_the_same_time() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    let mut listening = alice
        .command(&["listen", "--json", "--count", "2"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let heard = lines(listening.stdout.take().unwrap());
    for round in ["one", "two"] {
        send(&alice, &bob, &format!("ping {round}"));
        assert_eq!(texts(&listen(&bob, 1)), [format!("ping {round}")]);
        send(&bob, &alice, &format!("pong {round}"));
        loop {
            let line: Value = serde_json::from_str(&heard.recv_timeout(PATIENCE).unwrap()).unwrap();
            if line["type"] == "message" {
                assert_eq!(line["text"], format!("pong {round}"));
                break;
            }
        }
    }
    assert!(listening.wait().unwrap().success());
}

#[test]
fn a_wrong_pin_or_none_is_refused_before_anything_is_sent() {
    let relay = Relay::start();
    let alice = Home::new("alice@example.org");
    let wrong = "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let url = relay.bare_url();
    let ended = alice.run(&["register", &alice.address, "--relay", &url, "--pin", wrong]);
    ended.failed_with("does not have the relay's pinned key");
    let ended = alice.run(&["register", &alice.address, "--relay", &url]);
    let pin = relay.url.split('#').nth(1).unwrap();
    ended.failed_with(pin);
    ended.failed_with("--pin");
    // With the right one it works, in the same home.
    let ended = relay.register_with(&alice, &relay.url, |code| format!("{code}\n"));
    assert_eq!(ended.code, 0, "{ended:?}");
}

/// A code that is not `code`.
fn another(code: &str) -> String {
    let last = code.chars().last().unwrap();
    let other = if last == '0' { '1' } else { '0' };
    format!("{}{other}", &code[..code.len() - 1])
}

/// A mail server that knows no recipient.
fn mail_server_that_refuses() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.write_all(b"220 hello\r\n").unwrap();
            let reading = BufReader::new(stream.try_clone().unwrap());
            for line in reading.lines().map_while(Result::ok) {
                let answer = if line.starts_with("RCPT") {
                    "550 no such user here\r\n"
                } else {
                    "250 ok\r\n"
                };
                if stream.write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    format!("smtp://127.0.0.1:{port}")
}

#[test]
fn a_code_that_no_mail_server_takes_is_told_to_whom_it_was_for() {
    let relay = Relay::start_with_smtp(mail_server_that_refuses());
    let alice = Home::new("alice@example.org");
    // Somebody who waits at the prompt.
    let mut child = alice
        .command(&["register", &alice.address, "--relay", &relay.url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.take();
    let ended = Ended::from(child.wait_with_output().unwrap());
    drop(input);
    ended.failed_with("could not be delivered to alice@example.org");
    ended.failed_with("Check the address");
}

#[test]
fn a_wrong_code_can_be_corrected() {
    let relay = Relay::start();
    let alice = Home::new("alice@example.org");
    let ended = relay.register_with(&alice, &relay.url, |code| {
        format!("{}\n{code}\n", another(code))
    });
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn after_five_wrong_codes_the_right_one_is_refused_too() {
    let relay = Relay::start();
    let alice = Home::new("alice@example.org");
    let mut right = String::new();
    let ended = relay.register_with(&alice, &relay.url, |code| {
        code.clone_into(&mut right);
        format!("{}\n", another(code)).repeat(4)
    });
    ended.failed_with("\"code_wrong\"");
    ended.failed_with("1 try is left");
    let give = |code: &str| {
        alice.run(&[
            "register",
            &alice.address,
            "--relay",
            &relay.url,
            "--code",
            code,
        ])
    };
    let fifth = give(&another(&right));
    assert_eq!(fifth.code, 1, "{fifth:?}");
    let sixth = give(&right);
    assert_eq!(sixth.code, 1, "{sixth:?}");
    assert!(!sixth.err.contains("panicked"), "{sixth:?}");
    let account = alice.rpc().call("account", json!({}));
    assert_ne!(account["registration"], "registered");
}

#[test]
fn an_unknown_recipient_fails_with_a_sentence() {
    let relay = Relay::start();
    let alice = relay.person("alice");
    let ended = alice.run(&["send", "nobody@example.org", "hello"]);
    ended.failed_with("Nobody has registered nobody@example.org");
    let ended = alice.run(&["send", "nobody@example.org", "hello", "--json"]);
    let error: Value = serde_json::from_str(ended.err.lines().last().unwrap()).unwrap();
    assert_eq!(
        (ended.code, &error["type"], &error["code"]),
        (1, &json!("error"), &json!("recipient_unknown"))
    );
}

#[test]
fn a_message_of_ten_megabytes_is_refused_and_sends_nothing() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    let ended = alice.run_with_input(&["send", &bob.address], &vec![b'x'; 10 << 20]);
    ended.failed_with("10 MiB");
    let longest = vec![b'x'; 64 << 10];
    let ended = alice.run_with_input(&["send", &bob.address], &longest);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        listen(&bob, 1)[0]["text"].as_str().unwrap().len(),
        longest.len()
    );
}

#[test]
fn a_message_sent_while_the_relay_is_down_arrives_later() {
    let mut relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    send(&alice, &bob, "before");
    relay.kill();
    let stranger = Home::new("carol@example.org");
    stranger
        .run(&["register", &stranger.address, "--relay", &relay.url])
        .failed_with("cannot be reached");
    let doctor = alice.run(&["doctor"]);
    assert_eq!(doctor.code, 1, "{doctor:?}");
    assert!(doctor.out.contains("cannot be reached"), "{doctor:?}");
    for text in ["down one", "down two"] {
        let ended = alice.run(&["send", &bob.address, text, "--wait", "1"]);
        assert_eq!(ended.code, 3, "{ended:?}");
        assert!(ended.out.contains("outbox"), "{ended:?}");
        assert!(ended.err.contains("cannot be reached"), "{ended:?}");
    }
    let queued = alice.run(&["send", &bob.address, "down three", "--queue"]);
    assert_eq!(queued.code, 0, "{queued:?}");
    relay.restart();
    send(&alice, &bob, "after");
    let all = ["before", "down one", "down two", "down three", "after"];
    assert_eq!(texts(&listen(&bob, all.len())), all);
    assert_eq!(alice.texts(&bob.address), all);
}

/// Numbered texts, each of which must arrive once and in order.
fn numbered(from: usize, to: usize) -> Vec<String> {
    (from..to)
        .map(|number| format!("message {number}"))
        .collect()
}

#[test]
fn a_relay_that_is_killed_under_load_loses_and_doubles_nothing() {
    const ROUNDS: usize = 4;
    const EACH: usize = 60;
    let mut relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    let (mut from, mut to) = (alice.rpc(), bob.rpc());
    for rpc in [&mut from, &mut to] {
        rpc.call("subscribe", json!({}));
    }
    let accepted =
        |notice: &Value| notice["type"] == "message_state" && notice["state"] == "accepted";
    // Of a stranger, not all of this would be kept.
    from.call("send", json!({"to": bob.address, "text": "hello"}));
    to.notice(|notice| notice["type"] == "message");
    to.call("accept_request", json!({"of": alice.address}));
    from.notice(accepted);
    for round in 0..ROUNDS {
        for text in numbered(round * EACH, (round + 1) * EACH) {
            from.call("send", json!({"to": bob.address, "text": text}));
        }
        // Somewhere in the middle of the round.
        for _ in 0..(round * 13 + 5) {
            from.notice(accepted);
        }
        relay.kill();
        relay.restart();
    }
    let mut all = vec!["hello".to_owned()];
    all.extend(numbered(0, ROUNDS * EACH));
    let arrived: Vec<_> = (1..all.len())
        .map(|_| {
            to.notice(|notice| notice["type"] == "message")["text"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(arrived, all[1..]);
    until(|| from.call("status", json!({}))["outbox"] == 0);
    assert_eq!((from.end(), to.end()), (0, 0));
    assert_eq!(bob.texts(&alice.address), all);
    assert_eq!(alice.texts(&bob.address), all);
}

#[test]
fn clients_that_are_killed_under_load_lose_and_double_nothing() {
    const ROUNDS: usize = 6;
    const EACH: usize = 25;
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    let mut to = bob.rpc();
    to.call("subscribe", json!({}));
    for round in 0..ROUNDS {
        let mut from = alice.rpc();
        from.call("subscribe", json!({}));
        for text in numbered(round * EACH, (round + 1) * EACH) {
            from.call("send", json!({"to": bob.address, "text": text}));
        }
        // Killed while they leave and arrive: each round at another point.
        match round % 3 {
            0 => {}
            1 => drop(from.notice(|notice| notice["state"] == "accepted")),
            _ => drop(to.notice(|notice| notice["type"] == "message")),
        }
        from.kill();
        to.kill();
        to = bob.rpc();
        to.call("subscribe", json!({}));
    }
    let all = numbered(0, ROUNDS * EACH);
    let mut from = alice.rpc();
    until(|| from.call("status", json!({}))["outbox"] == 0);
    until(|| arrived(&mut to, &alice) >= all.len());
    assert_eq!((from.end(), to.end()), (0, 0));
    assert_eq!(alice.texts(&bob.address), all);
    assert_eq!(bob.texts(&alice.address), all);
}

fn arrived(rpc: &mut Rpc, from: &Home) -> usize {
    let history = rpc
        .try_call("history", json!({"of": from.address, "limit": 1000}))
        .unwrap();
    history["result"]["entries"].as_array().map_or(0, Vec::len)
}

#[test]
fn both_start_at_once_and_end_up_in_one_conversation() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    let (mut a, mut b) = (alice.rpc(), bob.rpc());
    for rpc in [&mut a, &mut b] {
        rpc.call("subscribe", json!({}));
    }
    a.call("send", json!({"to": bob.address, "text": "from alice"}));
    b.call("send", json!({"to": alice.address, "text": "from bob"}));
    a.notice(|notice| notice["text"] == "from bob");
    b.notice(|notice| notice["text"] == "from alice");
    a.call("send", json!({"to": bob.address, "text": "again"}));
    b.notice(|notice| notice["text"] == "again");
    for rpc in [&mut a, &mut b] {
        let conversations = rpc.call("conversations", json!({}));
        assert_eq!(conversations["conversations"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn an_interrupted_listener_ends_and_the_home_is_free_again() {
    let relay = Relay::start();
    let alice = relay.person("alice");
    let mut listening = alice
        .command(&["listen"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = lines(listening.stderr.take().unwrap());
    assert!(said.recv_timeout(PATIENCE).unwrap().contains("Connected"));
    let interrupted = std::process::Command::new("kill")
        .args(["-INT", &listening.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success());
    assert_eq!(listening.wait().unwrap().code(), Some(130));
    assert!(!alice.path().join("rpc.sock").exists());
}

#[test]
fn a_registration_is_finished_by_a_later_command_with_the_code() {
    let relay = Relay::start();
    let alice = Home::new("alice@example.org");
    let ended: Ended = alice.run(&["register", &alice.address, "--relay", &relay.url]);
    ended.failed_with("--code");
    let code = relay.code(&alice.address, 1);
    let ended = alice.run(&[
        "register",
        &alice.address,
        "--relay",
        &relay.url,
        "--code",
        &code,
    ]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("Recovery words"), "{ended:?}");
}

#[test]
fn an_export_is_read_and_imported_and_a_report_checked() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("dot <img>.png");
    let dot = b"\x89PNG\r\n\x1a\nnot much of a picture";
    std::fs::write(&picture, dot).unwrap();
    send(&alice, &bob, "<script>alert(1)</script> & more");
    let sent = alice.run(&[
        "send",
        &bob.address,
        "a dot",
        "--keep-metadata",
        "--attach",
        picture.to_str().unwrap(),
    ]);
    assert_eq!(sent.code, 0, "{sent:?}");
    assert_eq!(listen(&bob, 2).len(), 2);
    send(&bob, &alice, "thanks");
    assert_eq!(texts(&listen(&alice, 1)), ["thanks"]);
    let id = bob.run(&["history", &alice.address, "--json"]).objects()[0]["id"].clone();
    let id = id.as_str().unwrap();

    let out = folder.path().join("out");
    let to = out.to_str().unwrap();
    let exported = alice.run(&["export", &bob.address, "--to", to, "--json"]);
    assert_eq!(exported.code, 0, "{exported:?}");
    assert_eq!(exported.objects()[0]["entries"], 3);
    assert_eq!(exported.objects()[0]["files"], 1);
    let page = std::fs::read_to_string(out.join("conversation.html")).unwrap();
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; more"));
    assert!(page.contains("default-src 'none'"));
    assert!(page.contains("src=\"data:image/png;base64,"));
    assert!(!page.contains("<script"));
    assert_eq!(
        std::fs::read(out.join("files/000001-dot _img_.png")).unwrap(),
        dot
    );
    // Nothing is overwritten.
    alice
        .run(&["export", &bob.address, "--to", to])
        .failed_with("another path");

    // Into an account that has none of it, twice.
    let carol = relay.person("carol");
    let file = out.join("conversation.json");
    let file = file.to_str().unwrap();
    for (added, known) in [(3, 0), (0, 3)] {
        let imported = carol.run(&["import", file, "--json"]);
        assert_eq!(imported.code, 0, "{imported:?}");
        assert_eq!(imported.objects()[0]["added"], added);
        assert_eq!(imported.objects()[0]["known"], known);
    }
    let there = carol.run(&["history", &bob.address, "--json"]).objects();
    assert_eq!(there.len(), 3);
    assert!(
        there
            .iter()
            .all(|one| one["imported"] == true && one["from_verified"] == false)
    );
    assert_eq!(there[2]["text"], "thanks");
    let dot_id = there[1]["id"].as_str().unwrap();
    let saved = folder.path().join("saved.png");
    let ended = carol.run(&["save", dot_id, "--to", saved.to_str().unwrap()]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(std::fs::read(&saved).unwrap(), dot);
    // And where all of it is already, nothing changes.
    let again = alice.run(&["import", file, "--json"]);
    assert_eq!(again.objects()[0]["added"], 0, "{again:?}");

    let report = folder.path().join("report.json");
    let report = report.to_str().unwrap();
    let written = bob.run(&["report", id, "--note", "markup", "--to", report]);
    assert_eq!(written.code, 0, "{written:?}");
    let checked = carol.run(&["check-report", report, "--json"]).objects();
    assert_eq!(checked[0]["said"][0]["address"], alice.address.as_str());
    let text = std::fs::read_to_string(report).unwrap();
    let bent = text.replace("\"sent_at_ms\": 1", "\"sent_at_ms\": 2");
    assert_ne!(text, bent);
    std::fs::write(report, bent).unwrap();
    carol
        .run(&["check-report", report])
        .failed_with("proves nothing");
}

#[test]
fn a_poll_is_asked_voted_on_and_closed() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    acquainted(&alice, &bob);
    let question = "Where do we eat?";
    let asked = alice.run(&["poll", &bob.address, question, "Thai", "Pizza", "--json"]);
    assert_eq!(asked.code, 0, "{asked:?}");
    let id = asked.objects()[0]["id"].as_str().unwrap().to_owned();
    let heard = bob.run(&["listen", "--count", "1", "--timeout", "60"]);
    assert!(heard.out.contains(question), "{heard:?}");
    assert!(heard.out.contains(" 2   Pizza  0"), "{heard:?}");
    let voted = bob.run(&["poll", "vote", &id, "pizza"]);
    assert_eq!(voted.code, 0, "{voted:?}");
    let refused = bob.run(&["poll", "vote", &id, "3"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let closed = alice.run(&["poll", "close", &id]);
    assert_eq!(closed.code, 0, "{closed:?}");
    let shown = alice.run(&["history", &bob.address]).out;
    assert!(shown.contains("1  bob@example.org"), "{shown}");
    assert!(shown.contains("(1 person voted; closed)"), "{shown}");
}

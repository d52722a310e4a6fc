//! Commands that send to several people, send again or later, and delete, with a real relay.

use serde_json::Value;

use crate::world::relay::Relay;

fn types_and_recipients(objects: &[Value]) -> Vec<(&str, &str)> {
    let objects = objects.iter();
    let told = objects.map(|one| Some((one["type"].as_str()?, one["to"].as_str()?)));
    told.collect::<Option<_>>().unwrap()
}

#[test]
fn each_recipient_gets_a_message_and_the_output_says_who_did_not() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    let carol = relay.person("carol");
    let both = format!("{},{}", bob.address, carol.address);
    let sent = alice.run(&["send", &both, "hello", "--wait", "60", "--json"]);
    assert_eq!(sent.code, 0, "{sent:?}");
    let objects = sent.objects();
    let expected = [("sent", bob.address.as_str()), ("sent", &carol.address)];
    assert_eq!(types_and_recipients(&objects), expected);
    assert_ne!(objects[0]["conversation"], objects[1]["conversation"]);
    for person in [&bob, &carol] {
        let heard = person.run(&["listen", "--count", "1", "--timeout", "60", "--json"]);
        let objects = heard.objects();
        let message = objects.iter().find(|one| one["type"] == "message");
        assert_eq!(message.unwrap()["text"], "hello", "{heard:?}");
    }
    let nobody = "nobody@example.org";
    let some = alice.run(&[
        "send",
        "--to",
        nobody,
        "--to",
        &bob.address,
        "again",
        "--wait",
        "60",
        "--json",
    ]);
    assert_eq!(some.code, 1, "{some:?}");
    let objects = some.objects();
    assert_eq!(
        (&objects[0]["to"], &objects[0]["state"]),
        (&nobody.into(), &"failed".into())
    );
    assert_eq!(objects[0]["problem"]["code"], "recipient_unknown");
    assert_eq!(objects[1]["state"], "accepted");
    let refused = alice.run(&[
        "send",
        "--to",
        "Nowhere",
        "--to",
        &bob.address,
        "third",
        "--json",
    ]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_eq!(refused.objects()[0]["type"], "not_sent");
    assert_eq!(refused.objects()[1]["type"], "sent");
    let queued = alice.run(&["send", &both, "later", "--queue"]);
    assert_eq!(queued.code, 0, "{queued:?}");
}

#[test]
fn a_person_is_blocked_and_unblocked_and_receipts_are_chosen() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    let sent = alice.run(&["send", &bob.address, "hello", "--wait", "60"]);
    assert_eq!(sent.code, 0, "{sent:?}");
    assert_eq!(alice.run(&["block", &bob.address]).code, 0);
    let blocked = alice.run(&["block", "--json"]).objects();
    assert_eq!(blocked[0]["address"], bob.address.as_str());
    let refused = alice.run(&["send", &bob.address, "more", "--json"]);
    assert!(refused.err.contains("recipient_blocked"), "{refused:?}");
    assert_eq!(alice.run(&["unblock", &bob.address]).code, 0);
    assert!(alice.run(&["block", "--json"]).objects().is_empty());
    let chosen = alice
        .run(&["receipts", "--read", "off", "--json"])
        .objects();
    assert_eq!(
        (&chosen[0]["read"], &chosen[0]["typing"]),
        (&false.into(), &true.into())
    );
    let shown = alice.run(&["receipts", "--json"]).objects();
    assert_eq!(
        (&shown[0]["read"], &shown[0]["delivered"]),
        (&false.into(), &true.into())
    );
}

#[test]
fn messages_are_scheduled_deleted_and_viewed_once() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    let later = alice.run(&[
        "send",
        &bob.address,
        "happy birthday",
        "--at",
        "+2h",
        "--json",
    ]);
    assert_eq!(later.code, 0, "{later:?}");
    let number = later.objects()[0]["id"].to_string();
    let edited = alice.run(&["scheduled", "edit", &number, "Happy birthday!", "--json"]);
    assert_eq!(edited.objects()[0]["text"], "Happy birthday!", "{edited:?}");
    assert_eq!(alice.run(&["scheduled", "cancel", &number]).code, 0);
    assert!(alice.run(&["scheduled", "--json"]).objects().is_empty());
    let sent = alice.run(&[
        "send",
        &bob.address,
        "the code is 1234",
        "--view-once",
        "--wait",
        "60",
        "--json",
    ]);
    let id = sent.objects()[0]["id"].as_str().unwrap().to_owned();
    let heard = bob.run(&["listen", "--count", "1", "--timeout", "60"]);
    assert!(
        heard.out.contains("waxwing open") && !heard.out.contains("1234"),
        "{heard:?}"
    );
    let asked = bob.run(&["open", &id]);
    assert_eq!(asked.code, 1, "{asked:?}");
    let opened = bob.run(&["open", &id, "--yes"]);
    assert!(opened.out.contains("the code is 1234"), "{opened:?}");
    assert_eq!(bob.run(&["open", &id, "--yes"]).code, 1);
    let deleted = alice.run(&["delete", &id]);
    assert_eq!(deleted.code, 0, "{deleted:?}");
    let kept = alice.run(&["delete", "--conversation", &bob.address]);
    assert_eq!(kept.code, 1, "{kept:?}");
    let cleared = alice.run(&["delete", "--conversation", &bob.address, "--yes"]);
    assert_eq!(cleared.code, 0, "{cleared:?}");
    assert!(alice.run(&["conversations", "--json"]).objects().is_empty());
}

//! An address is the same address in whatever form somebody writes it.

use crate::world::{Ended, Home, relay::Relay};

#[track_caller]
fn done(ended: Ended) -> Ended {
    assert_eq!(ended.code, 0, "{ended:?}");
    ended
}

#[test]
fn a_code_is_good_for_the_address_in_any_form() {
    let relay = Relay::start();
    let home = Home::new("Case@example.org");
    let register = |address: &str, more: &[&str]| {
        let mut arguments = vec!["register", address, "--relay", relay.url.as_str()];
        arguments.extend(more);
        home.run_with_input(&arguments, b"")
    };
    // Nobody types the code.
    register("Case@example.org", &[]).failed_with("code");
    // Mail goes to the canonical form.
    let code = relay.code("case@example.org", 1);
    done(register("cAsE@EXAMPLE.org", &["--code", &code]));
    assert_eq!(relay.mails_to("case@example.org").len(), 1);
}

#[test]
fn a_conversation_is_found_by_the_address_in_any_form() {
    let relay = Relay::start();
    let (alice, bob) = (relay.person("alice"), relay.person("bob"));
    done(alice.run(&["send", "bob@example.org", "hello"]));
    done(bob.run(&["listen", "--count", "1", "--timeout", "60"]));
    let folder = alice.path().join("exported");
    let to = folder.to_str().unwrap();
    let pasted = "\u{2068}Bob@EXAMPLE.org\u{2069}\u{a0}";
    let exported = done(alice.run(&["export", pasted, "--to", to, "--json"]));
    assert_eq!(exported.objects()[0]["entries"], 1);
    done(alice.run(&["nickname", pasted, "Bobby"]));
    done(alice.run(&["pin", pasted]));
    let found = done(alice.run(&["search", "--from", "ALICE@example.org", "ELL", "--json"]));
    assert_eq!(found.objects().len(), 1);
    let contacts = done(alice.run(&["contacts", "--json"])).objects();
    assert!(contacts[0]["conversation"].is_string(), "{contacts:?}");
    for (address, reason) in [
        ("bob@localhost", "mail domain"),
        ("b b@example.org", "before the @"),
        ("+1555", "phone number"),
        ("5551234", "country code"),
    ] {
        let refused = alice.run(&["send", address, "hello"]);
        refused.failed_with(reason);
    }
}

//! Messages that are reported: whoever gets them can check who wrote them, and nobody can put
//! words into another's mouth.

use waxwing_engine::api::{
    CheckReport, CheckedReport, Edit, MakeReport, MessageId, MessageOf, Report, Request, Response,
};
use waxwing_protocol::time::Span;
use waxwing_system_tests::{
    PersonId, RealRelay, World,
    devices::{devices, linked, linked_as, revoke},
    scenes::alice_and_bob,
};

type Scene = World<RealRelay>;

fn report(scene: &mut Scene, who: PersonId, messages: &[MessageId]) -> Result<Report, String> {
    let request = Request::Report(MakeReport {
        messages: messages.to_vec(),
        note: "unkind".into(),
    });
    match scene.command(who, request) {
        Ok(Response::Report(report)) => Ok(*report),
        Ok(other) => panic!("{other:?}"),
        Err(refused) => Err(refused.problem.code().to_owned()),
    }
}

fn check(scene: &mut Scene, who: PersonId, report: &Report) -> Result<CheckedReport, String> {
    // As it goes through a file.
    let json = serde_json::to_string(report).unwrap();
    let report = serde_json::from_str(&json).unwrap();
    match scene.command(who, Request::CheckReport(Box::new(CheckReport { report }))) {
        Ok(Response::ReportChecked(checked)) => Ok(*checked),
        Ok(other) => panic!("{other:?}"),
        Err(refused) => Err(refused.problem.code().to_owned()),
    }
}

#[test]
fn whoever_gets_a_report_can_check_who_wrote_what() {
    let (mut scene, alice, bob) = alice_and_bob(1700);
    let carol = scene.add_registered("carol@example.org");
    let unkind = scene.send(bob, alice, "something unkind");
    scene.send(bob, alice, "something else");
    scene.run_for(Span::seconds(10));
    let edit = Request::Edit(Edit {
        message: unkind,
        text: "something nice".into(),
    });
    scene.command(bob, edit).unwrap();
    scene.run_for(Span::seconds(10));
    let made = report(&mut scene, alice, &[unkind]).unwrap();
    let checked = check(&mut scene, carol, &made).unwrap();
    assert_eq!(checked.note, "unkind");
    let texts: Vec<_> = checked.said.iter().map(|said| said.text.as_str()).collect();
    assert_eq!(texts, ["something unkind", "something nice"]);
    assert_eq!(checked.said[0].id, unkind);
    assert_eq!(checked.said[1].replaces, Some(unkind));
    // Carol knows neither the account nor the address.
    let first = &checked.said[0];
    assert_eq!(first.address, "bob@example.org");
    assert_eq!(first.address_known, None);
    scene.send(carol, bob, "is it you?");
    scene.run_for(Span::seconds(10));
    let checked = check(&mut scene, carol, &made).unwrap();
    assert_eq!(checked.said[0].address_known, Some(true));
    // And finds it odd where the report gives another's address.
    let mut odd = made;
    odd.people[0].address = "carol@example.org".into();
    scene.send(bob, alice, "…");
    let checked = check(&mut scene, alice, &odd).unwrap();
    assert_ne!(checked.said[0].address_known, Some(true));
}

#[test]
fn no_words_are_put_into_anybodys_mouth() {
    let (mut scene, alice, bob) = alice_and_bob(1701);
    let carol = scene.add_registered("carol@example.org");
    let of_bob = scene.send(bob, alice, "I am Bob");
    let of_carol = scene.send(carol, alice, "I am Carol");
    let own = scene.send(alice, bob, "I am Alice");
    scene.run_for(Span::seconds(10));
    let made = report(&mut scene, alice, &[of_bob, of_carol]).unwrap();
    assert!(check(&mut scene, bob, &made).is_ok());
    let bent: [fn(&mut Report); 9] = [
        |report| report.messages[0].sent_at_ms += 1,
        |report| report.messages[0].content = report.messages[1].content.clone(),
        |report| report.messages[0].signature = report.messages[1].signature.clone(),
        |report| report.messages[0].account = report.messages[1].account.clone(),
        |report| report.messages[0].device = report.messages[1].device.clone(),
        |report| report.messages[0].group = report.messages[1].group.clone(),
        |report| report.people[0].roster = report.people[1].roster.clone(),
        |report| report.people[0].roster.clear(),
        |report| report.version = 2,
    ];
    for (number, bend) in bent.iter().enumerate() {
        let mut report = made.clone();
        bend(&mut report);
        let refused = check(&mut scene, bob, &report).unwrap_err();
        assert_eq!(refused, "report_invalid", "{number}");
    }
    // What is the person's own, or was taken back, is not reported.
    let refused = report(&mut scene, alice, &[own]).unwrap_err();
    assert_eq!(refused, "message_not_proven");
    let back = Request::TakeBack(MessageOf { message: of_bob });
    scene.command(bob, back).unwrap();
    scene.run_for(Span::seconds(10));
    let refused = report(&mut scene, alice, &[of_bob]).unwrap_err();
    assert_eq!(refused, "message_taken_back");
}

#[test]
fn a_report_holds_when_its_device_is_gone() {
    let (mut scene, alice, bob) = alice_and_bob(1702);
    let tablet = linked_as(&mut scene, bob, "bob@example.org");
    let message = scene.send(tablet, alice, "said on a tablet");
    scene.run_for(Span::seconds(10));
    let own = devices(&mut scene, tablet);
    let id = own.into_iter().find(|one| one.this).unwrap().id;
    revoke(&mut scene, bob, &id).unwrap();
    scene.run_for(Span::hours(1));
    let second = linked(&mut scene, alice);
    scene.run_for(Span::minutes(5));
    let made = report(&mut scene, second, &[message]).unwrap();
    let checked = check(&mut scene, bob, &made).unwrap();
    assert_eq!(checked.said[0].text, "said on a tablet");
    let checked = check(&mut scene, second, &made).unwrap();
    assert_eq!(checked.said[0].address_known, Some(true));
}

#[test]
fn a_report_says_that_the_key_was_revoked_since() {
    let (mut scene, alice, bob) = alice_and_bob(1703);
    let carol = scene.add_registered("carol@example.org");
    let tablet = linked_as(&mut scene, bob, "bob@example.org");
    let by_tablet = scene.send(tablet, alice, "said on a tablet");
    let by_phone = scene.send(bob, alice, "said on a phone");
    scene.run_for(Span::seconds(10));
    let before = report(&mut scene, alice, &[by_tablet, by_phone]).unwrap();
    let own = devices(&mut scene, tablet);
    let id = own.into_iter().find(|one| one.this).unwrap().id;
    let revoked_at = scene.now;
    revoke(&mut scene, bob, &id).unwrap();
    scene.run_for(Span::hours(7));
    scene.send(alice, bob, "are you there?");
    scene.run_for(Span::minutes(5));
    // In the file, for whoever reads it.
    let made = report(&mut scene, alice, &[by_tablet, by_phone]).unwrap();
    let said_at = made.messages[0].key_revoked_at_ms.unwrap();
    assert!(said_at >= revoked_at.0 && said_at <= scene.now.0);
    assert_eq!(made.messages[1].key_revoked_at_ms, None);
    // For somebody who knows neither, from the roster in it, whatever the file says.
    let mut silent = made.clone();
    silent.messages[0].key_revoked_at_ms = None;
    for report in [&made, &silent] {
        let checked = check(&mut scene, carol, report).unwrap();
        let revoked: Vec<_> = checked
            .said
            .iter()
            .map(|said| said.key_revoked_at)
            .collect();
        assert!(revoked[0].is_some());
        assert_eq!(revoked[1], None);
    }
    // A report with the roster of before does not say so; whoever knows better does.
    assert_eq!(before.messages[0].key_revoked_at_ms, None);
    let checked = check(&mut scene, carol, &before).unwrap();
    assert_eq!(checked.said[0].key_revoked_at, None);
    for knows in [alice, bob] {
        let checked = check(&mut scene, knows, &before).unwrap();
        assert!(checked.said[0].key_revoked_at.is_some());
        assert_eq!(checked.said[1].key_revoked_at, None);
    }
    // Nobody's word makes a good key a revoked one.
    let mut slander = made;
    slander.messages[1].key_revoked_at_ms = Some(1);
    let checked = check(&mut scene, carol, &slander).unwrap();
    assert_eq!(checked.said[1].key_revoked_at, None);
}

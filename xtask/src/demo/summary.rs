//! The summary at the end of the demo.
//!
//! **Elsewhere**: every figure comes from `stage` and `seizure`.
//!
//! **Always**: what could not be checked is named, not left out.

use std::time::Duration;

use super::attack::Attack;
use super::search::{Findings, Secret};
use super::seizure::Seizure;
use super::stage::{Stage, Talk};

/// Prints it.
pub fn print(stage: &Stage, talk: &Talk, seizure: &Seizure, attack: &Attack) {
    println!("\nWho is verified, and how");
    for (person, said) in [&stage.alice, &stage.bob].into_iter().zip(&talk.received) {
        let vouched = if said.verified {
            "verified"
        } else {
            "NOT verified"
        };
        println!(
            "  {} typed the code that was mailed to that address;",
            person.address
        );
        println!("    the code works for that device's key only. The other side sees: {vouched}.");
    }
    let [alices, bobs] = &talk.safety_numbers;
    if alices == bobs {
        println!("  Both see the same safety number, which they can compare in person:");
        println!("    {alices}");
    } else {
        println!("  Their safety numbers DIFFER: somebody is between them.");
    }

    println!("\nWhat they said");
    for said in &talk.received {
        println!("  {}: {}", said.from, said.text);
    }

    println!("\nHow");
    println!("  end to end   {}", talk.suite);
    println!("  to the relay {}", talk.link);
    let latency = &seizure.latency;
    println!(
        "  latency      p50 {}, p99 {} from one client's input to the other's output ({} messages)",
        milliseconds(latency.p50),
        milliseconds(latency.p99),
        latency.count
    );

    println!("\nWhat the relay had when it was seized");
    println!(
        "  {} texts had passed through it; {} of them were waiting there.",
        seizure.canaries, seizure.waiting
    );
    println!(
        "  Its data directory held {} bytes. Part of a stored message:",
        seizure.stored_bytes
    );
    if let Some((place, hex)) = &seizure.excerpt {
        println!("    {place}");
        println!("    {hex}");
    }
    println!(
        "\n  {:<22} {:>14} {:>9} {:>9} {:>13}",
        "searched", "bytes", "texts", "addresses", "private keys"
    );
    row("data directory", &seizure.on_disk);
    row("logs and output", &seizure.in_logs);
    match &seizure.in_memory {
        Ok(findings) => row("memory", findings),
        Err(why) => println!("  memory: NOT searched: {why}"),
    }
    println!(
        "  The search was for pieces of each text and of each of {} private keys, and for",
        seizure.keys.len()
    );
    println!("  whole addresses: as plain bytes, as base64 and as hexadecimal digits.");
    match &seizure.control {
        Ok(found) => println!(
            "  (The same search over Bob's own memory: {} texts, {} private keys.)",
            found.texts, found.keys
        ),
        Err(why) => {
            println!("  (The same search over Bob's own memory was not tried: {why}.)");
        }
    }
    if seizure
        .in_memory
        .as_ref()
        .is_ok_and(|findings| !findings.addresses().is_empty())
    {
        println!("  A running relay sees an address when it registers, mails or looks up that");
        println!("  address, and may keep it in its memory for a while.");
    }

    println!("\nAfterwards");
    println!(
        "  {} of {} texts reached Bob, each once and in order.",
        seizure.arrived, seizure.canaries
    );
    match seizure.erased_after {
        Some(after) => println!(
            "  {} stored ciphertexts were recognised on the disk; {:.0} s after the last was\n  \
             acknowledged, none of them was in any file of the relay.",
            seizure.ciphertexts,
            after.as_secs_f64()
        ),
        None => println!("  Ciphertexts are STILL on the relay's disk."),
    }
    print_attack(attack);
}

fn print_attack(attack: &Attack) {
    println!("\nAnd when its operator lies");
    println!(
        "  An auditor (anybody can be one: `waxwing audit follow`) {}.",
        attack.audited
    );
    println!("  Then the operator, who has the disk and every key of the relay, swapped the");
    println!("  keys of {}", attack.victim);
    println!(
        "  for those of {}. Alice wrote, and Waxwing told her:",
        attack.attacker
    );
    println!("    {}", attack.reason);
    if attack.alarm == attack.reason {
        println!("  Her alarms show the same until she has dealt with it.");
    } else {
        println!("    {}", attack.alarm);
    }
    println!("  Nothing left her device: neither of the two received anything.");
}

fn row(place: &str, findings: &Findings) {
    let texts = findings.distinct(|secret| matches!(secret, Secret::Canary(_)));
    let keys = findings.distinct(|secret| matches!(secret, Secret::Key(_)));
    let addresses: usize = findings.addresses().values().sum();
    println!(
        "  {place:<22} {:>14} {texts:>9} {addresses:>9} {keys:>13}",
        findings.bytes
    );
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

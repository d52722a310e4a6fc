//! The fuzz targets hold on their kept inputs, and on seeded mutations of them.

#![cfg(test)]

use std::{collections::BTreeSet, fs};

use waxwing_fuzz_targets::{TARGETS, replay, seeds};

macro_rules! replayed {
    ($($name:ident),* $(,)?) => {
        mod each_target_holds_on {
            $(
                #[test]
                fn $name() {
                    let name = stringify!($name);
                    let target = super::TARGETS.iter().find(|target| target.name == name);
                    super::replay::replay(target.expect("a target of this name"));
                }
            )*
        }

        const REPLAYED: &[&str] = &[$(stringify!($name)),*];
    };
}

replayed!(
    client_frame,
    relay_frame,
    address,
    roster,
    sealed,
    token,
    envelope,
    content,
    poll,
    relay_url,
    rpc,
    files,
    devices,
    mls,
    engine,
    relay,
    transparency,
    sms,
    sms_text,
    sms_inbound,
);

#[test]
fn every_target_is_replayed_and_has_a_fuzz_program() {
    let targets: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(targets, REPLAYED);
    let manifest = fs::read_to_string(seeds::root().join("fuzz/Cargo.toml")).unwrap();
    for name in &targets {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
        let program = seeds::root().join(format!("fuzz/fuzz_targets/{name}.rs"));
        let program = fs::read_to_string(program).unwrap();
        assert!(program.contains(&format!("::{name}(data)")), "{name}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), targets.len());
}

#[test]
fn a_corpus_holds_the_well_formed_inputs_and_is_small() {
    let mut total = 0;
    for target in TARGETS {
        let corpus = replay::corpus(target);
        total += corpus.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        let names: BTreeSet<String> = corpus.into_iter().map(|(name, _)| name).collect();
        for (name, _) in (target.seeds)() {
            assert!(
                names.contains(&name),
                "{}/{name}: run the example `seeds`",
                target.name
            );
        }
    }
    assert!(total < 1 << 20, "the corpora have {total} bytes");
}

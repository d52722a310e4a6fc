//! What two devices say to each other, what one hands over, and backups.
//!
//! The first byte of an input says what the rest is: `c` a linking code, `m` something said
//! while two devices agree on keys, `a` a chunk of the archive, `b` a backup for a known key,
//! which comes in pieces as long as the next byte says (times 64).

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use waxwing_engine::parsers;
use waxwing_protocol::pb::ArchiveChunk;

use crate::seeds::{Seeds, vectors};

const SEED: [u8; 32] = [7; 32];

/// One of them.
pub fn devices(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    match kind {
        b'c' => {
            if let Ok(text) = core::str::from_utf8(rest)
                && let Some(code) = parsers::pairing_code(text)
            {
                assert_eq!(
                    parsers::pairing_code(&code),
                    Some(code),
                    "a code is read as it is written"
                );
            }
        }
        b'm' => {
            parsers::pairing_message(&mut rng, rest);
        }
        b'a' => {
            parsers::archive_chunk(rest);
        }
        b'b' => {
            let (piece, sealed) = rest.split_first().unwrap_or((&1, &[]));
            if let Some(chunks) = parsers::backup(SEED, sealed, usize::from(*piece) * 64) {
                // Nobody without the key of a content that was sealed makes another open.
                assert_eq!(Some(chunks), parsers::backup(SEED, sealed, usize::MAX));
            }
        }
        _ => {}
    }
}

/// Well-formed ones.
pub fn seeds() -> Seeds {
    let mut seeds: Seeds = vec![
        ("code".into(), b"c4821-7K3MQ-9TXP9".to_vec()),
        (
            "code_scanned".into(),
            b"cwaxwing:link/1/4821-7K3MQ-9TXP9/aHR0cHM6Ly9h/".to_vec(),
        ),
    ];
    for (name, bytes) in vectors("devices", "") {
        let kind = match name.split('_').next() {
            Some("pairing") => b'm',
            Some("archive") => b'a',
            _ => continue,
        };
        seeds.push((name, [&[kind], bytes.as_slice()].concat()));
    }
    let mut rng = ChaCha20Rng::from_seed([2; 32]);
    let chunk = ArchiveChunk {
        version: 1,
        ..ArchiveChunk::default()
    };
    let sealed = parsers::sealed_backup(&mut rng, SEED, &[chunk.clone(), chunk]);
    seeds.push(("backup".into(), [&[b'b', 9], sealed.as_slice()].concat()));
    seeds
}

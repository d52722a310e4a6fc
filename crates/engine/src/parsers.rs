//! The parsers of bytes from other devices and files, each callable alone, for tools that test
//! them, such as a fuzzer. In the engine each is behind a state machine, and most are behind a
//! key that strangers do not have.
//!
//! **Always**: nothing that is read here has any effect.

use prost::Message as _;
use rand_core::CryptoRng;
use waxwing_protocol::{
    pb::{ArchiveChunk, DeviceOffer},
    time::Time,
};
use x_wing::{DecapsulationKeyRejectNonContrib, Decapsulator as _};

use crate::{
    content::Content,
    devices::{
        archive,
        backup::seal::{Opener, Sealer},
        pairing::{
            agreement::PairingContext,
            code::{PairingCode, PairingSecret},
            steps::{self, OldStep},
        },
    },
    engine::TABLES,
    message::poll,
    store::Store,
    tables::Tables,
};

/// Reads a linking code, typed or scanned; gives it as it is typed.
pub fn pairing_code(text: &str) -> Option<String> {
    let (code, _) = PairingCode::read(text).ok()?;
    Some(code.text())
}

/// Lets a device that waits with a code hear this, as a new one and as an old one. Gives
/// whether either of them takes it.
pub fn pairing_message(rng: &mut dyn CryptoRng, body: &[u8]) -> bool {
    let secret = PairingSecret::generate(rng);
    let place = PairingContext {
        number: 4821,
        log_id: [5; 32],
    };
    let (new, _) = steps::hello(rng, &secret, place);
    let by_new = new.handle_message(body, DeviceOffer::default).is_ok();
    let by_old = OldStep::Awaiting(secret, place)
        .handle_message(rng, body)
        .is_ok();
    by_new || by_old
}

/// Takes an archive's chunk into an empty store; `false` where it is refused.
pub fn archive_chunk(bytes: &[u8]) -> bool {
    let (Ok(chunk), Ok(mut store)) = (ArchiveChunk::decode(bytes), Store::open_in_memory()) else {
        return false;
    };
    let imported =
        store.transaction(|tx| archive::import(tx, Tables(TABLES), Time(1_800_000_000_000), chunk));
    imported.is_ok()
}

/// Reads a poll, a vote or a closing, and writes it again; `None` where it is none of these, or not
/// a valid one.
pub fn poll(said: &Content) -> Option<Content> {
    poll::written_again(said)
}

/// Checks a report without knowing anybody; `false` where it proves nothing.
pub fn report(report: &crate::api::Report) -> bool {
    let Ok(mut store) = Store::open_in_memory() else {
        return false;
    };
    let checked = store.transaction(|tx| {
        let checked = crate::message::report::check(tx, report);
        Ok::<_, crate::store::StoreError>(checked.is_ok())
    });
    checked.unwrap_or(false)
}

/// Opens a backup that was sealed to the key of this seed, in pieces of so many bytes. Gives
/// how many chunks were in it.
pub fn backup(seed: [u8; 32], bytes: &[u8], piece: usize) -> Option<usize> {
    let mut opener = Opener::new(DecapsulationKeyRejectNonContrib::from(seed));
    let mut chunks = 0;
    let mut pieces = bytes.chunks(piece.max(1)).peekable();
    while let Some(next) = pieces.next() {
        chunks += opener.feed(next, pieces.peek().is_none()).ok()?.len();
    }
    Some(chunks)
}

/// Seals these chunks to the key of this seed, so that there is something to open.
pub fn sealed_backup(rng: &mut dyn CryptoRng, seed: [u8; 32], chunks: &[ArchiveChunk]) -> Vec<u8> {
    let key = DecapsulationKeyRejectNonContrib::from(seed);
    let mut sealer = Sealer::begin(rng, key.encapsulation_key());
    for chunk in chunks {
        sealer.push(chunk);
    }
    sealer.end();
    let mut sealed = Vec::new();
    while let Some((part, last)) = sealer.next() {
        sealed.extend(part);
        if last {
            break;
        }
    }
    sealed
}

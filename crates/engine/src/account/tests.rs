use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use waxwing_protocol::signature::HybridPublicKey;

use super::*;
use crate::store::Store;

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([5; 32])
}

fn registered() -> Store {
    let mut store = Store::open_in_memory().unwrap();
    store
        .transaction(|tx| {
            begin(tx, &mut rng(), Time(1000))?;
            complete(
                tx,
                &Address::parse("Alice@example.org").unwrap(),
                MailboxId([4; 16]),
            )
        })
        .unwrap();
    store
}

#[test]
fn keys_are_made_once() {
    let mut store = Store::open_in_memory().unwrap();
    let mut rng = rng();
    store
        .transaction(|tx| {
            assert_eq!(pending_device(tx)?, None);
            begin(tx, &mut rng, Time(1))?;
            let first = (pending_device(tx)?, recovery_words(tx)?, statements(tx)?);
            begin(tx, &mut rng, Time(2))?;
            assert_eq!(
                (pending_device(tx)?, recovery_words(tx)?, statements(tx)?),
                first
            );
            assert!(load(tx)?.is_none());
            Ok::<_, StoreError>(())
        })
        .unwrap();
}

#[test]
fn the_roster_names_this_device_its_leaf_key_and_the_words_key() {
    registered()
        .transaction(|tx| {
            let account = load(tx)?.unwrap();
            let roster = Roster::verify(&statements(tx)?).unwrap();
            assert_eq!(roster.account(), account.id());
            let device = roster.device(account.device()).unwrap();
            assert_eq!(device.leaf_key, account.leaf().public_key());
            let words = recovery_words(tx)?.unwrap();
            let key = RecoveryKey::from_words(&words).unwrap();
            assert_eq!(key.signing_key().public(), roster.recovery_key());
            assert_eq!(account.address().display(), "Alice@example.org");
            assert_eq!(account.mailbox(), MailboxId([4; 16]));
            Ok::<_, StoreError>(())
        })
        .unwrap();
}

#[test]
fn a_registration_and_a_login_are_signed_by_this_device() {
    registered()
        .transaction(|tx| {
            let mut rng = rng();
            let account = load(tx)?.unwrap();
            let identity: &HybridPublicKey =
                &account.roster().device(account.device()).unwrap().identity;
            let id = RegistrationId([6; 16]);
            let finish = finish(tx, &mut rng, &[1; 32], id, "12345678")?;
            assert_eq!(finish.roster, statements(tx)?);
            let message = registration_message(
                &[1; 32],
                id,
                "12345678",
                account.id(),
                account.roster().head(),
            );
            identity
                .verify(Purpose::Registration, &message, &finish.signature)
                .unwrap();
            let (device, signature) = sign_login(tx, &mut rng, &[1; 32], &[2; 32])?;
            let message = login_message(&[1; 32], &[2; 32], device);
            identity
                .verify(Purpose::Login, &message, &signature)
                .unwrap();
            Ok::<_, StoreError>(())
        })
        .unwrap();
}

#[test]
fn forgotten_words_are_gone_and_the_account_stays() {
    registered()
        .transaction(|tx| {
            assert!(recovery_words(tx)?.is_some());
            forget_recovery_words(tx)?;
            assert_eq!(recovery_words(tx)?, None);
            assert!(load(tx)?.is_some());
            Ok::<_, StoreError>(())
        })
        .unwrap();
}

#[test]
fn without_keys_nothing_is_signed() {
    Store::open_in_memory()
        .unwrap()
        .transaction(|tx| {
            assert!(matches!(
                sign_login(tx, &mut rng(), &[0; 32], &[0; 32]),
                Err(StoreError::Damaged { .. })
            ));
            assert!(matches!(
                complete(
                    tx,
                    &Address::parse("a@example.org").unwrap(),
                    MailboxId([0; 16])
                ),
                Err(StoreError::Damaged { .. })
            ));
            Ok::<_, StoreError>(())
        })
        .unwrap();
}

#[test]
fn words_make_the_same_key_again_however_they_are_typed() {
    let key = RecoveryKey::generate(&mut rng());
    let words = key.words();
    assert_eq!(words.split(' ').count(), 24);
    for typed in [
        words.clone(),
        words.to_uppercase(),
        words.replace(' ', "\n  "),
        words.replace(' ', ", "),
        words
            .split(' ')
            .enumerate()
            .flat_map(|(n, word)| [(n + 1).to_string(), ". ".into(), word.into(), " ".into()])
            .collect(),
    ] {
        let again = RecoveryKey::from_words(&typed).unwrap();
        assert_eq!(again.signing_key().public(), key.signing_key().public());
    }
}

#[test]
fn wrong_words_are_told_apart() {
    let words = RecoveryKey::generate(&mut rng()).words();
    let mut list: Vec<&str> = words.split(' ').collect();
    assert!(matches!(
        RecoveryKey::from_words(&list[..23].join(" ")),
        Err(RecoveryWordsError::Count(23))
    ));
    list[4] = "waxwing";
    assert!(matches!(
        RecoveryKey::from_words(&list.join(" ")),
        Err(RecoveryWordsError::Unknown(5))
    ));
    let mut list: Vec<&str> = words.split(' ').collect();
    list[4] = if list[4] == "zoo" { "zone" } else { "zoo" };
    assert!(matches!(
        RecoveryKey::from_words(&list.join(" ")),
        Err(RecoveryWordsError::Checksum)
    ));
    assert!(matches!(
        RecoveryKey::from_words(&"zoo ".repeat(100_000)),
        Err(RecoveryWordsError::Count(64))
    ));
}

/// BIP 39's own vector for 32 zero bytes: the words must mean the same for ever.
#[test]
fn the_words_are_those_of_bip_39() {
    let key = RecoveryKey::from_entropy(&[0; 32]);
    assert_eq!(key.words(), format!("{}art", "abandon ".repeat(23)));
    let public = key.signing_key().public().to_wire();
    assert_eq!(
        data_encoding::HEXLOWER.encode(&public.ed25519),
        "7ddaa0ccb967086b81fc13e911bb7ba8f281b05f4a644d87afe0f5ed8d534837"
    );
}

#[test]
fn secrets_are_not_shown() {
    assert_eq!(
        format!("{:?}", RecoveryKey::generate(&mut rng())),
        "RecoveryKey(..)"
    );
    registered()
        .transaction(|tx| {
            let account = load(tx)?.unwrap();
            assert_eq!(format!("{account:?}"), "Account(..)");
            assert_eq!(format!("{:?}", account.roster()), "Roster(…)");
            Ok::<_, StoreError>(())
        })
        .unwrap();
}

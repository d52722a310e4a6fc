//! What all members of a conversation know about it: with which address each account takes part,
//! and in a group its name and who may change it ([`ConversationState`]). The rejoin secret here is
//! no longer used: it comes from the epoch.
//!
//! The creator writes it into the GroupContext of the MLS group. A device that is added reads it in
//! the welcome, a device that rejoins in the sealed group information; the relay never sees it
//! unencrypted. A leaf does not name its owner's address, because key packages are unencrypted on
//! the relay.
//!
//! **Elsewhere.** `engine::trust` looks up an address before it is trusted; `engine::mls` writes
//! this into the group and reads it.
//!
//! **Always.** No account has two addresses, and every address parses. The size is
//! checked before anything is decoded.

mod state;

pub use state::{ConversationState, ConversationStateError, Invitation};

use std::{collections::BTreeMap, fmt};

use prost::Message as _;

use crate::{address::Address, ids::AccountId, limits, pb, sealing::RejoinSecret};

/// The checked form of [`pb::ConversationSecrets`].
#[derive(Clone)]
pub struct ConversationSecrets {
    /// Lets members rejoin.
    pub rejoin_secret: RejoinSecret,
    /// Who takes part with which address. The member who added them claims this: it has to be
    /// looked up.
    pub addresses: MemberAddresses,
    /// In group conversations.
    pub state: Option<ConversationState>,
}

/// The address that each account of a conversation takes part by.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MemberAddresses(BTreeMap<AccountId, Address>);

/// Why bytes are no conversation secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConversationSecretsError {
    /// More than [`limits::CONVERSATION_SECRETS_BYTES`].
    #[error("the conversation's secrets are too large")]
    TooLarge,
    /// Not the message.
    #[error("the conversation's secrets do not decode")]
    Malformed,
    /// Not 32 bytes.
    #[error("the conversation's rejoin secret has another length")]
    RejoinSecret,
    /// More than [`limits::CONVERSATION_ACCOUNTS`].
    #[error("the conversation has too many addresses")]
    TooManyAddresses,
    /// Not 32 bytes.
    #[error("an account id in the conversation has another length")]
    Account,
    /// Does not parse.
    #[error("an address in the conversation is not valid")]
    Address,
    /// One account, two entries.
    #[error("an account of the conversation has two addresses")]
    Twice,
    /// What a group is, is not said well.
    #[error(transparent)]
    State(#[from] ConversationStateError),
}

impl ConversationSecrets {
    /// Decodes and checks what a group's context holds.
    ///
    /// There may be no addresses: groups made before they were here have none.
    ///
    /// # Errors
    /// Everything that [`ConversationSecretsError`] lists.
    pub fn decode(bytes: &[u8]) -> Result<Self, ConversationSecretsError> {
        use ConversationSecretsError as Error;
        if bytes.len() > limits::CONVERSATION_SECRETS_BYTES {
            return Err(Error::TooLarge);
        }
        let decoded = pb::ConversationSecrets::decode(bytes).map_err(|_| Error::Malformed)?;
        Ok(Self {
            rejoin_secret: RejoinSecret::from_slice(&decoded.rejoin_secret)
                .ok_or(Error::RejoinSecret)?,
            addresses: MemberAddresses::check(&decoded.addresses)?,
            state: decoded
                .state
                .as_ref()
                .map(ConversationState::check)
                .transpose()?,
        })
    }

    /// For the group's context.
    pub fn encode(&self) -> Vec<u8> {
        pb::ConversationSecrets {
            rejoin_secret: self.rejoin_secret.as_bytes().to_vec().into(),
            addresses: self.addresses.to_wire(),
            state: self.state.as_ref().map(ConversationState::to_wire),
        }
        .encode_to_vec()
    }
}

impl MemberAddresses {
    /// Of these accounts; the last address counts where one comes twice.
    pub fn new(entries: impl IntoIterator<Item = (AccountId, Address)>) -> Self {
        Self(entries.into_iter().collect())
    }

    /// The address that the account takes part by.
    pub fn of(&self, account: AccountId) -> Option<&Address> {
        self.0.get(&account)
    }

    /// How many accounts there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each account with its address.
    pub fn iter(&self) -> impl Iterator<Item = (AccountId, &Address)> {
        self.0.iter().map(|(account, address)| (*account, address))
    }

    /// The account takes part by this address from now on.
    pub fn insert(&mut self, account: AccountId, address: Address) {
        self.0.insert(account, address);
    }

    /// The account takes part no more.
    pub fn remove(&mut self, account: AccountId) {
        self.0.remove(&account);
    }

    fn check(entries: &[pb::MemberAddress]) -> Result<Self, ConversationSecretsError> {
        use ConversationSecretsError as Error;
        if entries.len() > limits::CONVERSATION_ACCOUNTS {
            return Err(Error::TooManyAddresses);
        }
        let mut addresses = BTreeMap::new();
        for entry in entries {
            let account = AccountId::try_from(&entry.account_id).map_err(|_| Error::Account)?;
            let address = Address::parse(&entry.address).map_err(|_| Error::Address)?;
            if addresses.insert(account, address).is_some() {
                return Err(Error::Twice);
            }
        }
        Ok(Self(addresses))
    }

    fn to_wire(&self) -> Vec<pb::MemberAddress> {
        self.0
            .iter()
            .map(|(account, address)| pb::MemberAddress {
                account_id: account.to_bytes(),
                address: address.display().to_owned(),
            })
            .collect()
    }
}

impl fmt::Debug for ConversationSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConversationSecrets(…)")
    }
}

impl fmt::Debug for MemberAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemberAddresses({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ConversationSecretsError as Error, *};

    fn entry(account: u8, address: &str) -> pb::MemberAddress {
        pb::MemberAddress {
            account_id: vec![account; AccountId::LENGTH].into(),
            address: address.to_owned(),
        }
    }

    fn decode(
        rejoin_secret: &[u8],
        addresses: Vec<pb::MemberAddress>,
    ) -> Result<ConversationSecrets, Error> {
        let message = pb::ConversationSecrets {
            rejoin_secret: rejoin_secret.to_vec().into(),
            addresses,
            state: None,
        };
        ConversationSecrets::decode(&message.encode_to_vec())
    }

    #[test]
    fn each_account_has_the_address_that_was_written() {
        let entries = vec![entry(1, "Alice@example.org"), entry(2, "+15551234567")];
        let secrets = decode(&[7; 32], entries);
        // A number that no plan allows is no address.
        assert_eq!(secrets.unwrap_err(), Error::Address);
        let entries = vec![entry(1, "Alice@example.org"), entry(2, "+12015550123")];
        let secrets = decode(&[7; 32], entries).unwrap();
        assert_eq!(secrets.rejoin_secret.as_bytes(), &[7; 32]);
        let of = |account| secrets.addresses.of(AccountId([account; 32]));
        assert_eq!(of(1).unwrap().display(), "Alice@example.org");
        assert_eq!(of(2).unwrap().canonical(), "+12015550123");
        assert_eq!(of(3), None);
        assert_eq!(
            format!("{secrets:?} {:?}", secrets.addresses),
            "ConversationSecrets(…) MemberAddresses(2)"
        );
    }

    #[test]
    fn a_group_from_before_addresses_has_none() {
        let secrets = decode(&[7; 32], Vec::new()).unwrap();
        assert_eq!(secrets.addresses, MemberAddresses::default());
    }

    #[test]
    fn what_is_not_well_formed_is_refused_with_the_reason() {
        let alice = || entry(1, "alice@example.org");
        let short = pb::MemberAddress {
            account_id: vec![1; 31].into(),
            ..alice()
        };
        let long = format!("{}@example.org", "a".repeat(limits::ADDRESS_BYTES));
        for (entries, error) in [
            (vec![alice(), entry(1, "bob@example.org")], Error::Twice),
            (vec![alice(), alice()], Error::Twice),
            (vec![short], Error::Account),
            (vec![pb::MemberAddress::default()], Error::Account),
            (vec![entry(1, "")], Error::Address),
            (vec![entry(1, "nobody")], Error::Address),
            (vec![entry(1, &long)], Error::Address),
            (
                vec![alice(); limits::CONVERSATION_ACCOUNTS + 1],
                Error::TooManyAddresses,
            ),
            (
                vec![entry(1, &"a".repeat(limits::CONVERSATION_SECRETS_BYTES))],
                Error::TooLarge,
            ),
        ] {
            assert_eq!(decode(&[7; 32], entries).unwrap_err(), error);
        }
        assert_eq!(
            decode(&[7; 31], vec![alice()]).unwrap_err(),
            Error::RejoinSecret
        );
        assert_eq!(
            ConversationSecrets::decode(&[0xff]).unwrap_err(),
            Error::Malformed
        );
    }

    #[test]
    fn as_many_accounts_as_are_allowed_fit() {
        let address = format!("{}@{}.example.org", "a".repeat(64), "b".repeat(63));
        let addresses = MemberAddresses::new((0..limits::CONVERSATION_ACCOUNTS).map(|number| {
            let mut account = [0; 32];
            account[..8].copy_from_slice(&number.to_be_bytes());
            (AccountId(account), Address::parse(&address).unwrap())
        }));
        let secrets = ConversationSecrets {
            rejoin_secret: RejoinSecret::from_slice(&[7; 32]).unwrap(),
            addresses,
            state: None,
        };
        let again = ConversationSecrets::decode(&secrets.encode()).unwrap();
        assert_eq!(again.addresses, secrets.addresses);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            secret: [u8; 32],
            people in prop::collection::btree_map(any::<[u8; 32]>(), "[A-Za-z]{1,9}@[a-z]{1,9}\\.org", 0..9),
        ) {
            let addresses = MemberAddresses::new(
                people
                    .iter()
                    .map(|(account, address)| (AccountId(*account), Address::parse(address).unwrap())),
            );
            let rejoin_secret = RejoinSecret::from_slice(&secret).unwrap();
            let secrets = ConversationSecrets { rejoin_secret, addresses, state: None };
            let again = ConversationSecrets::decode(&secrets.encode()).unwrap();
            prop_assert_eq!(again.rejoin_secret.as_bytes(), &secret);
            prop_assert_eq!(&again.addresses, &secrets.addresses);
            for (account, address) in people {
                let read = again.addresses.of(AccountId(account)).unwrap();
                prop_assert_eq!(read.display(), address);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(secrets) = ConversationSecrets::decode(&bytes) {
                let again = ConversationSecrets::decode(&secrets.encode()).unwrap();
                prop_assert_eq!(again.addresses, secrets.addresses);
            }
        }

        #[test]
        fn nothing_that_was_changed_panics(
            account: [u8; 32],
            at: prop::sample::Index,
            xor in 1_u8..,
        ) {
            let addresses = MemberAddresses::new([
                (AccountId(account), Address::parse("alice@example.org").unwrap()),
                (AccountId([2; 32]), Address::parse("bob@example.org").unwrap()),
            ]);
            let rejoin_secret = RejoinSecret::from_slice(&[7; 32]).unwrap();
            let mut bytes = ConversationSecrets { rejoin_secret, addresses, state: None }.encode();
            let at = at.index(bytes.len());
            bytes[at] ^= xor;
            if let Ok(secrets) = ConversationSecrets::decode(&bytes) {
                let again = ConversationSecrets::decode(&secrets.encode()).unwrap();
                prop_assert_eq!(again.addresses, secrets.addresses);
            }
        }
    }
}

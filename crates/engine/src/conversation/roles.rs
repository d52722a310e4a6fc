//! Roles: who may change what in a conversation.
//!
//! Every member's device judges a commit by what all members knew before it, and by the leaf
//! that made it. All devices therefore refuse a change that breaks a rule, no matter who asks
//! for it: a member who is not an admin, or a relay.
//!
//! **Elsewhere**: [`crate::trust`] checks whether added and removed leaves are their accounts'
//! devices; [`crate::mls`] knows what a commit consists of.
//!
//! **Always**: a group has an admin who is a member: if the last admins leave, their
//! [`successor`] becomes admin with the same commit. An account that stays keeps the address
//! with which it takes part.

use std::collections::BTreeSet;

use waxwing_protocol::{
    conversation::{ConversationSecrets, ConversationState, MemberAddresses},
    ids::AccountId,
    limits,
};

/// What a commit does, as far as roles go.
pub(crate) struct Change<'a> {
    /// What all members knew before it.
    pub before: &'a ConversationSecrets,
    /// What they know after it, where that is something else.
    pub after: Option<&'a ConversationSecrets>,
    /// Whose device made it.
    pub committer: AccountId,
    /// Whether it is external: a device that had lost the group takes its own old leaf out,
    /// and comes in again.
    pub external: bool,
    /// Whether it takes out a leaf of another device than its committer's.
    pub removes_others: bool,
    /// Accounts of the leaves that it adds.
    pub added: &'a [AccountId],
    /// Accounts of the leaves that it keeps, in the order of the tree before it.
    pub kept: &'a [AccountId],
    /// Accounts that have said that they leave.
    pub leaving: &'a BTreeSet<AccountId>,
}

/// The rule that a change breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("its maker is not a member")]
    NoMember,
    #[error("a leaf belongs to somebody who is not a member")]
    Leaf,
    #[error("two people's conversation stays between them")]
    NotAGroup,
    #[error("another conversation")]
    AnotherConversation,
    #[error("too many accounts")]
    TooMany,
    #[error("an account's address was changed")]
    Address,
    #[error("only admins may add members")]
    Bring,
    #[error("only admins may remove members")]
    TakeOut,
    #[error("only admins may change the group")]
    Describe,
    #[error("an admin is not a member")]
    Admin,
    #[error("nobody may choose the rejoin secret")]
    RejoinSecret,
    #[error("an external commit may change only its own device's leaf")]
    External,
}

/// Whether the change may be.
pub(crate) fn check(change: &Change<'_>) -> Result<(), Broken> {
    let before = change.before;
    let after = change.after.unwrap_or(before);
    let is_member =
        |secrets: &ConversationSecrets, account| secrets.addresses.of(account).is_some();
    if !is_member(before, change.committer) {
        return Err(Broken::NoMember);
    }
    // A leaf that stays when its account goes would still read everything.
    let stays = change.kept.iter().filter(|_| before.state.is_some());
    if change
        .added
        .iter()
        .chain(stays)
        .any(|account| !is_member(after, *account))
    {
        return Err(Broken::Leaf);
    }
    // Nothing of it can be kept from the device that comes in by it: it has no new secret.
    if change.external {
        return if change.after.is_none() && !change.removes_others {
            Ok(())
        } else {
            Err(Broken::External)
        };
    }
    // It is derived from the epoch; what stands in the context is of no use, and stays.
    if after.rejoin_secret.as_bytes() != before.rejoin_secret.as_bytes() {
        return Err(Broken::RejoinSecret);
    }
    let Some(new) = change.after else {
        return Ok(());
    };
    match (&before.state, &new.state) {
        (None, None) if before.addresses == new.addresses => Ok(()),
        (Some(was), Some(is)) => group(change, new, was, is),
        _ => Err(Broken::NotAGroup),
    }
}

fn group(
    change: &Change<'_>,
    after: &ConversationSecrets,
    was: &ConversationState,
    is: &ConversationState,
) -> Result<(), Broken> {
    if was.conversation_id != is.conversation_id || was.generation != is.generation {
        return Err(Broken::AnotherConversation);
    }
    if after.addresses.len() > limits::CONVERSATION_ACCOUNTS {
        return Err(Broken::TooMany);
    }
    let before = &change.before.addresses;
    let admin = was.is_admin(change.committer);
    for (account, address) in after.addresses.iter() {
        match before.of(account) {
            Some(known) if known == address => {}
            Some(_) => return Err(Broken::Address),
            None if admin || was.everybody_adds => {}
            None => return Err(Broken::Bring),
        }
    }
    let goes = |account: &AccountId| after.addresses.of(*account).is_none();
    for (account, _) in before.iter().filter(|(account, _)| goes(account)) {
        if !admin && !change.leaving.contains(&account) {
            return Err(Broken::TakeOut);
        }
    }
    if is
        .admins
        .iter()
        .any(|admin| after.addresses.of(*admin).is_none())
    {
        return Err(Broken::Admin);
    }
    if admin {
        return Ok(());
    }
    // A member who is not an admin changes nothing else: those who leave lose the role, and
    // the last of them has a successor.
    let mut left = was.clone();
    left.admins = admins_after(&was.admins, change.kept, &after.addresses);
    if left == *is {
        Ok(())
    } else {
        Err(Broken::Describe)
    }
}

/// The admins of a group once accounts have gone from it: those who stay, and a
/// [`successor`] where an admin goes and no admin with a device in the group is left.
///
/// Every member computes this from the commit alone. `kept` are the accounts of the leaves
/// that the commit keeps, in the order of the tree before it; `after` are the members then.
pub(crate) fn admins_after(
    was: &BTreeSet<AccountId>,
    kept: &[AccountId],
    after: &MemberAddresses,
) -> BTreeSet<AccountId> {
    let is_member = |account: &AccountId| after.of(*account).is_some();
    let mut admins: BTreeSet<AccountId> = was.iter().copied().filter(is_member).collect();
    let goes = admins.len() < was.len();
    if goes && !kept.iter().any(|account| admins.contains(account)) {
        admins.extend(successor(kept, after));
    }
    admins
}

/// Who becomes admin where no admin is left: the account of the first leaf that stays.
pub(crate) fn successor(kept: &[AccountId], after: &MemberAddresses) -> Option<AccountId> {
    kept.iter()
        .copied()
        .find(|account| after.of(*account).is_some())
}

#[cfg(test)]
mod tests {
    use waxwing_protocol::{
        address::Address, conversation::MemberAddresses, sealing::RejoinSecret,
    };

    use super::*;

    const ADMIN: AccountId = AccountId([1; 32]);
    const MEMBER: AccountId = AccountId([2; 32]);
    const OTHER: AccountId = AccountId([3; 32]);
    const STRANGER: AccountId = AccountId([9; 32]);

    fn secrets(accounts: &[AccountId]) -> ConversationSecrets {
        let address =
            |account: AccountId| Address::parse(&format!("p{}@example.org", account.0[0])).unwrap();
        ConversationSecrets {
            rejoin_secret: RejoinSecret::from_slice(&[7; 32]).unwrap(),
            addresses: MemberAddresses::new(accounts.iter().map(|one| (*one, address(*one)))),
            state: Some(ConversationState {
                conversation_id: [5; 16],
                generation: 1,
                name: "Family".into(),
                picture: bytes::Bytes::new(),
                admins: [ADMIN].into(),
                everybody_adds: false,
                expires_after_s: 0,
                invitations: Vec::new(),
            }),
        }
    }

    fn family() -> ConversationSecrets {
        secrets(&[ADMIN, MEMBER, OTHER])
    }

    struct Case {
        before: ConversationSecrets,
        after: Option<ConversationSecrets>,
        added: Vec<AccountId>,
        kept: Vec<AccountId>,
        leaving: BTreeSet<AccountId>,
        external: bool,
        removes_others: bool,
    }

    fn case(after: impl FnOnce(&mut ConversationSecrets)) -> Case {
        let mut new = family();
        after(&mut new);
        let stays = |account: &AccountId| new.addresses.of(*account).is_some();
        let kept = [ADMIN, MEMBER, OTHER].into_iter().filter(stays).collect();
        Case {
            before: family(),
            after: Some(new),
            added: Vec::new(),
            kept,
            leaving: BTreeSet::new(),
            external: false,
            removes_others: false,
        }
    }

    impl Case {
        fn by(&self, committer: AccountId) -> Result<(), Broken> {
            check(&Change {
                before: &self.before,
                after: self.after.as_ref(),
                committer,
                external: self.external,
                removes_others: self.removes_others,
                added: &self.added,
                kept: &self.kept,
                leaving: &self.leaving,
            })
        }
    }

    fn state(secrets: &mut ConversationSecrets) -> &mut ConversationState {
        secrets.state.as_mut().unwrap()
    }

    #[test]
    fn members_rekey_and_nobody_else() {
        let rekey = Case {
            after: None,
            ..case(|_| {})
        };
        assert_eq!(rekey.by(MEMBER), Ok(()));
        assert_eq!(rekey.by(STRANGER), Err(Broken::NoMember));
    }

    #[test]
    fn a_leaf_is_a_members() {
        let mut add = Case {
            after: None,
            ..case(|_| {})
        };
        add.added = vec![OTHER];
        assert_eq!(add.by(MEMBER), Ok(()));
        add.added = vec![STRANGER];
        assert_eq!(add.by(ADMIN), Err(Broken::Leaf));
    }

    #[test]
    fn admins_bring_in_take_out_and_describe_and_members_do_not() {
        let bring = case(|new| {
            let address = Address::parse("p9@example.org").unwrap();
            new.addresses.insert(STRANGER, address);
        });
        assert_eq!(
            (bring.by(ADMIN), bring.by(MEMBER)),
            (Ok(()), Err(Broken::Bring))
        );
        let out = case(|new| new.addresses.remove(OTHER));
        assert_eq!(
            (out.by(ADMIN), out.by(MEMBER)),
            (Ok(()), Err(Broken::TakeOut))
        );
        let changes: [fn(&mut ConversationState); 5] = [
            |state| state.name = "Work".into(),
            |state| state.picture = vec![1].into(),
            |state| state.everybody_adds = true,
            |state| state.expires_after_s = 60,
            |state| _ = state.admins.insert(MEMBER),
        ];
        for change in changes {
            let describe = case(|new| change(state(new)));
            let by = (describe.by(ADMIN), describe.by(MEMBER));
            assert_eq!(by, (Ok(()), Err(Broken::Describe)));
        }
    }

    #[test]
    fn where_everybody_adds_members_bring_in_and_do_no_more() {
        let mut bring = case(|new| {
            let address = Address::parse("p9@example.org").unwrap();
            new.addresses.insert(STRANGER, address);
            state(new).everybody_adds = true;
        });
        state(&mut bring.before).everybody_adds = true;
        assert_eq!(bring.by(MEMBER), Ok(()));
        state(bring.after.as_mut().unwrap()).admins.insert(MEMBER);
        assert_eq!(bring.by(MEMBER), Err(Broken::Describe));
    }

    #[test]
    fn anybody_takes_out_whoever_leaves_with_what_they_were() {
        let mut out = case(|new| new.addresses.remove(OTHER));
        state(&mut out.before).admins.insert(OTHER);
        out.leaving = [OTHER].into();
        assert_eq!(out.by(MEMBER), Ok(()));
        out.leaving = BTreeSet::new();
        assert_eq!(out.by(MEMBER), Err(Broken::TakeOut));
        out.leaving = [OTHER].into();
        state(out.after.as_mut().unwrap()).name = "Mine".into();
        assert_eq!(out.by(MEMBER), Err(Broken::Describe));
    }

    /// What a member makes of the admins when these go.
    fn left_by(gone: &[AccountId], kept: &[AccountId], admins: &[AccountId]) -> Case {
        let mut out = case(|new| {
            for account in gone {
                new.addresses.remove(*account);
            }
            state(new).admins = admins.iter().copied().collect();
        });
        out.kept = kept.to_vec();
        out.leaving = gone.iter().copied().collect();
        out
    }

    #[test]
    fn the_last_admin_who_goes_has_the_first_leaf_as_successor() {
        for (kept, successor, another) in [
            ([MEMBER, OTHER], MEMBER, OTHER),
            ([OTHER, MEMBER], OTHER, MEMBER),
        ] {
            let right = left_by(&[ADMIN], &kept, &[successor]);
            assert_eq!((right.by(MEMBER), right.by(OTHER)), (Ok(()), Ok(())));
            for admins in [&[another][..], &[MEMBER, OTHER][..]] {
                let wrong = left_by(&[ADMIN], &kept, admins);
                assert_eq!(wrong.by(MEMBER), Err(Broken::Describe));
            }
        }
    }

    #[test]
    fn two_admins_who_go_at_once_have_one_successor() {
        let mut out = left_by(&[ADMIN, MEMBER], &[OTHER], &[OTHER]);
        state(&mut out.before).admins.insert(MEMBER);
        assert_eq!(out.by(OTHER), Ok(()));
    }

    #[test]
    fn nobody_becomes_admin_while_another_admin_stays() {
        let mut out = left_by(&[ADMIN], &[MEMBER, OTHER], &[OTHER]);
        state(&mut out.before).admins.insert(OTHER);
        assert_eq!(out.by(MEMBER), Ok(()));
        state(out.after.as_mut().unwrap()).admins.insert(MEMBER);
        assert_eq!(out.by(MEMBER), Err(Broken::Describe));
        // Nor when somebody goes who was not one.
        let mut out = left_by(&[OTHER], &[ADMIN, MEMBER], &[ADMIN, MEMBER]);
        assert_eq!(out.by(MEMBER), Err(Broken::Describe));
        state(out.after.as_mut().unwrap()).admins.remove(&MEMBER);
        assert_eq!(out.by(MEMBER), Ok(()));
    }

    #[test]
    fn an_admin_without_a_device_in_the_group_is_not_enough() {
        // OTHER has an address and no leaf: MEMBER becomes admin beside them.
        let mut out = left_by(&[ADMIN], &[MEMBER], &[MEMBER, OTHER]);
        state(&mut out.before).admins.insert(OTHER);
        assert_eq!(out.by(MEMBER), Ok(()));
        state(out.after.as_mut().unwrap()).admins.remove(&MEMBER);
        assert_eq!(out.by(MEMBER), Err(Broken::Describe));
    }

    #[test]
    fn a_leaf_does_not_outlive_its_account() {
        let mut out = left_by(&[OTHER], &[ADMIN, MEMBER, OTHER], &[ADMIN]);
        assert_eq!(out.by(ADMIN), Err(Broken::Leaf));
        out.kept.pop();
        assert_eq!(out.by(ADMIN), Ok(()));
    }

    #[test]
    fn admins_are_members() {
        let stranger = case(|new| state(new).admins = [STRANGER].into());
        assert_eq!(stranger.by(ADMIN), Err(Broken::Admin));
        let gone = case(|new| new.addresses.remove(ADMIN));
        assert_eq!(gone.by(ADMIN), Err(Broken::Admin));
    }

    #[test]
    fn a_group_stays_itself() {
        let other = case(|new| state(new).conversation_id = [6; 16]);
        assert_eq!(other.by(ADMIN), Err(Broken::AnotherConversation));
        let older = case(|new| state(new).generation = 2);
        assert_eq!(older.by(ADMIN), Err(Broken::AnotherConversation));
        let renamed = case(|new| {
            new.addresses
                .insert(OTHER, Address::parse("mallory@example.org").unwrap());
        });
        assert_eq!(renamed.by(ADMIN), Err(Broken::Address));
        let none = case(|new| new.state = None);
        assert_eq!(none.by(ADMIN), Err(Broken::NotAGroup));
    }

    #[test]
    fn two_peoples_conversation_stays_between_them() {
        let mut two = case(|_| {});
        two.before = secrets(&[ADMIN, MEMBER]);
        two.before.state = None;
        two.kept = vec![ADMIN, MEMBER];
        two.after = Some(two.before.clone());
        assert_eq!(two.by(MEMBER), Ok(()));
        let mut same = two.before.clone();
        same.addresses
            .insert(OTHER, Address::parse("p3@example.org").unwrap());
        two.after = Some(same);
        assert_eq!(two.by(MEMBER), Err(Broken::NotAGroup));
        two.after = Some(secrets(&[ADMIN, MEMBER]));
        assert_eq!(two.by(ADMIN), Err(Broken::NotAGroup));
    }

    #[test]
    fn nobody_chooses_the_rejoin_secret() {
        let chosen = case(|new| {
            new.rejoin_secret = RejoinSecret::from_slice(&[8; 32]).unwrap();
        });
        assert_eq!(chosen.by(ADMIN), Err(Broken::RejoinSecret));
    }

    #[test]
    fn an_external_commit_moves_its_own_device_only() {
        let external = |removes_others, after| Case {
            external: true,
            removes_others,
            after,
            ..case(|_| {})
        };
        assert_eq!(external(false, None).by(MEMBER), Ok(()));
        assert_eq!(external(true, None).by(ADMIN), Err(Broken::External));
        let renamed = case(|new| state(new).name = "Mine".to_owned()).after;
        assert_eq!(external(false, renamed).by(ADMIN), Err(Broken::External));
    }
}

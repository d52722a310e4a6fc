//! What a device tells the relay about a new epoch of a group.

use prost::Message as _;
use waxwing_protocol::{
    ids::{Epoch, GroupId, MailboxId},
    pb::{EpochKeys, FanOut},
    posting::PostingKey,
    sealing::{RejoinSecret, Sealed, SealingKey},
};

use crate::{mls, turn::Turn};

/// What this device tells the relay about a new epoch.
pub(crate) fn epoch_keys(
    turn: &mut Turn<'_>,
    group: GroupId,
    rejoin_secret: &RejoinSecret,
    next: &mls::NewEpoch,
) -> EpochKeys {
    let mailboxes = next.members.iter().map(|member| member.mailbox);
    let mut distinct: Vec<MailboxId> = mailboxes.collect();
    distinct.sort_unstable();
    distinct.dedup();
    let fan_out = FanOut {
        mailboxes: distinct.into_iter().map(MailboxId::to_bytes).collect(),
    };
    let epoch: Epoch = next.epoch;
    let key = SealingKey::from_bytes(next.keys.fan_out_key);
    EpochKeys {
        send_key: bytes::Bytes::copy_from_slice(
            PostingKey::from_seed(&next.keys.send_key)
                .public()
                .as_bytes(),
        ),
        sealed_fan_out: key
            .seal(
                turn.rng,
                Sealed::FanOut,
                group,
                epoch,
                &fan_out.encode_to_vec(),
            )
            .into(),
        sealed_group_info: rejoin_secret
            .sealing_key()
            .seal(turn.rng, Sealed::GroupInfo, group, epoch, &next.group_info)
            .into(),
        rejoin_key: bytes::Bytes::new(),
    }
}

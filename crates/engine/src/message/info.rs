//! Details of a message: who has it, who reacted, and its earlier versions.

use super::{amendments, commands, receipts};
use crate::{
    api::{self, MessageId, Response},
    contact,
    conversation::{Kind, members},
    turn::{EventError, Turn},
};

/// Everything that is known of a message.
pub(crate) fn info(turn: &Turn<'_>, id: MessageId) -> Result<Response, EventError> {
    let (conversation, message) = commands::message_meant(turn, id)?;
    let came = receipts::of_message(turn.tx, conversation.id, id)?;
    let own = turn.account()?.id();
    let mut list = Vec::new();
    if message.direction == api::Direction::Out && conversation.kind != Kind::Notes {
        let others = match (conversation.kind, conversation.account) {
            (Kind::Group, _) => members::all(turn.tx, conversation.id)?
                .into_iter()
                .filter(|member| member.account != own)
                .map(|member| (member.account, member.address))
                .collect(),
            (_, Some(account)) => vec![(account, conversation.display.clone())],
            (_, None) => Vec::new(),
        };
        let listed: Vec<_> = others.iter().map(|(account, _)| *account).collect();
        for (account, address) in others {
            let told = came.iter().find(|(of, _, _)| *of == account);
            list.push(api::Receipt {
                address,
                delivered_at: told.map(|(_, at, _)| (*at).into()),
                read_at: told.and_then(|(_, _, at)| *at).map(Into::into),
            });
        }
        // Who has left since.
        for (account, delivered, read) in &came {
            let known = contact::of_account(turn.tx, *account)?;
            if let Some(known) = known
                && !listed.contains(account)
            {
                list.push(api::Receipt {
                    address: known.display,
                    delivered_at: Some((*delivered).into()),
                    read_at: read.map(Into::into),
                });
            }
        }
    }
    let versions = amendments::versions(turn.tx, conversation.id, id)?;
    Ok(Response::MessageInfo(Box::new(api::MessageInfo {
        message,
        receipts: list,
        versions: versions
            .into_iter()
            .map(|(text, at)| api::Version {
                text,
                at: at.into(),
            })
            .collect(),
    })))
}

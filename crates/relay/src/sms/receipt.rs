//! Receipts: what an SMSC says happened to a message.

use rusmpp::pdus::DeliverSm;
use rusmpp::tlvs::TlvValue;
use rusmpp::values::MessageState;

/// What a receipt says, as far as it is the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Delivered,
    Lost,
}

/// Of which text a receipt is, and what it says: by its parameters, or by its text, which is the
/// same everywhere by custom (appendix B).
pub(super) fn receipt(deliver: &DeliverSm) -> Option<(String, Fate)> {
    let (mut id, mut fate) = (None, None);
    for tlv in deliver.tlvs() {
        match tlv.value() {
            Some(TlvValue::ReceiptedMessageId(named)) => id = Some(named.to_string()),
            Some(TlvValue::MessageState(state)) => {
                fate = match state {
                    MessageState::Delivered => Some(Fate::Delivered),
                    MessageState::Expired
                    | MessageState::Deleted
                    | MessageState::Undeliverable
                    | MessageState::Rejected => Some(Fate::Lost),
                    _ => None,
                };
            }
            _ => {}
        }
    }
    let text = String::from_utf8_lossy(deliver.short_message().as_ref()).into_owned();
    let word = |name: &str| {
        let (_, behind) = text.split_once(name)?;
        behind.split_whitespace().next().map(str::to_owned)
    };
    let id = id.or_else(|| word("id:"))?;
    let fate = fate.or_else(|| match word("stat:")?.as_str() {
        "DELIVRD" => Some(Fate::Delivered),
        "EXPIRED" | "DELETED" | "UNDELIV" | "REJECTD" => Some(Fate::Lost),
        _ => None,
    })?;
    Some((id, fate))
}

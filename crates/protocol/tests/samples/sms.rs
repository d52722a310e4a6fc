//! Texts to and from phones.

use waxwing_protocol::pb::{self, client_frame::Body as Ask, relay_frame::Body as Answer};

use super::Values;

pub fn asks(v: &Values) -> Vec<(&'static str, Ask)> {
    vec![
        (
            "set_sms_key",
            Ask::SetSmsKey(pb::SetSmsKey {
                key: v.bytes("sms_key", 1216),
            }),
        ),
        (
            "send_sms",
            Ask::SendSms(pb::SendSms {
                sms_id: v.bytes("sms_id", 16),
                from: v.text("from"),
                to: v.text("to"),
                text: v.text("text"),
                segments: v.small("segments"),
            }),
        ),
    ]
}

pub fn answers(v: &Values) -> Vec<(&'static str, Answer)> {
    vec![(
        "sms_terms",
        Answer::SmsTerms(pb::SmsTerms {
            offered: true,
            prices: vec![pb::SmsPrice {
                prefix: v.text("prefix"),
                price: v.text("price"),
            }],
        }),
    )]
}

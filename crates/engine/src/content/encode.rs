//! Encodes content as CBOR.

use ciborium::Value;

use super::{Content, Expiration, External, MessageId, Part, PartBody, Semantics};

impl Content {
    /// The content's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let value = Value::Array(vec![
            Value::Bytes(self.salt.to_vec()),
            id(self.replaces),
            Value::Bytes(self.topic.clone()),
            self.expires.map_or(Value::Null, expiration),
            id(self.in_reply_to),
            Value::Map(self.extensions.0.clone()),
            part(&self.body),
        ]);
        bytes(&value)
    }
}

pub(super) fn bytes(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Neither writing to memory nor encoding a Value fails.
    let written = ciborium::into_writer(value, &mut bytes);
    debug_assert!(written.is_ok());
    bytes
}

pub(super) fn id(id: Option<MessageId>) -> Value {
    id.map_or(Value::Null, |id| Value::Bytes(id.as_bytes().to_vec()))
}

fn expiration(expiration: Expiration) -> Value {
    let (relative, time) = match expiration {
        Expiration::AfterReading(seconds) => (true, seconds),
        Expiration::At(seconds) => (false, seconds),
    };
    Value::Array(vec![relative.into(), time.into()])
}

fn part(part: &Part) -> Value {
    let mut fields = vec![part.disposition.0.into(), part.language.as_str().into()];
    match &part.body {
        PartBody::Null => fields.push(0.into()),
        PartBody::Single {
            content_type,
            content,
        } => fields.extend([
            1.into(),
            content_type.as_str().into(),
            Value::Bytes(content.clone()),
        ]),
        PartBody::External(external) => self::external(external, &mut fields),
        PartBody::Multi { semantics, parts } => fields.extend([
            3.into(),
            match semantics {
                Semantics::ChooseOne => 0.into(),
                Semantics::SingleUnit => 1.into(),
                Semantics::ProcessAll => 2.into(),
            },
            Value::Array(parts.iter().map(self::part).collect()),
        ]),
        PartBody::Unknown(unknown) => {
            fields.push(unknown.cardinality.into());
            fields.extend(unknown.fields.iter().cloned());
        }
    }
    Value::Array(fields)
}

fn external(external: &External, fields: &mut Vec<Value>) {
    fields.extend([
        2.into(),
        external.content_type.as_str().into(),
        external.url.as_str().into(),
        external.expires.into(),
        external.size.into(),
        external.encryption.into(),
        Value::Bytes(external.key.clone()),
        Value::Bytes(external.nonce.clone()),
        Value::Bytes(external.aad.clone()),
        external.hash.into(),
        Value::Bytes(external.content_hash.clone()),
        external.description.as_str().into(),
        external.filename.as_str().into(),
    ]);
}

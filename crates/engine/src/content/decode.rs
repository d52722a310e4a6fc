//! Decodes CBOR from outside.
//!
//! **Always**: the length of the input bounds what is allocated; nesting is bounded while it
//! is read, before anything is built from it.

use ciborium::Value;

use super::{
    CONTENT_BYTES, Content, DEPTH, Disposition, EXTENSION_NAME_BYTES, EXTENSION_VALUE_BYTES,
    Expiration, Extensions, External, MessageId, PARTS, Part, PartBody, Semantics, TOPIC_BYTES,
    Unknown, encode,
};

/// CBOR within CBOR: two levels for each of the parts', the rest for extensions.
const CBOR_DEPTH: usize = 16;

/// Why bytes are no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes, parts, levels or names than allowed.
    #[error("the content exceeds a limit: {0}")]
    TooLarge(&'static str),
    /// Not well-formed CBOR, or something follows it.
    #[error("the content is not CBOR")]
    Malformed,
    /// A field is not what it should be.
    #[error("the content's {0} is not what it should be")]
    Field(&'static str),
}

/// Reads a message's content.
///
/// # Errors
/// [`DecodeError`] with the first thing that is wrong. Parts and extensions that are
/// merely unknown are no error.
pub fn decode(bytes: &[u8]) -> Result<Content, DecodeError> {
    let Value::Array(fields) = value(bytes)? else {
        return Err(DecodeError::Field("frame"));
    };
    let [
        salt,
        replaces,
        topic,
        expires,
        in_reply_to,
        extensions,
        body,
    ] = <[Value; 7]>::try_from(fields).map_err(|_| DecodeError::Field("frame"))?;
    let topic = byte_string(topic, "topic")?;
    if topic.len() > TOPIC_BYTES {
        return Err(DecodeError::TooLarge("topic"));
    }
    Ok(Content {
        salt: byte_string(salt, "salt")?
            .as_slice()
            .try_into()
            .map_err(|_| DecodeError::Field("salt"))?,
        replaces: id(replaces, "replaced message")?,
        topic,
        expires: expiration(expires)?,
        in_reply_to: id(in_reply_to, "answered message")?,
        extensions: self::extensions(extensions)?,
        body: part(body, 0, &mut 0)?,
    })
}

/// Reads one CBOR item that is all there is.
pub(super) fn value(bytes: &[u8]) -> Result<Value, DecodeError> {
    if bytes.len() > CONTENT_BYTES {
        return Err(DecodeError::TooLarge("length"));
    }
    let mut rest = bytes;
    let value =
        ciborium::de::from_reader_with_recursion_limit(&mut rest, CBOR_DEPTH).map_err(|error| {
            match error {
                ciborium::de::Error::RecursionLimitExceeded => DecodeError::TooLarge("nesting"),
                _ => DecodeError::Malformed,
            }
        })?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(DecodeError::Malformed)
    }
}

pub(super) fn id(value: Value, field: &'static str) -> Result<Option<MessageId>, DecodeError> {
    match value {
        Value::Null => Ok(None),
        Value::Bytes(bytes) => MessageId::from_bytes(&bytes)
            .map(Some)
            .ok_or(DecodeError::Field(field)),
        _ => Err(DecodeError::Field(field)),
    }
}

pub(super) fn number<T: TryFrom<u64>>(
    value: &Value,
    field: &'static str,
) -> Result<T, DecodeError> {
    value
        .as_integer()
        .and_then(|number| u64::try_from(number).ok())
        .and_then(|number| T::try_from(number).ok())
        .ok_or(DecodeError::Field(field))
}

fn expiration(value: Value) -> Result<Option<Expiration>, DecodeError> {
    const FIELD: &str = "expiration";
    match value {
        Value::Null => Ok(None),
        Value::Array(fields) => match fields.as_slice() {
            [Value::Bool(true), time] => Ok(Some(Expiration::AfterReading(number(time, FIELD)?))),
            [Value::Bool(false), time] => Ok(Some(Expiration::At(number(time, FIELD)?))),
            _ => Err(DecodeError::Field(FIELD)),
        },
        _ => Err(DecodeError::Field(FIELD)),
    }
}

fn extensions(value: Value) -> Result<Extensions, DecodeError> {
    let Value::Map(entries) = value else {
        return Err(DecodeError::Field("extensions"));
    };
    let mut names = std::collections::BTreeSet::new();
    for (name, value) in &entries {
        match name {
            Value::Text(text) if text.is_empty() => {
                return Err(DecodeError::Field("extension's name"));
            }
            Value::Text(text) if text.len() > EXTENSION_NAME_BYTES => {
                return Err(DecodeError::TooLarge("extension's name"));
            }
            Value::Integer(_) | Value::Text(_) => {}
            _ => return Err(DecodeError::Field("extension's name")),
        }
        if encode::bytes(value).len() > EXTENSION_VALUE_BYTES {
            return Err(DecodeError::TooLarge("extension"));
        }
        if !names.insert(encode::bytes(name)) {
            return Err(DecodeError::Field(
                "extensions, one of which is there twice,",
            ));
        }
    }
    Ok(Extensions(entries))
}

/// `parts` counts all parts of the message.
fn part(value: Value, depth: usize, parts: &mut usize) -> Result<Part, DecodeError> {
    if depth > DEPTH {
        return Err(DecodeError::TooLarge("nesting"));
    }
    *parts += 1;
    if *parts > PARTS {
        return Err(DecodeError::TooLarge("number of parts"));
    }
    let Value::Array(fields) = value else {
        return Err(DecodeError::Field("part"));
    };
    let mut fields = Fields(fields.into_iter());
    let disposition = Disposition(number(&fields.next()?, "disposition")?);
    let language = fields.text("language")?;
    let body = match number::<u64>(&fields.next()?, "part's kind")? {
        0 => PartBody::Null,
        1 => PartBody::Single {
            content_type: fields.text("media type")?,
            content: fields.bytes("part")?,
        },
        2 => PartBody::External(Box::new(external(&mut fields)?)),
        3 => PartBody::Multi {
            semantics: match number(&fields.next()?, "parts' semantics")? {
                0_u64 => Semantics::ChooseOne,
                1 => Semantics::SingleUnit,
                2 => Semantics::ProcessAll,
                _ => return Err(DecodeError::Field("parts' semantics")),
            },
            parts: match fields.next()? {
                Value::Array(values) if values.len() >= 2 => values
                    .into_iter()
                    .map(|value| part(value, depth + 1, parts))
                    .collect::<Result<_, _>>()?,
                _ => return Err(DecodeError::Field("parts")),
            },
        },
        cardinality => {
            let fields = fields.0.collect();
            let body = PartBody::Unknown(Unknown {
                cardinality,
                fields,
            });
            return Ok(Part {
                disposition,
                language,
                body,
            });
        }
    };
    if fields.0.next().is_some() {
        return Err(DecodeError::Field("part"));
    }
    Ok(Part {
        disposition,
        language,
        body,
    })
}

fn external(fields: &mut Fields) -> Result<External, DecodeError> {
    Ok(External {
        content_type: fields.text("media type")?,
        url: fields.text("URL")?,
        expires: number(&fields.next()?, "URL's expiration")?,
        size: number(&fields.next()?, "size")?,
        encryption: number(&fields.next()?, "encryption")?,
        key: fields.bytes("key")?,
        nonce: fields.bytes("nonce")?,
        aad: fields.bytes("authenticated data")?,
        hash: number(&fields.next()?, "hash function")?,
        content_hash: fields.bytes("hash")?,
        description: fields.text("description")?,
        filename: fields.text("file name")?,
    })
}

fn byte_string(value: Value, field: &'static str) -> Result<Vec<u8>, DecodeError> {
    value.into_bytes().map_err(|_| DecodeError::Field(field))
}

/// The fields of a part, taken one after the other.
struct Fields(std::vec::IntoIter<Value>);

impl Fields {
    fn next(&mut self) -> Result<Value, DecodeError> {
        self.0.next().ok_or(DecodeError::Field("part"))
    }

    fn text(&mut self, field: &'static str) -> Result<String, DecodeError> {
        self.next()?
            .into_text()
            .map_err(|_| DecodeError::Field(field))
    }

    fn bytes(&mut self, field: &'static str) -> Result<Vec<u8>, DecodeError> {
        byte_string(self.next()?, field)
    }
}

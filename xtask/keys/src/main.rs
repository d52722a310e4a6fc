//! `xtask-keys HOME`: prints the private keys in a Waxwing home, one `name hex` per line.
//!
//! The demo searches a seized relay for them. This program opens the store as its owner would:
//! with the key in the home, if no keyring or passphrase protects it.
//!
//! **Elsewhere**: no program that people use can print a key.
//!
//! **Always**: it fails rather than print no key of some kind, so that a search for "every
//! private key" never becomes a search for none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use ciborium::Value;
use data_encoding::HEXLOWER;
use rusqlite::{Connection, OpenFlags};

/// Shorter secrets would be found by chance.
const SHORTEST: usize = 16;

/// Parts of names that only what is secret has.
const SECRET_NAMES: [&str; 4] = ["private", "recovery", "secret", "seed"];

type Keys = BTreeSet<(String, Vec<u8>)>;

fn main() -> Result<()> {
    let home = std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .context("xtask-keys HOME")?;
    let mut keys = Keys::new();
    let store_key = store_key(&home)?;
    keys.insert((
        "store-key".to_owned(),
        HEXLOWER.decode(store_key.as_bytes())?,
    ));

    let store =
        Connection::open_with_flags(home.join("store.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    store.execute_batch(&format!("PRAGMA key = \"x'{store_key}'\";"))?;
    from_columns(&store, &mut keys)?;
    let of_device = keys.len() - 1;
    from_mls(&store, &mut keys)?;
    let of_mls = keys.len() - 1 - of_device;
    if of_device == 0 || of_mls == 0 {
        bail!("the store has {of_device} keys of the device and {of_mls} of MLS: it has changed");
    }
    for (name, key) in keys {
        println!("{name} {}", HEXLOWER.encode(&key));
    }
    Ok(())
}

/// In hexadecimal digits.
fn store_key(home: &Path) -> Result<String> {
    let kept = std::fs::read(home.join("key.json")).context("there is no home")?;
    let kept: serde_json::Value = serde_json::from_slice(&kept)?;
    let key = kept.get("key").and_then(|key| key.as_str());
    key.map(str::to_owned)
        .context("the store's key is not in the home but in a keyring")
}

/// Every blob in a column whose name says that it is secret.
fn from_columns(store: &Connection, keys: &mut Keys) -> Result<()> {
    let mut tables = store.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    let names: Vec<String> = tables
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for table in names {
        let columns = store.prepare(&format!("SELECT * FROM \"{table}\" LIMIT 0"))?;
        let columns: Vec<String> = columns
            .column_names()
            .map(str::to_owned)
            .filter(|name| is_secret(name))
            .collect();
        for column in columns {
            let query =
                format!("SELECT \"{column}\" FROM \"{table}\" WHERE typeof(\"{column}\") = 'blob'");
            let mut rows = store.prepare(&query)?;
            for blob in rows.query_map([], |row| row.get::<_, Vec<u8>>(0))? {
                insert(keys, &format!("{table}.{column}"), blob?);
            }
        }
    }
    Ok(())
}

/// Every field of MLS's own state whose name says that it is private. A value is cut into
/// chunks, which come in order.
fn from_mls(store: &Connection, keys: &mut Keys) -> Result<()> {
    let mut values: BTreeMap<(i64, Vec<u8>), Vec<u8>> = BTreeMap::new();
    let mut rows = store.prepare("SELECT label, key, value FROM mls ORDER BY chunk")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let chunk: Vec<u8> = row.get(2)?;
        values
            .entry((row.get(0)?, row.get(1)?))
            .or_default()
            .extend(chunk);
    }
    for ((label, _), value) in values {
        from_cbor(&format!("mls.{label}"), &value, keys)?;
    }
    Ok(())
}

fn from_cbor(name: &str, value: &[u8], keys: &mut Keys) -> Result<()> {
    let value: Value = ciborium::from_reader(value).context("MLS's state is not CBOR")?;
    walk(name, &value, keys);
    Ok(())
}

fn walk(name: &str, value: &Value, keys: &mut Keys) {
    match value {
        Value::Map(fields) => {
            for (field, value) in fields {
                let field = field.as_text().unwrap_or_default();
                let name = format!("{name}.{field}");
                if field.contains("private") {
                    insert(keys, &name, bytes_in(value));
                }
                walk(&name, value, keys);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(name, item, keys)),
        Value::Tag(_, inner) => walk(name, inner, keys),
        _ => {}
    }
}

/// The bytes of a key, however it is wrapped: a byte string, or a list of numbers.
fn bytes_in(value: &Value) -> Vec<u8> {
    match value {
        Value::Bytes(bytes) => bytes.clone(),
        Value::Integer(number) => u8::try_from(*number).into_iter().collect(),
        Value::Array(items) => items.iter().flat_map(bytes_in).collect(),
        Value::Map(fields) => fields
            .iter()
            .flat_map(|(_, value)| bytes_in(value))
            .collect(),
        Value::Tag(_, inner) => bytes_in(inner),
        _ => Vec::new(),
    }
}

fn is_secret(name: &str) -> bool {
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

fn insert(keys: &mut Keys, name: &str, key: Vec<u8>) {
    if key.len() >= SHORTEST {
        keys.insert((name.replace(' ', "_"), key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_fields_are_found_however_they_are_wrapped() {
        let key = Value::Array((0..32).map(|n| Value::Integer(n.into())).collect());
        let pair = Value::Map(vec![
            (Value::Text("public".into()), Value::Bytes(vec![9; 32])),
            (
                Value::Text("private".into()),
                Value::Map(vec![(Value::Text("vec".into()), key)]),
            ),
        ]);
        let mut encoded = Vec::new();
        ciborium::into_writer(&Value::Array(vec![pair]), &mut encoded).unwrap();
        let mut keys = Keys::new();
        from_cbor("mls.2", &encoded, &mut keys).unwrap();
        assert_eq!(
            keys.into_iter().collect::<Vec<_>>(),
            [("mls.2.private".to_owned(), (0..32).collect())]
        );
    }

    #[test]
    fn secret_columns_are_known_by_their_names() {
        assert!(is_secret("identity_seed") && is_secret("rejoin_secret"));
        assert!(!is_secret("mailbox_id"));
    }
}

//! `docs/rpc.schema.json`: JSON Schema of everything that is written and read.
//!
//! `$defs` has the types by name; `methods` says which of them each method takes and gives.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use waxwing_api::{Effect, Notice, ProblemReport, methods};

/// The whole schema.
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut all = Map::new();
    for method in methods() {
        let mut about = Map::new();
        about.insert("description".into(), prose(method.docs).into());
        let effect = match method.effect {
            Effect::Reads => "reads",
            Effect::Repeats => "repeats",
            Effect::Changes => "changes",
        };
        about.insert("effect".into(), effect.into());
        about.insert("needs_admission".into(), method.needs_admission.into());
        if let Some(params) = &method.params {
            about.insert("params".into(), (params.schema)(&mut generator).into());
        }
        about.insert(
            "result".into(),
            (method.result.schema)(&mut generator).into(),
        );
        all.insert(method.name.into(), about.into());
    }
    let notice: Value = generator.subschema_for::<Notice>().into();
    let problem: Value = generator.subschema_for::<ProblemReport>().into();
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The Waxwing JSON-RPC API",
        "$comment": "Written by `cargo xtask rpc-docs` from crates/api.",
        "methods": all,
        "notice": notice,
        "problem": problem,
        "$defs": definitions(generator),
    });
    plain(&mut schema);
    schema
}

/// Makes the comments of Rust plain: a link such as `` [`Send`] `` is one in Rust only.
fn plain(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = without_links(text);
            }
            fields.values_mut().for_each(plain);
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}

fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[`") {
        plain += before;
        let Some((name, after)) = after.split_once("`]") else {
            plain += "[`";
            rest = after;
            continue;
        };
        plain.extend(["`", name, "`"]);
        rest = match after
            .strip_prefix('(')
            .and_then(|link| link.split_once(')'))
        {
            Some((_, after)) => after,
            None => after,
        };
    }
    plain + rest
}

/// The named types, by name.
fn definitions(mut generator: SchemaGenerator) -> Map<String, Value> {
    let mut definitions: Vec<_> = generator.take_definitions(true).into_iter().collect();
    definitions.sort_by(|(one, _), (other, _)| one.cmp(other));
    definitions.into_iter().collect()
}

/// The lines of a comment as one text.
fn prose(docs: &[&str]) -> String {
    let lines = docs.iter().map(|line| line.trim());
    lines.collect::<Vec<_>>().join("\n")
}

//! `docs/rpc.d.ts`: the same types for TypeScript, from the JSON Schema.
//!
//! It knows what the schema of `crates/api` uses, and no more of JSON Schema than that.

use serde_json::{Map, Value};

/// The whole file.
pub fn types(schema: &Value) -> String {
    let mut text = String::from(
        "// The types of Waxwing's JSON-RPC API, which docs/rpc.md describes.\n\
         // Written by `cargo xtask rpc-docs` from crates/api.\n",
    );
    for (name, of) in fields(schema, "$defs") {
        text.extend(["\n", &comment(of, ""), &definition(name, of), "\n"]);
    }
    text +=
        "\n/** Each method with its parameters and its result. */\nexport interface Methods {\n";
    for (name, method) in fields(schema, "methods") {
        let params = method.get("params").map_or_else(
            || "params?: Record<string, never>".to_owned(),
            |params| format!("params: {}", written(params, "  ")),
        );
        let result = method
            .get("result")
            .map_or_else(String::new, |of| written(of, "  "));
        text += &comment(method, "  ");
        text.extend(["  ", name, ": { ", &params, "; result: ", &result, " };\n"]);
    }
    text + "}\n"
}

/// The fields of an object in the schema; none if it is not there.
fn fields<'s>(of: &'s Value, name: &str) -> impl Iterator<Item = (&'s String, &'s Value)> {
    of.get(name)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

fn definition(name: &str, of: &Value) -> String {
    let plain = of.get("properties").is_some()
        && ["oneOf", "anyOf", "allOf"]
            .iter()
            .all(|of_many| of.get(of_many).is_none());
    let written = written(of, "");
    if plain {
        format!("export interface {name} {written}")
    } else {
        let space = if written.starts_with('\n') { "" } else { " " };
        format!("export type {name} ={space}{written};")
    }
}

/// The description as a comment above what it describes.
fn comment(of: &Value, indent: &str) -> String {
    let Some(text) = of.get("description").and_then(Value::as_str) else {
        return String::new();
    };
    let text = text.replace("*/", "*\u{200b}/");
    let lines: Vec<&str> = text.trim().lines().collect();
    if let [line] = lines.as_slice() {
        return format!("{indent}/** {line} */\n");
    }
    let lines: String = lines
        .iter()
        .map(|line| format!("{indent} * {line}").trim_end().to_owned() + "\n")
        .collect();
    format!("{indent}/**\n{lines}{indent} */\n")
}

/// A schema as a type.
fn written(of: &Value, indent: &str) -> String {
    let Value::Object(of) = of else {
        return "unknown".to_owned();
    };
    let mut all: Vec<String> = Vec::new();
    for name in ["oneOf", "anyOf"] {
        if let Some(Value::Array(variants)) = of.get(name) {
            all.push(union(variants, indent));
        }
    }
    if let Some(Value::Array(parts)) = of.get("allOf") {
        all.extend(parts.iter().map(|part| within(&written(part, indent))));
    }
    if let Some(Value::String(name)) = of.get("$ref") {
        all.push(name.rsplit('/').next().unwrap_or(name).to_owned());
    }
    all.extend(own(of, indent));
    match all.as_slice() {
        [] => "unknown".to_owned(),
        [one] => one.clone(),
        many => many
            .iter()
            .map(|one| within(one))
            .collect::<Vec<_>>()
            .join(" & "),
    }
}

/// Variants with comments stand on lines of their own.
fn union(variants: &[Value], indent: &str) -> String {
    let inner = format!("{indent}  ");
    if variants.iter().all(|one| one.get("description").is_none()) {
        let variants = variants.iter().map(|one| within(&written(one, indent)));
        return variants.collect::<Vec<_>>().join(" | ");
    }
    let variants = variants.iter().map(|one| {
        format!(
            "\n{}{inner}| {}",
            comment(one, &inner),
            written(one, &inner)
        )
    });
    variants.collect()
}

/// What a schema says itself, besides what it is composed of.
fn own(of: &Map<String, Value>, indent: &str) -> Option<String> {
    if let Some(value) = of.get("const") {
        return Some(value.to_string());
    }
    if let Some(Value::Array(values)) = of.get("enum") {
        return Some(
            values
                .iter()
                .map(Value::to_string)
                .collect::<Vec<_>>()
                .join(" | "),
        );
    }
    match of.get("type")? {
        Value::String(name) => Some(named(name, of, indent)),
        Value::Array(names) => {
            let names = names.iter().filter_map(Value::as_str);
            let names = names.map(|name| named(name, of, indent));
            Some(names.collect::<Vec<_>>().join(" | "))
        }
        _ => None,
    }
}

fn named(name: &str, of: &Map<String, Value>, indent: &str) -> String {
    match name {
        "integer" | "number" => "number".to_owned(),
        "array" => {
            let items = of
                .get("items")
                .map_or_else(|| "unknown".into(), |of| written(of, indent));
            format!("{}[]", within(&items))
        }
        "object" => object(of, indent),
        // string, boolean, null
        other => other.to_owned(),
    }
}

fn object(of: &Map<String, Value>, indent: &str) -> String {
    let Some(Value::Object(properties)) = of.get("properties") else {
        return if of.get("additionalProperties") == Some(&Value::Bool(false)) {
            "Record<string, never>".to_owned()
        } else {
            "Record<string, unknown>".to_owned()
        };
    };
    let required: Vec<&str> = match of.get("required") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let inner = format!("{indent}  ");
    let mut text = String::from("{\n");
    for (name, of) in properties {
        let mark = if required.contains(&name.as_str()) {
            ""
        } else {
            "?"
        };
        text += &comment(of, &inner);
        text.extend([&inner, name, mark, ": ", &written(of, &inner), ";\n"]);
    }
    if of
        .get("additionalProperties")
        .is_some_and(|more| *more != Value::Bool(false))
    {
        text.extend([&inner, "[more: string]: unknown;\n"]);
    }
    text + indent + "}"
}

/// A union needs brackets inside another type.
fn within(text: &str) -> String {
    if text.contains(" | ") && !text.starts_with('{') && !text.starts_with('(') {
        format!("({text})")
    } else {
        text.to_owned()
    }
}

//! What a recipe means, apart from where things are: its canonical form, digest and differences.
//!
//! Two recipes with the same meaning over the same input bytes give the same output. So the
//! canonical form has every default filled in and leaves out comments, the order of keys, the
//! dataset's name, all paths, and how the run uses the machine.

use serde_json::{Map, Value as Json};

use super::report::brief;
use super::types::{Boundary, Recipe};
use crate::error::shown_text;

/// The recipe as JSON with defaults filled in and without what cannot change the output: `name`,
/// `run`, `tokenizer.file` and the sources' `paths`. Keys are sorted.
///
/// Files are identified by their content elsewhere.
pub fn meaning(recipe: &Recipe) -> Json {
    let mut recipe = recipe.clone();
    // Defaults that depend on other keys.
    recipe
        .pack
        .eod
        .get_or_insert(recipe.pack.boundary != Boundary::Direct);
    recipe.tokenizer.pad.get_or_insert(recipe.tokenizer.eod.clone());
    let mut json = serde_json::to_value(&recipe).expect("a recipe holds nothing that JSON cannot");
    remove(&mut json, &["name", "run"]);
    remove(&mut json["tokenizer"], &["file"]);
    for source in json["sources"].as_array_mut().into_iter().flatten() {
        remove(source, &["paths"]);
    }
    sorted(json)
}

/// Takes keys out of a mapping.
pub(crate) fn remove(json: &mut Json, keys: &[&str]) {
    if let Json::Object(map) = json {
        map.retain(|key, _| !keys.contains(&key.as_str()));
    }
}

/// The value with the keys of every mapping in bytewise order.
pub(crate) fn sorted(json: Json) -> Json {
    match json {
        Json::Object(map) => {
            let mut entries: Vec<(String, Json)> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Json::Object(Map::from_iter(entries))
        }
        Json::Array(items) => Json::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// JSON on one line without spaces, keys sorted by their bytes: equal values give equal text.
pub fn canonical_json(value: &Json) -> String {
    sorted(value.clone()).to_string()
}

/// The recipe's identity, `blake3:` and 64 hexadecimal digits: a hash of its [`meaning`].
pub fn digest(recipe: &Recipe) -> String {
    digest_of(&meaning(recipe))
}

/// The digest of a [`meaning`] that was kept as JSON.
pub fn digest_of(meaning: &Json) -> String {
    format!(
        "blake3:{}",
        blake3::hash(canonical_json(meaning).as_bytes()).to_hex()
    )
}

/// How `b` differs from `a`, one line per key, sorted: `pack.seq_len: 131072 -> 65536`.
pub fn difference(a: &Json, b: &Json) -> Vec<String> {
    let mut out = Vec::new();
    compare("", Some(a), Some(b), &mut out);
    out
}

fn compare(path: &str, a: Option<&Json>, b: Option<&Json>, out: &mut Vec<String>) {
    match (a, b) {
        (Some(Json::Object(a)), Some(Json::Object(b))) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let dot = if path.is_empty() { "" } else { "." };
                compare(&format!("{path}{dot}{key}"), a.get(key), b.get(key), out);
            }
        }
        (Some(Json::Array(a)), Some(Json::Array(b))) => {
            for index in 0..a.len().max(b.len()) {
                compare(&format!("{path}[{index}]"), a.get(index), b.get(index), out);
            }
        }
        (a, b) if a == b => {}
        (a, b) => {
            let shown =
                |value: Option<&Json>| value.map_or("nothing".into(), |value| brief(&canonical_json(value)));
            out.push(shown_text(&format!("{path}: {} -> {}", shown(a), shown(b))));
        }
    }
}

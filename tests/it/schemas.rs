//! The machine-readable surface: schemas as checked in, manifests and `--json` results that follow.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use ultrapack::shard::manifest_schema;
use ultrapack::{eval, inspect, train};

use crate::scratch::{Finished, Scratch};

#[test]
fn the_checked_in_schemas_of_results_are_current() {
    let all = [
        ("manifest", manifest_schema()),
        ("inspect", inspect::schema()),
        ("train", train::recipe::schema()),
        ("eval", eval::run::schema()),
    ];
    for (name, schema) in all {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/{name}.schema.json"));
        let expected = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("ULTRAPACK_UPDATE_SCHEMAS").is_some() {
            fs::write(&file, &expected).unwrap();
        }
        let found = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            found == expected,
            "run `ULTRAPACK_UPDATE_SCHEMAS=1 cargo test schema` and commit {}",
            file.display()
        );
    }
}

#[test]
fn every_kind_of_inspection_follows_its_schema() {
    let scratch = Scratch::packed(40, "balance: { ranks: 2 }\npack: { seq_len: 1024, align: 16 }\n");
    let schema = inspect::schema();
    let cases: [&[&str]; 6] = [
        &["out"],
        &["out/shard-00000.arrow"],
        &["out", "--seq", "1"],
        &["out", "--seq", "0", "--at", "500"],
        &["out", "--seq", "0", "--whence", "5"],
        &["out", "--html", "page.html"],
    ];
    for args in cases {
        let result = json_of(&scratch, &[&["inspect", "--json"], args].concat(), 0);
        assert_eq!(
            faults(&schema, &schema, &result, ""),
            Vec::<String>::new(),
            "{args:?}"
        );
    }
    let mut wrong = json_of(&scratch, &["inspect", "out", "--json"], 0);
    wrong["inspect"]["overview"]["fill"]
        .as_object_mut()
        .unwrap()
        .remove("slots");
    assert_eq!(faults(&schema, &schema, &wrong, "").len(), 1);
}

#[test]
fn the_command_line_prints_the_checked_in_schemas() {
    let scratch = Scratch::new();
    for name in ["recipe", "train", "manifest", "inspect", "eval"] {
        let file = format!("schemas/{name}.schema.json");
        let expected = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file)).unwrap();
        let printed = scratch.ultrapack(&["schema", name]).expect_code(0);
        assert!(printed.stdout() == expected, "`{file}` is not what is printed");
    }
}

#[test]
fn a_packed_manifest_follows_its_schema_and_a_changed_one_does_not() {
    let scratch = Scratch::packed(40, "balance: { ranks: 2 }\npack: { seq_len: 1024, align: 16 }\n");
    let manifest: Value =
        serde_json::from_slice(&fs::read(scratch.path("out/manifest.json")).unwrap()).unwrap();
    let schema = manifest_schema();
    assert_eq!(faults(&schema, &schema, &manifest, ""), Vec::<String>::new());

    let mut missing = manifest.clone();
    missing["shards"][0].as_object_mut().unwrap().remove("blake3");
    assert_eq!(
        faults(&schema, &schema, &missing, ""),
        ["/shards/0: `blake3` is missing"]
    );
    let mut unknown = manifest.clone();
    unknown["ledger"]["slots"]["more"] = json!(1);
    assert_eq!(
        faults(&schema, &schema, &unknown, ""),
        ["/ledger/slots: `more` is unknown"]
    );
    let mut wrong = manifest.clone();
    wrong["seq_len"] = json!(-1);
    wrong["boundary"] = json!("sideways");
    assert_eq!(
        faults(&schema, &schema, &wrong, ""),
        ["/seq_len: -1 is below 0", "/boundary: no alternative fits"]
    );
}

#[test]
fn every_json_result_names_its_schema_and_holds_its_result() {
    let scratch = Scratch::with_corpus(40, "");
    let pack = [
        "pack",
        "recipe.yaml",
        "--out",
        "out",
        "--store",
        "store",
        "--json",
    ];
    let dry_run = [&pack[..], &["--dry-run"]].concat();
    let cases: [(&[&str], &str, &[&str]); 4] = [
        (&dry_run, "dry_run", &["sources", "datasets", "store", "threads"]),
        (
            &pack,
            "pack",
            &["datasets", "wall_secs", "stages", "text_bytes", "warnings"],
        ),
        (
            &["plan", "recipe.yaml", "--store", "store", "--json"],
            "plan",
            &[
                "basis",
                "n_documents",
                "n_tokens",
                "rows",
                "tokenize_secs",
                "wall_secs",
            ],
        ),
        (
            &["verify", "out", "--json"],
            "verify",
            &["dataset", "n_shards", "n_rows", "n_bytes", "findings"],
        ),
    ];
    for (args, kind, keys) in cases {
        let result = json_of(&scratch, args, 0);
        assert_eq!(result["schema"], format!("ultrapack/{kind}/1"));
        let found: Vec<&String> = result[kind].as_object().unwrap().keys().collect();
        assert_eq!(found, keys, "{kind}");
    }
    let packed = json_of(&scratch, &pack, 0);
    let manifest: Value =
        serde_json::from_slice(&fs::read(scratch.path("out/manifest.json")).unwrap()).unwrap();
    assert_eq!(packed["pack"]["datasets"][0]["manifest"], manifest);
    assert_eq!(packed["pack"]["datasets"][0]["was_complete"], true);
}

#[test]
fn verify_reports_damage_as_json_too() {
    let scratch = Scratch::packed(20, "");
    fs::remove_file(scratch.path("out/documents.parquet")).unwrap();
    let result = json_of(&scratch, &["verify", "out", "--json"], 4);
    assert_eq!(result["verify"]["findings"][0]["code"], "V002");
    assert_eq!(result["verify"]["findings"][0]["file"], "documents.parquet");
}

fn json_of(scratch: &Scratch, args: &[&str], code: i32) -> Value {
    let output = scratch.ultrapack(args).expect_code(code);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Where `value` does not follow `schema`, for the part of JSON Schema that our schemas use.
fn faults(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let follow = |schema: &Value| faults(root, schema, value, at);
    let mut found = Vec::new();
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        found.extend(follow(
            root.pointer(reference.trim_start_matches('#')).expect(reference),
        ));
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(all) = schema.get(key).and_then(Value::as_array)
            && !all.iter().any(|one| follow(one).is_empty())
        {
            found.push(format!("{at}: no alternative fits"));
        }
    }
    let types = schema
        .get("type")
        .map(|t| t.as_array().cloned().unwrap_or_else(|| vec![t.clone()]));
    if let Some(types) = types
        && !types.iter().any(|t| has_type(value, t.as_str().unwrap()))
    {
        found.push(format!("{at}: not of type {types:?}"));
    }
    if schema.get("const").is_some_and(|only| only != value)
        || schema
            .get("enum")
            .is_some_and(|all| !all.as_array().unwrap().contains(value))
    {
        found.push(format!("{at}: {value} is not allowed"));
    }
    if let (Some(value), Some(minimum)) = (value.as_f64(), schema.get("minimum").and_then(Value::as_f64))
        && value < minimum
    {
        found.push(format!("{at}: {value} is below {minimum}"));
    }
    if let Some(items) = value.as_array()
        && let Some(schema) = schema.get("items")
    {
        let each = items.iter().enumerate();
        found.extend(each.flat_map(|(i, item)| faults(root, schema, item, &format!("{at}/{i}"))));
    }
    if let Some(object) = value.as_object() {
        let required = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let missing = required
            .filter_map(Value::as_str)
            .filter(|key| !object.contains_key(*key));
        found.extend(missing.map(|key| format!("{at}: `{key}` is missing")));
        let closed = schema.get("additionalProperties") == Some(&json!(false));
        for (key, value) in object {
            match schema.pointer(&format!("/properties/{key}")) {
                Some(schema) => found.extend(faults(root, schema, value, &format!("{at}/{key}"))),
                None if closed => found.push(format!("{at}: `{key}` is unknown")),
                None => {}
            }
        }
    }
    found
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no such type: {other}"),
    }
}

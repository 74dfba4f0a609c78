use std::fs;

use proptest::prelude::*;

use super::*;
use crate::error::Error;

const VALID: &str = "\
version: 1
sources:
  - name: web
    paths: [web/*.jsonl]
    metadata: {lang: string, year: integer}
    where: lang = 'en' # only English
    weight: 3
  - {name: books, paths: ['books.parquet'], weight: 1.5}
tokenizer: {file: tokenizer.json, eod: <|endoftext|>, mask: 126336}
pack:
  seq_len: [65536, 131072]
  shuffle: false
";

/// The smallest recipe, with more lines behind it.
fn minimal(more: &str) -> String {
    format!(
        "version: 1\nsources: [{{name: a, paths: [a.jsonl]}}]\ntokenizer: {{file: t.json, eod: 0}}\n{more}\n"
    )
}

/// A recipe whose one source has these keys more.
fn with_source(keys: &str) -> String {
    minimal("").replace("paths: [a.jsonl]", &format!("paths: [a.jsonl], {keys}"))
}

fn report(text: &str) -> String {
    match parse(text, Path::new("wrong.yaml"), false) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("this recipe should be refused:\n{text}"),
    }
}

/// Each wrong recipe with its whole report, for the reviewer's eye.
#[test]
fn wrong_recipes_are_reported_with_place_and_remedy() {
    let cases: Vec<(&str, String)> = vec![
        ("empty file", String::new()),
        ("comments only", "# nothing yet\n".into()),
        ("a list at the top", "- a\n- b\n".into()),
        ("typo in a key", minimal("pack:\n  max_lenn: 5")),
        (
            "key in the wrong section",
            minimal("boundary: eod\npack: {weight: 1}"),
        ),
        ("typo in a value", minimal("pack: {boundary: adaptiv}")),
        ("no such value", minimal("pack: {placement: knapsack}")),
        (
            "wrong type",
            minimal("pack: {seq_len: 128k}\nname: 7\nshards: []"),
        ),
        (
            "underscores and floats in integers",
            minimal("pack: {seq_len: 131_072}\nseed: 1e6"),
        ),
        (
            "a pattern where a list is needed",
            minimal("").replace("[a.jsonl]", "a.jsonl"),
        ),
        (
            "patterns and tokens without quotes",
            minimal("")
                .replace("[a.jsonl]", "[*.jsonl]")
                .replace("eod: 0", "eod: [EOS]"),
        ),
        ("yes for true", minimal("pack:\n  shuffle: yes\n  eod: off")),
        ("section without content", minimal("pack:\nseed: ")),
        ("duplicate key", minimal("seed: 1\nseed: 2")),
        ("tab", minimal("pack:\n\tshuffle: true")),
        (
            "missing keys",
            "version: 1\nsources:\n  - paths: []\ntokenizer:\n  file: t.json\n".into(),
        ),
        (
            "negative and too large numbers",
            minimal("seed: -1\nrun: {threads: 5000}\npack: {overlap: 4294967296, hybrid_share: 2}"),
        ),
        ("another version", minimal("").replace("version: 1", "version: 2")),
        (
            "weights that are no numbers",
            with_source("weight: .nan, epochs: .inf"),
        ),
        (
            "anchors, aliases, tags and merge keys",
            minimal("run: &x {threads: !!int 1}\npack: {<<: *x}\nseed: *y"),
        ),
        ("two documents", minimal("---\nversion: 1")),
        ("list as a key", minimal("[a, b]: 1")),
        ("unclosed bracket", minimal("pack: {shuffle: true")),
        ("value with a colon", minimal("name: a: b")),
        ("reserved character", minimal("name: @home")),
        (
            "name that is no name",
            minimal("").replace("name: a", "name: My Source"),
        ),
        (
            "not local",
            minimal("run: {out: 'http://x/y'}").replace("[a.jsonl]", "['s3://key:secret@b/*', '', 'a[']"),
        ),
        ("weight and epochs", with_source("weight: 1, epochs: 1")),
        ("some weights", VALID.replace(", weight: 1.5", "")),
        (
            "weights of zero",
            VALID
                .replace("weight: 3", "weight: 0")
                .replace("weight: 1.5", "weight: 0"),
        ),
        (
            "same name, other metadata type",
            VALID.replace("name: books,", "name: web, metadata: {year: float},"),
        ),
        ("metadata path", with_source("metadata: {a..b: float}")),
        (
            "plain text with fields",
            with_source("format: text, text: body, metadata: {x: float}"),
        ),
        (
            "separator for jsonl",
            with_source("format: jsonl, separator: \"--\\n--\""),
        ),
        ("where over unknown columns", with_source("where: lang = 'en'")),
        (
            "where with a dotted column",
            with_source("metadata: {a.b: integer}, where: a.b > 1"),
        ),
        (
            "where that is no condition",
            with_source("metadata: {x: integer}, where: max(x) >"),
        ),
        (
            "tokens and epochs",
            with_source("epochs: 2") + "mixture: {tokens: 0}\n",
        ),
        (
            "ids beyond the vocabulary",
            minimal("").replace("eod: 0", "eod: 10, vocab_size: 10, mask: 9"),
        ),
        ("overlap", minimal("pack: {seq_len: [8, 16, 8], overlap: 8}")),
        ("no overlap", minimal("pack: {long_documents: overlap}")),
        (
            "overlap as long as a sequence",
            minimal("pack: {seq_len: [8, 16], long_documents: overlap, overlap: 8}"),
        ),
        (
            "stream",
            minimal("pack: {placement: stream, align: 8, min_len: 9, max_len: 8}"),
        ),
        (
            "bucket",
            minimal("pack: {placement: bucket, seq_len: 3000, bucket_min: 4095, align: 24}"),
        ),
        (
            "tail and EOD",
            minimal("pack: {tail: drop, boundary: hybrid, eod: false}"),
        ),
        (
            "EOD and direct",
            minimal("pack: {boundary: direct, eod: true}\nbalance: {ranks: 2, token_cost: 0, pair_cost: 0}"),
        ),
        ("controls", minimal("\"na\\u202eme\\e[31m\": 1 # \u{202e}")),
    ];
    let mut all = String::new();
    for (name, text) in &cases {
        all += &format!("## {name}\n\n{}\n\n\n", report(text));
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("wrong_recipes", all));
}

#[test]
fn all_errors_of_a_stage_are_reported_in_the_order_of_the_text() {
    let report = report("versoin: 1\nsources: []\npack: {shuffle: yes, tail: crop}\n");
    let places: Vec<&str> = report
        .lines()
        .filter_map(|line| line.split_once("wrong.yaml:").map(|(_, at)| at))
        .collect();
    assert_eq!(places, ["1:1", "1:1", "1:1", "2:1", "3:17", "3:28"], "{report}");
    assert!(report.ends_with("recipe `wrong.yaml`: 6 errors"));
}

#[test]
fn a_file_full_of_errors_is_not_reported_in_full() {
    let text: String = (0..3000).map(|i| format!("k{i}: 1\n")).collect();
    let report = report(&text);
    assert!(report.ends_with("3003 errors, of which the first 50 are shown"));
    assert!(report.len() < 50_000);
}

#[test]
fn a_valid_recipe_is_read_with_its_defaults() {
    let loaded = parse(VALID, Path::new("dir/my.recipe.yaml"), false).expect("the recipe is valid");
    let recipe = loaded.recipe;
    assert_eq!(loaded.base, Path::new("dir"));
    assert_eq!(recipe.name_or(&loaded.path), "my.recipe");
    assert_eq!(recipe.pack.seq_len.all(), [65_536, 131_072]);
    assert_eq!(recipe.sources[0].weight, Some(3.0));
    assert_eq!(recipe.tokenizer.mask, Some(TokenRef::Id(126_336)));
    assert_eq!(recipe.limits, Limits::default());
    assert!(loaded.warnings.is_empty());
}

#[test]
fn the_largest_integers_survive() {
    let text = minimal("seed: 18446744073709551615");
    assert_eq!(
        parse(&text, Path::new("a.yaml"), false)
            .expect("valid")
            .recipe
            .seed,
        u64::MAX
    );
    assert!(report(&minimal("seed: 18446744073709551616")).contains("at most 18446744073709551615"));
}

#[test]
fn a_key_without_effect_is_a_warning() {
    let text = minimal("pack: {hybrid_share: 0.1, bucket_min: 8}");
    let warnings = parse(&text, Path::new("a.yaml"), false).expect("valid").warnings;
    assert_eq!(warnings.len(), 2);
    assert!(
        warnings[0]
            .starts_with("warning[R026]: `pack.hybrid_share` has no effect without `boundary: hybrid`")
    );
}

#[test]
fn files_are_read_from_disk_or_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("r.yaml");
    assert!(matches!(
        load(&path, false),
        Err(Error::Io { action: "open", .. })
    ));
    assert!(matches!(load(dir.path(), false), Err(Error::Io { .. })));

    fs::write(&path, VALID).expect("written");
    assert_eq!(load(&path, false).expect("valid").base, dir.path());

    fs::write(&path, b"version: 1\nname: caf\xe9\n").expect("written");
    let error = load(&path, false).expect_err("Latin-1").to_string();
    assert!(
        error.contains("r.yaml:2:10") && error.contains("byte 0xe9"),
        "{error}"
    );

    fs::write(&path, vec![b'#'; yaml::MAX_BYTES + 1]).expect("written");
    assert!(
        load(&path, false)
            .expect_err("too large")
            .to_string()
            .contains("R002")
    );
}

#[test]
fn line_ends_and_a_byte_order_mark_change_nothing() {
    let plain = parse(VALID, Path::new("a.yaml"), false).expect("valid").recipe;
    let windows = format!("\u{feff}{}", VALID.replace('\n', "\r\n"));
    assert_eq!(
        parse(&windows, Path::new("a.yaml"), false).expect("valid").recipe,
        plain
    );
}

fn digest_of(text: &str) -> String {
    match parse(text, Path::new("a.yaml"), false) {
        Ok(loaded) => digest(&loaded.recipe),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_digest_names_the_meaning_and_nothing_else() {
    let same = [
        minimal("# a comment"),
        minimal("name: other\nrun: {threads: 3, out: /tmp/x}"),
        minimal("")
            .replace("a.jsonl", "elsewhere/b.jsonl")
            .replace("t.json", "u.json"),
        minimal("pack: {shuffle: true, eod: true}\nseed: 0"),
        "tokenizer: {eod: 0, pad: 0, file: t}\nsources:\n- paths: [x]\n  name: 'a'\nversion: 0x1\n"
            .to_owned(),
    ];
    let digest = digest_of(&minimal(""));
    assert_eq!(digest.len(), "blake3:".len() + 64);
    for text in &same {
        assert_eq!(digest_of(text), digest, "{text}");
    }
    for more in [
        "seed: 1",
        "pack: {seq_len: 65536}",
        "pack: {eod: false}",
        "limits: {on_bad_record: skip}",
    ] {
        assert_ne!(digest_of(&minimal(more)), digest, "{more}");
    }
}

/// A change here changes the identity of every existing dataset.
#[test]
fn the_digest_of_the_smallest_recipe_is_fixed() {
    let fixed = "blake3:fe8235e2f4422c296da5fc1119adb1c8ec300fbfa908823172022baeea6cf556";
    assert_eq!(digest_of(&minimal("")), fixed);
}

#[test]
fn differences_are_listed_key_by_key() {
    let of = |text: &str| meaning(&parse(text, Path::new("a.yaml"), false).expect("valid").recipe);
    let (a, b) = (
        of(&minimal("")),
        of(&with_source("weight: 1").replace("eod: 0", "eod: 0, mask: <m>")),
    );
    assert_eq!(
        difference(&a, &b),
        [
            "sources[0].weight: null -> 1.0",
            "tokenizer.mask: null -> \"<m>\""
        ]
    );
    assert!(difference(&a, &a).is_empty());
    let (a, b) = (serde_json::json!({"x": [1]}), serde_json::json!({"x": [1, 2]}));
    assert_eq!(difference(&a, &b), ["x[1]: nothing -> 2"]);
}

#[test]
fn canonical_json_does_not_depend_on_the_order_of_keys() {
    let value = serde_json::json!({"b": 1.5, "a": {"d": null, "c": [true, "x"]}});
    assert_eq!(
        canonical_json(&value),
        r#"{"a":{"c":[true,"x"],"d":null},"b":1.5}"#
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}|[-\\[\\]{}:,#&*!|>'\"%@\\\\ \t\r\na-c0-9.]{0,300}") {
        let _ = parse(&text, Path::new("a.yaml"), true);
    }

    #[test]
    fn a_damaged_recipe_never_panics(
        at in 0..VALID.len(), cut in 0..20usize, put in "[\\[\\]{}:,#&*!|>'\"%\\\\ \t\né漢0-9-]{0,4}"
    ) {
        let end = (at + cut).min(VALID.len());
        let text = format!("{}{put}{}", &VALID[..at], &VALID[end..]);
        let _ = parse(&text, Path::new("a.yaml"), false);
    }

    #[test]
    fn the_digest_does_not_depend_on_the_order_of_lines(order in Just((0..5).collect::<Vec<usize>>()).prop_shuffle()) {
        let sections = [
            "version: 1", "sources: [{name: a, paths: [a]}]", "tokenizer: {file: t, eod: 1}", "seed: 7",
            "pack: {align: 8, shuffle: false}",
        ];
        let text: Vec<&str> = order.iter().map(|&index| sections[index]).collect();
        prop_assert_eq!(digest_of(&text.join("\n# x\n")), digest_of(&sections.join("\n")));
    }
}

//! Input that is damaged, or made to do harm: it ends in a message and an exit code, in little time
//! and memory, and never in a dataset that holds less than it should.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use ultrapack::error::{Error, Result};
use ultrapack::recipe::load;
use ultrapack::shard::{Level, Manifest};
use ultrapack::source::{InputFile, Position, Reader, Rules};

use crate::scratch::{
    Finished, Random, Scratch, files_below, fixture, ids, jsonl, passages, put_together, recipe, recipe_of,
};

/// The fixture tokenizer's end of document.
const EOD: u32 = 8185;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn parquet(texts: &[String]) -> Vec<u8> {
    let column = Arc::new(StringArray::from_iter_values(texts));
    let batch = RecordBatch::try_from_iter([("text", column as _)]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// Runs the binary with at most `mebibytes` of address space and a minute of time.
fn limited(scratch: &Scratch, mebibytes: u64, args: &[&str]) -> Output {
    let line = format!("ulimit -v {}; exec timeout 60 \"$0\" \"$@\"", mebibytes << 10);
    let mut command = Command::new("sh");
    command
        .args(["-c", &line, env!("CARGO_BIN_EXE_ultrapack")])
        .args(args);
    command.current_dir(scratch.path("")).output().unwrap()
}

/// `pack recipe.yaml` into `out`, so limited.
fn pack_limited(scratch: &Scratch, mebibytes: u64) -> Output {
    let args = [
        "pack",
        "recipe.yaml",
        "--out",
        "out",
        "--store",
        "store",
        "--threads",
        "2",
    ];
    limited(scratch, mebibytes, &args)
}

#[track_caller]
fn is_no_dataset(scratch: &Scratch, out: &str) {
    assert!(
        !scratch.path(out).join("manifest.json").exists(),
        "{out} is a dataset"
    );
}

/// Reads a file to its end, as `pack` does; gives the number of documents.
fn read(path: &Path, rules: &Rules) -> Result<usize> {
    let file = InputFile {
        path: path.to_owned(),
        name: "file".into(),
        n_bytes: fs::metadata(path).unwrap().len(),
    };
    let mut reader = Reader::open(&file, rules, Position::default())?;
    let mut n = 0;
    while let Some(chunk) = reader.next_chunk()? {
        n += chunk.parse(rules)?.records.len();
    }
    Ok(n)
}

#[test]
fn every_cut_of_an_input_file_is_an_error_that_names_it() {
    let scratch = Scratch::new();
    let texts = passages(40, 60, 3);
    let lines = jsonl(&texts);
    let cases = [
        ("a.jsonl", lines.clone().into_bytes()),
        (
            "a.jsonl.gz",
            [gzip(lines.as_bytes()), gzip(lines.as_bytes())].concat(),
        ),
        (
            "a.jsonl.zst",
            [zstandard(lines.as_bytes()), zstandard(lines.as_bytes())].concat(),
        ),
        ("a.parquet", parquet(&texts)),
    ];
    for (name, whole) in cases {
        let text = recipe(&[name], "");
        let loaded = load(&scratch.write("recipe.yaml", &text), false).unwrap().recipe;
        let rules = Rules::new(&loaded.sources[0], &loaded.text, &loaded.limits).unwrap();
        let path = scratch.write(name, &whole);
        let n_whole = read(&path, &rules).unwrap();
        assert!(n_whole >= texts.len());
        // With less than its first bytes nobody can tell what a file was. Between two lines, members
        // or frames a file may end.
        let step = whole.len() / 256;
        for keep in (4..whole.len())
            .step_by(step)
            .chain(whole.len() - 20..whole.len())
        {
            fs::write(&path, &whole[..keep]).unwrap();
            match read(&path, &rules) {
                Err(Error::Input { place, .. }) => {
                    assert_eq!(place.path, path);
                    assert!(
                        name == "a.parquet" || place.byte.is_some(),
                        "{name}, {keep} bytes: {place}"
                    );
                }
                Err(other) => panic!("{name}, {keep} bytes: {other}"),
                Ok(_) => {
                    let line_end = name == "a.jsonl" && (whole[keep - 1] == b'\n' || whole[keep] == b'\n');
                    let member_end = whole.len() == 2 * keep;
                    assert!(line_end || member_end, "{name}: {keep} bytes were accepted");
                }
            }
        }
        fs::write(&path, &whole[..whole.len() * 3 / 4]).unwrap();
        let out = format!("out-{name}");
        let error = scratch.pack(&out).expect_code(3).stderr();
        assert!(error.contains(name), "{error}");
        is_no_dataset(&scratch, &out);
    }
}

#[test]
fn a_file_is_taken_for_what_it_is_and_nothing_is_left_over() {
    let lines = jsonl(["one two", "three"]);
    let lines = lines.as_bytes();
    let cases: [(&str, Vec<u8>, i32, &str); 9] = [
        ("plain.jsonl.gz", lines.to_vec(), 0, "the name says gzip"),
        ("zstd.jsonl.gz", zstandard(lines), 0, "the name says gzip"),
        ("lines.txt", lines.to_vec(), 0, "the name says plain text"),
        ("twice.gz", gzip(&gzip(lines)), 3, "gzip inside gzip"),
        ("inside.zst", zstandard(&gzip(lines)), 3, "gzip inside zstd"),
        (
            "inside.gz",
            gzip(&parquet(&["a".into()])),
            3,
            "Parquet inside gzip",
        ),
        (
            "garbage.gz",
            [gzip(lines), b"garbage".to_vec()].concat(),
            3,
            "garbage.gz",
        ),
        (
            "garbage.zst",
            [zstandard(lines), b"garbage".to_vec()].concat(),
            3,
            "garbage.zst",
        ),
        ("empty.jsonl", Vec::new(), 3, "nothing is left to pack"),
    ];
    for (name, bytes, code, message) in cases {
        let scratch = Scratch::new();
        scratch.write(name, bytes);
        scratch.write("recipe.yaml", recipe(&[name], ""));
        let error = scratch.pack("out").expect_code(code).stderr();
        assert!(error.contains(message), "{name}: {error}");
        if code != 0 {
            is_no_dataset(&scratch, "out");
        }
    }
}

#[test]
fn bombs_stop_at_their_limits() {
    let zeros = vec![0; 300 << 20];
    let blanks = vec![b'\n'; 64 << 20];
    let limits = "limits: { max_file_bytes: 33554432 }\n";
    let cases = [
        ("zeros.gz", gzip(&zeros), "", "limits.max_document_bytes"),
        ("zeros.zst", zstandard(&zeros), "", "limits.max_document_bytes"),
        ("blanks.gz", gzip(&blanks), limits, "limits.max_file_bytes"),
        (
            "zeros.jsonl.gz",
            gzip(&[b"{\"text\": \"", zeros.as_slice()].concat()),
            "",
            "limits.max_document_bytes",
        ),
    ];
    for (name, bytes, more, message) in cases {
        let scratch = Scratch::new();
        scratch.write(name, bytes);
        scratch.write("recipe.yaml", recipe(&[name], more));
        let error = pack_limited(&scratch, 1536).expect_code(3).stderr();
        assert!(error.contains(name) && error.contains(message), "{name}: {error}");
    }
}

#[test]
fn recipes_that_grow_or_nest_without_end_are_refused() {
    let scratch = Scratch::new();
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let last = format!("*a{}", n - 1);
        bomb += &format!("a{n}: &a{n} [{}]\n", vec![last; 9].join(", "));
    }
    let cases = [
        bomb,
        "[".repeat(100_000),
        format!("a: {}1", "{ a: ".repeat(100_000)),
        (0..10_000).map(|n| format!("{}- a:\n", " ".repeat(n))).collect(),
        "version: 1\n".repeat(200_000),
        "\u{0}\u{1}\u{2}".into(),
        String::new(),
    ];
    for text in cases {
        scratch.write("recipe.yaml", &text);
        limited(&scratch, 1024, &["pack", "recipe.yaml"]).expect_code(2);
    }
}

#[test]
fn a_record_over_the_limit_stops_the_run_or_is_skipped_and_counted() {
    // Shorter and longer than the chunks in which a file is read.
    for n in [5000, 3 << 20] {
        let scratch = Scratch::new();
        let long = "long ".repeat(n / 5);
        scratch.write("a.jsonl", jsonl(["before", &long, "after"]));
        scratch.write("a.txt", format!("before\n---\n{long}\n---\nafter\n"));
        let sources = [
            "{ name: lines, paths: [a.jsonl] }",
            "{ name: pieces, paths: [a.txt], separator: \"---\" }",
        ];
        for (source, byte) in sources.into_iter().zip(["line 2, byte 18", "byte 11"]) {
            let strict = recipe_of(&[source], "limits: { max_document_bytes: 1000 }\n");
            scratch.write("recipe.yaml", strict);
            let error = scratch.pack(byte).expect_code(3).stderr();
            assert!(
                error.contains(byte) && error.contains("`limits.max_document_bytes` allows"),
                "{n}, {source}: {error}"
            );
            is_no_dataset(&scratch, byte);
        }
        let skip = "limits: { max_document_bytes: 1000, on_bad_record: skip }\n";
        scratch.write("recipe.yaml", recipe_of(&sources, skip));
        scratch.pack(&format!("skip-{n}")).expect_code(0);
        let ledger = Manifest::read(&scratch.path(&format!("skip-{n}")))
            .unwrap()
            .ledger
            .total
            .documents;
        assert_eq!((ledger.read, ledger.bad, ledger.used), (6, 2, 4), "{n}");
    }
}

#[test]
fn bad_records_are_named_by_line_and_byte_or_skipped_and_counted() {
    let cases: [(&[u8], &str); 14] = [
        (b"{\"text\": 5}", "not a string"),
        (b"{\"text\": true}", "not a string"),
        (b"{\"text\": [\"a\"]}", "not a string"),
        (b"{\"text\": {\"a\": 1}}", "not a string"),
        (b"{\"text\": null}", "is null"),
        (b"{\"body\": \"a\"}", "no field `text`"),
        (b"{}", "no field `text`"),
        (b"[\"text\"]", "line 2"),
        (b"\"text\"", "line 2"),
        (b"{\"text\": \"a\"", "line 2"),
        (b"{\"text\": \"a\"} {", "line 2"),
        (b"{\"text\": \"\xff\"}", "not UTF-8"),
        (b"{\"text\": \"\xed\xa0\x80\"}", "not UTF-8"),
        (b"{\"text\": \"\\ud800\"}", "surrogate"),
    ];
    for (bad, message) in cases {
        let shown = String::from_utf8_lossy(bad);
        let scratch = Scratch::new();
        let good = b"{\"text\": \"good\"}\n";
        scratch.write("a.jsonl", [good, bad, b"\n", good].concat());
        scratch.write(
            "recipe.yaml",
            recipe(&["a.jsonl"], "limits: { on_bad_record: fail }\n"),
        );
        let error = scratch.pack("fail").expect_code(3).stderr();
        assert!(
            error.contains("a.jsonl`, line 2, byte ") && error.contains(message),
            "{shown}: {error}"
        );
        is_no_dataset(&scratch, "fail");

        scratch.write(
            "recipe.yaml",
            recipe(&["a.jsonl"], "limits: { on_bad_record: skip }\n"),
        );
        let warned = scratch.pack("skip").expect_code(0).stderr();
        assert!(
            warned.contains("skipped") && warned.contains("line 2"),
            "{shown}: {warned}"
        );
        let ledger = Manifest::read(&scratch.path("skip"))
            .unwrap()
            .ledger
            .total
            .documents;
        assert_eq!((ledger.read, ledger.bad, ledger.used), (3, 1, 2), "{shown}");
        assert_eq!(scratch.findings("skip", Level::Full), []);
    }
}

#[test]
fn bad_records_in_the_store_are_held_to_the_limits_of_the_present_recipe() {
    let scratch = Scratch::new();
    scratch.write("a.jsonl", jsonl(["good"]) + "{}\n{}\n" + &jsonl(["good"]));
    for (index, (limits, code)) in [
        ("on_bad_record: skip", 0),
        ("on_bad_record: fail", 3),
        ("on_bad_record: skip, max_bad_records: 1", 3),
        ("on_bad_record: skip, max_bad_records: 2", 0),
    ]
    .into_iter()
    .enumerate()
    {
        scratch.write(
            "recipe.yaml",
            recipe(&["a.jsonl"], &format!("limits: {{ {limits} }}\n")),
        );
        let error = scratch.pack(&format!("out-{index}")).expect_code(code).stderr();
        assert!(code == 0 || error.contains("line 2"), "{limits}: {error}");
    }
}

#[test]
fn odd_records_keep_exactly_their_text() {
    let nesting = ("[".repeat(1 << 20), "]".repeat(1 << 20));
    let deep = format!("{{\"x\": {}1{}, \"text\": \"a\"}}", nesting.0, nesting.1);
    let cases: [(&[u8], &str); 10] = [
        (
            b"{\"text\": \"a\", \"x\": 1e999, \"y\": 99999999999999999999}",
            "a",
        ),
        (b"{\"x\": NaN, \"text\": \"a\"}", "a"),
        (deep.as_bytes(), "a"),
        (b"\xef\xbb\xbf{\"text\": \"a\"}", "a"),
        (b"{\"text\": \"a\\r\\nb\"}\r", "a\r\nb"),
        (b"{\"text\": \"a\\u0000b\"}", "a\0b"),
        (b"{\"text\": \"a\\u2028b\"}", "a\u{2028}b"),
        (b"{\"text\": \"\\ud83d\\ude00\"}", "\u{1f600}"),
        (b"{\"text\": \"e\\u0301\"}", "\u{e9}"),
        (b"\n\n{\"text\": \"a\"}\n\n", "a"),
    ];
    for (line, text) in cases {
        let scratch = Scratch::new();
        scratch.write("a.jsonl", line);
        scratch.write("recipe.yaml", recipe(&["a.jsonl"], ""));
        scratch.pack("out").expect_code(0);
        let expected = [ids(text), vec![EOD]].concat();
        let found = put_together(&scratch.open("out"));
        assert_eq!(found[&0], expected, "{text:?}");
        assert_eq!(found.len(), 1);
    }
}

#[test]
fn a_text_cannot_forge_a_boundary_unless_the_recipe_allows_it() {
    let scratch = Scratch::new();
    scratch.write("a.jsonl", jsonl(["before<|endoftext|>after <|mdm_mask|>"]));
    let plain = recipe(&["a.jsonl"], "");
    let allowed = plain.replace("  mask:", "  special_tokens: allow\n  mask:");
    assert_ne!(plain, allowed);
    for (text, n_eod, n_mask) in [(plain, 1, 0), (allowed, 2, 1)] {
        let out = format!("out-{n_eod}");
        scratch.write("recipe.yaml", text);
        scratch.pack(&out).expect_code(0);
        let tokens = &put_together(&scratch.open(&out))[&0];
        let count = |id| tokens.iter().filter(|&&token| token == id).count();
        assert_eq!((count(EOD), count(8188)), (n_eod, n_mask));
        assert_eq!(tokens.last(), Some(&EOD));
    }
}

#[test]
fn special_tokens_outside_the_vocabulary_are_refused_before_anything_is_read() {
    let scratch = Scratch::with_corpus(3, "");
    let plain = fs::read_to_string(scratch.path("recipe.yaml")).unwrap();
    let cases = [
        ("eod: \"<|endoftext|>\"", "eod: \"<|endoftex|>\"", "<|endoftext|>"),
        ("eod: \"<|endoftext|>\"", "eod: 8192", "8191"),
        ("eod: \"<|endoftext|>\"", "eod: 4294967295", "8191"),
        ("mask: \"<|mdm_mask|>\"", "mask: no such token", "no such token"),
        ("mask: \"<|mdm_mask|>\"", "pad: 9000", "8191"),
        ("mask: \"<|mdm_mask|>\"", "vocab_size: 8191", "8191"),
    ];
    for (from, to, message) in cases {
        scratch.write("recipe.yaml", plain.replace(from, to));
        let error = scratch.pack("out").expect_code(2).stderr();
        assert!(error.contains(message), "{to}: {error}");
        assert_eq!(
            files_below(&scratch.path("store")),
            [""; 0].map(std::path::PathBuf::from)
        );
    }
}

#[test]
fn hostile_tokenizers_are_refused_in_little_time_and_memory() {
    let whole: Value =
        serde_json::from_slice(&fs::read(fixture("tokenizer/tokenizer.json")).unwrap()).unwrap();
    let changed = |pointer: &str, value: Value| {
        let mut file = whole.clone();
        *file.pointer_mut(pointer).unwrap() = value;
        file.to_string()
    };
    let regex = |pattern: &str| changed("/pre_tokenizer/pretokenizers/0/pattern/Regex", json!(pattern));
    let cases = [
        ("nesting", "[".repeat(100_000)),
        ("deep object", "{\"model\":".repeat(100_000)),
        ("not JSON", "\0".repeat(1000)),
        ("empty file", String::new()),
        ("no model", "{}".into()),
        (
            "sparse id",
            changed("/added_tokens/0/id", json!(4_000_000_000u64)),
        ),
        ("id over 2^31", changed("/added_tokens/0/id", json!(1u64 << 31))),
        ("negative id", changed("/added_tokens/0/id", json!(-1))),
        ("bad merge", changed("/model/merges/0", json!(["a", "nothing"]))),
        ("merge of nothing", changed("/model/merges/0", json!([]))),
        ("empty vocabulary", changed("/model/vocab", json!({}))),
        ("unknown model", changed("/model/type", json!("Oracle"))),
        (
            "unknown normalizer",
            changed("/normalizer", json!({"type": "Oracle"})),
        ),
        ("dropout", changed("/model/dropout", json!(0.5))),
        ("no regular expression", regex("(")),
        ("catastrophic", regex("(a+)+$|(a|aa)+b")),
        ("catastrophic digits", regex(r"(\d+\d+)+x")),
    ];
    for (name, file) in cases {
        let scratch = Scratch::with_corpus(3, "");
        let plain = fs::read_to_string(scratch.path("recipe.yaml")).unwrap();
        let (before, after) = plain.split_once("  file: ").unwrap();
        let after = after.split_once('\n').unwrap().1;
        scratch.write("recipe.yaml", format!("{before}  file: tokenizer.json\n{after}"));
        scratch.write("tokenizer.json", file);
        let output = pack_limited(&scratch, 1536);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", output.stderr());
        assert!(
            output.stderr().contains("tokenizer.json"),
            "{name}: {}",
            output.stderr()
        );
    }
}

#[test]
fn long_runs_without_white_space_are_packed() {
    let mut random = Random(4);
    let mut letters = |alphabet: &str| -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        (0..1 << 20)
            .map(|_| alphabet[random.below(alphabet.len())])
            .collect()
    };
    let texts = [
        "a".repeat(1 << 20),
        " ".repeat(1 << 20),
        "7".repeat(1 << 20),
        "\n".repeat(1 << 20),
        "中".repeat(1 << 18),
        letters("ACGT"),
        letters("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
        format!("e{}", "\u{301}".repeat(1 << 16)),
    ];
    let scratch = Scratch::new();
    scratch.write("a.jsonl", jsonl(&texts));
    scratch.write("recipe.yaml", recipe(&["a.jsonl"], ""));
    pack_limited(&scratch, 4096).expect_code(0);
    let found = put_together(&scratch.open("out"));
    assert_eq!(found.len(), texts.len());
    assert_eq!(scratch.findings("out", Level::Full), []);
}

#[test]
fn secrets_in_a_recipe_are_never_shown() {
    const CANARY: &str = "SECRETCANARY";
    let urls = [
        format!("s3://key:{CANARY}@bucket/a.jsonl"),
        format!("https://host/a.jsonl?X-Amz-Signature={CANARY}"),
        format!("https://user:{CANARY}@host/a.jsonl?sig={CANARY}"),
    ];
    let scratch = Scratch::with_corpus(3, "");
    for url in urls {
        let tokenizer = fixture("tokenizer/tokenizer.json");
        let tokenizer = tokenizer.to_str().unwrap();
        let recipes = [
            recipe(&[&url], ""),
            recipe(&["corpus.jsonl"], "").replace(tokenizer, &url),
            recipe(
                &["corpus.jsonl"],
                &format!("run: {{ store: {url:?}, out: {url:?}, thread: 1 }}\n"),
            ),
            recipe(&["corpus.jsonl"], &format!("secret: {url:?}\n")),
            recipe_of(&[&format!("{{ name: a, path: {url:?} }}")], ""),
            recipe_of(&[&format!("{{ name: a, paths: {url:?} }}")], ""),
            recipe_of(&[&format!("{{ name: a, paths: [b, {url:?}, {{ }}] }}")], ""),
        ];
        for text in recipes {
            scratch.write("recipe.yaml", &text);
            for args in [["pack", "recipe.yaml"], ["plan", "recipe.yaml"]] {
                let output = scratch
                    .command(&args)
                    .args(["--json", "--color", "always"])
                    .output()
                    .unwrap();
                assert_ne!(output.status.code(), Some(0));
                let all = output.stdout() + &output.stderr();
                assert!(!all.contains(CANARY), "{text}\n{all}");
            }
        }
    }
}

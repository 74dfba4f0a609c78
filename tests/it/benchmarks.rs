//! Benchmarks with a real tokenizer, and a packed dataset compared with their texts.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};
use ultrapack::eval::niah::{Niah, NiahSettings};
use ultrapack::eval::ruler::{Ruler, RulerSettings, Task};
use ultrapack::eval::{Benchmark, Meter, Suite};

use crate::scratch::{Finished, Scratch, fixture, jsonl, recipe, tokenizer};

fn n_tokens(text: &str) -> usize {
    Meter::count(tokenizer(), text).unwrap()
}

#[test]
fn prompts_of_a_real_tokenizer_are_never_over_their_length_and_near_it() {
    let novel = fixture("corpus/books/treasure_island.txt");
    for haystack in [None, Some(novel.clone())] {
        let settings = NiahSettings {
            lengths: vec![1500, 6000],
            depths: vec![0.0, 37.5, 100.0],
            repeats: 1,
            haystack,
            ..NiahSettings::default()
        };
        let niah = Niah::new(settings, tokenizer()).unwrap();
        for index in 0..niah.n_cases() {
            let item = niah.item(index).unwrap();
            let n = n_tokens(&item.prompt) + item.max_new_tokens as usize;
            let length = item.case.length.unwrap() as usize;
            assert!((length - 20..=length).contains(&n), "{}: {n}", item.case.id);
        }
    }
    for suite in [Suite::Official, Suite::Port] {
        let settings = RulerSettings {
            suite,
            lengths: vec![4096],
            tasks: Task::ALL[..11].to_vec(),
            samples: 1,
            seed: 1,
            essays: Some(novel.clone()),
            squad: None,
            hotpotqa: None,
            end_with_newlines: false,
        };
        let ruler = Ruler::new(settings, tokenizer()).unwrap();
        for index in 0..ruler.n_cases() {
            let item = ruler.item(index).unwrap();
            let n = n_tokens(&item.prompt);
            // The port grows by 25 needles at a time, which are 2,000 tokens of UUIDs.
            assert!((2000..=4096).contains(&n), "{suite:?} {}: {n}", item.case.id);
        }
    }
}

/// A file of LongBench with one record.
fn record(dataset: &str, context: &str) -> String {
    let record = json!({
        "input": "Why?", "context": context, "answers": ["Because nobody asked before."], "dataset": dataset,
        "all_classes": null, "_id": "1", "language": "en", "length": 1
    });
    format!("{record}\n{{\"input\": \"cut o")
}

/// A dataset of a novel in two documents, and LongBench files: one quotes it, one does not.
fn contaminated(quoted: &str) -> Scratch {
    let novel = fs::read_to_string(fixture("corpus/books/treasure_island.txt")).unwrap();
    let scratch = Scratch::new();
    scratch.write(
        "corpus.jsonl",
        jsonl([&novel[1000..9000], &novel[50_000..90_000]]),
    );
    scratch.write("recipe.yaml", recipe(&["corpus.jsonl"], ""));
    scratch.pack("out").expect_code(0);
    scratch.write("bench/qasper.jsonl", record("qasper", quoted));
    scratch.write(
        "bench/musique.jsonl",
        record(
            "musique",
            "Nothing of the kind has ever been written in a book of the sea, as far as we know.",
        ),
    );
    scratch
}

fn overlap(scratch: &Scratch, more: &[&str]) -> Value {
    let args = [&["overlap", "out", "--longbench", "bench", "--json"], more].concat();
    let output = scratch.ultrapack(&args).expect_code(0);
    let result: Value = serde_json::from_str(&output.stdout()).unwrap();
    result["overlap"].clone()
}

#[test]
fn a_quoted_passage_is_found_with_its_place_on_both_sides() {
    let novel = fs::read_to_string(fixture("corpus/books/treasure_island.txt")).unwrap();
    // Somewhere inside the second document, between white space.
    let from = 60_000 + novel[60_000..].find(' ').unwrap();
    let quote = &novel[from..from + 900];
    let scratch = contaminated(&format!("As somebody wrote:{quote} and so on."));
    let report = overlap(&scratch, &[]);
    let task = |name: &str| {
        let tasks = report["tasks"].as_array().unwrap();
        tasks.iter().find(|task| task["task"] == name).unwrap().clone()
    };
    let (qasper, musique) = (task("longbench/qasper"), task("longbench/musique"));
    assert_eq!(
        (&qasper["n_texts"], &qasper["n_texts_met"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(musique["n_grams_met"], 0);
    let passage = &qasper["examples"][0];
    assert_eq!(passage["text"], "line 1");
    // The tokens at both ends may be others than in the novel.
    let n_units = passage["n_units"].as_u64().unwrap() as usize;
    assert!(
        (n_tokens(quote) - 6..=n_tokens(quote)).contains(&n_units),
        "{n_units}"
    );
    assert!(quote.contains(passage["begins"].as_str().unwrap().trim_end_matches('\u{fffd}')));
    assert_eq!(
        (&passage["source"], &passage["record"]),
        (&json!("s0"), &json!(1))
    );
    // The passage stands in the dataset where the report says.
    let dataset = scratch.open("out");
    let row = dataset.row(passage["row"].as_u64().unwrap()).unwrap();
    let at = passage["position"].as_u64().unwrap() as usize;
    let there = tokenizer().decode(&row.tokens[at..at + 13]).unwrap();
    assert!(passage["begins"].as_str().unwrap().starts_with(&there), "{there}");
}

#[test]
fn words_are_found_where_white_space_and_case_have_changed() {
    let novel = fs::read_to_string(fixture("corpus/books/treasure_island.txt")).unwrap();
    let quote = novel[60_000..60_900].to_uppercase();
    let quote: Vec<&str> = quote.split_whitespace().collect();
    let scratch = contaminated(&quote.join("  "));
    let met = |report: &Value| {
        report["tasks"][0]["n_grams_met"].as_u64().unwrap()
            + report["tasks"][1]["n_grams_met"].as_u64().unwrap()
    };
    assert_eq!(met(&overlap(&scratch, &[])), 0);
    assert!(met(&overlap(&scratch, &["--unit", "words"])) > 100);
}

#[test]
fn what_cannot_be_compared_is_refused_and_what_is_left_out_is_told() {
    let scratch = contaminated("x");
    let output = scratch.ultrapack(&["overlap", "out"]).expect_code(2);
    assert!(
        output.stderr().contains("nothing to look for"),
        "{}",
        output.stderr()
    );
    let output = scratch
        .ultrapack(&["overlap", "out", "--longbench", "."])
        .expect_code(2);
    assert!(
        output.stderr().contains("no file of LongBench"),
        "{}",
        output.stderr()
    );
    let output = scratch
        .ultrapack(&["overlap", "out", "--longbench", "bench"])
        .expect_code(0);
    assert!(output.stderr().contains("line 2, byte "), "{}", output.stderr());
    assert!(
        output.stdout().contains("longbench/qasper"),
        "{}",
        output.stdout()
    );
    scratch
        .ultrapack(&["overlap", "bench", "--longbench", "bench"])
        .expect_code(10);
}

fn score(input: &str, args: &[&str]) -> std::process::Output {
    let mut child = Scratch::new()
        .command(&[&["score"], args].concat())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn kept_predictions_are_scored_again_by_task() {
    let line = |task: &str, prediction: &str| {
        json!({ "case": { "id": "x", "task": task }, "gold": { "metric": "f1", "references": ["the cat"] }, "prediction": prediction })
            .to_string()
    };
    let input = [line("a", "cat"), line("a", "dog"), line("b", "A cat!")].join("\n");
    let output = score(&input, &[]).expect_code(0);
    let cells: Vec<Vec<String>> = output
        .stdout()
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect();
    assert_eq!(cells[1..], [["a", "2", "50.00"], ["b", "1", "100.00"]]);
    let output = score(&input, &["--json"]).expect_code(0);
    let result: Value = serde_json::from_str(&output.stdout()).unwrap();
    assert_eq!(result["scores"][0], json!({ "value": 100.0 }));
}

#[test]
fn a_prediction_that_cannot_be_scored_ends_with_its_line() {
    let good = r#"{"gold":{"metric":"f1","references":["a"]},"prediction":"a"}"#;
    let output = score(&format!("{good}\n{{\"gold\": \u{1b}[31m"), &[]).expect_code(3);
    assert!(
        output.stderr().contains("`standard input`, line 2, byte 61"),
        "{}",
        output.stderr()
    );
    assert!(!output.stderr().contains('\u{1b}'), "{}", output.stderr());
    score("", &["no/such/file"]).expect_code(74);
}

//! `eval` and `generate` as programs: over a small random model, what is kept, resumed, skipped and refused.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use candle_core::{DType, Device};
use serde_json::Value;
use ultrapack::model::{Config, Model, RopeScaling};

use crate::scratch::{Finished, Scratch, fixture, overwrite};

/// A directory with a random model in `model`, made for 512 tokens, its tokenizer beside it, and a text.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let config = Config::named("tiny", 8192, 8188, 8185).unwrap();
    let model = Model::init(config, &RopeScaling::NONE, 0, &Device::Cpu, DType::F32).unwrap();
    model.save(&scratch.path("model"), DType::F32).unwrap();
    let config = scratch.path("model/config.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    json["max_sequence_length"] = 512.into();
    overwrite(&config, json.to_string());
    fs::copy(
        fixture("tokenizer/tokenizer.json"),
        scratch.path("model/tokenizer.json"),
    )
    .unwrap();
    fs::copy(
        fixture("corpus/books/treasure_island.txt"),
        scratch.path("book.txt"),
    )
    .unwrap();
    scratch
}

/// Needles and perplexity, small.
const SMALL: [&str; 17] = [
    "eval",
    "--model",
    "model",
    "--tasks",
    "niah,ppl",
    "--lengths",
    "256,512",
    "--depths",
    "0,100",
    "--limit",
    "2",
    "--text",
    "book.txt",
    "--draws",
    "2",
    "--tokens-per-step",
    "8",
];

fn eval(scratch: &Scratch, out: &str, more: &[&str]) -> Command {
    scratch.command(&[&SMALL[..], &["--out", out, "--device", "cpu"], more].concat())
}

fn run(scratch: &Scratch, out: &str, more: &[&str]) -> Output {
    eval(scratch, out, more).output().unwrap()
}

fn lines(scratch: &Scratch, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(scratch.path(file)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The results, in an order of their own and without times.
fn results(scratch: &Scratch, out: &str) -> Vec<String> {
    let mut all = Vec::new();
    for file in ["predictions.jsonl", "perplexity.jsonl"] {
        for mut line in lines(scratch, &format!("{out}/{file}")) {
            line.as_object_mut().unwrap().remove("secs");
            all.push(line.to_string());
        }
    }
    all.sort();
    all
}

/// The summary without times.
fn summary(scratch: &Scratch, out: &str) -> Value {
    let bytes = fs::read(scratch.path(out).join("summary.json")).unwrap();
    let mut summary: Value = serde_json::from_slice(&bytes).unwrap();
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.remove("secs");
                map.values_mut().for_each(strip);
            }
            Value::Array(list) => list.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut summary);
    summary
}

#[test]
fn a_run_keeps_predictions_and_writes_tables_pictures_and_a_page() {
    let scratch = scratch();
    let output = run(&scratch, "out", &[]).expect_code(0);
    let text = output.stdout();
    for expected in [
        "NeedleBench score",
        "answers with the keyword",
        "Perplexity by length",
        "passes",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    let predictions = lines(&scratch, "out/predictions.jsonl");
    assert_eq!(predictions.len(), 8);
    for line in &predictions {
        assert_eq!(
            (line["n_new"].as_u64(), line["n_steps"].as_u64()),
            (Some(32), Some(4)),
            "{line}"
        );
        assert_eq!(line["n_forwards"], line["n_steps"]);
        assert!(line["prediction"].is_string() && line["gold"].is_object());
    }
    // Two texts at two lengths.
    assert_eq!(lines(&scratch, "out/perplexity.jsonl").len(), 4);
    let summary = summary(&scratch, "out");
    let subject = &summary["eval"]["subjects"][0];
    assert_eq!(subject["benchmarks"][0]["n_answered"], 8);
    assert_eq!(subject["perplexity"]["points"].as_array().unwrap().len(), 2);
    let page = fs::read_to_string(scratch.path("out/report.html")).unwrap();
    assert!(page.contains("default-src 'none'") && !page.contains("<script"));
    for picture in ["niah", "perplexity"] {
        let svg = fs::read_to_string(scratch.path(&format!("out/{picture}.svg"))).unwrap();
        assert!(svg.starts_with("<svg"));
        let png = fs::read(scratch.path(&format!("out/{picture}.png"))).unwrap();
        assert!(png.starts_with(b"\x89PNG"));
    }
    // The kept predictions can be scored again, to the same scores.
    let scores = scratch
        .ultrapack(&["score", "out/predictions.jsonl", "--json"])
        .expect_code(0);
    let scores: Value = serde_json::from_str(&scores.stdout()).unwrap();
    let again: Vec<&Value> = scores["scores"].as_array().unwrap().iter().collect();
    let before: Vec<&Value> = predictions.iter().map(|line| &line["score"]).collect();
    assert_eq!(again, before);
}

#[test]
fn what_is_finished_is_never_run_again_and_more_is_added_to_it() {
    let scratch = scratch();
    run(&scratch, "out", &[]).expect_code(0);
    let before = fs::read(scratch.path("out/predictions.jsonl")).unwrap();
    let started = Instant::now();
    run(&scratch, "out", &[]).expect_code(0);
    assert!(started.elapsed() < Duration::from_secs(60));
    assert_eq!(fs::read(scratch.path("out/predictions.jsonl")).unwrap(), before);
    // Another depth: the old cells stay as they are.
    let mut more = SMALL;
    more[8] = "0,50,100";
    let args = [&more[..], &["--out", "out"]].concat();
    scratch.ultrapack(&args).expect_code(0);
    let after = fs::read(scratch.path("out/predictions.jsonl")).unwrap();
    assert!(after.starts_with(&before));
    assert_eq!(lines(&scratch, "out/predictions.jsonl").len(), 12);
    // Another sampling is another result.
    scratch
        .ultrapack(&[&args[..], &["--cache", "dual"]].concat())
        .expect_code(0);
    assert_eq!(lines(&scratch, "out/predictions.jsonl").len(), 24);
}

#[test]
fn a_killed_run_goes_on_to_the_same_results_and_runs_nothing_twice() {
    let scratch = scratch();
    run(&scratch, "whole", &[]).expect_code(0);
    let mut child = eval(&scratch, "killed", &[])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let file = scratch.path("killed/predictions.jsonl");
    let written = || fs::read_to_string(&file).map_or(0, |text| text.lines().count());
    let deadline = Instant::now() + Duration::from_secs(120);
    while written() < 2 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = fs::read_to_string(&file).unwrap();
    // A line that was cut off by the kill.
    let torn = format!("{kept}{{\"subject\":\"model\",\"settings\":\"bl");
    overwrite(&file, torn);
    run(&scratch, "killed", &[]).expect_code(0);
    assert!(fs::read_to_string(&file).unwrap().starts_with(&kept));
    assert_eq!(results(&scratch, "killed"), results(&scratch, "whole"));
    assert_eq!(summary(&scratch, "killed"), summary(&scratch, "whole"));
}

#[test]
fn prompts_beyond_the_length_of_a_model_are_counted_and_a_scaling_reaches_them() {
    let scratch = scratch();
    let output = run(
        &scratch,
        "out",
        &[
            "--max-len",
            "300",
            "--compare",
            "rope=diffusion-ntk,train-len=300,target-len=600,max-len=600",
        ],
    )
    .expect_code(0);
    assert!(
        output
            .stdout()
            .contains("4 of 8 prompts of niah are longer than 300 tokens"),
        "{}",
        output.stdout()
    );
    assert!(output.stdout().contains("side by side"), "{}", output.stdout());
    let summary = summary(&scratch, "out");
    let [plain, scaled] = &summary["eval"]["subjects"].as_array().unwrap()[..] else {
        panic!("{summary}");
    };
    assert_eq!(plain["benchmarks"][0]["n_too_long"], 4);
    assert_eq!(plain["perplexity"]["beyond"], serde_json::json!([512]));
    // A mean that lacks prompts is not given.
    let tables = &plain["benchmarks"][0]["tables"][0];
    assert_eq!(tables["rows"][0]["cells"][1], Value::Null);
    assert_eq!(scaled["benchmarks"][0]["n_answered"], 8);
    assert_eq!(scaled["perplexity"]["points"].as_array().unwrap().len(), 2);
    assert_eq!(scaled["rope"]["method"], "diffusion_ntk");
}

#[test]
fn perplexity_over_a_packed_dataset_keeps_its_boundaries() {
    let scratch = scratch();
    scratch.write(
        "corpus.jsonl",
        crate::scratch::jsonl(crate::scratch::passages(40, 60, 1)),
    );
    for boundary in ["direct", "adaptive"] {
        let more = format!("pack: {{ seq_len: 256, boundary: {boundary}, eod: false }}\n");
        scratch
            .pack_here(&crate::scratch::recipe(&["corpus.jsonl"], &more), boundary, 1)
            .unwrap();
        let args = [
            "eval",
            "--model",
            "model",
            "--tasks",
            "ppl",
            "--lengths",
            "128,256",
            "--estimator",
            "chunks",
        ];
        let more = [
            "--draws",
            "1",
            "--dataset",
            boundary,
            "--limit",
            "1",
            "--out",
            "out",
        ];
        scratch.ultrapack(&[&args[..], &more].concat()).expect_code(0);
    }
    // Both runs measure chunks that end at 128, 192 and 256, on other sequences or other boundaries.
    let measured = lines(&scratch, "out/perplexity.jsonl");
    assert_eq!(measured.len(), 6);
    assert_ne!(measured[0]["settings"], measured[3]["settings"]);
    assert_ne!(measured[0]["draws"], measured[3]["draws"]);
}

#[test]
fn wrong_input_is_one_clear_error() {
    let scratch = scratch();
    scratch.write("latin1.txt", b"caf\xe9 noir");
    scratch.write("short.txt", "short");
    fs::create_dir(scratch.path("empty")).unwrap();
    let ppl = ["eval", "--model", "model", "--tasks", "ppl", "--lengths", "256"];
    let niah = ["eval", "--model", "model", "--tasks", "niah", "--lengths", "256"];
    let cases: Vec<(Vec<&str>, i32, &str)> = vec![
        (
            vec!["eval", "--model", "nowhere", "--tasks", "niah"],
            74,
            "nowhere/config.json",
        ),
        (
            vec!["eval", "--model", "model", "--tasks", "needle"],
            2,
            "expected niah, ruler, longbench or ppl",
        ),
        (
            vec!["eval", "--model", "model", "--tasks", "longbench"],
            2,
            "--longbench-data",
        ),
        (
            vec![
                "eval",
                "--model",
                "model",
                "--tasks",
                "longbench:qasper",
                "--longbench-data",
                "empty",
            ],
            3,
            "empty/qasper.jsonl",
        ),
        (
            vec![
                "eval",
                "--model",
                "model",
                "--tasks",
                "ruler:qa_squad",
                "--lengths",
                "4K",
            ],
            2,
            "qa_squad needs",
        ),
        (ppl.to_vec(), 2, "perplexity needs texts"),
        (
            [&ppl[..], &["--text", "latin1.txt"]].concat(),
            3,
            "`latin1.txt`, byte 3: not UTF-8",
        ),
        (
            [&ppl[..], &["--text", "short.txt"]].concat(),
            3,
            "no text has 256 tokens; the longest has",
        ),
        (
            [&ppl[..], &["--dataset", "empty"]].concat(),
            10,
            "is not a dataset",
        ),
        (
            [&niah[..], &["--rope", "ntk"]].concat(),
            2,
            "needs a target length",
        ),
        (
            [&niah[..], &["--target-len", "4K"]].concat(),
            2,
            "needs a RoPE scaling",
        ),
        (
            [&niah[..], &["--rope", "better"]].concat(),
            2,
            "there is no RoPE scaling `better`",
        ),
        (
            [&niah[..], &["--compare", "rope"]].concat(),
            2,
            "`rope` is not key=value",
        ),
        (
            [&niah[..], &["--compare", "max-len=512"]].concat(),
            2,
            "two subjects are called `model`",
        ),
        (
            [&niah[..], &["--tokenizer", "short.txt"]].concat(),
            2,
            "tokenizer `short.txt`",
        ),
        ([&niah[..], &["--temperature=-1"]].concat(), 2, "temperature"),
        (
            vec![
                "generate",
                "--model",
                "model",
                "--prompt",
                "a",
                "--max-new",
                "10",
                "--block",
                "4",
            ],
            2,
            "blocks of 4",
        ),
        (
            vec!["generate", "--model", "model", "--prompt-file", "latin1.txt"],
            3,
            "not UTF-8",
        ),
        (
            vec!["generate", "--model", "model", "--prompt-file", "book.txt"],
            2,
            "the model reaches 512",
        ),
    ];
    for (args, code, expected) in cases {
        let output = scratch.ultrapack(&args);
        let stderr = output.stderr();
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{stderr}");
        assert!(stderr.contains(expected), "{args:?}\n{stderr}");
        assert!(!stderr.contains("panicked"), "{args:?}\n{stderr}");
    }
}

#[test]
fn a_damaged_line_of_results_is_named_and_never_passed_over() {
    let scratch = scratch();
    run(&scratch, "out", &[]).expect_code(0);
    let file = scratch.path("out/predictions.jsonl");
    let text = fs::read_to_string(&file)
        .unwrap()
        .replacen("\"score\"", "\"scoer\"", 1);
    overwrite(&file, text);
    let output = run(&scratch, "out", &[]).expect_code(4);
    assert!(
        output.stderr().contains("predictions.jsonl`: line 1"),
        "{}",
        output.stderr()
    );
}

#[test]
fn generate_answers_the_same_for_the_same_seed_and_reports_its_cost() {
    let scratch = scratch();
    let args = [
        "generate",
        "--model",
        "model",
        "--prompt",
        "Call me",
        "--max-new",
        "16",
        "--temperature",
        "0.7",
    ];
    let answer = |more: &[&str]| -> Value {
        let output = scratch
            .ultrapack(&[&args[..], &["--json"], more].concat())
            .expect_code(0);
        serde_json::from_str::<Value>(&output.stdout()).unwrap()["generate"].clone()
    };
    let first = answer(&["--seed", "1"]);
    assert_eq!(first["tokens"], answer(&["--seed", "1"])["tokens"]);
    assert_ne!(first["tokens"], answer(&["--seed", "2"])["tokens"]);
    assert_eq!(
        (&first["n_steps"], &first["n_forwards"]),
        (&16.into(), &16.into())
    );
    let cached = answer(&["--cache", "dual", "--block", "8"]);
    assert_eq!(
        (&cached["n_forwards"], &cached["n_partial"]),
        (&2.into(), &14.into())
    );
    let output = scratch.ultrapack(&args).expect_code(0);
    assert!(
        output.stderr().contains("16 passes over the sequence"),
        "{}",
        output.stderr()
    );
    // Whatever the model says, nothing reaches the terminal but text.
    let acts = |byte: &u8| *byte < 0x20 && *byte != b'\n';
    assert!(!output.stdout.iter().any(acts));
}

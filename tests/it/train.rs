//! Training runs, from recipe and shards to checkpoints, and everything that must agree before the first step.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use candle_core::{DType, Device};
use serde_json::Value;
use ultrapack::dataset::RealTokens;
use ultrapack::disk::Lock;
use ultrapack::model::{Config, LoadOptions, Model, RopeScaling, Tokens};
use ultrapack::train::objective::{Masked, StepSeed};
use ultrapack::train::{Prepared, forward, recipe};

use crate::scratch::{Finished, Scratch, files_below, hashes, overwrite};

/// A small run on the dataset `out`.
pub const RECIPE: &str = "\
version: 1
model: { size: tiny }
data: { dataset: out }
optimizer: { lr: 0.003 }
objective: { random_length: 0 }
batch: { sequences: 2 }
steps: 8
checkpoint: { every: 3, keep: 2 }
";

/// A directory with a small dataset in `out` and `train.yaml`.
pub fn scratch(recipe: &str) -> Scratch {
    let scratch = Scratch::packed(60, "pack: { seq_len: 128 }\n");
    scratch.write("train.yaml", recipe);
    scratch
}

/// `train` into `NAME`, quietly.
pub fn train(scratch: &Scratch, name: &str, more: &[&str]) -> Command {
    let args = ["train", "train.yaml", "--quiet", "--device", "cpu", "--out", name];
    scratch.command(&[&args[..], more].concat())
}

fn run(scratch: &Scratch, name: &str, more: &[&str]) -> Output {
    train(scratch, name, more).output().unwrap()
}

/// The lines of `metrics.jsonl` that hold this key, as step and value.
pub fn metrics(scratch: &Scratch, name: &str, key: &str) -> Vec<(u64, f64)> {
    let text = fs::read_to_string(scratch.path(name).join("metrics.jsonl")).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter_map(|line| Some((line["step"].as_u64()?, line.get(key)?.as_f64()?)))
        .collect()
}

/// Saves a model of the size `tiny` with another vocabulary or mask token.
fn model_of(scratch: &Scratch, name: &str, vocab_size: usize, mask: u32) {
    let config = Config::named("tiny", vocab_size, mask, 8185.min(mask - 1)).unwrap();
    let model = Model::init(config, &RopeScaling::NONE, 0, &Device::Cpu, DType::F32).unwrap();
    model.save(&scratch.path(name), DType::F32).unwrap();
}

fn load(directory: &Path) -> Model {
    let options = LoadOptions {
        device: Device::Cpu,
        dtype: DType::F32,
        rope: RopeScaling::NONE,
    };
    Model::load(directory, &options).unwrap()
}

#[test]
fn the_loss_falls_within_twenty_steps_and_everything_is_written() {
    let recipe = RECIPE.replace(
        "steps: 8",
        "steps: 20\neval: { dataset: out, every: 10, sequences: 4 }",
    );
    let scratch = scratch(&recipe);
    run(&scratch, "run", &[]).expect_code(0);
    let ce: Vec<f64> = metrics(&scratch, "run", "masked_ce")
        .iter()
        .map(|(_, ce)| *ce)
        .collect();
    assert_eq!(ce.len(), 20);
    let (first, last) = (
        ce[..4].iter().sum::<f64>() / 4.0,
        ce[16..].iter().sum::<f64>() / 4.0,
    );
    assert!(first > 8.5 && last < first - 1.0, "{ce:?}");
    let eval = metrics(&scratch, "run", "eval_loss");
    assert!(
        eval.len() == 2 && eval[0].0 == 10 && eval[1].1 < eval[0].1,
        "{eval:?}"
    );
    for (_, weight) in metrics(&scratch, "run", "largest_weight") {
        assert!((1.0..=1000.0).contains(&weight), "{weight}");
    }
    let events = files_below(&scratch.path("run"));
    assert!(
        events
            .iter()
            .any(|path| path.to_string_lossy().contains("events.out.tfevents"))
    );

    // The checkpoint is a model as published, and only the newest two are kept.
    let steps = fs::read_dir(scratch.path("run")).unwrap();
    let steps = steps.filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir());
    assert_eq!(steps.count(), 2);
    let model = load(&scratch.path("run/step-00000020"));
    assert_eq!(model.config().mask_id, 8188);
    assert_eq!(
        fs::read(scratch.path("run/step-00000020/tokenizer.json")).unwrap(),
        fs::read(scratch.path("out/tokenizer.json")).unwrap()
    );
}

#[test]
fn the_number_of_threads_and_stops_on_the_way_change_no_byte() {
    let scratch = scratch(RECIPE);
    run(&scratch, "one", &["--threads", "1"]).expect_code(0);
    run(&scratch, "two", &["--threads", "2", "--steps", "2"]).expect_code(0);
    run(&scratch, "two", &["--threads", "3", "--steps", "5"]).expect_code(0);
    run(&scratch, "two", &["--threads", "2"]).expect_code(0);
    assert_eq!(
        hashes(&scratch.path("one/step-00000008")),
        hashes(&scratch.path("two/step-00000008"))
    );
    assert_eq!(metrics(&scratch, "one", "loss"), metrics(&scratch, "two", "loss"));
    // From a checkpoint that is not the newest, into a directory of its own.
    run(&scratch, "three", &["--resume-from", "one/step-00000006"]).expect_code(0);
    assert_eq!(
        hashes(&scratch.path("one/step-00000008")),
        hashes(&scratch.path("three/step-00000008"))
    );
    let again = scratch
        .ultrapack(&["train", "train.yaml", "--out", "one", "--json"])
        .expect_code(0);
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(
        (&again["train"]["resumed_at"], &again["train"]["n_tokens"]),
        (&8.into(), &0.into())
    );
}

#[test]
fn the_loss_of_a_packed_row_is_that_of_its_documents_alone() {
    let scratch = scratch(RECIPE);
    model_of(&scratch, "model", 8192, 8188);
    let model = load(&scratch.path("model"));
    let dataset = scratch.open("out");
    let (row, tokens) = (0..dataset.len())
        .map(|row| (row, dataset.real_tokens(row).unwrap()))
        .find(|(_, tokens)| tokens.segments.len() > 2)
        .expect("a row with several documents");
    let n = tokens.len() as f64;
    let uniform = StepSeed::training(0, row).uniforms(0);
    let packed = Masked::draw(&tokens.segments, &[0.5], 1.0 / n, &uniform);
    let together = forward(&model, &tokens, &packed).unwrap();
    let mut apart = 0.0;
    for bounds in tokens.segments.windows(2) {
        let (from, to) = (bounds[0] as usize, bounds[1] as usize);
        let document = RealTokens {
            ids: tokens.ids[from..to].to_vec(),
            positions: (0..(to - from) as u32).collect(),
            segments: vec![0, (to - from) as u32],
            cu_seqlens: vec![0, (to - from) as u32],
        };
        let masked = Masked::draw(&document.segments, &[0.5], 1.0 / n, |i| uniform(i + bounds[0]));
        apart += forward(&model, &document, &masked).unwrap().weighted;
    }
    assert!(together.n_masked > 20);
    let difference = (together.weighted - apart).abs();
    assert!(
        difference < 1e-5 * together.weighted,
        "{} and {apart}",
        together.weighted
    );
}

#[test]
fn adapters_learn_beside_frozen_weights_and_are_merged_at_the_end() {
    let lora = "model: { path: model }\nlora: { rank: 4, alpha: 8, targets: [q, v, down] }";
    let scratch = scratch(&RECIPE.replace("model: { size: tiny }", lora));
    model_of(&scratch, "model", 8192, 8188);
    run(&scratch, "whole", &[]).expect_code(0);
    run(&scratch, "parts", &["--steps", "4"]).expect_code(0);
    run(&scratch, "parts", &[]).expect_code(0);
    let last = scratch.path("whole/step-00000008");
    let adapters = |of: &Path| hash_of(of, "adapter_model.safetensors");
    assert_eq!(adapters(&last), adapters(&scratch.path("parts/step-00000008")));
    let config: Value = serde_json::from_slice(&fs::read(last.join("adapter_config.json")).unwrap()).unwrap();
    assert_eq!(
        config["target_modules"],
        serde_json::json!(["ff_out", "q_proj", "v_proj"])
    );
    assert!(!last.join("model.safetensors").exists());

    let (base, merged) = (load(&scratch.path("model")), load(&last.join("merged")));
    let changed: Vec<&str> = base
        .params()
        .iter()
        .zip(merged.params())
        .filter(|(a, b)| {
            let numbers =
                |p: &ultrapack::model::Param| p.tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            numbers(a) != numbers(b)
        })
        .map(|(a, _)| a.name.as_str())
        .collect();
    assert_eq!(changed.len(), 6, "{changed:?}");
    let tokens = Tokens {
        ids: &[1, 2, 3],
        positions: &[0, 1, 2],
        cu_seqlens: &[0, 3],
    };
    assert!(merged.hidden(&tokens).is_ok());
    // Another base under the same path is noticed.
    fs::remove_dir_all(scratch.path("model")).unwrap();
    let config = Config::named("tiny", 8192, 8188, 8185).unwrap();
    let other = Model::init(config, &RopeScaling::NONE, 1, &Device::Cpu, DType::F32).unwrap();
    other.save(&scratch.path("model"), DType::F32).unwrap();
    let error = run(&scratch, "parts", &[]).expect_code(5).stderr();
    assert!(error.contains("base: "), "{error}");
}

fn hash_of(directory: &Path, name: &str) -> String {
    blake3::hash(&fs::read(directory.join(name)).unwrap())
        .to_hex()
        .to_string()
}

#[test]
fn what_does_not_agree_is_one_clear_error_before_the_first_step() {
    let scratch = scratch(RECIPE);
    model_of(&scratch, "small", 8000, 7999);
    model_of(&scratch, "mask", 8192, 8191);
    model_of(&scratch, "tokenizer", 8192, 8188);
    scratch.write("tokenizer/tokenizer.json", "{}");
    model_of(&scratch, "cut", 8192, 8188);
    let weights = fs::read(scratch.path("cut/model.safetensors")).unwrap();
    overwrite(
        &scratch.path("cut/model.safetensors"),
        &weights[..weights.len() / 2],
    );
    let path = |name: &str| RECIPE.replace("size: tiny", &format!("path: {name}"));
    let rope = "rope: { method: diffusion_ntk, train_len: 32, target_len: 64 }\n";
    let cases = [
        (path("small"), 2, "has token ids below 8192, the model below 8000"),
        (
            path("mask"),
            2,
            "names 8188 as the mask token, the model masks with 8191",
        ),
        (
            path("tokenizer"),
            2,
            "was packed with another tokenizer than the `tokenizer.json` of `./tokenizer`",
        ),
        (path("cut"), 4, "model.safetensors"),
        (path("nowhere"), 74, "nowhere"),
        (
            RECIPE.to_owned() + rope,
            2,
            "sequences have 128 tokens, but `rope.target_len` is 64",
        ),
        (
            RECIPE.to_owned() + "dtype: bf16\n",
            2,
            "`dtype: bf16` needs a GPU",
        ),
        (
            RECIPE.replace("dataset: out", "dataset: nothing"),
            10,
            "is not a dataset",
        ),
        (
            RECIPE.replace("size: tiny", "size: huge"),
            2,
            "there is no model size `huge`",
        ),
    ];
    for (recipe, code, expected) in cases {
        scratch.write("train.yaml", recipe);
        let error = run(&scratch, "run", &[]).expect_code(code).stderr();
        assert!(error.contains(expected), "expected {expected:?}, found {error}");
        assert_eq!(error.matches("error: ").count(), 1, "{error}");
        fs::remove_dir_all(scratch.path("run")).ok();
    }
}

#[test]
fn a_model_trained_on_shards_of_another_tokenizer_is_refused_by_its_own_record() {
    let scratch = scratch(RECIPE);
    run(&scratch, "run", &["--steps", "1"]).expect_code(0);
    let checkpoint = scratch.path("run/step-00000001");
    fs::remove_file(checkpoint.join("tokenizer.json")).unwrap();
    scratch.write(
        "train.yaml",
        RECIPE.replace("size: tiny", "path: run/step-00000001"),
    );
    run(&scratch, "next", &["--steps", "1"]).expect_code(0);
    let state = fs::read_to_string(checkpoint.join("trainer.json")).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    let digest = state["tokenizer"].as_str().unwrap();
    // A dataset whose manifest names another tokenizer file.
    let manifest = fs::read_to_string(scratch.path("out/manifest.json")).unwrap();
    assert!(manifest.contains(digest));
    let tokenizer = fs::read_to_string(scratch.path("out/tokenizer.json")).unwrap();
    scratch.write("tokenizer.json", format!("{tokenizer}\n"));
    let own = fs::read_to_string(scratch.path("recipe.yaml")).unwrap();
    let fixture = crate::scratch::fixture("tokenizer/tokenizer.json");
    scratch.write(
        "recipe.yaml",
        own.replace(fixture.to_str().unwrap(), "tokenizer.json"),
    );
    scratch.pack("other").expect_code(0);
    let recipe = RECIPE
        .replace("size: tiny", "path: run/step-00000001")
        .replace("dataset: out", "dataset: other");
    scratch.write("train.yaml", recipe);
    let error = run(&scratch, "third", &[]).expect_code(2).stderr();
    assert!(
        error.contains("another tokenizer than the training data of"),
        "{error}"
    );
}

#[test]
fn a_number_that_is_not_finite_stops_the_run_and_names_the_sequence() {
    let scratch = scratch(&RECIPE.replace("size: tiny", "path: model"));
    model_of(&scratch, "model", 8192, 8188);
    // The end of the file is the head's last row: every logit of that token becomes NaN.
    let weights = scratch.path("model/model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let n = bytes.len();
    bytes[n - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    overwrite(&weights, bytes);
    let error = run(&scratch, "run", &[]).expect_code(3).stderr();
    for expected in [
        "step 1: the loss is not finite",
        "epoch 0, position 0: row ",
        "`shard-00000.arrow`, documents ",
    ] {
        assert!(error.contains(expected), "{error}");
    }
    assert!(!scratch.path("run/step-00000001").exists());
}

#[test]
fn an_output_directory_of_another_run_or_process_is_left_alone() {
    let scratch = scratch(RECIPE);
    run(&scratch, "run", &["--steps", "1"]).expect_code(0);
    scratch.write("train.yaml", RECIPE.replace("lr: 0.003", "lr: 0.002"));
    let error = run(&scratch, "run", &[]).expect_code(5).stderr();
    assert!(error.contains("recipe.optimizer.lr: 0.003 -> 0.002"), "{error}");
    scratch.write("train.yaml", RECIPE);
    let lock = Lock::take(&scratch.path("run")).unwrap();
    let error = run(&scratch, "run", &[]).expect_code(11).stderr();
    assert!(
        error.contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    drop(lock);
    run(&scratch, "run", &["--steps", "2"]).expect_code(0);
}

#[test]
fn a_dry_run_tells_memory_and_time_and_writes_nothing() {
    let scratch = scratch(RECIPE);
    let before = files_below(&scratch.path(""));
    let output = scratch
        .ultrapack(&["train", "train.yaml", "--dry-run", "--device", "cpu"])
        .expect_code(0);
    for expected in [
        "weights",
        "gradients",
        "optimizer state",
        "block inputs",
        "available",
        "FLOPs",
        "nothing was written",
    ] {
        assert!(
            output.stdout().contains(expected),
            "{expected} is not in\n{}",
            output.stdout()
        );
    }
    assert_eq!(files_below(&scratch.path("")), before);
}

#[test]
fn what_cannot_fit_is_refused_with_its_parts() {
    let scratch = scratch(&RECIPE.replace("size: tiny", "size: 8B"));
    let loaded = recipe::load(&scratch.path("train.yaml"), false).unwrap();
    let forecast = Prepared::new(&loaded, &Device::Cpu).unwrap().forecast;
    let n = forecast.n_params;
    assert_eq!((forecast.n_trained, forecast.total_bytes(false)), (n, 0));
    assert!(forecast.total_bytes(true) > 16 * n && forecast.total_bytes(true) < 17 * n);
    let error = forecast.must_fit(Some(24 << 30), None).unwrap_err().to_string();
    assert!(
        error.contains("of host memory") && error.contains("optimizer state"),
        "{error}"
    );
    assert!(!error.contains("offload"), "{error}");
    forecast.must_fit(Some(1 << 40), None).unwrap();
    forecast.must_fit(None, None).unwrap();
}

#[test]
fn every_training_recipe_of_the_repository_is_right() {
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let mut n_train = 0;
    for entry in fs::read_dir(recipes).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "yaml") {
            continue;
        }
        let trains = fs::read_to_string(&path).unwrap().contains("train.schema.json");
        let loaded = recipe::load(&path, false);
        assert_eq!(loaded.is_ok(), trains, "{}", path.display());
        if let Ok(loaded) = loaded {
            assert_eq!(loaded.warnings, Vec::<String>::new());
            n_train += 1;
        } else {
            ultrapack::recipe::load(&path, false).unwrap();
        }
    }
    assert_eq!(n_train, 2);
}

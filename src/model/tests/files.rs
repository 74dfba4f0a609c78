//! Checkpoints on disk: what is written is read again, and what is damaged is told.

use std::fs;
use std::path::Path;

use candle_core::DType;
use serde_json::{Value, json};

use super::families::{dream, illada, llada};
use crate::disk;
use crate::model::testing::{made, on_cpu, parity_directory, parity_model, values};
use crate::model::weights::{self, INDEX, SINGLE};
use crate::model::{LoadOptions, LoraOptions, Model, RopeMethod, RopeScaling, names, stored_weights};

/// A directory that holds a copy of the reference model.
fn copied() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in ["config.json", SINGLE] {
        fs::copy(parity_directory().join(name), directory.path().join(name)).unwrap();
    }
    directory
}

/// Writes weights only, in shards of at most so many bytes.
fn write_weights(directory: &Path, model: &Model, dtype: DType, shard_bytes: u64) {
    let value = |index: usize| Ok(model.params()[index].tensor.clone());
    weights::write_weights(
        directory,
        &names::parameters(model.config()),
        &value,
        dtype,
        shard_bytes,
    )
    .unwrap();
}

/// What loading says.
fn error(directory: &Path) -> String {
    let loaded = Model::load(directory, &on_cpu(DType::F32));
    loaded.map(|model| model.n_params()).unwrap_err().to_string()
}

fn all_weights(model: &Model) -> Vec<(String, Vec<f64>)> {
    let params = model.params().iter();
    params.map(|p| (p.name.clone(), values(&p.tensor))).collect()
}

#[test]
fn a_saved_model_is_read_again_in_every_family() {
    for text in [llada(), illada(), dream()] {
        let model = made(&text.to_string(), 3);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new");
        model.save(&path, DType::F32).unwrap();
        let again = Model::load(&path, &on_cpu(DType::F32)).unwrap();
        assert_eq!(all_weights(&again), all_weights(&model));
        assert_eq!(again.n_params(), model.config().n_params());
        // Every key is written back.
        let written: Value = serde_json::from_slice(&fs::read(path.join("config.json")).unwrap()).unwrap();
        for (key, value) in text.as_object().unwrap() {
            let expected = if key == "torch_dtype" {
                &json!("float32")
            } else {
                value
            };
            assert_eq!(&written[key], expected, "{key}");
        }
    }
}

#[test]
fn saving_a_published_checkpoint_gives_the_same_tensors_and_configuration() {
    let directory = tempfile::tempdir().unwrap();
    parity_model().save(directory.path(), DType::F32).unwrap();
    let read = |directory: &Path| {
        let bytes = fs::read(directory.join(SINGLE)).unwrap();
        let parsed = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut all: Vec<_> = parsed
            .tensors()
            .into_iter()
            .map(|(name, view)| (name, view.shape().to_vec(), view.data().to_vec()))
            .collect();
        all.sort();
        let config: Value =
            serde_json::from_slice(&fs::read(directory.join("config.json")).unwrap()).unwrap();
        (all, config)
    };
    assert!(read(directory.path()) == read(&parity_directory()));
}

#[test]
fn shards_and_bfloat16_are_written_and_read() {
    let model = parity_model();
    let directory = copied();
    let path = directory.path();
    write_weights(path, &model, DType::BF16, 50_000);
    assert!(!path.join(SINGLE).exists());
    let index: Value = serde_json::from_slice(&fs::read(path.join(INDEX)).unwrap()).unwrap();
    assert_eq!(index["metadata"]["total_size"], model.n_params() * 2);
    assert_eq!(
        index["weight_map"].as_object().unwrap().len(),
        model.params().len()
    );
    let rounded = Model::load(path, &on_cpu(DType::F32)).unwrap();
    for (found, wanted) in rounded.params().iter().zip(model.params()) {
        let wanted = wanted.tensor.to_dtype(DType::BF16).unwrap();
        assert_eq!(values(&found.tensor), values(&wanted), "{}", found.name);
    }
    let stored = stored_weights(path, model.config()).unwrap();
    assert!(stored.files.len() > 3 && stored.dtypes == ["BF16"]);
    assert!(stored.n_bytes > model.n_params() * 2);
    let half = Model::load(path, &on_cpu(DType::BF16)).unwrap();
    assert_eq!(half.params()[0].tensor.dtype(), DType::BF16);
    // Back in one file, the shards' index is gone, so that nothing is read twice.
    rounded.save(path, DType::F32).unwrap();
    assert!(path.join(SINGLE).exists() && !path.join(INDEX).exists());
    fs::remove_file(path.join(SINGLE)).unwrap();
    assert!(error(path).contains("holds neither"));
}

#[test]
fn float16_weights_and_links_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let link =
        |name: &str| std::os::unix::fs::symlink(parity_directory().join(name), directory.path().join(name));
    link("config.json").unwrap();
    let tensors: Vec<(String, candle_core::Tensor)> = parity_model()
        .params()
        .iter()
        .map(|p| (p.name.clone(), p.tensor.to_dtype(DType::F16).unwrap()))
        .collect();
    let halves = directory.path().join("halves");
    candle_core::safetensors::save(&tensors.iter().cloned().collect(), &halves).unwrap();
    std::os::unix::fs::symlink(&halves, directory.path().join(SINGLE)).unwrap();
    let model = Model::load(directory.path(), &on_cpu(DType::F32)).unwrap();
    assert_eq!(values(&model.params()[0].tensor), values(&tensors[0].1));
}

#[test]
fn a_scaled_base_is_written_and_other_scalings_keep_their_name() {
    let load = |path: &Path, rope: RopeScaling| {
        Model::load(
            path,
            &LoadOptions {
                rope,
                ..on_cpu(DType::F32)
            },
        )
    };
    for method in RopeMethod::ALL {
        let scaling = RopeScaling {
            method,
            train_len: 4096,
            target_len: 131_072,
            d_crit: None,
        };
        let scaled = load(&parity_directory(), scaling).unwrap();
        let directory = tempfile::tempdir().unwrap();
        scaled.save(directory.path(), DType::F32).unwrap();
        let again = load(directory.path(), RopeScaling::NONE).unwrap();
        assert_eq!(again.rope().inv_freq, scaled.rope().inv_freq, "{method}");
        assert_eq!(again.rope().amplitude, scaled.rope().amplitude, "{method}");
        let text = fs::read_to_string(directory.path().join("config.json")).unwrap();
        let changed = matches!(method, RopeMethod::Pi | RopeMethod::Yarn);
        assert_eq!(text.contains("rope_scaling"), changed, "{method}");
        if changed {
            let twice = load(directory.path(), scaling).map(|_| ()).unwrap_err();
            assert!(twice.to_string().contains("already has a `rope_scaling`"));
        }
    }
}

#[test]
fn the_digest_of_weights_depends_on_values_and_not_on_files() {
    let digest = |path: &Path, model: &Model| stored_weights(path, model.config()).unwrap().digest;
    let model = parity_model();
    let whole = digest(&parity_directory(), &model);
    let directory = copied();
    write_weights(directory.path(), &model, DType::F32, 100_000);
    assert_eq!(digest(directory.path(), &model), whole);
    let mut other = parity_model();
    other
        .set_param(3, (&other.params()[3].tensor + 1e-3).unwrap())
        .unwrap();
    other.save(directory.path(), DType::F32).unwrap();
    assert_ne!(digest(directory.path(), &model), whole);
}

#[test]
fn an_initial_checkpoint_holds_the_weights_of_the_initial_model() {
    let model = made(&dream().to_string(), 9);
    let directory = tempfile::tempdir().unwrap();
    Model::write_initial(model.config(), 9, directory.path(), DType::F32).unwrap();
    let again = Model::load(directory.path(), &on_cpu(DType::F32)).unwrap();
    assert_eq!(all_weights(&again), all_weights(&model));
}

#[test]
fn the_same_seed_gives_the_same_weights_and_another_seed_others() {
    let text = llada().to_string();
    let (a, b, c) = (made(&text, 1), made(&text, 1), made(&text, 2));
    assert_eq!(all_weights(&a), all_weights(&b));
    assert_ne!(all_weights(&a)[0], all_weights(&c)[0]);
    let first = all_weights(&a)[0].1.clone();
    let n = first.len() as f64;
    let deviation = (first.iter().map(|x| x * x).sum::<f64>() / n).sqrt() * 24f64.sqrt();
    assert!((deviation - 0.987).abs() < 0.05, "{deviation}");
}

/// The reference's weights with the header's JSON or the whole bytes changed.
fn damaged(change: impl Fn(&mut Value, &mut Vec<u8>)) -> tempfile::TempDir {
    let directory = copied();
    let path = directory.path().join(SINGLE);
    let bytes = fs::read(&path).unwrap();
    let n = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + n]).unwrap();
    let mut data = bytes[8 + n..].to_vec();
    change(&mut header, &mut data);
    let header = header.to_string();
    let all = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
    fs::write(&path, all).unwrap();
    directory
}

const Q: &str = "model.transformer.blocks.1.q_proj.weight";

#[test]
fn damaged_weights_give_one_clear_error_each() {
    let cases = [
        (
            damaged(|_, data| data.truncate(1000)),
            "no whole safetensors file",
        ),
        (
            damaged(|_, data| data.extend([0; 8])),
            "no whole safetensors file",
        ),
        (
            damaged(|header, _| header[Q]["shape"] = json!([32, 128])),
            "has shape [32, 128], `config.json` asks for [64, 64]",
        ),
        (
            damaged(|header, _| header[Q]["dtype"] = json!("I32")),
            "is stored as I32",
        ),
        (
            damaged(|header, _| header[Q]["dtype"] = json!("F99")),
            "no whole safetensors file",
        ),
        (
            damaged(|header, _| header[Q]["data_offsets"] = json!([0, 1u64 << 60])),
            "no whole safetensors file",
        ),
        (
            damaged(|header, _| {
                let entry = header.as_object_mut().unwrap().remove(Q).unwrap();
                header["model.transformer.blocks.1.att\u{1b}[31m"] = entry;
            }),
            "tensor `model.transformer.blocks.1.q_proj.weight` of shape [64, 64] is missing",
        ),
    ];
    for (directory, text) in cases {
        let message = error(directory.path());
        assert!(
            message.contains(text) && message.contains("checkpoint `"),
            "{message}"
        );
    }
    let extra = damaged(|header, data| {
        let end = data.len();
        data.extend([0; 4]);
        header["\u{1b}q_norm.weight"] =
            json!({ "dtype": "F32", "shape": [1], "data_offsets": [end, end + 4] });
    });
    let message = error(extra.path());
    assert!(
        message.contains("\\u{1b}q_norm.weight` has no place in a LLaDA model"),
        "{message}"
    );
}

#[test]
fn files_that_are_no_weights_are_errors() {
    for bytes in [
        &b""[..],
        b"short",
        &[0xff; 64],
        &[0; 64],
        b"\x08\0\0\0\0\0\0\0{\"a\":1} ",
    ] {
        let directory = copied();
        fs::write(directory.path().join(SINGLE), bytes).unwrap();
        let message = error(directory.path());
        assert!(
            message.contains("safetensors") || message.contains("failed to"),
            "{message}"
        );
    }
    let directory = copied();
    fs::remove_file(directory.path().join(SINGLE)).unwrap();
    fs::create_dir(directory.path().join(SINGLE)).unwrap();
    assert!(error(directory.path()).contains("regular file"));
}

#[test]
fn an_index_cannot_lead_out_of_its_directory_or_name_a_tensor_twice() {
    let directory = copied();
    let path = directory.path();
    write_weights(path, &parity_model(), DType::F32, 300_000);
    let index: Value = serde_json::from_slice(&fs::read(path.join(INDEX)).unwrap()).unwrap();
    let write = |index: &Value| {
        fs::remove_file(path.join(INDEX)).unwrap();
        fs::write(path.join(INDEX), index.to_string()).unwrap();
    };
    for outside in [
        "../model.safetensors",
        "/tmp/a.safetensors",
        "a/b.safetensors",
        "..",
        "config.json",
    ] {
        let mut changed = index.clone();
        changed["weight_map"][Q] = json!(outside);
        write(&changed);
        let message = error(path);
        assert!(
            message.contains("not the name of a safetensors file"),
            "{outside}: {message}"
        );
    }
    write(&json!({ "weight_map": [1, 2] }));
    assert!(error(path).contains("no weight index"));
    let mut changed = index.clone();
    changed["weight_map"][Q] = json!("twice.safetensors");
    let first = index["weight_map"][Q].as_str().unwrap();
    fs::copy(path.join(first), path.join("twice.safetensors")).unwrap();
    write(&changed);
    assert!(error(path).contains("is also in"));
    fs::remove_file(path.join("twice.safetensors")).unwrap();
    assert!(error(path).contains("twice.safetensors"));
}

#[test]
fn a_failed_save_leaves_the_checkpoint_that_was_there() {
    let directory = copied();
    // A directory with the temporary file's name is in the way, as a full disk would be.
    fs::create_dir_all(directory.path().join(format!("{SINGLE}{}/x", disk::TEMPORARY))).unwrap();
    let mut other = parity_model();
    other
        .set_param(0, other.params()[0].tensor.zeros_like().unwrap())
        .unwrap();
    assert!(other.save(directory.path(), DType::F32).is_err());
    let kept = Model::load(directory.path(), &on_cpu(DType::F32)).unwrap();
    assert_eq!(all_weights(&kept), all_weights(&parity_model()));
}

#[test]
fn merged_adapters_are_saved_as_an_ordinary_checkpoint() {
    let mut model = parity_model();
    let options = LoraOptions {
        rank: 2,
        alpha: 4.0,
        targets: vec!["v".into()],
    };
    model.attach_lora(&options, 1).unwrap();
    let last = model.params().len() - 1;
    let ones = model.params()[last].tensor.ones_like().unwrap();
    model.set_param(last, ones).unwrap();
    model.merge_lora().unwrap();
    let directory = tempfile::tempdir().unwrap();
    model.save(directory.path(), DType::F32).unwrap();
    let again = Model::load(directory.path(), &on_cpu(DType::F32)).unwrap();
    assert_eq!(all_weights(&again), all_weights(&model));
    assert_ne!(all_weights(&again), all_weights(&parity_model()));
}

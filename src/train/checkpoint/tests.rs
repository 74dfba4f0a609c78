use candle_core::{DType, Device, Tensor};

use super::*;
use crate::dataset::Progress;

fn state(step: u64) -> TrainerState {
    let identity = Identity {
        recipe_digest: "blake3:0".into(),
        recipe: serde_json::json!({ "steps": 9 }),
        dataset: "blake3:1".into(),
        tokenizer: "2".into(),
        base: None,
    };
    let progress = Progress {
        epoch: 0,
        position: step,
    };
    TrainerState::at(step, progress, &identity)
}

fn save_one(out: &Path, step: u64) -> PathBuf {
    let fill = |directory: &Path| disk::write_atomic(&directory.join("weights"), &[step as u8; 100]);
    save(out, state(step), fill).unwrap()
}

fn steps(out: &Path) -> Vec<u64> {
    list(out).unwrap().into_iter().map(|(step, _)| step).collect()
}

#[test]
fn the_newest_whole_checkpoint_is_found_and_old_ones_are_removed() {
    let out = tempfile::tempdir().unwrap();
    assert!(Checkpoint::newest(out.path(), |_| ()).unwrap().is_none());
    for step in [3, 20, 100] {
        save_one(out.path(), step);
    }
    fs::create_dir(out.path().join("step-5")).unwrap();
    let newest = Checkpoint::newest(out.path(), |_| ()).unwrap().unwrap();
    assert_eq!((newest.state.step, newest.state.files.len()), (100, 1));
    prune(out.path(), 2).unwrap();
    assert_eq!(steps(out.path()), [20, 100]);
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_used() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 4] = [
        ("weights", |d| fs::write(d, [1; 99]).unwrap()),
        ("weights", |d| fs::write(d, [9; 100]).unwrap()),
        ("weights", |d| fs::remove_file(d).unwrap()),
        ("trainer.json", |d| {
            let text = fs::read_to_string(d).unwrap();
            fs::write(d, text.replace("\"step\": 20", "\"step\": 21")).unwrap();
        }),
    ];
    for (file, damage) in damages {
        let out = tempfile::tempdir().unwrap();
        save_one(out.path(), 10);
        let damaged = save_one(out.path(), 20).join(file);
        let bytes = fs::read(&damaged).unwrap();
        fs::remove_file(&damaged).unwrap();
        fs::write(&damaged, bytes).unwrap();
        damage(&damaged);
        let mut warnings = Vec::new();
        let newest = Checkpoint::newest(out.path(), |warning| warnings.push(warning)).unwrap();
        assert_eq!(newest.unwrap().state.step, 10);
        assert!(warnings.len() == 1 && warnings[0].contains(file), "{warnings:?}");
        // The step is done again and saved over the damaged one.
        save_one(out.path(), 20);
        assert_eq!(
            Checkpoint::newest(out.path(), |_| ())
                .unwrap()
                .unwrap()
                .state
                .step,
            20
        );
    }
}

#[test]
fn checkpoints_of_which_none_is_whole_are_no_reason_to_start_again() {
    let out = tempfile::tempdir().unwrap();
    fs::remove_file(save_one(out.path(), 1).join("weights")).unwrap();
    let error = Checkpoint::newest(out.path(), |_| ()).unwrap_err();
    assert!(error.to_string().contains("none is whole"), "{error}");
}

#[test]
fn a_save_that_fails_leaves_nothing_and_harms_nothing() {
    let out = tempfile::tempdir().unwrap();
    save_one(out.path(), 1);
    let fill = |directory: &Path| {
        disk::write_atomic(&directory.join("weights"), b"half")?;
        Err(Error::usage("the disk is full"))
    };
    assert!(save(out.path(), state(2), fill).is_err());
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1);
    assert_eq!(
        Checkpoint::newest(out.path(), |_| ())
            .unwrap()
            .unwrap()
            .state
            .step,
        1
    );
}

#[test]
fn a_state_that_names_files_elsewhere_is_refused() {
    for name in ["../weights", "/etc/passwd", "a/../../b", ""] {
        let directory = tempfile::tempdir().unwrap();
        let mut state = state(1);
        state.files.push(SavedFile {
            name: name.into(),
            n_bytes: 0,
            blake3: String::new(),
        });
        state.write(directory.path()).unwrap();
        assert!(TrainerState::read(directory.path()).is_err(), "{name}");
    }
}

#[test]
fn tensors_are_read_back_as_written_and_a_damaged_file_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.safetensors");
    let numbers: Vec<u8> = (0..24).collect();
    let tensor = |name: &str, dtype, shape| NamedTensor {
        name: name.into(),
        dtype,
        shape,
        content: Content::Bytes(&numbers),
    };
    let on_device =
        |dtype, shape: &[usize]| Tensor::from_raw_buffer(&numbers, dtype, shape, &Device::Cpu).unwrap();
    let tensors = [
        tensor("a", DType::F32, &[2, 3][..]),
        tensor("b", DType::BF16, &[12][..]),
        NamedTensor {
            name: "d".into(),
            dtype: DType::F32,
            shape: &[3, 2],
            content: Content::Tensor(&on_device(DType::F32, &[3, 2])),
        },
        NamedTensor {
            name: "e".into(),
            dtype: DType::BF16,
            shape: &[12],
            content: Content::Tensor(&on_device(DType::BF16, &[12])),
        },
    ];
    write_tensors(&path, tensors.into_iter()).unwrap();
    let file = TensorFile::open(&path).unwrap();
    let read = file.tensors(&path).unwrap();
    assert_eq!(read.get("a"), Some((DType::F32, &numbers[..])));
    assert_eq!(read.get("b"), Some((DType::BF16, &numbers[..])));
    assert_eq!(read.get("d"), read.get("a"));
    assert_eq!(read.get("e"), read.get("b"));
    assert_eq!(read.get("c"), None);
    let bytes = fs::read(&path).unwrap();
    for cut in [0, 4, 20, bytes.len() - 1] {
        let other = directory.path().join(format!("cut{cut}"));
        fs::write(&other, &bytes[..cut]).unwrap();
        let opened = TensorFile::open(&other);
        assert!(
            opened.is_err() || opened.unwrap().tensors(&other).is_err(),
            "{cut}"
        );
    }
}

//! Training runs that are killed, refused disk space, or find their checkpoints damaged.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use rustix::process::{Pid, Signal, kill_process};

use crate::crash::{has_strace, traced};
use crate::scratch::{Finished, Random, Scratch, hashes, overwrite};
use crate::train::{RECIPE, metrics, scratch, train};

/// The last checkpoint of a run of [`RECIPE`].
const LAST: &str = "step-00000008";

fn last(scratch: &Scratch, name: &str) -> BTreeMap<String, String> {
    hashes(&scratch.path(name).join(LAST))
}

/// Runs to the end and compares with the run that nobody stopped.
#[track_caller]
fn goes_on(scratch: &Scratch, name: &str) {
    train(scratch, name, &[]).output().unwrap().expect_code(0);
    assert_eq!(last(scratch, name), last(scratch, "reference"), "{name}");
    assert_eq!(
        metrics(scratch, name, "loss"),
        metrics(scratch, "reference", "loss"),
        "{name}"
    );
    let files = fs::read_dir(scratch.path(name)).unwrap();
    let mut files = files.map(|entry| entry.unwrap().file_name());
    assert!(
        !files.any(|file| file.to_string_lossy().ends_with(".tmp")),
        "{name}"
    );
}

fn with_reference(recipe: &str) -> Scratch {
    let scratch = scratch(recipe);
    train(&scratch, "reference", &[]).output().unwrap().expect_code(0);
    scratch
}

#[test]
fn a_run_killed_at_random_goes_on_to_the_same_bytes() {
    let scratch = with_reference(&RECIPE.replace("every: 3", "every: 1"));
    let started = Instant::now();
    train(&scratch, "timed", &[]).output().unwrap().expect_code(0);
    let whole = started.elapsed();
    let mut random = Random(3);
    let mut n_killed = 0;
    for _ in 0..20 {
        let mut child = train(&scratch, "killed", &[])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(whole.mul_f64(0.1 + random.below(40) as f64 / 100.0));
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            break;
        }
        n_killed += 1;
    }
    println!("killed {n_killed} times");
    assert!(n_killed >= 1, "every run ended before it could be killed");
    goes_on(&scratch, "killed");
}

#[test]
fn a_kill_at_each_sync_rename_and_removal_of_a_save_loses_nothing() {
    if !has_strace() {
        return;
    }
    let scratch = with_reference(&RECIPE.replace("keep: 2", "keep: 1"));
    let calls = [("fsync", 1, 4), ("/^rename", 1, 3), ("/^(unlink|rmdir)", 1, 4)];
    let n_killed: usize = calls
        .into_par_iter()
        .map(|(call, first, step)| {
            let mut n = 0;
            for when in (first..).step_by(step) {
                let name = format!("{}-{when}", &call[call.len() - 5..].replace(')', ""));
                let output = traced(
                    &train(&scratch, &name, &["--threads", "1"]),
                    call,
                    "signal=SIGKILL",
                    when,
                );
                goes_on(&scratch, &name);
                fs::remove_dir_all(scratch.path(&name)).unwrap();
                if output.status.success() {
                    break;
                }
                n += 1;
            }
            n
        })
        .sum();
    println!("killed at {n_killed} places");
    assert!(n_killed >= 10, "{n_killed}");
}

#[test]
fn a_disk_that_is_full_while_saving_is_exit_74_and_the_checkpoint_before_is_whole() {
    if !has_strace() {
        return;
    }
    let scratch = with_reference(RECIPE);
    let faults = [
        ("write", "error=ENOSPC", 30, 9),
        ("fsync", "error=EIO", 9, 5),
        ("/^rename", "error=EROFS", 5, 4),
    ];
    let n_failed: usize = faults
        .into_par_iter()
        .map(|(call, what, first, step)| {
            let mut n = 0;
            for when in (first..).step_by(step).take(4) {
                let name = format!("{}-{when}", call.trim_start_matches("/^"));
                let output = traced(&train(&scratch, &name, &["--threads", "1"]), call, what, when);
                if output.status.success() {
                    break;
                }
                let error = output.expect_code(74).stderr();
                assert!(error.contains("failed to"), "{call} {when}: {error}");
                goes_on(&scratch, &name);
                n += 1;
            }
            n
        })
        .sum();
    println!("failed at {n_failed} places");
    assert!(n_failed >= 5, "{n_failed}");
}

#[test]
fn a_damaged_newest_checkpoint_is_named_and_the_one_before_it_used() {
    let scratch = with_reference(RECIPE);
    for (name, file, keep) in [
        ("a", "model.safetensors", 1000),
        ("b", "optimizer.safetensors", 0),
        ("c", "trainer.json", 100),
    ] {
        train(&scratch, name, &[]).output().unwrap().expect_code(0);
        let path = scratch.path(name).join(LAST).join(file);
        let bytes = fs::read(&path).unwrap();
        overwrite(&path, &bytes[..keep]);
        let out = scratch.path(name);
        let args = ["train", "train.yaml", "--device", "cpu", "--out", name];
        let warned = scratch.ultrapack(&args).expect_code(0).stderr();
        assert!(
            warned.contains(file) && warned.contains("the checkpoint before it is used"),
            "{warned}"
        );
        assert_eq!(hashes(&out.join(LAST)), last(&scratch, "reference"));
    }
    // With none left, the run does not silently start again.
    for step in ["step-00000006", LAST] {
        overwrite(&scratch.path("a").join(step).join("config.json"), "{}");
    }
    let error = train(&scratch, "a", &[])
        .output()
        .unwrap()
        .expect_code(5)
        .stderr();
    assert!(error.contains("none is whole"), "{error}");
}

#[test]
fn a_signal_saves_the_run_and_ends_it_with_its_code() {
    let scratch = with_reference(RECIPE);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let name = format!("stopped-{code}");
        let mut child = train(&scratch, &name, &[]).stdout(Stdio::null()).spawn().unwrap();
        while !scratch.path(&name).join("step-00000003").exists() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let pid = Pid::from_child(&child);
        kill_process(pid, signal).unwrap();
        let status = child.wait().unwrap();
        // A run may be over before the signal reaches it.
        assert!(status.success() || status.code() == Some(code), "{status}");
        goes_on(&scratch, &name);
    }
}

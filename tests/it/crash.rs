//! Kills, full disks, locks, changed inputs: whatever happens to a run, the next one gives the same
//! bytes or says why it will not.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use rustix::process::{Pid, Signal, kill_process};
use ultrapack::disk::Lock;
use ultrapack::shard::Level;

use crate::scratch::{
    Finished, Random, Scratch, files_below, fixture, hashes, jsonl, overwrite, passages, recipe, recipe_of,
};

/// More documents than a store part holds, most of them empty, and a second source: three parts in
/// two units, and an unbroken second of work.
fn many_parts() -> Scratch {
    let tiny = (0..131_500).map(|i| if i % 50 == 0 { "a b" } else { "" });
    let scratch = Scratch::with_corpus(200, "");
    scratch.write("tiny.jsonl", jsonl(tiny));
    scratch.write("recipe.yaml", recipe(&["tiny.jsonl", "corpus.jsonl"], ""));
    scratch
}

/// A source that is repeated until it fills three shards, and many small files.
fn many_shards() -> Scratch {
    let scratch = Scratch::with_corpus(500, "");
    for (index, text) in passages(30, 3000, 2).iter().enumerate() {
        scratch.write(&format!("book{index}.txt"), text);
    }
    let sources = [
        "{ name: books, paths: [\"book*.txt\"] }",
        "{ name: passages, paths: [corpus.jsonl], epochs: 36 }",
    ];
    scratch.write("recipe.yaml", recipe_of(&sources, "shards: { bytes: 1048576 }\n"));
    scratch
}

/// `pack` into `NAME/out` with a store of its own, quietly.
fn pack(scratch: &Scratch, name: &str, threads: usize) -> Command {
    let (out, store, threads) = (
        format!("{name}/out"),
        format!("{name}/store"),
        threads.to_string(),
    );
    let mut command = scratch.command(&[
        "pack",
        "recipe.yaml",
        "--quiet",
        "--out",
        &out,
        "--store",
        &store,
        "--threads",
        &threads,
    ]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What an uninterrupted run gives.
fn uninterrupted(scratch: &Scratch) -> BTreeMap<String, String> {
    pack(scratch, "reference", 2).output().unwrap().expect_code(0);
    hashes(&scratch.path("reference/out"))
}

/// A directory with a manifest is a whole dataset, whatever happened to the run; it may only hold
/// what the run did not come to remove.
#[track_caller]
fn is_no_dataset_or_a_whole_one(scratch: &Scratch, out: &str) {
    if scratch.path(out).join("manifest.json").exists() {
        let findings = scratch.findings(out, Level::Full);
        assert!(findings.iter().all(|f| f.code == "V011"), "{findings:?}");
    }
}

/// Runs to the end and compares with the uninterrupted run; nothing unfinished may be left.
#[track_caller]
fn resumes(scratch: &Scratch, name: &str, expected: &BTreeMap<String, String>) {
    pack(scratch, name, 2).output().unwrap().expect_code(0);
    assert_eq!(&hashes(&scratch.path(name).join("out")), expected, "{name}");
    let mut left = files_below(&scratch.path(name));
    left.retain(|path| is_temporary(path));
    assert!(left.is_empty(), "{left:?}");
}

/// Whether a file is one that was not finished.
fn is_temporary(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".tmp")
}

/// Waits until `path` exists, or the child has ended.
fn wait_for(path: &Path, child: &mut Child) {
    while !path.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Leaves `NAME/out` as a run leaves it that was killed after its journal had been begun.
fn half_done(scratch: &Scratch, name: &str) {
    for _ in 0..100 {
        fs::remove_dir_all(scratch.path(name)).ok();
        let mut child = pack(scratch, name, 1).spawn().unwrap();
        wait_for(&scratch.path(name).join("out/plan.arrow"), &mut child);
        child.kill().unwrap();
        child.wait().unwrap();
        if !scratch.path(name).join("out/manifest.json").exists() {
            return;
        }
    }
    panic!("every run was complete before it could be killed");
}

/// The number of files below a directory whose names end so.
fn n_files(directory: &Path, end: &str) -> usize {
    let files = files_below(directory);
    files
        .iter()
        .filter(|path| path.to_string_lossy().ends_with(end))
        .count()
}

#[test]
fn a_run_killed_while_it_fills_the_store_goes_on_to_the_same_bytes() {
    let scratch = many_parts();
    survives_kills(&scratch, 15);
    assert_eq!(n_files(&scratch.path("reference/store"), ".tokens.arrow"), 3);
}

#[test]
fn a_run_killed_while_it_writes_shards_goes_on_to_the_same_bytes() {
    let scratch = many_shards();
    survives_kills(&scratch, 35);
    assert!(
        n_files(&scratch.path("reference/out"), ".arrow") >= 4,
        "too few shards"
    );
}

/// Kills `n_kills` runs at random moments, resumes each, and compares with a run that was not killed.
fn survives_kills(scratch: &Scratch, n_kills: usize) {
    let seed = std::env::var("SEED").map_or(1, |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    let started = Instant::now();
    let expected = uninterrupted(scratch);
    let duration = started.elapsed();
    let (n_killed, next) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let trial = || {
        while n_killed.load(Ordering::Relaxed) < n_kills {
            let index = next.fetch_add(1, Ordering::Relaxed);
            assert!(index < 10 * n_kills, "the runs end before they can be killed");
            let mut random = Random(seed + index as u64 * 1_000_003);
            let name = format!("trial-{index}");
            for _ in 0..1 + random.below(3) {
                let mut child = pack(scratch, &name, 1 + random.below(8)).spawn().unwrap();
                std::thread::sleep(duration.mul_f64(random.below(1000) as f64 / 1000.0));
                child.kill().unwrap();
                let killed = child.wait().unwrap().signal() == Some(9);
                n_killed.fetch_add(usize::from(killed), Ordering::Relaxed);
                is_no_dataset_or_a_whole_one(scratch, &format!("{name}/out"));
            }
            resumes(scratch, &name, &expected);
            fs::remove_dir_all(scratch.path(&name)).unwrap();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(trial);
        scope.spawn(trial);
    });
    println!("{} runs killed", n_killed.into_inner());
}

/// Whether system calls can be tampered with here.
pub fn has_strace() -> bool {
    let probe = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    let works = probe.is_ok_and(|output| output.status.success());
    if !works {
        eprintln!("skipped: `strace` is not installed, or may not trace");
    }
    works
}

/// Runs `pack` into `NAME` with one thing going wrong.
fn injected(scratch: &Scratch, name: &str, call: &str, what: &str, when: usize) -> Output {
    traced(&pack(scratch, name, 1), call, what, when)
}

/// Runs a command with the system call `call` tampered with the `when`th time.
pub fn traced(plain: &Command, call: &str, what: &str, when: usize) -> Output {
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-o", "/dev/null", "-e"])
        .arg(format!("trace={call}"));
    command.arg("-e").arg(format!("inject={call}:{what}:when={when}"));
    command.arg(plain.get_program()).args(plain.get_args());
    let directory = plain
        .get_current_dir()
        .expect("tests run the binary in their directory");
    command.current_dir(directory).output().unwrap()
}

#[test]
fn a_kill_at_each_write_sync_rename_and_open_loses_nothing() {
    if !has_strace() {
        return;
    }
    let scratch = Scratch::with_corpus(60, "");
    let expected = uninterrupted(&scratch);
    // The first opens and writes are the loader's and the tokenizer's.
    let calls = [
        ("openat", 10, 4),
        ("write", 1, 1),
        ("fsync", 1, 1),
        ("/^rename", 1, 1),
        ("fdatasync", 1, 1),
        ("/^unlink", 1, 1),
        ("/^ftruncate", 1, 1),
    ];
    let n_killed: usize = calls
        .into_par_iter()
        .map(|(call, first, step)| {
            let mut n = 0;
            for when in (first..).step_by(step) {
                let name = format!("{}-{when}", call.trim_start_matches("/^"));
                let output = injected(&scratch, &name, call, "signal=SIGKILL", when);
                is_no_dataset_or_a_whole_one(&scratch, &format!("{name}/out"));
                resumes(&scratch, &name, &expected);
                if output.status.success() {
                    break;
                }
                n += 1;
            }
            n
        })
        .sum();
    println!("killed at {n_killed} places");
    assert!(n_killed > 40, "{n_killed}");
}

#[test]
fn a_refused_system_call_is_exit_74_and_the_next_run_finishes() {
    if !has_strace() {
        return;
    }
    let scratch = Scratch::with_corpus(60, "");
    let expected = uninterrupted(&scratch);
    // The first positioned reads are the loader's.
    let faults = [
        ("write", "error=ENOSPC", 1, 1),
        ("fsync", "error=EIO", 1, 1),
        ("/^rename", "error=EROFS", 1, 1),
        ("fdatasync", "error=EIO", 1, 1),
        ("/^fchmod", "error=EPERM", 1, 2),
        ("pread64", "error=EIO", 8, 13),
    ];
    let n_failed: usize = faults
        .into_par_iter()
        .map(|(call, what, first, step)| {
            let mut n = 0;
            for when in (first..).step_by(step) {
                let name = format!("{}-{when}", call.trim_start_matches("/^"));
                let output = injected(&scratch, &name, call, what, when);
                is_no_dataset_or_a_whole_one(&scratch, &format!("{name}/out"));
                if output.status.success() {
                    break;
                }
                let error = output.expect_code(74).stderr();
                assert!(error.contains("failed to"), "{call} {when}: {error}");
                resumes(&scratch, &name, &expected);
                n += 1;
            }
            n
        })
        .sum();
    println!("failed at {n_failed} places");
    assert!(n_failed > 20, "{n_failed}");
}

#[test]
fn of_two_runs_on_one_directory_one_is_refused_and_names_the_other() {
    let scratch = Scratch::with_corpus(60, "");
    fs::create_dir(scratch.path("out")).unwrap();
    let lock = Lock::take(&scratch.path("out")).unwrap();
    let error = scratch.pack("out").expect_code(11).stderr();
    assert!(
        error.contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    assert!(
        !scratch.path("store").exists(),
        "it worked before it had the lock"
    );
    drop(lock);

    let expected = uninterrupted(&scratch);
    for index in 0..5 {
        let name = format!("pair-{index}");
        let children = [1, 2].map(|threads| pack(&scratch, &name, threads).spawn().unwrap());
        let codes = children.map(|child| child.wait_with_output().unwrap().status.code().unwrap());
        assert!(matches!(codes, [0, 0] | [0, 11] | [11, 0]), "{codes:?}");
        assert_eq!(hashes(&scratch.path(&name).join("out")), expected);
    }
}

#[test]
fn two_runs_may_share_a_store() {
    let scratch = Scratch::with_corpus(200, "");
    for index in 0..5 {
        let store = format!("store-{index}");
        let outs = [format!("a-{index}"), format!("b-{index}")];
        let children = outs.each_ref().map(|out| {
            let mut command = scratch.command(&["pack", "recipe.yaml", "--out", out, "--store", &store]);
            command
                .stderr(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        });
        for child in children {
            child.wait_with_output().unwrap().expect_code(0);
        }
        let [a, b] = outs.map(|out| hashes(&scratch.path(&out)));
        assert_eq!(a, b);
    }
}

#[test]
fn a_killed_run_leaves_no_lock_behind() {
    let scratch = many_parts();
    let mut child = pack(&scratch, "t", 1).spawn().unwrap();
    wait_for(&scratch.path("t/out/LOCK"), &mut child);
    let second = pack(&scratch, "t", 1).output().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    second.expect_code(11);
    pack(&scratch, "t", 1).output().unwrap().expect_code(0);
}

#[test]
fn a_changed_recipe_or_input_is_refused_by_key_until_restart() {
    let scratch = Scratch::with_corpus(60, "seed: 1\n");
    let plain = fs::read_to_string(scratch.path("recipe.yaml")).unwrap();
    let corpus = fs::read_to_string(scratch.path("corpus.jsonl")).unwrap();
    let tokenizer = fs::read_to_string(fixture("tokenizer/tokenizer.json")).unwrap();
    scratch.write("tokenizer.json", tokenizer + "\n");
    let other_tokenizer = {
        let (before, after) = plain.split_once("  file: ").unwrap();
        format!(
            "{before}  file: tokenizer.json\n{}",
            after.split_once('\n').unwrap().1
        )
    };
    let changes = [
        (
            plain.replace("seq_len: 1024", "seq_len: 512"),
            corpus.clone(),
            "pack.seq_len: 1024 -> 512",
        ),
        (
            plain.replace("seed: 1", "seed: 2"),
            corpus.clone(),
            "seed: 1 -> 2",
        ),
        (
            plain.replace("seq_len: 1024", "seq_len: 1024, boundary: eod"),
            corpus.clone(),
            "pack.boundary",
        ),
        (
            plain.replace("name: s0", "name: s1"),
            corpus.clone(),
            "sources[0].name",
        ),
        (
            plain.clone() + "limits: { max_document_bytes: 99999 }\n",
            corpus.clone(),
            "limits.max_document_bytes",
        ),
        (
            plain.clone(),
            corpus.replacen("the", "teh", 1),
            "the files of source `s0` changed",
        ),
        (other_tokenizer, corpus.clone(), "the tokenizer file"),
    ];
    for (index, (changed, input, key)) in changes.into_iter().enumerate() {
        let name = format!("t{index}");
        scratch.write("recipe.yaml", &plain);
        scratch.write("corpus.jsonl", &corpus);
        if index % 2 == 0 {
            half_done(&scratch, &name);
        } else {
            pack(&scratch, &name, 1).output().unwrap().expect_code(0);
        }
        let before = hashes(&scratch.path(&name).join("out"));
        scratch.write("recipe.yaml", changed);
        scratch.write("corpus.jsonl", input);
        let error = pack(&scratch, &name, 1).output().unwrap().expect_code(5).stderr();
        assert!(
            error.contains(key) && error.contains("--restart"),
            "{key}: {error}"
        );
        assert_eq!(
            hashes(&scratch.path(&name).join("out")),
            before,
            "{key}: something was touched"
        );
        let fresh = format!("fresh{index}");
        pack(&scratch, &fresh, 1).output().unwrap().expect_code(0);
        pack(&scratch, &name, 1)
            .arg("--restart")
            .output()
            .unwrap()
            .expect_code(0);
        let [restarted, fresh] = [name, fresh].map(|n| hashes(&scratch.path(&n).join("out")));
        assert_eq!(restarted, fresh, "{key}");
    }
}

#[test]
fn what_does_not_change_the_output_may_change_before_a_resume() {
    let scratch = Scratch::with_corpus(60, "");
    let expected = uninterrupted(&scratch);
    half_done(&scratch, "t");
    let text = fs::read_to_string(scratch.path("recipe.yaml")).unwrap();
    let text = text.replace("corpus.jsonl", "moved/corpus.jsonl");
    scratch.write(
        "moved/corpus.jsonl",
        fs::read(scratch.path("corpus.jsonl")).unwrap(),
    );
    scratch.write(
        "recipe.yaml",
        format!("# moved\n{text}name: other\nrun: {{ threads: 3 }}\n"),
    );
    resumes(&scratch, "t", &expected);
}

#[test]
fn the_bytes_do_not_depend_on_where_by_whom_or_on_how_many_threads() {
    let scratch = Scratch::with_corpus(300, "");
    let expected = uninterrupted(&scratch);
    for file in ["recipe.yaml", "corpus.jsonl"] {
        scratch.write(
            &format!("else where/{file}"),
            fs::read(scratch.path(file)).unwrap(),
        );
    }
    let shell = |n: usize, line: &str| {
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("{line} --out \"$1/out{n}\" --store \"$1/store{n}\""))
            .args([
                env!("CARGO_BIN_EXE_ultrapack"),
                scratch.path("").to_str().unwrap(),
            ])
            .current_dir(scratch.path(""))
            .output();
        output.unwrap().expect_code(0);
        assert_eq!(hashes(&scratch.path(&format!("out{n}"))), expected, "{line}");
    };
    let lines = [
        "\"$0\" pack recipe.yaml --threads 1",
        "\"$0\" pack recipe.yaml --threads 2",
        "\"$0\" pack recipe.yaml --threads 8",
        "TZ=Pacific/Kiritimati LC_ALL=tr_TR.UTF-8 LANG=C \"$0\" pack recipe.yaml",
        "umask 077; unset HOME USER PATH; \"$0\" pack recipe.yaml",
        "cd / && \"$0\" pack \"$1/recipe.yaml\"",
        "cd 'else where' && \"$0\" pack ./recipe.yaml",
        "\"$0\" pack 'else where/recipe.yaml' --json",
    ];
    for (n, line) in lines.into_iter().enumerate() {
        shell(n, line);
    }
}

#[test]
fn a_signal_stops_the_run_with_its_code_and_the_run_can_go_on() {
    let scratch = many_parts();
    let expected = uninterrupted(&scratch);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let name = format!("t{code}");
        let mut command = scratch.command(&["pack", "recipe.yaml", "--threads", "2"]);
        command.args([
            "--out",
            &format!("{name}/out"),
            "--store",
            &format!("{name}/store"),
        ]);
        let mut child = command
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for(&scratch.path(&name).join("out/LOCK"), &mut child);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let error = child.wait_with_output().unwrap().expect_code(code).stderr();
        assert!(error.contains("Run the same command again to go on"), "{error}");
        assert!(!scratch.path(&name).join("out/manifest.json").exists());
        resumes(&scratch, &name, &expected);
    }
}

#[test]
fn a_place_that_cannot_be_used_is_refused_before_anything_is_tokenized() {
    let scratch = Scratch::with_corpus(10, "");
    scratch.write("file", "");
    scratch.write("foreign/notes.txt", "mine");
    let missing = recipe(&["corpus.jsonl", "missing-*.jsonl"], "");
    scratch.write("missing.yaml", missing);
    let no_tokenizer = fs::read_to_string(scratch.path("recipe.yaml")).unwrap();
    scratch.write(
        "no_tokenizer.yaml",
        no_tokenizer.replace("tokenizer.json", "none.json"),
    );
    let cases: [(&[&str], i32, &str); 8] = [
        (&["recipe.yaml", "--out", "file"], 74, "file"),
        (&["recipe.yaml", "--out", "file/below"], 74, "file"),
        (&["recipe.yaml", "--out", "foreign"], 5, "is not empty"),
        (
            &["recipe.yaml", "--out", "foreign", "--restart"],
            5,
            "is not empty",
        ),
        (&["recipe.yaml", "--out", "new1", "--store", "file"], 74, "file"),
        (&["missing.yaml", "--out", "new2"], 3, "missing-*.jsonl"),
        (&["no_tokenizer.yaml", "--out", "new3"], 74, "none.json"),
        (&["nowhere.yaml", "--out", "new4"], 74, "nowhere.yaml"),
    ];
    for (args, code, named) in cases {
        let args = [&["pack"], args].concat();
        let error = scratch.ultrapack(&args).expect_code(code).stderr();
        assert!(error.contains(named), "{args:?}: {error}");
    }
    assert_eq!(fs::read(scratch.path("foreign/notes.txt")).unwrap(), b"mine");
    let units = fs::read_dir(scratch.path("ultrapack-store")).map_or(0, |entries| {
        entries.filter(|e| e.as_ref().unwrap().path().is_dir()).count()
    });
    assert_eq!(units, 0);
    scratch.pack("a/new/parent/out").expect_code(0);
}

#[test]
fn a_journal_torn_or_changed_at_its_end_costs_work_and_no_bytes() {
    let scratch = Scratch::with_corpus(60, "");
    let expected = uninterrupted(&scratch);
    half_done(&scratch, "t");
    let journal = scratch.path("t/out/journal");
    let whole = fs::read(&journal).unwrap();
    let n = whole.len();
    for keep in [0, 1, 20, n / 2, n - 2, n - 1] {
        half_done(&scratch, "t");
        overwrite(&journal, &whole[..keep]);
        resumes(&scratch, "t", &expected);
    }
    for at in [0, 16, 40, n / 2, n - 2] {
        half_done(&scratch, "t");
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        overwrite(&journal, bytes);
        resumes(&scratch, "t", &expected);
    }
    half_done(&scratch, "t");
    overwrite(
        &journal,
        [whole.as_slice(), b"0123456789abcdef {\"shard\":"].concat(),
    );
    resumes(&scratch, "t", &expected);
}

#[test]
fn what_a_run_that_was_killed_behind_its_manifest_left_is_cleared_away() {
    let scratch = Scratch::packed(20, "");
    let expected = hashes(&scratch.path("out"));
    for name in ["journal", "run.json.tmp", "repair.tmp/shard-00000.arrow.tmp"] {
        scratch.write(&format!("out/{name}"), "left behind");
    }
    fs::remove_file(scratch.path("out/run.json")).unwrap();
    scratch.pack("out").expect_code(0);
    assert_eq!(hashes(&scratch.path("out")), expected);
    assert!(scratch.path("out/run.json").exists());
    assert_eq!(scratch.findings("out", Level::Full), []);
}

#[test]
fn a_damaged_store_part_is_named_and_not_used() {
    let scratch = Scratch::packed(60, "");
    let parts = files_below(&scratch.path("store"));
    let parts: Vec<_> = parts
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "arrow"))
        .collect();
    assert_eq!(parts.len(), 2);
    for (index, part) in parts.into_iter().enumerate() {
        let whole = fs::read(part).unwrap();
        let name = part.file_name().unwrap().to_str().unwrap();
        let flipped = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            bytes
        };
        let n = whole.len();
        let damages = [
            flipped(3),
            flipped(n / 2),
            flipped(n - 100),
            flipped(n - 1),
            whole[..n / 2].to_vec(),
            Vec::new(),
        ];
        for (number, damage) in damages.into_iter().enumerate() {
            overwrite(part, damage);
            let out = format!("again-{index}-{number}");
            let error = scratch.pack(&out).expect_code(4).stderr();
            assert!(error.contains(name), "{error}");
            assert!(!scratch.path(&out).join("manifest.json").exists());
        }
        overwrite(part, whole);
    }
    scratch.pack("again").expect_code(0);
    assert_eq!(hashes(&scratch.path("again")), hashes(&scratch.path("out")));
}

#[test]
fn a_store_without_its_last_index_is_filled_up_again() {
    let scratch = Scratch::packed(60, "");
    let files = files_below(&scratch.path("store"));
    let index = files
        .iter()
        .find(|p| p.to_string_lossy().ends_with(".documents.arrow"))
        .unwrap();
    let directory = index.parent().unwrap();
    fs::remove_file(index).unwrap();
    for name in [
        "part-00000.tokens.arrow.tmp",
        "part-00000.documents.arrow.tmp",
        "part-00007.tokens.arrow",
    ] {
        fs::write(directory.join(name), "torn").unwrap();
    }
    scratch.pack("again").expect_code(0);
    assert_eq!(hashes(&scratch.path("again")), hashes(&scratch.path("out")));
    assert!(index.exists());
    assert!(!files_below(directory).iter().any(|path| is_temporary(path)));
}

#[test]
fn a_full_or_closed_standard_output_does_not_harm_the_dataset() {
    let scratch = Scratch::with_corpus(20, "");
    let mut command = scratch.command(&["pack", "recipe.yaml", "--out", "out", "--store", "store"]);
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    command.stdout(full()).output().unwrap().expect_code(74);
    assert_eq!(scratch.findings("out", Level::Full), []);
    let mut command = scratch.command(&["pack", "recipe.yaml", "--out", "missing", "--store", "file/store"]);
    scratch.write("file", "");
    command.stderr(full()).output().unwrap().expect_code(74);
}

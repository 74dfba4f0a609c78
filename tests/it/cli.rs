//! The command line: what is printed where, and with which exit code.
//!
//! Snapshots are transcripts with everything that changes from run to run replaced by a word. To
//! take new ones: `INSTA_UPDATE=always cargo test cli`, and read the difference.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use assert_cmd::assert::OutputAssertExt;
use insta::assert_snapshot;
use regex::Regex;
use ultrapack::disk::Lock;

use crate::scratch::{Finished, Scratch, jsonl, overwrite, recipe};

/// A command with its exit code, its standard output and its standard error.
fn transcript(scratch: &Scratch, args: &[&str]) -> String {
    let output = scratch
        .command(args)
        .env("COLUMNS", "100")
        .env_remove("NO_COLOR")
        .output()
        .unwrap();
    let mut text = format!("$ ultrapack {}\n", args.join(" "));
    text += &format!("exit code {}\n", output.status.code().unwrap());
    for (name, stream) in [("stdout", output.stdout()), ("stderr", output.stderr())] {
        if !stream.is_empty() {
            text += &format!("--- {name}\n{stream}");
        }
    }
    settled(&text, scratch)
}

/// Text without paths, times, speeds, ids and addresses of this run.
fn settled(text: &str, scratch: &Scratch) -> String {
    let here = fs::canonicalize(scratch.path("")).unwrap();
    let mut text = text.replace(here.to_str().unwrap(), "HERE");
    text = text.replace(scratch.path("").to_str().unwrap().trim_end_matches('/'), "HERE");
    text = text.replace(env!("CARGO_MANIFEST_DIR"), "REPOSITORY");
    for (found, word) in [
        (r"blake3:[0-9a-f]+", "blake3:HASH"),
        (r"\b[0-9a-f]{16,}\b", "HASH"),
        (r"\d+ min \d\d s|\b\d+\.\d s\b", "TIME"),
        (r"\d+(\.\d+)? [kM]?B/s", "SPEED"),
        (r"process \d+ on \S+", "process PID on HOST"),
        (r"\d+ threads?(\(s\))?", "N threads"),
        (r" +\n", "\n"),
    ] {
        text = Regex::new(found).unwrap().replace_all(&text, word).into_owned();
    }
    text
}

/// The demo recipe of the repository.
fn demo() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("recipes/demo.yaml")
        .to_str()
        .unwrap()
        .to_owned()
}

#[test]
fn help_says_what_there_is() {
    let scratch = Scratch::new();
    assert_snapshot!("help", transcript(&scratch, &["--help"]));
    assert_snapshot!("help_pack", transcript(&scratch, &["pack", "--help"]));
}

#[test]
fn packing_the_demo_ends_with_a_summary() {
    let scratch = Scratch::new();
    let demo = demo();
    let pack = ["pack", &demo, "--out", "out/demo"];
    assert_snapshot!(
        "dry_run",
        transcript(&scratch, &[&pack[..], &["--dry-run"]].concat())
    );
    assert!(!scratch.path("out").exists(), "a dry run writes nothing");
    assert_snapshot!(
        "plan_sample",
        transcript(&scratch, &["plan", &demo, "--out", "out/demo", "--sample"])
    );
    assert_snapshot!("pack", transcript(&scratch, &pack));
    assert_snapshot!("pack_again", transcript(&scratch, &pack));
    assert_snapshot!(
        "plan_store",
        transcript(&scratch, &["plan", &demo, "--out", "out/demo"])
    );
    assert_snapshot!("verify_ok", transcript(&scratch, &["verify", "out/demo"]));
    assert_snapshot!(
        "verify_quick",
        transcript(&scratch, &["verify", "out/demo", "--quick"])
    );
}

#[test]
fn verify_lists_the_damage() {
    let scratch = Scratch::packed(20, "");
    let shard = scratch.path("out/shard-00000.arrow");
    let mut bytes = fs::read(&shard).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    overwrite(&shard, bytes);
    scratch.write("out/notes.txt", "");
    assert_snapshot!("verify_damaged", transcript(&scratch, &["verify", "out"]));
}

/// One transcript per class of errors; the exit codes are documented.
#[test]
fn every_class_of_errors_has_its_exit_code_and_its_hint() {
    let scratch = Scratch::packed(20, "");
    scratch.write(
        "typo.yaml",
        recipe(&["corpus.jsonl"], "pack: { seq_len: 1024, boundry: eod }\n"),
    );
    scratch.write(
        "token.yaml",
        recipe(&["corpus.jsonl"], "").replace("<|endoftext|>", "<|end_of_text|>"),
    );
    scratch.write("bad.jsonl", jsonl(["fine"]) + "{\"text\": 7}\n");
    scratch.write("bad.yaml", recipe(&["bad.jsonl"], ""));
    scratch.write("none.yaml", recipe(&["nowhere/*.jsonl"], ""));
    scratch.write("other.yaml", recipe(&["corpus.jsonl"], "seed: 2\n"));
    scratch.write("foreign/notes.txt", "mine");
    fs::create_dir(scratch.path("busy")).unwrap();
    let _lock = Lock::take(&scratch.path("busy")).unwrap();
    let cases: [(&str, i32, &[&str]); 12] = [
        ("ok", 0, &["verify", "out", "--quick"]),
        ("usage", 2, &["pack", "recipe.yaml", "--treads", "2"]),
        ("recipe", 2, &["pack", "typo.yaml", "--out", "new"]),
        ("tokenizer", 2, &["pack", "token.yaml", "--out", "new1"]),
        (
            "input",
            3,
            &["pack", "bad.yaml", "--out", "new2", "--store", "store"],
        ),
        ("no_input", 3, &["pack", "none.yaml", "--out", "new3"]),
        (
            "conflict",
            5,
            &["pack", "other.yaml", "--out", "out", "--store", "store"],
        ),
        (
            "foreign",
            5,
            &["pack", "recipe.yaml", "--out", "foreign", "--store", "store"],
        ),
        ("no_dataset", 10, &["verify", "store"]),
        ("no_directory", 10, &["verify", "nowhere"]),
        (
            "locked",
            11,
            &["pack", "recipe.yaml", "--out", "busy", "--store", "store"],
        ),
        ("io", 74, &["pack", "nowhere.yaml"]),
    ];
    let mut all = String::new();
    for (name, code, args) in cases {
        let text = transcript(&scratch, args);
        assert!(text.contains(&format!("exit code {code}\n")), "{name}: {text}");
        assert!(!text.contains('\u{1b}'), "{name}: colours without a terminal");
        all += &format!("{text}\n");
    }
    assert_snapshot!("errors", all);
}

#[test]
fn results_go_to_standard_output_and_everything_else_to_standard_error() {
    let scratch = Scratch::with_corpus(20, "");
    let pack = ["pack", "recipe.yaml", "--out", "out", "--store", "store"];
    for args in [
        &pack[..],
        &["plan", "recipe.yaml", "--store", "store"],
        &["verify", "out"],
        &["schema", "recipe"],
        &["init", "-"],
        &["--version"],
    ] {
        let output = scratch.ultrapack(args).expect_code(0);
        assert!(!output.stdout().is_empty(), "{args:?}");
    }
    for args in [
        &["verify", "nowhere"][..],
        &["pack", "nowhere.yaml"],
        &["pack"],
        &["init", "recipe.yaml"],
    ] {
        let output = scratch.ultrapack(args);
        assert!(
            output.stdout().is_empty() && !output.stderr().is_empty(),
            "{args:?}"
        );
    }
}

#[test]
fn a_quiet_run_says_nothing_but_errors() {
    let scratch = Scratch::new();
    let text = jsonl(["fine"]) + "{\"text\": 7}\n";
    scratch.write("corpus.jsonl", text);
    scratch.write(
        "recipe.yaml",
        recipe(&["corpus.jsonl"], "limits: { on_bad_record: skip }\n"),
    );
    let pack = [
        "pack",
        "recipe.yaml",
        "--out",
        "out",
        "--store",
        "store",
        "--quiet",
    ];
    for args in [
        &pack[..],
        &["plan", "recipe.yaml", "--store", "store", "-q"],
        &["init", "new.yaml", "-q"],
    ] {
        assert_eq!(scratch.ultrapack(args).expect_code(0).stderr(), "", "{args:?}");
    }
    let refused = scratch
        .ultrapack(&["verify", "nowhere", "--quiet"])
        .expect_code(10);
    assert!(refused.stderr().starts_with("error: "));
}

#[test]
fn colours_appear_only_where_they_are_wanted() {
    let scratch = Scratch::packed(10, "");
    scratch.write("typo.yaml", recipe(&["corpus.jsonl"], "pack: { boundry: eod }\n"));
    let pack = ["pack", "recipe.yaml", "--out", "out", "--store", "store"];
    for (more, variables, wanted) in [
        ("", "", false),
        ("--color=always", "", true),
        ("--color=never", "CLICOLOR_FORCE", false),
        ("", "CLICOLOR_FORCE", true),
        ("", "CLICOLOR_FORCE NO_COLOR", false),
        ("--color=always", "NO_COLOR", true),
    ] {
        let run = |args: &[&str]| {
            let mut command = scratch.command(args);
            for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
                command.env_remove(name);
            }
            command.envs(variables.split_ascii_whitespace().map(|name| (name, "1")));
            command.args(more.split_ascii_whitespace()).output().unwrap()
        };
        let sgr = |text: String| text.contains("\u{1b}[");
        for (what, found) in [
            ("summary", run(&pack).expect_code(0).stdout()),
            ("error", run(&["verify", "nowhere"]).expect_code(10).stderr()),
            (
                "recipe error",
                run(&["pack", "typo.yaml"]).expect_code(2).stderr(),
            ),
        ] {
            assert_eq!(sgr(found), wanted, "{what} with {more:?} and {variables:?}");
        }
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let scratch = Scratch::packed(10, "");
    for args in [
        &["schema", "manifest"][..],
        &["completions", "zsh"],
        &["verify", "out"],
        &["plan", "recipe.yaml", "--store", "store", "--json"],
        &["--help"],
        &["init", "-"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = scratch
            .command(args)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.expect_code(0).stderr(), "", "{args:?}");
    }
}

#[test]
fn completions_know_the_commands() {
    let scratch = Scratch::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = scratch.ultrapack(&["completions", shell]).expect_code(0).stdout();
        for word in ["pack", "verify", "repair", "dry-run"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    scratch.ultrapack(&["completions", "tcsh"]).expect_code(2);
}

#[test]
fn init_writes_a_recipe_that_is_valid_and_never_overwrites_one() {
    let scratch = Scratch::new();
    let written = scratch.ultrapack(&["init"]).expect_code(0);
    assert!(written.stderr().contains("`recipe.yaml`"));
    let path = scratch.path("recipe.yaml");
    let loaded = ultrapack::recipe::load(&path, false).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert_eq!(
        scratch.ultrapack(&["init", "-"]).stdout(),
        fs::read_to_string(&path).unwrap()
    );
    scratch.write("recipe.yaml", "mine");
    scratch.ultrapack(&["init"]).expect_code(2);
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    scratch.ultrapack(&["init", "other.yaml"]).expect_code(0);
    assert!(scratch.path("other.yaml").exists());
}

#[test]
fn the_version_is_the_packages() {
    let version = format!("ultrapack {}\n", env!("CARGO_PKG_VERSION"));
    Command::new(env!("CARGO_BIN_EXE_ultrapack"))
        .arg("--version")
        .assert()
        .success()
        .stdout(version);
}

//! Rules that need no model.

use std::path::Path;

use super::*;
use crate::eval::sampler::{Sampling, Schedule};
use crate::model::RopeMethod;

fn rule() -> AnswerRule {
    AnswerRule {
        block: None,
        tokens_per_step: None,
        threshold: None,
        base: Sampling::greedy(1),
    }
}

fn spec() -> SubjectSpec {
    SubjectSpec {
        name: Some("first".into()),
        model: "m".into(),
        rope: RopeMethod::None,
        target_len: None,
        train_len: None,
        d_crit: None,
        max_len: None,
    }
}

#[test]
fn answers_are_sampled_as_published_and_in_whole_blocks() {
    let of = |benchmark, max_new| {
        let sampling = rule().sampling(benchmark, max_new);
        sampling.check().unwrap();
        (sampling.max_new, sampling.block, sampling.schedule)
    };
    assert_eq!(of("niah", 32), (32, 32, Schedule::Steps(16)));
    assert_eq!(of("ruler", 30), (64, 64, Schedule::Steps(64)));
    assert_eq!(of("longbench", 128), (128, 64, Schedule::Steps(128)));
    let rule = AnswerRule {
        block: Some(16),
        tokens_per_step: Some(5),
        ..rule()
    };
    // Four steps commit 16 tokens at five a step.
    assert_eq!(rule.sampling("niah", 20).schedule, Schedule::Steps(8));
    assert_eq!(rule.sampling("niah", 20).max_new, 32);
}

#[test]
fn a_compared_subject_changes_what_it_says_and_nothing_else() {
    let varied = spec().vary("rope=diffusion-ntk,target-len=131072").unwrap();
    assert_eq!(varied.rope, RopeMethod::DiffusionNtk);
    assert_eq!(
        (varied.target_len, varied.model.as_path()),
        (Some(131_072), Path::new("m"))
    );
    assert_eq!(varied.name, None);
    for (text, expected) in [
        ("rope", "`rope` is not key=value"),
        ("rop=ntk", "there is no `rop`"),
        ("target-len=0", "`target-len=0`: expected a number"),
        ("rope=magic", "there is no RoPE scaling `magic`"),
        ("a\u{1b}[31m=1", "there is no `a\\u{1b}[31m`"),
    ] {
        let error = spec().vary(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_torn_last_line_is_dropped_and_any_other_damage_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let mut journal = Journal::<u32>::open(&path).unwrap();
    journal.append(7).unwrap();
    journal.append(8).unwrap();
    drop(journal);
    std::fs::write(&path, b"7\n8\n9").unwrap();
    let mut journal = Journal::<u32>::open(&path).unwrap();
    assert_eq!(journal.entries(), [7, 8]);
    journal.append(10).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"7\n8\n10\n");
    std::fs::write(&path, b"7\nx\n9\n").unwrap();
    let error = Journal::<u32>::open(&path).unwrap_err().to_string();
    assert!(error.contains("line 2"), "{error}");
}

#[test]
fn the_remaining_time_follows_from_the_share_of_the_work() {
    let monitor = Monitor::default();
    assert_eq!(monitor.status().eta_secs, None);
    monitor.subject("s", monitor::Pending { n: 2, weight: 4.0 });
    assert_eq!(monitor.status().eta_secs, None);
    monitor.done(4.0);
    assert_eq!(
        (monitor.status().done, monitor.status().eta_secs),
        ((1, 2), Some(0.0))
    );
    assert!(monitor.check().is_ok());
    monitor.stop(15);
    assert!(monitor.check().is_err());
}

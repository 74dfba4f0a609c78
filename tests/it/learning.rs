//! Pack, train and evaluate, end to end: does a model learn, and does its perplexity by length show what the
//! paper is about? Takes minutes, so it runs where `ULTRAPACK_SLOW` is set.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::scratch::{Finished, Scratch};

/// Steps of pre-training, 2,048 tokens each.
const STEPS: &str = "500";

fn perplexities(summary: &Value, subject: usize) -> Vec<(u64, f64)> {
    let points = summary["eval"]["subjects"][subject]["perplexity"]["points"]
        .as_array()
        .unwrap();
    let point = |p: &Value| (p["length"].as_u64().unwrap(), p["perplexity"].as_f64().unwrap());
    points.iter().map(point).collect()
}

/// Nats per byte of a text whose bytes are told by their frequencies alone.
fn unigram_entropy(text: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    text.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
    let shares = counts
        .iter()
        .filter(|&&n| n > 0)
        .map(|&n| f64::from(n) / text.len() as f64);
    shares.map(|share| -share * share.ln()).sum()
}

#[test]
fn a_model_learns_and_without_scaling_it_collapses_where_both_forms_of_ntk_hold() {
    if std::env::var_os("ULTRAPACK_SLOW").is_none() {
        eprintln!("skipped: set ULTRAPACK_SLOW to train a model");
        return;
    }
    let scratch = Scratch::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/study/run");
    let output = Command::new("bash")
        .arg(script)
        .args(["toy", "study"])
        .env("ULTRAPACK", env!("CARGO_BIN_EXE_ultrapack"))
        .env("STAGES", "zero-shot")
        .env("PRE_STEPS", STEPS)
        .current_dir(scratch.path(""))
        .output()
        .unwrap()
        .expect_code(0);
    eprintln!("{}", output.stdout());
    let summary = std::fs::read(scratch.path("study/0/zero-shot/summary.json")).unwrap();
    let summary: Value = serde_json::from_slice(&summary).unwrap();
    let [none, ntk, diffusion] = [0, 1, 2].map(|subject| perplexities(&summary, subject));
    assert_eq!(
        none.iter().map(|(length, _)| *length).collect::<Vec<_>>(),
        [64, 128, 256, 512, 1024]
    );

    // It has learned more than which letters are frequent: by at least 0.6 nats at the trained length.
    let entropy = unigram_entropy(&std::fs::read(scratch.path("study/heldout.txt")).unwrap());
    assert!(
        none[0].1.ln() < entropy - 0.6,
        "{none:?}, unigram entropy {entropy}"
    );
    // Without scaling that is lost beyond: it is worse at 4 times the trained length, and from 8 times on by at
    // least half a nat ...
    let lost = |index: usize| none[index].1.ln() - none[0].1.ln();
    assert!(lost(2) > 0.1 && lost(3) > 0.5 && lost(4) > 0.5, "{none:?}");
    // ... and at 16 times either form of NTK is better by at least 0.3 nats.
    for scaled in [&ntk, &diffusion] {
        assert!(scaled[4].1.ln() < none[4].1.ln() - 0.3, "{none:?} {scaled:?}");
    }
}

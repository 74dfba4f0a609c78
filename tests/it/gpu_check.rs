//! `gpu-check` and the script around it, on the CPU: what they say of a GPU can be trusted only if they work.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::scratch::{Finished, Scratch};

fn section(name: &str) -> Value {
    let scratch = Scratch::new();
    let output = scratch.ultrapack(&["gpu-check", name, "--device", "cpu", "--seed", "7"]);
    assert!(output.status.success(), "{}", output.stderr());
    serde_json::from_str::<Value>(&output.stdout()).unwrap()["gpu_check"].take()
}

fn all_passed(report: &Value) -> usize {
    let checks = report["checks"].as_array().unwrap();
    let failed: Vec<_> = checks.iter().filter(|check| check["passed"] != true).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(report["problems"].as_array().unwrap().len(), 0, "{report:#}");
    checks.len()
}

#[test]
fn attention_and_gradients_are_compared_on_the_cpu_as_on_a_gpu() {
    assert_eq!(all_passed(&section("attention")), 4 * 5);
    // The loss, and 2 blocks of 9 parameters, embedding, final norm and head.
    let model = 1 + 2 * 9 + 3;
    // Of each format of weights and state: before and after a move, and the gradients.
    let optimizer = 4 * 3;
    assert_eq!(all_passed(&section("gradients")), model + optimizer);
}

#[test]
fn speed_is_measured_full_and_in_documents() {
    let report = section("speed");
    all_passed(&report);
    let speeds = report["speeds"].as_array().unwrap();
    let layouts = |name: &str| {
        speeds
            .iter()
            .filter(|s| s["name"].as_str().unwrap().contains(name))
            .count()
    };
    assert_eq!(
        (
            layouts("attention forward"),
            layouts("attention backward"),
            layouts("model")
        ),
        (2, 2, 2)
    );
    assert!(
        speeds
            .iter()
            .all(|s| s["secs"].as_f64().unwrap() > 0.0 && s["utilisation"].is_null())
    );
}

#[test]
fn work_that_does_not_fit_the_budget_is_a_problem_of_the_report() {
    let scratch = Scratch::new();
    let output = scratch.ultrapack(&["gpu-check", "gradients", "--device", "cpu", "--budget", "0"]);
    let report: Value = serde_json::from_str(&output.stdout()).unwrap();
    let problems = report["gpu_check"]["problems"].as_array().unwrap();
    // The model, and four formats of the optimizer.
    assert_eq!(problems.len(), 1 + 4);
    let late = |problem: &Value| problem.as_str().unwrap().ends_with("time was up");
    assert!(problems.iter().all(late), "{problems:?}");
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_gpu_is_asked_of_a_program_without_support_for_it() {
    let scratch = Scratch::new();
    let output = scratch.ultrapack(&["gpu-check", "speed", "--device", "cuda:0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        output.stderr().contains("scripts/cuda-build"),
        "{}",
        output.stderr()
    );
    assert_eq!(output.stdout(), "");
}

#[test]
fn the_script_writes_a_report_in_which_failures_are_recorded() {
    let scratch = Scratch::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/gpu-check");
    let output = Command::new("python3")
        .arg(script)
        .args(["--device", "cpu", "--budget", "60", "--out"])
        .arg(scratch.path("reports"))
        .arg("--program")
        .arg(env!("CARGO_BIN_EXE_ultrapack"))
        .output()
        .unwrap();
    // The kernels alone cannot be checked on a CPU: that is written down, and the rest is done all the same.
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr());
    let printed = output.stdout();
    let page = Path::new(printed.trim_end());
    let text = std::fs::read_to_string(page).unwrap();
    assert!(
        text.contains("**problem**: the kernels alone need a GPU"),
        "{text}"
    );
    let report = std::fs::read_to_string(page.with_extension("json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["card"], "cpu");
    for name in ["attention", "gradients", "speed"] {
        all_passed(&report["sections"][name]);
    }
}

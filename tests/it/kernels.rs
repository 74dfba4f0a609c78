//! The GPU kernels without a GPU: emulated on the CPU and held against f64, and planted faults are found.
//!
//! Each check runs in a process of its own, because a fault in a kernel may well end it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ultrapack::kernel::Program;
use ultrapack::kernel::check::{self, Extent, KINDS};

use crate::emulator::{Emulator, compiler, kernels};

/// A fault: the kind of check that must find it, what it is, and the text of the source that it replaces.
struct Fault {
    kind: &'static str,
    what: &'static str,
    find: &'static str,
    replace: &'static str,
}

const fn fault(kind: &'static str, what: &'static str, find: &'static str, replace: &'static str) -> Fault {
    Fault {
        kind,
        what,
        find,
        replace,
    }
}

/// The first place of `find` is replaced.
const FAULTS: [Fault; 29] = [
    fault(
        "flash_64",
        "forward: K is not waited for",
        "        wait_copies<0>();\n        barrier();\n        load_tile<FORWARD_KEYS, 128>(v_tile",
        "        barrier();\n        load_tile<FORWARD_KEYS, 128>(v_tile",
    ),
    fault(
        "flash_64",
        "forward: no barrier before V arrives",
        "        barrier();\n        load_tile<FORWARD_KEYS, 128>(v_tile",
        "        load_tile<FORWARD_KEYS, 128>(v_tile",
    ),
    fault(
        "flash_64",
        "forward: V is not waited for",
        "        wait_copies<0>();\n        barrier();\n        if (key + FORWARD_KEYS < w.end)",
        "        barrier();\n        if (key + FORWARD_KEYS < w.end)",
    ),
    fault(
        "flash_64",
        "forward: no barrier before the next K arrives",
        "        barrier();\n        if (key + FORWARD_KEYS < w.end)",
        "        if (key + FORWARD_KEYS < w.end)",
    ),
    fault(
        "flash_64",
        "forward: keys past the end count",
        "if (key + FORWARD_KEYS > w.end) {",
        "if (false) {",
    ),
    fault(
        "flash_64",
        "forward: rows past the end are written",
        "        if (w.row + row < w.end) {\n            u32 x[4];",
        "        {\n            u32 x[4];",
    ),
    fault(
        "flash_64",
        "forward: halves of a fragment swapped",
        "multiply(s[i][2 * j], a[i], b[0], b[1]);",
        "multiply(s[i][2 * j], a[i], b[1], b[0]);",
    ),
    fault(
        "flash_64",
        "forward: V is not transposed",
        "load_matrices_transposed(b, step(v_left, d)",
        "load_matrices(b, step(v_left, d)",
    ),
    fault(
        "flash_64",
        "forward: the output is not rescaled",
        "out[i][d][2 * r] *= correction;",
        "",
    ),
    fault(
        "flash_64",
        "forward: the maximum of one lane only",
        "high = larger(high, shuffle_xor(high, 2));",
        "",
    ),
    fault(
        "flash_64",
        "forward: a wrong key head",
        "kv_head = head / (heads / kv_heads)",
        "kv_head = head % kv_heads",
    ),
    fault(
        "flash_64",
        "tiles: banks conflict",
        "(chunk ^ (row & 7))",
        "chunk",
    ),
    fault(
        "flash_64",
        "tiles: rows past the end are not zero",
        "bool valid = row + r < end;",
        "bool valid = true;",
    ),
    fault(
        "flash_64",
        "backward: a stage is not waited for",
        "        wait_copies<0>();\n        barrier();\n        if (i + 1 < n_steps)",
        "        barrier();\n        if (i + 1 < n_steps)",
    ),
    fault(
        "flash_64",
        "backward: no barrier before a stage is filled again",
        "        barrier();\n        if (i + 1 < n_steps)",
        "        if (i + 1 < n_steps)",
    ),
    fault(
        "flash_64",
        "backward: no barrier before dS is read",
        "            barrier();\n            int rows = (warp & 3) * 16",
        "            int rows = (warp & 3) * 16",
    ),
    fault(
        "flash_64",
        "backward: the stages are not switched",
        "u32 stage = (i & 1) * stage_bytes;",
        "u32 stage = 0;",
    ),
    fault(
        "flash_64",
        "backward: keys past the end have a probability",
        "if (own_row + (e >> 1) * 8 >= w.end) probability = 0.f;",
        "",
    ),
    fault(
        "flash_64",
        "backward dq: keys past the end have a probability",
        "if (key + j * 8 + (lane & 3) * 2 + (e & 1) >= w.end) probability = 0.f;",
        "",
    ),
    fault(
        "flash_64",
        "backward: delta is forgotten",
        "ds[j][e] = probability * (ds[j][e] - own_figures[BACKWARD_ROWS + column]);",
        "ds[j][e] = probability * ds[j][e];",
    ),
    fault(
        "elements_f32",
        "sums: no barrier before the sum is read",
        "    barrier();\n    float total = 0.f;",
        "    float total = 0.f;",
    ),
    fault(
        "elements_f32",
        "sums: no barrier before the next sum is written",
        "    barrier();\n    if ((THREAD & 31) == 0) SCRATCH[THREAD >> 5] = x;\n    barrier();\n    float total",
        "    if ((THREAD & 31) == 0) SCRATCH[THREAD >> 5] = x;\n    barrier();\n    float total",
    ),
    fault(
        "elements_f32",
        "cross-entropy: the target is overwritten before it is read",
        "    barrier();\n    for (int j = THREAD; j < vocab",
        "    for (int j = THREAD; j < vocab",
    ),
    fault(
        "elements_f32",
        "rope: turned the wrong way",
        "rounded(a * c - b * s)",
        "rounded(a * c + b * s)",
    ),
    fault(
        "elements_f32",
        "embedding: a piece too few",
        "int slot = own.begin; slot < own.end",
        "int slot = own.begin + 1; slot < own.end",
    ),
    fault(
        "elements_bf16",
        "accumulate: the sum before is lost",
        "sum[i] += value_of(x[i])",
        "sum[i] = value_of(x[i])",
    ),
    fault(
        "optimizer",
        "adamw: weight decay in the gradient",
        "p - a.lr * (update + a.weight_decay * p)",
        "p - a.lr * update",
    ),
    fault(
        "optimizer",
        "adamw bf16: rounded towards zero",
        "(bits + (noise16 & 0xffffu)) >> 16",
        "bits >> 16",
    ),
    fault(
        "optimizer",
        "adamw bf16: weights in 32 bits are rounded",
        "INLINE element kept(float x, u32) { return x; }",
        "INLINE element kept(float x, u32 noise) { return float_of((u32)stochastic(x, noise) << 16); }",
    ),
];

/// Names the kind of check, then the number of a fault, for [`one_emulated_check`].
const KIND: &str = "ULTRAPACK_TEST_KERNELS";
const FAULT: &str = "ULTRAPACK_TEST_KERNELS_FAULT";

/// This test, in a process of its own: one kind of check, with or without a fault.
fn spawn(kind: &str, fault: Option<usize>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "kernels::one_emulated_check", "--nocapture"])
        .env(KIND, kind)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(if fault.is_some() {
            Stdio::null()
        } else {
            Stdio::inherit()
        });
    if let Some(fault) = fault {
        command.env(FAULT, fault.to_string());
    }
    command.spawn().unwrap()
}

/// Whether the checks passed; a hang is a failure.
fn passed(mut child: Child) -> bool {
    let begin = Instant::now();
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status.success(),
            None if begin.elapsed() > Duration::from_secs(600) => {
                child.kill().unwrap();
                child.wait().unwrap();
                return false;
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

#[test]
fn one_emulated_check() {
    let Ok(kind) = std::env::var(KIND) else { return };
    let planted = std::env::var(FAULT)
        .ok()
        .map(|n| &FAULTS[n.parse::<usize>().unwrap()]);
    let directory = tempfile::tempdir().unwrap();
    let mut emulator = Emulator::new(directory.path(), move |source| match planted {
        Some(fault) => source.replacen(fault.find, fault.replace, 1),
        None => source,
    });
    // Fresh inputs: the seed is printed, and can be given again.
    let seed = std::env::var("SEED").map_or_else(|_| u64::from(std::process::id()), |s| s.parse().unwrap());
    let extent = if planted.is_some() {
        Extent::Brief
    } else {
        Extent::Full
    };
    let outcomes = check::run(&kind, &mut emulator, seed, extent).unwrap();
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed).collect();
    assert!(failed.is_empty(), "SEED={seed}: {failed:#?}");
    assert!(!outcomes.is_empty());
    if planted.is_none() && kind.starts_with("flash") {
        let mut launched: Vec<&str> = emulator.launched.keys().copied().collect();
        let source = Program::ALL.iter().find(|p| p.name() == kind).unwrap().kernels();
        let mut declared = kernels(&source);
        launched.sort_unstable();
        declared.sort_unstable();
        assert_eq!(launched, declared);
    }
}

#[test]
fn every_kernel_agrees_with_plain_loops_in_f64() {
    if compiler().is_none() {
        eprintln!("no g++: the kernels are not emulated");
        return;
    }
    let wrong: Vec<&str> = KINDS
        .into_iter()
        .filter(|kind| !passed(spawn(kind, None)))
        .collect();
    assert_eq!(wrong, Vec::<&str>::new());
}

#[test]
fn every_planted_fault_in_a_kernel_is_found() {
    for fault in &FAULTS {
        let found = Program::ALL
            .iter()
            .any(|program| program.kernels().contains(fault.find));
        assert!(found, "{}: the source has changed", fault.what);
    }
    if compiler().is_none() {
        eprintln!("no g++: the kernels are not emulated");
        return;
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let numbers: Vec<usize> = (0..FAULTS.len()).collect();
    let missed: Vec<&str> = std::thread::scope(|scope| {
        let shares: Vec<_> = (0..threads)
            .map(|first| {
                let own = numbers.iter().skip(first).step_by(threads);
                scope.spawn(move || {
                    own.filter(|&&n| passed(spawn(FAULTS[n].kind, Some(n))))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        shares
            .into_iter()
            .flat_map(|share| share.join().unwrap())
            .map(|&n| FAULTS[n].what)
            .collect()
    });
    assert_eq!(missed, Vec::<&str>::new());
}

#[test]
fn the_programs_declare_no_kernel_twice() {
    for program in Program::ALL {
        let mut names = kernels(&program.kernels());
        let n = names.len();
        assert!(n >= 5, "{}: {names:?}", program.name());
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), n);
    }
}

//! The sampler over a scripted denoiser: rules that a real model cannot be made to meet.

use std::ops::Range;

use super::*;
use crate::error::Result;

const MASK: u32 = 9;
const EOS: u32 = 8;
const SPECIAL: SpecialTokens = SpecialTokens {
    mask: MASK,
    eos: EOS,
    eot: Some(7),
};

/// Logits are a function of ids and position; calls are counted by kind.
struct Scripted<F> {
    logits: F,
    calls: Vec<String>,
}

impl<F: FnMut(&[u32], u32) -> [f32; 10]> Scripted<F> {
    fn new(logits: F) -> Self {
        Self {
            logits,
            calls: Vec::new(),
        }
    }

    fn rows(&mut self, ids: &[u32], rows: &[u32]) -> Vec<f32> {
        rows.iter().flat_map(|&row| (self.logits)(ids, row)).collect()
    }
}

impl<F: FnMut(&[u32], u32) -> [f32; 10]> Denoiser for Scripted<F> {
    type Cache = usize;

    fn n_vocab(&self) -> usize {
        10
    }

    fn logits(&mut self, ids: &[u32], rows: &[u32]) -> Result<Vec<f32>> {
        self.calls.push(format!("all {rows:?}"));
        Ok(self.rows(ids, rows))
    }

    fn logits_kept(&mut self, ids: &[u32], rows: &[u32]) -> Result<(Vec<f32>, usize)> {
        self.calls.push(format!("keep {rows:?}"));
        Ok((self.rows(ids, rows), ids.len()))
    }

    fn logits_within(
        &mut self,
        ids: &[u32],
        span: Range<usize>,
        rows: &[u32],
        kept: &usize,
    ) -> Result<Vec<f32>> {
        assert_eq!(*kept, ids.len());
        self.calls.push(format!("{span:?} {rows:?}"));
        Ok(self.rows(ids, rows))
    }
}

/// One token stands out by `height`.
fn peak(token: u32, height: f32) -> [f32; 10] {
    std::array::from_fn(|id| if id as u32 == token { height } else { 0.0 })
}

fn blocks(max_new: u32, block: u32, steps: u32) -> Sampling {
    Sampling {
        block,
        schedule: Schedule::Steps(steps),
        ..Sampling::greedy(max_new)
    }
}

/// The order of commits, the answer and what was asked of the model.
fn run<F: FnMut(&[u32], u32) -> [f32; 10]>(
    prompt: &[u32],
    sampling: &Sampling,
    logits: F,
) -> Result<(Vec<Vec<u32>>, Generated, Vec<String>)> {
    let mut scripted = Scripted::new(logits);
    let mut order = Vec::new();
    let generated = sample(&mut scripted, prompt, sampling, SPECIAL, &mut |step| {
        order.push(step.committed.to_vec());
        Ok(())
    })?;
    Ok((order, generated, scripted.calls))
}

#[test]
fn of_equal_logits_the_lower_id_wins_and_of_equal_confidences_the_lower_position() {
    let (order, generated, _) = run(&[1], &blocks(4, 4, 4), |_, _| [0.5; 10]).unwrap();
    assert_eq!(order, [[1], [2], [3], [4]]);
    assert_eq!(generated.tokens, [0; 4]);
}

#[test]
fn the_surest_position_comes_first_and_the_first_steps_take_one_more() {
    let heights = [2.0, 5.0, 1.0, 4.0, 3.0];
    let (order, generated, calls) =
        run(&[], &blocks(5, 5, 3), |_, row| peak(row, heights[row as usize])).unwrap();
    assert_eq!(order, [vec![1, 3], vec![4, 0], vec![2]]);
    assert_eq!(generated.tokens, [0, 1, 2, 3, 4]);
    assert_eq!(calls, ["all [0, 1, 2, 3, 4]", "all [0, 2, 4]", "all [2]"]);
    assert_eq!((generated.n_steps, generated.n_forwards), (3, 3));
}

#[test]
fn only_masks_up_to_the_end_of_the_block_are_asked_for_those_of_the_prompt_among_them() {
    let (order, generated, calls) = run(&[MASK, 3], &blocks(4, 2, 4), |_, row| {
        peak(row, if row == 0 { 9.0 } else { 1.0 })
    })
    .unwrap();
    assert_eq!(calls[..2], ["all [0, 2, 3]", "all [2, 3]"]);
    assert_eq!(order[0], [0]);
    // The mask of the prompt took a step of the first block, whose last position is left to the second.
    assert_eq!(calls[2..], ["all [3, 4, 5]", "all [4, 5]"]);
    assert_eq!(generated.tokens, [2, 3, 4, MASK]);
}

#[test]
fn a_step_that_may_commit_nothing_is_not_run() {
    let (_, generated, _) = run(&[], &blocks(2, 2, 6), |_, row| peak(row, 1.0)).unwrap();
    assert_eq!((generated.n_steps, generated.n_forwards), (2, 2));
}

#[test]
fn the_mask_itself_is_never_chosen_and_a_threshold_run_always_ends() {
    let sampling = Sampling {
        schedule: Schedule::Threshold(0.9),
        ..blocks(4, 2, 1)
    };
    let (order, generated, _) = run(&[], &sampling, |_, _| peak(MASK, 50.0)).unwrap();
    assert_eq!(generated.tokens, [0; 4]);
    assert_eq!(order, [[0], [1], [2], [3]]);
}

#[test]
fn a_threshold_commits_every_sure_position_at_once() {
    let sampling = Sampling {
        schedule: Schedule::Threshold(0.9),
        ..blocks(4, 4, 1)
    };
    // e^9 / (e^9 + 9) > 0.99; e^1 / (e^1 + 9) = 0.23.
    let (order, _, _) = run(&[], &sampling, |_, row| peak(4, if row < 3 { 9.0 } else { 1.0 })).unwrap();
    assert_eq!(order, [vec![0, 1, 2], vec![3]]);
}

#[test]
fn a_logit_that_is_no_number_is_an_error_and_minus_infinity_is_not() {
    for bad in [f32::NAN, f32::INFINITY] {
        let error = run(&[4, 4], &blocks(1, 1, 1), |_, _| {
            let mut logits = [0.0; 10];
            logits[6] = bad;
            logits
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains("position 2 for token 6"), "{error}");
    }
    let (_, generated, _) = run(&[], &blocks(1, 1, 1), |_, _| [f32::NEG_INFINITY; 10]).unwrap();
    assert_eq!(generated.tokens, [0]);
}

#[test]
fn guidance_moves_away_from_what_is_said_without_the_prompt() {
    let mut seen = Vec::new();
    let sampling = Sampling {
        guidance: 1.5,
        ..blocks(1, 1, 1)
    };
    let (_, generated, _) = run(&[3, 4], &sampling, |ids, _| {
        seen.push(ids.to_vec());
        let mut logits = [0.0; 10];
        // With the prompt 2 is a little behind 1; without it 2 is far behind.
        (logits[1], logits[2]) = if ids[0] == MASK { (1.0, 0.0) } else { (1.0, 0.9) };
        logits
    })
    .unwrap();
    // 0 + 2.5 · 0.9 = 2.25 against 1 + 2.5 · 0 = 1.
    assert_eq!(generated.tokens, [2]);
    assert_eq!(seen, [[3, 4, MASK], [MASK, MASK, MASK]]);
    assert_eq!((generated.n_steps, generated.n_forwards), (1, 2));
}

#[test]
fn an_end_of_text_can_be_forbidden_or_put_off() {
    let logits = |_: &[u32], row: u32| match row {
        0 => peak(EOS, 9.0),
        _ => peak(1, 3.0),
    };
    let forbidden = Sampling {
        forbid_eos: true,
        ..blocks(2, 2, 2)
    };
    assert_eq!(run(&[], &forbidden, logits).unwrap().1.tokens, [0, 1]);
    let (order, generated, _) = run(&[], &blocks(2, 2, 2), logits).unwrap();
    assert_eq!((order, generated.tokens), (vec![vec![0], vec![1]], vec![EOS, 1]));
    for temperature in [0.0, 1e-3] {
        let deferred = Sampling {
            defer_eos: true,
            temperature,
            ..blocks(2, 2, 2)
        };
        let (order, generated, _) = run(&[], &deferred, logits).unwrap();
        assert_eq!((order, generated.tokens), (vec![vec![1], vec![0]], vec![EOS, 1]));
    }
}

#[test]
fn noise_follows_the_distribution_that_the_logits_say() {
    // At temperature 1 Gumbel noise samples softmax: 3/4 and 1/4 of two tokens.
    let mut logits = [f32::NEG_INFINITY; 10];
    (logits[2], logits[5]) = (3f32.ln(), 0.0);
    let mut counts = [0; 10];
    for seed in 0..4000 {
        let sampling = Sampling {
            temperature: 1.0,
            seed,
            ..blocks(1, 1, 1)
        };
        counts[run(&[], &sampling, |_, _| logits).unwrap().1.tokens[0] as usize] += 1;
    }
    assert_eq!(counts[2] + counts[5], 4000);
    // Four standard deviations of a binomial count: 4 · √(4000 · 3/16) = 110.
    assert!((2890..=3110).contains(&counts[2]), "{counts:?}");
}

#[test]
fn a_random_order_is_a_function_of_the_seed() {
    let order = |seed| {
        let sampling = Sampling {
            remask: Remask::Random,
            seed,
            ..blocks(8, 8, 8)
        };
        run(&[], &sampling, |_, row| peak(row % 8, 1.0)).unwrap().0
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
    assert_ne!(order(1), (0..8).map(|i| vec![i]).collect::<Vec<_>>());
}

#[test]
fn caches_compute_the_sequence_once_a_block_and_then_a_part_of_it() {
    let calls = |cache, guidance| {
        let sampling = Sampling {
            cache,
            guidance,
            ..blocks(4, 2, 4)
        };
        let (_, generated, calls) = run(&[1, 1, 1], &sampling, |_, row| peak(row % 7, 1.0)).unwrap();
        (calls, generated.n_forwards, generated.n_partial)
    };
    let expected = ["keep [3, 4]", "3..7 [4]", "keep [5, 6]", "5..7 [6]"].map(String::from);
    assert_eq!(calls(CacheMode::Prefix, 0.0), (expected.to_vec(), 2, 2));
    let expected = ["keep [3, 4]", "3..5 [4]", "keep [5, 6]", "5..7 [6]"].map(String::from);
    assert_eq!(calls(CacheMode::Dual, 0.0), (expected.to_vec(), 2, 2));
    assert_eq!(calls(CacheMode::Dual, 1.0).1, 4);
}

#[test]
fn settings_that_do_not_fit_each_other_are_named() {
    let base = blocks(8, 4, 4);
    let cases = [
        (
            Sampling {
                block: 3,
                ..base.clone()
            },
            "blocks of 3",
        ),
        (
            Sampling {
                max_new: 0,
                ..base.clone()
            },
            "answer of 0",
        ),
        (
            Sampling {
                schedule: Schedule::Steps(3),
                ..base.clone()
            },
            "3 steps",
        ),
        (
            Sampling {
                schedule: Schedule::Steps(0),
                ..base.clone()
            },
            "0 steps",
        ),
        (
            Sampling {
                schedule: Schedule::Threshold(1.5),
                ..base.clone()
            },
            "threshold 1.5",
        ),
        (
            Sampling {
                schedule: Schedule::Threshold(0.5),
                remask: Remask::Random,
                ..base.clone()
            },
            "random",
        ),
        (
            Sampling {
                temperature: f64::NAN,
                ..base.clone()
            },
            "temperature NaN",
        ),
        (
            Sampling {
                guidance: -1.0,
                ..base.clone()
            },
            "guidance -1",
        ),
    ];
    for (sampling, expected) in cases {
        let error = sampling.check().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let cached = Sampling {
        cache: CacheMode::Dual,
        ..base
    };
    let error = run(&[MASK], &cached, |_, _| [0.0; 10]).unwrap_err().to_string();
    assert!(error.contains("prompt contains the mask"), "{error}");
}

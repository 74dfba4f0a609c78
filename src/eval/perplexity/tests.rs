//! The estimators over a predictor that can be enumerated.

use super::*;
use crate::dataset::RealTokens;
use crate::error::Result;
use crate::model::Tokens;

const MASK: u32 = 99;

/// Surprise that depends on the position and on everything that is masked.
fn surprise(masked: &[bool], row: usize) -> f32 {
    let n_masked = masked.iter().filter(|&&m| m).count();
    let neighbour = row > 0 && masked[row - 1];
    1.0 + row as f32 * 0.3 + n_masked as f32 * 0.7 + if neighbour { 1.5 } else { 0.0 }
}

struct Scripted {
    calls: Vec<(usize, Vec<u32>)>,
}

impl Predictor for Scripted {
    fn cross_entropy(&mut self, tokens: &Tokens<'_>, rows: &[u32], targets: &[u32]) -> Result<Vec<f32>> {
        let masked: Vec<bool> = tokens.ids.iter().map(|&id| id == MASK).collect();
        let shown: Vec<u32> = (0..masked.len() as u32).filter(|&i| masked[i as usize]).collect();
        assert_eq!(shown, rows, "what is asked for is what is masked");
        assert_eq!(rows, targets, "token i of the text is i");
        self.calls.push((tokens.ids.len(), rows.to_vec()));
        Ok(rows.iter().map(|&row| surprise(&masked, row as usize)).collect())
    }

    fn mask_id(&self) -> u32 {
        MASK
    }
}

fn text(n: u32) -> Text {
    Text {
        name: "t".into(),
        tokens: RealTokens {
            ids: (0..n).collect(),
            positions: (0..n).collect(),
            segments: vec![0, n],
            cu_seqlens: vec![0, n],
        },
    }
}

/// The bound itself: over all counts 1..=k of the last k of n tokens, and all subsets of each count.
fn exact(n: usize, k: usize) -> f64 {
    let mut by_count = vec![Vec::new(); k + 1];
    for subset in 1u32..1 << k {
        let mut masked = vec![false; n];
        (0..k)
            .filter(|i| subset >> i & 1 == 1)
            .for_each(|i| masked[n - k + i] = true);
        let rows: Vec<usize> = (0..n).filter(|&i| masked[i]).collect();
        let sum: f32 = rows.iter().map(|&row| surprise(&masked, row)).sum();
        by_count[rows.len()].push(f64::from(sum) / rows.len() as f64);
    }
    by_count[1..]
        .iter()
        .map(|means| means.iter().sum::<f64>() / means.len() as f64)
        .sum::<f64>()
        / k as f64
}

fn estimate(estimator: Estimator, n: u32, seed: u64) -> f64 {
    let mut predictor = Scripted { calls: Vec::new() };
    let draws = measure(
        &mut predictor,
        &text(n),
        Place { text: 0, length: n },
        estimator,
        seed,
    )
    .unwrap();
    draws.iter().sum::<f64>() / draws.len() as f64
}

/// Mean and standard error over seeds.
fn over_seeds(n_seeds: u64, value: impl Fn(u64) -> f64) -> (f64, f64) {
    let values: Vec<f64> = (0..n_seeds).map(value).collect();
    let mean = values.iter().sum::<f64>() / n_seeds as f64;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n_seeds - 1) as f64;
    (mean, (variance / n_seeds as f64).sqrt())
}

#[test]
fn both_estimators_have_the_bound_itself_as_their_mean() {
    for draws in [1, 2, 3, 7] {
        let (mean, error) = over_seeds(4000, |seed| estimate(Estimator::Window { draws }, 5, seed));
        let expected = exact(5, 5);
        assert!(
            (mean - expected).abs() < 4.0 * error,
            "{draws}: {mean} ± {error}, {expected}"
        );
        let chunks = Estimator::Chunks {
            chunk: 3,
            draws,
            stride: 1,
        };
        let (mean, error) = over_seeds(4000, |seed| estimate(chunks, 6, seed));
        let expected = exact(6, 3);
        assert!(
            (mean - expected).abs() < 4.0 * error,
            "{draws}: {mean} ± {error}, {expected}"
        );
    }
}

#[test]
fn every_ratio_is_equally_likely_in_every_draw() {
    for (n, draws) in [(3, 2), (5, 4), (4, 4), (2, 5)] {
        for draw in 0..draws as usize {
            let mut counts = vec![0; n as usize];
            for seed in 0..6000 {
                let mut rng = masks::stream(seed, "test", 0, n);
                counts[masks::stratified(&mut rng, n, draws)[draw] as usize - 1] += 1;
            }
            let share = 6000 / n as i32;
            assert!(
                counts.iter().all(|c| (c - share).abs() < 250),
                "{n} {draws} {draw}: {counts:?}"
            );
        }
    }
}

#[test]
fn stratified_masks_lower_the_variance() {
    let (_, stratified) = over_seeds(1500, |seed| estimate(Estimator::Window { draws: 4 }, 12, seed));
    let (_, plain) = over_seeds(1500, |seed| {
        let one = |draw| estimate(Estimator::Window { draws: 1 }, 12, seed * 4 + draw);
        (0..4).map(one).sum::<f64>() / 4.0
    });
    assert!(stratified < 0.6 * plain, "{stratified} {plain}");
}

#[test]
fn a_chunk_is_masked_behind_a_clean_prefix_and_nothing_follows_it() {
    let mut predictor = Scripted { calls: Vec::new() };
    let estimator = Estimator::Chunks {
        chunk: 4,
        draws: 20,
        stride: 1,
    };
    measure(
        &mut predictor,
        &text(16),
        Place { text: 0, length: 8 },
        estimator,
        1,
    )
    .unwrap();
    assert_eq!(predictor.calls.len(), 20);
    for (n, rows) in predictor.calls {
        assert_eq!(n, 8);
        assert!(rows.iter().all(|row| (4..8).contains(row)), "{rows:?}");
    }
}

#[test]
fn segments_are_cut_where_the_window_ends() {
    struct Boundaries(Vec<u32>);
    impl Predictor for Boundaries {
        fn cross_entropy(&mut self, tokens: &Tokens<'_>, rows: &[u32], _: &[u32]) -> Result<Vec<f32>> {
            self.0 = tokens.cu_seqlens.to_vec();
            Ok(vec![1.0; rows.len()])
        }
        fn mask_id(&self) -> u32 {
            MASK
        }
    }
    let mut packed = text(9);
    packed.tokens.cu_seqlens = vec![0, 3, 9];
    packed.tokens.segments = vec![0, 3, 9];
    let mut seen = Boundaries(Vec::new());
    let window = Estimator::Window { draws: 1 };
    measure(&mut seen, &packed, Place { text: 0, length: 5 }, window, 0).unwrap();
    assert_eq!(seen.0, [0, 3, 5]);
}

#[test]
fn a_curve_of_chunks_is_a_running_mean_with_the_last_stretch_beside_it() {
    let estimator = Estimator::Chunks {
        chunk: 2,
        draws: 2,
        stride: 1,
    };
    assert_eq!(
        estimator
            .places(1, &[4, 8])
            .iter()
            .map(|p| p.length)
            .collect::<Vec<_>>(),
        [4, 6, 8]
    );
    let at = |length, draws: [f64; 2]| (Place { text: 0, length }, draws.to_vec());
    let measured = [at(4, [1.0, 3.0]), at(6, [4.0, 4.0]), at(8, [6.0, 6.0])];
    let curve = Curve::new(estimator, &[8, 4], 1, &measured);
    let [first, second] = curve.points[..] else {
        panic!("{curve:?}");
    };
    assert_eq!((first.length, first.n, first.perplexity), (4, 1, 2f64.exp()));
    // Draws 1 and 3: variance 2, of the mean 1.
    assert!((first.std_error.unwrap() - 2f64.exp()).abs() < 1e-12);
    assert_eq!((second.length, second.perplexity), (8, 4f64.exp()));
    assert!((second.std_error.unwrap() - 4f64.exp() / 3.0).abs() < 1e-12);
    assert_eq!(second.local, Some(5f64.exp()));
    assert_eq!(second.std_error_texts, None);
    // Without one of its chunks a length has no point.
    let curve = Curve::new(estimator, &[4, 8], 1, &measured[..2]);
    assert_eq!(curve.points.len(), 1);
}

#[test]
fn windows_are_averaged_per_length_and_over_texts() {
    let estimator = Estimator::Window { draws: 1 };
    let at = |text, length, value| (Place { text, length }, vec![value]);
    let measured = [at(0, 4, 1.0), at(1, 4, 3.0), at(0, 8, 2.0), at(1, 8, 2.0)];
    let curve = Curve::new(estimator, &[4, 8], 2, &measured);
    let [first, second] = curve.points[..] else {
        panic!("{curve:?}");
    };
    assert_eq!(
        (first.perplexity, first.std_error, first.local),
        (2f64.exp(), None, None)
    );
    assert!((first.std_error_texts.unwrap() - 2f64.exp()).abs() < 1e-12);
    assert_eq!(
        (second.perplexity, second.std_error_texts),
        (2f64.exp(), Some(0.0))
    );
}

#[test]
fn settings_that_cannot_be_measured_are_named() {
    let chunks = |chunk, draws, stride| Estimator::Chunks { chunk, draws, stride };
    for (estimator, lengths, expected) in [
        (chunks(64, 8, 1), [4096, 100], "length 100"),
        (chunks(64, 8, 1), [4096, 64], "length 64"),
        (chunks(64, 8, 3), [192, 256], "length 256"),
        (chunks(0, 8, 1), [4096, 8192], "chunk and stride"),
        (chunks(64, 0, 1), [4096, 8192], "at least one draw"),
        (Estimator::Window { draws: 0 }, [4096, 8192], "at least one draw"),
    ] {
        let error = estimator.check(&lengths).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    chunks(64, 8, 2).check(&[4096, 128]).unwrap();
}

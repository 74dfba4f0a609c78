use super::*;

fn objective(t: PerWhat, low_discrepancy: bool) -> Objective {
    Objective {
        t,
        low_discrepancy,
        ..Objective::default()
    }
}

/// A stand-in for a model's cross entropy: it depends on the token and on everything that is masked.
fn cross_entropy(mask: u32, token: u32) -> f64 {
    1.0 + f64::from(token) + 0.7 * f64::from(mask.count_ones()) + f64::from(mask & 1)
}

/// One draw of the loss over `n` tokens in these segments.
fn drawn(seed: StepSeed, objective: &Objective, segments: &[u32]) -> f64 {
    let n = *segments.last().unwrap();
    let units = seed.probabilities(objective, n_units(objective, segments) as u64);
    let masked = Masked::draw(segments, &units, 1.0 / f64::from(n), seed.uniforms(0));
    let mask = masked.rows.iter().fold(0, |mask, row| mask | 1 << row);
    let terms = masked.rows.iter().zip(&masked.weights);
    terms
        .map(|(&row, &w)| f64::from(w) * cross_entropy(mask, row))
        .sum()
}

/// The expectation of the loss of a row with one t, by summing over all masks and integrating over t.
fn expected(objective: &Objective, n: u32) -> f64 {
    const GRID: u32 = 20_000;
    let at = |t: f64| -> f64 {
        let p = (1.0 - objective.eps) * t + objective.eps;
        let masks = 1..1u32 << n;
        let loss = |mask: u32| -> f64 {
            let masked = mask.count_ones() as i32;
            let likely = p.powi(masked) * (1.0 - p).powi(n as i32 - masked);
            let tokens = (0..n).filter(|token| mask >> token & 1 == 1);
            likely * tokens.map(|token| cross_entropy(mask, token) / p).sum::<f64>() / f64::from(n)
        };
        masks.map(loss).sum()
    };
    (0..GRID)
        .map(|i| at((f64::from(i) + 0.5) / f64::from(GRID)))
        .sum::<f64>()
        / f64::from(GRID)
}

fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

#[test]
fn the_drawn_loss_has_the_expectation_of_the_enumeration() {
    for low_discrepancy in [false, true] {
        let objective = objective(PerWhat::Row, low_discrepancy);
        let draws: Vec<f64> = (0..40_000)
            .map(|step| drawn(StepSeed::training(3, step), &objective, &[0, 4]))
            .collect();
        let (mean, error) = mean_and_error(&draws);
        let expected = expected(&objective, 4);
        assert!(
            (mean - expected).abs() < 4.0 * error,
            "{mean} ± {error}, expected {expected}"
        );
        assert!(error < 0.01 * expected, "{error}");
    }
}

#[test]
fn one_t_per_document_has_the_same_expectation_and_less_variance() {
    let draws = |t| -> Vec<f64> {
        let objective = objective(t, false);
        let segments: Vec<u32> = (0..=8).collect();
        let loss = |step| {
            let seed = StepSeed::training(1, step);
            let units = seed.probabilities(&objective, n_units(&objective, &segments) as u64);
            let masked = Masked::draw(&segments, &units, 1.0 / 8.0, seed.uniforms(0));
            masked.weights.iter().map(|&w| f64::from(w)).sum()
        };
        (0..20_000).map(loss).collect()
    };
    let ((row, row_error), (document, document_error)) = (
        mean_and_error(&draws(PerWhat::Row)),
        mean_and_error(&draws(PerWhat::Document)),
    );
    assert!((row - 1.0).abs() < 4.0 * row_error, "{row} ± {row_error}");
    assert!(
        (document - 1.0).abs() < 4.0 * document_error,
        "{document} ± {document_error}"
    );
    let scatter = |t| {
        // The share of masked tokens of a row: with one t it is that t, with eight it is near 1/2.
        let objective = objective(t, false);
        let shares: Vec<f64> = (0..4000)
            .map(|step| {
                let seed = StepSeed::training(2, step);
                let n = n_units(&objective, &[0, 1, 2, 3, 4, 5, 6, 7, 8]) as u64;
                let p = seed.probabilities(&objective, n);
                p.iter().sum::<f64>() / p.len() as f64
            })
            .collect();
        mean_and_error(&shares).1
    };
    assert!(scatter(PerWhat::Document) < 0.5 * scatter(PerWhat::Row));
}

#[test]
fn low_discrepancy_spreads_t_evenly_and_each_unit_still_sees_every_t() {
    let spread = objective(PerWhat::Row, true);
    let mut first = Vec::new();
    for step in 0..4000 {
        let mut p = StepSeed::training(0, step).probabilities(&spread, 8);
        first.push(p[0]);
        p.sort_by(f64::total_cmp);
        for (stratum, p) in p.iter().enumerate() {
            let t = (p - spread.eps) / (1.0 - spread.eps);
            assert_eq!((t * 8.0).floor() as usize, stratum, "{t}");
        }
    }
    let (mean, error) = mean_and_error(&first);
    assert!((mean - 0.5005).abs() < 4.0 * error, "{mean} ± {error}");

    let variance = |low_discrepancy| {
        let objective = objective(PerWhat::Row, low_discrepancy);
        let means: Vec<f64> = (0..4000)
            .map(|step| {
                StepSeed::training(0, step)
                    .probabilities(&objective, 8)
                    .iter()
                    .sum::<f64>()
                    / 8.0
            })
            .collect();
        mean_and_error(&means).1.powi(2)
    };
    // The mean of 8 stratified numbers varies 64 times less than that of 8 independent ones.
    assert!(variance(true) * 30.0 < variance(false));
}

#[test]
fn a_number_equal_to_the_probability_does_not_mask() {
    let masked = Masked::draw(&[0, 3], &[0.5], 1.0, |i| [0.5, 0.49, 0.51][i as usize]);
    assert_eq!(
        (masked.rows, masked.weights, masked.largest),
        (vec![1], vec![2.0], 2.0)
    );
}

#[test]
fn masked_ids_are_replaced_and_kept_as_targets() {
    let masked = Masked::draw(&[0, 2, 4], &[1.0, 0.25], 0.5, |i| f64::from(i) / 8.0);
    assert_eq!(masked.rows, [0, 1]);
    assert_eq!(
        masked.apply(&[7, 8, 9, 10], 99),
        (vec![99, 99, 9, 10], vec![7, 8])
    );
    let none = Masked::draw(&[0, 4], &[0.1], 0.5, |_| 0.9);
    assert_eq!((none.rows.len(), none.largest), (0, 0.0));
}

#[test]
fn masks_depend_on_seed_step_sequence_and_position_only() {
    let row = |seed, step, sequence| -> Vec<f64> {
        let uniform = StepSeed::training(seed, step).uniforms(sequence);
        (0..64).map(uniform).collect()
    };
    let first = row(7, 100, 3);
    assert_eq!(row(7, 100, 3), first);
    for other in [row(8, 100, 3), row(7, 101, 3), row(7, 100, 4)] {
        let equal = other.iter().zip(&first).filter(|(a, b)| a == b).count();
        assert_eq!(equal, 0);
    }
    // Part of the format of a run: a change here makes every resumed run another one.
    assert_eq!(
        first[0].to_bits(),
        StepSeed::training(7, 100).uniforms(3)(0).to_bits()
    );
    let p = StepSeed::training(7, 100).probabilities(&Objective::default(), 1)[0];
    assert_eq!(format!("{:.12} {p:.12}", first[0]), PINNED);
}

/// The first number of the mask and the first probability of one step.
const PINNED: &str = "0.470415227273 0.478968394015";

#[test]
fn one_step_in_a_hundred_is_cut_to_a_uniform_length() {
    let objective = Objective::default();
    let cuts: Vec<u32> = (0..100_000)
        .filter_map(|step| StepSeed::training(5, step).cut_len(&objective, 100))
        .collect();
    assert!((850..1150).contains(&cuts.len()), "{}", cuts.len());
    assert!(cuts.iter().all(|len| (1..=100).contains(len)));
    assert!(cuts.contains(&1) && cuts.contains(&100));
    let mean = cuts.iter().map(|&len| f64::from(len)).sum::<f64>() / cuts.len() as f64;
    assert!((mean - 50.5).abs() < 4.0, "{mean}");
    let never = Objective {
        random_length: 0.0,
        ..objective
    };
    assert!((0..1000).all(|step| StepSeed::training(5, step).cut_len(&never, 100).is_none()));
}

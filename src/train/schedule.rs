//! The learning rate of each step.

use crate::train::recipe::{Schedule, ScheduleKind};

/// The learning rate of step `step` (from 0) out of `steps`, for the highest rate `highest`.
///
/// Warm-up rises linearly and reaches the highest rate in its last step. `cosine` then falls to
/// `final_ratio` along half a cosine, `wsd` stays and falls linearly over the last `decay` steps; both reach
/// the last rate in the run's last step.
///
/// Source: cosine, Loshchilov and Hutter, 2017; warm-up, stable, decay, Hu et al. (MiniCPM), 2024.
pub fn learning_rate(schedule: &Schedule, highest: f64, step: u64, steps: u64) -> f64 {
    if step < schedule.warmup {
        return highest * (step + 1) as f64 / schedule.warmup as f64;
    }
    let last = highest * schedule.final_ratio;
    // The share of the fall that is behind: 0 before it, 1 in the last step.
    let share = |length: u64| {
        let left = steps.saturating_sub(step + 1);
        if left >= length {
            0.0
        } else {
            1.0 - left as f64 / length as f64
        }
    };
    match schedule.kind {
        ScheduleKind::Constant => highest,
        ScheduleKind::Cosine => {
            let share = share(steps.saturating_sub(schedule.warmup));
            last + (highest - last) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
        }
        ScheduleKind::Wsd => highest + (last - highest) * share(schedule.decay),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(kind: ScheduleKind, warmup: u64, decay: u64) -> Vec<f64> {
        let schedule = Schedule {
            kind,
            warmup,
            decay,
            final_ratio: 0.1,
        };
        (0..10)
            .map(|step| learning_rate(&schedule, 1.0, step, 10))
            .collect()
    }

    #[track_caller]
    fn close(found: &[f64], expected: &[f64]) {
        let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(
            near && found.len() == expected.len(),
            "{found:?}, expected {expected:?}"
        );
    }

    #[test]
    fn warm_up_reaches_the_highest_rate_in_its_last_step() {
        let constant = rates(ScheduleKind::Constant, 4, 0);
        close(&constant, &[0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn cosine_falls_from_the_highest_rate_through_the_middle_to_the_last() {
        let cosine = rates(ScheduleKind::Cosine, 2, 0);
        close(&cosine[..2], &[0.5, 1.0]);
        assert!((cosine[5] - 0.55).abs() < 1e-12, "half way: {}", cosine[5]);
        assert!((cosine[9] - 0.1).abs() < 1e-12);
        assert!(cosine[2..].windows(2).all(|w| w[0] > w[1]));
    }

    #[test]
    fn wsd_stays_and_falls_linearly_at_the_end() {
        let wsd = rates(ScheduleKind::Wsd, 2, 3);
        close(&wsd, &[0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.7, 0.4, 0.1]);
    }
}

//! One AdamW update over slices, in one pass.

use rayon::prelude::*;

use super::rounding::Stored;
use crate::kernel::optimizer::AdamW;
use crate::pack::seed::mix;

/// Elements that one task updates.
const CHUNK: usize = 1 << 14;

/// One update of one parameter.
#[derive(Debug, Clone, Copy)]
pub struct Update {
    /// Its numbers.
    pub numbers: AdamW,
    /// Seed of the rounding of 16-bit numbers, another one for every update and parameter.
    pub seed: u64,
}

impl Update {
    /// Changes weights `w` and moments `m`, `v` by gradients `g`, all of one length.
    ///
    /// Each element is computed alone, so threads cannot change a bit. The operations and their order are
    /// those of PyTorch's AdamW.
    ///
    /// Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2.
    pub fn apply<W: Stored, S: Stored>(&self, w: &mut [W], m: &mut [S], v: &mut [S], g: &[f32]) {
        let AdamW {
            gradient_scale,
            lr,
            beta1,
            beta2,
            eps,
            weight_decay,
            step: count,
        } = self.numbers;
        let correction1 = 1.0 - f64::from(beta1).powf(count as f64);
        let correction2 = (1.0 - f64::from(beta2).powf(count as f64)).sqrt();
        let step = (f64::from(lr) / correction1) as f32;
        let keep = (1.0 - f64::from(lr) * f64::from(weight_decay)) as f32;
        let correction2 = correction2 as f32;
        let chunks = w.par_chunks_mut(CHUNK).zip(m.par_chunks_mut(CHUNK));
        let chunks = chunks.zip(v.par_chunks_mut(CHUNK)).zip(g.par_chunks(CHUNK));
        chunks.enumerate().for_each(|(chunk, (((w, m), v), g))| {
            let first = (chunk * CHUNK) as u64;
            let elements = w.iter_mut().zip(m).zip(v).zip(g);
            for (index, (((w, m), v), g)) in (first..).zip(elements) {
                let random = mix(self.seed ^ index);
                let g = g * gradient_scale;
                let mean = m.read() + (1.0 - beta1) * (g - m.read());
                let square = v.read() * beta2 + (1.0 - beta2) * g * g;
                let denominator = square.sqrt() / correction2 + eps;
                let value = w.read() * keep - step * (mean / denominator);
                *m = S::write(mean, random);
                *v = S::write(square, random >> 16);
                *w = W::write(value, random >> 32);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    fn update(count: u64) -> Update {
        let numbers = AdamW {
            gradient_scale: 1.0,
            lr: 0.01,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
            step: count,
        };
        Update { numbers, seed: 5 }
    }

    fn numbers(n: usize, seed: u64) -> Vec<f32> {
        let unit = |i| crate::pack::seed::unit(mix(seed ^ i)) as f32 - 0.5;
        (0..n as u64).map(unit).collect()
    }

    /// The textbook form in f64, element by element.
    fn textbook(w: &mut [f64], m: &mut [f64], v: &mut [f64], g: &[f64], u: &AdamW) {
        let (b1, b2) = (f64::from(u.beta1), f64::from(u.beta2));
        for i in 0..w.len() {
            m[i] = b1 * m[i] + (1.0 - b1) * g[i];
            v[i] = b2 * v[i] + (1.0 - b2) * g[i] * g[i];
            let mean = m[i] / (1.0 - b1.powf(u.step as f64));
            let square = v[i] / (1.0 - b2.powf(u.step as f64));
            let step = mean / (square.sqrt() + f64::from(u.eps)) + f64::from(u.weight_decay) * w[i];
            w[i] -= f64::from(u.lr) * step;
        }
    }

    #[test]
    fn the_fused_pass_is_the_textbook_update() {
        let n = 3 * CHUNK + 17;
        let mut w = numbers(n, 1);
        let (mut m, mut v) = (vec![0f32; n], vec![0f32; n]);
        let double = |x: &[f32]| -> Vec<f64> { x.iter().map(|&x| f64::from(x)).collect() };
        let (mut w64, mut m64, mut v64) = (double(&w), double(&m), double(&v));
        for count in 1..=5 {
            let g = numbers(n, 10 + count);
            update(count).apply(&mut w, &mut m, &mut v, &g);
            textbook(&mut w64, &mut m64, &mut v64, &double(&g), &update(count).numbers);
        }
        let worst = w.iter().zip(&w64).map(|(a, b)| (f64::from(*a) - b).abs());
        assert!(worst.clone().fold(0.0, f64::max) < 1e-6);
    }

    #[test]
    fn sixteen_bit_state_follows_the_exact_one_although_single_updates_are_below_its_precision() {
        // Updates of 1e-4 on weights near 1, whose neighbours in bf16 are 4e-3 and 8e-3 away.
        let n = 4096;
        let small = |count| Update {
            numbers: AdamW {
                lr: 1e-4,
                weight_decay: 0.0,
                ..update(count).numbers
            },
            seed: count,
        };
        let mut exact = (vec![1f32; n], vec![0f32; n], vec![0f32; n]);
        let one = bf16::from_f32(1.0);
        let mut rounded = (vec![one; n], vec![bf16::ZERO; n], vec![bf16::ZERO; n]);
        for count in 1..=100 {
            let g = vec![0.3f32; n];
            small(count).apply(&mut exact.0, &mut exact.1, &mut exact.2, &g);
            small(count).apply(&mut rounded.0, &mut rounded.1, &mut rounded.2, &g);
        }
        let mean = rounded.0.iter().map(|w| f64::from(w.read())).sum::<f64>() / n as f64;
        let expected = f64::from(exact.0[0]);
        assert!((expected - 0.99).abs() < 1e-4, "{expected}");
        assert!((mean - expected).abs() < 1e-3, "{mean}, exact {expected}");
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let n = 5 * CHUNK + 3;
                let mut w: Vec<bf16> = numbers(n, 1).into_iter().map(bf16::from_f32).collect();
                let (mut m, mut v) = (vec![bf16::ZERO; n], vec![bf16::ZERO; n]);
                update(1).apply(&mut w, &mut m, &mut v, &numbers(n, 2));
                w.into_iter().map(bf16::to_bits).collect::<Vec<u16>>()
            })
        };
        assert_eq!(run(1), run(3));
    }
}

//! Numbers of the optimizer in memory: 32 bits, or 16 bits rounded at random.

use half::bf16;

/// A float that is read as 32 bits and written with up to 16 random bits.
pub trait Stored: Copy + Send + Sync {
    /// The value.
    fn read(self) -> f32;
    /// The number to keep for `value`; the lower 16 bits of `random` decide the rounding.
    fn write(value: f32, random: u64) -> Self;
}

impl Stored for f32 {
    fn read(self) -> f32 {
        self
    }

    fn write(value: f32, _: u64) -> Self {
        value
    }
}

impl Stored for bf16 {
    fn read(self) -> f32 {
        self.to_f32()
    }

    /// Rounds up with the probability that makes the expectation right: a change far below the
    /// number's precision is then not lost, but made seldom.
    ///
    /// Source: stochastic rounding as in Gupta et al., 2015.
    fn write(value: f32, random: u64) -> Self {
        if !value.is_finite() {
            return Self::from_f32(value);
        }
        let bits = value.to_bits().wrapping_add(random as u32 & 0xffff);
        Self::from_bits((bits >> 16) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::seed::mix;

    #[test]
    fn a_change_below_the_precision_is_kept_on_average() {
        for value in [1.001f32, -3.1719, 1e-8, 65_537.3] {
            let n = 100_000;
            let sum: f64 = (0..n).map(|i| f64::from(bf16::write(value, mix(i)).read())).sum();
            let mean = sum / n as f64;
            let ulp = f64::from(value.abs()) / 128.0;
            assert!(
                (mean - f64::from(value)).abs() < 5.0 * ulp / (n as f64).sqrt(),
                "{value}: {mean}"
            );
        }
    }

    #[test]
    fn what_sixteen_bits_can_hold_and_what_is_not_finite_stay_as_they_are() {
        for value in [0.0f32, 1.0, -2.5, f32::INFINITY, f32::NEG_INFINITY] {
            assert!((0..100).all(|i| bf16::write(value, mix(i)).read() == value));
        }
        assert!(bf16::write(f32::NAN, 0xffff).read().is_nan());
    }
}

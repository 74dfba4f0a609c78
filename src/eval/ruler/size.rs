//! How much text fits into a length.

use crate::error::Result;
use crate::eval::suite::Suite;

/// The number of units that a length holds, judged by one prompt of each size; `None` if the smallest
/// prompt does not fit.
///
/// The port grows a prompt by `step` until it is over and steps back; the official generator finds the
/// largest number that fits from `step` on. Both are found by bisection here, which gives the same numbers
/// as long as more units are never fewer tokens. `max_units` is the end of the text.
pub(super) fn units(
    suite: Suite,
    step: usize,
    max_units: usize,
    fits: impl Fn(usize) -> Result<bool>,
) -> Result<Option<usize>> {
    let stride = match suite {
        Suite::Official => 1,
        Suite::Port => step,
    };
    let size = |i: usize| step.saturating_add(stride.saturating_mul(i)).min(max_units);
    if !fits(size(0))? {
        return Ok(None);
    }
    // `low` fits; `high` does not, or is beyond the text.
    let (mut low, mut high) = (0, 1);
    while size(high) < max_units && fits(size(high))? {
        (low, high) = (high, 2 * high);
    }
    if size(high) == max_units && fits(max_units)? {
        return Ok(Some(max_units));
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match fits(size(middle))? {
            true => low = middle,
            false => high = middle,
        }
    }
    Ok(Some(size(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(suite: Suite, step: usize, max_units: usize, limit: usize) -> Option<usize> {
        units(suite, step, max_units, |n| Ok(n <= limit)).unwrap()
    }

    #[test]
    fn the_port_finds_the_last_step_that_fits_and_the_official_generator_the_last_unit() {
        for limit in 25..400 {
            assert_eq!(found(Suite::Port, 25, 10_000, limit), Some(limit / 25 * 25));
            assert_eq!(found(Suite::Official, 25, 10_000, limit), Some(limit));
        }
        assert_eq!(found(Suite::Port, 25, 10_000, 24), None);
    }

    #[test]
    fn the_end_of_the_text_is_the_end_of_the_search() {
        assert_eq!(found(Suite::Port, 10, 33, 1000), Some(33));
        assert_eq!(found(Suite::Port, 10, 33, 32), Some(30));
        assert_eq!(found(Suite::Official, 10, 33, 1000), Some(33));
        assert_eq!(found(Suite::Port, 10, 7, 1000), Some(7));
    }
}

//! A haystack of so many tokens, with a needle at a depth.

use crate::error::Result;
use crate::eval::meter::Meter;

/// Bytes of the longest character: so many tokens at most hold parts of one.
const MAX_PARTS: usize = 4;

/// The text of `tokens` with `needle` put in at `depth` percent of them.
///
/// Where the place would be inside a character that several tokens make up, it moves left to before it.
pub(super) fn insert(meter: &dyn Meter, tokens: &[u32], needle: &[u32], depth: f64) -> Result<String> {
    let at = boundary(meter, tokens, (tokens.len() as f64 * (depth / 100.0)) as usize)?;
    let mut all = Vec::with_capacity(tokens.len() + needle.len());
    all.extend_from_slice(&tokens[..at]);
    all.extend_from_slice(needle);
    all.extend_from_slice(&tokens[at..]);
    meter.decode(&all)
}

/// The last place at or before `at` where no character is cut in two.
pub(super) fn boundary(meter: &dyn Meter, tokens: &[u32], at: usize) -> Result<usize> {
    for back in 0..MAX_PARTS.min(at) {
        let end = at - back;
        let before = meter.decode(&tokens[end.saturating_sub(2 * MAX_PARTS)..end])?;
        if !before.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(end);
        }
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::{Bytes, Words};

    #[test]
    fn the_needle_stands_at_its_depth() {
        let meter = Words::default();
        let tokens = meter.encode("a b c d").unwrap();
        let needle = meter.encode("\nX\n").unwrap();
        let at = |depth| insert(&meter, &tokens, &needle, depth).unwrap();
        assert_eq!(at(0.0), "\nX\na b c d");
        assert_eq!(at(50.0), "a b\nX\n c d");
        assert_eq!(at(74.9), "a b\nX\n c d");
        assert_eq!(at(100.0), "a b c d\nX\n");
    }

    #[test]
    fn a_character_is_never_cut_in_two() {
        let tokens = Bytes.encode("é中a").unwrap();
        let places: Vec<usize> = (0..=6).map(|at| boundary(&Bytes, &tokens, at).unwrap()).collect();
        assert_eq!(places, [0, 1, 2, 2, 2, 5, 6]);
        let text = insert(&Bytes, &tokens, &Bytes.encode("|").unwrap(), 60.0).unwrap();
        assert_eq!(text, "é|中a");
    }
}

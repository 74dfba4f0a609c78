//! Which sequences stand for a dataset on its page.

use super::overview::RowSummary;
use crate::pack::{Permutation, seed};

/// How many sequences a page holds.
const WANTED: usize = 8;

/// Rows that show what a dataset is like, each with the reasons for it, in the order of the reasons:
/// best, worst and median fill, most segments, longest segment, highest cost, and some by chance; at
/// most eight. `wanted` comes first if it is given.
pub fn representatives(rows: &[RowSummary], wanted: Option<u64>) -> Vec<(u64, Vec<String>)> {
    let mut chosen: Vec<(u64, Vec<String>)> = Vec::new();
    let mut add = |row: u64, reason: &str| match chosen.iter().position(|(have, _)| *have == row) {
        Some(index) => chosen[index].1.push(reason.into()),
        None if chosen.len() < WANTED => chosen.push((row, vec![reason.into()])),
        None => {}
    };
    if let Some(row) = wanted.filter(|&row| row < rows.len() as u64) {
        add(row, "asked for");
    }
    if rows.is_empty() {
        return chosen;
    }
    // The first of equals, so that the choice does not depend on how the maximum is sought.
    let most = |figure: &dyn Fn(&RowSummary) -> u64| {
        let best = rows.iter().map(figure).max();
        rows.iter().position(|row| Some(figure(row)) == best).unwrap_or(0) as u64
    };
    add(most(&|row| u64::from(row.n_tokens)), "best fill");
    add(most(&|row| u64::from(u32::MAX - row.n_tokens)), "worst fill");
    let mut by_fill: Vec<u64> = (0..rows.len() as u64).collect();
    by_fill.sort_by_key(|&row| rows[row as usize].n_tokens);
    add(by_fill[by_fill.len() / 2], "median fill");
    add(most(&|row| u64::from(row.n_segments)), "most documents");
    add(most(&|row| u64::from(row.longest)), "longest document");
    add(most(&|row| row.attention_pairs), "highest cost");
    let by_chance = Permutation::new(rows.len() as u64, seed::derive(0, "inspect", 0));
    for index in 0..rows.len().min(2 * WANTED) as u64 {
        add(by_chance.get(index), "by chance");
    }
    // A sequence chosen for what it is like needs no chance as well.
    for (_, reasons) in &mut chosen {
        if reasons.len() > 1 {
            reasons.retain(|reason| reason != "by chance");
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_the_extremes_and_never_more_than_eight() {
        let row = |n_tokens: u32, n_segments: u32| RowSummary {
            n_tokens,
            n_segments,
            longest: n_tokens / n_segments,
            attention_pairs: u64::from(n_tokens),
            padding_align: 0,
            full_attention: false,
        };
        let rows: Vec<RowSummary> = (0..100).map(|i| row(100 + i, 1 + i % 7)).collect();
        let chosen = representatives(&rows, Some(50));
        assert_eq!(chosen.len(), 8);
        assert_eq!(chosen[0], (50, vec!["asked for".into(), "median fill".into()]));
        assert_eq!(chosen[1], (99, vec!["best fill".into(), "highest cost".into()]));
        assert_eq!(chosen[2].0, 0);
        assert_eq!(representatives(&rows[..3], None).len(), 3);
        assert!(representatives(&[], None).is_empty());
    }
}

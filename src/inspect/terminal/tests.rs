//! What is printed, at every width and in every look, and what a picture of a mask claims.

use proptest::prelude::*;
use unicode_width::UnicodeWidthStr;

use super::cells::Picture;
use super::{Look, overview, seam, sequence, whence};
use crate::inspect::testing;

const WIDTHS: [usize; 4] = [60, 80, 120, 200];
/// Shares are sums of real numbers: at the edge of a class they may fall to either side.
const EDGE: f64 = 1e-9;

/// Everything that is printed, by name.
fn views(look: &Look) -> Vec<(&'static str, String)> {
    vec![
        ("overview", overview(&testing::overview(), look)),
        ("sequence", sequence(&testing::mixed(false), look)),
        ("full", sequence(&testing::mixed(true), look)),
        ("seam", seam(&testing::seam(), look)),
        ("whence", whence(&testing::whence(), look)),
    ]
}

/// Text without colours; panics at any other escape sequence.
fn without_colors(text: &str) -> String {
    let mut plain = String::new();
    let mut parts = text.split('\u{1b}');
    plain += parts.next().unwrap_or("");
    for part in parts {
        let (codes, rest) = part
            .strip_prefix('[')
            .and_then(|part| part.split_once('m'))
            .expect("a colour");
        assert!(codes.bytes().all(|b| b.is_ascii_digit() || b == b';'), "{part:?}");
        plain += rest;
    }
    plain
}

#[test]
fn the_look_of_every_view_is_as_recorded() {
    for (name, color, ascii) in [
        ("color", true, false),
        ("no_color", false, false),
        ("ascii", false, true),
    ] {
        let printed = WIDTHS.map(|width| views(&Look { width, color, ascii }));
        for view in 0..printed[0].len() {
            let all: Vec<String> = WIDTHS
                .iter()
                .zip(&printed)
                .map(|(width, views)| format!("{width} columns\n\n{}", views[view].1))
                .collect();
            // Escape sequences are recorded as a symbol, so that the record can be shown.
            let all = all.join("\n").replace('\u{1b}', "␛");
            insta::assert_snapshot!(format!("{}_{name}", printed[0][view].0), all);
        }
    }
}

#[test]
fn no_line_is_wider_than_asked_and_only_colours_are_sent() {
    for width in [
        1, 7, 20, 40, 59, 60, 61, 75, 76, 80, 100, 109, 110, 120, 160, 200, 1000,
    ] {
        for (color, ascii) in [(true, false), (false, false), (true, true), (false, true)] {
            for (name, text) in views(&Look { width, color, ascii }) {
                assert!(color || !text.contains('\u{1b}'), "{name}");
                let plain = without_colors(&text);
                for line in plain.lines() {
                    assert!(
                        line.width() <= width,
                        "{name} at {width}: {} in {line:?}",
                        line.width()
                    );
                    assert!(!line.chars().any(char::is_control), "{name}: {line:?}");
                }
                assert!(!ascii || plain.is_ascii(), "{name}: {plain}");
                assert!(!plain.contains(['\u{202e}', '\u{9b}', '\u{200b}']), "{name}");
            }
        }
    }
}

#[test]
fn without_colour_the_same_is_said() {
    for width in WIDTHS {
        let [with, without] = [true, false].map(|color| {
            views(&Look {
                width,
                color,
                ascii: false,
            })
        });
        for (with, without) in with.iter().zip(&without) {
            assert_eq!(without_colors(&with.1), without.1);
        }
    }
}

#[test]
fn a_dataset_without_a_sequence_and_a_shard_alone_can_be_printed() {
    let mut empty = testing::overview();
    empty.segment_lens.clear();
    empty.document_lens = None;
    empty.ledger = None;
    empty.mixture = None;
    empty.identity.dataset = None;
    empty.attention.histogram = vec![0; 20];
    (
        empty.attention.ranks.slowdown_before,
        empty.attention.ranks.slowdown_after,
    ) = (None, None);
    let text = overview(
        &empty,
        &Look {
            width: 80,
            color: false,
            ascii: false,
        },
    );
    assert!(
        text.contains("one shard") && text.contains("too few sequences") && !text.contains("NaN"),
        "{text}"
    );
}

proptest! {
    /// Where a column is one position, every half of every character is one pair of the dense mask.
    #[test]
    fn a_picture_claims_what_the_dense_mask_says(
        lens in prop::collection::vec(1u32..9, 1..8), padding in 0u32..9, full: bool,
    ) {
        let seq_len = lens.iter().sum::<u32>() + padding;
        let mut ids = Vec::new();
        lens.iter().zip(1..).for_each(|(&len, id)| ids.extend(std::iter::repeat_n(id, len as usize)));
        ids.resize(seq_len as usize, 0);
        let picture = Picture::new(&testing::sequence(&lens, seq_len, full), 1000);
        prop_assert_eq!(picture.n, ids.len());
        let attends = |q: usize, k: usize| {
            ids.get(q).is_some_and(|&q| q != 0 && ids[k] != 0 && (full || q == ids[k]))
        };
        let padded = |q: usize, k: usize| ids.get(q).is_some_and(|&q| q == 0 || ids[k] == 0);
        for line in 0..picture.n_lines() {
            for column in 0..picture.n {
                let (upper, lower) = (2 * line, 2 * line + 1);
                let (a, b) = (attends(upper, column), attends(lower, column));
                let expected = match (a, b) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    _ if padded(upper, column) || padded(lower, column) => '╱',
                    _ => '·',
                };
                let (found, _) = picture.glyph(line, column);
                prop_assert_eq!(found, expected, "at {},{} of {:?}", line, column, ids);
            }
        }
    }

    /// Where a column is many positions, a character never claims more than a majority of its pairs.
    #[test]
    fn a_coarse_picture_claims_what_most_pairs_say(
        lens in prop::collection::vec(1u32..40, 1..12), padding in 0u32..60, full: bool, n in 2usize..12,
    ) {
        let seq_len = lens.iter().sum::<u32>() + padding;
        let (n, scale) = (n as u32, seq_len.div_ceil(n as u32));
        let seq_len = n * scale;
        let mut ids = Vec::new();
        lens.iter().zip(1..).for_each(|(&len, id)| ids.extend(std::iter::repeat_n(id, len as usize)));
        ids.resize(seq_len as usize, 0);
        let picture = Picture::new(&testing::sequence(&lens, seq_len, full), n as usize);
        prop_assume!(picture.n == n as usize);
        let share = |row: usize, column: usize| {
            let side = |i: usize| i * scale as usize..(i + 1) * scale as usize;
            let pairs = side(row).flat_map(|q| side(column).map(move |k| (q, k)));
            let attend = pairs.filter(|&(q, k)| ids[q] != 0 && ids[k] != 0 && (full || ids[q] == ids[k])).count();
            attend as f64 / f64::from(scale * scale)
        };
        for line in 0..picture.n_lines() {
            for column in 0..picture.n {
                let upper = share(2 * line, column);
                let lower = if 2 * line + 1 < picture.n { share(2 * line + 1, column) } else { 0.0 };
                let mean = if 2 * line + 1 < picture.n { (upper + lower) / 2.0 } else { upper };
                let (found, _) = picture.glyph(line, column);
                let right = match found {
                    '█' => upper >= 0.5 - EDGE && lower >= 0.5 - EDGE,
                    '▀' => upper >= 0.5 - EDGE,
                    '▄' => lower >= 0.5 - EDGE && upper < 0.5 + EDGE,
                    '░' => mean > 0.0 && mean < 0.334 + EDGE,
                    '▒' => (0.334 - EDGE..0.667 + EDGE).contains(&mean),
                    '▓' => mean >= 0.667 - EDGE,
                    _ => upper <= 0.5 + EDGE && lower <= 0.5 + EDGE,
                };
                prop_assert!(right, "{} for {} and {}", found, upper, lower);
            }
        }
    }
}

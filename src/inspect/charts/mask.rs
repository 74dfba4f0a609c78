//! The mask of a sequence: a square per document, padding hatched, letters along the edges.

use maud::{Markup, html};

use super::frame::{Chart, px};
use crate::inspect::figures::{SegmentFigures, SequenceFigures};
use crate::inspect::look;
use crate::inspect::visible::visible;
use crate::numbers::{count, length, percent};

/// Side of the square, and where it starts.
const SIDE: f64 = 416.0;
const LEFT: f64 = 58.0;
const TOP: f64 = 42.0;
/// Width of the ruler along the edges.
const RULER: f64 = 13.0;
/// Segments narrower than this are drawn together with their neighbours.
const NARROW: f64 = 0.4;

/// Consecutive segments that are drawn as one square.
struct Square<'a> {
    segments: &'a [SegmentFigures],
    /// Index of the first.
    index: usize,
}

impl Square<'_> {
    fn from(&self) -> u32 {
        self.segments[0].offset
    }

    fn to(&self) -> u32 {
        self.segments
            .last()
            .map_or(0, |segment| segment.offset + segment.len)
    }

    /// Share of the square's pairs that attend.
    fn share(&self, full_attention: bool) -> f64 {
        let lens = self.segments.iter().map(|segment| f64::from(segment.len));
        let pairs = match full_attention {
            true => lens.sum::<f64>().powi(2),
            false => lens.map(|len| len * len).sum(),
        };
        pairs / f64::from(self.to() - self.from()).powi(2)
    }
}

/// The mask with its rulers.
pub fn draw(sequence: &SequenceFigures) -> Chart {
    let unit = SIDE / f64::from(sequence.seq_len.max(1));
    let at = |position: u32| f64::from(position) * unit;
    let hatch = format!("padding-{}", sequence.sequence);
    let squares = squares(&sequence.segments, unit);
    let gaps = gaps(&squares, sequence.seq_len);
    let ticks: Vec<u32> = (0..=8)
        .map(|i| (u64::from(sequence.seq_len) * i / 8) as u32)
        .collect();
    let attends = match sequence.full_attention {
        true => "every token attends to every token",
        false => "each document attends to itself",
    };
    Chart {
        width: LEFT + SIDE + 10.0,
        height: TOP + SIDE + 10.0,
        label: format!(
            "Attention mask of sequence {}: {} segments, {attends}, {} of the pairs",
            sequence.sequence,
            count(sequence.segments.len() as u64),
            percent(sequence.density)
        ),
        body: html! {
            defs {
                pattern id=(hatch) width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    line class="hatch" x1="0" y1="0" x2="0" y2="5" stroke-width="1.4" {}
                }
            }
            @for (i, &tick) in ticks.iter().enumerate() {
                @let label = if i % 2 == 0 { length(u64::from(tick)) } else { String::new() };
                text class="faint" x=(px(LEFT + at(tick))) y=(px(TOP - RULER - 10.0)) text-anchor="middle" { (label) }
                text class="faint" x=(px(LEFT - RULER - 10.0)) y=(px(TOP + at(tick) + 4.0)) text-anchor="end" { (label) }
                line class="axis" x1=(px(LEFT + at(tick))) x2=(px(LEFT + at(tick))) y1=(px(TOP - RULER - 3.0)) y2=(px(TOP - RULER - 7.0)) {}
                line class="axis" y1=(px(TOP + at(tick))) y2=(px(TOP + at(tick))) x1=(px(LEFT - RULER - 3.0)) x2=(px(LEFT - RULER - 7.0)) {}
            }
            rect class="panel" x=(px(LEFT)) y=(px(TOP)) width=(px(SIDE)) height=(px(SIDE)) {}
            @if sequence.full_attention {
                // Pairs of different documents attend as well; padding is drawn over them.
                rect class="cross" fill-opacity="0.45" x=(px(LEFT)) y=(px(TOP)) width=(px(SIDE)) height=(px(SIDE)) {}
            }
            @for square in &squares { (block(square, unit, sequence.full_attention)) }
            @for &(from, to) in &gaps {
                @for class in ["panel", ""] {
                    @let fill = if class.is_empty() { format!("url(#{hatch})") } else { String::new() };
                    (stripe(class, &fill, LEFT, TOP + at(from), SIDE, at(to - from)))
                    (stripe(class, &fill, LEFT + at(from), TOP, at(to - from), SIDE))
                }
            }
            @for square in &squares { (ruler(square, unit)) }
            @for &(from, to) in &gaps {
                (stripe("", &format!("url(#{hatch})"), LEFT + at(from), TOP - RULER - 2.0, at(to - from), RULER))
                (stripe("", &format!("url(#{hatch})"), LEFT - RULER - 2.0, TOP + at(from), RULER, at(to - from)))
            }
            rect class="axis" fill="none" stroke-width="0.75" x=(px(LEFT)) y=(px(TOP)) width=(px(SIDE)) height=(px(SIDE)) {}
        },
    }
}

fn stripe(class: &str, fill: &str, x: f64, y: f64, width: f64, height: f64) -> Markup {
    let (class, fill) = (
        Some(class).filter(|c| !c.is_empty()),
        Some(fill).filter(|f| !f.is_empty()),
    );
    html! {
        rect class=[class] fill=[fill] x=(px(x)) y=(px(y)) width=(px(width)) height=(px(height)) {}
    }
}

fn color(index: usize) -> String {
    let (r, g, b) = look::color(index);
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// What a square is, for whoever points at it.
fn title(square: &Square<'_>) -> Markup {
    let first = &square.segments[0];
    html! {
        title {
            @if square.segments.len() > 1 {
                (count(square.segments.len() as u64)) " documents, positions " (count(u64::from(square.from()))) " to " (count(u64::from(square.to()) - 1))
            } @else {
                (first.letter) ": " (count(u64::from(first.len))) " tokens of document " (count(first.document))
                @if let Some(origin) = &first.origin {
                    ", " (visible(origin.source.as_bytes())) ": " (visible(origin.file.as_bytes())) "#" (origin.record)
                }
            }
        }
    }
}

fn block(square: &Square<'_>, unit: f64, full_attention: bool) -> Markup {
    let (from, side) = (
        f64::from(square.from()) * unit,
        f64::from(square.to() - square.from()) * unit,
    );
    // A group of many is grey: it is no single document.
    let (class, fill) = match square.segments.len() {
        1 => (None, Some(color(square.index))),
        _ => (Some("ink"), None),
    };
    html! {
        rect class=[class] fill=[fill] fill-opacity=(px(square.share(full_attention).max(0.15)))
            x=(px(LEFT + from)) y=(px(TOP + from)) width=(px(side)) height=(px(side)) { (title(square)) }
    }
}

/// The square's part of both rulers, with its letter where there is room.
fn ruler(square: &Square<'_>, unit: f64) -> Markup {
    let (from, side) = (
        f64::from(square.from()) * unit,
        f64::from(square.to() - square.from()) * unit,
    );
    let (class, fill) = match square.segments.len() {
        1 => (None, Some(color(square.index))),
        _ => (Some("before"), None),
    };
    let gap = if side > 3.0 { 0.5 } else { 0.0 };
    let letter = square.segments[0].letter;
    let label = look::label_color(square.index);
    let (x, y) = (LEFT - RULER - 2.0, TOP - RULER - 2.0);
    html! {
        rect class=[class] fill=[fill.as_ref()] x=(px(LEFT + from + gap)) y=(px(y)) width=(px(side - 2.0 * gap)) height=(px(RULER)) { (title(square)) }
        rect class=[class] fill=[fill.as_ref()] x=(px(x)) y=(px(TOP + from + gap)) width=(px(RULER)) height=(px(side - 2.0 * gap)) { (title(square)) }
        @if square.segments.len() == 1 && side >= 11.0 {
            text fill=(label) x=(px(LEFT + from + side / 2.0)) y=(px(y + 10.5)) text-anchor="middle" { (letter) }
            text fill=(label) x=(px(x + RULER / 2.0)) y=(px(TOP + from + side / 2.0 + 4.0)) text-anchor="middle" { (letter) }
        }
    }
}

/// Segments, those too narrow to be seen together with their neighbours.
fn squares(segments: &[SegmentFigures], unit: f64) -> Vec<Square<'_>> {
    let mut squares = Vec::new();
    let mut first = 0;
    while first < segments.len() {
        let wide = |from: usize, to: usize| {
            f64::from(segments[to].offset + segments[to].len - segments[from].offset) * unit >= NARROW
        };
        let mut last = first;
        // A wide segment stands alone; narrow ones gather until they can be seen.
        while !wide(first, last) && last + 1 < segments.len() && !wide(last + 1, last + 1) {
            last += 1;
        }
        squares.push(Square {
            segments: &segments[first..=last],
            index: first,
        });
        first = last + 1;
    }
    squares
}

/// The padding around the squares: from and to, in order.
fn gaps(squares: &[Square<'_>], seq_len: u32) -> Vec<(u32, u32)> {
    let mut at = 0;
    let mut gaps = Vec::new();
    for square in squares {
        gaps.push((at, square.from()));
        at = square.to();
    }
    gaps.push((at, seq_len));
    gaps.retain(|(from, to)| from < to);
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::testing::sequence;

    #[test]
    fn thousands_of_short_documents_are_few_squares() {
        let many = sequence(&vec![1; 100_000], 131_072, false);
        let squares = squares(&many.segments, SIDE / 131_072.0);
        assert!(squares.len() < 2 * (SIDE / NARROW) as usize, "{}", squares.len());
        assert_eq!(
            squares.iter().map(|square| square.segments.len()).sum::<usize>(),
            100_000
        );
        assert!(draw(&many).body.into_string().len() < 1_000_000);
    }

    #[test]
    fn squares_and_gaps_are_the_intervals_of_the_sequence() {
        let few = sequence(&[100, 60, 40], 256, false);
        let squares = squares(&few.segments, SIDE / 256.0);
        let intervals: Vec<(u32, u32)> = squares
            .iter()
            .map(|square| (square.from(), square.to()))
            .collect();
        assert_eq!(intervals, [(0, 100), (100, 160), (160, 200)]);
        assert_eq!(gaps(&squares, 256), [(200, 256)]);
        let half = Square {
            segments: &few.segments[..2],
            index: 0,
        };
        assert!((half.share(false) - 13_600.0 / 25_600.0).abs() < 1e-12);
    }
}

//! The parts that charts share: the drawing area, its scales, and a legend.

use maud::{Markup, html};

/// Width of every chart of an overview.
pub const WIDTH: f64 = 480.0;
/// Height of every chart of an overview but those with a line per source.
pub const HEIGHT: f64 = 240.0;

/// A drawing with its size.
#[derive(Debug)]
pub struct Chart {
    /// Units to the right.
    pub width: f64,
    /// Units downwards.
    pub height: f64,
    /// What it shows, in a sentence, for those who cannot see it.
    pub label: String,
    /// The marks.
    pub body: Markup,
}

impl Chart {
    /// The drawing as an element that fills the space that it is given.
    pub fn svg(&self) -> Markup {
        html! {
            svg class="chart" role="img" aria-label=(self.label) xmlns="http://www.w3.org/2000/svg"
                viewBox=(format!("0 0 {} {}", px(self.width), px(self.height))) { (self.body) }
        }
    }

    /// The drawing as part of a larger one.
    pub fn placed(&self, x: f64, y: f64) -> Markup {
        html! { g class="chart" transform=(format!("translate({} {})", px(x), px(y))) { (self.body) } }
    }
}

/// A coordinate with as many digits as can be seen.
pub fn px(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

/// The drawing area of a chart, in units; both scales run from 0 to 1.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
}

impl Default for Frame {
    fn default() -> Self {
        Self {
            left: 44.0,
            right: WIDTH - 14.0,
            top: 30.0,
            bottom: HEIGHT - 40.0,
        }
    }
}

impl Frame {
    pub fn x(&self, share: f64) -> f64 {
        self.left + (self.right - self.left) * share
    }

    pub fn y(&self, share: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * share
    }

    /// Lines across, with labels to their left.
    pub fn across(&self, ticks: &[(f64, String)]) -> Markup {
        html! {
            @for (share, label) in ticks {
                line class="grid" x1=(px(self.left)) x2=(px(self.right)) y1=(px(self.y(*share))) y2=(px(self.y(*share))) {}
                text class="faint" x=(px(self.left - 6.0)) y=(px(self.y(*share) + 4.0)) text-anchor="end" { (label) }
            }
        }
    }

    /// The axis at the bottom with its labels and what they count.
    pub fn below(&self, ticks: &[(f64, String)], title: &str) -> Markup {
        html! {
            line class="axis" x1=(px(self.left)) x2=(px(self.right)) y1=(px(self.bottom)) y2=(px(self.bottom)) {}
            @for (share, label) in ticks {
                text class="faint" x=(px(self.x(*share))) y=(px(self.bottom + 15.0)) text-anchor="middle" { (label) }
            }
            text class="faint" x=(px(self.right)) y=(px(self.bottom + 32.0)) text-anchor="end" { (title) }
        }
    }

    /// What the scale at the left counts, and what the marks mean.
    pub fn above(&self, title: &str, legend: &[(&str, String)]) -> Markup {
        // Letters of the fonts named are at most this wide on average; a legend grows to the left.
        let width = |label: &str| 20.0 + 5.9 * label.chars().count() as f64;
        let mut x = self.right - legend.iter().map(|(_, label)| width(label)).sum::<f64>() + 8.0;
        let places: Vec<f64> = legend
            .iter()
            .map(|(_, label)| {
                x += width(label);
                x - width(label)
            })
            .collect();
        html! {
            text class="faint" x=(px(4.0)) y="14" { (title) }
            @for ((class, label), x) in legend.iter().zip(places) {
                rect class=(class) x=(px(x)) y="6" width="9" height="9" rx="1.5" {}
                text class="ink" x=(px(x + 13.0)) y="14" { (label) }
            }
        }
    }
}

/// Lines at every `step` from 0 to `top`, where `top` is the upper end of the scale.
pub fn percent_ticks(top: f64) -> Vec<(f64, String)> {
    let step = if top > 0.5 {
        0.25
    } else if top > 0.2 {
        0.1
    } else if top > 0.1 {
        0.05
    } else {
        0.02
    };
    let n = (top / step + 1e-9) as usize;
    (0..=n)
        .map(|i| (i as f64 * step / top, format!("{:.0} %", 100.0 * i as f64 * step)))
        .collect()
}

/// The upper end of a scale of shares that shows `most`.
pub fn percent_top(most: f64) -> f64 {
    [0.1, 0.2, 0.3, 0.4, 0.5, 0.75]
        .into_iter()
        .find(|&top| most <= top)
        .unwrap_or(1.0)
}

/// Every so manieth of `n` labels, so that at most `room` are left.
pub fn every(n: usize, room: usize) -> usize {
    n.div_ceil(room.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_scales_end_where_values_do() {
        assert_eq!(
            [px(1.0), px(0.125), px(-0.001), px(12.5)],
            ["1", "0.12", "0", "12.5"]
        );
        assert_eq!(percent_top(0.31), 0.4);
        assert_eq!(percent_ticks(1.0).last().unwrap(), &(1.0, "100 %".to_owned()));
        assert_eq!(percent_ticks(0.2).len(), 5);
        assert_eq!([every(5, 8), every(9, 8), every(0, 8)], [1, 2, 1]);
    }
}

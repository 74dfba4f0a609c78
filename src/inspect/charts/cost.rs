//! What attention costs, per sequence and per rank.

use maud::html;

use super::frame::{Chart, Frame, HEIGHT, WIDTH, every, percent_ticks, percent_top, px};
use crate::inspect::figures::Overview;
use crate::numbers::{count, percent};

/// Most bars of ranks; more ranks share bars, which show the highest of theirs.
const MAX_BARS: usize = 128;

/// Sequences by density of their mask.
pub fn density(overview: &Overview) -> Chart {
    let frame = Frame::default();
    let attention = &overview.attention;
    let n = attention.histogram.len().max(1) as f64;
    let most = attention.histogram.iter().copied().max().unwrap_or(0);
    let all: u64 = attention.histogram.iter().sum();
    let step = (frame.right - frame.left) / n;
    let share = |sequences: u64| sequences as f64 / all.max(1) as f64;
    let top = percent_top(share(most));
    let y = |sequences: u64| frame.y(share(sequences) / top);
    let quantiles = [
        ("p50", attention.density.p50),
        ("p99", attention.density.p99),
        ("max", attention.density.max),
    ];
    let below: Vec<(f64, String)> = (0..=4)
        .map(|i| (f64::from(i) / 4.0, format!("{:.2}", f64::from(i) / 4.0)))
        .collect();
    let legend = quantiles
        .map(|(name, value)| format!("{name} {value:.3}"))
        .join("   ");
    Chart {
        width: WIDTH,
        height: HEIGHT,
        label: "Histogram: sequences by the share of their query and key pairs that attend".into(),
        body: html! {
            (frame.across(&percent_ticks(top)))
            (frame.above("share of sequences", &[]))
            text class="ink" x=(px(frame.right)) y="14" text-anchor="end" xml:space="preserve" { (legend) }
            @for (i, &sequences) in attention.histogram.iter().enumerate() {
                @if sequences > 0 {
                    rect class="after" x=(px(frame.left + step * i as f64 + 1.0)) y=(px(y(sequences)))
                        width=(px(step - 2.0)) height=(px(frame.bottom - y(sequences))) {
                        title { (count(sequences)) " sequences of density " (format!("{:.2} to {:.2}", i as f64 / n, (i + 1) as f64 / n)) }
                    }
                }
            }
            @for (_, value) in quantiles {
                line class="axis" x1=(px(frame.x(value))) x2=(px(frame.x(value))) y1=(px(frame.top)) y2=(px(frame.bottom)) stroke-dasharray="2 3" {}
            }
            (frame.below(&below, "attending pairs, as a share of dense attention"))
        },
    }
}

/// Load of each rank, and its most expensive sequence.
pub fn ranks(overview: &Overview) -> Chart {
    let frame = Frame::default();
    let ranks = &overview.attention.ranks;
    let per_bar = ranks.loads.len().div_ceil(MAX_BARS).max(1);
    let highest = |values: &[f64]| -> Vec<f64> {
        values
            .chunks(per_bar)
            .map(|values| values.iter().copied().fold(0.0, f64::max))
            .collect()
    };
    let (loads, most) = (highest(&ranks.loads), highest(&ranks.most));
    let top = most.iter().chain(&loads).copied().fold(1.0, f64::max) * 1.05;
    let tick = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0];
    let tick = tick.into_iter().find(|tick| top / tick <= 5.5).unwrap_or(top);
    let ticks: Vec<(f64, String)> = (0..=(top / tick) as usize)
        .map(|i| i as f64 * tick)
        .map(|value| (value / top, format!("{value}×")))
        .collect();
    let n = loads.len().max(1);
    let step = (frame.right - frame.left) / n as f64;
    let gap = if step > 6.0 { step * 0.12 } else { 0.0 };
    let labels = every(n, 16);
    let below: Vec<(f64, String)> = (0..loads.len())
        .step_by(labels)
        .map(|i| ((i as f64 + 0.5) / n as f64, (i * per_bar).to_string()))
        .collect();
    let slower = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:.3}"));
    let title = format!(
        "slowest over mean rank: {} as placed, {} as written",
        slower(ranks.slowdown_before),
        slower(ranks.slowdown_after)
    );
    Chart {
        width: WIDTH,
        height: HEIGHT,
        label: format!("Load of each rank over the mean; {title}"),
        body: html! {
            (frame.across(&ticks))
            (frame.above(&title, &[("after", "load".into()), ("loss", "costliest sequence".into())]))
            @for (i, (load, most)) in loads.iter().zip(&most).enumerate() {
                @let x = frame.left + step * i as f64 + gap;
                g {
                    title { "rank " (i * per_bar) ": " (percent(*load)) " of the mean load; its costliest sequence is " (format!("{most:.2}")) " × the mean sequence" }
                    rect class="after" x=(px(x)) y=(px(frame.y(load / top))) width=(px(step - 2.0 * gap)) height=(px(frame.bottom - frame.y(load / top))) {}
                    rect class="loss" x=(px(x)) y=(px(frame.y(most / top) - 1.0)) width=(px(step - 2.0 * gap)) height="2" {}
                }
            }
            @if !loads.is_empty() {
                line class="axis" x1=(px(frame.left)) x2=(px(frame.right)) y1=(px(frame.y(1.0 / top))) y2=(px(frame.y(1.0 / top))) stroke-dasharray="4 3" {}
            }
            (frame.below(&below, "rank"))
        },
    }
}

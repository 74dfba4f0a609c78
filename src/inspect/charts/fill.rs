//! How full the sequences are, in row order.

use maud::html;

use super::frame::{Chart, Frame, HEIGHT, WIDTH, px};
use crate::inspect::figures::Overview;
use crate::numbers::{count, percent};

/// Smallest, mean and largest fill along the rows.
pub fn draw(overview: &Overview) -> Chart {
    let frame = Frame::default();
    let profile = &overview.fill.profile;
    let least = profile.iter().map(|bin| bin.min).fold(1.0, f64::min);
    // Good packing is between 99 and 100 %: the scale starts where there is something to see.
    let floor = [0.99, 0.95, 0.9, 0.75, 0.5]
        .into_iter()
        .find(|&floor| least >= floor)
        .unwrap_or(0.0);
    let y = |fill: f64| frame.y((fill - floor) / (1.0 - floor));
    let ticks: Vec<(f64, String)> = (0..=4)
        .map(|i| f64::from(i) / 4.0)
        .map(|share| {
            (
                share,
                format!("{:.1} %", 100.0 * (floor + (1.0 - floor) * share)).replace(".0 %", " %"),
            )
        })
        .collect();
    let n = overview.fill.n_sequences;
    let step = (frame.right - frame.left) / profile.len().max(1) as f64;
    let width = if step > 4.0 { step - 1.0 } else { step };
    let rows =
        [0.0, 0.5, 1.0].map(|share| (share, count((share * n.saturating_sub(1) as f64).round() as u64)));
    let single = profile.iter().all(|bin| bin.count == 1);
    let legend: &[(&str, &str)] = match single {
        true => &[("after", "fill")],
        false => &[("before", "least to most"), ("after", "mean")],
    };
    let legend: Vec<(&str, String)> = legend
        .iter()
        .map(|(class, name)| (*class, (*name).to_owned()))
        .collect();
    Chart {
        width: WIDTH,
        height: HEIGHT,
        label: "Fill ratio along the sequences".into(),
        body: html! {
            (frame.across(&ticks))
            (frame.above(if floor > 0.0 { "fill, scale cut below" } else { "fill" }, &legend))
            @for (i, bin) in profile.iter().enumerate() {
                @let x = frame.left + step * i as f64;
                @let last = bin.first + bin.count - 1;
                g {
                    title {
                        @if bin.count == 1 { "sequence " (count(bin.first)) ": " (percent(bin.mean)) }
                        @else { "sequences " (count(bin.first)) " to " (count(last)) ": " (percent(bin.min)) " to " (percent(bin.max)) ", mean " (percent(bin.mean)) }
                    }
                    @if single {
                        rect class="after" x=(px(x)) width=(px(width)) y=(px(y(bin.mean))) height=(px(frame.bottom - y(bin.mean))) {}
                    } @else {
                        rect class="before" x=(px(x)) width=(px(width)) y=(px(y(bin.max))) height=(px((y(bin.min) - y(bin.max)).max(0.5))) {}
                        rect class="after" x=(px(x)) width=(px(width)) y=(px(y(bin.mean) - 0.9)) height="1.8" {}
                    }
                }
            }
            (frame.below(if n > 2 { &rows } else { &[] }, "sequence, in row order"))
        },
    }
}

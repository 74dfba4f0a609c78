//! How long documents are, and how much of that is left in the sequences.

use maud::html;

use super::frame::{Chart, Frame, HEIGHT, WIDTH, every, percent_ticks, percent_top, px};
use crate::inspect::figures::Overview;
use crate::numbers::{count, length, percent};
use crate::pack::LengthRange;

/// Share of tokens by powers of two of their document's and their segment's length.
pub fn histogram(overview: &Overview) -> Chart {
    let frame = Frame::default();
    let after = &overview.segment_lens;
    let before = overview.document_lens.as_deref();
    let both = || before.unwrap_or_default().iter().chain(after);
    let held = || both().filter(|range| range.count > 0).map(|range| range.at_least);
    let (first, last) = (held().min().unwrap_or(1), held().max().unwrap_or(1));
    let places: Vec<u64> = (first.ilog2()..=last.ilog2()).map(|power| 1 << power).collect();
    let n = places.len() as f64;

    let share = |ranges: &[LengthRange], at: u64| {
        let all: u64 = ranges.iter().map(|range| range.tokens).sum();
        let range = ranges.iter().find(|range| range.at_least == at);
        range.map_or((0, 0.0), |range| {
            (range.count, range.tokens as f64 / all.max(1) as f64)
        })
    };
    let highest = places
        .iter()
        .flat_map(|&at| [share(before.unwrap_or_default(), at).1, share(after, at).1]);
    let top = percent_top(highest.fold(0.0, f64::max));
    let mut series = vec![("after", "segments", after.as_slice())];
    if let Some(before) = before {
        series.insert(0, ("before", "documents", before));
    }
    let step = (frame.right - frame.left) / n;
    let bar = step * 0.8 / series.len() as f64;
    let labels = every(places.len(), 10);
    let ticks: Vec<(f64, String)> = places
        .iter()
        .enumerate()
        .filter(|(i, _)| (places.len() - 1 - i).is_multiple_of(labels))
        .map(|(i, &at)| ((i as f64 + 0.5) / n, length(at)))
        .collect();
    let legend: Vec<(&str, String)> = series
        .iter()
        .map(|(class, name, _)| (*class, (*name).to_owned()))
        .collect();
    Chart {
        width: WIDTH,
        height: HEIGHT,
        label: "Histogram: share of tokens by length of their document and of their segment".into(),
        body: html! {
            (frame.across(&percent_ticks(top)))
            (frame.above("share of tokens", &legend))
            @for (i, &at) in places.iter().enumerate() {
                @for (j, (class, name, ranges)) in series.iter().enumerate() {
                    @let (n_runs, share) = share(ranges, at);
                    @if share > 0.0 {
                        @let y = frame.y(share / top);
                        rect class=(class) x=(px(frame.left + step * (i as f64 + 0.1) + bar * j as f64)) y=(px(y))
                            width=(px(bar)) height=(px(frame.bottom - y)) {
                            title { (count(n_runs)) " " (name) " of " (length(at)) " to " (length(2 * at)) " tokens: " (percent(share)) " of the tokens" }
                        }
                    }
                }
            }
            (frame.below(&ticks, "tokens, at least"))
        },
    }
}

/// Share of tokens with at least so much context.
pub fn context(overview: &Overview) -> Chart {
    let frame = Frame::default();
    let full = u64::from(overview.identity.seq_len);
    let first = 1u64 << full.ilog2().saturating_sub(10);
    let span = (full as f64 / first as f64).log2().max(1.0);
    let x = |len: u64| frame.x(((len as f64 / first as f64).log2() / span).clamp(0.0, 1.0));
    let at_least = |ranges: &[LengthRange], len: u64| {
        let all: u64 = ranges.iter().map(|range| range.tokens).sum();
        let held: u64 = ranges
            .iter()
            .filter(|range| range.at_least >= len)
            .map(|range| range.tokens)
            .sum();
        held as f64 / all.max(1) as f64
    };
    let powers: Vec<u64> = (first.ilog2()..=full.ilog2())
        .map(|power| 1 << power)
        .filter(|&len| len < full)
        .collect();
    let kept = overview.context_kept.last();
    // The length of a sequence need be no power of two: its share is counted apart.
    let curve = |ranges: &[LengthRange], last: f64| -> String {
        let mut points: Vec<(u64, f64)> = powers.iter().map(|&len| (len, at_least(ranges, len))).collect();
        points.push((full, last));
        let point = |(len, share): &(u64, f64)| format!("{},{}", px(x(*len)), px(frame.y(*share)));
        points.iter().map(point).collect::<Vec<_>>().join(" ")
    };
    let last = kept.map_or((0.0, 0.0), |kept| (kept.documents, kept.segments));
    let before = overview.document_lens.as_ref().map(|lens| curve(lens, last.0));
    let after = curve(&overview.segment_lens, last.1);
    let mut ticks: Vec<(f64, String)> = powers
        .iter()
        .rev()
        .skip(1)
        .step_by(2)
        .map(|&len| (((len as f64 / first as f64).log2() / span), length(len)))
        .collect();
    ticks.push((1.0, length(full)));
    let mut legend = vec![("after", "in the sequences".to_owned())];
    if before.is_some() {
        legend.insert(0, ("before", "in the input".to_owned()));
    }
    Chart {
        width: WIDTH,
        height: HEIGHT,
        label: "Curve: share of tokens with at least so much context, in the input and in the sequences"
            .into(),
        body: html! {
            (frame.across(&percent_ticks(1.0)))
            (frame.above("share of tokens", &legend))
            @if let Some(before) = before { polyline class="before-line" points=(before) {} }
            polyline class="after-line" points=(after) {}
            @for kept in &overview.context_kept {
                circle class="after" cx=(px(x(kept.len))) cy=(px(frame.y(kept.segments))) r="3.2" {
                    title { "at least " (length(kept.len)) ": " (percent(kept.segments)) " in the sequences, " (percent(kept.documents)) " in the input" }
                }
            }
            (frame.below(&ticks, "tokens of context, at least"))
        },
    }
}

//! The mixture asked for, and the mixture achieved.

use maud::html;

use super::frame::{Chart, Frame, WIDTH, percent_ticks, percent_top, px};
use crate::inspect::figures::Overview;
use crate::inspect::visible::{shorten, visible};
use crate::numbers::{count, percent};

/// Most sources that get a line of their own.
const MAX_SOURCES: usize = 16;
const LINE: f64 = 26.0;

/// A bar per source, and a mark where it should end.
pub fn draw(overview: &Overview) -> Chart {
    let sources = overview.mixture.as_deref().unwrap_or_default();
    let shown = &sources[..sources.len().min(MAX_SOURCES)];
    let lines = shown.len().max(6) as f64;
    let height = 70.0 + LINE * lines;
    let frame = Frame {
        left: 132.0,
        right: WIDTH - 62.0,
        top: 26.0,
        bottom: height - 40.0,
    };
    let top = percent_top(
        shown
            .iter()
            .flat_map(|source| [source.wanted, source.achieved])
            .fold(0.0, f64::max),
    );
    let ticks = percent_ticks(top);
    let hidden = sources.len() - shown.len();
    Chart {
        width: WIDTH,
        height,
        label: "Wanted and achieved share of each source".into(),
        body: html! {
            (frame.above("", &[("after", "share of tokens".into()), ("loss", "wanted".into())]))
            @for (share, _) in &ticks {
                line class="grid" x1=(px(frame.x(*share))) x2=(px(frame.x(*share))) y1=(px(frame.top)) y2=(px(frame.bottom)) {}
            }
            @for (i, source) in shown.iter().enumerate() {
                @let y = frame.top + LINE * i as f64 + 6.0;
                @let name = visible(source.name.as_bytes());
                g {
                    title { (name) ": " (percent(source.achieved)) " of the tokens, wanted " (percent(source.wanted)) }
                    text class="ink" x=(px(frame.left - 8.0)) y=(px(y + 12.0)) text-anchor="end" { (shorten(&name, 20)) }
                    rect class="after" x=(px(frame.left)) y=(px(y)) width=(px(frame.x(source.achieved / top) - frame.left)) height="16" rx="1.5" {}
                    rect class="loss" x=(px(frame.x(source.wanted / top) - 1.25)) y=(px(y - 3.0)) width="2.5" height="22" {}
                    text class="faint" x=(px(frame.right + 8.0)) y=(px(y + 12.0)) { (percent(source.achieved)) }
                }
            }
            @if hidden > 0 {
                text class="faint" x=(px(frame.left - 8.0)) y=(px(frame.bottom + 15.0)) text-anchor="end" { "+ " (count(hidden as u64)) " more" }
            }
            (frame.below(&ticks, ""))
        },
    }
}

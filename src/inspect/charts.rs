//! The charts of an overview and the mask of a sequence as SVG, for the page and for pictures.
use maud::{Markup, html};

use super::figures::{Overview, SequenceFigures};

/// Lengths of documents before packing and of segments after it: tokens by powers of two.
pub fn lengths(_: &Overview) -> Markup {
    html! { svg class="chart" viewBox="0 0 480 240" {} }
}
/// Share of tokens with at least so much context, in the input and in the sequences.
pub fn context(_: &Overview) -> Markup {
    html! { svg class="chart" viewBox="0 0 480 240" {} }
}
/// Fill ratio along the sequences.
pub fn fill(_: &Overview) -> Markup {
    html! { svg class="chart" viewBox="0 0 480 240" {} }
}
/// Wanted against achieved share of each source.
pub fn mixture(_: &Overview) -> Markup {
    html! { svg class="chart" viewBox="0 0 480 240" {} }
}
/// Attention cost: sequences by density.
pub fn density(_: &Overview) -> Markup {
    html! { svg class="chart" viewBox="0 0 480 240" {} }
}
/// Load of each rank over the mean.
pub fn ranks(_: &Overview) -> Markup {
    html! { svg class="chart" viewBox="0 0 480 240" {} }
}
/// Where the input's tokens went.
pub fn ledger(_: &Overview) -> Markup {
    html! { svg class="chart" viewBox="0 0 480 240" {} }
}
/// The mask of a sequence with ruler and padding.
pub fn mask(_: &SequenceFigures) -> Markup {
    html! { svg class="chart" viewBox="0 0 480 480" {} }
}

//! The charts of an overview, and the mask of a sequence, as SVG.
//!
//! A chart says what things are (`class="after"`), [`css`] what they look like: a page that has both
//! themes uses the same drawing as a picture that stands alone. Everything is drawn from intervals
//! and counts, so the size of a chart does not grow with the length of a sequence.

mod cost;
mod fill;
mod frame;
mod ledger;
mod lengths;
mod mask;
mod mixture;
mod style;

use maud::Markup;

use super::figures::{Overview, SequenceFigures};

pub use self::frame::{Chart, Frame, px};
pub use self::style::{Theme, css};

/// Lengths of documents before packing and of segments after it: tokens by powers of two.
pub fn lengths(overview: &Overview) -> Markup {
    lengths::histogram(overview).svg()
}

/// Share of tokens with at least so much context, in the input and in the sequences.
pub fn context(overview: &Overview) -> Markup {
    lengths::context(overview).svg()
}

/// Fill ratio along the sequences.
pub fn fill(overview: &Overview) -> Markup {
    fill::draw(overview).svg()
}

/// Wanted against achieved share of each source.
pub fn mixture(overview: &Overview) -> Markup {
    mixture::draw(overview).svg()
}

/// Attention cost: sequences by density.
pub fn density(overview: &Overview) -> Markup {
    cost::density(overview).svg()
}

/// Load of each rank over the mean.
pub fn ranks(overview: &Overview) -> Markup {
    cost::ranks(overview).svg()
}

/// Where the input's tokens went.
pub fn ledger(overview: &Overview) -> Markup {
    ledger::draw(overview).svg()
}

/// All charts of an overview that has something to show in them, with their titles.
pub fn panels(overview: &Overview) -> Vec<(&'static str, Chart)> {
    let mut panels = Vec::new();
    if overview.ledger.is_some() {
        panels.push(("Where the tokens went", ledger::draw(overview)));
    }
    panels.push(("Lengths", lengths::histogram(overview)));
    panels.push(("Context kept", lengths::context(overview)));
    panels.push(("Fill", fill::draw(overview)));
    if overview
        .mixture
        .as_ref()
        .is_some_and(|sources| !sources.is_empty())
    {
        panels.push(("Mixture", mixture::draw(overview)));
    }
    panels.push(("Attention", cost::density(overview)));
    if !overview.attention.ranks.loads.is_empty() {
        panels.push(("Load of the ranks", cost::ranks(overview)));
    }
    panels
}

/// The mask of a sequence with ruler and padding, to be placed in a picture.
pub fn mask_chart(sequence: &SequenceFigures) -> Chart {
    mask::draw(sequence)
}

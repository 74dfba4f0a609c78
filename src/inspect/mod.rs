//! What is inside a dataset: one set of numbers, and three ways to look at them.
//!
//! ```text
//! dataset or shard ─► opened ─► figures ─┬► terminal
//!                     plain,             ├► charts ─► picture (SVG, PNG)
//!                     checked reads      └► page (HTML)
//! ```
//!
//! An overview reads the manifest, the plan and the boundary columns, never the tokens; a sequence is
//! one checked batch. Files here may be somebody else's, and the text in them anybody's: offsets are
//! checked before use, and whatever a terminal or a browser would act on is shown as a symbol.

mod charts;
mod choose;
mod figures;
mod findings;
mod look;
mod mask;
mod opened;
mod overview;
mod page;
mod picture;
mod seam;
mod sequence;
mod terminal;
#[cfg(test)]
mod testing;
mod visible;
mod whence;

pub use charts::{Chart, Frame, px};
pub use choose::representatives;
pub use figures::*;
pub use look::color;
pub use mask::{Cell, Raster};
pub use opened::Opened;
pub use overview::{RowSummary, Surveyed, survey};
pub use page::{Embedded, html, still};
pub use picture::{overview_svg, png, sequence_svg, sheet};
pub use seam::{TokenTexts, seam};
pub use sequence::sequence;
pub use terminal::Look;
pub use visible::visible;
pub use whence::whence;

/// What is printed on a terminal.
pub mod text {
    pub use super::terminal::{overview, seam, sequence, whence};
}

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The result of `inspect --json`: what was asked for, the rest `null` or empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Inspection {
    /// The dataset at a glance.
    pub overview: Option<Overview>,
    /// The sequence asked for, or those embedded in the page.
    pub sequences: Vec<SequenceFigures>,
    /// The tokens around a position.
    pub seam: Option<SeamFigures>,
    /// Where a token came from.
    pub whence: Option<WhenceFigures>,
}

/// The JSON Schema of the whole output of `inspect --json`.
pub fn schema() -> serde_json::Value {
    #[derive(Serialize, JsonSchema)]
    struct Output {
        /// `ultrapack/inspect/1`.
        schema: String,
        /// The result.
        inspect: Inspection,
    }
    let mut schema = schemars::schema_for!(Output).to_value();
    schema["$id"] = "urn:ultrapack:schema:inspect:1".into();
    schema["title"] = "ultrapack inspect --json".into();
    schema["properties"]["schema"]["const"] = "ultrapack/inspect/1".into();
    schema
}

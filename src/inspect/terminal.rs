//! What is printed on a terminal.

use super::figures::{Overview, SeamFigures, SequenceFigures, WhenceFigures};

/// How a terminal draws.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Columns.
    pub width: usize,
    /// Whether colours may be used.
    pub color: bool,
    /// Whether only ASCII may be used.
    pub ascii: bool,
}

/// The dataset at a glance.
pub fn overview(_: &Overview, _: &Look) -> String {
    todo!()
}
/// One sequence: ruler, segments and mask.
pub fn sequence(_: &SequenceFigures, _: &Look) -> String {
    todo!()
}
/// The tokens around a boundary.
pub fn seam(_: &SeamFigures, _: &Look) -> String {
    todo!()
}
/// Where a token came from.
pub fn whence(_: &WhenceFigures, _: &Look) -> String {
    todo!()
}

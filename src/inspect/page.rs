//! One self-contained page.

use super::figures::{Overview, SequenceFigures};

/// A sequence to look into.
#[derive(Debug)]
pub struct Embedded {
    /// Why this one was chosen.
    pub reasons: Vec<String>,
    /// Its figures.
    pub figures: SequenceFigures,
    /// `[seq_len]`: its ids.
    pub tokens: Vec<u32>,
}

/// The page.
pub fn html(_: &Overview, _: &[Embedded], _text: &dyn Fn(u32) -> String) -> String {
    todo!()
}

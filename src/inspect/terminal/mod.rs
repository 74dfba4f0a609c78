//! What is printed on a terminal: any width, with or without colours, with or without Unicode.
//!
//! Colour never says anything alone: documents have letters, findings have words. The only escape
//! sequences are the colours of [`pen`], and no line is wider than asked.

mod cells;
mod glyphs;
mod overview;
mod pen;
mod seam;
mod sequence;
#[cfg(test)]
mod tests;
mod whence;

pub use overview::overview;
pub use seam::seam;
pub use sequence::sequence;
pub use whence::whence;

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

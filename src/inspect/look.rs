//! How things look everywhere: letters and colours of segments, and the recipe's words.

use crate::recipe::Boundary;

/// Colours of segments, in turn: Okabe and Ito's palette, told apart by colour-blind readers too.
///
/// Source: M. Okabe and K. Ito, "Color Universal Design", 2008; black left out.
pub const PALETTE: [(u8, u8, u8); 7] = [
    (0x00, 0x72, 0xb2),
    (0xe6, 0x9f, 0x00),
    (0x00, 0x9e, 0x73),
    (0xcc, 0x79, 0xa7),
    (0x56, 0xb4, 0xe9),
    (0xd5, 0x5e, 0x00),
    (0xf0, 0xe4, 0x42),
];

/// The letter of segment `index`: A to Z, a to z, and again.
pub fn letter(index: usize) -> char {
    const LETTERS: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char::from(LETTERS[index % LETTERS.len()])
}

/// The colour of segment `index`; neighbours differ.
pub fn color(index: usize) -> (u8, u8, u8) {
    PALETTE[index % PALETTE.len()]
}

/// The colour in which a letter can be read on the colour of segment `index`.
pub fn label_color(index: usize) -> &'static str {
    let (r, g, b) = color(index);
    // Source: Rec. ITU-R BT.601, luma.
    let luma = 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b);
    if luma < 110.0 { "#ffffff" } else { "#000000" }
}

/// The colour of segment `index` on a terminal of 256 colours: black letters on it can be read, and
/// itself on black or white.
pub fn terminal_color(index: usize) -> u8 {
    const NEAREST: [u8; PALETTE.len()] = [32, 214, 36, 175, 117, 166, 227];
    NEAREST[index % NEAREST.len()]
}

/// A boundary as recipes call it.
pub fn boundary(boundary: Boundary) -> &'static str {
    match boundary {
        Boundary::Direct => "direct",
        Boundary::Eod => "eod",
        Boundary::Adaptive => "adaptive",
        Boundary::Hybrid => "hybrid",
    }
}

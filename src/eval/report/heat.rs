//! Colours of a heat map, 0..100, that are told apart without red and green and in grey.

/// Stops from nothing to everything; lightness grows all the way.
const STOPS: [(f64, f64, f64); 5] = [
    (68.0, 1.0, 84.0),
    (59.0, 82.0, 139.0),
    (33.0, 144.0, 141.0),
    (93.0, 201.0, 99.0),
    (253.0, 231.0, 37.0),
];

/// The colour of a score, red, green and blue.
pub fn color(score: f64) -> (u8, u8, u8) {
    let at = (score / 100.0).clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let below = (at as usize).min(STOPS.len() - 2);
    let share = at - below as f64;
    let ((r0, g0, b0), (r1, g1, b1)) = (STOPS[below], STOPS[below + 1]);
    let mix = |a: f64, b: f64| (a + (b - a) * share).round() as u8;
    (mix(r0, r1), mix(g0, g1), mix(b0, b1))
}

/// Whether text on the colour of a score is dark.
pub fn ink_is_dark(score: f64) -> bool {
    score >= 55.0
}

/// The nearest colour of a terminal's cube of 216.
pub fn terminal_color(score: f64) -> u8 {
    let (r, g, b) = color(score);
    let step = |c: u8| (u16::from(c) * 5 + 127) / 255;
    (16 + 36 * step(r) + 6 * step(g) + step(b)) as u8
}

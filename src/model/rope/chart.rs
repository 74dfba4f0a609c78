//! Wavelengths drawn: for each pair of a head, how many positions one turn takes, by method.

use std::fmt::Write;

use super::{Rope, RopeMethod};

/// Rows of the drawing in the terminal.
const ROWS: usize = 18;
/// Columns of it at most; wider heads share columns.
const COLUMNS: usize = 96;

/// A letter and a colour for each method; the colours can be told apart by colour-blind readers.
fn look(method: RopeMethod) -> (char, &'static str) {
    match method {
        RopeMethod::None => ('·', "#777777"),
        RopeMethod::Pi => ('p', "#e69f00"),
        RopeMethod::Ntk => ('n', "#56b4e9"),
        RopeMethod::NtkCritical => ('c', "#009e73"),
        RopeMethod::DiffusionNtk => ('D', "#d55e00"),
        RopeMethod::Yarn => ('y', "#0072b2"),
    }
}

/// The logarithmic scale: from 1 position to beyond the longest wavelength and both lengths.
fn top(ropes: &[Rope], target_len: u32) -> f64 {
    let periods = ropes.iter().flat_map(Rope::periods);
    periods
        .fold(f64::from(target_len), f64::max)
        .log10()
        .ceil()
        .max(1.0)
}

/// A drawing in characters, one column per pair, with lines at the trained and the target length.
pub fn chart(ropes: &[Rope], train_len: u32, target_len: u32) -> String {
    let pairs = ropes.first().map_or(0, |rope| rope.inv_freq.len());
    let columns = pairs.min(COLUMNS);
    let top = top(ropes, target_len);
    let row_of = |period: f64| {
        let from_top = (1.0 - period.max(1.0).log10() / top) * (ROWS - 1) as f64;
        (from_top.round() as usize).min(ROWS - 1)
    };
    let mut grid = vec![vec![' '; columns]; ROWS];
    for len in [train_len, target_len] {
        grid[row_of(f64::from(len))].fill('─');
    }
    for rope in ropes {
        let (letter, _) = look(rope.scaling.method);
        for (pair, period) in rope.periods().into_iter().enumerate() {
            grid[row_of(period)][pair * columns / pairs] = letter;
        }
    }
    let mut text = String::from("wavelength, positions per turn (logarithmic)\n");
    for (row, cells) in grid.iter().enumerate() {
        let exponent = top * (1.0 - row as f64 / (ROWS - 1) as f64);
        let line: String = cells.iter().collect();
        let mut note = String::new();
        for (len, name) in [(target_len, "target"), (train_len, "trained")] {
            if row_of(f64::from(len)) == row {
                write!(note, " {name} {len}").expect("a string takes everything");
            }
        }
        writeln!(text, "{:>8.0e} ┤{}{note}", 10f64.powf(exponent), line.trim_end()).expect("as above");
    }
    writeln!(text, "{:>8} └{}", "", "─".repeat(columns)).expect("as above");
    writeln!(
        text,
        "{:>10}pair 0{:>width$}",
        "",
        pairs.saturating_sub(1),
        width = columns.saturating_sub(6)
    )
    .expect("as above");
    for rope in ropes {
        let method = rope.scaling.method;
        write!(text, "{:>10}{} {method}", "", look(method).0).expect("as above");
    }
    text + "\n"
}

/// The same as an SVG image.
pub fn svg(ropes: &[Rope], train_len: u32, target_len: u32) -> String {
    const WIDTH: f64 = 760.0;
    const HEIGHT: f64 = 420.0;
    const LEFT: f64 = 70.0;
    const BOTTOM: f64 = 50.0;
    const RIGHT: f64 = 150.0;
    let pairs = ropes.first().map_or(0, |rope| rope.inv_freq.len());
    let top = top(ropes, target_len);
    let x = |pair: usize| LEFT + (WIDTH - LEFT - RIGHT) * pair as f64 / pairs.saturating_sub(1).max(1) as f64;
    let y = |period: f64| 20.0 + (HEIGHT - 20.0 - BOTTOM) * (1.0 - period.max(1.0).log10() / top);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut add = |element: String| {
        out.push_str(&element);
        out.push('\n');
    };
    for exponent in 0..=top as i32 {
        let y = y(10f64.powi(exponent));
        add(format!(
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#eeeeee\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">1e{exponent}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0
        ));
    }
    for (len, name) in [(train_len, "trained"), (target_len, "target")] {
        let y = y(f64::from(len));
        add(format!(
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#333333\" stroke-dasharray=\"4 3\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{name} {len}</text>",
            WIDTH - RIGHT,
            WIDTH - RIGHT + 6.0,
            y + 4.0
        ));
    }
    for (place, rope) in ropes.iter().enumerate() {
        let method = rope.scaling.method;
        let color = look(method).1;
        let points: Vec<String> = (rope.periods().iter().enumerate())
            .map(|(pair, &period)| format!("{:.1},{:.1}", x(pair), y(period)))
            .collect();
        add(format!(
            "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"2\" points=\"{}\"/>",
            points.join(" ")
        ));
        let y = HEIGHT - BOTTOM - 18.0 * (ropes.len() - place) as f64;
        add(format!(
            "<text x=\"{:.1}\" y=\"{y:.1}\" fill=\"{color}\">{method}</text>",
            WIDTH - RIGHT + 6.0
        ));
    }
    add(format!(
        "<text x=\"{LEFT}\" y=\"{:.1}\">pair 0 to {}: wavelength in positions per turn</text>",
        HEIGHT - 16.0,
        pairs.saturating_sub(1)
    ));
    out + "</svg>\n"
}

//! Bars and shades, and what stands for them where there is only ASCII.

/// Words of this program in ASCII.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' => out.push(c),
            '×' => out.push('x'),
            '≥' => out.push_str(">="),
            '…' => out.push('~'),
            '→' => out.push_str("->"),
            '–' | '─' => out.push('-'),
            '·' => out.push('.'),
            '│' | '▏' | '▕' => out.push('|'),
            '▶' => out.push('>'),
            '◀' => out.push('<'),
            '█' => out.push('#'),
            '▀' => out.push('"'),
            '▄' => out.push('_'),
            '░' => out.push(':'),
            '▒' => out.push('+'),
            '▓' => out.push('%'),
            '╱' => out.push('/'),
            '▁' => out.push('.'),
            '▂' | '▃' => out.push('-'),
            '▅' | '▆' => out.push('='),
            '▇' => out.push('*'),
            _ => out.push('?'),
        }
    }
    out
}

/// A bar over `cells` columns of which `share` is filled; in ASCII whole columns only.
pub fn bar(share: f64, cells: usize, ascii: bool) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * 8.0 * cells as f64).round() as usize;
    // What is there is seen, however little it is.
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    match ascii {
        true => "#".repeat((eighths + 4) / 8),
        false => "█".repeat(eighths / 8) + EIGHTHS[eighths % 8],
    }
}

/// Values as columns of different heights; the highest is the highest value.
pub fn columns(values: &[u64]) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = values.iter().copied().max().unwrap_or(0).max(1) as f64;
    let level = |value: u64| ((value as f64 / most * 8.0).ceil() as usize).clamp(1, 8) - 1;
    values
        .iter()
        .map(|&value| if value == 0 { ' ' } else { LEVELS[level(value)] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!(bar(0.5, 4, false), "██");
        assert_eq!(bar(0.53, 4, false), "██▏");
        assert_eq!(bar(1e-9, 4, false), "▏");
        assert_eq!(bar(0.0, 4, false), "");
        assert_eq!(bar(0.6, 4, true), "##");
        assert_eq!(bar(7.0, 4, false).width(), 4);
        assert_eq!(columns(&[0, 1, 4, 8]), " ▁▄█");
    }
}

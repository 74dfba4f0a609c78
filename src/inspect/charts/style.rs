//! What the classes of the charts look like.

/// Dark things on light paper, or the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Dark on light, as in print.
    Light,
    /// Light on dark.
    Dark,
}

/// Class, property, and its colour on light and on dark paper.
const COLORS: [(&str, &str, &str, &str); 13] = [
    ("paper", "fill", "#ffffff", "#14171c"),
    ("panel", "fill", "#f4f5f7", "#1d2127"),
    ("ink", "fill", "#1c2024", "#e6e8eb"),
    ("faint", "fill", "#5f6770", "#9aa3ad"),
    ("grid", "stroke", "#e3e6ea", "#2c323a"),
    ("axis", "stroke", "#8b949e", "#6b7480"),
    ("before", "fill", "#b3bac3", "#5b6470"),
    ("before-line", "stroke", "#8b949e", "#8b949e"),
    ("after", "fill", "#0072b2", "#56b4e9"),
    ("after-line", "stroke", "#0072b2", "#56b4e9"),
    ("loss", "fill", "#d55e00", "#ee7d2b"),
    ("hatch", "stroke", "#a4acb6", "#5b6470"),
    ("cross", "fill", "#7d8590", "#8b949e"),
];

/// Rules for charts inside elements that `scope` selects; an empty scope means all of them.
///
/// Colours are explicit, not variables: programs that convert SVG know no variables.
pub fn css(scope: &str, theme: Theme) -> String {
    let mut css = format!(
        "{scope} .chart text{{font-family:Ubuntu,'Segoe UI',Helvetica,Arial,sans-serif;font-size:11px}}\n\
         {scope} .chart .before-line,{scope} .chart .after-line{{fill:none;stroke-width:1.6}}\n"
    );
    for (class, property, light, dark) in COLORS {
        let color = if theme == Theme::Light { light } else { dark };
        css += &format!("{scope} .chart .{class}{{{property}:{color}}}\n");
    }
    css
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_themes_name_the_same_things() {
        let classes = |theme| -> Vec<String> {
            let css = css("", theme);
            css.lines()
                .map(|line| line[..line.find('#').unwrap_or(0)].to_owned())
                .collect()
        };
        assert_eq!(classes(Theme::Light), classes(Theme::Dark));
        assert_ne!(css("", Theme::Light), css("", Theme::Dark));
    }
}

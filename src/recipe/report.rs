//! What is wrong with a recipe, and how it is shown.
//!
//! Every finding has a stable code, a place in the text and, where one is known, a remedy:
//!
//! ```text
//! error[R006]: unknown key `max_lenght` in `pack`
//!   --> recipes/demo.yaml:14:3
//!    |
//! 14 |   max_lenght: 131072
//!    |   ^^^^^^^^^^ did you mean `max_len`?
//!    = allowed: seq_len, boundary, …
//! ```
//!
//! The text of a recipe is not trusted: control and bidirectional characters are shown as escapes,
//! credentials and query strings of URLs as `…`, and a long line only around the place it is about.
//!
//! | code | meaning |
//! |---|---|
//! | R001 | the file is not UTF-8 text |
//! | R002 | larger or deeper than any recipe |
//! | R003 | not YAML |
//! | R004 | a YAML feature that recipes do not have: anchor, alias, tag, merge key, second document |
//! | R005 | the same key twice in a mapping |
//! | R006 | unknown key |
//! | R007 | missing key |
//! | R008 | wrong type |
//! | R009 | not one of the allowed values |
//! | R010 | out of range |
//! | R011 | not of the required form |
//! | R012 | the recipe is empty |
//! | R020 | keys that contradict each other |
//! | R021 | the same name or value twice |
//! | R023 | not a local path |
//! | R024 | a `where` that is no condition over the metadata |
//! | R025 | lengths that do not fit together |
//! | R026 | warning: a key without effect |
//! | R099 | a bug: the schema accepts what the types do not |

use std::fmt::Write as _;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr as _;

use super::excerpt::{Excerpt, MAX_COLUMNS, redacted};
use crate::error::{shown, shown_text};

/// Where something stands in the recipe: a range of bytes of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub start: usize,
    pub end: usize,
}

/// The kind of a finding. The codes are stable; the table is in the module head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    NotUtf8,
    TooLarge,
    Syntax,
    Feature,
    DuplicateKey,
    UnknownKey,
    MissingKey,
    WrongType,
    NotAllowed,
    OutOfRange,
    Form,
    Empty,
    Contradiction,
    Twice,
    NotLocal,
    Condition,
    Lengths,
    NoEffect,
    Bug,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Self::NotUtf8 => "R001",
            Self::TooLarge => "R002",
            Self::Syntax => "R003",
            Self::Feature => "R004",
            Self::DuplicateKey => "R005",
            Self::UnknownKey => "R006",
            Self::MissingKey => "R007",
            Self::WrongType => "R008",
            Self::NotAllowed => "R009",
            Self::OutOfRange => "R010",
            Self::Form => "R011",
            Self::Empty => "R012",
            Self::Contradiction => "R020",
            Self::Twice => "R021",
            Self::NotLocal => "R023",
            Self::Condition => "R024",
            Self::Lengths => "R025",
            Self::NoEffect => "R026",
            Self::Bug => "R099",
        }
    }
}

/// One finding.
#[derive(Debug, Clone)]
pub(super) struct Diagnostic {
    code: Code,
    pub(super) span: Span,
    message: String,
    label: String,
    notes: Vec<String>,
}

impl Diagnostic {
    pub(super) fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            span,
            message: message.into(),
            label: String::new(),
            notes: Vec::new(),
        }
    }

    /// Text beside the caret: the remedy, in a few words.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// A line below the source line that lists what would have been right.
    pub(super) fn allowed(self, names: &[&str]) -> Self {
        if names.is_empty() {
            self
        } else {
            self.note(format!("allowed: {}", names.join(", ")))
        }
    }

    /// A line below the source line.
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// A value of the recipe inside a message: redacted, and cut after 60 characters.
pub(super) fn brief(text: &str) -> String {
    let text = redacted(text);
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(60).collect();
    if chars.next().is_some() {
        head + "…"
    } else {
        head
    }
}

/// [`brief`], in backticks.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", brief(text))
}

/// Findings shown in full; a file that is not a recipe at all has one per line.
const MAX_SHOWN: usize = 50;
/// Whether a finding ends the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Error,
    Warning,
}

/// Renders findings of one recipe.
pub(super) struct Renderer<'a> {
    text: &'a str,
    path: &'a Path,
    color: bool,
    line_starts: Vec<usize>,
}

impl<'a> Renderer<'a> {
    pub(super) fn new(text: &'a str, path: &'a Path, color: bool) -> Self {
        let line_starts =
            std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1));
        Self {
            text,
            path,
            color,
            line_starts: line_starts.collect(),
        }
    }

    /// All errors, in the order of the text, and how many there are.
    pub(super) fn report(&self, errors: &[Diagnostic]) -> String {
        let mut sorted: Vec<&Diagnostic> = errors.iter().collect();
        sorted.sort_by_key(|error| error.span.start);
        let mut out = String::new();
        for error in sorted.iter().take(MAX_SHOWN) {
            out.push_str(&self.render(error, Severity::Error));
            out.push_str("\n\n");
        }
        let count = match errors.len() {
            1 => "1 error".to_owned(),
            n if n > MAX_SHOWN => format!("{n} errors, of which the first {MAX_SHOWN} are shown"),
            n => format!("{n} errors"),
        };
        let _ = write!(out, "recipe `{}`: {count}", shown(self.path));
        out
    }

    /// One finding, without a line break at the end.
    pub(super) fn render(&self, finding: &Diagnostic, severity: Severity) -> String {
        let (word, style) = match severity {
            Severity::Error => ("error", AnsiColor::Red),
            Severity::Warning => ("warning", AnsiColor::Yellow),
        };
        let style = style.on_default().bold();
        let frame = AnsiColor::Blue.on_default().bold();
        let (line, column, source) = self.place(finding.span.start);
        let excerpt = Excerpt::cut(source.text, source.start, finding.span);

        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        let mut out = self.paint(style, &format!("{word}[{}]", finding.code.name()));
        let _ = writeln!(
            out,
            "{}",
            self.paint(Style::new().bold(), &format!(": {}", visible(&finding.message)))
        );
        let _ = writeln!(
            out,
            "{gutter}{} {}:{line}:{column}",
            self.paint(frame, "-->"),
            shown(self.path)
        );
        let _ = writeln!(out, "{gutter} {}", self.paint(frame, "|"));
        let _ = writeln!(
            out,
            "{} {}",
            self.paint(frame, &format!("{number} |")),
            excerpt.line
        );
        let marks = format!("{} {}", "^".repeat(excerpt.marked), visible(&finding.label));
        let (bar, marks) = (self.paint(frame, "|"), self.paint(style, marks.trim_end()));
        let _ = write!(out, "{gutter} {bar} {}{marks}", " ".repeat(excerpt.before));
        for note in &finding.notes {
            let note = wrap(&visible(note), MAX_COLUMNS, &format!("{gutter}   "));
            let _ = write!(out, "\n{gutter} {} {note}", self.paint(frame, "="));
        }
        out
    }

    /// One-based line and column (in characters) of a byte, and the line it is on.
    fn place(&self, byte: usize) -> (usize, usize, Line<'a>) {
        let line = self.line_starts.partition_point(|&start| start <= byte).max(1);
        let start = self.line_starts[line - 1];
        let end = self
            .line_starts
            .get(line)
            .map_or(self.text.len(), |&next| next - 1);
        let text = &self.text[start..end];
        let column = text
            .char_indices()
            .take_while(|(at, _)| start + at < byte)
            .count()
            + 1;
        (
            line,
            column,
            Line {
                text: text.strip_suffix('\r').unwrap_or(text),
                start,
            },
        )
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.color && !text.is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

/// A line of the recipe without its line break.
struct Line<'a> {
    text: &'a str,
    start: usize,
}

/// Text for the terminal: redacted, with control and bidirectional characters as escapes.
fn visible(text: &str) -> String {
    shown_text(&redacted(text))
}

/// Breaks a text at spaces so that lines after the first start with `indent`.
fn wrap(text: &str, columns: usize, indent: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut used = 0;
    for word in text.split(' ') {
        let width = word.width();
        if used > 0 && used + 1 + width > columns {
            out.push('\n');
            out.push_str(indent);
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += width;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str, marked: &str, color: bool) -> String {
        let start = text.find(marked).expect("the marked text is in the text");
        let finding = Diagnostic::new(
            Code::Form,
            Span {
                start,
                end: start + marked.len(),
            },
            "wrong",
        )
        .label("why");
        Renderer::new(text, Path::new("a.yaml"), color).render(&finding, Severity::Error)
    }

    #[test]
    fn the_caret_stands_under_what_is_wrong() {
        let expected = "error[R011]: wrong\n --> a.yaml:2:4\n  |\n2 | b: cc # d\n  |    ^^ why";
        assert_eq!(render("a: 1\r\nb: cc # d\r\n", "cc", false), expected);
    }

    #[test]
    fn wide_characters_and_tabs_move_the_caret() {
        assert!(render("漢字\t: cc", "cc", false).ends_with("1 | 漢字    : cc\n  |           ^^ why"));
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let text = format!("{}: bad {}", "x".repeat(5000), "y".repeat(5000));
        let report = render(&text, "bad", false);
        let lines: Vec<&str> = report.lines().collect();
        assert_eq!(lines[1], " --> a.yaml:1:5003");
        assert_eq!(
            lines[3].find("bad").map(|at| lines[3][..at].width()),
            lines[4].find('^')
        );
        assert!(lines[3].width() < 110 && lines[3].ends_with('…'), "{}", lines[3]);
    }

    #[test]
    fn controls_are_shown_as_escapes_and_credentials_not_at_all() {
        let report = render(
            "a: 's3://key:se/c@ret@host/x?sig=1' \u{1b}[31m\u{202e}",
            "a",
            false,
        );
        assert!(
            report.contains("a: 's3://…@host/x?…' \\u{1b}[31m\\u{202e}"),
            "{report}"
        );
        assert_eq!(quoted("http://u:p@h/y"), "`http://…@h/y`");
    }

    #[test]
    fn a_span_inside_a_redacted_stretch_is_still_marked() {
        let report = render("- s3://key:secret@host", "secret", false);
        assert!(
            report.ends_with("1 | - s3://…@host\n  |        ^ why"),
            "{report}"
        );
    }

    #[test]
    fn colour_changes_nothing_but_escape_sequences() {
        let colored = render("b: cc", "cc", true);
        assert!(colored.contains("\u{1b}["));
        assert_eq!(
            anstream::adapter::strip_str(&colored).to_string(),
            render("b: cc", "cc", false)
        );
    }

    #[test]
    fn every_code_is_in_the_table_of_the_module_head() {
        let head = include_str!("report.rs");
        let body = head.split("impl Code").nth(1).expect("the impl is in this file");
        let codes: Vec<&str> = body
            .split("=> \"")
            .skip(1)
            .take(19)
            .map(|rest| &rest[..4])
            .collect();
        assert_eq!(codes.len(), 19);
        for code in codes {
            assert!(head.contains(&format!("//! | {code} |")), "{code}");
        }
    }
}

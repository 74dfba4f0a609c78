//! Writes lines that are never wider than the terminal.

use anstyle::{Ansi256Color, AnsiColor, Color, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Look, glyphs};
use crate::inspect::look;
use crate::inspect::visible::ascii;

/// What a text is, and so what it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Ordinary text.
    Plain,
    /// Headings, and the values that matter.
    Bold,
    /// What can be skipped.
    Faint,
    /// How it was before packing.
    Before,
    /// How it is after packing.
    After,
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Wrong.
    Bad,
    /// Something of segment `.0`.
    Segment(usize),
    /// A label on the colour of segment `.0`.
    OnSegment(usize),
}

fn color(index: usize) -> Color {
    Ansi256Color(look::terminal_color(index)).into()
}

fn style(ink: Ink) -> Style {
    let plain = Style::new();
    match ink {
        Ink::Plain => plain,
        Ink::Bold => plain.bold(),
        Ink::Faint => AnsiColor::BrightBlack.on_default(),
        Ink::Before => Ansi256Color(247).on_default(),
        Ink::After => Ansi256Color(look::terminal_color(0)).on_default(),
        Ink::Good => AnsiColor::Green.on_default(),
        Ink::Warning => AnsiColor::Yellow.on_default().bold(),
        Ink::Bad => AnsiColor::Red.on_default().bold(),
        Ink::Segment(index) => plain.fg_color(Some(color(index))),
        Ink::OnSegment(index) => plain
            .fg_color(Some(AnsiColor::Black.into()))
            .bg_color(Some(color(index))),
    }
}

/// Text line by line.
#[derive(Debug)]
pub struct Pen {
    pub look: Look,
    out: String,
    /// Columns used in this line.
    column: usize,
    /// Columns to be left blank before the next text.
    blank: usize,
}

impl Pen {
    pub fn new(look: &Look) -> Self {
        Self {
            look: *look,
            out: String::new(),
            column: 0,
            blank: 0,
        }
    }

    /// Columns left in this line.
    pub fn room(&self) -> usize {
        self.look.width.saturating_sub(self.column + self.blank)
    }

    /// Columns used in this line.
    pub fn column(&self) -> usize {
        self.column + self.blank
    }

    /// Writes words and drawings of this program.
    pub fn say(&mut self, ink: Ink, text: &str) -> &mut Self {
        let text = if self.look.ascii {
            glyphs::plain(text)
        } else {
            text.to_owned()
        };
        self.put(ink, &text)
    }

    /// Writes text from outside, in which everything hidden is visible already.
    pub fn quote(&mut self, ink: Ink, text: &str) -> &mut Self {
        let text = if self.look.ascii {
            ascii(text)
        } else {
            text.to_owned()
        };
        self.put(ink, &text)
    }

    /// Goes on at `column`; right behind other text, after a space.
    pub fn to(&mut self, column: usize) -> &mut Self {
        let now = self.column();
        let touches = now > 0 && column <= now && self.blank == 0;
        self.blank += column.saturating_sub(now).max(usize::from(touches));
        self
    }

    /// Goes on at `column`, or where the text ends if that is further.
    pub fn pad(&mut self, column: usize) -> &mut Self {
        self.blank += column.saturating_sub(self.column());
        self
    }

    /// Writes `text` so that it ends before `column`.
    pub fn right(&mut self, ink: Ink, text: &str, column: usize) -> &mut Self {
        let text = if self.look.ascii {
            glyphs::plain(text)
        } else {
            text.to_owned()
        };
        self.to(column.saturating_sub(text.width())).put(ink, &text)
    }

    /// Ends the line.
    pub fn end(&mut self) -> &mut Self {
        self.out.push('\n');
        (self.column, self.blank) = (0, 0);
        self
    }

    /// Writes words, on as many lines as they need, each starting at `indent`, and ends the last.
    pub fn wrap(&mut self, ink: Ink, text: &str, indent: usize) -> &mut Self {
        for word in text.split(' ') {
            if self.column() > indent && word.width() + 1 > self.room() {
                self.end();
            }
            match self.column() > indent {
                true => self.say(ink, &format!(" {word}")),
                false => self.to(indent).say(ink, word),
            };
        }
        self.end()
    }

    /// The lines written.
    pub fn finish(self) -> String {
        self.out
    }

    fn put(&mut self, ink: Ink, text: &str) -> &mut Self {
        let room = self.room();
        if room == 0 || text.is_empty() {
            return self;
        }
        let shown = fit(text, room, if self.look.ascii { "~" } else { "…" });
        self.out.extend(std::iter::repeat_n(' ', self.blank));
        self.column += self.blank + shown.width();
        self.blank = 0;
        let style = style(ink);
        if self.look.color && !style.is_plain() {
            self.out += &format!("{style}{shown}{style:#}");
        } else {
            self.out += &shown;
        }
        self
    }
}

/// `text` in at most `room` columns; `mark` stands for what is left out at its end.
pub fn fit(text: &str, room: usize, mark: &str) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), mark.width());
    for c in text.chars() {
        // As part of a string a character may be wider than alone, never narrower than counted here.
        used += c.width().unwrap_or(1);
        if used > room {
            break;
        }
        out.push(c);
    }
    while out.width() + mark.width() > room && out.pop().is_some() {}
    out + mark
}

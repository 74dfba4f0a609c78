//! A summary as people look at it: tables and a heat map in the terminal, pictures, one page.
//!
//! Everything is drawn from [`Summary`]; nothing is computed here but places and colours.

mod charts;
mod grid;
mod heat;
mod page;
#[cfg(test)]
mod tests;
mod text;

pub use text::text;

use std::path::{Path, PathBuf};

use super::run::Summary;
use crate::disk;
use crate::error::{Error, Result};
use crate::inspect;

/// Pixels per unit of a picture.
const SCALE: f32 = 2.0;

/// Writes `summary.json`, `report.html` and the pictures of perplexity and of the needle's grid. Gives their
/// paths.
///
/// # Errors
/// The operating system refuses.
pub fn write(summary: &Summary, out: &Path) -> Result<Vec<PathBuf>> {
    let document = serde_json::json!({ "schema": "ultrapack/eval/1", "eval": summary });
    let json = serde_json::to_string_pretty(&document).expect("plain data") + "\n";
    let mut files = vec![
        ("summary.json".to_owned(), json.into_bytes()),
        ("report.html".to_owned(), page::html(summary).into_bytes()),
    ];
    for (name, svg) in charts::pictures(summary) {
        let png = inspect::png(&svg, SCALE)
            .map_err(|message| Error::usage(format!("the picture `{name}` cannot be drawn: {message}")))?;
        files.push((format!("{name}.svg"), svg.into_bytes()));
        files.push((format!("{name}.png"), png));
    }
    files
        .into_iter()
        .map(|(name, bytes)| {
            let path = out.join(name);
            disk::write_report(&path, &bytes)?;
            Ok(path)
        })
        .collect()
}

//! `ultrapack inspect PATH`.

use std::path::{Path, PathBuf};

use super::output::{Printer, bytes};
use crate::disk;
use crate::error::{Error, Result, shown};
use crate::inspect::{self, Embedded, Inspection, Look, Opened, TokenTexts};

/// Pictures have this many pixels per unit of their SVG: sharp in print and on dense screens.
const SCALE: f32 = 2.0;

/// Columns of text when there is no terminal to ask.
const WIDTH: usize = 100;

#[derive(Debug, clap::Args)]
pub struct InspectArguments {
    /// A dataset directory, or one shard file.
    #[arg(value_name = "DATASET")]
    path: PathBuf,
    /// Look at one sequence, counted from 0: its segments and its attention mask.
    #[arg(long, value_name = "N")]
    seq: Option<u64>,
    /// `--seq`: the tokens around a position, on both sides of a boundary.
    #[arg(long, value_name = "POS", requires = "seq")]
    at: Option<u32>,
    /// `--seq`: which file, record and bytes the token at a position came from, proved by reading and
    /// tokenizing that document again.
    #[arg(long, value_name = "POS", requires = "seq", conflicts_with = "at")]
    whence: Option<u32>,
    /// `--at`: tokens shown on either side.
    #[arg(long, value_name = "N", default_value_t = 8, requires = "at", value_parser = clap::value_parser!(u32).range(1..=4096))]
    context: u32,
    /// `--whence`: the recipe. Default: the one that `run.json` names.
    #[arg(long, value_name = "FILE", requires = "whence")]
    recipe: Option<PathBuf>,
    /// Write a picture of the dataset, or of the sequence.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["at", "whence"])]
    png: Option<PathBuf>,
    /// The same as SVG.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["at", "whence"])]
    svg: Option<PathBuf>,
    /// Write one self-contained page with eight sequences to look into; with `--seq`, that one among
    /// them.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["at", "whence"])]
    html: Option<PathBuf>,
    /// Columns of text. Default: the terminal's, else 100.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(40..=1000))]
    width: Option<u16>,
    /// Draw with ASCII characters only.
    #[arg(long)]
    ascii: bool,
}

pub fn run(arguments: &InspectArguments, printer: &Printer) -> Result<()> {
    let opened = Opened::open(&arguments.path)?;
    for file in [&arguments.png, &arguments.svg, &arguments.html]
        .into_iter()
        .flatten()
    {
        refuse_inside(file, &opened)?;
    }
    let mut inspection = Inspection::default();
    let writes = arguments.png.is_some() || arguments.svg.is_some() || arguments.html.is_some();
    let survey = match arguments.seq.is_none() || arguments.html.is_some() {
        true => Some(inspect::survey(&opened)?),
        false => None,
    };
    let mut written = String::new();
    if let Some(html) = &arguments.html {
        let survey = survey.as_ref().expect("surveyed for the page");
        if let Some(seq) = arguments.seq {
            opened.row(seq)?;
        }
        let sequences = embedded(&opened, &survey.rows, arguments.seq)?;
        let texts = TokenTexts::open(&opened)?;
        let page = inspect::html(&survey.overview, &sequences, &|id| texts.text(id));
        written += &write(
            html,
            page.as_bytes(),
            &format!("{} sequences to look into", sequences.len()),
        )?;
        inspection.sequences = sequences.into_iter().map(|embedded| embedded.figures).collect();
    } else if let Some(seq) = arguments.seq {
        let row = opened.row(seq)?;
        if let Some(position) = arguments.at {
            let texts = TokenTexts::open(&opened)?;
            inspection.seam = Some(inspect::seam(&opened, &row, &texts, position, arguments.context)?);
        } else if let Some(position) = arguments.whence {
            let texts = TokenTexts::open(&opened)?;
            let recipe = arguments.recipe.as_deref();
            inspection.whence = Some(inspect::whence(&opened, &row, &texts, position, recipe)?);
        } else {
            inspection.sequences.push(inspect::sequence(&opened, &row)?);
        }
    }
    inspection.overview = survey.map(|survey| survey.overview);
    written += &pictures(arguments, &inspection)?;

    if printer.json() {
        printer.json_result("inspect", &inspection)
    } else if writes {
        printer.result(&written)
    } else {
        printer.result(&text(&inspection, &look(arguments, printer)))
    }
}

fn embedded(opened: &Opened, rows: &[inspect::RowSummary], seq: Option<u64>) -> Result<Vec<Embedded>> {
    inspect::representatives(rows, seq)
        .into_iter()
        .map(|(sequence, reasons)| {
            let row = opened.row(sequence)?;
            Ok(Embedded {
                reasons,
                figures: inspect::sequence(opened, &row)?,
                tokens: row.slices().tokens.to_vec(),
            })
        })
        .collect()
}

/// Writes the pictures that are wanted: of the sequence, or of the whole dataset.
fn pictures(arguments: &InspectArguments, inspection: &Inspection) -> Result<String> {
    if arguments.png.is_none() && arguments.svg.is_none() {
        return Ok(String::new());
    }
    let sequence = inspection
        .sequences
        .iter()
        .find(|figures| Some(figures.sequence) == arguments.seq);
    let svg = match (sequence, &inspection.overview) {
        (Some(sequence), _) => inspect::sequence_svg(sequence),
        (None, Some(overview)) => inspect::overview_svg(overview),
        (None, None) => unreachable!("one of both was asked for"),
    };
    let mut written = String::new();
    if let Some(path) = &arguments.svg {
        written += &write(path, svg.as_bytes(), "SVG")?;
    }
    if let Some(path) = &arguments.png {
        let png = inspect::png(&svg, SCALE)
            .map_err(|message| Error::usage(format!("the picture cannot be drawn: {message}")))?;
        written += &write(path, &png, "PNG")?;
    }
    Ok(written)
}

fn write(path: &Path, content: &[u8], what: &str) -> Result<String> {
    disk::write_report(path, content)?;
    Ok(format!(
        "{}  {what}, {}\n",
        shown(path),
        bytes(content.len() as u64)
    ))
}

/// A file more in a dataset is damage to `verify`, and one of its own must not be overwritten.
fn refuse_inside(file: &Path, opened: &Opened) -> Result<()> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = if opened.path().is_dir() {
        Some(opened.path())
    } else {
        opened.path().parent()
    };
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    let inside = match (real(parent.unwrap_or(Path::new("."))), directory) {
        (Some(parent), Some(directory)) => {
            let directory = match directory.as_os_str().is_empty() {
                true => Path::new("."),
                false => directory,
            };
            directory.join(crate::shard::MANIFEST).exists() && real(directory) == Some(parent)
        }
        _ => false,
    };
    match inside || real(file).is_some_and(|file| Some(file) == real(opened.path())) {
        true => Err(Error::usage(format!(
            "`{}` would lie in the dataset, which holds its own files only\nhint: write it elsewhere",
            shown(file)
        ))),
        false => Ok(()),
    }
}

fn look(arguments: &InspectArguments, printer: &Printer) -> Look {
    let terminal = terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| width.0);
    Look {
        width: arguments.width.or(terminal).map_or(WIDTH, usize::from),
        color: printer.result_color(),
        ascii: arguments.ascii,
    }
}

fn text(inspection: &Inspection, look: &Look) -> String {
    let mut text = String::new();
    if let Some(overview) = &inspection.overview {
        text += &inspect::text::overview(overview, look);
    }
    for sequence in &inspection.sequences {
        text += &inspect::text::sequence(sequence, look);
    }
    if let Some(seam) = &inspection.seam {
        text += &inspect::text::seam(seam, look);
    }
    if let Some(whence) = &inspection.whence {
        text += &inspect::text::whence(whence, look);
    }
    text
}

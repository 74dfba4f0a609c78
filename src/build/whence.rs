//! Reads one document of a dataset again from its source, and tokenizes it again: the proof of where
//! a token came from.

use std::ops::Range;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use super::inputs;
use crate::error::{Error, Place, Result};
use crate::recipe::LoadedRecipe;
use crate::shard::DocumentRecord;
use crate::source::{Position, read_record};
use crate::tokenize::Tokenizer;

/// A document as its source file has it now, proved to be the one that was packed.
#[derive(Debug)]
pub struct Reread {
    /// The file.
    pub path: PathBuf,
    /// The text; its hash is the recorded one.
    pub text: String,
    /// The ids of the text by the reference tokenizer, each with its bytes of the text.
    pub tokens: Vec<(u32, Range<usize>)>,
}

/// Reads the document that `record` tells of through the sources of the recipe, and tokenizes it
/// with the tokenizer file at `tokenizer`.
///
/// # Errors
/// The recipe has no such source or file, the file cannot be read, or its text is not the recorded
/// one any more.
pub fn reread(loaded: &LoadedRecipe, record: &DocumentRecord, tokenizer: &Path) -> Result<Reread> {
    let sources = inputs::find(loaded)?;
    let missing = |what: &str| {
        Error::usage(format!(
            "the recipe `{}` has no {what}\nhint: pass the recipe that the dataset was made by with `--recipe FILE`",
            crate::error::shown(&loaded.path)
        ))
    };
    let source = sources
        .iter()
        .find(|source| source.name == *record.source)
        .ok_or_else(|| missing(&format!("source `{}`", crate::error::shown_text(&record.source))))?;
    let file = source
        .files
        .iter()
        .find(|file| file.name == *record.file)
        .ok_or_else(|| missing(&format!("file `{}`", crate::error::shown_text(&record.file))))?;
    let position = Position {
        record: record.record,
        byte: record.bytes.as_ref().map_or(0, |bytes| bytes.start),
    };
    let text = read_record(file, &source.rules, position)?.text;
    let hash = xxh3_128(text.as_bytes());
    if hash != record.hash {
        let place = Place {
            record: Some(record.record),
            byte: record.bytes.as_ref().map(|bytes| bytes.start),
            ..Place::file(&file.path)
        };
        let message = format!(
            "its text has the hash {hash:032x}, the dataset was packed from {:032x}: the file or the recipe has changed",
            record.hash
        );
        return Err(Error::input(place, message));
    }
    let reference = Tokenizer::load(tokenizer, &loaded.recipe.tokenizer)?.reference()?;
    let tokens = reference.locate(&text)?;
    Ok(Reread {
        path: file.path.clone(),
        text,
        tokens,
    })
}

//! Where one token came from, proved by reading and tokenizing its document again.

use std::collections::BTreeSet;
use std::path::Path;

use super::figures::WhenceFigures;
use super::opened::{Opened, Row};
use super::seam::{TokenTexts, check_position, token};
use super::sequence::origin;
use super::visible::visible;
use crate::build::{Run, reread};
use crate::error::{Error, Result, shown};
use crate::recipe;

/// Bytes of text shown on either side of the token.
const AROUND: usize = 60;

/// Finds the source of the token at `position` and proves it. `recipe` is the recipe file, by default
/// the one that the dataset's `run.json` names.
///
/// # Errors
/// The position is padding, the recipe or its files are not there, or the proof fails.
pub fn whence(
    opened: &Opened,
    row: &Row,
    texts: &TokenTexts,
    position: u32,
    recipe: Option<&Path>,
) -> Result<WhenceFigures> {
    check_position(row, position)?;
    let token = token(row, texts, position);
    let (Some(index), Some(at)) = (token.segment, token.document_position) else {
        return Err(Error::usage(format!(
            "position {position} is padding: it came from no document"
        )));
    };
    if opened.manifest().is_none() {
        return Err(Error::usage(
            "a shard alone does not know where its documents came from\nhint: inspect its dataset directory",
        ));
    }
    let segment = row.layout.segments()[index as usize];
    let mut documents = opened.documents(&BTreeSet::from([segment.document]))?;
    let record = documents.remove(&segment.document).expect("looked up or refused");
    let loaded = match recipe {
        Some(path) => recipe::load(path, false)?,
        None => {
            let run = Run::read(opened.path()).map_err(|_| {
                Error::usage("the dataset does not know its recipe any more\nhint: pass `--recipe FILE`")
            })?;
            recipe::load(&run.recipe, false)?
        }
    };
    let again = reread(&loaded, &record, &opened.tokenizer_path())?;

    // A document's stream is its tokens and, if the boundary has one, its EOD.
    let offset = row.layout.offsets()[index as usize] as usize;
    let stored = &row.slices().tokens[offset..][..segment.len as usize];
    let expected = |i: usize| match again.tokens.get(segment.start as usize + i) {
        Some((id, _)) => Some(*id),
        None if segment.start as usize + i == again.tokens.len() => Some(row.info.ids.eod),
        None => None,
    };
    if let Some(i) = (0..stored.len()).find(|&i| expected(i) != Some(stored[i])) {
        return Err(Error::damaged(
            "shard",
            &row.shard,
            format!(
                "sequence {}, position {}: the token is {}, but document {} tokenized again has {} there",
                row.sequence,
                offset + i,
                stored[i],
                segment.document,
                expected(i).map_or("none".into(), |id| id.to_string()),
            ),
        ));
    }
    let bytes = again.tokens.get(at as usize).map(|(_, bytes)| bytes.clone());
    let place = bytes.clone().unwrap_or(again.text.len()..again.text.len());
    let before = floor(&again.text, place.start.saturating_sub(AROUND));
    let after = floor(&again.text, (place.end + AROUND).min(again.text.len()));
    let part = |from: usize, to: usize| visible(&again.text.as_bytes()[from..to]);
    Ok(WhenceFigures {
        sequence: row.sequence,
        document: segment.document,
        origin: origin(&record),
        path: shown(&again.path),
        text_xxh3: format!("{:032x}", record.hash),
        tokens_compared: stored.len() as u64,
        text_bytes: bytes.map(|bytes| (bytes.start as u64, bytes.end as u64)),
        text: (
            part(before, place.start),
            part(place.start, place.end),
            part(place.end, after.max(place.end)),
        ),
        token,
    })
}

/// The last place at or before `at` where a character starts.
fn floor(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

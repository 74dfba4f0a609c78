//! Single tokens: around a boundary, with ids, positions, flags and text.

use std::collections::BTreeSet;

use super::figures::{SeamFigures, SegmentFigures, TokenFigures};
use super::opened::{Opened, Row};
use super::sequence::segments;
use super::visible::visible;
use crate::error::{Error, Result};
use crate::sequence::PositionMode;
use crate::tokenize::Vocabulary;

/// What single tokens look like.
#[derive(Debug)]
pub struct TokenTexts {
    vocabulary: Vocabulary,
}

impl TokenTexts {
    /// Reads the tokenizer that belongs to the shards.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn open(opened: &Opened) -> Result<Self> {
        opened.vocabulary().map(|vocabulary| Self { vocabulary })
    }

    /// The text of one token with everything invisible made visible; bytes that are no text by
    /// themselves as `⟨E2⟩`, ids without a token as `⟨id 9⟩`.
    pub fn text(&self, id: u32) -> String {
        match self.vocabulary.bytes(id) {
            Some(bytes) => visible(bytes),
            None => format!("⟨id {id}⟩"),
        }
    }
}

/// The tokens from `context` before `position` to `context` behind it.
///
/// # Errors
/// There is no such position, or a file is damaged.
pub fn seam(
    opened: &Opened,
    row: &Row,
    texts: &TokenTexts,
    position: u32,
    context: u32,
) -> Result<SeamFigures> {
    check_position(row, position)?;
    let from = position.saturating_sub(context);
    let to = position.saturating_add(context + 1).min(row.info.seq_len);
    let in_sight = |segment: &SegmentFigures| segment.offset < to && segment.offset + segment.len > from;
    let mut seen = segments(row, &Default::default());
    seen.retain(in_sight);
    let wanted: BTreeSet<u64> = seen.iter().map(|segment| segment.document).collect();
    let documents = opened.documents(&wanted)?;
    let mut seen = segments(row, &documents);
    seen.retain(in_sight);
    let boundaries = seen
        .iter()
        .map(|segment| segment.offset)
        .filter(|&at| at > from && at < to);
    Ok(SeamFigures {
        sequence: row.sequence,
        position,
        boundary: boundaries.min_by_key(|at| at.abs_diff(position)),
        tokens: (from..to).map(|at| token(row, texts, at)).collect(),
        segments: seen,
    })
}

/// One position of a row.
pub fn token(row: &Row, texts: &TokenTexts, position: u32) -> TokenFigures {
    let id = row.slices().tokens[position as usize];
    let index = row.layout.segment_at(position);
    let place = index.map(|index| {
        (
            row.layout.segments()[index],
            position - row.layout.offsets()[index],
        )
    });
    let position_id = match (place, row.info.positions) {
        (None, _) => 0,
        (_, PositionMode::Sequence) => i64::from(position),
        (Some((_, within)), PositionMode::Segment) => i64::from(within),
        (Some((segment, within)), PositionMode::Document) => segment.start as i64 + i64::from(within),
    };
    let flag = match place {
        None => Some("padding"),
        Some(_) if id == row.info.ids.eod => Some("eod"),
        Some(_) if Some(id) == row.info.ids.mask => Some("mask"),
        Some(_) => texts.vocabulary.is_special(id).then_some("special"),
    };
    TokenFigures {
        position,
        id,
        segment: index.map(|index| index as u32),
        document_position: place.map(|(segment, within)| segment.start.saturating_add(u64::from(within))),
        position_id: position_id as i32,
        flag: flag.map(str::to_owned),
        loss: place.is_some(),
        text: texts.text(id),
    }
}

/// Refuses a position that the row does not have.
pub fn check_position(row: &Row, position: u32) -> Result<()> {
    let seq_len = row.info.seq_len;
    match position < seq_len {
        true => Ok(()),
        false => Err(Error::usage(format!(
            "there is no position {position}: a sequence has the positions 0 to {}",
            seq_len - 1
        ))),
    }
}

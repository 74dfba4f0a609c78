//! What the sampler asks of a model.

use std::ops::Range;

use candle_core::Tensor;

use crate::error::Result;
use crate::model::{KvCache, Model, Tokens};

/// Predicts the tokens at chosen positions of a partly masked sequence. Row i of every answer belongs to the
/// token at position `rows[i]`: `[rows.len() × n_vocab] f32`.
pub trait Denoiser {
    /// What one pass over a sequence leaves for the next ones.
    type Cache;

    /// Logits per position.
    fn n_vocab(&self) -> usize;

    /// One pass over the whole sequence.
    ///
    /// # Errors
    /// The sequence cannot be computed.
    fn logits(&mut self, ids: &[u32], rows: &[u32]) -> Result<Vec<f32>>;

    /// One pass over the whole sequence that keeps keys and values.
    ///
    /// # Errors
    /// The sequence cannot be computed.
    fn logits_kept(&mut self, ids: &[u32], rows: &[u32]) -> Result<(Vec<f32>, Self::Cache)>;

    /// One pass over the positions `span` alone, which see what is kept of all others. `rows` lie in `span`.
    ///
    /// # Errors
    /// The sequence cannot be computed.
    fn logits_within(
        &mut self,
        ids: &[u32],
        span: Range<usize>,
        rows: &[u32],
        cache: &Self::Cache,
    ) -> Result<Vec<f32>>;
}

/// A model over a sequence with full attention and running positions.
#[derive(Debug)]
pub struct ModelDenoiser<'a> {
    model: &'a Model,
    positions: Vec<u32>,
}

impl<'a> ModelDenoiser<'a> {
    /// A denoiser that borrows `model`.
    pub fn new(model: &'a Model) -> Self {
        Self {
            model,
            positions: Vec::new(),
        }
    }

    fn run<T>(&mut self, ids: &[u32], run: impl FnOnce(&Model, &Tokens<'_>) -> Result<T>) -> Result<T> {
        if self.positions.len() < ids.len() {
            self.positions
                .extend(self.positions.len() as u32..ids.len() as u32);
        }
        let tokens = Tokens {
            ids,
            positions: &self.positions[..ids.len()],
            cu_seqlens: &[0, ids.len() as u32],
        };
        run(self.model, &tokens)
    }
}

impl Denoiser for ModelDenoiser<'_> {
    type Cache = KvCache;

    fn n_vocab(&self) -> usize {
        self.model.config().vocab_size
    }

    fn logits(&mut self, ids: &[u32], rows: &[u32]) -> Result<Vec<f32>> {
        self.run(ids, |model, tokens| {
            let hidden = model.hidden(tokens)?;
            flat(&model.logits(&hidden, rows, tokens.cu_seqlens)?)
        })
    }

    fn logits_kept(&mut self, ids: &[u32], rows: &[u32]) -> Result<(Vec<f32>, KvCache)> {
        self.run(ids, |model, tokens| {
            let (hidden, cache) = model.hidden_kept(tokens)?;
            Ok((flat(&model.logits(&hidden, rows, tokens.cu_seqlens)?)?, cache))
        })
    }

    fn logits_within(
        &mut self,
        ids: &[u32],
        span: Range<usize>,
        rows: &[u32],
        cache: &KvCache,
    ) -> Result<Vec<f32>> {
        self.run(ids, |model, tokens| {
            // A shifted head reads the position before the one that it predicts.
            let start = span.start - usize::from(model.config().shifted && span.start > 0);
            let hidden = model.hidden_within(tokens, start..span.end, cache)?;
            let rows: Vec<u32> = rows.iter().map(|row| row - start as u32).collect();
            flat(&model.logits(&hidden, &rows, &[0, (span.end - start) as u32])?)
        })
    }
}

fn flat(logits: &Tensor) -> Result<Vec<f32>> {
    Ok(logits.flatten_all()?.to_vec1()?)
}

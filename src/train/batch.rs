//! The sequences of one step: which rows, where they stand, what is masked in them.

use std::fmt;

use crate::dataset::{Dataset, Order, RealTokens};
use crate::error::{Error, Place, Result, shown_text};
use crate::train::objective::{Masked, StepSeed, n_units};
use crate::train::recipe::{Normalize, Objective};

/// Where a sequence of a run comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The epoch, from 0.
    pub epoch: u64,
    /// Its place in the epoch's order.
    pub position: u64,
    /// The row of the dataset.
    pub row: u64,
    /// The shard that holds it.
    pub shard: String,
    /// The documents in it: rows of `documents.parquet`.
    pub documents: Vec<u64>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        let documents: Vec<String> = self.documents.iter().take(SHOWN).map(u64::to_string).collect();
        let more = if self.documents.len() > SHOWN { ", …" } else { "" };
        write!(
            f,
            "epoch {}, position {}: row {} in `{}`, documents {}{more}",
            self.epoch,
            self.position,
            self.row,
            shown_text(&self.shard),
            documents.join(", "),
        )
    }
}

/// One sequence of a step.
#[derive(Debug)]
pub struct Sample {
    /// Where it comes from.
    pub address: Address,
    /// Its real tokens, unmasked.
    pub tokens: RealTokens,
    /// What is masked.
    pub masked: Masked,
}

/// The sequences of one step, in order.
#[derive(Debug)]
pub struct Batch {
    /// The sequences.
    pub samples: Vec<Sample>,
    /// All real tokens.
    pub n_tokens: u64,
}

impl Batch {
    /// The sequences of step `step` (from 0) of a run over `dataset`: global places `step · n` up to
    /// `(step + 1) · n`, epoch after epoch. Constant time in the step.
    ///
    /// # Errors
    /// A row is damaged, or holds an id that is not below `vocab_size`.
    pub fn training(
        dataset: &Dataset,
        objective: &Objective,
        seed: u64,
        step: u64,
        n: u32,
        vocab_size: usize,
    ) -> Result<Self> {
        let step_seed = StepSeed::training(seed, step);
        let cut = step_seed.cut_len(objective, dataset.manifest().seq_len);
        let first = u128::from(step) * u128::from(n);
        let mut rows = Vec::with_capacity(n as usize);
        for place in first..first + u128::from(n) {
            let (epoch, position) = (
                (place / u128::from(dataset.len())) as u64,
                (place % u128::from(dataset.len())) as u64,
            );
            let row = Order::new(dataset, seed, epoch).row(position);
            rows.push(read(dataset, (epoch, position, row), cut, vocab_size)?);
        }
        Ok(Self::masked(rows, objective, step_seed))
    }

    /// The first `n` rows of a held-out dataset, under the same masks every time.
    ///
    /// # Errors
    /// As for [`Batch::training`].
    pub fn held_out(
        dataset: &Dataset,
        objective: &Objective,
        seed: u64,
        n: u32,
        vocab_size: usize,
    ) -> Result<Self> {
        let rows = (0..dataset.len().min(u64::from(n)))
            .map(|row| read(dataset, (0, row, row), None, vocab_size))
            .collect::<Result<_>>()?;
        // Fixed masks should at least cover all of 0..1.
        let spread = Objective {
            low_discrepancy: true,
            ..objective.clone()
        };
        Ok(Self::masked(rows, &spread, StepSeed::evaluation(seed)))
    }

    fn masked(rows: Vec<(Address, RealTokens)>, objective: &Objective, seed: StepSeed) -> Self {
        let n_rows = rows.len();
        let n_tokens: u64 = rows.iter().map(|(_, tokens)| tokens.len() as u64).sum();
        let units = |tokens: &RealTokens| n_units(objective, &tokens.segments);
        let all: usize = rows.iter().map(|(_, tokens)| units(tokens)).sum();
        let mut probabilities = &seed.probabilities(objective, all as u64)[..];
        let samples = rows.into_iter().enumerate().map(|(index, (address, tokens))| {
            let (own, others) = probabilities.split_at(units(&tokens));
            probabilities = others;
            let scale = match objective.normalize {
                Normalize::Tokens => 1.0 / n_tokens as f64,
                Normalize::Sequences => 1.0 / (tokens.len() as f64 * n_rows as f64),
            };
            let masked = Masked::draw(&tokens.segments, own, scale, seed.uniforms(index as u64));
            Sample {
                address,
                tokens,
                masked,
            }
        });
        Self {
            samples: samples.collect(),
            n_tokens,
        }
    }
}

fn read(
    dataset: &Dataset,
    (epoch, position, row): (u64, u64, u64),
    cut: Option<u32>,
    vocab_size: usize,
) -> Result<(Address, RealTokens)> {
    let mut tokens = dataset.real_tokens(row)?;
    if let Some(at) = tokens.ids.iter().position(|&id| id as usize >= vocab_size) {
        let message = format!(
            "token {at} is {}, but the model has ids below {vocab_size}\nhint: `ultrapack verify` tells whether the shard is damaged",
            tokens.ids[at]
        );
        let place = Place {
            record: Some(row),
            ..Place::file(dataset.shard_of(row))
        };
        return Err(Error::input(place, message));
    }
    if let Some(len) = cut {
        tokens.cut(len);
    }
    let address = Address {
        epoch,
        position,
        row,
        shard: dataset.shard_of(row).to_owned(),
        documents: dataset.row(row)?.segment_document.to_vec(),
    };
    Ok((address, tokens))
}

//! What dataset, model and recipe must agree on before the first step.

use std::path::Path;

use crate::disk::ReadFile;
use crate::error::{Error, Result};
use crate::model::Config;
use crate::shard::Manifest;
use crate::train::checkpoint::{TRAINER_STATE, TrainerState};
use crate::train::recipe::{RopeMethod, TrainRecipe};
use crate::train::source::named;

/// Checks that the sequences of a dataset can be given to a model.
///
/// # Errors
/// Ids beyond the model's vocabulary, another mask token, or another tokenizer than the one that the
/// model's directory has or was trained with.
pub fn ids(manifest: &Manifest, config: &Config, dataset: &Path, model: Option<&Path>) -> Result<()> {
    let ids = &manifest.ids;
    if ids.vocab_size as usize > config.vocab_size {
        return Err(Error::usage(format!(
            "{} has token ids below {}, the model below {}\nhint: pack with the model's tokenizer",
            named(dataset),
            ids.vocab_size,
            config.vocab_size
        )));
    }
    if let Some(mask) = ids.mask
        && mask != config.mask_id
    {
        return Err(Error::usage(format!(
            "{} names {mask} as the mask token, the model masks with {}\nhint: pack with the model's tokenizer, or correct `tokenizer.mask` of the dataset's recipe",
            named(dataset),
            config.mask_id
        )));
    }
    let Some(model) = model else { return Ok(()) };
    let Some((of, digest)) = tokenizer_of(model)? else {
        return Ok(());
    };
    if digest != manifest.tokenizer.blake3 {
        return Err(Error::usage(format!(
            "{} was packed with another tokenizer than {of} of {}: blake3 {}… and {}…\nhint: pack with the model's tokenizer",
            named(dataset),
            named(model),
            &manifest.tokenizer.blake3.get(..12).unwrap_or_default(),
            digest.get(..12).unwrap_or_default(),
        )));
    }
    Ok(())
}

/// The hash of the tokenizer that belongs to a model, and what says so.
fn tokenizer_of(model: &Path) -> Result<Option<(&'static str, String)>> {
    if model.join(TRAINER_STATE).exists() {
        return Ok(Some(("the training data", TrainerState::read(model)?.tokenizer)));
    }
    let file = model.join("tokenizer.json");
    if !file.exists() {
        return Ok(None);
    }
    Ok(Some(("the `tokenizer.json`", ReadFile::open(&file)?.blake3()?)))
}

/// Checks that positions reach as far as the sequences; gives a warning where they do so unprepared.
///
/// # Errors
/// The sequences are longer than the length that the recipe stretches positions to.
pub fn lengths(manifest: &Manifest, config: &Config, recipe: &TrainRecipe) -> Result<Option<String>> {
    let seq_len = manifest.seq_len;
    if recipe.rope.method == RopeMethod::None {
        let beyond = seq_len as usize > config.max_len;
        return Ok(beyond.then(|| {
            format!(
                "sequences have {seq_len} tokens, the model was made for {}, and `rope.method` is none",
                config.max_len
            )
        }));
    }
    match recipe.rope.target_len {
        Some(target) if target < seq_len => Err(Error::usage(format!(
            "sequences have {seq_len} tokens, but `rope.target_len` is {target}\nhint: raise it, or pack with a shorter `seq_len`"
        ))),
        _ => Ok(None),
    }
}

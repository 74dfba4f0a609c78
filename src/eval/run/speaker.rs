//! Text to the model's tokens and back.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::eval::Meter;
use crate::eval::sampler::SpecialTokens;
use crate::model::Config;
use crate::recipe;
use crate::tokenize::{Tokenizer, Vocabulary};

/// Name of the end-of-turn token in LLaDA's tokenizers.
const END_OF_TURN: &[u8] = b"<|eot_id|>";

/// A tokenizer that belongs to a model.
pub struct Speaker {
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
    special: SpecialTokens,
}

impl Speaker {
    /// Loads `file`, or the model's own `tokenizer.json`. Names of special tokens in a text are plain text
    /// unless `special_in_text`.
    ///
    /// # Errors
    /// There is no such file, it cannot be used, or it has more ids than the model.
    pub fn load(file: Option<&Path>, model: &Path, config: &Config, special_in_text: bool) -> Result<Self> {
        let path: PathBuf = file.map_or_else(|| model.join("tokenizer.json"), Path::to_owned);
        if file.is_none() && !path.exists() {
            return Err(Error::usage(format!(
                "there is no tokenizer beside the model: `{}`\nhint: name one with `--tokenizer`",
                crate::error::shown(&path)
            )));
        }
        let rules = recipe::Tokenizer {
            file: path.clone(),
            eod: recipe::TokenRef::Id(config.eos_id),
            pad: None,
            mask: None,
            vocab_size: Some(u32::try_from(config.vocab_size).unwrap_or(u32::MAX)),
            special_tokens: match special_in_text {
                true => recipe::SpecialTokens::Allow,
                false => recipe::SpecialTokens::Text,
            },
        };
        let tokenizer = Tokenizer::load(&path, &rules)?;
        let vocabulary = Vocabulary::read(tokenizer.bytes()).map_err(|message| Error::Tokenizer {
            path: path.clone(),
            message,
        })?;
        let ids = 0..tokenizer.ids().vocab_size;
        let mut named = ids.filter(|&id| vocabulary.is_special(id));
        let special = SpecialTokens {
            mask: config.mask_id,
            eos: config.eos_id,
            eot: named.find(|&id| vocabulary.bytes(id) == Some(END_OF_TURN)),
        };
        Ok(Self {
            tokenizer,
            vocabulary,
            special,
        })
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The ids that the sampler treats in a special way.
    pub fn special(&self) -> SpecialTokens {
        self.special
    }

    /// The tokens of a text; nothing is added.
    ///
    /// # Errors
    /// The tokenizer refuses the text.
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        Meter::encode(&self.tokenizer, text)
    }

    /// The text of an answer: special tokens, and ids that the tokenizer does not have, are left out; what
    /// follows an end of text is kept, as in the published evaluations.
    ///
    /// # Errors
    /// The tokenizer fails.
    pub fn text(&self, tokens: &[u32]) -> Result<String> {
        let plain = |id: &u32| self.vocabulary.bytes(*id).is_some() && !self.vocabulary.is_special(*id);
        let plain: Vec<u32> = tokens.iter().copied().filter(plain).collect();
        self.tokenizer.decode(&plain)
    }

    /// The bytes of one token; `None` for ids that are not in the tokenizer.
    pub fn token(&self, id: u32) -> Option<&[u8]> {
        self.vocabulary.bytes(id)
    }
}

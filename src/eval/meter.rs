//! How lengths are counted.

use crate::error::Result;
use crate::tokenize::Tokenizer;

/// Counts and cuts texts in tokens: the model's, or those of another tokenizer, where a benchmark's
/// lengths were published in these.
pub trait Meter: Sync {
    /// The tokens of a text.
    ///
    /// # Errors
    /// The tokenizer refuses the text.
    fn encode(&self, text: &str) -> Result<Vec<u32>>;

    /// The text of some tokens; bytes that are no character become U+FFFD.
    ///
    /// # Errors
    /// There is no such token.
    fn decode(&self, tokens: &[u32]) -> Result<String>;

    /// Number of tokens of a text.
    ///
    /// # Errors
    /// The tokenizer refuses the text.
    fn count(&self, text: &str) -> Result<usize> {
        Ok(self.encode(text)?.len())
    }
}

impl Meter for Tokenizer {
    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut tokens = Vec::new();
        Tokenizer::encode(self, text, &mut tokens)?;
        Ok(tokens)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String> {
        Tokenizer::decode(self, tokens)
    }
}

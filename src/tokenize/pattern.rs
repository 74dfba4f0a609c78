//! Split patterns: which ones the fast engine knows, and under which spelling.
//!
//! A `tokenizer.json` of the GPT family cuts text into pieces by a regular expression before any
//! merge is applied. The fast engine recognises such expressions by their exact spelling and runs
//! hand-written scanners for them. LLaDA spells an expression that matches the same pieces as
//! Qwen2's in another way; [`canonical`] knows such pairs. Each pair is proved on text by a test
//! that runs both spellings through a general regular-expression engine.

/// Qwen2's pattern; also the canonical spelling of LLaDA's and Ling's.
pub const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The pattern of LLaDA, LLaDA-MoE, LLaDA2 and Ling.
///
/// It matches the same pieces as [`QWEN2`]: the contractions are the same set; a possessive
/// quantifier changes nothing where the next item cannot match what it took; and `\s*[\r\n]`, being
/// greedy, already runs to the last line end of a white-space run, so `+` has nothing left to take.
pub const LLADA: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";

/// The pattern of Llama 3 and cl100k in their `tokenizer.json` spelling.
pub const CL100K: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// GPT-2's pattern; a `ByteLevel` pre-tokenizer with `use_regex` means this one.
pub const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// Pairs of spellings that match the same pieces: as found in files, as the fast engine knows it.
const EQUAL: [(&str, &str); 1] = [(LLADA, QWEN2)];

/// The spelling that the fast engine recognises, for a pattern known to be equal to it.
pub fn canonical(pattern: &str) -> &str {
    EQUAL
        .iter()
        .find(|(found, _)| *found == pattern)
        .map_or(pattern, |(_, known)| known)
}

/// Whether no piece of this pattern spans a letter and a following ASCII white-space character,
/// and none depends on what came before it: then text may be cut there.
pub fn cuts_after_letters(pattern: &str) -> bool {
    [QWEN2, CL100K, GPT2].contains(&canonical(pattern))
}

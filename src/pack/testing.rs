//! Corpora and rules for the tests of this room.

use super::seed::{Rng, unit};
use super::{Account, Corpus, PartLens, Rules, SourceAccount, SourceRules};
use crate::recipe::{Balance, Recipe, default_pair_cost, default_token_cost};

/// The rules of a recipe that says nothing, but for short buckets.
pub(super) fn rules(seq_len: u32) -> Rules {
    let recipe: Recipe = serde_json::from_str(
        r#"{"version": 1, "sources": [{"name": "web", "paths": ["a"]}], "tokenizer": {"file": "t", "eod": 0}}"#,
    )
    .expect("a smallest recipe");
    Rules {
        bucket_min: 4,
        ..Rules::new(&recipe, seq_len)
    }
}

/// A corpus of these parts (source, lengths); the sources are called `s0`, `s1`, ….
pub(super) fn corpus_of(parts: Vec<(usize, Vec<u32>)>) -> Corpus {
    let n_sources = parts.iter().map(|(source, _)| source + 1).max().unwrap_or(0);
    let source = |i| SourceRules {
        name: format!("s{i}"),
        weight: None,
        epochs: None,
    };
    Corpus {
        sources: (0..n_sources).map(source).collect(),
        parts: parts
            .into_iter()
            .map(|(source, lens)| PartLens {
                source,
                lens,
                duplicates: Vec::new(),
            })
            .collect(),
    }
}

/// An empty account for each source.
pub(super) fn accounts(corpus: &Corpus) -> Vec<SourceAccount> {
    let named = |source: &SourceRules| SourceAccount {
        name: source.name.clone(),
        account: Account::default(),
    };
    corpus.sources.iter().map(named).collect()
}

/// A balance with the default costs.
pub(super) fn balance(ranks: u32, accumulate: u32, group: u32) -> Balance {
    Balance {
        ranks,
        accumulate,
        group,
        token_cost: default_token_cost(),
        pair_cost: default_pair_cost(),
    }
}

/// Log-normal document lengths.
pub(super) fn log_normal(n: usize, mean: f64, sigma: f64, seed: u64) -> Vec<u32> {
    let mut rng = Rng::new(seed);
    let mu = mean.ln() - sigma * sigma / 2.0;
    (0..n)
        .map(|_| {
            // Box–Muller; 1 - u is never 0.
            let radius = (-2.0 * (1.0 - unit(rng.next_u64())).ln()).sqrt();
            let normal = radius * (std::f64::consts::TAU * unit(rng.next_u64())).cos();
            (mu + sigma * normal).exp().max(1.0) as u32
        })
        .collect()
}

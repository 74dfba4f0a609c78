//! What the schema cannot say: rules between keys.
//!
//! Each rule is one short function over the typed recipe; the tree of the text serves only to point
//! at the key a finding is about. All rules run, so that all findings are reported together.

mod pack;
mod sources;

use super::findings::Findings;
use super::findings::Step::{self, Item, Key};
use super::report::{Code, quoted};
use super::types::{Boundary, OnBadRecord, Placement, Recipe, TokenRef};

/// Adds everything that the rules find.
pub(super) fn check(recipe: &Recipe, findings: &mut Findings<'_>) {
    let mut check = Check { recipe, findings };
    check.paths();
    check.tokenizer();
    for index in 0..recipe.sources.len() {
        check.source(index);
    }
    check.source_names();
    check.metadata_types();
    check.weights();
    check.seq_len();
    check.long_documents();
    check.placement();
    check.eod();
    check.balance();
    check.without_effect();
}

struct Check<'a, 'b> {
    recipe: &'a Recipe,
    findings: &'a mut Findings<'b>,
}

impl Check<'_, '_> {
    fn error(&mut self, code: Code, path: &[Step<'_>], message: impl Into<String>, label: impl Into<String>) {
        self.findings.error(code, path, message, label);
    }

    fn paths(&mut self) {
        let recipe = self.recipe;
        let mut paths: Vec<(Vec<Step<'_>>, &str)> = Vec::new();
        let file = recipe.tokenizer.file.to_str().unwrap_or_default();
        paths.push((vec![Key("tokenizer"), Key("file")], file));
        for (key, path) in [("out", &recipe.run.out), ("store", &recipe.run.store)] {
            if let Some(path) = path {
                paths.push((vec![Key("run"), Key(key)], path.to_str().unwrap_or_default()));
            }
        }
        for (source, given) in recipe.sources.iter().enumerate() {
            for (index, pattern) in given.paths.iter().enumerate() {
                paths.push((
                    vec![Key("sources"), Item(source), Key("paths"), Item(index)],
                    pattern,
                ));
                if let Err(error) = glob::Pattern::new(pattern) {
                    let message = format!("{} is not a glob pattern: {}", quoted(pattern), error.msg);
                    self.error(
                        Code::Form,
                        &paths[paths.len() - 1].0,
                        message,
                        "put special characters in brackets: [[]",
                    );
                }
            }
        }
        for (place, path) in paths {
            self.findings.local_path(&place, path);
        }
    }

    fn tokenizer(&mut self) {
        let tokenizer = &self.recipe.tokenizer;
        let Some(vocab_size) = tokenizer.vocab_size else {
            return;
        };
        for (key, token) in [
            ("eod", Some(&tokenizer.eod)),
            ("pad", tokenizer.pad.as_ref()),
            ("mask", tokenizer.mask.as_ref()),
        ] {
            if let Some(TokenRef::Id(id)) = token
                && *id >= vocab_size
            {
                let message = format!("token id {id} is outside of the vocabulary");
                let label = format!("`vocab_size: {vocab_size}` leaves ids 0 to {}", vocab_size - 1);
                self.error(Code::Contradiction, &[Key("tokenizer"), Key(key)], message, label);
            }
        }
    }

    fn balance(&mut self) {
        if let Some(balance) = &self.recipe.balance
            && balance.token_cost == 0.0
            && balance.pair_cost == 0.0
        {
            let message = "`balance` with no cost for tokens and pairs has nothing to balance";
            self.error(
                Code::Contradiction,
                &[Key("balance"), Key("pair_cost")],
                message,
                "give one of the costs",
            );
        }
    }

    fn without_effect(&mut self) {
        let pack = &self.recipe.pack;
        let windowed = matches!(pack.placement, Placement::FirstFit | Placement::BestFit);
        let skips = self.recipe.limits.on_bad_record == OnBadRecord::Skip;
        for (section, key, used, when) in [
            (
                "pack",
                "hybrid_share",
                pack.boundary == Boundary::Hybrid,
                "`boundary: hybrid`",
            ),
            (
                "pack",
                "open_sequences",
                windowed,
                "`placement: first_fit` or `best_fit`",
            ),
            (
                "pack",
                "bucket_min",
                pack.placement == Placement::Bucket,
                "`placement: bucket`",
            ),
            ("limits", "max_bad_records", skips, "`on_bad_record: skip`"),
        ] {
            self.findings.without_effect(section, key, used, when);
        }
    }
}

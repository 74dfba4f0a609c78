//! What the schema cannot say: rules between keys.
//!
//! Each rule is one short function over the typed recipe; the tree of the text serves only to point
//! at the key a finding is about. All rules run, so that all findings are reported together.

mod pack;
mod sources;

use super::report::{Code, Diagnostic, Span, quoted};
use super::types::{Boundary, OnBadRecord, Placement, Recipe, TokenRef};
use super::yaml::{Node, Value};

/// Everything the rules find: errors, then warnings.
pub(super) fn check(recipe: &Recipe, root: &Node) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
    let mut check = Check {
        recipe,
        root,
        errors: Vec::new(),
        warnings: Vec::new(),
    };
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
    (check.errors, check.warnings)
}

struct Check<'a> {
    recipe: &'a Recipe,
    root: &'a Node,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

/// One step into the tree.
#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Item(usize),
}
use Step::{Item, Key};

impl Check<'_> {
    fn error(&mut self, code: Code, path: &[Step<'_>], message: impl Into<String>, label: impl Into<String>) {
        let span = self.span(path);
        self.errors
            .push(Diagnostic::new(code, span, message).label(label));
    }

    /// Where the value at a path stands; if it is left to its default, the nearest thing around it.
    fn span(&self, path: &[Step<'_>]) -> Span {
        let (mut node, mut span) = (self.root, self.root.head());
        for step in path {
            let next = match (step, &node.value) {
                (Key(name), _) => node.get(name).map(|(key, node)| (node, key.span)),
                (Item(index), Value::Seq(items)) => items.get(*index).map(|item| (item, item.head())),
                (Item(_), _) => None,
            };
            let Some((next, at)) = next else { return span };
            // A collection is shown by its key, everything else by its value.
            span = match &next.value {
                Value::Seq(_) | Value::Map(_) => at,
                _ => next.span,
            };
            node = next;
        }
        span
    }

    /// Whether the recipe's text holds the key.
    fn given(&self, section: &str, key: &str) -> bool {
        self.root
            .get(section)
            .is_some_and(|(_, node)| node.get(key).is_some())
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
            if path.is_empty() || path.contains('\0') {
                self.error(
                    Code::NotLocal,
                    &place,
                    "the path is empty or holds a NUL character",
                    "",
                );
            } else if is_url(path) {
                let message = format!("{} is not a local path", quoted(path));
                self.error(
                    Code::NotLocal,
                    &place,
                    message,
                    "download it first: only local files are read and written",
                );
            }
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
            if !used && self.given(section, key) {
                let message = format!("`{section}.{key}` has no effect without {when}");
                let span = self.span(&[Key(section), Key(key)]);
                self.warnings.push(Diagnostic::new(Code::NoEffect, span, message));
            }
        }
    }
}

/// Whether a path names a place on the network: `SCHEME://…`.
fn is_url(path: &str) -> bool {
    path.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

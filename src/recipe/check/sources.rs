//! Rules about sources: their names, fields, conditions and shares.

use std::collections::BTreeMap;

use super::Check;
use crate::recipe::condition;
use crate::recipe::findings::Step::{self, Item, Key};
use crate::recipe::report::{Code, quoted};
use crate::recipe::types::{Format, MetadataType, Source};
use crate::recipe::yaml::Value;

impl Check<'_, '_> {
    pub(super) fn source(&mut self, index: usize) {
        let recipe = self.recipe;
        let source = &recipe.sources[index];
        let at = |key| [Key("sources"), Item(index), Key(key)];
        let given = |key| match self.findings.root.get("sources").map(|(_, list)| &list.value) {
            Some(Value::Seq(items)) => items.get(index).is_some_and(|item| item.get(key).is_some()),
            _ => false,
        };
        let (text_given, named) = (given("text"), quoted(&source.name));
        if source.format == Format::Text {
            if text_given {
                let message = format!("source {named} is plain text, which has no field `text`");
                self.error(
                    Code::Contradiction,
                    &at("text"),
                    message,
                    "remove this key or change `format`",
                );
            }
            if !source.metadata.is_empty() {
                let message = format!("source {named} is plain text, which has no metadata");
                self.error(
                    Code::Contradiction,
                    &at("metadata"),
                    message,
                    "remove this key or change `format`",
                );
            }
        }
        if let Some(separator) = &source.separator {
            if !matches!(source.format, Format::Text | Format::Auto) {
                let message = format!("`separator` is for plain text, source {named} is not");
                self.error(
                    Code::Contradiction,
                    &at("separator"),
                    message,
                    "remove this key or change `format`",
                );
            }
            if separator.contains(['\n', '\r']) {
                let message = "`separator` is the content of one line and cannot hold a line break";
                self.error(Code::Form, &at("separator"), message, "");
            }
        }
        for (field, place) in source
            .metadata
            .keys()
            .map(|key| (key, "metadata"))
            .chain([(&source.text, "text")])
        {
            if field.split('.').any(str::is_empty) {
                let message = format!("{} is not a dotted path: a part of it is empty", quoted(field));
                self.error(Code::Form, &self.field_path(index, place, field), message, "");
            }
        }
        self.condition(index, source);
        if source.weight.is_some() && source.epochs.is_some() {
            let message = format!("source {named} has both `weight` and `epochs`");
            self.error(
                Code::Contradiction,
                &at("epochs"),
                message,
                "remove one of the two",
            );
        }
        if recipe.mixture.tokens.is_some() && source.epochs.is_some() {
            let message =
                format!("`mixture.tokens` decides how often source {named} is used, and so does `epochs`");
            self.error(
                Code::Contradiction,
                &at("epochs"),
                message,
                "remove one of the two",
            );
        }
    }

    fn field_path<'p>(&self, source: usize, place: &'p str, field: &'p str) -> Vec<Step<'p>> {
        let mut path = vec![Key("sources"), Item(source), Key(place)];
        if place == "metadata" {
            path.push(Key(field));
        }
        path
    }

    fn condition(&mut self, index: usize, source: &Source) {
        let Some(sql) = &source.filter else { return };
        if let Err(problem) = condition::check(sql, &source.metadata) {
            let message = format!("`where` of source {}: {}", quoted(&source.name), problem.message);
            self.error(
                Code::Condition,
                &[Key("sources"), Item(index), Key("where")],
                message,
                problem.hint,
            );
        }
    }

    pub(super) fn source_names(&mut self) {
        let recipe = self.recipe;
        for (index, source) in recipe.sources.iter().enumerate() {
            if let Some(first) = recipe.sources[..index]
                .iter()
                .position(|other| other.name == source.name)
            {
                let message = format!("two sources are named {}", quoted(&source.name));
                let label = format!("as `sources[{first}]`; names must differ");
                self.error(
                    Code::Twice,
                    &[Key("sources"), Item(index), Key("name")],
                    message,
                    label,
                );
            }
        }
    }

    /// The metadata of all sources become columns of one table.
    pub(super) fn metadata_types(&mut self) {
        let recipe = self.recipe;
        let mut seen: BTreeMap<&str, (MetadataType, &str)> = BTreeMap::new();
        for (index, source) in recipe.sources.iter().enumerate() {
            for (name, kind) in &source.metadata {
                let (first, other) = *seen.entry(name).or_insert((*kind, &source.name));
                if first != *kind {
                    let message = format!("metadata column {} has two types", quoted(name));
                    let label = format!("source {} has another; they share one table", quoted(other));
                    self.error(
                        Code::Contradiction,
                        &self.field_path(index, "metadata", name),
                        message,
                        label,
                    );
                }
            }
        }
    }

    pub(super) fn weights(&mut self) {
        let sources = &self.recipe.sources;
        let n_weighted = sources.iter().filter(|source| source.weight.is_some()).count();
        if n_weighted > 0 && n_weighted < sources.len() {
            for (index, source) in sources
                .iter()
                .enumerate()
                .filter(|(_, source)| source.weight.is_none())
            {
                let message = format!("source {} has no `weight`, but others have", quoted(&source.name));
                let label = "give a weight to all sources or to none";
                self.error(
                    Code::Contradiction,
                    &[Key("sources"), Item(index), Key("name")],
                    message,
                    label,
                );
            }
        }
        let total: f64 = sources.iter().filter_map(|source| source.weight).sum();
        if n_weighted == sources.len() && !(total > 0.0 && total.is_finite()) {
            let message = format!("the weights of all sources add up to {total}");
            self.error(
                Code::OutOfRange,
                &[Key("sources"), Item(0), Key("weight")],
                message,
                "must be more than 0",
            );
        }
        if sources.iter().all(|source| source.epochs == Some(0.0)) {
            let message = "every source has `epochs: 0`, so that nothing is packed";
            self.error(
                Code::OutOfRange,
                &[Key("sources"), Item(0), Key("epochs")],
                message,
                "",
            );
        }
    }
}

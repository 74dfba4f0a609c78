//! The recipe of a training run: its types, and what must hold between its keys.

mod types;

use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value as Json;

pub use self::types::*;
use crate::error::Result;
use crate::recipe::Step::{Item, Key};
use crate::recipe::{
    Code, Findings, Loaded, Written, digest_of, generate, load_as, parse_as, remove, sorted,
};

/// A checked recipe of a training run, and where it was found.
pub type LoadedTrainRecipe = Loaded<TrainRecipe>;

/// Reads and checks a recipe of a training run. `color` is whether findings are rendered with
/// terminal colours.
///
/// # Errors
/// [`Error::Io`](crate::error::Error::Io) if the file cannot be read,
/// [`Error::Recipe`](crate::error::Error::Recipe) with all errors if it is wrong.
pub fn load(path: &Path, color: bool) -> Result<LoadedTrainRecipe> {
    load_as(path, color)
}

/// Checks the text of a recipe of a training run; `path` is where it stands.
///
/// # Errors
/// [`Error::Recipe`](crate::error::Error::Recipe) with all errors.
pub fn parse(text: &str, path: &Path, color: bool) -> Result<LoadedTrainRecipe> {
    parse_as(text, path, color)
}

/// The JSON Schema (draft 2020-12) of version 1 of the recipe of a training run.
///
/// `schemas/train.schema.json` is this value, for editors.
pub fn schema() -> Json {
    TrainRecipe::schema().clone()
}

impl TrainRecipe {
    /// The run's name: as in the recipe, else the recipe's file name without extension.
    pub fn name_or(&self, path: &Path) -> String {
        let stem = || {
            path.file_stem()
                .map_or("train".into(), |stem| stem.to_string_lossy())
        };
        self.name.clone().unwrap_or_else(|| stem().into_owned())
    }

    /// The recipe as JSON with defaults filled in and without what cannot change the trained weights:
    /// names, places, how often something is saved or measured. Keys are sorted. The dataset is
    /// identified by its id elsewhere.
    pub fn meaning(&self) -> Json {
        let mut json = serde_json::to_value(self).expect("a recipe holds nothing that JSON cannot");
        let elsewhere = ["name", "data", "device", "checkpoint", "eval", "metrics"];
        remove(&mut json, &elsewhere);
        remove(&mut json["optimizer"], &["offload"]);
        sorted(json)
    }

    /// The recipe's identity, `blake3:` and 64 hexadecimal digits: a hash of its meaning.
    pub fn digest(&self) -> String {
        digest_of(&self.meaning())
    }
}

impl Written for TrainRecipe {
    const START: &'static str = "`recipes/train-demo.yaml` is a commented recipe to start from";

    fn schema() -> &'static Json {
        static SCHEMA: OnceLock<Json> = OnceLock::new();
        SCHEMA.get_or_init(|| generate::<Self>("train", "Ultrapack training recipe"))
    }

    fn check(&self, findings: &mut Findings<'_>) {
        self.check_paths(findings);
        self.check_model(findings);
        self.check_rope(findings);
        self.check_schedule(findings);
        self.check_lora(findings);
    }
}

impl TrainRecipe {
    fn check_paths(&self, findings: &mut Findings<'_>) {
        let mut paths = vec![(["data", "dataset"], Some(&self.data.dataset))];
        paths.push((["model", "path"], self.model.path.as_ref()));
        paths.push((["model", "config"], self.model.config.as_ref()));
        paths.push((["checkpoint", "dir"], self.checkpoint.dir.as_ref()));
        paths.push((["eval", "dataset"], self.eval.as_ref().map(|eval| &eval.dataset)));
        for ([section, key], path) in paths {
            if let Some(path) = path {
                findings.local_path(&[Key(section), Key(key)], &path.to_string_lossy());
            }
        }
    }

    fn check_model(&self, findings: &mut Findings<'_>) {
        let model = &self.model;
        let given = [model.path.is_some(), model.size.is_some(), model.config.is_some()];
        let n_given = given.iter().filter(|given| **given).count();
        if n_given != 1 {
            let message = format!("`model` needs one of `path`, `size` and `config`, found {n_given}");
            let label = "`path` continues a model, the others start a new one";
            findings.error(Code::Contradiction, &[Key("model")], message, label);
        }
    }

    fn check_rope(&self, findings: &mut Findings<'_>) {
        let rope = &self.rope;
        let stretches = rope.method != RopeMethod::None;
        let critical = matches!(rope.method, RopeMethod::NtkCritical | RopeMethod::DiffusionNtk);
        for key in ["train_len", "target_len"] {
            findings.without_effect("rope", key, stretches, "a `method`");
        }
        let when = "`method: ntk_critical` or `diffusion_ntk`";
        findings.without_effect("rope", "d_crit", critical, when);
        if stretches && (rope.train_len.is_none() || rope.target_len.is_none()) {
            let message = "`rope.method` needs `train_len` and `target_len`";
            let label = "from which length, to which";
            findings.error(Code::Contradiction, &[Key("rope"), Key("method")], message, label);
        }
        if let (Some(train), Some(target)) = (rope.train_len, rope.target_len)
            && target < train
        {
            let message = format!("`rope.target_len: {target}` is less than `rope.train_len: {train}`");
            findings.error(Code::Lengths, &[Key("rope"), Key("target_len")], message, "");
        }
    }

    fn check_schedule(&self, findings: &mut Findings<'_>) {
        let schedule = &self.schedule;
        let wsd = schedule.kind == ScheduleKind::Wsd;
        findings.without_effect("schedule", "decay", wsd, "`kind: wsd`");
        let falls = schedule.kind != ScheduleKind::Constant;
        findings.without_effect("schedule", "final_ratio", falls, "`kind: cosine` or `wsd`");
        let decay = if wsd { schedule.decay } else { 0 };
        if schedule.warmup.saturating_add(decay) > self.steps {
            let message = format!(
                "warm-up and decay take {} steps, the run has {}",
                schedule.warmup.saturating_add(decay),
                self.steps
            );
            findings.error(Code::Lengths, &[Key("schedule"), Key("warmup")], message, "");
        }
        if wsd && schedule.decay == 0 {
            let message = "`kind: wsd` needs `decay`, the number of steps in which the learning rate falls";
            findings.error(Code::Contradiction, &[Key("schedule"), Key("kind")], message, "");
        }
    }

    fn check_lora(&self, findings: &mut Findings<'_>) {
        let Some(lora) = &self.lora else { return };
        for (index, target) in lora.targets.iter().enumerate() {
            if lora.targets[..index].contains(target) {
                let place = [Key("lora"), Key("targets"), Item(index)];
                findings.error(
                    Code::Twice,
                    &place,
                    "this projection is listed twice",
                    "remove one",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;

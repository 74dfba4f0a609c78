//! A checkpoint with a RoPE scaling: what is compared.

use std::path::PathBuf;

use candle_core::{DType, Device};
use serde_json::{Value, json};

use super::Speaker;
use crate::error::{Error, Result, shown, shown_text};
use crate::model::{Config, LoadOptions, Model, RopeMethod, RopeScaling};
use crate::train::Source;

/// What the user says about a subject.
#[derive(Debug, Clone)]
pub struct SubjectSpec {
    /// Name in tables. Default: made from checkpoint and scaling.
    pub name: Option<String>,
    /// Directory of the checkpoint.
    pub model: PathBuf,
    /// Scaling.
    pub rope: RopeMethod,
    /// Length to reach, tokens.
    pub target_len: Option<u32>,
    /// Length that the model was trained on. Default: the configuration's.
    pub train_len: Option<u32>,
    /// Critical dimension in place of the computed one.
    pub d_crit: Option<u32>,
    /// The longest prompt that is run. Default: the configuration's length, or the target.
    pub max_len: Option<u32>,
}

impl SubjectSpec {
    /// This subject with what `text` changes: `key=value,…` with the keys `name`, `model`, `rope`,
    /// `target-len`, `train-len`, `d-crit` and `max-len`.
    ///
    /// # Errors
    /// A key is unknown, or a value is not what it must be.
    pub fn vary(&self, text: &str) -> Result<Self> {
        let mut varied = Self {
            name: None,
            ..self.clone()
        };
        for part in text.split(',') {
            let (key, value) = part.split_once('=').ok_or_else(|| {
                Error::usage(format!(
                    "`{}` is not key=value\nhint: such as `rope=diffusion-ntk,target-len=131072`",
                    shown_text(part)
                ))
            })?;
            let number = || {
                value.parse::<u32>().ok().filter(|&n| n > 0).ok_or_else(|| {
                    Error::usage(format!("`{}`: expected a number from 1 on", shown_text(part)))
                })
            };
            match key {
                "name" => varied.name = Some(value.into()),
                "model" => varied.model = value.into(),
                "rope" => varied.rope = method(value)?,
                "target-len" => varied.target_len = Some(number()?),
                "train-len" => varied.train_len = Some(number()?),
                "d-crit" => varied.d_crit = Some(number()?),
                "max-len" => varied.max_len = Some(number()?),
                _ => {
                    return Err(Error::usage(format!(
                        "there is no `{}` to compare by\nhint: use name, model, rope, target-len, train-len, d-crit or max-len",
                        shown_text(key)
                    )));
                }
            }
        }
        Ok(varied)
    }
}

/// A scaling by its name, written with `-` or `_`.
///
/// # Errors
/// There is no such scaling.
pub fn method(name: &str) -> Result<RopeMethod> {
    name.replace('-', "_").parse()
}

/// A checkpoint with a RoPE scaling, resolved.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Name in tables.
    pub name: String,
    /// Directory of the checkpoint.
    pub directory: PathBuf,
    /// Its configuration.
    pub config: Config,
    /// The scaling.
    pub scaling: RopeScaling,
    /// The longest prompt, or measured text, that is run; an answer may go on from there.
    pub max_len: u32,
    /// `blake3:…` of configuration and weights.
    pub digest: String,
}

impl Subject {
    /// Reads the configuration and hashes the weights.
    ///
    /// # Errors
    /// There is no supported checkpoint, or a scaling lacks its target.
    pub fn open(spec: &SubjectSpec) -> Result<Self> {
        let mut subject = Self::open_unhashed(spec)?;
        let source = Source {
            config: subject.config.clone(),
            directory: Some(spec.model.clone()),
        };
        subject.digest = source.digest()?.expect("a directory has a digest");
        Ok(subject)
    }

    /// The same without a digest, for work whose result is not kept.
    ///
    /// # Errors
    /// As [`Subject::open`].
    pub fn open_unhashed(spec: &SubjectSpec) -> Result<Self> {
        let config = Config::load(&spec.model)?;
        let config_len = u32::try_from(config.max_len).unwrap_or(u32::MAX);
        let scaling = match (spec.rope, spec.target_len) {
            (RopeMethod::None, None) => RopeScaling::NONE,
            (RopeMethod::None, Some(_)) => {
                return Err(Error::usage(
                    "a target length needs a RoPE scaling\nhint: add `rope`, or say `max-len` to run an unscaled model at a length",
                ));
            }
            (method, None) => {
                return Err(Error::usage(format!(
                    "the RoPE scaling `{method}` needs a target length\nhint: add `target-len`"
                )));
            }
            (method, Some(target_len)) => RopeScaling {
                method,
                train_len: spec.train_len.unwrap_or(config_len),
                target_len,
                d_crit: spec.d_crit,
            },
        };
        let reach = match scaling.method {
            RopeMethod::None => config_len,
            _ => config_len.max(scaling.target_len),
        };
        Ok(Self {
            name: spec.name.clone().unwrap_or_else(|| default_name(spec)),
            directory: spec.model.clone(),
            digest: String::new(),
            config,
            scaling,
            max_len: spec.max_len.unwrap_or(reach),
        })
    }

    /// Checks that the subject has the ids of the speaker's model: subjects are compared on the same tokens.
    ///
    /// # Errors
    /// Mask, end of text or the number of ids differ.
    pub fn speaks(&self, speaker: &Speaker) -> Result<()> {
        let (own, special) = (&self.config, speaker.special());
        let ids = speaker.tokenizer().ids().vocab_size;
        if (own.mask_id, own.eos_id) != (special.mask, special.eos) || own.vocab_size != ids as usize {
            return Err(Error::usage(format!(
                "`{}` has {} ids, mask {} and end of text {}; the first subject has {ids}, {} and {}\nhint: only checkpoints with the same tokenizer can be compared in one run",
                shown_text(&self.name),
                own.vocab_size,
                own.mask_id,
                own.eos_id,
                special.mask,
                special.eos
            )));
        }
        Ok(())
    }

    /// Loads the weights.
    ///
    /// # Errors
    /// A weight file is missing or damaged, the scaling does not fit, or the device is out of memory.
    pub fn load(&self, device: &Device, dtype: DType) -> Result<Model> {
        let options = LoadOptions {
            device: device.clone(),
            dtype,
            rope: self.scaling,
        };
        Model::load(&self.directory, &options)
    }

    /// The scaling as results write it.
    pub fn rope(&self) -> Value {
        match self.scaling.method {
            RopeMethod::None => json!({ "method": "none" }),
            method => json!({
                "method": method.name(),
                "train_len": self.scaling.train_len,
                "target_len": self.scaling.target_len,
                "d_crit": self.scaling.d_crit,
            }),
        }
    }

    /// What of the subject decides a result.
    pub(super) fn identity(&self, dtype: DType) -> Value {
        json!({ "model": self.digest, "rope": self.rope(), "dtype": dtype.as_str() })
    }
}

fn default_name(spec: &SubjectSpec) -> String {
    let directory = spec
        .model
        .file_name()
        .map_or_else(|| shown(&spec.model), |name| shown_text(&name.to_string_lossy()));
    match (spec.rope, spec.target_len) {
        (RopeMethod::None, _) => directory,
        (method, target) => format!("{directory} {method} {}", target.unwrap_or_default()),
    }
}

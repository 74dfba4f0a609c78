//! RoPE scaling that a `config.json` itself names: `rope_scaling` in the Hugging Face form.

use serde_json::{Value, json};

use super::fields::{Fields, shown};
use crate::error::{Error, Result};
use crate::model::rope::{RopeMethod, RopeScaling};

/// A scaling that does not amount to another base, so that `rope_theta` cannot carry it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoredScaling {
    /// YaRN, else position interpolation.
    pub yarn: bool,
    /// Target length over trained length, at least 1.
    pub factor: f64,
    /// Length the model was trained on, tokens.
    pub train_len: u32,
}

impl StoredScaling {
    /// Reads `rope_scaling` (or `rope_parameters`, as newer files call it).
    pub(super) fn parse(fields: &Fields<'_>) -> Result<Option<Self>> {
        for key in ["rope_scaling", "rope_parameters"] {
            let Some(value) = fields.get(key) else { continue };
            let Value::Object(map) = value else {
                return Err(fields.wrong(key, format_args!("expected an object, found {}", shown(value))));
            };
            let inner = Fields {
                map,
                path: fields.path,
            };
            let kind = inner.get("rope_type").or_else(|| inner.get("type"));
            let yarn = match kind.and_then(Value::as_str) {
                Some("default") => continue,
                Some("linear") => false,
                Some("yarn") => true,
                None if kind.is_none() && key == "rope_parameters" => continue,
                _ => {
                    let found = kind.map_or("no type".to_owned(), shown);
                    return Err(fields.wrong(
                        key,
                        format_args!("{found} is not supported, only `default`, `linear` and `yarn`"),
                    ));
                }
            };
            for (name, value) in [
                ("attention_factor", None),
                ("beta_fast", Some(32.0)),
                ("beta_slow", Some(1.0)),
                ("truncate", None),
            ] {
                if let Some(found) = inner.get(name)
                    && (value.is_none() || found.as_f64() != value)
                {
                    return Err(fields.wrong(key, format_args!("`{name}` {} is not supported", shown(found))));
                }
            }
            let train_len = inner
                .optional_size("original_max_position_embeddings", 1..=u64::from(u32::MAX))?
                .or(fields.optional_size("max_position_embeddings", 1..=u64::from(u32::MAX))?)
                .ok_or_else(|| fields.wrong(key, "needs `original_max_position_embeddings`"))?;
            let factor = inner.number("factor", 0.0, 1.0)?;
            if !(1.0..=1e6).contains(&factor) {
                return Err(fields.wrong(
                    key,
                    format_args!("expected a `factor` from 1 to 1000000, found {factor}"),
                ));
            }
            return Ok(Some(Self {
                yarn,
                factor,
                train_len: train_len as u32,
            }));
        }
        Ok(None)
    }

    /// The same as a scaling that can be resolved.
    ///
    /// # Errors
    /// The target length is beyond what positions can hold.
    pub(in crate::model) fn scaling(&self) -> Result<RopeScaling> {
        let target = f64::from(self.train_len) * self.factor;
        if target > f64::from(u32::MAX) {
            return Err(Error::usage(format!(
                "`rope_scaling` asks for {} times {} positions, which is too many",
                self.factor, self.train_len
            )));
        }
        Ok(RopeScaling {
            method: if self.yarn {
                RopeMethod::Yarn
            } else {
                RopeMethod::Pi
            },
            train_len: self.train_len,
            target_len: target.round() as u32,
            d_crit: None,
        })
    }

    /// As it stands in the file.
    pub(super) fn to_json(self) -> Value {
        json!({
            "rope_type": if self.yarn { "yarn" } else { "linear" },
            "factor": self.factor,
            "original_max_position_embeddings": self.train_len,
        })
    }
}

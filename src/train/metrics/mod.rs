//! What a run writes about itself: one JSON object per line, and TensorBoard event files.
//!
//! `metrics.jsonl` tells each step once, however often the run was killed: on resume, lines of steps that are
//! done again are taken out before the first new one is written.

mod tfevents;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::tfevents::EventFile;
use crate::disk;
use crate::error::{Error, Result};

/// The name of the file of lines.
pub const METRICS: &str = "metrics.jsonl";

/// The figures of one training step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepFigures {
    /// Steps done, this one included.
    pub step: u64,
    /// The objective: Σ weight · cross entropy.
    pub loss: f64,
    /// Mean cross entropy of the masked tokens, unweighted, in nats.
    pub masked_ce: f64,
    /// Masked tokens.
    pub n_masked: u64,
    /// Real tokens.
    pub n_tokens: u64,
    /// The largest 1/p of a masked token.
    pub largest_weight: f64,
    /// Norm of the gradients over all weights, before clipping.
    pub grad_norm: f64,
    /// Learning rate.
    pub lr: f64,
    /// The length that all sequences of the step were cut to, if they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_len: Option<u32>,
    /// Seconds that the step took.
    pub secs: f64,
    /// Real tokens per second.
    pub tokens_per_sec: f64,
    /// Model FLOPs utilisation, where the device's peak is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mfu: Option<f64>,
    /// Resident host memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// The figures of one measurement on held-out data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvalFigures {
    /// Steps done.
    pub step: u64,
    /// The objective on the held-out sequences.
    pub eval_loss: f64,
    /// Mean cross entropy of their masked tokens, unweighted, in nats.
    pub eval_masked_ce: f64,
    /// Their masked tokens.
    pub eval_n_masked: u64,
}

/// The files of a run that grow while it runs.
#[derive(Debug)]
pub struct MetricsFiles {
    lines: File,
    path: PathBuf,
    events: Option<EventFile>,
}

impl MetricsFiles {
    /// Opens the files in `out` for a run that has done `step` steps.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn open(out: &Path, step: u64, tensorboard: bool) -> Result<Self> {
        let path = out.join(METRICS);
        keep_until(&path, step)?;
        let lines = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        let events = tensorboard
            .then(|| EventFile::create(out, step + 1))
            .transpose()?;
        Ok(Self { lines, path, events })
    }

    /// Adds a training step.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn step(&mut self, figures: &StepFigures) -> Result<()> {
        self.line(figures)?;
        let mut scalars = vec![
            ("train/loss", figures.loss),
            ("train/masked_ce", figures.masked_ce),
            ("train/masked_tokens", figures.n_masked as f64),
            ("train/largest_weight", figures.largest_weight),
            ("train/grad_norm", figures.grad_norm),
            ("train/lr", figures.lr),
            ("speed/tokens_per_sec", figures.tokens_per_sec),
        ];
        scalars.extend(figures.mfu.map(|mfu| ("speed/mfu", mfu)));
        self.scalars(figures.step, &scalars)
    }

    /// Adds a measurement on held-out data.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn evaluation(&mut self, figures: &EvalFigures) -> Result<()> {
        self.line(figures)?;
        let scalars = [
            ("eval/loss", figures.eval_loss),
            ("eval/masked_ce", figures.eval_masked_ce),
        ];
        self.scalars(figures.step, &scalars)
    }

    fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<()> {
        match &mut self.events {
            Some(events) => events.scalars(step, scalars),
            None => Ok(()),
        }
    }

    fn line(&mut self, figures: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(figures).expect("plain data");
        line.push(b'\n');
        self.lines
            .write_all(&line)
            .map_err(Error::io("write", &self.path))
    }
}

/// Keeps the lines of steps up to `step`; a line that a kill cut short goes too.
fn keep_until(path: &Path, step: u64) -> Result<()> {
    #[derive(Deserialize)]
    struct Line {
        step: u64,
    }
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let kept = text.split_inclusive('\n').filter(|line| {
        let parsed = serde_json::from_str::<Line>(line);
        line.ends_with('\n') && parsed.is_ok_and(|line| line.step <= step)
    });
    let kept: String = kept.collect();
    if kept.len() == text.len() {
        return Ok(());
    }
    disk::write_report(path, kept.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_steps_that_are_done_again_are_taken_out() {
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join(METRICS);
        let text =
            "{\"step\":1,\"loss\":2.0}\n{\"step\":2}\n{\"step\":2,\"eval_loss\":1}\n{\"step\":3}\n{\"st";
        std::fs::write(&path, text).unwrap();
        MetricsFiles::open(out.path(), 2, false).unwrap();
        let kept = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            kept,
            "{\"step\":1,\"loss\":2.0}\n{\"step\":2}\n{\"step\":2,\"eval_loss\":1}\n"
        );
        MetricsFiles::open(out.path(), 0, true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    }
}

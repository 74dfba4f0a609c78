//! What a run tells about itself while it runs, and how it is told to stop.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::error::{Error, Result};

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Opening the dataset and the model.
    #[default]
    Prepare,
    /// Taking steps.
    Train,
    /// Measuring the loss on held-out data.
    Evaluate,
    /// Writing a checkpoint.
    Save,
}

/// Where a run is, and the figures of its last step.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// What it is doing.
    pub phase: Phase,
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Sequences of the current step that are done, and all of them.
    pub sequences: (u64, u64),
    /// Loss of the last step.
    pub loss: Option<f64>,
    /// Masked tokens of the last step.
    pub n_masked: u64,
    /// Real tokens per second, smoothed.
    pub tokens_per_sec: f64,
    /// Model FLOPs utilisation of the last step, where the device's peak is known.
    pub mfu: Option<f64>,
    /// Seconds that the remaining steps will take at this speed.
    pub eta_secs: Option<f64>,
}

/// A run's status, its warnings, and the request to stop.
#[derive(Debug, Default)]
pub struct Monitor {
    status: Mutex<Status>,
    warnings: Mutex<Vec<String>>,
    stop: AtomicI32,
}

impl Monitor {
    /// Where the run is.
    pub fn status(&self) -> Status {
        self.status.lock().expect("no panic while held").clone()
    }

    /// Changes the status.
    pub(super) fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().expect("no panic while held"));
    }

    /// Asks the run to stop at the next safe point, because of `signal`.
    pub fn stop(&self, signal: i32) {
        self.stop.store(signal, Ordering::Relaxed);
    }

    /// Returns an error once the run has been asked to stop.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn check(&self) -> Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => Err(Error::Interrupted { signal }),
        }
    }

    /// Remembers something that the user should know, once.
    pub fn warn(&self, message: impl Into<String>) {
        let message = message.into();
        let mut warnings = self.warnings.lock().expect("no panic while held");
        if !warnings.contains(&message) {
            warnings.push(message);
        }
    }

    /// What was remembered and not yet taken.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock().expect("no panic while held"))
    }
}

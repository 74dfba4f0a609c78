//! What a run tells about itself while it runs, and how it is told to stop.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Instant;

use crate::error::{Error, Result};

/// Where a run is.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// The checkpoint and scaling at work.
    pub subject: String,
    /// The piece of work.
    pub doing: String,
    /// Pieces of work done, skipped ones among them, and all of them, of this subject.
    pub done: (u64, u64),
    /// Seconds that this subject's remaining work will take, if it goes on like this.
    pub eta_secs: Option<f64>,
    /// Passes over a sequence, or part of one, in this run.
    pub n_forwards: u64,
}

#[derive(Debug, Default)]
struct State {
    status: Status,
    began: Option<Instant>,
    /// Share of the work done since `began`, weighted by length.
    weight: (f64, f64),
}

/// A run's status, and the request to stop.
#[derive(Debug, Default)]
pub struct Monitor {
    state: Mutex<State>,
    warnings: Mutex<Vec<String>>,
    stop: AtomicI32,
}

impl Monitor {
    /// Where the run is.
    pub fn status(&self) -> Status {
        let state = self.state.lock().expect("no panic while held");
        let mut status = state.status.clone();
        let (done, all) = state.weight;
        status.eta_secs = state
            .began
            .filter(|_| done > 0.0)
            .map(|began| began.elapsed().as_secs_f64() * (all - done).max(0.0) / done);
        status
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

    /// What the user should know and was not told yet.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock().expect("no panic while held"))
    }

    pub(super) fn warn(&self, message: String) {
        self.warnings.lock().expect("no panic while held").push(message);
    }

    /// A subject begins, with so many pieces of work that are not finished and their weight.
    pub(super) fn subject(&self, name: &str, pending: Pending) {
        let mut state = self.state.lock().expect("no panic while held");
        state.status.subject = name.into();
        state.status.doing = String::new();
        state.status.done = (0, pending.n);
        state.began = Some(Instant::now());
        state.weight = (0.0, pending.weight);
    }

    pub(super) fn doing(&self, what: impl Into<String>) {
        self.state.lock().expect("no panic while held").status.doing = what.into();
    }

    pub(super) fn forwards(&self, n: u64) {
        self.state.lock().expect("no panic while held").status.n_forwards += n;
    }

    pub(super) fn done(&self, weight: f64) {
        let mut state = self.state.lock().expect("no panic while held");
        state.status.done.0 += 1;
        state.weight.0 += weight;
    }
}

/// Work that is not finished.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pending {
    /// Pieces.
    pub n: u64,
    /// About how long they take together, in any unit.
    pub weight: f64,
}

impl std::ops::Add for Pending {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            n: self.n + other.n,
            weight: self.weight + other.weight,
        }
    }
}

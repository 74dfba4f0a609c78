//! SIGINT and SIGTERM: the first asks the run to stop at the next safe point, the second ends it.

use std::sync::Arc;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::build;
use crate::error::{Error, Result};

/// A run that can be asked to stop at its next safe point.
pub trait Stop: Send + Sync + 'static {
    /// Asks it to, because of `signal`.
    fn stop(&self, signal: i32);
}

impl Stop for build::Monitor {
    fn stop(&self, signal: i32) {
        self.stop(signal);
    }
}

/// Watches for signals on behalf of `monitor` until the process ends.
///
/// # Errors
/// The operating system refuses the handlers.
pub fn watch(monitor: &Arc<impl Stop>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Error::io("watch", "signals"))?;
    let monitor = Arc::clone(monitor);
    thread::spawn(move || {
        let mut received = signals.forever();
        if let Some(signal) = received.next() {
            monitor.stop(signal);
        }
        if let Some(signal) = received.next() {
            // Whatever is not committed is redone by the next run, so dying here is safe.
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

//! The live progress line, or a plain line every 30 seconds where there is no terminal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{self, Printer};
use crate::build::{Monitor, Stage};
use crate::train::resident_bytes;

const TICK: Duration = Duration::from_millis(100);
const LOG_EVERY: Duration = Duration::from_secs(30);
/// Before this, an estimate of the remaining time says nothing.
const ETA_AFTER: Duration = Duration::from_secs(3);

/// Shows what a run tells about itself until it is dropped.
pub struct Progress {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Shows a build.
    pub fn start(monitor: &Arc<Monitor>, printer: &Printer) -> Self {
        let (monitor, mut speed) = (Arc::clone(monitor), Speed::new());
        let line = move || {
            speed.sample(&monitor);
            line(&monitor, &speed)
        };
        Self::lines(printer, line, Vec::new)
    }

    /// Shows the line that `line` gives, which is called every [`TICK`], and above it the warnings that
    /// `warnings` gives.
    pub fn lines(
        printer: &Printer,
        line: impl FnMut() -> String + Send + 'static,
        warnings: impl FnMut() -> Vec<String> + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        if printer.quiet() {
            return Self { stop, thread: None };
        }
        let (stopped, printer) = (Arc::clone(&stop), printer.clone());
        let thread = std::thread::spawn(move || show(line, warnings, &stopped, &printer));
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            thread.join().ok();
        }
    }
}

fn show(
    mut line: impl FnMut() -> String,
    mut warnings: impl FnMut() -> Vec<String>,
    stop: &AtomicBool,
    printer: &Printer,
) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("a constant template"));
    let mut logged = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(TICK);
        for warning in warnings() {
            bar.suspend(|| printer.warning(&warning));
        }
        let line = line();
        if printer.live() {
            bar.set_message(line);
            bar.tick();
        } else if logged.elapsed() >= LOG_EVERY {
            output::tell(format_args!("{line}"));
            logged = Instant::now();
        }
    }
    bar.finish_and_clear();
}

/// Bytes per second of the current stage, smoothed over about ten seconds.
struct Speed {
    stage: Stage,
    since: Instant,
    last: (Instant, u64),
    bytes_per_sec: f64,
}

impl Speed {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            stage: Stage::Prepare,
            since: now,
            last: (now, 0),
            bytes_per_sec: 0.0,
        }
    }

    fn sample(&mut self, monitor: &Monitor) {
        let now = Instant::now();
        let stage = monitor.stage();
        let bytes = monitor.input_bytes.load(Ordering::Relaxed);
        if stage != self.stage || bytes < self.last.1 {
            *self = Self {
                stage,
                since: now,
                last: (now, bytes),
                bytes_per_sec: 0.0,
            };
            return;
        }
        let secs = now.duration_since(self.last.0).as_secs_f64();
        if secs < 0.05 {
            return;
        }
        let rate = (bytes - self.last.1) as f64 / secs;
        let weight = 1.0 - (-secs / 10.0).exp();
        let first = self.bytes_per_sec == 0.0;
        self.bytes_per_sec = if first {
            rate
        } else {
            self.bytes_per_sec + weight * (rate - self.bytes_per_sec)
        };
        self.last = (now, bytes);
    }

    fn eta(&self, remaining: u64) -> Option<String> {
        let known = self.since.elapsed() >= ETA_AFTER && self.bytes_per_sec > 0.0;
        known.then(|| output::duration(remaining as f64 / self.bytes_per_sec))
    }
}

fn line(monitor: &Monitor, speed: &Speed) -> String {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (passed, total) = (get(&monitor.input_bytes), get(&monitor.input_total));
    let mut parts = vec![match monitor.stage() {
        Stage::Prepare => "preparing".to_owned(),
        Stage::Hash => format!(
            "identifying {} of {}",
            output::bytes(passed),
            output::bytes(total)
        ),
        Stage::Tokenize => format!(
            "tokenizing {} of {} · {} documents · {} tokens",
            output::bytes(passed),
            output::bytes(total),
            output::count(get(&monitor.documents)),
            output::short(get(&monitor.tokens)),
        ),
        Stage::Plan => format!("planning {} documents", output::count(get(&monitor.documents))),
        Stage::Shards => format!(
            "writing shard {}/{} · sequence {}/{}",
            (get(&monitor.shards) + 1).min(get(&monitor.shards_total)),
            get(&monitor.shards_total),
            output::count(get(&monitor.rows)),
            output::count(get(&monitor.rows_total)),
        ),
        Stage::Done => "done".to_owned(),
    }];
    if matches!(monitor.stage(), Stage::Hash | Stage::Tokenize) && speed.bytes_per_sec > 0.0 {
        parts.push(format!("{:.1} MB/s", speed.bytes_per_sec / 1e6));
        parts.extend(
            speed
                .eta(total.saturating_sub(passed))
                .map(|eta| format!("{eta} left")),
        );
    }
    parts.extend(resident_bytes().map(|rss| format!("{} memory", output::bytes(rss))));
    parts.join(" · ")
}

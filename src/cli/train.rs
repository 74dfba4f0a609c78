//! `ultrapack train RECIPE`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use serde_json::json;

use super::output::{self, Printer, bytes, count, duration, percent, short};
use super::progress::Progress;
use super::signals::{self, Stop};
use crate::error::{Error, Result, shown};
use crate::model::device;
use crate::train::recipe::{self, LoadedTrainRecipe};
use crate::train::{self, Monitor, Options, Outcome, Phase, Prepared, Status};

#[derive(Debug, clap::Args)]
pub struct TrainArguments {
    /// The recipe of the run.
    recipe: PathBuf,
    /// Directory of the run. Default: the recipe's `checkpoint.dir`, else `out/NAME`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where to compute: auto, cpu or cuda:N. Default: the recipe's `device`.
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Save and stop after this many of the recipe's steps.
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Go on from this checkpoint instead of the newest.
    #[arg(long, value_name = "DIR")]
    resume_from: Option<PathBuf>,
    /// Worker threads. Default: all cores.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
    /// Check the recipe and what it names, print memory and time that it will take, write nothing.
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &TrainArguments, printer: &Printer) -> Result<()> {
    let loaded = recipe::load(&arguments.recipe, printer.color())?;
    let opened = device::open(arguments.device.as_deref().unwrap_or(&loaded.recipe.device))?;
    if let Some(note) = &opened.note {
        printer.note(note);
    }
    let device = opened.device;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.map_or(cores, |n| n as usize);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| Error::io("start", "threads")(std::io::Error::other(error)))?;
    if arguments.dry_run {
        return pool.install(|| dry_run(&loaded, &device, printer));
    }
    let options = Options {
        out: output_directory(&loaded, arguments.out.as_deref()),
        device_bytes: device::free_bytes(&device),
        peak_flops: device::peak_flops(&device),
        device,
        stop_after: arguments.steps,
        resume_from: arguments.resume_from.clone(),
    };
    let monitor = Arc::new(Monitor::default());
    signals::watch(&monitor)?;
    let (shown, warned) = (Arc::clone(&monitor), Arc::clone(&monitor));
    let progress = Progress::lines(
        printer,
        move || line(&shown.status()),
        move || warned.take_warnings(),
    );
    let result = pool.install(|| train::train(&loaded, &options, &monitor));
    drop(progress);
    monitor
        .take_warnings()
        .iter()
        .for_each(|warning| printer.warning(warning));
    if let Err(Error::Interrupted { .. }) = &result {
        printer.note("stopped; the run is saved. Run the same command again to go on.");
    }
    let outcome = result?;
    if printer.json() {
        return printer.json_result("train", &outcome);
    }
    printer.result(&summary(&outcome))
}

impl Stop for Monitor {
    fn stop(&self, signal: i32) {
        self.stop(signal);
    }
}

/// `--out`, else the recipe's, else `out/NAME`.
fn output_directory(loaded: &LoadedTrainRecipe, given: Option<&Path>) -> PathBuf {
    let from_recipe = loaded.recipe.checkpoint.dir.as_ref();
    let from_recipe = from_recipe.map(|dir| loaded.base.join(dir));
    let by_name = || Path::new("out").join(loaded.recipe.name_or(&loaded.path));
    given.map(Path::to_owned).or(from_recipe).unwrap_or_else(by_name)
}

fn line(status: &Status) -> String {
    let mut parts = vec![match status.phase {
        Phase::Prepare => return "preparing".into(),
        Phase::Train => format!("step {}/{}", count(status.step), count(status.steps)),
        Phase::Evaluate => format!("step {}, measuring held-out loss", count(status.step)),
        Phase::Save => format!("step {}, saving", count(status.step)),
    }];
    let (done, all) = status.sequences;
    if status.phase != Phase::Save && all > 1 {
        parts.push(format!("sequence {}/{}", (done + 1).min(all), all));
    }
    if let Some(loss) = status.loss {
        parts.push(format!("loss {loss:.4}"));
        parts.push(format!("{} masked", short(status.n_masked)));
        parts.push(format!("{} tokens/s", short(status.tokens_per_sec as u64)));
    }
    parts.extend(status.mfu.map(|mfu| format!("MFU {}", percent(mfu))));
    parts.extend(train::resident_bytes().map(|memory| format!("{} memory", bytes(memory))));
    parts.extend(status.eta_secs.map(|eta| format!("{} left", duration(eta))));
    parts.join(" · ")
}

fn summary(outcome: &Outcome) -> String {
    let mut rows = vec![(
        "steps",
        match outcome.resumed_at {
            0 => format!("{} of {}", count(outcome.steps), count(outcome.steps_total)),
            before => format!(
                "{} of {}, {} of them before",
                count(outcome.steps),
                count(outcome.steps_total),
                count(before)
            ),
        },
    )];
    if let Some((first, last)) = outcome.loss {
        rows.push(("loss", format!("{first:.4} at first, {last:.4} at last")));
    }
    if let Some(eval) = &outcome.eval {
        let (loss, ce) = (eval.eval_loss, eval.eval_masked_ce);
        rows.push((
            "held-out loss",
            format!("{loss:.4}, {ce:.4} nats per masked token"),
        ));
    }
    let speed = outcome.n_tokens as f64 / outcome.wall_secs.max(1e-9);
    rows.push((
        "time",
        match outcome.n_tokens {
            0 => "already complete; nothing was done".into(),
            n => format!(
                "{}, {} tokens at {}/s",
                duration(outcome.wall_secs),
                short(n),
                short(speed as u64)
            ),
        },
    ));
    rows.push(("checkpoint", shown(&outcome.checkpoint)));
    let mut text = output::bold(&format!("{}\n", shown(&outcome.directory)));
    for (name, value) in rows {
        text += &format!("  {name:<13} {value}\n");
    }
    text
}

fn dry_run(loaded: &LoadedTrainRecipe, device: &Device, printer: &Printer) -> Result<()> {
    let prepared = Prepared::new(loaded, device)?;
    prepared
        .warnings
        .iter()
        .for_each(|warning| printer.warning(warning));
    let forecast = &prepared.forecast;
    let device_bytes = device::free_bytes(device);
    let rate = product_rate(device)?;
    let step_flops = forecast.computed_flops_per_sequence * forecast.sequences_per_step as f64;
    let step_secs = step_flops / rate;
    if printer.json() {
        let result = json!({
            "forecast": forecast,
            "host_bytes": forecast.total_bytes(true),
            "device_bytes": forecast.total_bytes(false),
            "host_available_bytes": prepared.host_bytes,
            "device_available_bytes": device_bytes,
            "matmul_flops_per_sec": rate,
            "step_secs_at_matmul_rate": step_secs,
        });
        printer.json_result("train_dry_run", &result)?;
        return prepared.must_fit(device_bytes);
    }
    let place = |on_host| if on_host { "host" } else { "device" };
    let parts = forecast.memory.iter().filter(|part| part.bytes > 0);
    let mut rows: Vec<Vec<String>> = parts
        .map(|part| {
            vec![
                part.name.to_owned(),
                place(part.on_host).to_owned(),
                bytes(part.bytes),
            ]
        })
        .collect();
    for on_host in [true, false] {
        if let total @ 1.. = forecast.total_bytes(on_host) {
            rows.push(vec!["total".into(), place(on_host).into(), bytes(total)]);
        }
    }
    for (on_host, available) in [(true, prepared.host_bytes), (false, device_bytes)] {
        rows.extend(
            available.map(|available| vec!["available".into(), place(on_host).into(), bytes(available)]),
        );
    }
    let trained = match forecast.n_trained == forecast.n_params {
        true => String::new(),
        false => format!(", {} of them trained", short(forecast.n_trained)),
    };
    let text = format!(
        "{}{}{}  model         {} parameters{trained}\n  step          {} sequences, {} tokens, {} FLOPs, {} with recomputation\n  \
         time          {} a step and {} in all at {} FLOP/s, the rate of matrix products here; a run is slower\n\
         nothing was written\n",
        output::bold("Memory\n"),
        output::table(&["part", "where", "size"], rows),
        output::bold("Work\n"),
        short(forecast.n_params),
        count(forecast.sequences_per_step),
        short((forecast.tokens_per_sequence * forecast.sequences_per_step as f64) as u64),
        flops(forecast.model_flops_per_sequence * forecast.sequences_per_step as f64),
        flops(step_flops),
        duration(step_secs),
        duration(step_secs * forecast.steps as f64),
        flops(rate),
    );
    printer.result(&text)?;
    prepared.must_fit(device_bytes)
}

/// `1.25e15`.
fn flops(n: f64) -> String {
    format!("{n:.2e}")
}

/// Floating-point operations per second of matrix products on the device, measured for a moment.
fn product_rate(device: &Device) -> Result<f64> {
    let (size, dtype) = match device.is_cpu() {
        true => (512, DType::F32),
        false => (4096, DType::BF16),
    };
    let matrix = Tensor::ones((size, size), dtype, device)?;
    let once = || -> Result<()> {
        matrix.matmul(&matrix)?;
        device.synchronize()?;
        Ok(())
    };
    once()?;
    let (started, mut n_done) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_millis(200) {
        once()?;
        n_done += 1;
    }
    let each = 2.0 * (size as f64).powi(3);
    Ok(each * f64::from(n_done) / started.elapsed().as_secs_f64())
}

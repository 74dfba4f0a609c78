//! `ultrapack gpu-check SECTION`: what `scripts/gpu-check` runs.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::output::Printer;
use crate::error::Result;
use crate::gpu_check::{self, Section};
use crate::kernel::Program;
use crate::model::device;

#[derive(Debug, clap::Args)]
pub struct GpuCheckArguments {
    /// What to check.
    section: SectionName,
    /// Where to compute: auto, cpu or cuda:N.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Seed of the inputs. Default: the time.
    #[arg(long)]
    seed: Option<u64>,
    /// Seconds after which nothing new begins.
    #[arg(long, value_name = "SECS", default_value_t = 300)]
    budget: u32,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum SectionName {
    /// Print the kernels' sources as NVRTC gets them; nothing is checked.
    Sources,
    Kernels,
    Attention,
    Gradients,
    Speed,
}

pub fn run(arguments: &GpuCheckArguments, printer: &Printer) -> Result<()> {
    let section = match arguments.section {
        SectionName::Sources => {
            let sources = Program::ALL.map(|program| (program.name(), program.device_source()));
            return printer.json_result("gpu_sources", &BTreeMap::from(sources));
        }
        SectionName::Kernels => Section::Kernels,
        SectionName::Attention => Section::Attention,
        SectionName::Gradients => Section::Gradients,
        SectionName::Speed => Section::Speed,
    };
    let opened = device::open(&arguments.device)?;
    if let Some(note) = &opened.note {
        printer.note(note);
    }
    let now = || {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    };
    let seed = arguments.seed.unwrap_or_else(now);
    let budget = Duration::from_secs(u64::from(arguments.budget));
    let report = gpu_check::run(section, &opened.device, seed, budget);
    printer.json_result("gpu_check", &report)
}

//! Buffers of a check: random inputs, poisoned outputs, comparisons.

use half::bf16;

use super::Outcome;
use crate::error::Result;
use crate::kernel::products::Step;
use crate::kernel::{Address, Call, Element, Machine};

/// A machine with a source of numbers and the outcomes so far.
pub(super) struct Bench<'a> {
    machine: &'a mut dyn Machine,
    state: u64,
    pub(super) outcomes: Vec<Outcome>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(machine: &'a mut dyn Machine, seed: u64) -> Self {
        Self {
            machine,
            state: seed,
            outcomes: Vec::new(),
        }
    }

    /// Uniform in [0, 1): SplitMix64.
    pub(super) fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal: Box-Muller.
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// `n` numbers on the machine, and the same numbers as they are there.
    pub(super) fn put(&mut self, element: Element, values: &[f64]) -> Result<(Address, Vec<f64>)> {
        let bytes: Vec<u8> = match element {
            Element::Bf16 => values
                .iter()
                .flat_map(|&x| bf16::from_f64(x).to_le_bytes())
                .collect(),
            Element::F32 => values.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect(),
        };
        Ok((self.machine.upload(&bytes)?, floats(element, &bytes)))
    }

    /// `n` normal numbers.
    pub(super) fn random(&mut self, element: Element, n: usize) -> Result<(Address, Vec<f64>)> {
        let values: Vec<f64> = (0..n).map(|_| self.normal()).collect();
        self.put(element, &values)
    }

    pub(super) fn upload(&mut self, bytes: &[u8]) -> Result<Address> {
        self.machine.upload(bytes)
    }

    /// Room for `n` elements, NaN in every type.
    pub(super) fn poisoned(&mut self, element: Element, n: usize) -> Result<Address> {
        self.machine.upload(&vec![0xff; n * element.bytes()])
    }

    pub(super) fn zeros(&mut self, element: Element, n: usize) -> Result<Address> {
        self.machine.upload(&vec![0; n * element.bytes()])
    }

    pub(super) fn run(&mut self, call: &Call) -> Result<()> {
        self.machine.run(call)
    }

    pub(super) fn follow(&mut self, steps: &[Step]) -> Result<()> {
        steps.iter().try_for_each(|step| match step {
            Step::Product(product) => self.machine.multiply(product),
            Step::Call(call) => self.machine.run(call),
        })
    }

    pub(super) fn download(&mut self, from: Address, bytes: usize) -> Result<Vec<u8>> {
        self.machine.download(from, bytes)
    }

    pub(super) fn read(&mut self, element: Element, from: Address, n: usize) -> Result<Vec<f64>> {
        Ok(floats(
            element,
            &self.machine.download(from, n * element.bytes())?,
        ))
    }

    /// Compares an output with its reference.
    pub(super) fn compare(
        &mut self,
        name: String,
        element: Element,
        out: Address,
        reference: &[f64],
        limit: f64,
    ) -> Result<()> {
        self.compare_above(0.0, name, element, out, reference, limit)
    }

    /// Compares an output that may be zero altogether: its error counts against at least `floor` per element.
    pub(super) fn compare_above(
        &mut self,
        floor: f64,
        name: String,
        element: Element,
        out: Address,
        reference: &[f64],
        limit: f64,
    ) -> Result<()> {
        let out = self.read(element, out, reference.len())?;
        self.outcome(name, relative_error(&out, reference, floor), limit);
        Ok(())
    }

    pub(super) fn outcome(&mut self, name: String, error: f64, limit: f64) {
        self.outcomes.push(Outcome {
            name,
            error,
            limit,
            passed: error < limit,
        });
    }
}

fn floats(element: Element, bytes: &[u8]) -> Vec<f64> {
    match element {
        Element::Bf16 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|&b| bf16::from_le_bytes(b).to_f64())
            .collect(),
        Element::F32 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|&b| f64::from(f32::from_le_bytes(b)))
            .collect(),
    }
}

/// `norm(out - reference) / norm(reference)`, where the latter is at least that of `floor` in every element.
fn relative_error(out: &[f64], reference: &[f64], floor: f64) -> f64 {
    let square = |x: f64| x * x;
    let difference: f64 = out.iter().zip(reference).map(|(a, b)| square(a - b)).sum();
    let norm: f64 = reference.iter().map(|&x| square(x)).sum();
    let least = square(floor) * reference.len() as f64;
    (difference / norm.max(least).max(f64::MIN_POSITIVE)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::relative_error;

    #[test]
    fn one_unwritten_element_fails_a_whole_output() {
        let error = relative_error(&[1.0, f64::NAN], &[1.0, 2.0], 0.0);
        let below = error < 1.0;
        assert!(!below);
        assert!((relative_error(&[1.0, 2.2], &[1.0, 2.0], 0.0) - 0.2 / 5f64.sqrt()).abs() < 1e-12);
        assert!((relative_error(&[1e-6], &[0.0], 1e-3) - 1e-3).abs() < 1e-12);
    }
}

//! Measurements to a curve.

use serde::{Deserialize, Serialize};

use super::estimate::{Estimator, Place};

/// Perplexity at one length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Point {
    /// Tokens that the model sees.
    pub length: u32,
    /// exp of the mean cross entropy: for chunks over all chunks up to the length.
    pub perplexity: f64,
    /// Its standard error from the choice of masks alone (delta method; for stratified masks an upper bound);
    /// `None` with one draw.
    pub std_error: Option<f64>,
    /// Its standard error from the choice of texts; `None` with one text.
    pub std_error_texts: Option<f64>,
    /// The same over the chunks since the length before alone: what a running mean hides.
    pub local: Option<f64>,
    /// Measurements behind it.
    pub n: u64,
}

/// Perplexity by length.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Curve {
    /// One point per length that was measured completely, ascending.
    pub points: Vec<Point>,
}

impl Curve {
    /// The curve of the measurements, each the mean cross entropies of its draws. A length of which a
    /// measurement is missing has no point.
    pub fn new(estimator: Estimator, lengths: &[u32], n_texts: u64, measured: &[(Place, Vec<f64>)]) -> Self {
        let mut lengths = lengths.to_vec();
        lengths.sort_unstable();
        let mut measured: Vec<&(Place, Vec<f64>)> = measured.iter().collect();
        measured.sort_by_key(|(place, _)| *place);
        let mut points = Vec::new();
        let mut before = 0;
        for length in lengths {
            let up_to = match estimator {
                Estimator::Chunks { .. } => 0..=length,
                Estimator::Window { .. } => length..=length,
            };
            let wanted = estimator.places(n_texts, &[length]).len();
            let inside: Vec<&(Place, Vec<f64>)> = measured
                .iter()
                .copied()
                .filter(|(place, _)| up_to.contains(&place.length))
                .collect();
            if wanted > 0 && inside.len() == wanted {
                let local: Vec<f64> = inside
                    .iter()
                    .filter(|(place, _)| place.length > before)
                    .map(|(_, draws)| mean(draws))
                    .collect();
                points.push(Point {
                    local: matches!(estimator, Estimator::Chunks { .. }).then(|| mean(&local).exp()),
                    ..point(length, &inside)
                });
            }
            before = length;
        }
        Self { points }
    }
}

fn point(length: u32, measured: &[&(Place, Vec<f64>)]) -> Point {
    let means: Vec<f64> = measured.iter().map(|(_, draws)| mean(draws)).collect();
    let perplexity = mean(&means).exp();
    let variances: Option<Vec<f64>> = measured
        .iter()
        .map(|(_, draws)| variance_of_mean(draws))
        .collect();
    let masks = variances.map(|v| v.iter().sum::<f64>().sqrt() / v.len() as f64);
    let mut texts: Vec<u64> = measured.iter().map(|(place, _)| place.text).collect();
    texts.sort_unstable();
    texts.dedup();
    let of_text = |text: &u64| {
        let own: Vec<f64> = measured
            .iter()
            .zip(&means)
            .filter(|((place, _), _)| place.text == *text)
            .map(|(_, mean)| *mean)
            .collect();
        mean(&own)
    };
    let of_texts: Vec<f64> = texts.iter().map(of_text).collect();
    Point {
        length,
        perplexity,
        std_error: masks.map(|error| error * perplexity),
        std_error_texts: variance_of_mean(&of_texts).map(|variance| variance.sqrt() * perplexity),
        local: None,
        n: measured.len() as u64,
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Variance of the mean of independent values; `None` below two.
fn variance_of_mean(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    let center = mean(values);
    let squares: f64 = values.iter().map(|value| (value - center).powi(2)).sum();
    (values.len() > 1).then(|| squares / (n - 1.0) / n)
}

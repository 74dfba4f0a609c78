//! Perplexity as pieces of work.

use std::collections::HashSet;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::journal::Journal;
use super::monitor::{Monitor, Pending};
use super::{Loaded, Plan, Subject, digest};
use crate::error::Result;
use crate::eval::perplexity::{Estimator, ModelPredictor, Place, Texts, measure};

/// What to measure.
#[derive(Debug)]
pub struct PerplexityPlan {
    /// Texts that reach the longest length.
    pub texts: Texts,
    /// Where they come from, for results.
    pub source: String,
    /// Lengths of the curve, tokens.
    pub lengths: Vec<u32>,
    /// How to estimate.
    pub estimator: Estimator,
    /// Decides the masks.
    pub seed: u64,
}

/// One finished measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The checkpoint and scaling.
    pub subject: String,
    /// Digest of everything that decides the result.
    pub settings: String,
    /// Text and length.
    pub place: Place,
    /// Mean cross entropy of each draw, nats.
    pub draws: Vec<f64>,
    /// Time it took.
    pub secs: f64,
}

impl PerplexityPlan {
    /// The lengths that a subject reaches.
    pub fn lengths_of(&self, subject: &Subject) -> Vec<u32> {
        let lengths = self.lengths.iter().copied();
        lengths.filter(|&length| length <= subject.max_len).collect()
    }

    /// All measurements of a subject.
    pub fn places(&self, subject: &Subject) -> Vec<Place> {
        let n_texts = self.texts.texts.len() as u64;
        self.estimator.places(n_texts, &self.lengths_of(subject))
    }

    /// The key of a subject's measurements.
    pub(super) fn key(&self, plan: &Plan<'_>, subject: &Subject) -> String {
        digest(&json!({
            "subject": subject.identity(plan.dtype),
            "texts": self.texts.digest,
            "estimator": self.estimator,
            "seed": self.seed,
        }))
    }
}

/// A subject's unfinished measurements.
pub struct Work<'a> {
    plan: Option<&'a PerplexityPlan>,
    subject: &'a Subject,
    key: String,
    places: Vec<Place>,
}

impl<'a> Work<'a> {
    pub fn new(plan: &'a Plan<'_>, subject: &'a Subject, measured: &Journal<Measured>) -> Self {
        let Some(own) = &plan.perplexity else {
            return Self {
                plan: None,
                subject,
                key: String::new(),
                places: Vec::new(),
            };
        };
        let key = own.key(plan, subject);
        let done: HashSet<(u64, u32)> = measured
            .entries()
            .iter()
            .filter(|entry| entry.settings == key)
            .map(|entry| (entry.place.text, entry.place.length))
            .collect();
        let mut places = own.places(subject);
        places.retain(|place| !done.contains(&(place.text, place.length)));
        Self {
            plan: Some(own),
            subject,
            key,
            places,
        }
    }

    pub fn pending(&self) -> Pending {
        let draws = self.plan.map_or(0, |plan| match plan.estimator {
            Estimator::Chunks { draws, .. } | Estimator::Window { draws } => draws,
        });
        Pending {
            n: self.places.len() as u64,
            weight: self.places.iter().map(|place| weight(*place, draws)).sum(),
        }
    }

    pub fn run(
        &self,
        model: &mut Loaded<'_>,
        measured: &mut Journal<Measured>,
        monitor: &Monitor,
    ) -> Result<()> {
        let Some(plan) = self.plan else { return Ok(()) };
        for &place in &self.places {
            monitor.check()?;
            monitor.doing(format!("perplexity at {} tokens", place.length));
            let began = Instant::now();
            let text = &plan.texts.texts[place.text as usize];
            let mut predictor = ModelPredictor(model.get()?);
            let draws = measure(&mut predictor, text, place, plan.estimator, plan.seed)?;
            monitor.forwards(draws.len() as u64);
            monitor.done(weight(place, draws.len() as u32));
            measured.append(Measured {
                subject: self.subject.name.clone(),
                settings: self.key.clone(),
                place,
                draws,
                secs: began.elapsed().as_secs_f64(),
            })?;
        }
        Ok(())
    }
}

/// Passes times length: what a measurement costs, about.
fn weight(place: Place, draws: u32) -> f64 {
    f64::from(place.length) * f64::from(draws)
}

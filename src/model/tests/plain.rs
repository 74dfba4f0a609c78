//! The models once more, as plainly as possible: f64, one number at a time, names as published. What the optimised code is
//! compared with where there are no reference numbers.

use std::collections::HashMap;

use candle_core::Tensor;

use crate::model::Model;
use crate::model::testing::{Noisy, values};

/// What differs between the families, by its published names.
pub(super) struct Names {
    pub(super) embedding: &'static str,
    pub(super) block: fn(usize) -> String,
    /// Attention norm, q, k, v, o, feed-forward norm, gate, up, down.
    pub(super) parts: [&'static str; 9],
    pub(super) final_norm: &'static str,
    pub(super) head: &'static str,
}

pub(super) const LLADA: Names = Names {
    embedding: "model.transformer.wte.weight",
    block: |layer| format!("model.transformer.blocks.{layer}."),
    parts: [
        "attn_norm",
        "q_proj",
        "k_proj",
        "v_proj",
        "attn_out",
        "ff_norm",
        "ff_proj",
        "up_proj",
        "ff_out",
    ],
    final_norm: "model.transformer.ln_f.weight",
    head: "model.transformer.ff_out.weight",
};

pub(super) const HUGGING_FACE: Names = Names {
    embedding: "model.embed_tokens.weight",
    block: |layer| format!("model.layers.{layer}."),
    parts: [
        "input_layernorm",
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "post_attention_layernorm",
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
    ],
    final_norm: "model.norm.weight",
    head: "lm_head.weight",
};

type Rows = Vec<Vec<f64>>;

struct Plain<'a> {
    tensors: HashMap<&'a str, &'a Tensor>,
    eps: f64,
}

impl Plain<'_> {
    fn get(&self, name: &str) -> Option<Rows> {
        let tensor = self.tensors.get(name)?;
        let width = *tensor.dims().last().unwrap();
        Some(values(tensor).chunks(width).map(<[f64]>::to_vec).collect())
    }

    fn linear(&self, name: &str, x: &Rows) -> Rows {
        let weight = self.get(&format!("{name}.weight")).unwrap();
        let bias = self.get(&format!("{name}.bias"));
        let bias = |out: usize| bias.as_ref().map_or(0.0, |bias| bias[0][out]);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let row = |x: &Vec<f64>| {
            weight
                .iter()
                .enumerate()
                .map(|(out, w)| dot(w, x) + bias(out))
                .collect()
        };
        x.iter().map(row).collect()
    }

    fn norm(&self, name: &str, x: &Rows) -> Rows {
        let gain = &self.get(name).unwrap()[0];
        let row = |x: &Vec<f64>| {
            let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
            x.iter()
                .zip(gain)
                .map(|(x, g)| x / (mean + self.eps).sqrt() * g)
                .collect()
        };
        x.iter().map(row).collect()
    }
}

fn added(a: &Rows, b: &Rows) -> Rows {
    let row = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a + b).collect();
    a.iter().zip(b).map(row).collect()
}

/// Logits at every position, `[n][vocab]`; those of a shifted head are as the model gives them, not moved.
pub(super) fn logits(model: &Model, names: &Names, row: &Noisy) -> Rows {
    let config = model.config();
    let params = model.params().iter();
    let plain = Plain {
        tensors: params.map(|p| (p.name.as_str(), &p.tensor)).collect(),
        eps: config.norm_eps,
    };
    let embedding = plain.get(names.embedding).unwrap();
    let mut x: Rows = row.ids.iter().map(|&id| embedding[id as usize].clone()).collect();
    let d = config.head_dim;
    let turn = |x: &[f64], position: usize, i: usize| -> f64 {
        let pair = i % (d / 2);
        let angle = position as f64 / config.rope_theta.powf(2.0 * pair as f64 / d as f64);
        let other = if i < d / 2 { -x[i + d / 2] } else { x[i - d / 2] };
        x[i] * angle.cos() + other * angle.sin()
    };
    let document = |i: usize| row.cu_seqlens.partition_point(|&start| start as usize <= i);
    for layer in 0..config.n_layers {
        let [attn_norm, q, k, v, o, ff_norm, gate, up, down] =
            names.parts.map(|part| format!("{}{part}", (names.block)(layer)));
        let h = plain.norm(&format!("{attn_norm}.weight"), &x);
        let (q, k, v) = (plain.linear(&q, &h), plain.linear(&k, &h), plain.linear(&v, &h));
        let mut attended = vec![vec![0.0; config.n_heads * d]; x.len()];
        for head in 0..config.n_heads {
            let (own, kv) = (head * d, head / (config.n_heads / config.n_kv_heads) * d);
            for i in 0..x.len() {
                let seen: Vec<usize> = (0..x.len()).filter(|&j| document(i) == document(j)).collect();
                let score = |&j: &usize| {
                    let (q, k) = (&q[i][own..own + d], &k[j][kv..kv + d]);
                    (0..d).map(|c| turn(q, i, c) * turn(k, j, c)).sum::<f64>() / (d as f64).sqrt()
                };
                let weights: Vec<f64> = seen.iter().map(|j| score(j).exp()).collect();
                let total: f64 = weights.iter().sum();
                for (j, weight) in seen.iter().zip(&weights) {
                    for c in 0..d {
                        attended[i][own + c] += weight / total * v[*j][kv + c];
                    }
                }
            }
        }
        x = added(&x, &plain.linear(&o, &attended));
        let h = plain.norm(&format!("{ff_norm}.weight"), &x);
        let (gate, up) = (plain.linear(&gate, &h), plain.linear(&up, &h));
        let silu = |(g, u): (&f64, &f64)| g / (1.0 + (-g).exp()) * u;
        let wide: Rows = gate
            .iter()
            .zip(&up)
            .map(|(g, u)| g.iter().zip(u).map(silu).collect())
            .collect();
        x = added(&x, &plain.linear(&down, &wide));
    }
    let head = if config.tied_head {
        names.embedding
    } else {
        names.head
    };
    plain.linear(
        head.trim_end_matches(".weight"),
        &plain.norm(names.final_norm, &x),
    )
}

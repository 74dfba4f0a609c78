//! Published names and shapes of the parameters, and where each stands in the model's list.

use super::config::{Config, Family};
use super::linear::Linear;

/// A parameter as the checkpoint has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
}

impl Expected {
    pub(super) fn n_elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Places of one block's parameters in the list.
#[derive(Debug, Clone)]
pub(super) struct BlockLayout {
    pub(super) attn_norm: usize,
    pub(super) q: Linear,
    pub(super) k: Linear,
    pub(super) v: Linear,
    pub(super) o: Linear,
    pub(super) ff_norm: usize,
    pub(super) gate: Linear,
    pub(super) up: Linear,
    pub(super) down: Linear,
}

impl BlockLayout {
    /// A linear map by the name that LoRA targets have.
    pub(super) fn linear_mut(&mut self, target: &str) -> Option<&mut Linear> {
        Some(match target {
            "q" => &mut self.q,
            "k" => &mut self.k,
            "v" => &mut self.v,
            "o" => &mut self.o,
            "gate" => &mut self.gate,
            "up" => &mut self.up,
            "down" => &mut self.down,
            _ => return None,
        })
    }

    /// All linear maps.
    pub(super) fn linears(&self) -> [&Linear; 7] {
        [
            &self.q, &self.k, &self.v, &self.o, &self.gate, &self.up, &self.down,
        ]
    }
}

/// Places of all parameters in the list.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) embedding: usize,
    pub(super) blocks: Vec<BlockLayout>,
    pub(super) final_norm: usize,
    /// The embedding's place if the head is tied.
    pub(super) head: usize,
}

/// The words that a family's names are made of.
struct Words {
    embedding: &'static str,
    block: &'static str,
    attn_norm: &'static str,
    q: &'static str,
    k: &'static str,
    v: &'static str,
    o: &'static str,
    ff_norm: &'static str,
    gate: &'static str,
    up: &'static str,
    down: &'static str,
    final_norm: &'static str,
    head: &'static str,
}

const LLADA: Words = Words {
    embedding: "model.transformer.wte.weight",
    block: "model.transformer.blocks.",
    attn_norm: "attn_norm",
    q: "q_proj",
    k: "k_proj",
    v: "v_proj",
    o: "attn_out",
    ff_norm: "ff_norm",
    gate: "ff_proj",
    up: "up_proj",
    down: "ff_out",
    final_norm: "model.transformer.ln_f.weight",
    head: "model.transformer.ff_out.weight",
};

const HUGGING_FACE: Words = Words {
    embedding: "model.embed_tokens.weight",
    block: "model.layers.",
    attn_norm: "input_layernorm",
    q: "self_attn.q_proj",
    k: "self_attn.k_proj",
    v: "self_attn.v_proj",
    o: "self_attn.o_proj",
    ff_norm: "post_attention_layernorm",
    gate: "mlp.gate_proj",
    up: "mlp.up_proj",
    down: "mlp.down_proj",
    final_norm: "model.norm.weight",
    head: "lm_head.weight",
};

fn words(family: Family) -> &'static Words {
    match family {
        Family::Llada => &LLADA,
        Family::Illada | Family::Dream => &HUGGING_FACE,
    }
}

/// All parameters in the model's order: embedding, blocks, final norm, head.
pub(super) fn parameters(config: &Config) -> Vec<Expected> {
    walk(config).0
}

/// Where each parameter stands in that order.
pub(super) fn layout(config: &Config) -> Layout {
    walk(config).1
}

fn walk(config: &Config) -> (Vec<Expected>, Layout) {
    let words = words(config.family);
    let (d, q, kv) = (
        config.d_model,
        config.n_heads * config.head_dim,
        config.n_kv_heads * config.head_dim,
    );
    let mut list: Vec<Expected> = Vec::new();
    let mut add = |name: String, shape: &[usize]| {
        list.push(Expected {
            name,
            shape: shape.to_vec(),
        });
        list.len() - 1
    };
    let embedding = add(words.embedding.into(), &[config.vocab_size, d]);
    let mut blocks = Vec::with_capacity(config.n_layers);
    for layer in 0..config.n_layers {
        let prefix = format!("{}{layer}.", words.block);
        let mut linear = |word: &str, out: usize, inputs: usize, bias: bool| {
            let weight = add(format!("{prefix}{word}.weight"), &[out, inputs]);
            let bias = bias.then(|| add(format!("{prefix}{word}.bias"), &[out]));
            Linear {
                weight,
                bias,
                lora: None,
            }
        };
        let q_map = linear(words.q, q, d, config.qkv_bias);
        let k_map = linear(words.k, kv, d, config.qkv_bias);
        let v_map = linear(words.v, kv, d, config.qkv_bias);
        let o_map = linear(words.o, d, q, false);
        let gate = linear(words.gate, config.d_ff, d, false);
        let up = linear(words.up, config.d_ff, d, false);
        let down = linear(words.down, d, config.d_ff, false);
        blocks.push(BlockLayout {
            attn_norm: add(format!("{prefix}{}.weight", words.attn_norm), &[d]),
            ff_norm: add(format!("{prefix}{}.weight", words.ff_norm), &[d]),
            q: q_map,
            k: k_map,
            v: v_map,
            o: o_map,
            gate,
            up,
            down,
        });
    }
    let final_norm = add(words.final_norm.into(), &[d]);
    let head = match config.tied_head {
        true => embedding,
        false => add(words.head.into(), &[config.vocab_size, d]),
    };
    (
        list,
        Layout {
            embedding,
            blocks,
            final_norm,
            head,
        },
    )
}

/// Whether a tensor of a checkpoint may be left aside: it repeats what the configuration says.
pub(super) fn is_redundant(config: &Config, name: &str) -> bool {
    name.ends_with("rotary_emb.inv_freq") || (config.tied_head && name == words(config.family).head)
}

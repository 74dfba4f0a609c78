//! Models on the command line: made, described, and their RoPE compared.

use std::fs;

use serde_json::Value;

use crate::scratch::{Finished, Scratch, fixture, overwrite};

/// A command's JSON result.
fn json(scratch: &Scratch, args: &[&str]) -> Value {
    let output = scratch.ultrapack(&[args, &["--json"]].concat()).expect_code(0);
    serde_json::from_str(&output.stdout()).unwrap()
}

#[test]
fn rope_compares_the_methods_as_published() {
    let scratch = Scratch::new();
    let result = &json(&scratch, &["rope"])["rope"];
    let methods = result["methods"].as_array().unwrap();
    let of = |name: &str| methods.iter().find(|m| m["method"] == name).unwrap();
    for (name, d_crit, lambda) in [("ntk_critical", 64, 870.3423), ("diffusion_ntk", 70, 561.9380)] {
        assert_eq!(of(name)["d_crit"], d_crit);
        assert!((of(name)["lambda"].as_f64().unwrap() - lambda).abs() < 5e-5);
    }
    assert_eq!(methods.len(), 6);
    assert!(
        methods
            .iter()
            .all(|m| m["periods"].as_array().unwrap().len() == 64)
    );
    let one = &json(&scratch, &["rope", "--method", "diffusion_ntk", "--d-crit", "73"])["rope"]["methods"];
    assert_eq!(
        (one.as_array().unwrap().len(), &one[1]["d_crit"]),
        (2, &Value::from(73))
    );
}

#[test]
fn rope_draws_in_the_terminal_and_into_an_image() {
    let scratch = Scratch::new();
    let image = scratch.path("rope.svg");
    let model = fixture("parity");
    let output = scratch.ultrapack(&[
        "rope",
        "--model",
        model.to_str().unwrap(),
        "--target-len",
        "8192",
        "--svg",
        image.to_str().unwrap(),
    ]);
    let text = output.expect_code(0).stdout();
    assert!(
        text.contains("heads of 16") && text.contains("target 8192") && text.contains("diffusion_ntk"),
        "{text}"
    );
    assert!(fs::read_to_string(image).unwrap().ends_with("</svg>\n"));
}

#[test]
fn wrong_rope_arguments_are_usage_errors() {
    let scratch = Scratch::new();
    for (args, text) in [
        (&["rope", "--method", "linear"][..], "diffusion_ntk"),
        (&["rope", "--target-len", "1000"], "train_len"),
        (&["rope", "--head-dim", "7"], "even"),
        (&["rope", "--theta", "nan"], "base above 1"),
        (&["rope", "--d-crit", "129"], "critical dimension 129"),
        (&["rope", "--method", "yarn", "--d-crit", "64"], "no meaning"),
    ] {
        let output = scratch.ultrapack(args).expect_code(2);
        assert!(output.stderr().contains(text), "{args:?}: {}", output.stderr());
    }
}

#[test]
fn a_made_model_is_described_and_the_same_seed_makes_the_same() {
    let scratch = Scratch::new();
    let init = |out: &str, seed: &str| {
        let out = scratch.path(out);
        let args = [
            "model",
            "init",
            "tiny",
            "--vocab-size",
            "512",
            "--seed",
            seed,
            "--out",
            out.to_str().unwrap(),
        ];
        json(&scratch, &args)["model"].clone()
    };
    let (a, b, c) = (init("a", "1"), init("b", "1"), init("c", "2"));
    assert_eq!(
        (&a["mask_id"], &a["eos_id"], &a["family"]),
        (&511.into(), &510.into(), &"LLaDA".into())
    );
    assert_eq!(a["weights"]["digest"], b["weights"]["digest"]);
    assert_ne!(a["weights"]["digest"], c["weights"]["digest"]);
    let parity = fixture("parity");
    let described = json(&scratch, &["model", "info", parity.to_str().unwrap()])["model"].clone();
    assert_eq!(described["n_params"], a["n_params"]);
    let output = scratch.ultrapack(&["model", "info", scratch.path("a").to_str().unwrap()]);
    assert!(output.stdout().contains("parameters") && output.stdout().contains("digest"));

    // A configuration is followed, and what is there is not replaced.
    let config = scratch.path("a").join("config.json");
    let followed = scratch.path("d");
    let args = [
        "model",
        "init",
        "--config",
        config.to_str().unwrap(),
        "--out",
        followed.to_str().unwrap(),
    ];
    assert_eq!(json(&scratch, &args)["model"]["n_params"], a["n_params"]);
    let again = scratch.ultrapack(&args).expect_code(5);
    assert!(
        again.stderr().contains("already holds a checkpoint"),
        "{}",
        again.stderr()
    );
}

#[test]
fn a_checkpoint_that_cannot_be_used_is_one_error() {
    let scratch = Scratch::new();
    let made = scratch.path("m");
    let out = made.to_str().unwrap();
    let size = scratch
        .ultrapack(&["model", "init", "7B", "--out", out])
        .expect_code(2);
    assert!(
        size.stderr().contains("hint: use one of tiny"),
        "{}",
        size.stderr()
    );
    json(
        &scratch,
        &["model", "init", "tiny", "--vocab-size", "512", "--out", out],
    );

    let config = made.join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    overwrite(&config, text.replace("\"alibi\": false", "\"alibi\": true"));
    let output = scratch.ultrapack(&["model", "info", out]).expect_code(3);
    assert!(
        output.stderr().contains("config.json`: key `alibi`"),
        "{}",
        output.stderr()
    );

    overwrite(&config, &text);
    let weights = made.join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    overwrite(&weights, &bytes[..bytes.len() / 2]);
    let output = scratch.ultrapack(&["model", "info", out]).expect_code(4);
    assert!(
        output.stderr().contains("model.safetensors"),
        "{}",
        output.stderr()
    );
    assert_eq!(output.stderr().matches("error").count(), 1);
}

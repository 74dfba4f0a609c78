use super::*;

const VALID: &str = "\
version: 1
model: {size: tiny}
data: {dataset: out/demo}
optimizer: {lr: 0.001}
steps: 10
";

fn report(text: &str) -> String {
    match parse(text, Path::new("wrong.yaml"), false) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("this recipe should be refused:\n{text}"),
    }
}

#[test]
fn the_smallest_recipe_has_the_defaults_of_llada() {
    let recipe = parse(VALID, Path::new("dir/run.yaml"), false).unwrap().recipe;
    let objective = &recipe.objective;
    assert_eq!(
        (objective.t, objective.eps, objective.random_length),
        (PerWhat::Row, 1e-3, 0.01)
    );
    assert_eq!((recipe.optimizer.beta1, recipe.optimizer.beta2), (0.9, 0.95));
    assert_eq!(
        (recipe.optimizer.weight_decay, recipe.optimizer.clip_norm),
        (0.1, 1.0)
    );
    assert_eq!(recipe.name_or(Path::new("dir/run.yaml")), "run");
}

#[test]
fn every_error_is_reported_at_once_with_its_place() {
    let text = "\
version: 1
model: {size: tiny, path: a}
data: {dataset: 's3://key:secret@bucket/x'}
rope: {method: diffusion_ntk, train_len: 4096}
optimizer: {lr: 0.001}
schedule: {kind: wsd, warmup: 11}
lora: {rank: 4, targets: [q, q]}
steps: 10
";
    let report = report(text);
    for expected in [
        "`model` needs one of `path`, `size` and `config`, found 2",
        "is not a local path",
        "`rope.method` needs `train_len` and `target_len`",
        "warm-up and decay take 11 steps, the run has 10",
        "`kind: wsd` needs `decay`",
        "this projection is listed twice",
        "recipe `wrong.yaml`: 6 errors",
    ] {
        assert!(report.contains(expected), "{expected} is not in\n{report}");
    }
    assert!(!report.contains("secret"), "{report}");
}

#[test]
fn a_misspelt_key_gets_a_hint_and_a_key_of_another_section_its_home() {
    let report =
        report("version: 1\nmodel: {size: tiny}\ndata: {dataset: a}\noptimiser: {}\nlr: 1\nsteps: 1\n");
    assert!(report.contains("did you mean `optimizer`?"), "{report}");
    assert!(report.contains("`lr` belongs to `optimizer`"), "{report}");
}

#[test]
fn an_empty_file_is_told_where_to_start() {
    assert!(report("# nothing\n").contains("`recipes/train-demo.yaml` is a commented recipe"));
}

#[test]
fn the_digest_names_what_changes_the_weights_and_nothing_else() {
    let digest = |more: &str| {
        let text = VALID.replace("steps: 10\n", more);
        parse(&text, Path::new("run.yaml"), false)
            .unwrap()
            .recipe
            .digest()
    };
    let first = digest("steps: 10\n");
    for same in [
        "steps: 10\nname: other\n",
        "steps: 10\ndevice: cpu\ncheckpoint: {every: 3, keep: 1, dir: x}\n",
        "steps: 10\nmetrics: {tensorboard: false}\neval: {dataset: d, every: 5}\n",
        "seed: 0\nsteps: 10\nobjective: {eps: 0.001}\n",
    ] {
        assert_eq!(digest(same), first, "{same}");
    }
    let offloaded = VALID.replace("{lr: 0.001}", "{lr: 0.001, offload: true}");
    let offloaded = parse(&offloaded, Path::new("run.yaml"), false).unwrap();
    assert_eq!(offloaded.recipe.digest(), first);
    for other in ["steps: 11\n", "steps: 10\nseed: 1\n", "steps: 10\ndtype: f32\n"] {
        assert_ne!(digest(other), first, "{other}");
    }
}

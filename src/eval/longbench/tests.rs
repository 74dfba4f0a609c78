use std::fs;
use std::path::Path;

use super::*;
use crate::eval::{Metric, Score};

fn record(dataset: &str, answers: &[&str], classes: Option<&[&str]>) -> String {
    json!({
        "input": "in {context}?", "context": "ctx", "answers": answers, "length": 3, "dataset": dataset,
        "language": "en", "all_classes": classes, "_id": "x"
    })
    .to_string()
}

fn settings(data: &Path, tasks: &[&str]) -> LongBenchSettings {
    LongBenchSettings {
        suite: Suite::Port,
        data: data.into(),
        tasks: tasks.iter().map(|name| name.parse().unwrap()).collect(),
        limit: None,
        max_prompt_len: Some(16_000),
    }
}

fn files(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(directory.path().join(format!("{name}.jsonl")), content).unwrap();
    }
    directory
}

fn lines(lines: &[String]) -> Vec<u8> {
    lines.join("\n").into_bytes()
}

#[test]
fn records_become_prompts_with_what_they_are_judged_by() {
    let directory = files(&[
        (
            "trec",
            lines(&[record("trec", &["City"], Some(&["City", "Food"]))]),
        ),
        ("lcc", lines(&[record("lcc", &["x = 1"], None)])),
    ]);
    let bench = LongBench::new(settings(directory.path(), &["lcc", "trec"])).unwrap();
    assert_eq!(bench.n_cases(), 2);
    let code = bench.item(0).unwrap();
    assert_eq!(
        code.prompt,
        "Please complete the code given below. \nctxNext line of code:\n"
    );
    assert_eq!((code.gold.metric, code.max_new_tokens), (Metric::Code, 64));
    assert_eq!(code.max_prompt_len, Some(16_000));
    let class = bench.item(1).unwrap();
    assert_eq!(class.case.id, "trec/1");
    assert!(
        class
            .prompt
            .ends_with("examples of questions.\n\nctx\nin {context}?")
    );
    assert_eq!(class.gold.score("City\nFood").unwrap().value, 100.0);
    assert_eq!(class.gold.score("Food City\n").unwrap().value, 50.0);
}

#[test]
fn lines_that_cannot_be_scored_are_reported_with_line_and_byte_and_left_out() {
    let good = record("trec", &["City"], Some(&["City"]));
    let mut content = lines(&[
        good.clone(),
        record("trec", &[], Some(&["City"])),
        record("trec", &["City"], None),
        record("lsht", &["City"], Some(&["City"])),
        String::new(),
        good.clone(),
    ]);
    content.extend_from_slice(b"\n\xff\xfe\n");
    content.extend_from_slice(format!("{}\n", "x".repeat(1_000_000)).as_bytes());
    content.extend_from_slice(&good.as_bytes()[..40]);
    let directory = files(&[("trec", content.clone())]);
    let bench = LongBench::new(settings(directory.path(), &["trec"])).unwrap();
    let ids: Vec<String> = (0..bench.n_cases()).map(|i| bench.case(i).id).collect();
    assert_eq!(ids, ["trec/1", "trec/6"]);
    let reasons: Vec<String> = bench.skips().iter().map(|skip| skip.reason.clone()).collect();
    let expected = [
        "no reference",
        "no class names",
        "a record of \"lsht\"",
        "not UTF-8",
        "expected value",
        "the file ends inside this line",
    ];
    assert_eq!(reasons.len(), expected.len());
    for ((reason, expected), skip) in reasons.iter().zip(expected).zip(bench.skips()) {
        assert!(reason.contains(expected), "{reason}");
        let byte = skip.place.byte.unwrap() as usize;
        let line = content[..byte].iter().filter(|&&b| b == b'\n').count() + 1;
        assert_eq!(skip.place.line, Some(line as u64));
    }
    assert_eq!(bench.texts().count(), 2);
    let mut limited = settings(directory.path(), &["trec"]);
    limited.limit = Some(1);
    let limited = LongBench::new(limited).unwrap();
    assert_eq!((limited.n_cases(), limited.skips().len()), (1, 6));
}

#[test]
fn missing_files_and_files_with_nothing_to_ask_are_refused() {
    let directory = files(&[("trec", b"{\"input\":".to_vec())]);
    let refused = |tasks: &[&str], reason: &str| {
        let error = LongBench::new(settings(directory.path(), tasks))
            .err()
            .expect(reason)
            .to_string();
        assert!(error.contains(reason), "{error}");
    };
    refused(&["lcc"], "lcc.jsonl");
    refused(&["trec"], "no record that can be scored");
    refused(&[], "at least one task");
}

#[test]
fn a_file_that_changes_during_a_run_is_noticed() {
    let line = record("lcc", &["x = 1"], None);
    let directory = files(&[("lcc", lines(&[line.clone(), line]))]);
    let bench = LongBench::new(settings(directory.path(), &["lcc"])).unwrap();
    let path = directory.path().join("lcc.jsonl");
    let text = fs::read_to_string(&path).unwrap().replace("x = 1", "y = 2");
    fs::write(&path, text).unwrap();
    assert!(bench.item(0).unwrap_err().to_string().contains("has changed"));
    fs::write(&path, "").unwrap();
    assert!(bench.item(1).unwrap_err().to_string().contains("line 2"));
}

/// A benchmark of all tasks with one record each.
fn complete() -> (tempfile::TempDir, LongBench) {
    let all: Vec<(&str, Vec<u8>)> = Task::all()
        .map(|task| {
            let answer = match task.metric() {
                Metric::Retrieval => "Paragraph 1",
                Metric::RetrievalZh => "段落1",
                _ => "1",
            };
            (
                task.name(),
                lines(&[record(task.name(), &[answer], Some(&["1"]))]),
            )
        })
        .collect();
    let directory = files(&all);
    let names: Vec<&str> = Task::all().map(Task::name).collect();
    let bench = LongBench::new(settings(directory.path(), &names)).unwrap();
    (directory, bench)
}

#[test]
fn averages_weigh_tasks_by_their_published_questions() {
    let (_directory, bench) = complete();
    assert_eq!(bench.n_cases(), 21);
    let outcomes: Vec<Outcome> = (0..21)
        .map(|index| {
            let case = bench.case(index);
            let value = match case.task.as_str() {
                "multifieldqa_en" => 100.0,
                "lcc" => 50.0,
                _ => 0.0,
            };
            Outcome {
                case,
                score: Score { value, exact: None },
            }
        })
        .collect();
    let table = bench.tables(&outcomes).remove(0);
    let mean =
        |name: &str| table.rows.iter().find(|row| row.name == name).unwrap().cells[0].map(|cell| cell.mean);
    // 150 of 750 questions; 500 of 1000 at half; (150 · 100 + 500 · 50) / 4750.
    assert!((mean("SD").unwrap() - 20.0).abs() < 1e-9);
    assert!((mean("Code").unwrap() - 25.0).abs() < 1e-9);
    assert!((mean("AVG").unwrap() - 40_000.0 / 4750.0).abs() < 1e-9);
    let table = bench.tables(&outcomes[1..]).remove(0);
    let missing: Vec<&str> = table
        .rows
        .iter()
        .filter(|row| row.cells[0].is_none())
        .map(|row| row.name.as_str())
        .collect();
    assert_eq!(missing, ["narrativeqa", "SD", "AVG"]);
}

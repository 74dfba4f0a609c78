use std::fs;
use std::path::PathBuf;

use super::*;
use crate::eval::testing::Words;

fn settings(suite: Suite, length: u32, tasks: &[Task]) -> RulerSettings {
    RulerSettings {
        suite,
        lengths: vec![length],
        tasks: tasks.to_vec(),
        samples: 3,
        seed: 42,
        essays: None,
        squad: None,
        hotpotqa: None,
        end_with_newlines: suite == Suite::Port,
    }
}

/// Files of made-up questions: 300 documents of 60 words.
fn question_files() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let text = |i: usize| (0..60).map(|j| format!("w{i}.{j}")).collect::<Vec<_>>().join(" ");
    let paragraphs = (0..300).map(|i| {
        json!({ "context": text(i), "qas": [{ "question": format!("what {i}?"), "answers": [{ "text": format!("w{i}.7") }], "is_impossible": false }] })
    });
    let articles: Vec<serde_json::Value> = paragraphs.map(|p| json!({ "paragraphs": [p] })).collect();
    let squad = directory.path().join("squad.json");
    fs::write(&squad, json!({ "data": articles }).to_string()).unwrap();
    let asked = (0..30).map(|i| {
        let context: Vec<_> = (0..10)
            .map(|j| json!([format!("T{i}.{j}"), [text(10 * i + j)]]))
            .collect();
        json!({ "question": format!("what {i}?"), "answer": format!("w{}.7", 10 * i), "context": context })
    });
    let hotpotqa = directory.path().join("hotpot.json");
    fs::write(&hotpotqa, json!(asked.collect::<Vec<_>>()).to_string()).unwrap();
    (directory, squad, hotpotqa)
}

#[test]
fn every_prompt_of_every_task_fills_its_length_and_is_never_over() {
    let (_directory, squad, hotpotqa) = question_files();
    let meter = Words::default();
    for suite in [Suite::Official, Suite::Port] {
        for length in [2048, 4096] {
            let settings = RulerSettings {
                squad: Some(squad.clone()),
                hotpotqa: Some(hotpotqa.clone()),
                ..settings(suite, length, &Task::ALL)
            };
            let ruler = Ruler::new(settings, &meter).unwrap();
            assert_eq!(ruler.n_cases(), 39);
            for index in 0..ruler.n_cases() {
                let item = ruler.item(index).unwrap();
                let task: Task = item.case.task.parse().unwrap();
                let n_tokens = meter.count(&item.prompt).unwrap() + task.allowance(suite) as usize;
                assert!(
                    n_tokens <= length as usize,
                    "{suite:?} {}: {n_tokens}",
                    item.case.id
                );
                // The port's steps: 500 words, 25 lines of up to 19 words, 10 documents of 62.
                let slack = if suite == Suite::Official { 650 } else { 1300 };
                assert!(
                    n_tokens + slack >= length as usize,
                    "{suite:?} {}: {n_tokens}",
                    item.case.id
                );
                let context = item.prompt.replace(' ', "");
                for reference in &item.gold.references {
                    let found = context.contains(&reference.replace(' ', ""));
                    assert!(found, "{suite:?} {}: {reference}", item.case.id);
                }
                assert_eq!(item.prompt.ends_with("\n\n"), suite == Suite::Port);
                item.gold.check().unwrap();
            }
        }
    }
}

#[test]
fn prompts_depend_on_the_seed_and_on_nothing_else() {
    let meter = Words::default();
    let tasks = [
        Task::Single1,
        Task::MultiQuery,
        Task::Tracking,
        Task::CommonWords,
        Task::FrequentWords,
    ];
    let prompts = |settings: RulerSettings| {
        let ruler = Ruler::new(settings, &meter).unwrap();
        (0..ruler.n_cases())
            .rev()
            .map(|i| ruler.item(i).unwrap())
            .collect::<Vec<_>>()
    };
    let first = prompts(settings(Suite::Port, 2048, &tasks));
    assert_eq!(first, prompts(settings(Suite::Port, 2048, &tasks)));
    let other = prompts(RulerSettings {
        seed: 1,
        ..settings(Suite::Port, 2048, &tasks)
    });
    assert!(first.iter().zip(&other).all(|(a, b)| a.prompt != b.prompt));
    // A task is the same without the others.
    let alone = prompts(settings(Suite::Port, 2048, &tasks[2..3]));
    assert_eq!(first[6..9], alone);
}

#[test]
fn the_number_of_units_is_that_of_the_generators_rule() {
    let meter = Words::default();
    let ruler = Ruler::new(
        settings(Suite::Port, 4096, &[Task::Single1, Task::FrequentWords]),
        &meter,
    )
    .unwrap();
    // A line of noise is 19 words and a line end, which is one token: 20 for the first, as its end is
    // counted with the next line. (4096 - 128 - 60) / 19, down to a multiple of 25.
    assert_eq!(ruler.n_units(&ruler.blocks[0]).unwrap() % 25, 0);
    assert_eq!(ruler.n_units(&ruler.blocks[0]).unwrap(), 200);
    // 682 words and steps of 128, of which the rounding loses a few.
    let n_units = ruler.n_units(&ruler.blocks[1]).unwrap();
    assert_eq!((n_units - 682) % 128, 0);
    let official = Ruler::new(settings(Suite::Official, 4096, &[Task::Single1]), &meter).unwrap();
    let n_units = official.n_units(&official.blocks[0]).unwrap();
    assert!((200..225).contains(&n_units), "{n_units}");
}

#[test]
fn a_length_without_room_is_refused_and_not_waited_for() {
    let meter = Words::default();
    for task in &Task::ALL[..11] {
        for suite in [Suite::Official, Suite::Port] {
            let ruler = Ruler::new(settings(suite, 100, &[*task]), &meter).unwrap();
            let error = ruler.item(0).unwrap_err();
            assert!(error.to_string().contains("too short"), "{error}");
            assert_eq!(error.exit_code() as u8, 2);
        }
    }
}

#[test]
fn settings_that_cannot_be_run_are_refused() {
    let meter = Words::default();
    let refused = |settings: RulerSettings, reason: &str| {
        let error = Ruler::new(settings, &meter).err().expect(reason).to_string();
        assert!(error.contains(reason), "{error}");
    };
    refused(settings(Suite::Port, 4096, &[Task::Squad]), "SQuAD");
    refused(settings(Suite::Port, 4096, &[Task::HotpotQa]), "HotpotQA");
    refused(settings(Suite::Port, 4096, &[]), "at least one task");
    refused(
        settings(Suite::Port, 4096, &[Task::Single1, Task::Single1]),
        "twice",
    );
    refused(settings(Suite::Port, 0, &[Task::Single1]), "length");
    let missing = RulerSettings {
        essays: Some("no/essays.txt".into()),
        ..settings(Suite::Port, 4096, &[Task::Single2])
    };
    refused(missing, "no/essays.txt");
}

#[test]
fn questions_are_asked_in_order_and_no_more_often_than_there_are() {
    let (_directory, squad, _) = question_files();
    let meter = Words::default();
    let settings = RulerSettings {
        squad: Some(squad),
        samples: 1000,
        ..settings(Suite::Port, 2048, &[Task::Squad, Task::Single1])
    };
    let ruler = Ruler::new(settings, &meter).unwrap();
    assert_eq!(ruler.n_cases(), 1300);
    assert_eq!(ruler.case(299).id, "qa_squad/2048/299");
    assert_eq!(ruler.case(300).id, "niah_single_1/2048/0");
    assert!(
        ruler
            .item(17)
            .unwrap()
            .prompt
            .ends_with("Question: what 17? Answer:\n\n")
    );
    assert_eq!(ruler.texts().count(), 600);
}

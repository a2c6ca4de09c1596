//! `lopper eval`, on cases made here, with a real model.

use std::process::Output;

use crate::support::model;
use crate::support::process::{INVENTORY, command};

/// A case that asks for the function `name` of the inventory.
fn case(id: &str, name: &str, question: &str) -> String {
    let start = INVENTORY.lines().position(|line| line.contains(&format!("def {name}("))).unwrap();
    let body = INVENTORY.lines().skip(start + 1).take_while(|line| line.is_empty() || line.starts_with("        "));
    let end = start + 1 + body.count();
    let needle = serde_json::json!({"start_line": start + 1, "end_line": end});
    let case = serde_json::json!({
        "id": id, "kind": "needle", "language": "python", "code": INVENTORY, "question": question, "needle": needle,
    });
    format!("{case}\n")
}

fn eval(cases: &str, arguments: &[&str]) -> (Output, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cases.jsonl"), cases).unwrap();
    let mut command = command();
    command.current_dir(folder.path()).args(["eval", "cases.jsonl", "--json", "out.json"]).args(arguments);
    let output = command.env("LOPPER_SCORER_MODEL", model()).env("LOPPER_SCORER_UBATCH", "512").output().unwrap();
    let json = std::fs::read_to_string(folder.path().join("out.json")).unwrap_or_default();
    (output, json)
}

#[test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
fn methods_are_measured_side_by_side() {
    let method = INVENTORY.lines().find_map(|line| line.strip_prefix("    def ")).unwrap();
    let method = method.split('(').next().unwrap();
    let words = method.trim_matches('_').replace('_', " ");
    let cases = [case("a-0", method, &format!("Where does it {words}?")), case("a-1", method, "What is odd?")].concat();
    let (output, json) = eval(&cases, &["--method", "head,lexical,hybrid", "--ratio", "0.3,1"]);
    assert!(output.status.success(), "{output:?}");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("| hybrid | 0.3 | 1 |") && table.contains("Against lexical"), "{table}");
    let record: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&record["kind"], &record["cases"], &record["half"]),
        (&"needle".into(), &"cases.jsonl".into(), &"test".into())
    );
    assert!(record["model"].as_str().unwrap().contains("threads") && record["settings"]["unit_tokens"] == 64, "{json}");
    let measured = record["measured"].as_array().unwrap();
    assert_eq!(measured.len(), 6, "one case of the test half, three methods, two ratios");
    for one in measured {
        let (ratio, kept) = (one["ratio"].as_f64().unwrap(), one["kept"].as_f64().unwrap());
        assert_eq!(one["id"], "a-0");
        // At 1 all stays; at 0.3 whole units fit, markers included.
        assert!(if ratio == 1.0 { kept == 1.0 && one["whole"] == true } else { kept < 0.4 }, "{one}");
        let asks_the_model = one["method"] == "hybrid";
        assert_eq!(one["decoded"].as_u64().unwrap() > 1000, asks_the_model, "{one}");
    }
}

#[test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
fn what_is_no_case_is_said_with_its_line() {
    let says = |cases: &str, arguments: &[&str]| {
        let (output, _) = eval(cases, arguments);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(says("{}\n", &[]).contains("cases.jsonl:1: no case"));
    assert!(says("", &["--method", "guess"]).contains("\"guess\" is not known; known are random, head, longcodezip"));
    assert!(says("", &["--ratio", "2"]).contains("--ratio is 2; it must be above 0 and at most 1"));
}

#[test]
fn a_repository_makes_its_own_cases() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("node_modules")).unwrap();
    std::fs::create_dir(folder.path().join("tests")).unwrap();
    std::fs::write(folder.path().join("inventory.py"), INVENTORY).unwrap();
    for left_out in ["node_modules/other.py", "tests/other.py", "test_other.py"] {
        std::fs::write(folder.path().join(left_out), INVENTORY).unwrap();
    }
    let run = |path: &std::path::Path| {
        command().arg("eval").arg("--repo").arg(path).args(["--method", "lexical", "--ratio", "0.3"]).output().unwrap()
    };
    let output = run(folder.path());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("from 1 source files"), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("| lexical | 0.3 |"));
    let output = run(&folder.path().join("node_modules/..").join("absent"));
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("can't be read"));
}

#[test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
fn a_recall_needs_a_calibration() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.py"), INVENTORY).unwrap();
    let compress = || {
        let mut command = command();
        command.current_dir(folder.path()).args(["compress", "a.py", "-q", "How is the shelf chosen?"]);
        command.env("LOPPER_SCORER_METHOD", "perplexity").env("LOPPER_COMPRESSION_RECALL", "0.6");
        command.env("LOPPER_SCORER_UBATCH", "512");
        command.env("XDG_DATA_HOME", folder.path()).env("LOPPER_SCORER_MODEL", model()).output().unwrap()
    };
    let output = compress();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("is not calibrated"), "{said}");

    let names = ["reserve", "ship", "receive", "release"];
    let cases = |(i, name): (usize, &&str)| case(&format!("a-{i}"), name, "What is odd?");
    std::fs::write(folder.path().join("cases.jsonl"), names.iter().enumerate().map(cases).collect::<String>()).unwrap();
    let mut calibrate = command();
    calibrate.current_dir(folder.path()).args(["eval", "cases.jsonl", "--method", "perplexity", "--calibrate"]);
    calibrate.env("XDG_DATA_HOME", folder.path()).env("LOPPER_SCORER_MODEL", model());
    let output = calibrate.env("LOPPER_SCORER_UBATCH", "512").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("| recall asked for |"));
    let output = compress();
    assert!(output.status.success(), "{output:?}");
}

//! Faults inside: no usable model, a ledger and a log that cannot be written. Requests go on, and the fault is reported.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::footprint::metric;
use crate::support::process::{CHAT, FREE_ADMIN_PORT, LEXICAL, Lopper, chat_about_inventory, client};
use crate::support::upstream::Upstream;

/// Sends a request; returns the status that Lopper tells and the body that arrived.
async fn sent(lopper: &Lopper, upstream: &mut Upstream, question: &str) -> (String, String) {
    let response = client().post(lopper.url(CHAT)).body(chat_about_inventory(question)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let status = response.headers()["x-lopper-status"].to_str().unwrap().to_owned();
    assert_eq!(response.bytes().await.unwrap(), r#"{"ok":true}"#);
    (status, String::from_utf8(upstream.request().await.body.into()).unwrap())
}

/// Files that are no models, each with a word of what is said about it.
fn no_models(folder: &Path) -> Vec<(PathBuf, &'static str)> {
    let model = fs::read(crate::support::model()).unwrap();
    let mut crazy = model[..4096].to_vec();
    // The number of tensors, which follows the magic and the version.
    crazy[8..16].fill(0xff);
    let contents: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("text", b"# not a model\n"),
        ("magic", b"GGUF"),
        ("half-a-header", &model[..4096]),
        ("countless-tensors", &crazy),
        ("half-a-model", &model[..model.len() / 2]),
    ];
    let written = contents.map(|(name, content)| {
        let path = folder.join(name).with_extension("gguf");
        fs::write(&path, content).unwrap();
        (path, "can't be loaded")
    });
    let absent = [(folder.join("absent.gguf"), "no model file"), (folder.to_owned(), "no model file")];
    absent.into_iter().chain(written).collect()
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn without_a_usable_model_words_decide_and_it_is_told() {
    let mut upstream = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    for (model, why) in no_models(folder.path()) {
        let model = model.to_str().unwrap();
        let start = |config: &str| {
            Lopper::configured(&upstream.url("/v1"), config, &[FREE_ADMIN_PORT, ("LOPPER_SCORER_MODEL", model)])
        };
        let (words, none) = (start(""), start("[scorer]\nmethod = 'perplexity'\n"));
        let (status, arrived) = sent(&words, &mut upstream, "Why can a shipment fail?").await;
        assert!(status == "compressed" && arrived.len() < chat_about_inventory("").len(), "{model}: {status}");
        assert!(
            words.log().contains("CODE IS SCORED BY ITS WORDS ALONE") && words.log().contains(why),
            "{}",
            words.log()
        );
        let (status, arrived) = sent(&none, &mut upstream, "Why can a shipment fail?").await;
        assert!(
            status.starts_with("failed:") && arrived == chat_about_inventory("Why can a shipment fail?"),
            "{model}: {status}"
        );
        assert!(none.log().contains("NOTHING IS COMPRESSED") && none.log().contains(why), "{}", none.log());
        for lopper in [words, none] {
            let ready = client().get(lopper.admin("/readyz")).send().await.unwrap();
            assert_eq!(ready.status(), 200);
            assert!(ready.text().await.unwrap().contains("without a model"));
            assert_eq!(metric(&lopper, "lopper_model_up").await, 0);
        }
    }
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn a_model_that_is_there_is_told_as_well() {
    let upstream = Upstream::start().await;
    let lopper = Lopper::configured(&upstream.url("/v1"), LEXICAL, &[FREE_ADMIN_PORT]);
    let ready = client().get(lopper.admin("/readyz")).send().await.unwrap();
    assert_eq!(ready.text().await.unwrap(), "ready\n");
    assert_eq!(metric(&lopper, "lopper_model_up").await, 1);
    assert_eq!(metric(&lopper, "lopper_model_restarts_total").await, 0);
}

fn with_ledger(path: &Path) -> String {
    format!("{LEXICAL}[ledger]\npath = '{}'\n", path.display())
}

#[tokio::test]
async fn a_ledger_that_can_t_be_opened_is_kept_in_memory() {
    let mut upstream = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "theirs").unwrap();
    // No permissions hold for root, but nobody can put a file below a file, or write to a full device.
    for path in [Path::new("/dev/full"), &file.join("ledger"), folder.path(), Path::new("/proc/ledger")] {
        let lopper = Lopper::configured(&upstream.url("/v1"), &with_ledger(path), &[]);
        let first = sent(&lopper, &mut upstream, "Why can a shipment fail?").await;
        assert_eq!(first.0, "compressed");
        assert_eq!(sent(&lopper, &mut upstream, "Why can a shipment fail?").await, first);
        assert!(lopper.log().contains("decisions are kept in memory only"), "{}", lopper.log());
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "theirs");
}

/// Lets no file of a process grow beyond `bytes` from now on, as a disk that is full would.
fn fill_the_disk(lopper: &Lopper, bytes: usize) {
    let limit = format!("--fsize={bytes}:{bytes}");
    assert!(Command::new("prlimit").args(["--pid", &lopper.id().to_string(), &limit]).status().unwrap().success());
}

/// A process dies of a file that is too large unless it says otherwise; of a full disk it does not.
const AS_A_FULL_DISK: &str = "trap '' XFSZ";

#[tokio::test]
async fn a_disk_that_fills_up_costs_the_ledgers_file_and_no_request() {
    let mut upstream = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = with_ledger(&folder.path().join("ledger"));
    let url = upstream.url("/v1");
    let mut lopper = Lopper::after(AS_A_FULL_DISK, &url, &config, &[]);
    let early = sent(&lopper, &mut upstream, "Why can a shipment fail?").await;
    // Room for the log and none for the ledger, whose pages come after its first.
    fill_the_disk(&lopper, 4096);
    let mut late = Vec::new();
    while !lopper.log().contains("the ledger's file can't be written") {
        let question = format!("What is sold here? ({})", late.len());
        late.push((sent(&lopper, &mut upstream, &question).await, question));
    }
    for (before, question) in &late {
        assert_eq!(&sent(&lopper, &mut upstream, question).await, before);
    }
    assert_eq!(sent(&lopper, &mut upstream, "Why can a shipment fail?").await, early);
    lopper.terminate();
    assert!(lopper.wait().success());

    // The file is whole, or is mended.
    let again = Lopper::configured(&url, &config, &[]);
    assert_eq!(sent(&again, &mut upstream, "Why can a shipment fail?").await, early);
    assert!(!again.log().contains("damaged") && !again.log().contains("memory only"), "{}", again.log());
}

#[tokio::test]
async fn a_log_that_can_t_be_written_costs_no_request() {
    let mut upstream = Upstream::start().await;
    let url = upstream.url("/v1");
    // From the start, and later.
    let full = Lopper::after("exec 2>/dev/full", &url, LEXICAL, &[]);
    let filling = Lopper::after(AS_A_FULL_DISK, &url, LEXICAL, &[]);
    fill_the_disk(&filling, 0);
    for mut lopper in [full, filling] {
        let (status, _) = sent(&lopper, &mut upstream, "Why can a shipment fail?").await;
        assert_eq!(status, "compressed");
        // A warning, too, and one of our own errors.
        let wrong = client().post(lopper.url(CHAT)).header("x-lopper-ratio", "7").body("{}").send().await.unwrap();
        assert_eq!(wrong.status(), 400);
        lopper.terminate();
        assert!(lopper.wait().success());
    }
}

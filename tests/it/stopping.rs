//! Stopping, dying and reading the settings again while there is much to do: nothing is lost.
#![cfg(target_os = "linux")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::footprint::waiting;
use crate::support::process::{CHAT, FREE_ADMIN_PORT, LEXICAL, Lopper, chat_about_inventory, client};
use crate::support::upstream::{Reply, Upstream};
use tokio::sync::oneshot;

/// Waits for a process to end, and says whether it was satisfied.
async fn ended_well(mut lopper: Lopper) -> bool {
    tokio::task::spawn_blocking(move || lopper.wait().success()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_in_flight_finish_and_nobody_else_is_let_in() {
    const STREAMS: usize = 40;
    let upstream = Upstream::start().await;
    let lopper = Lopper::configured(&upstream.url("/v1"), LEXICAL, &[]);
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        let events = upstream.reply_events();
        let question = format!("Why can a shipment fail? ({number})");
        let mut response = client().post(lopper.url(CHAT)).body(chat_about_inventory(&question)).send().await.unwrap();
        events.send("data: 1\n\n".into()).await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), "data: 1\n\n");
        streams.push((events, response));
    }
    let url = lopper.url(CHAT);
    let address = lopper.address;
    let idle = std::net::TcpStream::connect(address).unwrap();
    let lopper = tokio::task::spawn_blocking(move || {
        lopper.terminate();
        lopper
    });
    let lopper = lopper.await.unwrap();
    assert!(client().post(&url).body("{}").send().await.unwrap_err().is_connect());
    for (events, mut response) in streams {
        for event in ["data: 2\n\n", "data: [DONE]\n\n"] {
            events.send(event.into()).await.unwrap();
            assert_eq!(response.chunk().await.unwrap().unwrap(), event);
        }
        drop(events);
        assert_eq!(response.chunk().await.unwrap(), None);
    }
    assert!(ended_well(lopper).await, "a connection on which nothing was asked holds nothing up");
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_longer_than_the_drain_timeout_is_cut_off_and_told() {
    let mut upstream = Upstream::start().await;
    let config = format!("{LEXICAL}[server]\ndrain_timeout = '100ms'\n");
    let lopper = Lopper::configured(&upstream.url("/v1"), &config, &[]);
    let events = upstream.reply_events();
    let mut endless = client().post(lopper.url(CHAT)).body("{}").send().await.unwrap();
    events.send("data: 1\n\n".into()).await.unwrap();
    assert_eq!(endless.chunk().await.unwrap().unwrap(), "data: 1\n\n");
    let (held, dropped) = oneshot::channel();
    upstream.reply(Reply::Never(held));
    let waiting = tokio::spawn(client().post(lopper.url(CHAT)).body("{}").send());
    upstream.request().await;
    upstream.request().await;
    lopper.signal("TERM");
    let refused = waiting.await.unwrap().unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.text().await.unwrap().contains("shutting_down"));
    assert!(endless.chunk().await.is_err(), "a stream that is cut off does not look as if it were whole");
    assert!(dropped.await.is_err());
    events.closed().await;
    assert!(ended_well(lopper).await);
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn scoring_that_takes_longer_is_given_up_and_told() {
    let mut upstream = Upstream::start().await;
    let config = "[scorer]\nmethod = 'longcodezip'\n[server]\ndrain_timeout = '100ms'\n";
    let lopper = Lopper::configured(&upstream.url("/v1"), config, &[FREE_ADMIN_PORT]);
    let asked = client().post(lopper.url(CHAT)).body(chat_about_inventory("Why can a shipment fail?"));
    let asked = tokio::spawn(asked.send());
    // Scoring takes seconds, a look milliseconds.
    while waiting(&lopper).await == 0 {
        assert!(!asked.is_finished());
    }
    lopper.signal("TERM");
    assert_eq!(asked.await.unwrap().unwrap().status(), 503);
    assert!(upstream.recorded().is_none());
    assert!(ended_well(lopper).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_it_sends_the_same_bytes_again() {
    const QUESTIONS: usize = 60;
    let mut upstream = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = format!("{LEXICAL}[ledger]\npath = '{}'\n", folder.path().join("ledger").display());
    let mut first = HashMap::new();
    for round in 0..3 {
        let mut lopper = Lopper::configured(&upstream.url("/v1"), &config, &[]);
        assert!(!lopper.log().contains("damaged") && !lopper.log().contains("memory only"), "{}", lopper.log());
        // All that was asked before it was killed, and then new ones, whose decisions may just be on their way to the disk.
        for number in 0..(round + 1) * QUESTIONS / 3 {
            let question = format!("Where is part {number} counted?");
            let response = client().post(lopper.url(CHAT)).body(chat_about_inventory(&question)).send().await.unwrap();
            assert_eq!(response.headers()["x-lopper-status"], "compressed");
            let arrived = upstream.request().await.body;
            assert_eq!(first.entry(number).or_insert_with(|| arrived.clone()), &arrived, "{question}");
        }
        lopper.signal("KILL");
        assert!(!tokio::task::spawn_blocking(move || lopper.wait()).await.unwrap().success());
    }
}

#[test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
fn a_hang_up_while_it_starts_is_no_reason_to_die() {
    let mut lopper = Lopper::configured("http://127.0.0.1:9/v1", LEXICAL, &[]);
    // It has just said that it listens.
    lopper.signal("HUP");
    lopper.terminate();
    assert!(lopper.wait().success());
}

/// Starts its arguments in a terminal, closes that once they listen, and ends as they do.
const IN_A_TERMINAL: &str = r#"
import os, pty, signal, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
signal.alarm(300)
shown = b""
while b"listening on" not in shown:
    shown += os.read(terminal, 4096)
os.close(terminal)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[test]
fn it_ends_with_its_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("lopper.toml");
    std::fs::write(&config, LEXICAL).unwrap();
    let ended = std::process::Command::new("python3")
        .args(["-c", IN_A_TERMINAL, env!("CARGO_BIN_EXE_lopper"), "serve", "--listen", "127.0.0.1:0"])
        .args(["--upstream", "http://127.0.0.1:9/v1", "--config"])
        .arg(&config)
        .env("LOPPER_ADMIN_LISTEN", "off")
        .status();
    assert_eq!(ended.unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_change_under_load_lose_nothing() {
    const CLIENTS: usize = 36;
    const CHANGES: usize = 6;
    let mut upstream = Upstream::start().await;
    let lopper = Lopper::configured(&upstream.url("/v1"), LEXICAL, &[]);
    let is_over = Arc::new(AtomicBool::new(false));
    let clients = (0..CLIENTS).map(|number| {
        let (url, is_over) = (lopper.url(CHAT), is_over.clone());
        tokio::spawn(async move {
            let client = client();
            let mut sent = 0;
            while !is_over.load(Ordering::Relaxed) {
                sent += 1;
                let body = chat_about_inventory(&format!("What of {number} in {sent}?"));
                let response = client.post(&url).body(body).send().await.unwrap();
                assert_eq!(response.status(), 200);
                assert_eq!(response.headers()["x-lopper-status"], "compressed");
                assert_eq!(response.bytes().await.unwrap(), r#"{"ok":true}"#);
            }
            sent
        })
    });
    let clients: Vec<_> = clients.collect();
    for change in 1..=CHANGES {
        // Another connection to the upstream and another amount each time.
        let (ratio, timeout) = (0.2 + (change % 2) as f64 * 0.1, 5 + change % 2);
        let settings = format!("[compression]\nratio = {ratio}\n[upstream]\nconnect_timeout = '{timeout}s'\n");
        // In one piece: a file that is read half written has other settings.
        let unfinished = lopper.config().with_extension("new");
        std::fs::write(&unfinished, format!("{LEXICAL}{settings}")).unwrap();
        std::fs::rename(unfinished, lopper.config()).unwrap();
        lopper.signal("HUP");
        while lopper.log().matches("settings: compression.ratio").count() < change {
            tokio::task::yield_now().await;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    let mut sent = 0;
    for client in clients {
        sent += client.await.unwrap();
    }
    let mut received = 0;
    while upstream.recorded().is_some() {
        received += 1;
    }
    assert_eq!(received, sent);
}

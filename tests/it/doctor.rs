//! `lopper doctor`: what it finds right and wrong.

use std::net::TcpListener;
use std::process::Output;

use crate::support::model;
use crate::support::process::command;
use crate::support::upstream::{Reply, Upstream};
use tempfile::TempDir;

/// No model is needed, all ports are free, nothing is kept.
const PLAIN: &str =
    "[scorer]\nmethod = \"lexical\"\n[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";
const KEY: &str = "sk-not-to-be-shown";

/// Runs it with these settings.
async fn doctor(settings: String, environment: Vec<(&'static str, String)>) -> (Output, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lopper.toml"), settings).unwrap();
    let home = folder.path().to_path_buf();
    let run = move || {
        let mut command = command();
        command.arg("doctor").current_dir(&home).env("HOME", &home).env("XDG_DATA_HOME", home.join("data"));
        command.env("LOPPER_SCORER_THREADS", "1").env("LOPPER_SCORER_UBATCH", "512").envs(environment);
        command.output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let shown = format!("{output:?}");
    assert!(!shown.contains(KEY), "{shown}");
    (output, folder)
}

/// Whether all is well, and what is said; `hidden` is not the same in each run.
async fn said(settings: String, environment: Vec<(&'static str, String)>, hidden: &[(&str, &str)]) -> (bool, String) {
    let (output, folder) = doctor(settings, environment).await;
    let mut said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    said = said.replace(folder.path().to_str().unwrap(), "~");
    for (value, name) in hidden {
        said = said.replace(value, name);
    }
    (output.status.success(), said)
}

fn whole(status: u16) -> Reply {
    Reply::Whole(status, vec![], "{}")
}

/// The settings, with an upstream and its key.
fn with_upstream(upstream: &Upstream, key: bool) -> String {
    let key = if key { "api_key_env = \"UPSTREAM_KEY\"\n" } else { "" };
    format!("{PLAIN}[upstream]\nbase_url = \"{}\"\n{key}", upstream.url("/v1"))
}

#[tokio::test]
async fn all_is_well() {
    let mut upstream = Upstream::start().await;
    upstream.reply(whole(401));
    let settings = with_upstream(&upstream, true) + "[ledger]\npath = \"ledger.redb\"\n";
    let address = upstream.address.to_string();
    let (is_well, said) = said(settings, vec![("UPSTREAM_KEY", KEY.into())], &[(&address, "UPSTREAM")]).await;
    insta::assert_snapshot!("doctor_well", said);
    assert!(is_well);
    let [first, second] = [upstream.request().await, upstream.request().await];
    assert_eq!((first.target.as_str(), first.headers.get("authorization")), ("/v1/models", None));
    assert_eq!(second.headers["authorization"], format!("Bearer {KEY}"));
}

#[tokio::test]
async fn the_upstream_and_its_key() {
    let mut told = String::new();
    for (first, second, key) in [
        (whole(200), None, None),
        (whole(404), None, None),
        (whole(503), None, None),
        (whole(401), None, Some("")),
        (whole(401), Some(whole(401)), Some(KEY)),
        (whole(401), Some(whole(403)), Some(KEY)),
        (whole(401), Some(whole(500)), Some(KEY)),
    ] {
        let upstream = Upstream::start().await;
        [Some(first), second].into_iter().flatten().for_each(|reply| upstream.reply(reply));
        let address = upstream.address.to_string();
        let environment = key.map(|key| ("UPSTREAM_KEY", key.to_owned())).into_iter().collect();
        let (_, said) = said(with_upstream(&upstream, key.is_some()), environment, &[(&address, "UPSTREAM")]).await;
        told.extend(
            said.lines()
                .filter(|line| line.contains("upstream") || line.contains("key"))
                .map(|line| format!("{line}\n")),
        );
        told += "\n";
    }
    let upstream = Upstream::start().await;
    let address = upstream.address.to_string();
    let (is_well, unset) = said(with_upstream(&upstream, true), vec![], &[(&address, "UPSTREAM")]).await;
    assert!(!is_well);
    insta::assert_snapshot!("doctor_upstream", told + &unset);
}

#[tokio::test]
async fn an_upstream_that_is_not_there() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (is_well, said) = said(format!("{PLAIN}[upstream]\nbase_url = \"http://{free}/v1\"\n"), vec![], &[]).await;
    assert!(!is_well && said.contains(&format!("problem  upstream  http://{free}/v1 can't be reached: ")), "{said}");
    // TCP connects, and then there is no TLS.
    let upstream = Upstream::start().await;
    let base = upstream.url("/v1").replace("http:", "https:");
    let (is_well, said) = self::said(format!("{PLAIN}[upstream]\nbase_url = \"{base}\"\n"), vec![], &[]).await;
    assert!(!is_well && said.contains("can't be reached: "), "{said}");
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn ports_are_free_or_lopper_s() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let settings =
        format!("[server]\nlisten = \"{address}\"\n[upstream]\nbase_url = \"embedded\"\n[scorer]\nmodel = 'no.gguf'\n");
    let (is_well, told) = said(settings + "[admin]\nlisten = \"off\"\n", vec![], &[(&address, "TAKEN")]).await;
    insta::assert_snapshot!("doctor_taken", told);
    assert!(!is_well);

    let (upstream, admin) = (Upstream::start().await, Upstream::start().await);
    let own = admin.address.to_string();
    let settings = with_upstream(&upstream, false).replace("[admin]", "[admin]\ntoken_env = \"THE_TOKEN\"");
    let (is_well, told) = said(settings.clone(), vec![], &[]).await;
    assert!(!is_well && told.contains("problem  token     admin.token_env names THE_TOKEN"), "{told}");
    let settings = settings.replacen("127.0.0.1:0", &address, 1).replacen("127.0.0.1:0", &own, 1);
    let hidden = [(address.as_str(), "TAKEN"), (own.as_str(), "ADMIN")];
    let (is_well, told) = said(settings, vec![("THE_TOKEN", KEY.into())], &hidden).await;
    assert!(is_well && told.contains("ok       port      a Lopper answers at TAKEN already"), "{told}");
    assert!(told.contains("ok       admin     a Lopper answers at ADMIN already"), "{told}");
}

#[tokio::test]
async fn settings_that_are_not_valid() {
    let (is_well, told) = said("[server]\nlisten = 1\n[scorer]\nmodle = 'x'\n".into(), vec![], &[]).await;
    insta::assert_snapshot!("doctor_settings", told);
    assert!(!is_well);
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn the_model_and_what_is_asked_of_it() {
    let upstream = Upstream::start().await;
    let base = with_upstream(&upstream, false);
    let with = |method: &str, model: &str, more: &str| {
        let model = format!("method = \"{method}\"\nmodel = '{model}'");
        base.replace("method = \"lexical\"", &model) + more
    };
    let loaded = model().display().to_string();
    let (is_well, told) = said(with("hybrid", &loaded, "[compression]\nrecall = 0.9\n"), vec![], &[]).await;
    assert!(is_well, "{told}");
    let line = told.lines().find(|line| line.starts_with("ok       model ")).unwrap();
    assert!(line.contains("Q8_0, 135 M parameters), reads ") && line.ends_with(" tokens/s"), "{line}");
    assert!(told.contains("ok       recall    0.9: the scorer is calibrated"), "{told}");

    let mut lines = String::new();
    for (method, more) in [("hybrid", ""), ("longcodezip", ""), ("perplexity", "[compression]\nrecall = 0.9\n")] {
        let (is_well, told) = said(with(method, "no.gguf", more), vec![], &[]).await;
        assert_eq!(is_well, method == "hybrid");
        lines.extend(
            told.lines()
                .filter(|line| line.contains("model ") || line.contains("recall"))
                .map(|line| format!("{line}\n")),
        );
    }
    insta::assert_snapshot!("doctor_model", lines);
}

#[tokio::test]
async fn a_ledger_that_can_not_be_written() {
    let upstream = Upstream::start().await;
    let settings = with_upstream(&upstream, false) + "[ledger]\npath = \"lopper.toml/ledger.redb\"\n";
    let (is_well, told) = said(settings, vec![], &[]).await;
    assert!(is_well && told.contains("warning  ledger    lopper.toml/ledger.redb can't be written: "), "{told}");
}

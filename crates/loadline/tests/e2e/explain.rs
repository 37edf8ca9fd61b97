//! What would become of a request, and what became of the last ones.

use std::process::Command;

use serde_json::Value;

use crate::support::{Gate, Proxy, Setup, Upstream, eventually};

const RULES: &str = concat!(
    r#"[{ path = "/critical/*", class = "critical" }, "#,
    r#"{ path = "/api/*", method = "POST", class = "high" }, { path = "/low/*", class = "low" }]"#
);

fn explain(proxy: &Proxy, query: &str) -> Value {
    let answer = proxy.admin(&format!("/api/v1/explain?{query}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

/// Decision, reason and deciding rule.
fn verdict(proxy: &Proxy, query: &str) -> [String; 3] {
    let answer = explain(proxy, query);
    ["decision", "reason", "rule"].map(|name| answer[name].as_str().unwrap_or("-").to_owned())
}

#[test]
fn it_names_the_rule_that_gives_the_class() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 3)
        .set("priority.rules", RULES)
        .set("priority.header", "x-class")
        .set("trust.proxies", "10.0.0.0/8")
        .start();
    let by = |query: &str| {
        let answer = explain(&proxy, query);
        let by = &answer["class_by"];
        (
            answer["class"].as_str().unwrap().to_owned(),
            by["setting"].as_str().unwrap().to_owned(),
            by["rule"].as_u64(),
        )
    };
    let expected = |class: &str, setting: &str, rule| (class.to_owned(), setting.to_owned(), rule);
    assert_eq!(by("path=/api/x&method=POST"), expected("high", "priority.rules", Some(2)));
    assert_eq!(by("path=/api/x"), expected("normal", "priority.default", None));
    assert_eq!(by("path=/healthcheck"), expected("bypass", "bypass.path", None));
    assert_eq!(by("path=/&header=x-class:low"), expected("normal", "priority.default", None));
    assert_eq!(by("path=/&header=x-class:low&from=10.1.2.3"), expected("low", "priority.header", None));
    assert_eq!(by("path=/&class=critical"), expected("critical", "asked", None));
    let text = explain(&proxy, "path=/api/x&method=POST&deadline=2s")["text"].to_string();
    assert!(text.contains("POST /api/x is high (rule 2 matches: { path = "), "{text}");
    assert!(text.contains("Its client 127.0.0.1 is not trusted"), "{text}");
    assert!(text.contains("It would be admitted at once: 0 of the 3 slots for high are in use"), "{text}");
    assert_eq!(upstream.seen(), 0, "nothing was asked of the application");
    assert_eq!(proxy.status().counters.offered, 0, "nothing was counted");
}

#[test]
fn it_says_what_the_door_would_say() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 2)
        .set("priority.rules", RULES)
        .set("priority.shed_at.high", "0.5")
        .set("queue.depth", 1)
        .start();
    assert_eq!(verdict(&proxy, "path=/"), ["admitted", "-", "free_slot"]);
    assert_eq!(verdict(&proxy, "path=/&deadline=0"), ["shed", "deadline_expired", "deadline_passed"]);
    let mut clients = vec![proxy.send_get("/a"), proxy.send_get("/b")];
    proxy.wait_load(2, 0);
    assert_eq!(verdict(&proxy, "path=/"), ["queued", "-", "queue_place"]);
    assert_eq!(verdict(&proxy, "path=/&class=high"), ["shed", "priority", "threshold"]);
    assert_eq!(verdict(&proxy, "path=/critical/x"), ["admitted", "-", "free_slot"], "there is a reserve");
    assert_eq!(verdict(&proxy, "path=/healthcheck"), ["bypass", "-", "free_slot"]);
    clients.push(proxy.send_get("/low/1"));
    proxy.wait_load(2, 1);
    let answer = explain(&proxy, "path=/");
    assert_eq!((&answer["displaces"], &answer["queued"]), (&"low".into(), &1.into()), "{answer}");
    assert_eq!((&answer["in_flight"], &answer["slots"]), (&2.into(), &2.into()), "{answer}");
    let refused = explain(&proxy, "path=/low/2");
    assert_eq!((&refused["reason"], &refused["status"]), (&"queue_full".into(), &503.into()), "{refused}");
    assert_eq!((&refused["rule"], &refused["remedy"]["class"]), (&"queue_depth".into(), &"normal".into()));
    assert!(refused["text"].to_string().contains("As normal it would get in, or above."), "{refused}");
    // The same as is really decided.
    let really = proxy.get("/low/2");
    assert_eq!((really.status, really.reason().as_str()), (503, "queue_full"));
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
}

#[test]
fn an_open_breaker_is_told_before_a_free_slot() {
    let upstream = Upstream::start(|exchange| exchange.respond(500, b"broken"));
    let proxy = Setup::to(&upstream, 2)
        .set("breaker.enabled", "true")
        .set("breaker.consecutive_failures", 1)
        .set("breaker.open", "1h")
        .set("breaker.max_open", "1h")
        .start();
    assert_eq!(verdict(&proxy, "path=/"), ["admitted", "-", "free_slot"]);
    assert_eq!(proxy.get("/").status, 500);
    eventually("the breaker is open", || proxy.get("/").reason() == "breaker_open");
    let answer = explain(&proxy, "path=/");
    let told = ["decision", "reason", "rule"].map(|name| answer[name].as_str().unwrap_or("-"));
    assert_eq!(told, ["shed", "breaker_open", "breaker_open"]);
    assert_eq!((&answer["status"], &answer["remedy"]), (&503.into(), &Value::Null));
    assert!(answer["text"].to_string().contains("every endpoint failed too often"), "{answer}");
    assert_eq!(verdict(&proxy, "path=/healthcheck"), ["bypass", "-", "free_slot"]);
}

#[test]
fn a_bad_question_is_refused_with_a_reason() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    for (query, why) in [
        ("", "path is missing"),
        ("path=/&class=urgent", "is not critical, high, normal, low or bypass"),
        ("path=/&deadline=soon", "is not a duration"),
        ("path=/&nonsense=1", "unknown parameter"),
        ("path=x", "such a request would get 400"),
        ("path=/%20b", "such a request would get 400"),
        ("path=/&header=a:b%0d%0aclass:c", "has no line break"),
        ("path=/&header=transfer-encoding:gzip", "such a request would get"),
    ] {
        let answer = proxy.admin(&format!("/api/v1/explain?{query}"));
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        assert!(answer.text().contains(why), "{query}: {}", answer.text());
    }
}

#[test]
fn the_command_prints_sentences_or_json() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 3).set("priority.rules", RULES).start();
    let run = |arguments: &[&str]| {
        let admin = proxy.admin_addr().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadline"));
        let output =
            command.env_clear().args(["explain", "--admin", &admin]).args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, said, _) =
        run(&["/api/x?a=b&c", "--method", "POST", "--deadline", "500ms", "--header", "x: y"]);
    let expected = "\
POST /api/x?a=b&c is high (rule 2 matches: { path = \"/api/*\", method = \"POST\", class = \"high\" }).
Its client 127.0.0.1 is not trusted to say class and age.
Its deadline is in 500ms.
It would be admitted at once: 0 of the 3 slots for high are in use, and nobody of its class or above waits.
Predicted: no wait, and a service time that is not known yet.
";
    assert_eq!((code, said.as_str()), (Some(0), expected));
    let (code, said, _) = run(&["/x", "--class", "low", "--json"]);
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &answer["class"]), (Some(0), &"low".into()));
    let (code, _, complaint) = run(&["/x", "--class", "urgent"]);
    assert!(code == Some(1) && complaint.contains("class: \"urgent\" is not"), "{complaint}");
}

#[test]
fn the_last_decisions_are_kept_without_queries() {
    let gate = Gate::new();
    let upstream = Upstream::gated(&gate);
    let proxy = Setup::to(&upstream, 1).set("priority.rules", RULES).set("queue.depth", 0).start();
    let mut busy = proxy.send_get("/low/1?password=secret");
    proxy.wait_load(1, 0);
    assert_eq!(proxy.get("/rejected?token=secret").status, 503);
    gate.open();
    assert_eq!(busy.read().status, 200);
    let recent = || proxy.admin("/api/v1/recent").text();
    eventually("both are there", || recent().contains("/low/1") && recent().contains("/rejected"));
    let text = recent();
    assert!(!text.contains("secret"), "{text}");
    let recent: Value = serde_json::from_str(&text).unwrap();
    let find = |path: &str| {
        let mut decisions = recent["decisions"].as_array().unwrap().iter();
        decisions.find(|decision| decision["path"] == path).unwrap().clone()
    };
    let shed = find("/rejected");
    let shown = ["method", "class", "decision", "reason"].map(|name| shed[name].as_str().unwrap());
    assert_eq!(shown, ["GET", "normal", "shed", "concurrency"]);
    assert_eq!((&shed["status"], &shed["service_ms"]), (&503.into(), &Value::Null));
    let served = find("/low/1");
    assert_eq!((&served["decision"], &served["reason"]), (&"admitted".into(), &Value::Null));
    assert_eq!((&served["class"], &served["class_by"]["rule"]), (&"low".into(), &3.into()));
    assert!(served["service_ms"].as_f64().unwrap() > 0.0, "{served}");
}

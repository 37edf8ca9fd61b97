//! Files, variables, flags and arguments together: precedence, origins, exact error texts, generated documents.

mod admission;
mod bad_input;
mod decision;
mod overload;
mod shadow;
mod trace;

use std::time::Duration;

use proptest::prelude::*;

use super::settings::{Algorithm, Concurrency, DEMO_QUEUE_TIMEOUT, Discipline, RetryAfter};
use super::*;

/// Sources under test: a file's text beside the rest.
#[derive(Default)]
struct Given {
    sources: Sources,
    text: Option<String>,
}

impl Given {
    fn app() -> Self {
        Self::default().arguments("app:8080", "3")
    }

    fn toml(self, text: &str) -> Self {
        self.file("loadline.toml", text)
    }

    fn file(mut self, name: &str, text: &str) -> Self {
        self.sources.file = Some(name.into());
        self.text = Some(text.to_owned());
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.push((name.into(), value.into()));
        self
    }

    fn set(mut self, text: &str) -> Self {
        self.sources.set.push(text.to_owned());
        self
    }

    fn arguments(mut self, upstream: &str, concurrency: &str) -> Self {
        self.sources.upstream = Some(upstream.to_owned());
        self.sources.concurrency = Some(concurrency.to_owned());
        self
    }

    fn load(self) -> Result<Loaded, ConfigErrors> {
        resolve(&self.sources, self.text.map(Ok), Need::Everything)
    }

    fn good(self) -> Loaded {
        self.load().unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn errors(self) -> String {
        self.load().expect_err("must be refused").to_string()
    }
}

#[test]
fn no_argument_at_all_means_the_demo() {
    let loaded = Given::default().good();
    let mut demo = Settings::default();
    demo.queue.timeout = Some(DEMO_QUEUE_TIMEOUT);
    assert_eq!(loaded.settings, demo, "the defaults, but for a wait short enough to see shedding");
    assert_eq!((loaded.origins.count(), loaded.warnings.len()), (0, 0));
}

#[test]
fn each_layer_wins_over_the_one_below() {
    let file = "[queue]\ntimeout = 1\n";
    let timeout = |given: Given| {
        let loaded = given.good();
        (loaded.settings.queue.timeout.unwrap().as_millis(), loaded.origins.of("queue.timeout").to_string())
    };
    assert_eq!(timeout(Given::app()), (5000, "default".into()));
    assert_eq!(timeout(Given::app().toml(file)), (1, "loadline.toml:2".into()));
    let spillway = || Given::app().toml(file).env("QUEUE_TIMEOUT", "2");
    assert_eq!(timeout(spillway()), (2, "environment QUEUE_TIMEOUT".into()));
    let own = || spillway().env("LOADLINE_QUEUE_TIMEOUT", "3");
    assert_eq!(timeout(own()), (3, "environment LOADLINE_QUEUE_TIMEOUT".into()));
    assert_eq!(timeout(own().set("queue.timeout=4")), (4, "--set".into()));
    assert_eq!(timeout(own().set("queue.timeout=4").set("queue.timeout=6")), (6, "--set".into()));
}

#[test]
fn arguments_win_over_everything() {
    let loaded = Given::app()
        .toml("upstream = \"other:1\"\n[limit]\nconcurrency = 9\n")
        .set("limit.concurrency=8")
        .good();
    assert_eq!(loaded.settings.upstream.to_string(), "app:8080");
    assert_eq!(loaded.settings.limit.ceiling().get(), 3);
    assert_eq!(loaded.origins.of("limit.concurrency"), &Origin::Argument);
}

#[test]
fn spillways_variables_keep_name_unit_and_default() {
    let settings = Given::app()
        .env("MAX_CONNECTIONS", "50")
        .env("QUEUE_TIMEOUT", "700")
        .env("SERVER_TIMEOUT", "2m")
        .env("PORT", "9000")
        .env("HEALTHCHECK_PATH", "/up")
        .env("LOG_ADDRESS", "syslog:514")
        .env("LOG_FORMAT", "%ST %{+Q}r")
        .good()
        .settings;
    assert_eq!(settings.max_connections, 50);
    assert_eq!(settings.queue.timeout, Some(Duration::from_millis(700)));
    assert_eq!(settings.timeouts.upstream, Duration::from_secs(120));
    assert_eq!(settings.listen, ["0.0.0.0:9000".parse().unwrap()]);
    assert_eq!(settings.bypass.path, ["/up"]);
    assert_eq!(
        (settings.log.address.as_str(), settings.log.access.as_deref()),
        ("syslog:514", Some("%ST %{+Q}r"))
    );
}

#[test]
fn auto_is_a_limit_that_is_found_and_a_number_is_that_number() {
    let auto = Given::app().set("limit.concurrency=5").good();
    assert_eq!(auto.settings.limit.ceiling().get(), 3, "the argument wins, and is exact");
    let limit = Given::default()
        .arguments("app:8080", "auto")
        .set("max_connections=500")
        .set("limit.algorithm=vegas")
        .good()
        .settings
        .limit;
    assert_eq!((limit.concurrency, limit.algorithm), (Concurrency::Auto, Algorithm::Vegas));
    assert_eq!((limit.start.get(), limit.min.get(), limit.ceiling().get()), (10, 1, 500));
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    let loaded =
        Given::app().env("QUEUE_TIMEOUT", "").env("LOG_ADDRESS", "").env("LOADLINE_QUEUE_DEPTH", "").good();
    assert_eq!(loaded, Given::app().good());
}

#[test]
fn a_request_log_needs_an_address_or_a_format_of_its_own() {
    let access = |given: Given| given.good().settings.log.access;
    assert_eq!(access(Given::app()), None);
    assert_eq!(access(Given::app().env("LOG_ADDRESS", "stdout")).as_deref(), Some("spillway"));
    assert_eq!(access(Given::app().set("log.address=stderr")).as_deref(), Some("spillway"));
    assert_eq!(access(Given::app().set("log.access=json")).as_deref(), Some("json"));
    assert_eq!(access(Given::app().env("LOG_ADDRESS", "stdout").set("log.access=off")), None);
    assert_eq!(
        access(Given::app().env("LOG_ADDRESS", "stdout").env("LOG_FORMAT", "httplog")).as_deref(),
        Some("httplog")
    );

    let lone = Given::app().env("LOG_FORMAT", "httplog").good();
    assert_eq!(lone.settings.log.access, None);
    assert_eq!(lone.warnings, ["LOG_FORMAT has no effect without LOG_ADDRESS (try LOG_ADDRESS=stdout)"]);
}

#[test]
fn header_and_length_of_log_lines_follow_the_address() {
    let log = |address: &str| Given::app().env("LOG_ADDRESS", address).good().settings.log;
    let shown = |address: &str| (log(address).syslog_format.as_str(), log(address).max_len);
    assert_eq!(shown("stdout"), ("raw", None));
    assert_eq!(shown("syslog"), ("rfc5424", Some(1024)));
    assert_eq!(shown("tcp@syslog:601"), ("rfc5424", None));
    assert_eq!(shown("syslog len 200 format local"), ("local", Some(200)));
    let set = Given::app()
        .env("LOG_ADDRESS", "syslog")
        .set("log.syslog_format=iso")
        .set("log.max_len=80")
        .good()
        .settings
        .log;
    assert_eq!((set.syslog_format.as_str(), set.max_len), ("iso", Some(80)));
}

#[test]
fn values_follow_from_others() {
    let settings = Given::app().set("max_connections=50").set("timeouts.upstream=9s").good().settings;
    assert_eq!((settings.queue.depth, settings.limit.abandon_timeout), (50, Duration::from_secs(9)));
    let settings = Given::app().set("max_connections=50").set("queue.depth=7").good().settings;
    assert_eq!(settings.queue.depth, 7);
}

#[test]
fn an_upstream_without_a_port_takes_the_listeners() {
    let upstream = |given: Given| given.good().settings.upstream.to_string();
    assert_eq!(upstream(Given::default().arguments("app", "3")), "app:8000");
    assert_eq!(upstream(Given::default().arguments("app", "3").env("PORT", "9000")), "app:9000");
}

#[test]
fn an_upstream_may_be_several_places() {
    let file =
        "upstream = [\"http://a:8080\", \"b:8080\", \"unix:/run/c.sock\", \"srv:_http._tcp.d.example\"]\n";
    let settings = Given::default().toml(&format!("{file}[limit]\nconcurrency = 3\n")).good().settings;
    assert_eq!(settings.upstream.to_string(), "a:8080, b:8080, unix:/run/c.sock, srv:_http._tcp.d.example");
    let settings = Given::default().arguments("a,b:81", "3").good().settings;
    assert_eq!(settings.upstream.targets().len(), 2);
    assert_eq!(settings.upstream.to_string(), "a:8000, b:81");
}

#[test]
fn the_breaker_and_the_balance() {
    let file = "[breaker]\nenabled = true\nstatuses = [500, 429]\nfailure_rate = \"off\"\n[balance]\nmax_per_endpoint = 8\n\
        [balance.health]\npath = \"/up?x=1\"\n[dns]\nserver = \"10.0.0.2:53\"\n[timeouts]\ntotal = \"1m\"\n";
    let settings = Given::app().toml(file).set("breaker.statuses=500,429").good().settings;
    assert_eq!(
        (settings.breaker.statuses.as_slice(), settings.breaker.failure_rate),
        (&[500, 429][..], None)
    );
    assert_eq!(settings.balance.max_per_endpoint.map(|most| most.get()), Some(8));
    assert_eq!(settings.balance.health.path.as_deref(), Some("/up?x=1"));
    assert_eq!(settings.dns.server, Some("10.0.0.2:53".parse().unwrap()));
    assert_eq!(settings.timeouts.total, Some(Duration::from_secs(60)));
    let nothing = ["breaker.enabled=true", "breaker.consecutive_failures=0", "breaker.failure_rate=off"];
    let warned = nothing.into_iter().fold(Given::app(), Given::set).good().warnings;
    assert_eq!(warned, ["breaker.enabled has no effect: nothing can trip it"]);
}

#[test]
fn a_port_alone_opens_no_closed_address() {
    let listen = |given: Given| given.good().settings.listen;
    let file = "listen = [\"127.0.0.1:8000\", \"[::1]:8000\"]\n";
    let both = ["127.0.0.1:9000".parse().unwrap(), "[::1]:9000".parse().unwrap()];
    assert_eq!(listen(Given::app().toml(file).env("PORT", "9000")), both);
    assert_eq!(listen(Given::app().toml("listen = 9000.0\n")), ["0.0.0.0:9000".parse().unwrap()]);
    assert_eq!(listen(Given::app().set("listen=127.0.0.1:9000,[::1]:9000")), both);
    assert_eq!(listen(Given::app().set("listen=127.0.0.1:0")), ["127.0.0.1:0".parse().unwrap()]);
}

#[test]
fn templating_engines_may_render_whole_numbers_as_floats() {
    let file = "max_connections = 1e3\n[limit]\nconcurrency = 3.0\n[queue]\ntimeout = 700.0\n";
    let settings = Given::default().toml(&format!("upstream = \"app:80\"\n{file}")).good().settings;
    assert_eq!((settings.max_connections, settings.limit.ceiling().get()), (1000, 3));
    assert_eq!(settings.queue.timeout, Some(Duration::from_millis(700)));
}

#[test]
fn json_has_the_same_shape() {
    let toml = "listen = [\"127.0.0.1:1\"]\nupstream = \"app:80\"\n[limit]\nconcurrency = 3\n[queue]\ndiscipline = \"lifo\"\n\
        [response]\nretry_after = 7\n[http]\nhttp2 = false\n[trust]\nproxies = [\"10.0.0.0/8\"]\n";
    let json = r#"{"listen": ["127.0.0.1:1"], "upstream": "app:80", "limit": {"concurrency": 3}, "queue": {"discipline": "lifo"},
        "response": {"retry_after": 7}, "http": {"http2": false}, "trust": {"proxies": ["10.0.0.0/8"]}}"#;
    let toml = Given::default().toml(toml).good().settings;
    assert_eq!(Given::default().file("x.json", json).good().settings, toml);
    assert_eq!(
        (toml.queue.discipline, toml.response.retry_after),
        (Discipline::Lifo, RetryAfter::Seconds(7))
    );
}

#[test]
fn the_transcripts_mistakes() {
    let file = "# example\n\nupstream = \"app:8080\"\n\n# the limit\n[limit]\n  concurency = 3\n\n[queue]\n\n timeout = \"5 sec\"\n";
    let expected = "\
loadline.toml:7:3: unknown key `concurency` in [limit]; did you mean `concurrency`?
loadline.toml:11:12: queue.timeout: \"5 sec\" is not a duration (try \"5s\", \"500ms\", 5000)
error: limit.concurrency is missing
  in a file:         [limit] and below it concurrency = 3
  or as a variable:  LOADLINE_LIMIT_CONCURRENCY=3
3 errors";
    assert_eq!(Given::default().toml(file).errors(), expected);
}

#[test]
fn what_is_missing_is_asked_for() {
    let mut upstream_only = Given::default();
    upstream_only.sources.upstream = Some("app:8080".to_owned());
    assert_eq!(
        upstream_only.errors(),
        "error: the concurrency argument is missing\n  loadline app:8080 <concurrency>     for example: loadline app:8080 3"
    );
    assert_eq!(
        Given::default().toml("").errors(),
        "error: the upstream is missing\n  in loadline.toml:  upstream = \"app:8080\"\n  or as an argument:  loadline app:8080 3"
    );
    let partial = Given::default().set("admin.listen=:9001");
    assert!(load_partial(&partial.sources).is_ok());
}

/// What is set by `--set`, and the sentence that refuses it.
const WRONG_VALUES: &[(&str, &str)] = &[
    ("listen=abc", "\"abc\" is not an address to listen on (try \"0.0.0.0:8000\", \"[::]:8000\", 8000)"),
    ("listen=0", "0 is not a port from 1 to 65535"),
    ("listen=-1", "\"-1\" is not an address to listen on (try \"0.0.0.0:8000\", \"[::]:8000\", 8000)"),
    ("listen=1,2", "\"1\" needs an address beside others (try \"0.0.0.0:1\")"),
    ("listen=:1,:1", "\":1\" is given twice"),
    ("max_connections=abc", "\"abc\" is not a whole number from 1 to 1000000"),
    ("max_connections=0", "0 is not a whole number from 1 to 1000000"),
    ("max_connections=1.5", "\"1.5\" is not a whole number from 1 to 1000000"),
    ("workers=-1", "-1 is not a whole number from 0 to 1024"),
    ("limit.concurrency=abc", "\"abc\" is not \"auto\" or a whole number from 1 to 1000000 (for example: 3)"),
    ("limit.concurrency=0", "0 is not \"auto\" or a whole number from 1 to 1000000 (for example: 3)"),
    ("limit.concurrency=-1", "-1 is not \"auto\" or a whole number from 1 to 1000000 (for example: 3)"),
    (
        "limit.concurrency=unlimited",
        "\"unlimited\" is not \"auto\" or a whole number from 1 to 1000000 (for example: 3)",
    ),
    ("limit.release=Body", "\"Body\" is not body or headers; did you mean `body`?"),
    ("limit.on_abort=", "\"\" is not finish or cancel"),
    ("http.max_header_count=257", "257 is not a whole number from 1 to 256"),
    ("limit.abandon_timeout=0", "0 is out of range: 1ms to 1d"),
    ("queue.timeout=5 sec", "\"5 sec\" is not a duration (try \"5s\", \"500ms\", 5000)"),
    ("queue.timeout=-1", "-1 is not a duration (try \"5s\", \"500ms\", 5000)"),
    ("queue.timeout=2d", "\"2d\" is out of range: 0s to 1d"),
    ("queue.depth=-1", "-1 is not a whole number from 0 to 1000000"),
    ("queue.discipline=random", "\"random\" is not adaptive, fifo, lifo or codel"),
    (
        "bypass.path=healthcheck",
        "\"healthcheck\" is not an exact path: it begins with / and holds no space, ? or # (several: separate with commas)",
    ),
    (
        "bypass.path=-m beg /h",
        "\"-m beg /h\" is not an exact path: it begins with / and holds no space, ? or # (several: separate with commas)",
    ),
    ("bypass.path=/a,/a", "\"/a\" is given twice"),
    ("bypass.concurrency=0", "0 is not a whole number from 1 to 10000"),
    ("priority.default=bypass", "\"bypass\" is not critical, high, normal or low"),
    ("priority.default=hihg", "\"hihg\" is not critical, high, normal or low; did you mean `high`?"),
    ("priority.header=x class", "\"x class\" is not the name of a header or \"none\""),
    ("priority.aging=0", "0 is out of range: 1ms to 1d or \"none\""),
    ("priority.reserve=-1", "-1 is not \"auto\" or a whole number from 0 to 1000000"),
    ("priority.shed_at.low=60", "60 is not a share from 0.01 to 1.0 in steps of 0.01 (try 0.95) or \"off\""),
    (
        "deadline.headers=x-respond-by,x-request-deadlin",
        "\"x-request-deadlin\" is not a known deadline header; did you mean `x-request-deadline`?",
    ),
    ("deadline.headers=x-respond-by,X-Respond-By", "\"X-Respond-By\" is given twice"),
    ("deadline.zone=UTC", "\"UTC\" is not local or utc; did you mean `utc`?"),
    ("deadline.skew=2m", "\"2m\" is out of range: 0s to 1m"),
    ("deadline.max=0", "0 is out of range: 1ms to 1d"),
    ("deadline.default_budget=2h", "2h is more than deadline.max (1h)"),
    ("timeouts.connect=0", "0 is out of range: 1ms to 1d"),
    ("buffer.request=64kb", "\"64kb\" is not a size (try \"64KiB\", \"1MB\", 65536)"),
    ("buffer.request=1GiB", "\"1GiB\" is out of range: 0B to 64MiB"),
    ("http.http2=yes", "\"yes\" is not true or false"),
    ("response.status=500", "500 is not 503 or 429"),
    ("response.deadline_status=503", "503 is not 504 or 419"),
    ("response.retry_after=0", "0 is not \"auto\" or a whole number of seconds from 1 to 86400"),
    ("response.format=json", "\"json\" is not problem+json, html or text"),
    ("admin.listen=8001", "8001 is not an address with port (such as \"127.0.0.1:8001\") or \"off\""),
    ("admin.token=short", "the value is not at least 8 visible ASCII characters"),
    (
        "log.access=jsno",
        "\"jsno\" is not off, json, logfmt, clf, httplog, spillway or a HAProxy log-format string; did you mean `json`?",
    ),
    ("log.facility=local8", "\"local8\" is not a syslog facility (such as \"local0\")"),
    ("log.syslog_format=rfc1", "\"rfc1\" is not raw, local, rfc3164, rfc5424, priority, short, timed or iso"),
    ("log.tag=two words", "\"two words\" is not 1 to 255 visible ASCII characters"),
    ("log.max_len=1", "1 is not a whole number from 80 to 65000"),
    (
        "trust.proxies=10.0.0.1/8",
        "\"10.0.0.1/8\" has bits set beyond its prefix; did you mean \"10.0.0.0/8\"?",
    ),
    (
        "trust.proxies=everyone",
        "\"everyone\" is not a network (try \"10.0.0.0/8\", \"fd00::/8\", \"192.0.2.1\")",
    ),
    ("buffer.total=1KiB", "1KiB is less than buffer.request and buffer.response of a single request"),
    (
        "http.max_target_bytes=1MiB",
        "1MiB is more than http.max_header_bytes (32KiB), which includes the target",
    ),
    ("admin.listen=127.0.0.1:8000", "127.0.0.1:8000 is taken by listen"),
    ("limit.algorithm=bbr", "\"bbr\" is not auto, aimd, vegas or gradient2"),
];

#[test]
fn the_bounds_of_a_limit_that_is_found_are_in_order() {
    let auto = || Given::default().arguments("app:8080", "auto");
    let errors = auto().set("limit.min=20").set("limit.max=10").errors();
    assert!(errors.contains("limit.min: 20 is more than limit.max (10)"), "{errors}");
    // A start beyond the bounds begins at the bound.
    assert_eq!(auto().set("limit.max=5").good().settings.limit.ceiling().get(), 5);
}

#[test]
fn every_wrong_value_is_refused_by_name() {
    for (set, sentence) in WRONG_VALUES {
        let (key, _) = set.split_once('=').unwrap();
        let mut given = Given::default().set(set);
        given.sources.upstream = Some("app:8080".to_owned());
        if key != "limit.concurrency" {
            given.sources.concurrency = Some("3".to_owned());
        }
        assert_eq!(given.errors(), format!("error: --set {key}: {sentence}"), "{set}");
    }
}

#[test]
fn every_wrong_log_format_and_target_says_where() {
    for (set, start) in [
        ("log.access=%ST %zz", "error: --set log.access: at character 5: `"),
        ("log.access=%{+Q", "error: --set log.access: at character 1: `"),
        ("log.address=ring@x", "error: --set log.address: at character "),
        ("log.address=", "error: --set log.address: at character 1: `"),
    ] {
        let errors = Given::app().set(set).errors();
        assert!(errors.starts_with(start), "{set}: {errors}");
    }
}

#[test]
fn wrong_arguments_are_called_arguments() {
    for (upstream, concurrency, expected) in [
        (
            "app:8080",
            "abc",
            "error: the concurrency argument: \"abc\" is not \"auto\" or a whole number from 1 to 1000000 (for example: 3)",
        ),
        (
            "app:8080",
            "0",
            "error: the concurrency argument: 0 is not \"auto\" or a whole number from 1 to 1000000 (for example: 3)",
        ),
        (
            "app:8080",
            "-1",
            "error: the concurrency argument: -1 is not \"auto\" or a whole number from 1 to 1000000 (for example: 3)",
        ),
        (
            "https://app",
            "3",
            "error: the upstream argument: \"https://app\" is refused: TLS to the upstream is not available yet; use http://",
        ),
        (
            "::1",
            "3",
            "error: the upstream argument: \"::1\" needs brackets around the IPv6 address (try \"[::1]:8080\")",
        ),
        (
            "127.0.0.1:8000",
            "3",
            "error: the upstream argument: 127.0.0.1:8000 is where loadline itself listens; requests would go round in circles",
        ),
    ] {
        assert_eq!(Given::default().arguments(upstream, concurrency).errors(), expected);
    }
}

#[test]
fn wrong_variables_are_called_by_their_names() {
    let errors = Given::app()
        .env("QUEUE_TIMEOUT", "5 sec")
        .env("LOADLINE_MAX_CONNECTIONS", "many")
        .env("HEALTHCHECK_PATH", "/h\nbind :9")
        .errors();
    let expected = "\
error: LOADLINE_MAX_CONNECTIONS: \"many\" is not a whole number from 1 to 1000000
error: QUEUE_TIMEOUT: \"5 sec\" is not a duration (try \"5s\", \"500ms\", 5000)
error: HEALTHCHECK_PATH: the value holds a control character ('\\n' at position 3)
3 errors";
    assert_eq!(errors, expected);
}

#[test]
fn a_control_character_is_refused_in_every_variable() {
    for key in KEYS.iter() {
        for name in key.spillway.map(str::to_owned).into_iter().chain([key.variable()]) {
            let errors = Given::default().arguments("app:8080", "3").env(&name, "a\nb").errors();
            assert_eq!(
                errors,
                format!("error: {name}: the value holds a control character ('\\n' at position 2)")
            );
        }
    }
}

#[test]
fn mistakes_in_a_file_have_places() {
    for (file, expected) in [
        ("limt = 3", "1:1: unknown key `limt`; did you mean `limit`?"),
        ("[limitt]\nconcurrency = 3", "1:2: unknown table `limitt`; did you mean `limit`?"),
        ("limit = 3", "1:1: `limit` is a table: write [limit] and its keys below"),
        (
            "[queue]\nconcurrency = 3",
            "2:1: unknown key `concurrency` in [queue]; did you mean `limit.concurrency`?",
        ),
        (
            "[queue.timeout]\na = 1",
            "1:8: queue.timeout: a table is not a duration (try \"5s\", \"500ms\", 5000)",
        ),
        ("listen = []", "1:10: listen: an empty list would accept no clients"),
        (
            "[limit]\nconcurrency = \"3\"",
            "2:15: limit.concurrency: \"3\" is not \"auto\" or a whole number from 1 to 1000000 (for example: 3)",
        ),
        (
            "[limit]\nconcurrency = 2026-01-01",
            "2:15: limit.concurrency: a date is not \"auto\" or a whole number from 1 to 1000000 (for example: 3)",
        ),
        (
            "max_connections = 99999999999999999999999999999999999999999",
            "1:19: max_connections: 100000000000000000000000000000000000000000 is not a whole number from 1 to 1000000",
        ),
        ("upstream = []", "1:12: upstream: an empty list sends requests nowhere (try \"app:8080\")"),
        ("upstream = [\"a:1\", \"http://a:1\"]", "1:12: upstream: \"a:1\" is given twice"),
        (
            "upstream = [\"a:1\", \"srv:10.0.0.1\"]",
            "1:12: upstream: \"srv:10.0.0.1\" is not a service's name (try \"srv:_http._tcp.app.example\")",
        ),
        (
            "[breaker]\nstatuses = [500, 200]",
            "2:12: breaker.statuses: a list is not a list of status codes from 400 to 599",
        ),
        (
            "[breaker]\nopen = \"5m\"\nmax_open = \"4m\"",
            "3:12: breaker.max_open: 4m is less than breaker.open (5m)",
        ),
        ("é = 1\n\"ü\" = 2", "1:1"),
    ] {
        let errors = Given::app().toml(file).errors();
        assert!(errors.starts_with(&format!("loadline.toml:{expected}")), "{file:?}\n{errors}");
    }
}

#[test]
fn broken_files_say_where() {
    let toml = Given::app().toml("upstream = app\n").errors();
    assert!(toml.starts_with("loadline.toml:1:12: "), "{toml}");
    assert_eq!(Given::app().file("x.json", "{\"a\": }").errors(), "x.json:1:7: expected value");
    assert_eq!(
        Given::app().file("x.json", "{\"max_connections\": 1,\n\"max_connections\": 2}").errors(),
        "x.json:2:1: key `max_connections` is given twice"
    );
    let broken = Given::default().toml("upstream").errors();
    assert!(!broken.contains("missing"), "what a broken file holds is not missing: {broken}");
    let mut gone = Given::default();
    gone.sources.file = Some("no/such.toml".into());
    let errors = load(&gone.sources).unwrap_err().to_string();
    assert!(errors.starts_with("error: cannot read no/such.toml: "), "{errors}");
}

#[test]
fn wrong_flags_are_explained() {
    assert_eq!(
        Given::app().set("queue").errors(),
        "error: --set queue: expected key=value (try --set queue.timeout=2s)"
    );
    assert_eq!(
        Given::app().set("queue.timout=2s").errors(),
        "error: --set queue.timout=2s: unknown key `queue.timout`; did you mean `queue.timeout`?"
    );
    assert_eq!(
        Given::app().set("discipline=fifo").errors(),
        "error: --set discipline=fifo: unknown key `discipline`; did you mean `queue.discipline`?"
    );
}

#[test]
fn unknown_variables_of_ours_are_warned_about() {
    let loaded = Given::app()
        .env("LOADLINE_QUEUE_TIMOUT", "1s")
        .env("LOADLINE_SERVICE_PORT_HTTP", "8000")
        .env("LOADLINE_PORT_8000_TCP", "tcp://10.0.0.1:8000")
        .env("SOMETHING", "else")
        .good();
    assert_eq!(
        loaded.warnings,
        ["unknown variable LOADLINE_QUEUE_TIMOUT is ignored; did you mean `LOADLINE_QUEUE_TIMEOUT`?"]
    );
}

#[test]
fn what_is_doubtful_is_warned_about() {
    let warnings = |given: Given| given.good().warnings;
    let wait = Given::app().env("QUEUE_TIMEOUT", "0").good();
    assert_eq!(wait.settings.queue.timeout, None);
    assert_eq!(
        wait.warnings,
        ["queue.timeout is 0: requests wait for ever (to reject at once, set queue.depth = 0)"]
    );
    assert_eq!(warnings(Given::app().set("queue.timeout=0").set("queue.depth=0")), Vec::<String>::new());
    assert_eq!(warnings(Given::app().set("admin.listen=:8001")).len(), 1);
    assert_eq!(warnings(Given::app().set("admin.listen=:8001").set("admin.token=0123456789")).len(), 0);
    assert_eq!(warnings(Given::app().set("max_connections=2")).len(), 1);
    assert_eq!(
        warnings(Given::app().set("queue.timeout=1m")),
        [
            "queue.timeout (1m) is more than timeouts.drain (30s): who still waits when a shutdown ends is rejected"
        ]
    );
    for fine in ["timeouts.drain=1m", "timeouts.drain=0", "queue.depth=0"] {
        assert_eq!(warnings(Given::app().set("queue.timeout=1m").set(fine)).len(), 0, "{fine}");
    }
}

#[test]
fn what_needs_a_restart_is_named() {
    let old = Given::app().good().settings;
    let new = Given::app()
        .set("listen=9000")
        .set("admin.listen=off")
        .set("queue.timeout=1s")
        .set("workers=7")
        .good()
        .settings;
    assert_eq!(needs_restart(&old, &new), ["listen", "workers", "admin.listen"]);
    assert_eq!(needs_restart(&old, &old), Vec::<&str>::new());
}

#[test]
fn the_printed_defaults_are_the_defaults() {
    let text = render::defaults();
    assert_eq!(
        Given::default().arguments("app:8080", "3").toml(&text).good().settings,
        Given::app().good().settings
    );
    // Every commented-out setting is one, too: uncommented, the file still holds (the token's example is empty on purpose).
    let all = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if rest.contains(" = ") && !rest.starts_with("token") => rest,
        _ => line,
    });
    let all: Vec<_> = all.collect();
    let loaded = Given::default().toml(&all.join("\n")).good();
    assert_eq!(loaded.origins.count(), KEYS.len() - 1);
}

#[test]
fn the_effective_configuration_is_a_configuration() {
    let loaded = Given::app()
        .set("log.address=syslog:514")
        .set("trust.proxies=10.0.0.0/8,::1")
        .set("queue.timeout=0")
        .good();
    let text = render::effective(&loaded);
    assert!(
        text.contains("limit.concurrency = 3") && text.contains("# argument") && text.contains("# --set"),
        "{text}"
    );
    assert_eq!(Given::default().toml(&text).good().settings, loaded.settings);
    let secret = render::effective(&Given::app().set("admin.token=correct-horse").good());
    assert!(!secret.contains("horse") && secret.contains("admin.token = \"(hidden)\""), "{secret}");
}

#[test]
fn the_schema_knows_every_setting_and_nothing_else() {
    let schema: serde_json::Value = serde_json::from_str(&render::schema()).unwrap();
    let mut names = Vec::new();
    names_below("", &schema, &mut names);
    names.sort();
    let mut keys: Vec<_> = KEYS.iter().map(|key| key.name.to_owned()).collect();
    keys.sort();
    assert_eq!(names, keys);
}

/// The dotted names of all properties that are no tables.
fn names_below(prefix: &str, table: &serde_json::Value, names: &mut Vec<String>) {
    assert_eq!(table["additionalProperties"], false, "{prefix}");
    for (name, property) in table["properties"].as_object().unwrap() {
        match property["properties"] {
            serde_json::Value::Null => names.push(format!("{prefix}{name}")),
            _ => names_below(&format!("{prefix}{name}."), property, names),
        }
    }
}

/// So that a line of `config --effective` can be pasted after `--set`, and a list be emptied there.
#[test]
fn a_list_may_be_written_as_in_a_file_wherever_it_is_given() {
    let mut lists = 0;
    for key in KEYS.iter() {
        let literal = key.literal(&Settings::default());
        if literal.starts_with('[') {
            lists += 1;
            let settings = Given::app().set(&format!("{}={literal}", key.name)).good().settings;
            assert_eq!(key.literal(&settings), literal, "{}", key.name);
        }
    }
    assert!(lists > 4, "{lists}");
    let file = "trust.proxies = \"10.0.0.0/8\"\n";
    let networks = |value: &str| {
        let given = Given::app().toml(file).env("LOADLINE_TRUST_PROXIES", value).good();
        table::find("trust.proxies").unwrap().literal(&given.settings)
    };
    assert_eq!(networks(r#"["192.0.2.1/32", "fd00::/8"]"#), r#"["192.0.2.1/32", "fd00::/8"]"#);
    assert_eq!(networks("[]"), "[]");
    let wrong = Given::app().set("bypass.path=[1]").errors();
    assert!(wrong.contains("is not a path or a list of paths"), "{wrong}");
}

#[test]
fn the_schema_accepts_the_defaults_and_refuses_mistakes() {
    for key in KEYS.iter() {
        let literal = key.literal(&Settings::default());
        if !literal.is_empty() {
            let value = serde_json::from_str(&literal).unwrap();
            assert!(accepts(&key.schema(), &value), "{}: {literal}", key.name);
        }
        assert!(!accepts(&key.schema(), &serde_json::json!({})), "{}", key.name);
        assert!(!accepts(&key.schema(), &serde_json::Value::Null), "{}", key.name);
    }
    for (name, value) in [
        ("max_connections", "0"),
        ("queue.depth", "-1"),
        ("response.status", "500"),
        ("limit.release", "\"x\""),
    ] {
        let value = serde_json::from_str(value).unwrap();
        assert!(!accepts(&table::find(name).unwrap().schema(), &value), "{name}");
    }
}

/// The few words of JSON Schema that our schema uses, patterns aside.
fn accepts(schema: &serde_json::Value, value: &serde_json::Value) -> bool {
    let is_type = |name: &str| match name {
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        other => panic!("the schema uses a type this test does not know: {other}"),
    };
    let number = |word: &str| schema[word].as_f64();
    schema["type"].as_str().is_none_or(is_type)
        && schema["anyOf"].as_array().is_none_or(|forms| forms.iter().any(|form| accepts(form, value)))
        && schema["enum"].as_array().is_none_or(|values| values.contains(value))
        && schema.get("const").is_none_or(|constant| constant == value)
        && number("minimum").is_none_or(|minimum| value.as_f64().is_some_and(|number| number >= minimum))
        && number("maximum").is_none_or(|maximum| value.as_f64().is_some_and(|number| number <= maximum))
        && schema
            .get("items")
            .is_none_or(|items| value.as_array().is_some_and(|all| all.iter().all(|one| accepts(items, one))))
}

#[test]
fn configuration_md_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let expected = render::markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).unwrap();
        std::fs::write(path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/configuration.md is stale; regenerate it: UPDATE_DOCS=1 cargo test -p loadline configuration_md"
    );
}

/// Text that looks like a configuration often enough to get far.
fn tomlish() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "listen",
        "upstream",
        "[limit]\nconcurrency",
        "[queue]\ntimeout",
        "depth",
        "[bypass]\npath",
        "é",
    ]);
    let value = prop_oneof![
        "[0-9]{1,25}",
        "-?[0-9]{1,3}\\.[0-9]{1,2}",
        "\"[a-z0-9:/\\[\\]%,@. ]{0,12}\"",
        "\\[(\"[a-z/0-9.:]{0,9}\",? ?){0,3}\\]",
        "\\PC{0,8}",
    ];
    prop::collection::vec((key, value), 0..5)
        .prop_map(|lines| lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect())
}

proptest! {
    #[test]
    fn no_file_panics(text in tomlish()) {
        let _ = Given::app().toml(&text).load();
        let _ = Given::default().file("x.json", &text).load();
    }

    #[test]
    fn no_variable_panics(index in 0..KEYS.len(), value in "\\PC{0,20}|[0-9a-zA-Z:/.%@,-]{0,20}") {
        let _ = Given::app().env(&KEYS[index].variable(), &value).load();
    }

    /// What is accepted and printed is accepted again and means the same.
    #[test]
    fn accepted_values_round_trip(index in 0..KEYS.len(), value in "[0-9]{1,6}(ms|s|m|KiB|B)?|/[a-z]{0,3}|:[0-9]{1,4}") {
        let key = &KEYS[index];
        let mut first = Settings::default();
        if key.name != "admin.token" && key.set(&mut first, &value::Raw::Untyped(value)).is_ok() {
            let nodes = document::parse_toml(&format!("x = {}", key.literal(&first))).unwrap();
            let document::Item::Value(raw) = &nodes[0].item else { panic!("a value") };
            let mut second = Settings::default();
            prop_assert_eq!(key.set(&mut second, raw), Ok(()));
            prop_assert_eq!(first, second);
        }
    }
}

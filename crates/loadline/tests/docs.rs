//! The documents: their commands run, their configurations are valid, their links lead somewhere.
//!
//! In a ```` ```console ```` block, a line that starts with `$ ` is a command and what follows is what it prints. Commands of this binary that end by
//! themselves are run and must print exactly that; any other must stand in [`NOT_RUN`] with the reason. Blocks of
//! ```` ```toml ```` are configuration files. `<!-- test: name -->` before a block hands it to the test of that name below.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use loadline_core::Reason;
use loadline_http::rejection::{Failure, StatusCodes, describe};

const BINARY: &str = env!("CARGO_BIN_EXE_loadline");

/// Bound on every wait: generous, for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Subcommands that end by themselves and need nobody else.
const SAFE: [&str; 5] = ["check", "config", "completions", "version", "sim"];

/// Beginnings of commands that are not run here, and why.
const NOT_RUN: [(&str, &str); 27] = [
    ("loadline top", "runs until it is stopped; `.ci/top.sh` runs it in a terminal"),
    ("cargo run --release", "runs until it is stopped; `.ci/real-tools.sh` starts the same binary"),
    ("cargo test", "is what runs this test; `.ci/run` takes it from the README"),
    ("cargo fmt", "a step of `.ci/run`"),
    ("cargo clippy", "a step of `.ci/run`"),
    ("cargo doc", "a step of `.ci/run`"),
    ("cargo deny", "a step of `.ci/run`"),
    ("cargo xtask bench", "takes minutes, and needs HAProxy and nginx"),
    ("cargo bench", "takes minutes"),
    ("cargo install", "needs a registry"),
    ("cargo +nightly fuzz", "needs a nightly compiler"),
    ("rustup", "needs a network"),
    (".ci/", "needs root and installs packages"),
    ("curl ", "the answers are checked by tests; `.ci/real-tools.sh` runs the real one"),
    ("wrk ", "needs wrk; `.ci/real-tools.sh` runs it"),
    (
        "loadline demo",
        "takes half a minute or runs until it is stopped; `tests/demo.rs` and `.ci/demo.sh` run all of them",
    ),
    ("scripts/demo_breaker.sh", "takes half a minute; `.ci/demo.sh` runs it"),
    ("mkdir -p fuzz/", "prepares fuzzing, which needs a nightly compiler"),
    ("loadline app:8080 3", "runs until it is stopped; started with other addresses by `rejection`"),
    ("loadline run ", "runs until it is stopped; its arguments are run with `check` instead"),
    ("loadline status", "needs a running loadline; the end-to-end tests ask one"),
    ("loadline explain ", "needs a running loadline; the end-to-end tests ask one"),
    ("kubectl ", "needs a cluster; `.ci/manifests.sh` renders and validates what is applied"),
    ("helm ", "needs a cluster; `.ci/manifests.sh` renders the chart"),
    ("kind ", "needs a container engine and images from a registry"),
    ("docker ", "needs a container engine and images from a registry"),
    ("terraform ", "needs a cluster and providers from a registry"),
];

/// One fenced block.
struct Block {
    /// File and line, for messages.
    place: String,
    language: String,
    /// The name in `<!-- test: name -->` just before it.
    test: Option<String>,
    text: String,
}

#[test]
fn commands_do_what_the_documents_say() {
    let mut run = 0;
    for block in blocks().into_iter().filter(|block| ["console", "sh"].contains(&block.language.as_str())) {
        if block.test.is_some() {
            continue;
        }
        for (command, expected) in commands(&block) {
            let command = command.replace("target/release/loadline", "loadline");
            if command.starts_with("loadline load ") {
                check_load(&block.place, &command);
                run += 1;
                continue;
            }
            if let Some(arguments) = safe(&command) {
                check_output(&block.place, &command, &expected, &arguments);
                run += 1;
                continue;
            }
            let (_, words) = split_environment(&command);
            assert!(
                NOT_RUN.iter().any(|(beginning, _)| words.join(" ").starts_with(beginning.trim_end())),
                "{}: `{command}` is neither run by a test nor listed with a reason",
                block.place
            );
            if words.starts_with(&["loadline".into(), "run".into()]) {
                let mut words = words;
                words[1] = "check".into();
                let output = loadline(&command, &words);
                assert!(output.status.success(), "{}: {command}: {}", block.place, both(&output));
            }
        }
    }
    assert!(run >= 3, "the documents have commands that are run: {run}");
}

#[test]
fn configurations_are_valid() {
    let mut seen = 0;
    for block in blocks().into_iter().filter(|block| block.language == "toml" && block.test.is_none()) {
        seen += 1;
        let path = scratch(&format!("example-{seen}.toml"));
        std::fs::write(&path, &block.text).unwrap();
        let output = Command::new(BINARY).env_clear().arg("check").arg("-c").arg(&path).output().unwrap();
        assert!(output.status.success(), "{}: {}", block.place, both(&output));
    }
    assert!(seen > 0, "the documents have examples");
}

#[test]
fn links_lead_somewhere() {
    for (path, text) in documents() {
        let from = path.parent().unwrap();
        for link in links(&text) {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains(':') {
                assert!(from.join(target).exists(), "{}: {link}", path.display());
            }
        }
    }
}

#[test]
fn scenario() {
    let scenario = loadline_load::Scenario::parse(&named("scenario").text).unwrap();
    assert_eq!(scenario.plan().unwrap().stages.len(), 5);
    assert_eq!(scenario.expect.len(), 2);
}

/// The scenario in docs/simulator.md runs, and comes out as it expects.
#[test]
fn simulation() {
    let path = scratch("scenario.toml");
    std::fs::write(&path, named("simulation").text).unwrap();
    let output = Command::new(BINARY).env_clear().arg("sim").arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", both(&output));
    let said = both(&output);
    assert!(said.contains("\nmine ") && said.contains("1 of 1 expectations hold"), "{said}");
}

/// The replay in docs/simulator.md, of a log with twenty requests.
#[test]
fn replay() {
    let log: String = (10..30)
        .map(|second| {
            format!(
                "{{\"ts\":\"2026-01-02T03:04:{second}.000Z\",\"queue_ms\":0,\"response_ms\":40,\"decision\":\"admitted\",\
                 \"priority\":\"normal\",\"inflight\":1,\"limit\":3}}\n"
            )
        })
        .collect();
    std::fs::create_dir_all(scratch("replay")).unwrap();
    std::fs::write(scratch("replay/access.json"), log).unwrap();
    let command = named("replay").text;
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    let output =
        Command::new(BINARY).env_clear().current_dir(scratch("replay")).args(words).output().unwrap();
    let said = both(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("log: 20 requests, shed 0.0 %") && said.contains("limit.concurrency=12"), "{said}");
}

/// The rejection in the README is what a client gets, but for the seconds in it.
#[test]
fn rejection() {
    let proxy = Running::start(&["--set", "limit.concurrency=1", "--set", "queue.timeout=100ms"]);
    let occupied = proxy.send("/60");
    proxy.wait_until_in_flight();
    let answer = proxy.ask("/");
    drop(occupied);
    let shown = named("rejection").text;
    let shown = shown.split_once('\n').unwrap().1;
    assert_eq!(without_seconds(&answer.replace("\r\n", "\n")), without_seconds(shown.trim_end()));
}

/// The values in the README's banner are those of a start without arguments.
#[test]
fn banner() {
    let shown = named("banner").text;
    let output =
        Command::new(BINARY).env_clear().args(["config", "--effective", "app:8080", "3"]).output().unwrap();
    let effective = String::from_utf8(output.stdout).unwrap();
    let holds = |key: &str, value: &str| {
        let line = effective.lines().find(|line| line.starts_with(&format!("{key} = ")));
        line.is_some_and(|line| line.contains(&format!("= {value} ")))
    };
    assert!(shown.contains("http://0.0.0.0:8000 ->") && holds("listen", "\"0.0.0.0:8000\""), "{effective}");
    assert!(
        shown.contains("admin     http://127.0.0.1:8001/") && holds("admin.listen", "\"127.0.0.1:8001\"")
    );
    assert!(shown.contains("upstream 30s, client 30s") && holds("timeouts.upstream", "\"30s\""));
    assert!(shown.contains("2000 deep") && holds("queue.depth", "2000"));
    assert!(shown.contains("bypass    /healthcheck") && holds("bypass.path", "[\"/healthcheck\"]"));

    // What differs before the demo app is told by the demo itself.
    let proxy = Running::start(&[]);
    let setting = |key: &str| proxy.started.iter().find(|line| line.contains(&format!("\"{key}\""))).unwrap();
    assert!(shown.contains("4 in flight") && setting("limit.concurrency").contains("\"value\":4"));
    assert!(shown.contains("up to 500ms") && setting("queue.timeout").contains("\"value\":\"500ms\""));
    assert!(proxy.ask("/").starts_with("HTTP/1.1 200 OK"));
}

/// The explanations in docs/explain.md are those of a proxy in the state that is told there.
#[test]
fn explanations() {
    let rules = named("explain-rules").text;
    let proxy = Running::start(&["--set", "limit.concurrency=1", "--set", rules.trim_end()]);
    let occupied = proxy.send("/60");
    proxy.wait_until_in_flight();
    for (command, expected) in commands(&named("explain")) {
        let words = shell_words(command.strip_prefix("loadline ").expect("a command of ours"));
        let mut child = Command::new(BINARY);
        let output = child.env_clear().args(&words).args(["--admin", &proxy.admin]).output().unwrap();
        assert_eq!(both(&output), expected, "{command}");
    }
    drop(occupied);
}

/// In the tables of docs/life-of-a-request.md: status and reason of a log line belong together, and the client sees that status.
#[test]
fn statuses_and_reasons_belong_together() {
    let path = root().join("docs/life-of-a-request.md");
    let text = std::fs::read_to_string(path).unwrap();
    let failures = [
        Failure::BadRequest,
        Failure::RequestTimeout,
        Failure::HeaderTooLarge,
        Failure::UpstreamRefused,
        Failure::ProxyExhausted,
        Failure::UpstreamUnresolved,
        Failure::UpstreamConnectTimeout,
        Failure::UpstreamTimeout,
        Failure::UpstreamClosed,
        Failure::UpstreamInvalid,
    ];
    let shed = Reason::ALL.map(|reason| describe(reason, &StatusCodes::default()));
    let known: Vec<_> = shed.into_iter().chain(failures.map(Failure::describe)).collect();
    let mut told: Vec<&str> = Vec::new();
    for row in text.lines().filter(|line| line.starts_with("| ") && line.contains('`')) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let Some(line) = cells.get(2).and_then(|cell| cell.strip_prefix('`')) else { continue };
        let words: Vec<&str> = line.trim_end_matches(" |").trim_end_matches('`').split(' ').collect();
        let (status, reason) = (words[1], words[5]);
        if reason != "-" {
            let description = known.iter().find(|known| known.reason == reason);
            let description = description.unwrap_or_else(|| panic!("no such reason: {row}"));
            assert_eq!(description.status.to_string(), status, "{row}");
            assert!(cells[1].starts_with(status), "{row}");
            told.push(reason);
        }
    }
    for failure in failures {
        assert!(told.contains(&failure.as_str()), "{failure:?} is in the document");
    }
}

/// Crates depend on each other only as ARCHITECTURE.md draws it, and the pure ones on no runtime.
#[test]
fn dependencies_point_one_way() {
    let allowed: [(&str, &[&str]); 9] = [
        ("loadline-core", &[]),
        ("loadline-http", &["loadline-core"]),
        ("loadline-h1", &[]),
        ("loadline-tower", &["loadline-core", "loadline-http"]),
        ("loadline-demo", &["loadline-core", "loadline-http"]),
        ("loadline-plot", &[]),
        ("loadline-load", &["loadline-core", "loadline-h1", "loadline-http", "loadline-plot"]),
        ("loadline-sim", &["loadline-core"]),
        (
            "loadline",
            &[
                "loadline-core",
                "loadline-demo",
                "loadline-h1",
                "loadline-http",
                "loadline-load",
                "loadline-sim",
                "loadline-tower",
            ],
        ),
    ];
    for (name, expected) in allowed {
        let manifest = root().join("crates").join(name).join("Cargo.toml");
        let manifest: toml::Table = std::fs::read_to_string(manifest).unwrap().parse().unwrap();
        let all: Vec<&str> =
            manifest["dependencies"].as_table().unwrap().keys().map(String::as_str).collect();
        let ours: Vec<&str> = all.iter().copied().filter(|name| name.starts_with("loadline")).collect();
        assert_eq!(ours, expected, "{name}");
        if ["loadline-core", "loadline-http", "loadline-h1"].contains(&name) {
            assert!(
                !all.iter().any(|name| name.starts_with("tokio") || name.starts_with("hyper")),
                "{name}: {all:?}"
            );
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Every document of the project, with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let root = root();
    let mut paths: Vec<_> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "fuzz/README.md"]
            .into_iter()
            .map(|name| root.join(name))
            .collect();
    for entry in std::fs::read_dir(root.join("docs")).unwrap() {
        paths.push(entry.unwrap().path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

fn blocks() -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (path, text) in documents() {
        let (mut open, mut test) = (false, None);
        for (index, line) in text.lines().enumerate() {
            if open {
                open = line != "```";
                if let Some(block) = blocks.last_mut().filter(|_| open) {
                    block.text += &format!("{line}\n");
                }
            } else if let Some(language) = line.strip_prefix("```") {
                open = true;
                let place = format!("{}:{}", path.display(), index + 1);
                blocks.push(Block {
                    place,
                    language: language.into(),
                    test: test.take(),
                    text: String::new(),
                });
            } else {
                let name = line.strip_prefix("<!-- test: ").and_then(|rest| rest.strip_suffix(" -->"));
                test = name.map(str::to_owned);
            }
        }
        assert!(!open, "{}: a block is not closed", path.display());
    }
    blocks
}

fn named(test: &str) -> Block {
    let found = blocks().into_iter().find(|block| block.test.as_deref() == Some(test));
    found.unwrap_or_else(|| panic!("a block for the test `{test}`"))
}

/// Commands of a block, each with what follows it. In `sh` blocks every line is a command.
fn commands(block: &Block) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in block.text.lines() {
        match (line.strip_prefix("$ "), block.language.as_str(), commands.last_mut()) {
            (Some(command), ..) => commands.push((command.into(), String::new())),
            (None, "sh", _) => commands.push((line.into(), String::new())),
            (None, _, Some((_, output))) => *output += &format!("{line}\n"),
            (None, _, None) => panic!("{}: `{line}` stands before any command", block.place),
        }
    }
    commands
}

/// Words between blanks, quoted ones as they are.
fn shell_words(text: &str) -> Vec<String> {
    let split = |(index, part): (usize, &str)| match index % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    };
    text.split('\'').enumerate().flat_map(split).collect::<Vec<_>>()
}

/// Targets of `[text](target)`.
fn links(text: &str) -> Vec<String> {
    text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

/// `A=1 loadline check` to the variables and the words.
fn split_environment(command: &str) -> (Vec<(String, String)>, Vec<String>) {
    let (mut environment, mut words) = (Vec::new(), Vec::new());
    for word in command.split(' ') {
        match word.split_once('=') {
            Some((name, value)) if words.is_empty() => environment.push((name.into(), value.into())),
            _ => words.push(word.to_owned()),
        }
    }
    (environment, words)
}

/// The words of a command of ours that ends by itself.
fn safe(command: &str) -> Option<Vec<String>> {
    let (_, words) = split_environment(command);
    let ours = words.len() > 1 && words[0] == "loadline" && SAFE.contains(&words[1].as_str());
    ours.then_some(words)
}

/// Runs `words` in a directory that has the documents' configuration files, with the variables of `command`.
fn loadline(command: &str, words: &[String]) -> Output {
    let directory = scratch("documents");
    std::fs::create_dir_all(&directory).unwrap();
    for name in ["loadline.toml", "next.toml"] {
        let beginning = format!("# {name}\n");
        if let Some(file) = blocks().into_iter().find(|block| block.text.starts_with(&beginning)) {
            std::fs::write(directory.join(name), file.text).unwrap();
        }
    }
    let (environment, _) = split_environment(command);
    // What a shell would redirect is not an argument.
    let arguments = words[1..].iter().take_while(|word| *word != ">");
    Command::new(BINARY)
        .env_clear()
        .envs(environment)
        .current_dir(directory)
        .args(arguments)
        .output()
        .unwrap()
}

/// Runs a load against a demo app, a hundred times shorter than the document says. What it measures is not the point.
fn check_load(place: &str, command: &str) {
    let app = loadline_demo::start().unwrap();
    let quick = |text: &str| {
        let mut quick = text.replace("127.0.0.1:8000", &app.addr().to_string());
        let units = [
            ("s@", "0ms@"),
            ("s+", "0ms+"),
            ("duration 10s", "duration 100ms"),
            ("duration 30s", "duration 300ms"),
        ];
        for (long, short) in units {
            quick = quick.replace(long, short);
        }
        quick
    };
    let directory = scratch("documents");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("overload.toml"), quick(&named("scenario").text)).unwrap();
    let (_, words) = split_environment(&quick(command));
    let output = loadline(command, &unquoted(&words));
    // Expectations need not hold here, and a busy machine may send too late: but every word must be understood.
    let said = both(&output);
    assert!(matches!(output.status.code(), Some(0 | 1 | 99)), "{place}: {command}: {said}");
    assert!(said.contains("offered"), "{place}: {command}: {said}");
}

/// Words in single quotation marks are one, as for a shell.
fn unquoted(words: &[String]) -> Vec<String> {
    let line = words.join(" ");
    let mut result = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        match index % 2 {
            0 => result.extend(part.split(' ').filter(|word| !word.is_empty()).map(str::to_owned)),
            _ => result.push(part.to_owned()),
        }
    }
    result
}

fn check_output(place: &str, command: &str, expected: &str, words: &[String]) {
    let output = loadline(command, words);
    let said = both(&output);
    let wrong = expected.contains("error:");
    assert_eq!(output.status.success(), !wrong, "{place}: {command}: {said}");
    if !expected.is_empty() {
        assert_eq!(said.trim_end(), expected.trim_end(), "{place}: {command}");
    }
}

fn both(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Every number after `retry`, and the length that depends on it, replaced.
fn without_seconds(answer: &str) -> String {
    let lines = answer.lines().map(|line| {
        // Whatever stands before them has digits that count, such as the status.
        let varies = line.find("retry").or_else(|| line.find("content-length")).unwrap_or(line.len());
        let (same, varying) = line.split_at(varies);
        format!("{same}{}", varying.replace(|c: char| c.is_ascii_digit(), ""))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A proxy before the demo app, on free ports; killed when dropped.
struct Running {
    child: Child,
    /// What it said when it started, as JSON lines.
    started: Vec<String>,
    listen: String,
    admin: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(BINARY)
            .env_clear()
            .args(["--set", "listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut started = Vec::new();
        while !started.last().is_some_and(|line: &String| line.contains("\"msg\":\"ready\"")) {
            started.push(lines.next().expect("the proxy starts").unwrap());
        }
        let field = |name: &str| {
            let line: serde_json::Value = serde_json::from_str(&started[0]).unwrap();
            line[name].as_str().unwrap().to_owned()
        };
        let (listen, admin) = (field("listen"), field("admin"));
        Self { child, started, listen, admin }
    }

    fn send(&self, path: &str) -> TcpStream {
        send(&self.listen, path)
    }

    /// The whole answer to a GET.
    fn ask(&self, path: &str) -> String {
        read(self.send(path))
    }

    fn wait_until_in_flight(&self) {
        let begin = Instant::now();
        while !read(send(&self.admin, "/api/v1/status")).contains("\"in_flight\": 1") {
            assert!(begin.elapsed() < PATIENCE, "the request gets its slot");
            std::thread::yield_now();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a GET.
fn send(address: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    stream
}

/// Reads one response: its head, and as much as `content-length` says.
fn read(stream: TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut answer).unwrap() > 0, "the answer has a head: {answer}");
    }
    let length = answer.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    answer + &String::from_utf8_lossy(&body)
}

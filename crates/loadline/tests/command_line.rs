//! The binary as users type it: texts on the right stream, exit codes, the name `spillway`.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

const BINARY: &str = env!("CARGO_BIN_EXE_loadline");

/// Commands that the program has; each must be in the help, and have an example in its own.
const COMMANDS: [&str; 14] = [
    "run",
    "check",
    "config",
    "demo",
    "explain",
    "load",
    "sim",
    "status",
    "reload",
    "drain",
    "healthcheck",
    "completions",
    "top",
    "version",
];

fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.env_clear().output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn loadline(args: &[&str]) -> (i32, String, String) {
    run(Command::new(BINARY).args(args))
}

fn spillway(args: &[&str]) -> (i32, String, String) {
    run(Command::new(BINARY).arg0("/usr/local/bin/spillway").args(args))
}

/// A configuration file for one test.
fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn help_fits_a_screen_and_every_command_has_an_example() {
    let (code, help, _) = loadline(&["--help"]);
    assert_eq!(code, 0);
    assert!(help.lines().count() <= 40, "{} lines", help.lines().count());
    for command in COMMANDS {
        assert!(help.lines().any(|line| line.starts_with(&format!("  {command} "))), "{command} is listed");
        let (code, own, _) = loadline(&[command, "--help"]);
        assert!(code == 0 && own.contains("Example: "), "{command} --help has an example");
    }
}

#[test]
fn check_says_ok() {
    assert_eq!(
        loadline(&["check", "app:8080", "3"]),
        (0, "ok   config            2 keys, 0 warnings\n".into(), String::new())
    );
    let warned = loadline(&["check", "app:8080", "3", "--set", "queue.timeout=0"]);
    let expected = "ok   config            3 keys, 1 warning\n\
        warn queue.timeout is 0: requests wait for ever (to reject at once, set queue.depth = 0)\n";
    assert_eq!(warned, (0, expected.into(), String::new()));
}

#[test]
fn check_names_every_mistake_and_exits_2() {
    let path = file(
        "mistakes.toml",
        "upstream = \"app:8080\"\n[limit]\nconcurency = 3\nconcurrency = 3\n[queue]\ntimeout = \"5 sec\"\n",
    );
    let path = path.to_str().unwrap();
    let expected = format!(
        "{path}:3:1: unknown key `concurency` in [limit]; did you mean `concurrency`?\n\
         {path}:6:11: queue.timeout: \"5 sec\" is not a duration (try \"5s\", \"500ms\", 5000)\n2 errors\n"
    );
    assert_eq!(loadline(&["check", "-c", path]), (2, String::new(), expected));
}

#[test]
fn every_wrong_setting_of_spillway_exits_2_and_is_named() {
    for (args, name) in [
        (["app:8080", "abc"], "the concurrency argument"),
        (["app:8080", "0"], "the concurrency argument"),
        (["app:8080", "-1"], "the concurrency argument"),
        (["", "3"], "the upstream argument"),
    ] {
        for (code, out, err) in [loadline(&args), loadline(&["run", args[0], args[1]]), spillway(&args)] {
            assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
            assert!(err.starts_with(&format!("error: {name}: ")), "{args:?}: {err}");
        }
    }
    for (variable, value) in [
        ("MAX_CONNECTIONS", "abc"),
        ("QUEUE_TIMEOUT", "5 sec"),
        ("SERVER_TIMEOUT", "-1"),
        ("PORT", "0"),
        ("HEALTHCHECK_PATH", "/h\nbind :9"),
        ("LOG_ADDRESS", "stdout\nx"),
        ("LOG_FORMAT", "%zz"),
    ] {
        let mut command = Command::new(BINARY);
        let environment = [("LOG_ADDRESS", "stdout"), (variable, value)];
        let output = command.env_clear().envs(environment).args(["app:8080", "3"]).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{variable}: {err}");
        assert!(err.starts_with(&format!("error: {variable}: ")), "{err}");
    }
}

#[test]
fn a_missing_limit_is_asked_for() {
    let expected = "error: the concurrency argument is missing\n  \
        loadline app:8080 <concurrency>     for example: loadline app:8080 3\n";
    assert_eq!(loadline(&["app:8080"]), (2, String::new(), expected.into()));
    for (args, meant) in [
        (&["chek"][..], "loadline check"),
        (&["help"], "loadline --help"),
        (&["check", "loadline.toml"], "loadline check -c loadline.toml"),
        (&["loadline.toml"], "loadline -c loadline.toml"),
    ] {
        let (code, _, err) = loadline(args);
        assert_eq!(code, 2, "{args:?}");
        assert!(err.ends_with(&format!("\n  or did you mean:  {meant}\n")), "{err}");
    }
}

#[test]
fn three_words_are_one_too_many() {
    let (code, _, err) = loadline(&["app:8080", "3", "4"]);
    assert_eq!((code, err.lines().next()), (2, Some("error: unexpected argument '4' found")));
}

#[test]
fn under_the_name_spillway_there_are_two_arguments() {
    let usage = "\n  spillway <server> <concurrency>     for example: spillway app:8080 3\n";
    for (args, what) in [
        (&[][..], "the server argument is missing"),
        (&["app:8080"], "the concurrency argument is missing"),
        (&["app:8080", "3", "-v"], "there are more than two arguments"),
    ] {
        assert_eq!(spillway(args), (2, String::new(), format!("error: {what}{usage}")));
    }
}

#[test]
fn unknown_flags_are_usage_errors() {
    let (code, out, err) = loadline(&["app:8080", "3", "--sett", "a=1"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("--sett"), "{err}");
    assert_eq!(loadline(&["config"]).0, 2);
    assert_eq!(loadline(&["app:8080", "3", "4"]).0, 2);
}

#[test]
fn printed_configurations_are_configurations() {
    let (code, defaults, _) = loadline(&["config", "--defaults"]);
    assert_eq!(code, 0);
    let path = file("defaults.toml", &defaults);
    assert_eq!(loadline(&["check", "app:8080", "3", "-c", path.to_str().unwrap()]).0, 0);

    let (code, effective, _) = loadline(&["config", "--effective", "app:8080", "3"]);
    assert_eq!(code, 0);
    let limit = effective.lines().find(|line| line.starts_with("limit.concurrency = 3 "));
    assert!(limit.is_some_and(|limit| limit.ends_with(" # argument")), "{effective}");
    let path = file("effective.toml", &effective);
    assert_eq!(loadline(&["check", "-c", path.to_str().unwrap()]).0, 0);

    let (code, schema, _) = loadline(&["config", "--schema"]);
    assert_eq!(code, 0);
    serde_json::from_str::<serde_json::Value>(&schema).unwrap();
}

#[test]
fn an_online_check_connects_to_every_place() {
    let there = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there_at = there.local_addr().unwrap();
    let (code, out, _) = loadline(&["check", "--online", &there_at.to_string(), "3"]);
    assert_eq!(code, 0);
    assert!(out.contains(&format!("{there_at}\n  {there_at}  connected in ")), "{out}");

    // Bound and not listening, so that it is nobody else's.
    let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    silent.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let gone = silent.local_addr().unwrap().as_socket().unwrap();
    let (code, out, _) =
        loadline(&["check", "--online", &format!("{there_at},{gone},unix:/nobody/here"), "3"]);
    assert_eq!(code, 1, "each has to be reachable: {out}");
    assert!(out.contains(&format!("{gone}\n  {gone}  refused: nobody listens there\n")), "{out}");
    assert!(out.contains("unix:/nobody/here\n  unix:/nobody/here  there is no such socket\n"), "{out}");

    // A server that is not there answers at once that it is not.
    let server = "dns.server=127.0.0.1:9";
    let (code, out, _) =
        loadline(&["check", "--online", "app.example:80,srv:_http._tcp.app.example", "3", "--set", server]);
    assert_eq!(code, 1);
    let unresolved = "  cannot be resolved: name server 127.0.0.1:9: ";
    assert_eq!(out.matches(unresolved).count(), 2, "{out}");
}

#[test]
fn a_scenario_that_is_there_and_cannot_be_read_is_not_called_missing() {
    let directory = std::env::temp_dir().display().to_string();
    for (command, file, why) in [
        (&["sim"][..], directory.as_str(), "it is a directory; name a file in it"),
        (&["load", "--scenario"], directory.as_str(), "it is a directory; name a file in it"),
        (&["sim"], "/dev/zero", "it is larger than 1 MiB, the most that is read"),
        (&["sim"], "nothing", "there is no file and no scenario `nothing` (loadline sim --list)"),
    ] {
        let (code, out, err) = loadline(&[command, &[file]].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{command:?} {file}");
        assert!(err.starts_with("error: ") && err.trim_end().ends_with(why), "{err}");
    }
}

#[test]
fn version_names_the_target() {
    let (code, out, _) = loadline(&["version"]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with(&format!("loadline {} (", env!("CARGO_PKG_VERSION")))
            && out.contains(std::env::consts::ARCH),
        "{out}"
    );
}

#[test]
fn completions_are_scripts() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = loadline(&["completions", shell]);
        assert!(code == 0 && out.contains("healthcheck"), "{shell}");
    }
}

#[test]
fn clients_fail_clearly_when_nothing_runs() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for command in ["status", "reload", "drain", "healthcheck"] {
        let (code, out, err) = loadline(&[command, "--admin", &free]);
        assert_eq!((code, out.as_str()), (1, ""), "{command}");
        assert!(
            err.starts_with(&format!("error: http://{free}/")) && err.contains("is loadline running?"),
            "{err}"
        );
    }
    let (code, _, err) = loadline(&["status", "--set", "admin.listen=off"]);
    assert_eq!((code, err.starts_with("error: admin.listen is off")), (2, true), "{err}");
}

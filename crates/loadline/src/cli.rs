//! The command line: what may be written, and which part of the program answers.
//!
//! `loadline app:8080 3` is short for `loadline run app:8080 3`. Under the name `spillway` the program takes exactly Spillway's two
//! arguments and runs, so that an image or a unit file can be switched without changing its command.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 usage or configuration, 99 an
//! expectation of `load` or `sim` did not hold.

mod client;
mod demo;
mod drain;
mod explain;
mod interrupt;
mod load;
mod output;
mod sim;
mod top;

use std::ffi::OsString;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::config::{self, Loaded, Sources, render, units};
use crate::run;
use crate::upstream::survey;

/// Exit code of wrong usage and wrong configuration.
const USAGE: u8 = 2;

/// Exit code when something did not come out as expected, as k6 has it.
const EXPECTATION: u8 = 99;

/// Answers one command line. `args` begins with the program's name.
pub fn main(args: Vec<OsString>, environment: Vec<(OsString, OsString)>) -> ExitCode {
    if is_spillway(&args) {
        return spillway(&args, environment);
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(mut error) => {
            // A third word can only be a subcommand to clap, which then complains of the two before it.
            if let (ErrorKind::ArgumentConflict, Some(ContextValue::String(word))) =
                (error.kind(), error.get(ContextKind::InvalidSubcommand))
                && !is_subcommand(word)
            {
                let word = ContextValue::String(word.clone());
                error = clap::Error::new(ErrorKind::UnknownArgument).with_cmd(&Cli::command());
                error.insert(ContextKind::InvalidArg, word);
            }
            // Help goes to stdout; a reader that closed the pipe has seen enough of it.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match cli.command {
        None => start(cli.run.sources(environment)),
        Some(Command::Run(run)) => start(run.sources(environment)),
        Some(Command::Check(args)) => check(args, environment),
        Some(Command::Config(args)) => show_config(args, environment),
        Some(Command::Explain(args)) => args.answer(environment),
        Some(Command::Demo(args)) => demo::demo(*args, environment),
        Some(Command::Load(args)) => load::load(*args),
        Some(Command::Status(args)) => args.answer(environment, |admin| admin.get("/api/v1/status")),
        Some(Command::Top(args)) => args.answer_with(environment, top::top),
        Some(Command::Reload(args)) => args.answer(environment, |admin| admin.post("/-/reload")),
        Some(Command::Drain(args)) => args.answer(environment),
        Some(Command::Healthcheck(args)) => args.answer(environment),
        Some(Command::Sim(args)) => args.answer(),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "loadline", &mut script);
            say(&String::from_utf8_lossy(&script))
        }
        Some(Command::Version) => say(&format!("loadline {}\n", version())),
    }
}

/// Whether there is such a command, or such a one of a command: `demo breaker`.
fn is_subcommand(word: &str) -> bool {
    let cli = Cli::command();
    cli.find_subcommand(word).is_some()
        || cli.get_subcommands().any(|command| command.find_subcommand(word).is_some())
}

fn check(args: CheckArgs, environment: Vec<(OsString, OsString)>) -> ExitCode {
    with_config("loadline check", &args.run.sources(environment), |loaded| {
        let said = say(&check_report(&loaded));
        if !args.online || loaded.settings.upstream.is_demo() {
            return said;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return ExitCode::FAILURE };
        let (report, reached) = runtime.block_on(survey(&loaded.settings));
        let said = say(&report);
        if reached { said } else { ExitCode::FAILURE }
    })
}

/// `0.1.0 (static, x86_64-unknown-linux-musl)`.
fn version() -> String {
    let linkage = if cfg!(target_feature = "crt-static") { "static" } else { "dynamic" };
    let vendor = if cfg!(target_vendor = "apple") { "apple" } else { "unknown" };
    let libc = if cfg!(target_env = "musl") {
        "-musl"
    } else if cfg!(target_env = "gnu") {
        "-gnu"
    } else {
        ""
    };
    let (arch, system) = (std::env::consts::ARCH, std::env::consts::OS);
    format!("{} ({linkage}, {arch}-{vendor}-{system}{libc})", env!("CARGO_PKG_VERSION"))
}

/// What people begin with; each command's own help has an example of it, and all of them would not fit a screen.
const EXAMPLES: &str = "\
Examples:
  loadline                                   try it: the proxy before an embedded demo app
  loadline demo                              an overload without and with it, side by side, in half a minute
  loadline app:8080 3                        at most 3 requests at once, the rest wait
  loadline run -c loadline.toml --set queue.timeout=2s
  loadline check -c loadline.toml            name every mistake
  loadline load http://127.0.0.1:8000/ --rate 500/s --duration 30s
  loadline explain /api/orders               what would become of such a request, and why";

#[derive(Parser)]
#[command(
    name = "loadline",
    version,
    about = "A load-shedding HTTP reverse proxy: admits what can be answered in time, rejects the rest at once.",
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    override_usage = "loadline [run] [UPSTREAM CONCURRENCY] [-c FILE] [--set KEY=VALUE]...\n       loadline <COMMAND>"
)]
struct Cli {
    #[command(flatten)]
    run: RunArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy (the default)
    #[command(after_help = "Example: loadline run app:8080 3 --set queue.timeout=2s")]
    Run(RunArgs),
    /// Test a configuration without running it
    #[command(after_help = "Example: loadline check -c loadline.toml")]
    Check(CheckArgs),
    /// Print the default or effective configuration, or its JSON Schema
    #[command(after_help = "Example: QUEUE_TIMEOUT=700 loadline config --effective app:8080 3")]
    Config(ConfigArgs),
    /// Show one overload without and with loadline, side by side, and other shows; or serve a demo app
    #[command(after_help = "Example: loadline demo --quick")]
    Demo(Box<demo::DemoArgs>),
    /// Send requests at given rates, whatever becomes of them, and report what became of them
    #[command(
        after_help = "Example: loadline load http://127.0.0.1:8000/ --stage 10s@100 --stage 5s@1000 --stage 15s@100"
    )]
    Load(Box<load::LoadArgs>),
    /// Print what a running loadline does now, as JSON
    #[command(after_help = "Example: loadline status --admin 127.0.0.1:8001")]
    Status(ClientArgs),
    /// Watch what a running loadline does, in the terminal; q quits
    #[command(after_help = "Example: loadline top --admin 127.0.0.1:8001")]
    Top(ClientArgs),
    /// Say what a running loadline would do with a request now, and which rule decides
    #[command(
        after_help = "Example: loadline explain /api/orders --header 'authorization: x' --deadline 500ms"
    )]
    Explain(explain::ExplainArgs),
    /// Make a running loadline read its configuration again
    #[command(after_help = "Example: loadline reload")]
    Reload(ClientArgs),
    /// Make a running loadline close connections after their answer and report itself not ready; it keeps running
    #[command(after_help = "Example: loadline drain --wait 20s")]
    Drain(DrainArgs),
    /// Ask a URL and exit 0 if it answers 2xx, for probes in images without a shell
    #[command(after_help = "Example: loadline healthcheck http://127.0.0.1:8000/healthcheck")]
    Healthcheck(HealthArgs),
    /// Simulate a service, its clients and who protects it, in virtual time
    #[command(
        after_help = "Example: loadline sim double --policy auto,haproxy --set clients.web.rate=3x --html double.html"
    )]
    Sim(sim::SimArgs),
    /// Print a completion script
    #[command(after_help = "Example: loadline completions bash > /etc/bash_completion.d/loadline")]
    Completions {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
    /// Print version and target
    #[command(after_help = "Example: loadline version")]
    Version,
}

#[derive(Args)]
struct FileArgs {
    /// Configuration file (TOML, or JSON if it ends in .json)
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one value, for example listen=9000; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl FileArgs {
    fn sources(self, environment: Vec<(OsString, OsString)>) -> Sources {
        Sources { file: self.config, set: self.set, environment, ..Sources::default() }
    }
}

#[derive(Args)]
struct RunArgs {
    /// The application: host:port, http://host:port, unix:/path, srv:name; several separated by commas
    upstream: Option<String>,
    /// Requests the application is asked for at once
    #[arg(allow_negative_numbers = true)]
    concurrency: Option<String>,
    #[command(flatten)]
    file: FileArgs,
}

impl RunArgs {
    fn sources(self, environment: Vec<(OsString, OsString)>) -> Sources {
        Sources { upstream: self.upstream, concurrency: self.concurrency, ..self.file.sources(environment) }
    }
}

#[derive(Args)]
struct CheckArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Also resolve the upstream's names and connect to each of their addresses; nothing is sent
    #[arg(long)]
    online: bool,
}

#[derive(Args)]
struct ConfigArgs {
    #[command(flatten)]
    what: ConfigView,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct ConfigView {
    /// A commented file with every default
    #[arg(long)]
    defaults: bool,
    /// Every value that holds, and where it came from
    #[arg(long)]
    effective: bool,
    /// A JSON Schema of the file
    #[arg(long)]
    schema: bool,
}

#[derive(Args)]
struct ClientArgs {
    /// Admin address of the running loadline; by default as configured
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    admin: Option<SocketAddr>,
    #[command(flatten)]
    file: FileArgs,
}

impl ClientArgs {
    /// Asks the admin listener and prints its answer.
    fn answer(
        self,
        environment: Vec<(OsString, OsString)>,
        ask: impl FnOnce(&client::Admin) -> Result<String, client::ClientError>,
    ) -> ExitCode {
        self.answer_with(environment, |admin| match ask(&admin) {
            Ok(body) => say(&format!("{}\n", body.trim_end())),
            Err(error) => failed(&error),
        })
    }

    /// Hands the admin listener to a command with an answer of its own.
    fn answer_with(
        self,
        environment: Vec<(OsString, OsString)>,
        command: impl FnOnce(client::Admin) -> ExitCode,
    ) -> ExitCode {
        match find_admin(self.admin, &self.file.sources(environment)) {
            Ok(admin) => command(admin),
            Err(code) => code,
        }
    }
}

#[derive(Args)]
struct DrainArgs {
    /// Wait until no request has come for 5 s and none is in service, but no longer than this
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout)]
    wait: Option<Duration>,
    #[command(flatten)]
    client: ClientArgs,
}

impl DrainArgs {
    fn answer(self, environment: Vec<(OsString, OsString)>) -> ExitCode {
        match find_admin(self.client.admin, &self.client.file.sources(environment)) {
            Ok(admin) => drain::drain(&admin, self.wait),
            Err(code) => code,
        }
    }
}

#[derive(Args)]
struct HealthArgs {
    /// What to ask; by default /healthz on the admin address
    url: Option<String>,
    /// Longest time until the answer
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_timeout)]
    timeout: Duration,
    #[command(flatten)]
    client: ClientArgs,
}

impl HealthArgs {
    fn answer(self, environment: Vec<(OsString, OsString)>) -> ExitCode {
        let url = match self.url {
            Some(url) => url,
            None => match find_admin(self.client.admin, &self.client.file.sources(environment)) {
                Ok(admin) => admin.url("/healthz"),
                Err(code) => return code,
            },
        };
        match client::healthcheck(&url, self.timeout) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        }
    }
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let duration = units::parse_duration(text).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "not a duration above 0 (try 5s, 500ms)".to_owned())
}

/// An address and a port. Of names there is one that means the same on every machine.
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let here = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let here = here.map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    here.or_else(|| text.parse().ok())
        .ok_or_else(|| "not an address with a port (try 127.0.0.1:8001)".to_owned())
}

/// The admin address: as given, else as this configuration has it.
fn find_admin(given: Option<SocketAddr>, sources: &Sources) -> Result<client::Admin, ExitCode> {
    let loaded = config::load_partial(sources).map_err(|errors| {
        eprintln!("{errors}");
        ExitCode::from(USAGE)
    })?;
    let admin = loaded.settings.admin;
    let Some(address) = given.or(admin.listen) else {
        eprintln!("error: admin.listen is off, so that there is nothing to ask (or give --admin ADDRESS)");
        return Err(ExitCode::from(USAGE));
    };
    Ok(client::Admin::new(address, admin.token))
}

/// Writes a result to stdout. A reader that has seen enough and closed the pipe is no failure.
fn say(text: &str) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write the result: {error}");
            ExitCode::FAILURE
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

fn failed(error: &client::ClientError) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

fn start(sources: Sources) -> ExitCode {
    with_config("loadline", &sources.clone(), |loaded| run::run(sources, loaded))
}

fn with_config(command: &str, sources: &Sources, then: impl FnOnce(Loaded) -> ExitCode) -> ExitCode {
    match config::load(sources) {
        Ok(loaded) => then(loaded),
        Err(errors) => {
            eprintln!("{errors}{}", command_hint(command, sources).unwrap_or_default());
            ExitCode::from(USAGE)
        }
    }
}

/// `loadline chek` and `loadline check loadline.toml` read as an upstream without a limit; say what was probably meant.
fn command_hint(command: &str, sources: &Sources) -> Option<String> {
    let (Some(upstream), None) = (&sources.upstream, &sources.concurrency) else { return None };
    if upstream == "help" {
        return Some("\n  or did you mean:  loadline --help".to_owned());
    }
    if upstream.ends_with(".toml") || Path::new(upstream).is_file() {
        return Some(format!("\n  or did you mean:  {command} -c {upstream}"));
    }
    let cli = Cli::command();
    let command = config::closest(upstream, cli.get_subcommands().map(clap::Command::get_name))?;
    Some(format!("\n  or did you mean:  loadline {command}"))
}

fn check_report(loaded: &Loaded) -> String {
    let warnings = &loaded.warnings;
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let keys = loaded.origins.count();
    let mut report = format!(
        "ok   config            {keys} key{}, {} warning{}\n",
        plural(keys),
        warnings.len(),
        plural(warnings.len())
    );
    for warning in warnings {
        report += &format!("warn {warning}\n");
    }
    report
}

fn show_config(args: ConfigArgs, environment: Vec<(OsString, OsString)>) -> ExitCode {
    if args.what.effective {
        let sources = args.run.sources(environment);
        return with_config("loadline config --effective", &sources, |loaded| {
            say(&render::effective(&loaded))
        });
    }
    say(&if args.what.defaults { render::defaults() } else { render::schema() })
}

fn is_spillway(args: &[OsString]) -> bool {
    args.first().is_some_and(|name| Path::new(name).file_name().is_some_and(|name| name == "spillway"))
}

/// Spillway's command: an upstream and a limit, nothing else.
fn spillway(args: &[OsString], environment: Vec<(OsString, OsString)>) -> ExitCode {
    let mut texts = args.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    let (upstream, concurrency, more) = (texts.next(), texts.next(), texts.next());
    let missing = match (&upstream, &concurrency, more) {
        (None, ..) => "the server argument is missing",
        (_, None, _) => "the concurrency argument is missing",
        (.., Some(_)) => "there are more than two arguments",
        (Some(_), Some(_), None) => {
            return start(Sources { upstream, concurrency, environment, ..Sources::default() });
        }
    };
    eprintln!("error: {missing}\n  spillway <server> <concurrency>     for example: spillway app:8080 3");
    ExitCode::from(USAGE)
}

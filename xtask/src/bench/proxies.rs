//! The proxies under test and their configurations.
//!
//! Fair means: one worker, keep-alive on both sides, no access log, timeouts on, a limit of [`LIMIT`] requests in flight that
//! the load does not reach except in `reject`. Each refuses there the way its manual offers; HAProxy has two ways, an
//! immediate rule (`haproxy`) and its server queue with a short timeout (`haproxy-queue`). nginx and HAProxy get the
//! cheapest answer they can give. Configurations are written to a scratch directory; `--show-configs` prints them.

use std::ffi::OsString;
use std::fmt::{Display, Write as _};
use std::fs;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use super::Result;
use super::process::{Child, Launch};

/// Requests in flight that each proxy admits.
pub(super) const LIMIT: usize = 256;

/// Connections that each proxy accepts: the idle ones of the memory scenario and some more.
const MAX_CONNECTIONS: usize = 10_500;

/// How long a proxy may take to answer its first request. Under valgrind it takes seconds.
const START_LIMIT: Duration = Duration::from_secs(30);

/// What a row of the tables is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Proxy {
    /// No proxy: the origin itself.
    Direct,
    /// HAProxy, refusing by a rule.
    Haproxy,
    /// HAProxy, refusing by `maxconn` and `timeout queue`; in `reject` alone.
    HaproxyQueue,
    /// nginx, refusing by `limit_conn`.
    Nginx,
    /// loadline with admission, metrics and timeouts on.
    Loadline,
}

impl Proxy {
    /// Its name in tables and on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Haproxy => "haproxy",
            Self::HaproxyQueue => "haproxy-queue",
            Self::Nginx => "nginx",
            Self::Loadline => "loadline",
        }
    }
}

/// Which loadline to try, on the command line.
#[derive(clap::Args)]
pub(super) struct Which {
    /// The loadline to try; built with the profile `dist` when not given.
    #[arg(long, value_name = "PATH")]
    loadline: Option<PathBuf>,
    /// A setting for loadline, on top of those of the benchmark.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

impl Which {
    /// It need not be there.
    pub(super) fn named(&self) -> Loadline {
        Loadline::named(self.loadline.as_deref(), &self.settings)
    }

    /// It is there, and is built now if none was given.
    pub(super) fn find_or_build(&self) -> Result<Loadline> {
        Loadline::find_or_build(self.loadline.as_deref(), &self.settings)
    }
}

/// The loadline under test.
#[derive(Clone)]
pub(super) struct Loadline {
    /// The program.
    pub(super) program: PathBuf,
    /// `key=value` settings added to those of the benchmark.
    pub(super) settings: Vec<String>,
}

impl Loadline {
    /// The given program, or the one that `cargo build --profile dist` makes. It need not be there.
    pub(super) fn named(program: Option<&Path>, settings: &[String]) -> Self {
        let program = program.map_or_else(|| target_directory().join("dist/loadline"), Path::to_owned);
        Self { program, settings: settings.to_vec() }
    }

    /// Likewise, and ready to start: without a given program, it is built now.
    pub(super) fn find_or_build(program: Option<&Path>, settings: &[String]) -> Result<Self> {
        if program.is_none() {
            build()?;
        }
        let loadline = Self::named(program, settings);
        if !loadline.program.is_file() {
            return Err(format!("{} is not there", loadline.program.display()).into());
        }
        Ok(loadline)
    }
}

/// How to start one proxy in front of an origin: nothing runs yet.
pub(super) struct Setup {
    /// Where it will listen.
    pub(super) address: SocketAddr,
    /// Where loadline's admin address will be; other proxies have none there.
    pub(super) admin: SocketAddr,
    /// The command.
    pub(super) launch: Launch,
    /// The configuration file that the command names, if any.
    config: Option<(PathBuf, String)>,
}

impl Setup {
    /// For the proxy benchmark. `None` for [`Proxy::Direct`].
    pub(super) fn new(
        proxy: Proxy,
        origin: SocketAddr,
        directory: &Path,
        loadline: Option<&Loadline>,
    ) -> Result<Option<Self>> {
        let address = free_address()?;
        let setup = match proxy {
            Proxy::Direct => return Ok(None),
            Proxy::Haproxy => {
                Self::haproxy(proxy.name(), address, directory, &haproxy(address, origin, true))
            }
            Proxy::HaproxyQueue => {
                Self::haproxy(proxy.name(), address, directory, &haproxy(address, origin, false))
            }
            Proxy::Nginx => {
                let path = directory.join("nginx.conf");
                let line = ["nginx", "-p", &directory.to_string_lossy(), "-c", &path.to_string_lossy()]
                    .map(OsString::from);
                let config = nginx(address, origin, directory);
                Self {
                    address,
                    admin: address,
                    launch: launch(proxy.name(), line),
                    config: Some((path, config)),
                }
            }
            Proxy::Loadline => {
                let loadline = loadline.ok_or("no loadline to start")?;
                let settings = ["workers=1".to_owned(), "queue.depth=0".to_owned()];
                Self::loadline(loadline, address, origin, LIMIT, &settings, Some(MAX_CONNECTIONS))?
            }
        };
        Ok(Some(setup))
    }

    /// loadline as a user starts it: upstream, limit, and addresses that do not collide.
    pub(super) fn plain_loadline(loadline: &Loadline, origin: SocketAddr, limit: usize) -> Result<Self> {
        Self::loadline(loadline, free_address()?, origin, limit, &[], None)
    }

    /// loadline that looks for the limit itself, and was told how many workers there are.
    pub(super) fn auto_loadline(loadline: &Loadline, origin: SocketAddr, workers: usize) -> Result<Self> {
        let hint = [format!("limit.start={workers}")];
        Self::loadline(loadline, free_address()?, origin, "auto", &hint, None)
    }

    /// Envoy with adaptive concurrency.
    pub(super) fn envoy(program: &Path, origin: SocketAddr, directory: &Path) -> Result<Self> {
        let address = free_address()?;
        let path = directory.join("envoy.yaml");
        let arguments =
            ["-c", &path.to_string_lossy(), "--concurrency", "1", "--disable-hot-restart", "-l", "error"];
        let line: Vec<OsString> =
            std::iter::once(program.into()).chain(arguments.map(OsString::from)).collect();
        let config = super::envoy::config(address, origin);
        Ok(Self { address, admin: address, launch: launch("envoy", line), config: Some((path, config)) })
    }

    /// HAProxy exactly as Spillway generates it, but for the listening address.
    pub(super) fn spillway(origin: SocketAddr, limit: usize, directory: &Path) -> Result<Self> {
        let address = free_address()?;
        Ok(Self::haproxy("spillway", address, directory, &spillway(address, origin, limit)))
    }

    /// The command and the configuration, to be read.
    pub(super) fn shown(&self) -> String {
        let mut text = format!("$ {}\n", self.launch.shown());
        if let Some((path, config)) = &self.config {
            let _ = write!(text, "--- {}\n{config}", path.display());
        }
        text
    }

    /// Writes the configuration, starts the proxy (under `wrapper`, when not empty) and waits until it forwards a request.
    pub(super) fn start(&self, wrapper: &[String], probe: &str, directory: &Path) -> Result<Child> {
        if let Some((path, config)) = &self.config {
            fs::write(path, config)?;
        }
        let mut child = Child::start(&self.launch.clone().under(wrapper), directory)?;
        child.wait_until(START_LIMIT, || answers(self.address, probe).unwrap_or(false))?;
        Ok(child)
    }

    fn haproxy(name: &str, address: SocketAddr, directory: &Path, config: &str) -> Self {
        let path = directory.join(format!("{name}.cfg"));
        let line = ["haproxy", "-db", "-q", "-f", &path.to_string_lossy()].map(OsString::from);
        Self { address, admin: address, launch: launch(name, line), config: Some((path, config.to_owned())) }
    }

    fn loadline(
        loadline: &Loadline,
        address: SocketAddr,
        origin: SocketAddr,
        limit: impl Display,
        settings: &[String],
        max_connections: Option<usize>,
    ) -> Result<Self> {
        let mut admin = free_address()?;
        // Free a moment ago, both of them, and sometimes the same.
        while admin == address {
            admin = free_address()?;
        }
        let addresses = [format!("listen={address}"), format!("admin.listen={admin}")];
        let mut line =
            vec![OsString::from(&loadline.program), origin.to_string().into(), limit.to_string().into()];
        for setting in addresses.iter().chain(settings).chain(&loadline.settings) {
            line.extend(["--set".into(), setting.into()]);
        }
        let mut launch = launch(Proxy::Loadline.name(), line);
        launch.env = max_connections
            .map(|limit| ("MAX_CONNECTIONS".to_owned(), limit.to_string()))
            .into_iter()
            .collect();
        Ok(Self { address, admin, launch, config: None })
    }
}

fn launch(name: &str, line: impl Into<Vec<OsString>>) -> Launch {
    Launch { name: name.to_owned(), line: line.into(), env: Vec::new() }
}

/// `immediate`: refuse by a rule; else by the server queue's shortest timeout.
///
/// `http-reuse always`: by default HAProxy opens an upstream connection for the first request of each client connection,
/// which nginx and loadline do not.
/// `no strict-limits`: HAProxy wants two descriptors per connection, which the idle connections never use.
fn haproxy(address: SocketAddr, origin: SocketAddr, immediate: bool) -> String {
    let (rule, queue) = if immediate {
        let answer = "status 503 content-type text/plain hdr Retry-After 1 string overloaded";
        (format!("    http-request return {answer} if {{ srv_conn(app/main) ge {LIMIT} }}\n"), "5s")
    } else {
        (String::new(), "1ms")
    };
    format!(
        "global
    nbthread 1
    maxconn {MAX_CONNECTIONS}
    no strict-limits
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout queue {queue}
    timeout http-request 10s
    timeout http-keep-alive 300s
frontend http
    bind {address}
{rule}    default_backend app
backend app
    http-reuse always
    server main {origin} maxconn {LIMIT}
"
    )
}

fn nginx(address: SocketAddr, origin: SocketAddr, directory: &Path) -> String {
    let directory = directory.display();
    // As root, the worker would otherwise become a user who cannot use the scratch directory.
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    format!(
        "{user}daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx.error crit;
events {{ worker_connections {MAX_CONNECTIONS}; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_timeout 300s;
    keepalive_requests 1000000000;
    limit_conn_zone $server_name zone=limit:64k;
    limit_conn_status 503;
    upstream app {{
        server {origin};
        keepalive {LIMIT};
        keepalive_requests 1000000000;
        keepalive_timeout 300s;
    }}
    server {{
        listen {address} backlog=4096;
        server_name bench;
        location / {{
            limit_conn limit {LIMIT};
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
}}
"
    )
}

fn spillway(address: SocketAddr, origin: SocketAddr, limit: usize) -> String {
    format!(
        "global
    maxconn 2000
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout queue 5s
frontend http
    bind {address}
    acl is_healthcheck path /healthcheck
    use_backend healthcheck if is_healthcheck
    default_backend app
backend app
    server main {origin} maxconn {limit}
backend healthcheck
    server main {origin}
"
    )
}

/// An address that was free a moment ago.
pub(super) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Whether a GET is answered with 200.
fn answers(address: SocketAddr, path: &str) -> Result<bool> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}

fn build() -> Result<()> {
    eprintln!("building loadline (profile dist)");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--profile", "dist", "--package", "loadline", "--bin", "loadline"])
        .current_dir(workspace())
        .status()?;
    if built.success() { Ok(()) } else { Err("loadline does not build".into()) }
}

fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// The directory above this crate's.
fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

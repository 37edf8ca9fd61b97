//! Reading the configuration again while running.
//!
//! All or nothing: a configuration with any mistake changes nothing. What is replaced is replaced in place: limit and
//! queue are resized, nothing that waits is lost, no connection is closed.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::config::settings::{Settings, Upstreams};
use crate::config::{self, Loaded, Sources, render};
use crate::live::{self, Live};
use crate::shared::Shared;
use crate::spans::Spans;

pub(crate) struct Reloader {
    sources: Sources,
    /// The settings in force.
    current: Settings,
    seed: u64,
    /// Where the demo app listens, when it stands in for an upstream.
    demo: Option<Upstreams>,
    /// Fingerprint of the file as it was last tried.
    content: Option<u64>,
    /// The same as it was last looked at.
    looked_at: Option<u64>,
    keeping: Option<JoinHandle<()>>,
}

impl Reloader {
    /// `loaded` is what is in force, with the addresses that were bound.
    pub(crate) fn new(sources: Sources, loaded: Loaded, seed: u64, demo: Option<Upstreams>) -> Self {
        let Loaded { settings, fingerprint, .. } = loaded;
        Self { sources, current: settings, seed, demo, content: fingerprint, looked_at: None, keeping: None }
    }

    /// Keeps the endpoints those of `live` from now on, and checked as it says.
    pub(crate) fn keep_upstream(&mut self, live: &Live) {
        let keeping = Arc::clone(&live.upstream).keep(live.settings.clone());
        if let Some(earlier) = self.keeping.replace(tokio::spawn(keeping)) {
            earlier.abort();
        }
    }

    /// Whether the file's content differs from what was last tried, and has settled; called about once a second. Contents are
    /// compared, not times or inodes: a mounted ConfigMap changes by exchanging a directory.
    ///
    /// Settled: it is the same as at the last look. Some editors and tools write in place, and the first half of a file may well be
    /// a configuration of its own, one without the limits and secrets of the second half.
    pub(crate) fn file_changed(&mut self) -> bool {
        let content = self.read_content();
        let settled = content == self.looked_at;
        self.looked_at = content;
        // A file that is missing for a moment is being replaced.
        let changed = settled && content.is_some() && content != self.content;
        if changed {
            self.content = content;
        }
        changed
    }

    /// Reads all sources again and puts the result in force.
    ///
    /// # Errors
    /// Every mistake found; nothing has changed then.
    pub(crate) fn reload(&mut self, shared: &Shared) -> Result<String, String> {
        // Also that of a bad file: it is tried once, not every second.
        self.content = self.read_content().or(self.content);
        let loaded = config::load(&self.sources).map_err(|errors| errors.to_string())?;
        self.content = loaded.fingerprint.or(self.content);
        let mut settings = loaded.settings.clone();
        let kept = self.keep_what_needs_a_restart(&mut settings);
        let was = shared.live();
        let log = if settings.log == self.current.log {
            Arc::clone(&was.log)
        } else {
            Arc::new(live::start_log(&settings.log, Some(&was.log))?)
        };
        let spans = if settings.trace == self.current.trace {
            Arc::clone(&was.spans)
        } else {
            Spans::start(&settings.trace, Some(&was.spans))?
        };
        self.current = settings.clone();
        let effective = render::document(&settings, &loaded);
        if let (true, Some(demo)) = (settings.upstream.is_demo(), &self.demo) {
            settings.upstream = demo.clone();
        }
        was.upstream.reconfigure(&settings);
        let keep = |settings: &Settings| {
            (settings.upstream.clone(), settings.dns.clone(), settings.balance.health.clone())
        };
        let other = keep(&settings) != keep(&was.settings);
        let mut live = Live::new(settings, self.seed, Arc::clone(&was.upstream), log, Some(&was.routes));
        live.spans = spans;
        if other {
            self.keep_upstream(&live);
        }
        shared.replace(live, loaded.shadow);
        shared.effective.store(Arc::new(effective));
        let mut said = String::from("configuration reloaded\n");
        for key in kept {
            said.push_str(&format!("{key} keeps its value until a restart\n"));
        }
        for warning in loaded.warnings {
            said.push_str(&format!("warning: {warning}\n"));
        }
        Ok(said)
    }

    /// Puts back what a running process cannot change, and names it.
    fn keep_what_needs_a_restart(&self, settings: &mut Settings) -> Vec<&'static str> {
        let mut asked = settings.clone();
        // A port that was left to the system is bound: asking for any port again asks for nothing new.
        if same_but_for_free_ports(&asked.listen, &self.current.listen) {
            asked.listen.clone_from(&self.current.listen);
        }
        if same_but_for_free_ports(asked.admin.listen.as_slice(), self.current.admin.listen.as_slice()) {
            asked.admin.listen = self.current.admin.listen;
        }
        let mut kept = config::needs_restart(&self.current, &asked);
        settings.listen.clone_from(&self.current.listen);
        settings.admin.listen = self.current.admin.listen;
        settings.workers = self.current.workers;
        if settings.upstream.is_demo() && self.demo.is_none() {
            settings.upstream.clone_from(&self.current.upstream);
            kept.push("upstream");
        }
        kept
    }

    fn read_content(&self) -> Option<u64> {
        config::fingerprint_of(self.sources.file.as_deref()?)
    }
}

fn same_but_for_free_ports(asked: &[std::net::SocketAddr], bound: &[std::net::SocketAddr]) -> bool {
    asked.len() == bound.len()
        && asked.iter().zip(bound).all(|(a, b)| a.ip() == b.ip() && (a.port() == 0 || a.port() == b.port()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_is_being_written_is_not_read() {
        let name = format!("loadline-reload-{}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        let sources = Sources {
            file: Some(path.clone()),
            upstream: Some("app:80".to_owned()),
            concurrency: Some("3".to_owned()),
            ..Sources::default()
        };
        fs::write(&path, "max_connections = 10\n[queue]\ndepth = 5\n").unwrap();
        let loaded = config::load(&sources).unwrap();
        let mut reloader = Reloader::new(sources, loaded, 1, None);
        assert!(!reloader.file_changed());
        // What is there for a moment: nothing, a half that is well-formed, no file.
        for passing in [Some(""), Some("max_connections = 20\n"), None] {
            match passing {
                Some(content) => fs::write(&path, content).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            assert!(!reloader.file_changed(), "{passing:?}");
        }
        fs::write(&path, "max_connections = 20\n[queue]\ndepth = 5\n").unwrap();
        let looks: Vec<_> = (0..4).map(|_| reloader.file_changed()).collect();
        assert_eq!(looks, [false, true, false, false]);
        fs::remove_file(&path).unwrap();
    }
}

//! `loadline top`: what a running loadline does, live in the terminal.
//!
//! It asks the admin listener for the status four times a second, as `loadline status` does once, so that a restart of the
//! proxy is nothing but a few questions without an answer. The terminal is given back however this ends: by q, Ctrl-C, a
//! signal or a panic. Where stdout is no terminal it prints a line per second.

mod feed;
mod view;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use self::feed::{News, Status};
use self::view::View;
use super::client::Admin;
use super::{failed, say};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Watches until told to stop.
pub(super) fn top(admin: Admin) -> ExitCode {
    // What cannot be reached now is likelier a wrong address than a restart.
    let first = match Status::ask(&admin) {
        Ok(first) => first,
        Err(error) => return failed(&error),
    };
    let mut view = View::new(admin.address().to_string(), first);
    let news = feed::follow(admin);
    if !std::io::stdout().is_terminal() {
        return print_lines(&mut view, news);
    }
    let shown = match ratatui::try_init() {
        Ok(mut terminal) => watch(&mut terminal, &mut view, news),
        Err(error) => Err(error),
    };
    ratatui::restore();
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: the terminal: {error}");
            ExitCode::FAILURE
        }
    }
}

fn watch(
    terminal: &mut DefaultTerminal,
    view: &mut View,
    mut news: mpsc::UnboundedReceiver<News>,
) -> std::io::Result<()> {
    let mut keys = keys();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        loop {
            terminal.draw(|frame| view.draw(frame))?;
            tokio::select! {
                Some(one) = news.recv() => {
                    view.hear(one);
                    // Whatever came meanwhile is drawn at once.
                    while let Ok(one) = news.try_recv() {
                        view.hear(one);
                    }
                }
                key = keys.recv() => match key {
                    Some(Key::Redraw) => {}
                    Some(Key::Quit) | None => return Ok(()),
                },
                _ = terminate.recv() => return Ok(()),
                _ = hangup.recv() => return Ok(()),
            }
        }
    })
}

enum Key {
    Quit,
    /// The terminal has another size.
    Redraw,
}

/// What is typed. The thread blocks on the terminal until the process ends.
fn keys() -> mpsc::UnboundedReceiver<Key> {
    let (sender, keys) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            let Some(key) = meaning(&event) else { continue };
            if sender.send(key).is_err() {
                return;
            }
        }
    });
    keys
}

fn meaning(event: &Event) -> Option<Key> {
    match event {
        Event::Key(key) if key.kind == KeyEventKind::Press => {
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            match key.code {
                KeyCode::Char('q' | 'Q') | KeyCode::Esc => Some(Key::Quit),
                KeyCode::Char('c') if control => Some(Key::Quit),
                _ => None,
            }
        }
        Event::Resize(..) => Some(Key::Redraw),
        _ => None,
    }
}

/// A line per second, until whoever reads has seen enough.
fn print_lines(view: &mut View, mut news: mpsc::UnboundedReceiver<News>) -> ExitCode {
    let mut due = Instant::now();
    loop {
        if Instant::now() >= due {
            due = Instant::now() + LINE_EVERY;
            let time = jiff::Zoned::now().strftime("%H:%M:%S");
            let mut stdout = std::io::stdout().lock();
            if writeln!(stdout, "{time} {}", view.line()).and_then(|()| stdout.flush()).is_err() {
                return say("");
            }
        }
        match news.blocking_recv() {
            Some(one) => view.hear(one),
            None => return ExitCode::FAILURE,
        }
    }
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn q_escape_and_control_c_quit() {
        let press = |code, modifiers| meaning(&Event::Key(KeyEvent::new(code, modifiers)));
        assert!(matches!(press(KeyCode::Char('q'), KeyModifiers::NONE), Some(Key::Quit)));
        assert!(matches!(press(KeyCode::Esc, KeyModifiers::NONE), Some(Key::Quit)));
        assert!(matches!(press(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Quit)));
        assert!(press(KeyCode::Char('c'), KeyModifiers::NONE).is_none());
        assert!(matches!(meaning(&Event::Resize(80, 24)), Some(Key::Redraw)));
    }
}

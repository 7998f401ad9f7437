//! `tester watch`: a heap in the terminal while a trace is replayed.

use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{panic, thread};

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::style::{Attribute, Color, Print, ResetColor, SetAttribute, SetForegroundColor};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{cursor, execute, queue};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::tester::picture_args::{FASTEST, WatchArguments};
use crate::tester::replay_steps::SteppedReplay;
use crate::tester::report::grouped;
use crate::tester::run::Stop;
use crate::tester::screen::{History, Kind, Line, screen};
use crate::tester::sys;

/// Seconds that a trace lasts when no rate is asked for.
const LASTS: u64 = 20;
/// Between two pictures.
const FRAME: Duration = Duration::from_millis(50);
const BILLION: u128 = 1_000_000_000;
/// Operations that are done between two looks at the clock.
const STEP: usize = 256;
/// From a signal to the end: many times what is needed to see it and to give the terminal back.
const GRACE: Duration = Duration::from_secs(2);

/// Shows the trace until it is quit.
///
/// # Errors
/// Why there is nothing to see.
pub fn watch(arguments: &WatchArguments) -> Result<(), Stop> {
    if !io::stdout().is_terminal() {
        return Err(Stop::Usage("watch draws in a terminal, and stdout is none".to_owned()));
    }
    let recording = arguments.replayed.load()?;
    let mut replay = SteppedReplay::begin(&arguments.replayed, &recording)?;
    let all = replay.progress().1 as u64;
    let mut pace = Pace { rate: arguments.rate.unwrap_or((all / LASTS).max(1)), paused: false, due: 0 };
    let signal = signals().map_err(broken)?;
    let terminal = Terminal::take().map_err(broken)?;
    let shown = show(&mut replay, &mut pace, &signal);
    drop(terminal);
    shown?;
    match signal.load(Ordering::Relaxed) {
        // The terminal is as it was: now the process ends as the signal would have it.
        number @ 1.. => low_level::emulate_default_handler(number as i32).map_err(broken)?,
        0 => writeln!(io::stdout(), "{}: {}", replay.title(), replay.note())?,
    }
    Ok(())
}

fn broken(error: io::Error) -> Stop {
    Stop::Usage(format!("the terminal does not serve: {error}"))
}

/// Where signals that end a process put their number. If nobody has looked after a while, the process ends all the same; and at
/// once when its terminal is gone, whose keys crossterm would wait for without end and without sleep. (The signal that says so
/// goes to a shell in between, if there is one.)
fn signals() -> io::Result<Arc<AtomicUsize>> {
    let last = Arc::new(AtomicUsize::new(0));
    let (wake, woken) = UnixStream::pair()?;
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        // In this order: who is woken finds the number.
        flag::register_usize(signal, Arc::clone(&last), signal as usize)?;
        low_level::pipe::register(signal, wake.try_clone()?)?;
    }
    let number = Arc::clone(&last);
    thread::Builder::new().spawn(move || {
        let signal = match sys::wait_or_hang_up(woken, io::stdout()) {
            Ok(true) => SIGHUP,
            Ok(false) => {
                thread::sleep(GRACE);
                number.load(Ordering::Relaxed) as i32
            }
            // Then a signal is heeded where the loop looks for it.
            Err(_) => return,
        };
        // It fails for what is no signal's number.
        let _ = low_level::emulate_default_handler(signal);
    })?;
    Ok(last)
}

/// The terminal, without echo and on a screen of its own; it is given back as it was, also after a panic.
struct Terminal;

impl Terminal {
    fn take() -> io::Result<Self> {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            Self::give_back();
            usual(panic);
        }));
        enable_raw_mode()?;
        let terminal = Self;
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(terminal)
    }

    fn give_back() {
        // Where the terminal is gone, there is nobody to tell.
        let _ = execute!(io::stdout(), ResetColor, cursor::Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        Self::give_back();
    }
}

/// How fast the trace goes on.
struct Pace {
    /// Operations a second.
    rate: u64,
    paused: bool,
    /// Operations that are due, and parts of one, in billionths.
    due: u128,
}

impl Pace {
    /// What a key changes; `true` is the end.
    fn key(&mut self, key: KeyEvent) -> bool {
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char(' ') => self.paused = !self.paused,
            KeyCode::Char('+' | '=') | KeyCode::Up => self.rate = (self.rate * 2).min(FASTEST),
            KeyCode::Char('-') | KeyCode::Down => self.rate = (self.rate / 2).max(1),
            KeyCode::Right => {
                // Keys come faster than pictures: those before this one may not have been done yet.
                let before = if self.paused { self.due / BILLION } else { 0 };
                (self.paused, self.due) = (true, (before + 1) * BILLION);
            }
            _ => {}
        }
        false
    }

    /// Operations that are due after so much time, and no longer due then.
    fn take(&mut self, elapsed: Duration) -> usize {
        if !self.paused {
            self.due += u128::from(self.rate) * elapsed.as_nanos();
        }
        let whole = self.due / BILLION;
        self.due %= BILLION;
        whole as usize
    }

    fn state(&self, ended: bool) -> String {
        let rate = grouped(self.rate);
        match (ended, self.paused) {
            (true, _) => "the end".to_owned(),
            (false, true) => format!("paused at {rate}/s"),
            (false, false) => format!("{rate}/s"),
        }
    }
}

/// Replays and draws until a key or a signal says that it is enough.
fn show(replay: &mut SteppedReplay<'_>, pace: &mut Pace, signal: &AtomicUsize) -> Result<(), Stop> {
    let mut history = History::new();
    let mut last = Instant::now();
    loop {
        let now = Instant::now();
        let due = pace.take(now - last);
        last = now;
        let next = now + FRAME;
        advance(replay, due, next)?;
        let (done, all) = replay.progress();
        let (columns, rows) = size().map_err(broken)?;
        let state = pace.state(done == all);
        draw(&screen(replay, &mut history, (columns.into(), rows.into()), &state)).map_err(broken)?;
        // Keys are answered at once; so is a signal, which ends the waiting for them.
        loop {
            let waited = event::poll(next.saturating_duration_since(Instant::now())).map_err(broken)?;
            if signal.load(Ordering::Relaxed) != 0 {
                return Ok(());
            }
            if !waited {
                break;
            }
            match event::read().map_err(broken)? {
                Event::Key(key) if key.kind != KeyEventKind::Release && pace.key(key) => return Ok(()),
                _ => {}
            }
        }
    }
}

/// What is due, or as much of it as can be done before the next picture is.
fn advance(replay: &mut SteppedReplay<'_>, due: usize, until: Instant) -> Result<(), Stop> {
    let (done, all) = replay.progress();
    let end = all.min(done.saturating_add(due));
    while replay.progress().0 < end && Instant::now() < until {
        replay.advance(end.min(replay.progress().0 + STEP))?;
    }
    Ok(())
}

fn draw(lines: &[Line]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    queue!(out, BeginSynchronizedUpdate)?;
    for (row, line) in lines.iter().enumerate() {
        queue!(out, cursor::MoveTo(0, row as u16))?;
        for span in line {
            colour(&mut out, span.kind)?;
            queue!(out, Print(&span.text), SetAttribute(Attribute::Reset), ResetColor)?;
        }
        queue!(out, Clear(ClearType::UntilNewLine))?;
    }
    queue!(out, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
    out.flush()
}

/// By numbers of the 256 that nearly every terminal has; a shade says the same to those that have none.
fn colour(out: &mut impl Write, kind: Kind) -> io::Result<()> {
    match kind {
        Kind::Text => Ok(()),
        Kind::Head => queue!(out, SetAttribute(Attribute::Bold)),
        Kind::Hint | Kind::Slab(0) | Kind::Blocks(0) => queue!(out, SetForegroundColor(Color::AnsiValue(244))),
        Kind::Slab(_) => queue!(out, SetForegroundColor(Color::AnsiValue(36))),
        Kind::Blocks(_) => queue!(out, SetForegroundColor(Color::AnsiValue(69))),
        Kind::Rover => queue!(out, SetAttribute(Attribute::Bold), SetForegroundColor(Color::AnsiValue(197))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pace: &mut Pace, code: KeyCode) -> bool {
        pace.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn what_is_due_adds_up_to_the_rate() {
        let mut pace = Pace { rate: 30, paused: false, due: 0 };
        assert_eq!((0..1000).map(|_| pace.take(Duration::from_millis(10))).sum::<usize>(), 300);
        key(&mut pace, KeyCode::Char(' '));
        assert_eq!(pace.take(Duration::from_secs(10)), 0);
        key(&mut pace, KeyCode::Right);
        assert_eq!((pace.take(FRAME), pace.take(FRAME), pace.paused), (1, 0, true));
        for _ in 0..3 {
            key(&mut pace, KeyCode::Right);
        }
        assert_eq!((pace.take(FRAME), pace.take(FRAME)), (3, 0));
    }

    #[test]
    fn the_rate_has_its_ends() {
        let mut pace = Pace { rate: 3, paused: false, due: 0 };
        for _ in 0..5 {
            key(&mut pace, KeyCode::Char('-'));
        }
        assert_eq!(pace.rate, 1);
        for _ in 0..50 {
            key(&mut pace, KeyCode::Char('+'));
        }
        assert_eq!(pace.rate, FASTEST);
    }

    #[test]
    fn three_keys_end_it() {
        let mut pace = Pace { rate: 1, paused: false, due: 0 };
        assert!(key(&mut pace, KeyCode::Char('q')) && key(&mut pace, KeyCode::Esc));
        assert!(pace.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
        assert!(!key(&mut pace, KeyCode::Char('c')));
    }
}

//! `tester map`, `film`, `plot` and `watch` as their users meet them.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use roxmltree::Document;
use serde_json::Value;
use slabfit_linux::text::Count;

const TESTER: &str = env!("CARGO_BIN_EXE_tester");

/// Exit status, stdout, stderr.
fn tester(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(TESTER).args(arguments).output().expect("the tester starts");
    let text = |bytes| String::from_utf8(bytes).expect("the tester prints UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// One line on stderr and status 2.
fn refused(arguments: &[&str], line: &str) {
    assert_eq!(tester(arguments), (Some(2), String::new(), format!("tester: {line}\n")), "{arguments:?}");
}

/// A place for a file of this test, under a name of its own.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("seeing");
    fs::create_dir_all(&folder).expect("a folder for the test's files");
    folder.join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the target folder's name is UTF-8")
}

/// What a run that succeeds has written to its output file, and said.
fn made(name: &str, arguments: &[&str]) -> (String, String) {
    let path = scratch(name);
    let _ = fs::remove_file(&path);
    let (status, stdout, stderr) = tester(&[arguments, &["-o", text(&path)]].concat());
    assert_eq!((status, stderr.as_str()), (Some(0), ""), "{arguments:?}: {stdout}");
    let said = stdout.strip_prefix(text(&path)).and_then(|rest| rest.strip_prefix(": ")).expect("it names the file");
    (fs::read_to_string(path).expect("it was written"), said.to_owned())
}

/// A trace of three objects, and one that never fits into 64 KiB.
fn small_trace() -> PathBuf {
    let path = scratch("small.rep");
    fs::write(&path, "a 0 64\na 1 10000\na 2 1000\nf 1\nr 2 4000\na 3 60000\nf 3\nf 0\nf 2\n")
        .expect("it can be written");
    path
}

// Maps.

#[test]
fn a_map_shows_the_heap_after_the_operation_asked_for() {
    let trace = small_trace();
    let map = |at: &str| made("at.svg", &["map", text(&trace), "--heap", "64K", "--at", at]);
    // (slots in use, blocks, holes, what the program has): the object of 60,000 bytes finds no room.
    for (at, slots, blocks, holes, has) in [
        ("0", 0, 0, 1, "0 B"),
        ("1", 1, 0, 1, "64 B"),
        ("3", 1, 2, 1, "10.8 KiB"),
        ("4", 1, 1, 2, "1.0 KiB"),
        ("6", 1, 1, 2, "4.0 KiB"),
        ("9", 0, 0, 1, "0 B"),
        ("end", 0, 0, 1, "0 B"),
    ] {
        let (svg, _) = map(at);
        assert!(svg.contains(&format!("{slots} of 256 slots")), "{at}: {svg}");
        assert!(svg.contains(&format!("in {} ·", Count(blocks, "block"))), "{at}: {svg}");
        assert!(svg.contains(&format!("in {},", Count(holes, "hole"))), "{at}: {svg}");
        assert!(svg.contains(&format!("the program has {has} ·")), "{at}: {svg}");
    }
    let (svg, said) = map("6");
    let line = "small in 64 KiB, after operation 6 of 9 · the program has 4.0 KiB · next fit, 1 request failed\n";
    assert_eq!(said, line);
    assert_eq!(Document::parse(&svg).expect("it is XML").root_element().tag_name().name(), "svg");
}

#[test]
fn without_a_moment_it_is_the_peak() {
    let arguments = ["map", "gitlog", "--heap", "4M"];
    let (svg, said) = made("peak.svg", &arguments);
    assert!(said.contains("after operation 66,875 of 70,951"), "{said}");
    assert_eq!(svg, made("named.svg", &[&arguments[..], &["--at", "peak"]].concat()).0);
    assert_eq!(svg, made("number.svg", &[&arguments[..], &["--at", "66875"]].concat()).0);
}

#[test]
fn placement_and_slab_size_are_followed() {
    let map = |arguments: &[&str]| made("placed.svg", &[&["map", "gitlog", "--heap", "4M"][..], arguments].concat()).0;
    let (next, first) = (map(&["--placement", "next"]), map(&["--placement", "first"]));
    assert!(next.contains("next fit, ") && first.contains("first fit, no request failed"));
    assert_ne!(next.lines().skip(10).collect::<Vec<_>>(), first.lines().skip(10).collect::<Vec<_>>());
    assert!(map(&["--slab-size", "1000"]).contains("slots for requests of 1000 B"));
    let general = map(&["--placement", "general", "--slab-size", "0"]);
    assert!(general.contains("size classes and first fit, no request failed") && general.contains(" slots in use<"));
}

#[test]
fn what_cannot_be_drawn_is_refused_in_one_line() {
    let (trace, out) = (small_trace(), scratch("never.svg"));
    let (trace, out) = (text(&trace), text(&out));
    refused(&["map", trace, "--heap", "64K", "--at", "10", "-o", out], "--at 10: the trace has 9 operations");
    let line = "invalid value 'now' for '--at <OPERATION>': not a number of operations, 'peak' or 'end'";
    refused(&["map", trace, "--heap", "64K", "--at", "now", "-o", out], line);
    refused(
        &["map", "nothing", "--heap", "64K", "-o", out],
        "cannot read nothing: No such file or directory (os error 2)",
    );
    let nowhere = "/nonexistent/out.svg";
    let line = format!("cannot write {nowhere}: No such file or directory (os error 2)");
    for command in ["map", "film", "plot"] {
        refused(&[command, trace, "--heap", "64K", "-o", nowhere], &line);
    }
    let (status, _, stderr) = tester(&["map", trace, "--heap", "65G", "-o", out]);
    assert!(status == Some(2) && stderr.starts_with("tester: cannot make the heap: "), "{stderr}");
    for frames in ["0", "2001", "x"] {
        let line = format!("invalid value '{frames}' for '--frames <N>': not a number of frames from 1 to 2000");
        refused(&["film", trace, "--heap", "64K", "--frames", frames, "-o", out], &line);
    }
    assert!(!Path::new(out).exists());
}

// Films and plots.

/// The data that a film's page has for its script.
fn film_data(page: &str) -> Value {
    let (_, rest) = page.split_once(r#"<script type="application/json" id="film">"#).expect("there is data");
    serde_json::from_str(rest.split_once("</script>").expect("it has an end").0).expect("it is JSON")
}

#[test]
fn the_frames_of_a_film_are_maps() {
    let heap = ["gitlog", "--heap", "1M", "--placement", "first"];
    let (page, said) = made("film.html", &[&["film"][..], &heap, &["--frames", "7"]].concat());
    assert!(said.starts_with("8 frames of gitlog in 1 MiB, first fit, "), "{said}");
    let film = film_data(&page);
    let lines: Vec<_> =
        film["lines"].as_array().expect("lines").iter().map(|line| line.as_str().expect("text")).collect();
    let frames = film["frames"].as_array().expect("frames");
    assert_eq!(frames.len(), 8);
    for (index, frame) in frames.iter().enumerate() {
        let at = 70_951 * index / 7;
        let (svg, _) = made("frame.svg", &[&["map"][..], &heap, &["--at", &at.to_string()]].concat());
        let numbers = frame.as_array().expect("numbers").iter().map(|number| number.as_u64().expect("a number"));
        let seen: String = numbers.flat_map(|number| [lines[number as usize], "\n"]).collect();
        assert_eq!(seen, svg, "frame {index}");
        let part = film["at"][index].as_f64().expect("a number");
        assert!((part - at as f64 / 70_951.0).abs() < 1e-12, "frame {index}: {part}");
    }
    // Nothing is fetched from elsewhere: the only addresses are names.
    let addresses = page.matches("http").count();
    assert_eq!(addresses, page.matches("http://www.w3.org/2000/svg").count());
}

#[test]
fn a_trace_shorter_than_its_film_has_a_frame_for_each_operation() {
    let (page, _) = made("short.html", &["film", text(&small_trace()), "--heap", "64K", "--frames", "100"]);
    assert_eq!(film_data(&page)["frames"].as_array().map(Vec::len), Some(10));
    let empty = scratch("empty.rep");
    fs::write(&empty, "").expect("it can be written");
    let (page, _) = made("empty.html", &["film", text(&empty), "--heap", "64K"]);
    assert_eq!(film_data(&page)["frames"].as_array().map(Vec::len), Some(1));
    made("empty.svg", &["plot", text(&empty), "--heap", "64K"]);
}

#[test]
fn a_plot_has_the_figures_of_the_heap() {
    let (svg, said) = made("plot.svg", &["plot", text(&small_trace()), "--heap", "64K"]);
    assert_eq!(said, "small in 64 KiB, next fit, 1 request failed\n");
    let document = Document::parse(&svg).expect("it is XML");
    let curves: Vec<Vec<(f64, f64)>> = document
        .descendants()
        .filter(|node| node.has_tag_name("polyline") && matches!(node.attribute("stroke-width"), Some("2" | "6")))
        .map(|curve| {
            let numbers = curve.attribute("points").expect("points").split([' ', ',']).filter(|word| !word.is_empty());
            let numbers: Vec<f64> = numbers.map(|word| word.parse().expect("a number")).collect();
            numbers.chunks_exact(2).map(|point| (point[0], point[1])).collect()
        })
        .collect();
    // In use, asked for, and their two lines in the legend; fragmentation.
    let long: Vec<_> = curves.iter().filter(|curve| curve.len() > 2).collect();
    assert_eq!(long.len(), 3, "{svg}");
    for curve in &long {
        assert_eq!(curve.len(), 10);
        assert!(curve.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!((curve[0].1 - curve[9].1).abs() < 1.0, "it ends as it began: {curve:?}");
    }
    // Higher up is less.
    let asked = long[1];
    let height = |index: usize| asked[0].1 - asked[index].1;
    for (index, bytes) in [(1, 64.0), (2, 10_064.0), (4, 1064.0), (5, 4064.0), (6, 4064.0), (7, 4064.0), (8, 4000.0)] {
        let expected = height(3) * bytes / 11_064.0;
        assert!((height(index) - expected).abs() <= 1.0, "after {index}: {} and not {expected}", height(index));
    }
    let used = long[0];
    assert!((0..10).all(|index| used[index].1 <= asked[index].1), "what is in use is no less than what was asked for");
    let fragmentation = long[2];
    assert!(fragmentation[4].1 < fragmentation[3].1 - 20.0, "a hole beside the largest one is fragmentation");
}

#[test]
fn a_plot_shows_requests_that_failed_and_the_cap_where_it_is_near() {
    let lines = |svg: &str, colour: &str| {
        let document = Document::parse(svg).expect("it is XML");
        let of_colour = |node: &roxmltree::Node<'_, '_>| node.attribute("stroke") == Some(colour);
        document.descendants().filter(|node| node.has_tag_name("polyline") && of_colour(node)).count()
    };
    let (cap, failed) = ("#666666", "#C2002F");
    let of = |heap: &str| made("marked.svg", &["plot", text(&small_trace()), "--heap", heap]).0;
    // A mark and its line in the legend; of 64 KiB much more is free than ever lives.
    let svg = of("64K");
    assert_eq!((lines(&svg, failed), lines(&svg, cap)), (2, 0), "{svg}");
    assert!(svg.contains("a request failed") && !svg.contains("all of the heap"));
    // The cap stands there twice, over and under the legend.
    let svg = of("16K");
    assert_eq!((lines(&svg, failed), lines(&svg, cap)), (2, 3), "{svg}");
    let svg = of("128K");
    assert_eq!((lines(&svg, failed), lines(&svg, cap)), (0, 3), "{svg}");
}

#[test]
fn a_picture_of_the_largest_heap_needs_no_such_heap() {
    let (svg, _) = made("largest.svg", &["map", text(&small_trace()), "--heap", "64GiB"]);
    assert!(svg.contains("small in 64 GiB") && svg.contains("1 of 268,435,456 slots"), "{}", svg.len());
}

// The tester's page.

/// The pictures on the tester's page are made by the commands that stand under them, byte by byte.
#[test]
fn the_pictures_of_the_testers_page_are_what_their_commands_make() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let page = fs::read_to_string(root.join("tests/tester/README.md")).expect("there is a page");
    let commands = page.lines().filter_map(|line| line.strip_prefix("cargo run --release -- "));
    let mut pictures = 0;
    for command in commands {
        let Some((arguments, picture)) = command.split_once(" -o tests/pictures/") else { continue };
        let kept = root.join("tests/pictures").join(picture);
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        let (svg, _) = made(&format!("page-{picture}"), &arguments);
        let same = fs::read_to_string(&kept).is_ok_and(|kept| kept == svg);
        assert!(same, "{} is not what `cargo run --release -- {command}` makes", kept.display());
        assert!(page.contains(&format!("(../pictures/{picture})")), "{picture} is not shown");
        pictures += 1;
    }
    let kept = fs::read_dir(root.join("tests/pictures")).expect("there are pictures").count();
    assert_eq!((pictures, kept), (pictures.max(2), pictures), "every picture has its command");
}

// Watching.

#[test]
fn watch_needs_a_terminal() {
    let trace = small_trace();
    refused(&["watch", text(&trace), "--heap", "64K"], "watch draws in a terminal, and stdout is none");
    let line = "invalid value '0' for '--rate <N>': not a number of operations a second from 1 to 1000000000";
    refused(&["watch", text(&trace), "--heap", "64K", "--rate", "0"], line);
}

/// A shell in a terminal of 100 columns and 30 rows, by `script`.
struct Terminal {
    child: Child,
    screen: mpsc::Receiver<String>,
    /// What has come, and what of it stood before the last text that was waited for.
    seen: String,
    passed: String,
}

const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";
const SHOW_CURSOR: &str = "\u{1b}[?25h";
const PATIENCE: Duration = Duration::from_secs(30);

impl Terminal {
    /// Runs a shell's commands; `None`, and a line that says so, where there is no `script`.
    fn run(commands: &str) -> Option<Self> {
        let commands = format!("stty rows 30 cols 100; {commands}");
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-c", &commands, "/dev/null"]).env("TERM", "xterm-256color").env("SHELL", "/bin/sh");
        let Ok(mut child) = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
            writeln!(io::stderr(), "SKIPPED: there is no script").expect("stderr is open");
            return None;
        };
        let mut stdout = child.stdout.take().expect("it is piped");
        let (send, screen) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = [0; 65_536];
            while let Ok(length @ 1..) = stdout.read(&mut bytes) {
                // Whoever listened may be gone.
                let _ = send.send(String::from_utf8_lossy(&bytes[..length]).into_owned());
            }
        });
        Some(Self { child, screen, seen: String::new(), passed: String::new() })
    }

    /// Waits until `text` appears behind all that was waited for before.
    fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                self.seen.truncate(at);
                self.passed = std::mem::replace(&mut self.seen, rest);
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(more) => self.seen.push_str(&more),
                Err(_) => panic!("{text:?} does not come; there is {:?}", self.seen),
            }
        }
    }

    /// Waits until `watched` shows its trace, at 100 operations a second. The number of its process.
    fn watching(&mut self) -> String {
        self.wait_for("pid ");
        self.wait_for("\r");
        let process = self.passed.clone();
        for text in [ENTER, "100/s"] {
            self.wait_for(text);
        }
        process
    }

    fn press(&mut self, keys: &str) {
        self.child.stdin.as_mut().expect("it is piped").write_all(keys.as_bytes()).expect("the terminal reads");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Without a terminal whatever runs in it ends.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Shell commands that watch git log, with the terminal's settings from before and after in two files, and say how it ended.
fn watched(name: &str, rate: &str) -> (String, [PathBuf; 2]) {
    let settings = ["before", "after"].map(|when| scratch(&format!("{name}.{when}")));
    let [before, after] = settings.each_ref().map(|path| text(path));
    let watch = format!("echo pid \\$\\$; exec '{TESTER}' watch gitlog --heap 1M --rate {rate}");
    let commands = format!("stty -g >'{before}'; (sh -c \"{watch}\"); echo status $?.; stty -g >'{after}'; echo gone");
    (commands, settings)
}

fn assert_as_before(settings: &[PathBuf; 2]) {
    let [before, after] = settings.each_ref().map(|path| fs::read_to_string(path).expect("stty wrote it"));
    assert!(before == after && !before.is_empty(), "{before} became {after}");
}

#[test]
fn watch_shows_the_trace_and_gives_the_terminal_back() {
    let (commands, settings) = watched("keys", "10000");
    let Some(mut terminal) = Terminal::run(&commands) else { return };
    for text in [ENTER, "gitlog in 1 MiB", "10,000/s"] {
        terminal.wait_for(text);
    }
    for (keys, text) in [
        (" ", "paused at 10,000/s"),
        ("+", "paused at 20,000/s"),
        ("-", "paused at 10,000/s"),
        (" ", "10,000/s · space"),
        ("+++++", "the end"),
        ("q", SHOW_CURSOR),
    ] {
        terminal.press(keys);
        terminal.wait_for(text);
    }
    for text in [LEAVE, "after operation 70,951 of 70,951", "status 0.", "gone"] {
        terminal.wait_for(text);
    }
    assert_as_before(&settings);
}

#[test]
fn a_paused_trace_goes_on_by_steps() {
    let (commands, _) = watched("steps", "1");
    let Some(mut terminal) = Terminal::run(&commands) else { return };
    terminal.press(" ");
    terminal.wait_for("paused at 1/s");
    terminal.wait_for("after operation ");
    terminal.wait_for(" of 70,951");
    let paused: u32 = terminal.passed.parse().expect("a number");
    for _ in 0..20 {
        terminal.press("\u{1b}[C");
    }
    terminal.wait_for(&format!("after operation {} of 70,951", paused + 20));
    terminal.press("\u{3}");
    terminal.wait_for(LEAVE);
}

#[test]
fn a_signal_ends_watch_and_the_terminal_is_as_it_was() {
    for (signal, status) in [("TERM", "143"), ("INT", "130"), ("HUP", "129")] {
        let (commands, settings) = watched(signal, "100");
        let Some(mut terminal) = Terminal::run(&commands) else { return };
        let process = terminal.watching();
        let sent = Command::new("kill").args([format!("-{signal}"), process]).status().expect("there is kill");
        assert!(sent.success());
        for text in [SHOW_CURSOR, LEAVE, &format!("status {status}."), "gone"] {
            terminal.wait_for(text);
        }
        assert_as_before(&settings);
    }
}

#[test]
fn watch_ends_with_its_terminal() {
    let (commands, _) = watched("gone", "100");
    // Once as it is; and once under a shell that does not hand the news on.
    for commands in [commands.clone(), format!("trap '' HUP; {commands}")] {
        let Some(mut terminal) = Terminal::run(&commands) else { return };
        let process = terminal.watching();
        drop(terminal);
        wait_for_end(&process);
    }
}

fn wait_for_end(process: &str) {
    let end = Instant::now() + PATIENCE;
    while is_running(process) {
        if Instant::now() > end {
            let _ = Command::new("kill").args(["-KILL", process]).status();
            panic!("it runs on without a terminal");
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a process is there, and is more than what its parent has yet to be told.
fn is_running(process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z') && !line.contains('X'))
}

//! `tester map`, `film`, `plot` and `watch` as their users meet them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use roxmltree::Document;
use serde_json::Value;
use slabfit_linux::text::Count;

use crate::tester_common::{file, scratch, tester, text};

/// What a run that succeeds has written to its output file, and said.
fn made(name: &str, arguments: &[&str]) -> (String, String) {
    let path = scratch(name);
    let _ = fs::remove_file(&path);
    let run = tester(&[arguments, &["-o", text(&path)]].concat());
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{arguments:?}: {}", run.stdout);
    let said =
        run.stdout.strip_prefix(text(&path)).and_then(|rest| rest.strip_prefix(": ")).expect("it names the file");
    (fs::read_to_string(path).expect("it was written"), said.to_owned())
}

/// A trace of three objects, and one that never fits into 64 KiB.
fn small_trace() -> &'static Path {
    static TRACE: LazyLock<PathBuf> =
        LazyLock::new(|| file("small.rep", "a 0 64\na 1 10000\na 2 1000\nf 1\nr 2 4000\na 3 60000\nf 3\nf 0\nf 2\n"));
    &TRACE
}

#[test]
fn a_map_shows_the_heap_after_the_operation_asked_for() {
    let trace = small_trace();
    let map = |at: &str| made("at.svg", &["map", text(trace), "--heap", "64K", "--at", at]);
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
    let (trace, out) = (text(trace), text(&out));
    tester(&["map", trace, "--heap", "64K", "--at", "10", "-o", out]).refuses("--at 10: the trace has 9 operations");
    let line = "invalid value 'now' for '--at <OPERATION>': not a number of operations, 'peak' or 'end'";
    tester(&["map", trace, "--heap", "64K", "--at", "now", "-o", out]).refuses(line);
    tester(&["map", "nothing", "--heap", "64K", "-o", out])
        .refuses("cannot read nothing: No such file or directory (os error 2)");
    let nowhere = "/nonexistent/out.svg";
    let line = format!("cannot write {nowhere}: No such file or directory (os error 2)");
    for command in ["map", "film", "plot"] {
        tester(&[command, trace, "--heap", "64K", "-o", nowhere]).refuses(&line);
    }
    let run = tester(&["map", trace, "--heap", "65G", "-o", out]);
    assert!(run.status == Some(2) && run.stderr.starts_with("tester: cannot make the heap: "), "{}", run.stderr);
    for frames in ["0", "2001", "x"] {
        let line = format!("invalid value '{frames}' for '--frames <N>': not a number of frames from 1 to 2000");
        tester(&["film", trace, "--heap", "64K", "--frames", frames, "-o", out]).refuses(&line);
    }
    assert!(!Path::new(out).exists());
}

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
    let (page, _) = made("short.html", &["film", text(small_trace()), "--heap", "64K", "--frames", "100"]);
    assert_eq!(film_data(&page)["frames"].as_array().map(Vec::len), Some(10));
    let empty = file("empty.rep", "");
    let (page, _) = made("empty.html", &["film", text(&empty), "--heap", "64K"]);
    assert_eq!(film_data(&page)["frames"].as_array().map(Vec::len), Some(1));
    made("empty.svg", &["plot", text(&empty), "--heap", "64K"]);
}

#[test]
fn a_plot_has_the_figures_of_the_heap() {
    let (svg, said) = made("plot.svg", &["plot", text(small_trace()), "--heap", "64K"]);
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
    let of = |heap: &str| made("marked.svg", &["plot", text(small_trace()), "--heap", heap]).0;
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
    let (svg, _) = made("largest.svg", &["map", text(small_trace()), "--heap", "64GiB"]);
    assert!(svg.contains("small in 64 GiB") && svg.contains("1 of 268,435,456 slots"), "{}", svg.len());
}

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

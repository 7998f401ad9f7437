//! What the system says of this process: its memory, its limits, and how others like it end.

use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::{env, fs};

/// A line of /proc/self/smaps and what follows it.
#[derive(Debug)]
pub struct Area {
    pub addresses: Range<usize>,
    pub access: String,
    pub resident: usize,
    pub huge: usize,
}

impl Area {
    pub fn len(&self) -> usize {
        self.addresses.len()
    }
}

/// The areas of this process's memory, as far as they lie inside `addresses`: the kernel joins neighbours that are alike,
/// such as the guards of two heaps.
pub fn areas_in(addresses: Range<usize>) -> Vec<Area> {
    let mut areas: Vec<Area> = Vec::new();
    for line in fs::read_to_string("/proc/self/smaps").expect("/proc is there").lines() {
        let mut words = line.split_whitespace();
        let (Some(first), Some(second)) = (words.next(), words.next()) else { continue };
        if let Some((start, end)) = first.split_once('-') {
            let [start, end] = [start, end].map(|hex| usize::from_str_radix(hex, 16).expect("an address"));
            areas.push(Area { addresses: start..end, access: second.to_owned(), resident: 0, huge: 0 });
        } else if let Some(area) = areas.last_mut() {
            let bytes = second.parse::<usize>().map_or(0, |kib| kib * 1024);
            match first {
                "Rss:" => area.resident = bytes,
                "AnonHugePages:" => area.huge = bytes,
                _ => {}
            }
        }
    }
    for area in &mut areas {
        let (start, end) = (area.addresses.start.max(addresses.start), area.addresses.end.min(addresses.end));
        area.addresses = start..end;
    }
    areas.retain(|area| !area.addresses.is_empty());
    areas
}

/// How many readable and writable areas have exactly this size: a size that nothing else has finds a heap.
pub fn open_areas_of(size: usize) -> usize {
    areas_in(0..usize::MAX).iter().filter(|area| area.len() == size && area.access == "rw-p").count()
}

/// A figure of /proc/self/status that is given in kB.
pub fn status_bytes(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is there");
    let line = status.lines().find(|line| line.starts_with(name)).expect("the kernel counts it");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number") * 1024
}

pub fn page_size() -> usize {
    // SAFETY: it reads a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("there are pages")
}

/// How a process ends that writes one byte and does nothing else.
pub fn status_of_a_write_to(byte: *mut u8) -> ExitStatus {
    // SAFETY: the child calls nothing but `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork fails");
    if child == 0 {
        // SAFETY: none: that this may be the process's end is what is asked.
        unsafe { byte.write_volatile(1) };
        // SAFETY: ends the child.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: the child is this process's own, and `status` is there.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    ExitStatus::from_raw(status)
}

/// Runs a test in a process that has no other threads: this same program, asked for this one test.
pub fn in_own_process(test: &str, work: impl FnOnce()) {
    const CHILD: &str = "SLABFIT_TEST_CHILD";
    if env::var_os(CHILD).is_some() {
        return work();
    }
    let mut child = Command::new(env::current_exe().expect("a test has an executable"));
    child.args([test, "--exact", "--nocapture"]).env(CHILD, test);
    let output = child.output().expect("it starts again");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{}\n{stdout}\n{stderr}", output.status);
    print!("{stdout}");
}

pub fn with_limit(resource: libc::__rlimit_resource_t, bytes: usize, work: impl FnOnce()) {
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `before` is there.
    assert_eq!(unsafe { libc::getrlimit(resource, &raw mut before) }, 0);
    let limited = libc::rlimit { rlim_cur: bytes as libc::rlim_t, ..before };
    // SAFETY: `limited` is there.
    assert_eq!(unsafe { libc::setrlimit(resource, &raw const limited) }, 0);
    work();
    // SAFETY: `before` is there.
    assert_eq!(unsafe { libc::setrlimit(resource, &raw const before) }, 0);
}

//! Figures that other programs measure, as lines of the table: `ci/quick/49-embedded` and `tester footprint --csv`.

use crate::numbers::Spread;
use crate::subject::Kind;
use crate::table::Table;
use crate::targets::OURS;
use std::fs;
use std::path::Path;

/// Names of a firmware's allocators where they are not the benchmark's.
const NAMES: [(&str, &str); 2] = [("linked-list", "linked_list_allocator"), ("embedded-alloc", "embedded-alloc")];
/// The allocator that memory is compared with.
const SYSTEM: &str = "the system's";

/// The lines of all that is there, beside the benchmark's own `results`.
pub fn load(results: &Path) -> Table {
    let read = |path: &str| fs::read_to_string(results.join(path)).unwrap_or_default();
    let mut table = flash(&read("../../targets/embedded/results/all.csv"));
    table.update(footprint(&read("footprint.csv")));
    table
}

/// A subject's name and kind: one of ours by the beginning of its name.
fn subject(name: &str, others: Kind) -> (&str, Kind) {
    let spelled = name.replace('-', " ");
    match OURS.iter().find(|ours| ours.starts_with(&spelled)) {
        Some(ours) => (ours, Kind::Ours),
        None => (NAMES.iter().find(|(from, _)| *from == name).map_or(name, |(_, to)| to), others),
    }
}

/// Of lines `allocator,figure,value` those about flash.
fn flash(text: &str) -> Table {
    let mut table = Table::default();
    for line in text.lines() {
        let fields: Vec<_> = line.split(',').collect();
        let [name, figure, value] = fields[..] else { continue };
        let (Some(build), Ok(value)) = (figure.strip_prefix("flash."), value.parse()) else { continue };
        let (name, kind) = subject(name, Kind::NoStd);
        table.add("flash", name, kind, &format!("{} bytes", build.replace('.', " -O")), Spread::exact(value));
    }
    table
}

/// Of lines `work,allocator,slab size,heap,live,resident,ms` the resident bytes, of the system's allocator's.
fn footprint(text: &str) -> Table {
    let lines: Vec<(&str, &str, f64)> = text.lines().filter_map(resident).collect();
    let mut table = Table::default();
    for &(work, name, bytes) in &lines {
        let Some((.., system)) = lines.iter().find(|(at, name, _)| *at == work && *name == SYSTEM) else { continue };
        let (name, kind) = subject(if name == SYSTEM { "glibc" } else { name }, Kind::System);
        table.add("footprint", name, kind, &format!("{work} resident"), Spread::exact(bytes / system));
    }
    table
}

fn resident(line: &str) -> Option<(&str, &str, f64)> {
    let fields: Vec<_> = line.split(',').collect();
    let [work, allocator, .., resident, _] = fields[..] else { return None };
    Some((work, allocator, resident.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firmwares_flash_is_a_figure_of_its_target_and_optimisation() {
        let table = flash(
            "allocator,figure,value\nslabfit-first,flash.thumbv7m.s,8988\nlinked-list,flash.thumbv7m.s,636\ntalc,data,28\n",
        );
        assert_eq!(table.value("flash", "slabfit first fit", "thumbv7m -Os bytes"), Some(8988.0));
        assert_eq!(table.value("flash", "linked_list_allocator", "thumbv7m -Os bytes"), Some(636.0));
        assert_eq!(table.lines.len(), 2);
    }

    #[test]
    fn memory_is_compared_with_the_systems_allocator() {
        let header = "work,allocator,slab size,heap,live,resident,ms";
        let table = footprint(&format!("{header}\ngs,slabfit general,0,9,8,150,2.5\ngs,the system's,,,8,100,2.0\n"));
        assert_eq!(table.value("footprint", "slabfit general", "gs resident"), Some(1.5));
        assert_eq!(table.value("footprint", "glibc", "gs resident"), Some(1.0));
    }
}

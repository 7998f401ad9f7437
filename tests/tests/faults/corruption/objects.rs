//! Writes out of objects and into freed ones, and random bytes anywhere.

use fastrand::Rng;
use slabfit::GRANULE;
use slabfit_tests::abuse::lab::Lab;

use super::FARTHEST;
use super::bench::{Bench, kind_of, region_of};

/// Overflows and underflows of every length from every object, as far as there is memory.
pub fn overflows(bench: &mut Bench) {
    let region = region_of(bench);
    for (address, usable) in bench.live() {
        for len in 1..=FARTHEST {
            let (over, under) = (address + usable, address.saturating_sub(len));
            for (from, neighbour) in [(over, over), (under, address - 1)] {
                let to = from + len;
                if from < region.start || to > region.end {
                    continue;
                }
                bench.lab.restore(&bench.middle);
                let kind = kind_of(&bench.lab, neighbour);
                bench.count(kind);
                for sort in 0..5 {
                    bench.trial(|lab, rng| {
                        let bytes = ink(lab, from, len, sort, rng);
                        lab.write(from, &bytes);
                    });
                }
            }
        }
    }
}

/// Every object is freed and then written to, as far as it reached, and behind it.
pub fn writes_after_free(bench: &mut Bench) {
    let region = region_of(bench);
    for (address, usable) in bench.live() {
        for sort in 0..5 {
            let pieces = [(address, usable), (address, 8), (address + 8, 8), (address, usable + GRANULE)];
            let granules = (address..address + usable).step_by(GRANULE).map(|at| (at, GRANULE));
            for (at, len) in pieces.into_iter().chain(granules) {
                if at + len > region.end {
                    continue;
                }
                bench.count("a freed object");
                bench.trial(|lab, rng| {
                    assert_eq!(lab.free(address).unwrap(), Ok(()));
                    let bytes = ink(lab, at, len, sort, rng);
                    lab.write(at, &bytes);
                });
            }
        }
    }
}

/// Random bytes over the whole heap, over a part of it, over single bytes here and there.
pub fn random_fill(bench: &mut Bench, times: u64) {
    let region = region_of(bench);
    for nth in 0..times {
        bench.count("random bytes");
        bench.trial(|lab, rng| match nth % 3 {
            0 => scatter(lab, rng, region.start, region.len()),
            1 => {
                let from = rng.usize(region.clone());
                let len = rng.usize(..=region.end - from);
                scatter(lab, rng, from, len);
            }
            _ => {
                for _ in 0..rng.usize(1..20) {
                    scatter(lab, rng, rng.clone().usize(region.clone()), 1);
                    rng.u8(..);
                }
            }
        });
    }
}

fn scatter(lab: &mut Lab, rng: &mut Rng, from: usize, len: usize) {
    let bytes: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(len).collect();
    lab.write(from, &bytes);
}

/// Bytes to write: zeros, ones, a letter, what lies there with every bit turned, or anything.
fn ink(lab: &Lab, address: usize, len: usize, sort: usize, rng: &mut Rng) -> Vec<u8> {
    match sort {
        0 => vec![0; len],
        1 => vec![0xFF; len],
        2 => vec![b'A'; len],
        3 => lab.read(address, len).iter().map(|byte| !byte).collect(),
        _ => std::iter::repeat_with(|| rng.u8(..)).take(len).collect(),
    }
}

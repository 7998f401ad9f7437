//! Writes over headers: each bit, imitations, circles, and forgeries in user data.

use slabfit::{GRANULE, InvalidFree, MAGIC, Reason};
use slabfit_tests::header::LINK;
use slabfit_tests::model::Header;

use super::bench::Bench;

/// Each bit and each byte of every header.
pub fn bits_and_bytes(bench: &mut Bench) {
    for header in bench.headers() {
        for at in 0..GRANULE {
            let address = header.address + at;
            for bit in 0..8 {
                bench.count(if header.live { "a bit of a live header" } else { "a bit of a free header" });
                bench.trial(|lab, _| {
                    let byte = lab.read(address, 1)[0] ^ 1 << bit;
                    lab.write(address, &[byte]);
                    // The map of covered bytes: length and magic of a live block's header, and nothing else, is compared.
                    let compared = at < size_of::<i32>() || (LINK..LINK + size_of::<usize>()).contains(&at);
                    let covered = header.live && compared;
                    let hit = lab.note();
                    assert_eq!(hit, usize::from(covered), "byte {at} of {header:x?}");
                });
            }
            for byte in [0, 1, 0x7F, 0x80, 0xFF, b'A'] {
                bench.trial(|lab, _| lab.write(address, &[byte]));
            }
        }
    }
}

/// Headers that look right and are not, pointers that lead anywhere.
pub fn imitations(bench: &mut Bench) {
    let headers = bench.headers();
    let free: Vec<usize> = headers.iter().filter(|header| !header.live).map(|header| header.address).collect();
    for (nth, &header) in headers.iter().enumerate() {
        let others = [headers[(nth + 1) % headers.len()], headers[nth / 2]];
        pointers(bench, header, others, free[nth % free.len()]);
        lengths(bench, header, others[0].length);
        for other in others {
            copies(bench, header.address, other.address);
        }
    }
    circles(bench, &free);
    forgeries(bench);
}

/// A header's pointer leads to other headers, beside them, out of the heap, and to what is no address.
fn pointers(bench: &mut Bench, header: Header, others: [Header; 2], free: usize) {
    let (base, size) = (bench.lab.base(), bench.lab.heap().size());
    let pointers = [
        header.address,
        free,
        others[0].address,
        others[0].address + GRANULE,
        others[1].address + LINK,
        header.address + 1,
        header.address - GRANULE,
        base,
        base - GRANULE,
        base + size,
        base + size - GRANULE,
        0,
        1,
        MAGIC,
        usize::MAX,
        usize::MAX & !15,
        1 << 63,
        0x7FFF_FFFF_F000,
        (&raw const size).addr(),
    ];
    for pointer in pointers {
        bench.count("a pointer");
        bench.trial(|lab, _| lab.write(header.address + LINK, &pointer.to_ne_bytes()));
    }
}

/// A header has another length, alone, together with the magic number, and as a free block that is alone.
fn lengths(bench: &mut Bench, header: Header, others: i32) {
    let own = header.length;
    for length in [0, 1, -1, 16, -16, own + 16, own - 16, own ^ 16, i32::MIN, i32::MAX, i32::MAX - 15, others] {
        bench.count("a length");
        bench.trial(|lab, _| lab.write(header.address, &length.to_ne_bytes()));
        for link in [MAGIC, 0] {
            bench.trial(|lab, _| {
                lab.write(header.address, &length.to_ne_bytes());
                lab.write(header.address + LINK, &link.to_ne_bytes());
            });
        }
    }
}

/// A header is written over another, and two change places.
fn copies(bench: &mut Bench, header: usize, other: usize) {
    bench.count("another's header");
    bench.trial(|lab, _| {
        let copy = lab.read(other, GRANULE).to_vec();
        lab.write(header, &copy);
    });
    bench.trial(|lab, _| {
        let (one, two) = (lab.read(header, GRANULE).to_vec(), lab.read(other, GRANULE).to_vec());
        lab.write(header, &two);
        lab.write(other, &one);
    });
}

/// Every two free headers point to each other; all of them in a ring.
fn circles(bench: &mut Bench, free: &[usize]) {
    for &one in free {
        for &two in free {
            bench.count("a circle");
            bench.trial(|lab, _| {
                lab.write(one + LINK, &two.to_ne_bytes());
                lab.write(two + LINK, &one.to_ne_bytes());
            });
        }
    }
    bench.trial(|lab, _| {
        for (&one, &next) in free.iter().zip(free.iter().cycle().skip(1)) {
            lab.write(one + LINK, &next.to_ne_bytes());
        }
    });
}

/// Headers in user data: what they claim to begin is refused, at every granule of every payload.
fn forgeries(bench: &mut Bench) {
    for (address, usable) in bench.live() {
        for header in (address..address + usable - GRANULE).step_by(GRANULE) {
            bench.count("a forged header");
            bench.trial(|lab, rng| {
                let length = [usable as i32 - 16, 16, 32, i32::MAX][rng.usize(..4)];
                lab.write(header, &length.to_ne_bytes());
                lab.write(header + LINK, &MAGIC.to_ne_bytes());
                let refused = Err(InvalidFree { address: header + GRANULE, reason: Reason::NotAStart });
                assert_eq!(lab.free(header + GRANULE).unwrap(), refused);
                assert!(lab.realloc(header + GRANULE, 1, 1).unwrap().is_err());
            });
        }
    }
}

//! The checker against one break of the classes at a time.

use core::ops::Range;
use std::vec::Vec;

use super::{GeneralHeap, classes, with_busy_heap};
use crate::classes::{Classes, Magazine, MayHave};
use crate::error::Violation;
use crate::stats::CLASSES;
use crate::units::BITS;

/// Changes something in the classes, which must be reported, and back.
fn reports(heap: &GeneralHeap<'_>, what: &str, change: impl Fn(&mut Classes<'_>)) {
    let turn = || change(heap.lock_blocks().unwrap().classes.get_mut().unwrap());
    turn();
    let found = heap.check();
    assert!(!matches!(found, Ok(()) | Err(Violation::Reentered)), "{what}: {found:?}");
    turn();
    assert_eq!(heap.check(), Ok(()), "{what}, put right");
}

#[test]
fn every_class_of_a_kib_that_is_changed_is_reported() {
    with_busy_heap(|heap| {
        for kib in 0..classes(heap, |classes| classes.class_of_mut().len()) {
            for change in [1, 2, 3, 5, 16, 255] {
                reports(heap, &std::format!("KiB {kib}, {change}"), |classes| {
                    *classes.class_of_mut().get_mut(kib).unwrap() ^= change;
                });
            }
        }
    });
}

#[test]
fn every_mark_that_is_flipped_is_reported() {
    with_busy_heap(|heap| {
        for word in 0..classes(heap, |classes| classes.marks_mut().len()) {
            for bit in (0..BITS).filter(|bit| bit % 4 == 0 || word % 7 == 0) {
                reports(heap, &std::format!("mark {bit} of word {word}"), |classes| {
                    *classes.marks_mut().get_mut(word).unwrap() ^= 1 << bit;
                });
            }
        }
    });
}

#[test]
fn every_bit_of_the_open_runs_that_is_flipped_is_reported() {
    with_busy_heap(|heap| {
        let places: Vec<Range<usize>> =
            classes(heap, |classes| (0..classes.open.levels()).map(|level| classes.open.places(level)).collect());
        for place in places.into_iter().flatten() {
            for bit in 0..BITS {
                reports(heap, &std::format!("bit {bit} of word {place}"), |classes| {
                    *classes.open.word_mut(place).unwrap() ^= 1 << bit;
                });
            }
        }
    });
}

#[test]
fn every_field_of_a_magazine_that_is_changed_is_reported() {
    with_busy_heap(|heap| {
        for class in 0..classes(heap, |classes| classes.count()) {
            let held = classes(heap, |classes| classes.held(class));
            // The count, what is out, the runs, and each slot that is held. (A count that is a little off may make
            // another magazine that is whole.)
            for field in (0..3).chain(4..4 + held) {
                for change in [if field == 0 { 64 } else { 1 }, 1 << 31] {
                    reports(heap, &std::format!("field {field} of class {class}, {change}"), |classes| {
                        *classes.magazine_mut(class).unwrap().field_mut(field).unwrap() ^= change;
                    });
                }
            }
            // What is above the count is nobody's.
            for field in 4 + held..4 + Magazine::SLOTS {
                classes(heap, |classes| *classes.magazine_mut(class).unwrap().field_mut(field).unwrap() ^= 1);
                assert_eq!(heap.check(), Ok(()));
            }
        }
    });
}

#[test]
fn two_slots_of_a_magazine_that_are_the_same_are_reported() {
    with_busy_heap(|heap| {
        let mut tried = 0;
        for class in (0..CLASSES).filter(|class| classes(heap, |classes| classes.held(*class)) > 1) {
            tried += 1;
            let first = classes(heap, |classes| *classes.magazine_mut(class).unwrap().field_mut(4).unwrap());
            let second = classes(heap, |classes| *classes.magazine_mut(class).unwrap().field_mut(5).unwrap());
            reports(heap, "twice", |classes| {
                *classes.magazine_mut(class).unwrap().field_mut(5).unwrap() ^= first ^ second;
            });
        }
        assert!(tried > 8, "{tried} classes");
    });
}

//! Of two frees of one object one is refused, and a wrong free beside a run that is closed and opened again frees what lies there.

use slabfit::{InvalidFree, Reason};
use slabfit_loom::lent::share;

use super::{IN_RUN, Object, SLOT, alloc, alloc_all, free, free_all, play, spawn_second, two_caches};

/// Exactly one of two frees of one object is told that it was the one.
fn assert_freed_once(object: Object, answers: [Result<(), InvalidFree>; 2]) {
    let refused = Err(InvalidFree { address: object, reason: Reason::DoubleFree });
    assert!(answers == [Ok(()), refused] || answers == [refused, Ok(())], "{answers:?}");
}

#[test]
fn of_two_frees_through_two_caches_one_is_refused() {
    play("freed twice, by owner and other", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let object = alloc(&ours, SLOT);
        let sharing = share();
        let second = spawn_second(move || (free(&others, object), others));
        let mine = free(&ours, object);
        let (answer, others) = second.join().expect("it does not panic");
        drop(sharing);
        assert_freed_once(object, [mine, answer]);
        assert_eq!(ours.check(), Ok(()));
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

#[test]
fn of_two_frees_by_others_than_the_owner_one_is_refused() {
    play("freed twice, by cache and heap", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let object = alloc(&ours, SLOT);
        let sharing = share();
        let second = spawn_second(move || (free(&others, object), others));
        let mine = stage.free(object);
        let (answer, others) = second.join().expect("it does not panic");
        drop(sharing);
        assert_freed_once(object, [mine, answer]);
        assert_eq!(ours.check(), Ok(()));
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

/// The run is closed and opened again for slots of `size` bytes, whose first lies where `object` was. What is freed there at any time is
/// the one or the other object, or nothing.
fn a_wrong_free_beside_a_run_that_is_opened_again(name: &str, index: usize, size: usize) {
    play(name, 5, move |stage| {
        let (ours, others) = two_caches(stage);
        let other = alloc(&ours, size);
        free_all(&others, &[other]);
        ours.empty().expect("it is not in the heap");
        let objects = alloc_all::<IN_RUN>(&ours);
        let object = objects[index];
        assert_eq!(other, objects[0], "the run lies where the other was");
        free_all(&others, &objects[..index]);
        free_all(&others, &objects[index + 1..]);
        let sharing = share();
        let second = spawn_second(move || (free(&others, object), others));
        let first = free(&ours, object);
        ours.empty().expect("it is not in the heap");
        let again = alloc(&ours, size);
        let next = free(&ours, again);
        let (answer, others) = second.join().expect("it does not panic");
        drop(sharing);
        let freed = [first, next, answer];
        assert_eq!(freed.iter().filter(|freed| freed.is_ok()).count(), 2, "{object:#x}, {again:#x}: {freed:x?}");
        assert!(object == again || next.is_ok(), "{again:#x} is not {object:#x}");
        assert_eq!(ours.check(), Ok(()));
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

#[test]
fn a_wrong_free_of_what_is_another_object_by_then_frees_that() {
    a_wrong_free_beside_a_run_that_is_opened_again("wrong free, the same place", 0, 48);
}

#[test]
fn a_wrong_free_of_what_is_no_object_by_then_is_refused() {
    a_wrong_free_beside_a_run_that_is_opened_again("wrong free, no place any more", 1, 48);
}

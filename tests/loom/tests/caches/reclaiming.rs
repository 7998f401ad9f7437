//! The heap reclaims runs without a live slot, beside their owners and beside frees by others.

use loom::cell::UnsafeCell;
use slabfit_loom::lent::share;
use slabfit_loom_tests::{DIFFERENT, spawn};

use super::{IN_RUN, SLOT, alloc, alloc_all, free, free_all, play, spawn_second, two_caches};

/// What the heap does before a request fails, beside the last one who returns a slot of a run. Where the run was closed, a block comes to
/// lie in it, after all uses of that slot.
#[test]
fn runs_are_reclaimed_beside_a_free_by_another() {
    play("reclaim beside free", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let objects = alloc_all::<IN_RUN>(&ours);
        free_all(&others, &objects[1..]);
        let object = objects[0];
        let contents = loom::sync::Arc::new(UnsafeCell::new(()));
        let written = contents.clone();
        let sharing = share();
        let second = spawn_second(move || {
            written.with_mut(|_| ());
            (free(&others, object), others)
        });
        stage.heap.empty_magazines().expect("nobody is in the heap");
        let block = stage.heap.alloc(600).expect("there is room").addr().get();
        if (block..block + 600).contains(&(object + SLOT / 2)) {
            contents.with_mut(|_| ());
        }
        let (answer, others) = second.join().expect("it does not panic");
        drop(sharing);
        assert_eq!((answer, stage.free(block), ours.check()), (Ok(()), Ok(()), Ok(())));
        // The owner need not do anything.
        stage.assert_nothing_is_lost();
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

/// The same beside the owner, who takes them back itself; `last` of the slots is live still.
fn runs_are_reclaimed_beside_the_owner(name: &str, live: usize) {
    play(name, 5, move |stage| {
        let (ours, others) = two_caches(stage);
        let objects = alloc_all::<IN_RUN>(&ours);
        free_all(&others, &objects[live..]);
        let sharing = share();
        let second = spawn_second(move || stage.heap.empty_magazines());
        let served = alloc(&ours, SLOT);
        assert_eq!(second.join().expect("it does not panic"), Ok(()));
        drop(sharing);
        assert_eq!(ours.check(), Ok(()));
        free_all(&ours, &[served]);
        free_all(&ours, &objects[..live]);
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

#[test]
fn runs_without_a_live_slot_are_reclaimed_or_taken_back_by_the_owner() {
    runs_are_reclaimed_beside_the_owner("reclaim beside the owner, none live", 0);
}

#[test]
fn runs_with_a_live_slot_are_taken_back_by_the_owner_alone() {
    runs_are_reclaimed_beside_the_owner("reclaim beside the owner, one live", 1);
}

/// The owner and two others, who return slots and have the heap reclaim, all at once.
#[test]
fn an_owner_two_returners_and_the_heap_lose_nothing() {
    play("all at once", 3, |stage| {
        let (ours, others) = two_caches(stage);
        let objects = alloc_all::<{ IN_RUN + 1 }>(&ours);
        free_all(&others, &objects[3..IN_RUN]);
        let [one, two, three, other] = [objects[0], objects[1], objects[2], objects[IN_RUN]];
        let sharing = share();
        let second = spawn_second(move || {
            free_all(&others, &[one, other]);
            others
        });
        let third = spawn(DIFFERENT[2], move || {
            assert_eq!(stage.free(two), Ok(()));
            assert_eq!(stage.heap.empty_magazines(), Ok(()));
        });
        free_all(&ours, &[three]);
        let served = alloc_all::<2>(&ours);
        third.join().expect("it does not panic");
        let others = second.join().expect("it does not panic");
        drop(sharing);
        assert_eq!(ours.check(), Ok(()));
        free_all(&others, &served);
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

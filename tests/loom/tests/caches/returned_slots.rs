//! What others free comes back to its owner, with what they wrote.

use loom::cell::UnsafeCell;
use slabfit_loom::lent::share;
use slabfit_loom_tests::{DIFFERENT, spawn};

use super::{IN_RUN, SLOT, alloc, alloc_all, free, free_all, play, spawn_second, two_caches};

/// The other uses an object before it frees it, and the owner when it is handed out again: in this order, or loom's cell would say so.
#[test]
fn an_owner_takes_back_what_another_frees_meanwhile_and_what_it_wrote() {
    play("alloc beside free", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let objects = alloc_all::<IN_RUN>(&ours);
        let contents = [0, 1].map(|_| loom::sync::Arc::new(UnsafeCell::new(())));
        let written = contents.clone();
        let freed = [objects[0], objects[1]];
        let sharing = share();
        let second = spawn_second(move || {
            for (object, contents) in freed.into_iter().zip(written) {
                contents.with_mut(|_| ());
                assert_eq!(free(&others, object), Ok(()));
            }
            others
        });
        let served = [(); 2].map(|()| alloc(&ours, SLOT));
        for (object, contents) in freed.iter().zip(&contents) {
            if served.contains(object) {
                contents.with_mut(|_| ());
            }
        }
        let others = second.join().expect("it does not panic");
        drop(sharing);
        assert_eq!(ours.check(), Ok(()));
        free_all(&ours, &served);
        free_all(&others, &objects[2..IN_RUN]);
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

/// The owner's magazine is full, and it gives half of it back: a run is closed. Of another one a slot is returned meanwhile, which the
/// owner takes when it has none left.
#[test]
fn an_owner_gives_slots_back_beside_a_free_by_another() {
    play("give back beside free", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let objects = alloc_all::<{ 3 * IN_RUN + 2 }>(&ours);
        // The first run is idle then, and the second and the third fill the magazine.
        free_all(&ours, &objects[..3 * IN_RUN]);
        let [mine, theirs] = [objects[3 * IN_RUN], objects[3 * IN_RUN + 1]];
        let sharing = share();
        let second = spawn_second(move || (stage.free(theirs), stage.heap.empty_magazines()));
        assert_eq!(free(&ours, mine), Ok(()));
        let served = alloc_all::<{ 3 * IN_RUN }>(&ours);
        assert_eq!(second.join().expect("it does not panic"), (Ok(()), Ok(())));
        drop(sharing);
        assert_eq!(ours.check(), Ok(()));
        free_all(&ours, &served);
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

/// Two return slots of one run, whose owner takes them back meanwhile.
#[test]
fn two_return_slots_of_a_run_while_the_owner_takes_them_back() {
    play("two returners and the owner", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let objects = alloc_all::<IN_RUN>(&ours);
        let [one, two] = [objects[0], objects[1]];
        let third = stage.cache();
        let sharing = share();
        let frees = [(DIFFERENT[1], others, one), (DIFFERENT[2], third, two)]
            .map(|(identity, cache, object)| spawn(identity, move || (free(&cache, object), cache)));
        let served = alloc(&ours, SLOT);
        let caches = frees.map(|thread| {
            let (answer, cache) = thread.join().expect("it does not panic");
            assert_eq!(answer, Ok(()));
            cache
        });
        drop(sharing);
        assert_eq!(ours.check(), Ok(()));
        free_all(&ours, &[served]);
        free_all(&ours, &objects[2..]);
        drop((ours, caches));
        stage.assert_nothing_is_lost();
    });
}

/// The owner's stack has two runs, pushed by two.
#[test]
fn two_return_slots_of_different_runs_of_one_owner() {
    play("two runs on a stack", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let objects = alloc_all::<{ 2 * IN_RUN }>(&ours);
        let [one, two] = [objects[0], objects[IN_RUN]];
        let sharing = share();
        let second = spawn_second(move || (free(&others, one), others));
        assert_eq!(stage.free(two), Ok(()));
        let (answer, others) = second.join().expect("it does not panic");
        drop(sharing);
        assert_eq!((answer, ours.check()), (Ok(()), Ok(())));
        let served = alloc_all::<2>(&ours);
        assert!(served == [one, two] || served == [two, one], "{served:x?} of {one:#x} and {two:#x}");
        free_all(&ours, &objects);
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

/// The links of the stack are seen as they were stored. The order is another than that of the setting of the scene.
#[test]
fn an_owner_takes_back_two_runs_that_another_pushes_meanwhile() {
    play("two runs on a stack beside the owner", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let objects = alloc_all::<{ 2 * IN_RUN }>(&ours);
        let freed = [objects[IN_RUN], objects[0]];
        let sharing = share();
        let second = spawn_second(move || {
            free_all(&others, &freed);
            others
        });
        let served = alloc_all::<2>(&ours);
        let others = second.join().expect("it does not panic");
        drop(sharing);
        assert_eq!(ours.check(), Ok(()));
        free_all(&ours, &served);
        let left = objects.iter().filter(|object| !freed.contains(object));
        left.for_each(|object| assert_eq!(free(&others, *object), Ok(())));
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

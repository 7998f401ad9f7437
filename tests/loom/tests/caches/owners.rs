//! Caches are dropped, attached and recovered beside frees by others.

use slabfit::CacheError;
use slabfit_loom::lent::share;

use super::{IN_RUN, SLOT, alloc, alloc_all, free, free_all, play, spawn_second, two_caches};

/// Whoever is the last one out closes the run: nobody has to ask for it.
#[test]
fn a_cache_is_dropped_beside_a_free_by_another() {
    play("drop beside free", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let object = alloc(&ours, SLOT);
        let sharing = share();
        let second = spawn_second(move || (free(&others, object), others));
        drop(ours);
        let (answer, others) = second.join().expect("it does not panic");
        drop(sharing);
        assert_eq!(answer, Ok(()));
        let stats = stage.stats().caches;
        assert_eq!((stats.attached, stats.run_bytes), (1, 0));
        drop(others);
        stage.assert_nothing_is_lost();
    });
}

/// The next owner of a cache goes on with what others have returned to it, and with what the last one left.
#[test]
fn a_cache_is_attached_beside_a_free_by_another() {
    play("attach beside free", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let object = alloc(&ours, SLOT);
        drop(ours);
        let sharing = share();
        let second = spawn_second(move || (free(&others, object), others));
        let ours = stage.cache();
        let served = alloc(&ours, SLOT);
        let (answer, others) = second.join().expect("it does not panic");
        drop(sharing);
        assert_eq!((answer, ours.check()), (Ok(()), Ok(())));
        free_all(&ours, &[served]);
        drop((ours, others));
        stage.assert_nothing_is_lost();
    });
}

/// One drops a cache and another wants one: it gets what was dropped, whole, or is told that there is none.
#[test]
fn a_cache_is_dropped_beside_who_wants_one() {
    play("drop beside attach", 5, |stage| {
        let (ours, others) = two_caches(stage);
        let rest = (others, stage.cache());
        let objects = alloc_all::<IN_RUN>(&ours);
        let sharing = share();
        let second = spawn_second(move || {
            let cache = stage.heap.cache();
            let served = cache.as_ref().ok().map(|cache| alloc(cache, SLOT));
            (cache, served)
        });
        free_all(&ours, &objects[..1]);
        drop(ours);
        let (cache, served) = second.join().expect("it does not panic");
        drop(sharing);
        match (&cache, served) {
            (Ok(cache), Some(object)) => {
                assert_eq!(cache.check(), Ok(()));
                free_all(cache, &[object]);
            }
            (refused, _) => assert_eq!(refused.as_ref().err(), Some(&CacheError::NoneFree)),
        }
        objects[1..].iter().for_each(|object| assert_eq!(stage.free(*object), Ok(())));
        drop((cache, rest));
        stage.assert_nothing_is_lost();
    });
}

/// Alone, as in the child of a fork: the owners are gone in the midst of whatever they were about.
#[test]
fn what_lies_in_caches_whose_owners_are_gone_is_recovered() {
    play("owners gone", 5, |stage| {
        let (kept, gone) = two_caches(stage);
        let (mine, theirs) = (alloc_all::<IN_RUN>(&kept), alloc_all::<IN_RUN>(&gone));
        free_all(&gone, &mine[1..]);
        free_all(&kept, &theirs[1..]);
        std::mem::forget(gone);
        // SAFETY: there is one thread, and the cache that is gone is never used again.
        assert_eq!(unsafe { stage.heap.recover_caches(Some(&kept)) }, Ok(()));
        assert_eq!((kept.check(), stage.heap.check()), (Ok(()), Ok(())));
        assert_eq!(stage.stats().caches.attached, 1);
        free_all(&kept, &[mine[0], theirs[0]]);
        drop(kept);
        stage.assert_nothing_is_lost();
    });
}

//! The checker finds each break of what a hardened heap knows of its objects.

use std::boxed::Box;
use std::vec::Vec;

use crate::classes::MayHave;
use crate::error::Violation;
use crate::layout::Config;
use crate::memory::RegionArray;
use crate::policy::{FirstFit, General, Hardened, Policy};
use crate::segments::Heap;
use crate::spin::SpinLock;
use crate::units::{Granules, Offset};
use crate::ward::{Code, Ward};

const KEY: [u64; 2] = [3, 5];

/// Runs `test` with a hardened heap that has live objects, one of them with a long rest, and objects in quarantine.
fn with_busy_heap<P: Policy>(test: impl FnOnce(&Heap<'_, SpinLock, P>, &[Offset])) {
    let mut array = Box::new(RegionArray::<{ 256 << 10 }>::new());
    let heap: Heap<'_, SpinLock, P> = Heap::from_memory(&mut *array, Config::without_slab().key(KEY)).unwrap();
    let objects: Vec<_> = (0..200).map(|n| heap.alloc(n * 7).unwrap().as_ptr()).collect();
    for object in objects.iter().step_by(3) {
        // SAFETY: nobody uses the object.
        unsafe { heap.free(*object) }.unwrap();
    }
    let base = heap.base().unwrap().addr().get();
    let starts: Vec<_> = objects.iter().map(|object| Offset::of_byte(object.addr() - base)).collect();
    heap.lock_blocks().unwrap().shrink_warded(starts[199], 3);
    heap.check().unwrap();
    test(&heap, &starts);
}

fn each_break_is_found<P: Policy>() {
    with_busy_heap::<P>(|heap, starts| {
        let check = |what: &str, break_it: &dyn Fn(&mut Ward<'_>), mend: &dyn Fn(&mut Ward<'_>)| {
            break_it(heap.lock_blocks().unwrap().ward.get_mut().unwrap());
            let found = heap.check();
            assert!(matches!(found, Err(Violation::Ward { .. } | Violation::Damaged(_))), "{what}: {found:?}");
            mend(heap.lock_blocks().unwrap().ward.get_mut().unwrap());
            assert_eq!(heap.check(), Ok(()), "{what}");
        };
        let (live, long) = (starts[1], starts[199]);
        let code = |at: &&Offset| heap.lock_blocks().unwrap().ward.get().unwrap().code(**at);
        let freed = *starts.iter().find(|at| code(at) == Code::Freed).unwrap();
        let rest = |at| {
            let blocks = heap.lock_blocks().unwrap();
            blocks.object(at).map(|object| object.capacity - object.size).unwrap()
        };
        for at in [live, long] {
            let rest = rest(at);
            let mend = move |ward: &mut Ward<'_>| {
                ward.forget(at);
                ward.set_live(at, rest);
            };
            check("a live object that is forgotten", &|ward| ward.forget(at), &mend);
            check("a rest that is one more", &|ward| ward.set_live(at, rest + 1), &mend);
            if at == long {
                check("a rest that is more than there is", &|ward| ward.set_live(at, 1 << 20), &mend);
            }
        }
        let quarantine = |ward: &mut Ward<'_>| ward.set_freed(freed);
        check("an object in quarantine that is forgotten", &|ward| ward.forget(freed), &quarantine);
        check("an object in quarantine that is live", &|ward| ward.set_live(freed, 8), &quarantine);
        check("an object in quarantine that is being freed", &|ward| ward.set_busy(freed), &quarantine);
        let inside = starts[198].plus(Granules::new(1));
        check("a code inside an object", &|ward| ward.set_live(inside, 8), &|ward| ward.forget(inside));
        check("a live object in quarantine", &|ward| ward.set_freed(live), &{
            let rest = rest(live);
            move |ward: &mut Ward<'_>| ward.set_live(live, rest)
        });
        let rings = heap.lock_blocks().unwrap().ward.get().unwrap().ring_count();
        for ring in 0..rings {
            let count = heap.lock_blocks().unwrap().ward.get().unwrap().objects(ring).count();
            if count > 0 {
                let before = *heap.lock_blocks().unwrap().ward.get_mut().unwrap().ring_mut(ring).unwrap();
                check("an object that is missing in its ring", &|ward| ward.pop(ring).map(|_| ()).unwrap(), &|ward| {
                    *ward.ring_mut(ring).unwrap() = before
                });
            }
        }
        check("bytes of blocks that are not there", &|ward| ward.block_left(Granules::new(1)), &|ward| {
            ward.block_left(Granules::new(1u32.wrapping_neg()));
        });
    });
}

#[test]
fn each_break_of_codes_and_rings_is_found() {
    each_break_is_found::<Hardened<General>>();
    each_break_is_found::<Hardened<FirstFit>>();
}

#[test]
fn a_rest_of_any_size_is_told_back() {
    with_busy_heap::<Hardened<FirstFit>>(|heap, starts| {
        let mut blocks = heap.lock_blocks().unwrap();
        let ward = blocks.ward.get_mut().unwrap();
        for rest in (0..600).chain((10..36).flat_map(|bit| [(1 << bit) - 1, 1 << bit])) {
            ward.set_live(starts[190], rest);
            assert_eq!(ward.code(starts[190]), Code::Live(rest));
            for digit in 1..10 {
                assert_eq!(ward.code(starts[190].plus(Granules::new(digit))), Code::None, "a digit is no object");
            }
            ward.forget(starts[190]);
        }
    });
}

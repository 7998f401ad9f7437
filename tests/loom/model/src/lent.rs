//! Atomics that lie in lent memory, where they are bytes of the caller's and no others.
//!
//! A model begins [alone](alone): what it sets up then is read and written as it stands in memory, and costs loom nothing. From
//! [`share`] on, until the guard is dropped, loom's own atomics stand for those that were touched before: they are found by address, and
//! begin with what the memory says. So a model touches first what its threads will. The memory always has the last value.
//!
//! There are two kinds. Any thread may reach an `Atomic..`. An `Owners..` is its owner's: loom checks that no two threads reach it
//! unordered, and it is no place where a model branches.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic as real;

use loom::cell::UnsafeCell;
use loom::sync::atomic;
use real::Ordering;

/// What is known of the words of one execution, by their address: in this order, so that every execution makes loom's in the same.
#[derive(Default)]
struct Registry {
    /// The last value of each, and loom's own while it is shared.
    words: BTreeMap<usize, (u64, Option<Rc<atomic::AtomicU64>>)>,
    cells: BTreeMap<usize, Rc<UnsafeCell<()>>>,
    is_shared: bool,
}

// The threads of a model take turns on one thread of the process.
thread_local! {
    static REGISTRY: RefCell<Registry> = RefCell::default();
}

/// Begins a model: nothing is known, and one thread is there.
pub fn alone() {
    REGISTRY.take();
}

/// Lets the threads of a model see each other's words until this is dropped.
#[must_use = "dropping it ends the sharing"]
pub struct Sharing(());

/// Makes loom's atomics of the words that were touched so far. The threads of the model are started afterwards.
pub fn share() -> Sharing {
    REGISTRY.with_borrow_mut(|registry| {
        registry.is_shared = true;
        for (value, word) in registry.words.values_mut() {
            *word = Some(Rc::new(atomic::AtomicU64::new(*value)));
        }
    });
    Sharing(())
}

impl Drop for Sharing {
    /// To be called when the other threads have ended.
    fn drop(&mut self) {
        REGISTRY.with_borrow_mut(|registry| {
            registry.is_shared = false;
            registry.cells.clear();
            registry.words.values_mut().for_each(|(_, word)| *word = None);
        });
    }
}

/// Loom's atomic for a word, if it is shared. Loom may let other threads run inside it, so the registry is not borrowed meanwhile.
fn shared(address: usize) -> Option<Rc<atomic::AtomicU64>> {
    REGISTRY.with_borrow(|registry| {
        let word = registry.words.get(&address).and_then(|(_, word)| word.clone());
        assert!(word.is_some() || !registry.is_shared, "a word that the model has not touched before it was shared");
        word
    })
}

/// Takes down the last value of a word.
fn note(address: usize, value: u64) {
    REGISTRY.with_borrow_mut(|registry| registry.words.entry(address).or_default().0 = value);
}

/// Loom's cell for a word of one owner, if there is more than one thread. It is made when it is touched first.
fn watched(address: usize) -> Option<Rc<UnsafeCell<()>>> {
    REGISTRY.with_borrow_mut(|registry| {
        let cell = || Rc::new(UnsafeCell::new(()));
        registry.is_shared.then(|| Rc::clone(registry.cells.entry(address).or_insert_with(cell)))
    })
}

/// Gives a word another value in one step, and returns the old one; `last` is probably that. Where it would change nothing it writes
/// nothing either: loom does not know that such a write comes before a store that it did not see, and would let a later load find it.
fn update(word: &atomic::AtomicU64, last: u64, order: Ordering, new: impl Fn(u64) -> u64) -> u64 {
    let found = if order == Ordering::AcqRel { Ordering::Acquire } else { Ordering::Relaxed };
    // One that the word does not have shows what it has, and writes nothing.
    let mut guess = if new(last) == last { !last } else { last };
    loop {
        match word.compare_exchange(guess, new(guess), order, found) {
            Ok(old) => return old,
            Err(now) if new(now) == now => return now,
            Err(now) => guess = now,
        }
    }
}

macro_rules! shared_words {
    ($($name:ident: $int:ident,)*) => {$(
        /// See core.
        #[derive(Debug)]
        #[repr(transparent)]
        pub struct $name(real::$name);

        impl $name {
            fn address(&self) -> usize {
                std::ptr::from_ref(self).addr()
            }

            /// Does `loom` where the word is shared, and `alone` where it is not; both give the old value. `new` makes the new one of it,
            /// if there is one.
            fn act(
                &self,
                loom: impl FnOnce(&atomic::AtomicU64) -> u64,
                new: impl FnOnce(u64) -> Option<u64>,
            ) -> $int {
                let old = match shared(self.address()) {
                    Some(word) => loom(&word),
                    None => u64::from(self.0.load(Ordering::Relaxed)),
                };
                // What a load gave need not be the last value.
                let last = new(old).unwrap_or_else(|| u64::from(self.0.load(Ordering::Relaxed)));
                self.0.store(last as $int, Ordering::Relaxed);
                note(self.address(), last);
                old as $int
            }

            /// See core.
            pub fn load(&self, order: Ordering) -> $int {
                self.act(|word| word.load(order), |_| None)
            }

            /// See core.
            pub fn store(&self, value: $int, order: Ordering) {
                let value = u64::from(value);
                self.act(|word| { word.store(value, order); value }, |_| Some(value));
            }

            /// Gives the word the value that `new` makes of it.
            fn update(&self, order: Ordering, new: impl Fn(u64) -> u64) -> $int {
                let last = u64::from(self.0.load(Ordering::Relaxed));
                self.act(|word| update(word, last, order, &new), |old| Some(new(old)))
            }

            /// See core.
            pub fn swap(&self, value: $int, order: Ordering) -> $int {
                self.update(order, |_| u64::from(value))
            }

            /// See core.
            pub fn fetch_or(&self, value: $int, order: Ordering) -> $int {
                self.update(order, |old| old | u64::from(value))
            }

            /// See core.
            pub fn fetch_and(&self, value: $int, order: Ordering) -> $int {
                self.update(order, |old| old & u64::from(value))
            }

            /// See core. It never fails without a cause.
            ///
            /// # Errors
            /// The value, if it is not `seen`.
            pub fn compare_exchange_weak(
                &self,
                seen: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                let (is, new) = (u64::from(seen), u64::from(new));
                let exchange = |word: &atomic::AtomicU64| {
                    word.compare_exchange(is, new, success, failure).unwrap_or_else(|found| found)
                };
                let old = self.act(exchange, |old| (old == is).then_some(new));
                if old == seen { Ok(old) } else { Err(old) }
            }
        }
    )*};
}

shared_words! {
    AtomicU8: u8,
    AtomicU16: u16,
    AtomicU32: u32,
    AtomicU64: u64,
}

macro_rules! owners_words {
    ($($name:ident: $real:ident, $int:ident,)*) => {$(
        #[doc = concat!("`core::sync::atomic::", stringify!($real), "`, which one owner at a time reaches.")]
        #[derive(Debug)]
        #[repr(transparent)]
        pub struct $name(real::$real);

        impl $name {
            /// See core.
            pub fn load(&self, order: Ordering) -> $int {
                if let Some(cell) = watched(std::ptr::from_ref(self).addr()) {
                    cell.with(|_| ());
                }
                self.0.load(order)
            }

            /// See core.
            pub fn store(&self, value: $int, order: Ordering) {
                self.swap(value, order);
            }

            /// See core.
            pub fn swap(&self, value: $int, order: Ordering) -> $int {
                if let Some(cell) = watched(std::ptr::from_ref(self).addr()) {
                    cell.with_mut(|_| ());
                }
                self.0.swap(value, order)
            }
        }
    )*};
}

owners_words! {
    OwnersU32: AtomicU32, u32,
    OwnersU64: AtomicU64, u64,
    OwnersUsize: AtomicUsize, usize,
}

//! Where scenarios are carried out: an allocator, its heap, and every object that is live.

use std::collections::BTreeMap;

use super::Given;
use crate::tester::allocator::Allocator;
use crate::tester::session::{Failure, Place, Session, fail};
use crate::tester::window::Object;

/// Filled and verified at each end of an object. Whole for all but the largest, whose pages are better left untouched.
const FILLED: usize = 64 << 10;
/// Characters of a picture's row: a 4096-byte heap is drawn without loss in 192.
const WIDTH: usize = 96;

/// An allocator under test. Every object it serves is checked to lie in the heap, aligned and apart from every other,
/// is filled, and is verified when it is freed: so no scenario needs to say that objects keep their contents.
pub struct Bench<'a> {
    allocator: &'a dyn Allocator,
    given: Given,
    session: Option<Session<'a>>,
    /// By offset.
    live: BTreeMap<usize, (Object, u64)>,
    served: u64,
}

impl<'a> Bench<'a> {
    pub fn new(allocator: &'a dyn Allocator, given: Given) -> Self {
        Self { allocator, given, session: None, live: BTreeMap::new(), served: 0 }
    }

    /// What the user named.
    pub fn given(&self) -> Given {
        self.given
    }

    /// The allocator itself, for what must be tried before there is a heap.
    pub fn allocator(&self) -> &'a dyn Allocator {
        self.allocator
    }

    /// `Mem_Init`, which must succeed.
    pub fn init(&mut self, size: usize, slab_size: usize) -> Result<(), Failure> {
        self.session = Some(Session::begin(self.allocator, size, slab_size)?);
        Ok(())
    }

    /// The heap.
    pub fn session(&self) -> Result<&Session<'a>, Failure> {
        self.session.as_ref().ok_or_else(|| Failure("the scenario has made no heap".to_owned()))
    }

    /// The heap's own check, where it has one.
    pub fn check(&self) -> Result<(), Failure> {
        self.session.as_ref().map_or(Ok(()), Session::check)
    }

    /// Asks for `size` bytes; `None` is NULL.
    pub fn ask(&mut self, size: usize) -> Result<Option<Object>, Failure> {
        let session = self.session()?;
        let Ok(object) = session.alloc(size)? else { return Ok(None) };
        if let Some((other, _)) = self.overlapping(object) {
            let (at, other_at, other_size) = (Place(object.offset()), Place(other.offset()), other.size());
            fail!("Mem_Alloc({size}) served {at}, inside the live {other_size} bytes at {other_at}");
        }
        if size == session.slab_size() {
            zero_filled(session, object)?;
        }
        let id = self.served;
        for end in object.ends(FILLED) {
            session.window().fill(end, id, 0);
        }
        self.served += 1;
        self.live.insert(object.offset(), (object, id));
        Ok(Some(object))
    }

    /// Asks for `size` bytes, which must be served.
    pub fn serve(&mut self, size: usize) -> Result<Object, Failure> {
        let Some(object) = self.ask(size)? else { fail!("Mem_Alloc({size}) returned NULL, but there is room for it") };
        Ok(object)
    }

    /// Asks for `size` bytes, which must be served at `offset`.
    pub fn serve_at(&mut self, offset: usize, size: usize) -> Result<Object, Failure> {
        let place = Place(offset);
        match self.ask(size)? {
            Some(object) if object.offset() == offset => Ok(object),
            Some(object) => fail!("Mem_Alloc({size}) must be served at {place}, but was at {}", Place(object.offset())),
            None => fail!("Mem_Alloc({size}) must be served at {place}, but returned NULL"),
        }
    }

    /// Asks `count` times for `size` bytes; they must be served at `first` and then every `apart` bytes.
    pub fn serve_row(&mut self, count: usize, size: usize, first: usize, apart: usize) -> Result<Vec<Object>, Failure> {
        (0..count).map(|index| self.serve_at(first + index * apart, size)).collect()
    }

    /// Asks for `size` bytes, for which there must be no room.
    pub fn refuse(&mut self, size: usize) -> Result<(), Failure> {
        match self.ask(size)? {
            None => Ok(()),
            Some(object) => {
                fail!("Mem_Alloc({size}) must return NULL, but was served at {}", Place(object.offset()))
            }
        }
    }

    /// Frees a live object, which must hold what was written.
    pub fn free(&mut self, object: Object) -> Result<(), Failure> {
        if let Some((_, id)) = self.live.remove(&object.offset()) {
            self.verify(object, id)?;
        }
        self.session()?.free(object)
    }

    /// Frees all of them, in their order.
    pub fn free_all(&mut self, objects: impl IntoIterator<Item = Object>) -> Result<(), Failure> {
        objects.into_iter().try_for_each(|object| self.free(object))
    }

    /// Passes an address that is not a live object's to `Mem_Free`: it must be refused, and no live object may change.
    pub fn reject(&mut self, address: *mut u8, what: &str) -> Result<(), Failure> {
        let session = self.session()?;
        // SAFETY: the scenario's threads are this one, which uses no object at `address` from here on: the scenario
        // says that there is none.
        let answer = unsafe { session.free_address(address) };
        if answer.is_ok() {
            let distance = address.addr().wrapping_sub(session.window().base().addr());
            fail!("Mem_Free({}), {what}, must return -1, but returned 0", Place(distance as isize));
        }
        self.live.values().try_for_each(|&(object, id)| self.verify(object, id))
    }

    /// [`reject`](Self::reject) with an address in the heap.
    pub fn reject_at(&mut self, offset: usize, what: &str) -> Result<(), Failure> {
        let base = self.session()?.window().base();
        self.reject(base.wrapping_add(offset), what)
    }

    /// Writes into an object itself, which is then verified no more.
    pub fn write(&mut self, object: Object, at: usize, value: u64) -> Result<(), Failure> {
        self.live.remove(&object.offset());
        self.session()?.window().write_field(object.offset() + at, value);
        Ok(())
    }

    /// The heap as rows of characters; nothing before there is one.
    pub fn picture(&self) -> String {
        let Some(session) = &self.session else { return String::new() };
        let picture = session.draw(self.live.values().map(|&(object, _)| object), WIDTH);
        format!("\nslab   {}\nblocks {}", picture.slab.cells, picture.blocks.cells)
    }

    fn verify(&self, object: Object, id: u64) -> Result<(), Failure> {
        let session = self.session()?;
        object.ends(FILLED).into_iter().try_for_each(|end| session.verify(end, id))
    }

    /// A live object that shares bytes with `object`.
    fn overlapping(&self, object: Object) -> Option<(Object, u64)> {
        let (_, &(before, id)) = self.live.range(..object.end().max(object.offset() + 1)).next_back()?;
        (before.end() > object.offset() || before.offset() == object.offset()).then_some((before, id))
    }
}

fn zero_filled(session: &Session<'_>, object: Object) -> Result<(), Failure> {
    for end in object.ends(FILLED) {
        if let Err(wrong) = session.window().verify_zero(end) {
            let (place, size) = (Place(end.offset() + wrong.at), object.size());
            fail!("Mem_Alloc({size}), the slab size, must be zero-filled, but {place} holds {:#04x}", wrong.found);
        }
    }
    Ok(())
}

//! Scenes: a block segment is set up as a picture shows it, something happens, and the picture is compared.
//!
//! `"XX OOO |XX"` is a used block of two granules, a free one of three, and a used one of two at whose start the rover
//! stands. Under the other policies there is no rover. Blocks are named by their place in the picture, counted from 0. A model runs beside every scene.

use slabfit::{AllocError, Block, ClassStats, Config, GRANULE, Kind, Segment, State, Stats};

use crate::arena::{ALIGNED, Bookkeeping, Setup};
use crate::model::{By, Placement};
use crate::pair::Pair;
use crate::picture;

/// A heap in which a picture came true.
pub struct Scene {
    /// The heap and its model.
    pub pair: Pair,
}

impl Scene {
    /// A heap whose block segment looks like this, at a multiple of 8 KiB, and whose slab has no slots.
    #[track_caller]
    pub fn drawn(picture: &str) -> Self {
        Self::placed(picture, Placement::NextFit)
    }

    /// The same, under a placement.
    #[track_caller]
    pub fn placed(picture: &str, placement: Placement) -> Self {
        let mut scene = Self::fresh(granules_in(picture), 1 << 20, placement);
        let mut blocks = Vec::new();
        for word in picture.split(' ') {
            let (free, granules) = (word.contains('O'), granules_in(word));
            // A rover at the segment's start can only come about when a block with the rover at its end is freed
            // together with the next.
            let parts =
                if word.starts_with("|O") && blocks.is_empty() { vec![2, granules - 2] } else { vec![granules] };
            for part in parts {
                blocks.push((scene.alloc((part - 1) * GRANULE), part, free));
            }
        }
        if placement == Placement::NextFit {
            scene.set_rover(picture, &blocks);
        }
        for (address, _, _) in blocks.iter().filter(|(_, _, free)| *free) {
            scene.pair.free(*address).unwrap().unwrap();
        }
        scene.shows(picture);
        scene
    }

    /// A heap with so many granules of blocks, all free, from a multiple of 8 KiB on, and a third as many granules of slab
    /// with slots of `slab_size` bytes.
    pub fn fresh(granules: usize, slab_size: usize, placement: Placement) -> Self {
        let slab = granules / 3 * GRANULE;
        let config = Config::new(slab_size).slab_bytes(slab);
        let offset = slab.next_multiple_of(ALIGNED) - slab;
        Self::made(Setup { offset, ..Self::setup(slab + granules * GRANULE, config, placement) })
    }

    /// A heap of `size` bytes at a multiple of 8 KiB.
    pub fn of_bytes(size: usize, config: Config) -> Self {
        Self::made(Self::setup(size, config, Placement::NextFit))
    }

    /// A heap of `size` bytes at a multiple of 8 KiB with size classes and no slab.
    pub fn with_classes(size: usize) -> Self {
        Self::made(Self::setup(size, Config::without_slab(), Placement::General))
    }

    /// The same, with so many caches, none of which is attached.
    pub fn with_caches(size: usize, caches: usize) -> Self {
        Self::made(Self::setup(size, Config::without_slab().caches(caches), Placement::General))
    }

    fn setup(size: usize, config: Config, placement: Placement) -> Setup {
        Setup { size, offset: 0, config, placement, bookkeeping: Bookkeeping::Separate(0) }
    }

    fn made(setup: Setup) -> Self {
        Self { pair: Pair::new(setup).expect("a legal heap") }
    }

    /// The rover stands at the end of the block that was allocated last: while all blocks are used, the one before the
    /// rover's place is freed and allocated again.
    fn set_rover(&mut self, picture: &str, blocks: &[(usize, usize, bool)]) {
        let place = picture.find('|').expect("a picture shows the rover");
        let before = granules_in(&picture[..place]);
        let wanted = if before == 0 { 2 } else { before };
        let mut end = 0;
        for &(address, granules, _) in blocks {
            end += granules;
            if end == wanted {
                self.pair.free(address).unwrap().unwrap();
                assert_eq!(self.alloc((granules - 1) * GRANULE), address);
            }
        }
    }

    /// Serves a request and answers with its address.
    #[track_caller]
    pub fn alloc(&mut self, size: usize) -> usize {
        self.alloc_aligned(size, GRANULE)
    }

    /// The same, aligned.
    #[track_caller]
    pub fn alloc_aligned(&mut self, size: usize, align: usize) -> usize {
        self.alloc_aligned_by(By::Heap, size, align)
    }

    /// [`Scene::alloc`] of the heap or of a cache.
    #[track_caller]
    pub fn alloc_by(&mut self, by: By, size: usize) -> usize {
        self.alloc_aligned_by(by, size, GRANULE)
    }

    /// [`Scene::alloc_aligned`] of the heap or of a cache.
    #[track_caller]
    pub fn alloc_aligned_by(&mut self, by: By, size: usize, align: usize) -> usize {
        let served = self.pair.alloc_by(by, size, align).unwrap();
        self.compare();
        let address = served.unwrap_or_else(|error| panic!("{size} bytes: {error}\n{}", self.pair.picture()));
        assert_eq!(address % align.max(GRANULE), 0);
        address
    }

    /// Serves so many requests, one after the other.
    #[track_caller]
    pub fn alloc_many<const COUNT: usize>(&mut self, size: usize) -> [usize; COUNT] {
        self.alloc_many_by(By::Heap, size)
    }

    /// [`Scene::alloc_many`] of the heap or of a cache.
    #[track_caller]
    pub fn alloc_many_by<const COUNT: usize>(&mut self, by: By, size: usize) -> [usize; COUNT] {
        [(); COUNT].map(|()| self.alloc_by(by, size))
    }

    /// Serves a request by a block that takes so many bytes, its header included.
    #[track_caller]
    pub fn alloc_block(&mut self, bytes: usize) -> usize {
        let address = self.alloc(bytes - GRANULE);
        assert!(!self.is_slot(address), "{bytes} bytes");
        address
    }

    /// Asks for what the heap cannot serve.
    #[track_caller]
    pub fn alloc_fails(&mut self, size: usize) -> AllocError {
        self.alloc_fails_by(By::Heap, size)
    }

    /// [`Scene::alloc_fails`] of the heap or of a cache.
    #[track_caller]
    pub fn alloc_fails_by(&mut self, by: By, size: usize) -> AllocError {
        let served = self.pair.alloc_by(by, size, GRANULE).unwrap();
        self.compare();
        served.expect_err("served what it could not")
    }

    /// Frees a block of the picture.
    #[track_caller]
    pub fn free(&mut self, nth: usize) {
        let address = self.payload(nth);
        self.pair.free(address).unwrap().unwrap();
        self.compare();
    }

    /// Frees the objects at these addresses, one after the other.
    #[track_caller]
    pub fn free_all(&mut self, addresses: &[usize]) {
        self.free_all_by(By::Heap, addresses);
    }

    /// [`Scene::free_all`] of the heap or of a cache.
    #[track_caller]
    pub fn free_all_by(&mut self, by: By, addresses: &[usize]) {
        for &address in addresses {
            self.pair.free_by(by, address).unwrap().unwrap();
            self.compare();
        }
    }

    /// Resizes the object at an address, and answers with its address then.
    #[track_caller]
    pub fn realloc_by(&mut self, by: By, address: usize, size: usize) -> usize {
        let moved = self.pair.realloc_by(by, address, size, GRANULE).unwrap();
        self.compare();
        moved.unwrap_or_else(|error| panic!("{size} bytes: {error}\n{}", self.pair.picture()))
    }

    /// Gives all magazines back.
    #[track_caller]
    pub fn empty_magazines(&mut self) {
        self.empty_by(By::Heap);
    }

    /// Gives all magazines back, or all that a cache has at hand.
    #[track_caller]
    pub fn empty_by(&mut self, by: By) {
        self.pair.empty_by(by).unwrap();
        self.compare();
    }

    /// Attaches a cache.
    #[track_caller]
    pub fn attach(&mut self) -> By {
        let cache = self.pair.attach().unwrap();
        self.compare();
        By::Cache(cache.expect("a cache is free"))
    }

    /// Drops an attached cache.
    ///
    /// # Panics
    /// If it is the heap.
    #[track_caller]
    pub fn detach(&mut self, by: By) {
        let By::Cache(cache) = by else { panic!("the heap is no cache") };
        self.pair.detach(cache);
        self.compare();
    }

    /// Resizes a block of the picture and answers with its address.
    #[track_caller]
    pub fn realloc(&mut self, nth: usize, size: usize) -> usize {
        let address = self.payload(nth);
        let moved = self.pair.realloc(address, size, GRANULE).unwrap().unwrap();
        self.compare();
        moved
    }

    /// The address of the payload of a block of the picture.
    pub fn payload(&self, nth: usize) -> usize {
        self.blocks()[nth].address + GRANULE
    }

    /// Compares the picture.
    #[track_caller]
    pub fn shows(&mut self, picture: &str) {
        self.compare();
        assert_eq!(picture::row(self.blocks(), self.pair.heap().rover(), GRANULE), picture);
    }

    /// Compares the picture of the slab: one character a slot.
    #[track_caller]
    pub fn shows_slots(&mut self, picture: &str) {
        self.compare();
        let slots: Vec<Block> = self.pair.heap().blocks().filter(|block| block.segment == Segment::Slab).collect();
        let unit = slots.first().map_or(1, |slot| slot.size);
        assert_eq!(picture::row(slots, None, unit), picture);
    }

    /// Compares everything with the model.
    #[track_caller]
    pub fn compare(&mut self) {
        self.pair.compare().unwrap();
    }

    /// The address of the heap's first byte.
    pub fn base(&self) -> usize {
        self.pair.heap().base().expect("initialised").addr().get()
    }

    /// The heap's figures.
    pub fn stats(&self) -> Stats {
        self.pair.heap().stats().expect("nobody is in the heap")
    }

    /// The figures of the size class whose slots have so many bytes; zeros if it does not exist.
    pub fn class(&self, slot_size: usize) -> ClassStats {
        self.stats().classes.into_iter().find(|class| class.slot_size == slot_size).unwrap_or_default()
    }

    /// Whether the object at an address lies in a slot of a run, and not in a block of its own.
    pub fn is_slot(&self, address: usize) -> bool {
        self.blocks().iter().any(|block| block.kind == Kind::Slot && block.address == address)
    }

    /// The blocks of the block segment.
    pub fn blocks(&self) -> Vec<Block> {
        self.pair.heap().blocks_in(Segment::Blocks).collect()
    }

    /// The free blocks of it.
    pub fn free_blocks(&self) -> Vec<Block> {
        let mut blocks = self.blocks();
        blocks.retain(|block| block.state == State::Free);
        blocks
    }

    /// The live blocks of it.
    pub fn live(&self) -> Vec<Block> {
        let mut blocks = self.blocks();
        blocks.retain(|block| block.state == State::Used);
        blocks
    }
}

fn granules_in(picture: &str) -> usize {
    picture.chars().filter(|mark| "XO".contains(*mark)).count()
}

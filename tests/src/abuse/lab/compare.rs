//! What a lab compares, and what it says where heap and model differ.

use std::fmt::{self, Debug, Write};

use slabfit::GRANULE;

use super::Lab;
use crate::model::Header;
use crate::{header, picture};

/// What the heap did otherwise than the model.
pub struct Deviation(String);

/// What heap and model agree on.
pub type Agreed<T> = Result<T, Deviation>;

impl Lab {
    /// Takes note of which headers are not what they should be, and answers how many live ones are among them.
    pub fn note(&mut self) -> usize {
        self.model.overwritten.clear();
        self.hit.clear();
        for header in self.model.headers() {
            if self.is_wrong(header) {
                self.hit.push(header.address);
                if header.live {
                    self.model.overwritten.insert(header.address);
                }
            }
        }
        self.model.overwritten.len()
    }

    /// Compares everything: rover, blocks, figures, headers, payloads, what the checker says, the memory outside.
    ///
    /// # Errors
    /// A deviation.
    pub fn compare(&mut self) -> Agreed<()> {
        self.compare_places()?;
        self.same("figures", self.heap.stats().ok(), Some(self.model.stats()))?;
        let wrong = self.wrong_headers();
        if let Some(address) = wrong.iter().find(|address| !self.hit.contains(address)) {
            return Err(self.deviation(&format!("the heap wrote a wrong header at {address:#x}")));
        }
        let listed: Vec<usize> = self.heap.overwritten().collect();
        self.same("overwritten headers", &listed, &wrong)?;
        self.same("check finds fault", self.heap.check_all().is_err(), !wrong.is_empty())?;
        self.hit = wrong;
        self.objects().iter().try_for_each(|&(address, usable)| self.verify(address, usable))?;
        self.same("the memory outside is as it was", self.memory.is_clean_outside(), true)
    }

    /// Compares the rover and the blocks.
    ///
    /// # Errors
    /// A deviation.
    pub fn compare_places(&self) -> Agreed<()> {
        self.same("rover", self.heap.rover(), self.model.rover())?;
        if self.heap.blocks().eq(self.model.blocks()) {
            return Ok(());
        }
        Err(self.deviation("the blocks differ"))
    }

    /// The headers in memory that are not what they should be. Their padding is nobody's business.
    pub fn wrong_headers(&self) -> Vec<usize> {
        let headers = self.model.headers().into_iter();
        headers.filter(|&header| self.is_wrong(header)).map(|header| header.address).collect()
    }

    /// A failed comparison.
    ///
    /// # Errors
    /// If the two are not the same.
    pub fn same<T: PartialEq + Debug>(&self, what: &str, heap: T, model: T) -> Agreed<()> {
        if heap == model {
            return Ok(());
        }
        Err(self.deviation(&format!("{what}: the heap says {heap:x?}, the model {model:x?}")))
    }

    /// A deviation of this kind, with both heaps drawn.
    #[cold]
    pub fn deviation(&self, what: &str) -> Deviation {
        let mut text = format!("{what}\n{:?}\nthe last steps:\n", self.case);
        for step in &self.recent {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {step:x?}");
        }
        let heap = picture::heap(self.heap.blocks().take(1 << 20), self.heap.rover());
        let model = picture::heap(self.model.blocks(), self.model.rover());
        Deviation(format!("{text}the heap at {:#x} now:\n{heap}the model now:\n{model}", self.base()))
    }

    pub(super) fn verify(&self, address: usize, usable: usize) -> Agreed<()> {
        let at = self.at(address);
        if self.memory.bytes()[at..at + usable] == self.shadow[at..at + usable] {
            return Ok(());
        }
        Err(self.deviation(&format!("bytes of the object at {address:#x} were changed")))
    }

    fn is_wrong(&self, header: Header) -> bool {
        header::fields(self.read(header.address, GRANULE)) != (header.length, header.link)
    }
}

impl Debug for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

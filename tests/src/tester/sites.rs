//! Where the calls of a recording came from, as people read it: `symbol+0x1d (file)`, or `file+0x11d` where the file has no symbol.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

use object::read::elf::ElfFile64;
use object::{Object, ObjectSegment, ObjectSymbol, SymbolKind};

use crate::tester::extension::{Code, Recorded};

/// The code of a recording, with the symbols of those files that are still there.
pub struct Sites<'a> {
    recorded: &'a Recorded,
    /// By the file's name, once it was looked for.
    files: RefCell<HashMap<&'a str, Symbols>>,
}

/// What a file says of its code; nothing where it is gone, or has no symbols.
#[derive(Default)]
struct Symbols {
    /// Parts of the file: where each stands in it, how long it is, and its address.
    segments: Vec<(u64, u64, u64)>,
    functions: Vec<Function>,
}

struct Function {
    start: u64,
    size: u64,
    name: String,
}

impl<'a> Sites<'a> {
    /// Those of a recording.
    #[must_use]
    pub fn of(recorded: &'a Recorded) -> Self {
        Self { recorded, files: RefCell::default() }
    }

    /// A site's return addresses, the innermost first.
    #[must_use]
    pub fn frames(&self, site: u32) -> Vec<String> {
        self.recorded.sites[site as usize].iter().map(|&address| self.frame(address)).collect()
    }

    fn frame(&self, address: u64) -> String {
        // The call stands before the address that it returns to, and may be a function's last instruction.
        let call = address.wrapping_sub(1);
        let within = |code: &&Code| (code.start..code.end).contains(&call);
        let code = self.recorded.code.iter().find(within).filter(|code| !code.file.is_empty());
        let Some(code) = code else { return format!("{address:#x}") };
        let offset = address - code.start + code.offset;
        let mut files = self.files.borrow_mut();
        let symbols = files.entry(&code.file).or_insert_with(|| Symbols::read(&code.file).unwrap_or_default());
        let file =
            Path::new(&code.file).file_name().map_or_else(|| code.file.clone(), |name| name.to_string_lossy().into());
        match symbols.name(offset - 1) {
            Some((name, into)) => format!("{name}+{:#x} ({file})", into + 1),
            None => format!("{file}+{offset:#x}"),
        }
    }
}

impl Symbols {
    fn read(file: &str) -> Option<Self> {
        let bytes = fs::read(file).ok()?;
        let object: ElfFile64 = ElfFile64::parse(&*bytes).ok()?;
        let segment = |segment: object::read::elf::ElfSegment64<'_, '_>| {
            let (offset, size) = segment.file_range();
            (offset, size, segment.address())
        };
        let functions = object
            .symbols()
            .chain(object.dynamic_symbols())
            .filter(|symbol| symbol.is_definition() && symbol.kind() == SymbolKind::Text && symbol.size() > 0);
        let function = |symbol: object::read::elf::ElfSymbol64<'_, '_>| {
            let name = symbol.name().ok()?.to_owned();
            Some(Function { start: symbol.address(), size: symbol.size(), name })
        };
        Some(Self {
            segments: object.segments().map(segment).collect(),
            functions: functions.filter_map(function).collect(),
        })
    }

    /// The function that holds the byte at `offset` of the file, and how far into it that is.
    fn name(&self, offset: u64) -> Option<(&str, u64)> {
        let holds = |&&(start, size, _): &&(u64, u64, u64)| offset.checked_sub(start).is_some_and(|into| into < size);
        let &(start, _, address) = self.segments.iter().find(holds)?;
        let place = offset - start + address;
        let into = |function: &Function| place.checked_sub(function.start).filter(|&into| into < function.size);
        self.functions.iter().find_map(|function| Some((&*function.name, into(function)?)))
    }
}

//! How much memory a pickle would take, from its opcodes alone: some of a few kilobytes unfold to gigabytes, as each fetch from the memo copies.
//!
//! The opcodes are those of `pickletools` of CPython 3.13. Nothing is executed or built: an entry of the stack is the memory that its object takes.

use std::collections::HashMap;

/// Bytes that the objects of a pickle may take. Those of a generator of 300 tensors take one.
const BUDGET: u64 = 128 << 20;
/// An object, with what points at it.
const OBJECT: u64 = 160;
/// The place in a list, and a point, within the name of a tensor.
const INDEX: u64 = 16;

/// What an object takes.
#[derive(Clone, Copy, Default)]
struct Entry {
    bytes: u64,
    /// Calls within it; each tensor is made by one, and gets the keys and places around it for a name.
    calls: u64,
    /// The longest text within it, which may become a key.
    text: u64,
    /// Where the memo has a copy that a state given to this object changes, too.
    slot: Option<u32>,
}

/// The stack machine.
#[derive(Default)]
struct Machine {
    stack: Vec<Entry>,
    marks: Vec<usize>,
    memo: HashMap<u32, Entry>,
    /// All that was ever made.
    total: u64,
}

/// Checks that the objects of the pickle at the start of `bytes` take no more than a checkpoint's do; where it ends.
///
/// # Errors
/// What is wrong with it, in words.
pub fn measure(bytes: &[u8]) -> Result<usize, String> {
    let mut machine = Machine::default();
    let mut rest = bytes;
    loop {
        let at = bytes.len() - rest.len();
        let ended = machine.step(&mut rest).ok_or_else(|| format!("a pickle that is damaged at byte {at}"))?;
        if machine.total > BUDGET {
            return Err(format!("a pickle whose objects take more than {} MiB", BUDGET >> 20));
        }
        if ended {
            return Ok(bytes.len() - rest.len());
        }
    }
}

impl Machine {
    /// Follows an opcode; whether it was the last one. None for what cannot be.
    fn step(&mut self, rest: &mut &[u8]) -> Option<bool> {
        let opcode = take(rest, 1)?[0];
        match opcode {
            b'.' => return Some(true),
            // PROTO, FRAME
            0x80 => drop(take(rest, 1)?),
            0x95 => drop(take(rest, 8)?),
            // Constants, and what is empty
            b'N' | b')' | b']' | b'}' | 0x88 | 0x89 | 0x8f => self.push(Entry::default(), 0),
            // Numbers of fixed length
            b'K' => self.push_text(take(rest, 1)?),
            b'M' => self.push_text(take(rest, 2)?),
            b'J' => self.push_text(take(rest, 4)?),
            b'G' => self.push_text(take(rest, 8)?),
            // Lines: numbers, texts, a persistent id
            b'I' | b'L' | b'F' | b'S' | b'V' | b'P' => self.push_text(line(rest)?),
            // Texts and bytes after their length, in 1, 4 or 8 bytes
            0x8a | 0x8c | b'U' | b'C' => self.push_text(counted(rest, 1)?),
            0x8b | b'T' | b'X' | b'B' => self.push_text(counted(rest, 4)?),
            0x8d | 0x8e | 0x96 => self.push_text(counted(rest, 8)?),
            // GLOBAL
            b'c' => {
                let (module, name) = (line(rest)?, line(rest)?);
                self.push(Entry::default(), (module.len() + name.len()) as u64);
            }
            b'(' => {
                self.marks.push(self.stack.len());
                self.total += OBJECT / 8;
            }
            // TUPLE, LIST, DICT, FROZENSET, from a mark on
            b't' | b'l' | b'd' | 0x91 => {
                let items = self.items_from_mark(opcode == b'd')?;
                self.push(items, 0);
            }
            0x85..=0x87 => {
                let items = self.pop(usize::from(opcode - 0x84))?;
                self.push(items, 0);
            }
            // APPENDS, ADDITEMS, SETITEMS; APPEND; SETITEM
            b'e' | 0x90 | b'u' => {
                let items = self.items_from_mark(opcode == b'u')?;
                self.add(items)?;
            }
            b'a' => {
                let item = self.pop(1)?;
                self.add(item)?;
            }
            b's' => {
                let first = self.stack.len().checked_sub(2)?;
                let items = self.items_from(first, true)?;
                self.add(items)?;
            }
            // POP: of a mark, if that is what lies on top
            b'0' if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
            b'0' => drop(self.pop(1)?),
            b'1' => drop(self.items_from_mark(false)?),
            b'2' => self.copy(*self.stack.last()?),
            // Memo
            b'g' => self.get(number(line(rest)?)?)?,
            b'h' => self.get(little_endian(take(rest, 1)?) as u32)?,
            b'j' => self.get(little_endian(take(rest, 4)?) as u32)?,
            b'p' => self.put(number(line(rest)?)?)?,
            b'q' => self.put(little_endian(take(rest, 1)?) as u32)?,
            b'r' => self.put(little_endian(take(rest, 4)?) as u32)?,
            0x94 => self.put(self.memo.len() as u32)?,
            // STACK_GLOBAL, BINPERSID
            0x93 => {
                let names = self.pop(2)?;
                self.push(names, 0);
            }
            b'Q' => {
                let id = self.pop(1)?;
                self.push(id, 0);
            }
            // Calls: REDUCE, NEWOBJ, NEWOBJ_EX; one may make a dictionary of pairs
            b'R' | 0x81 | 0x92 => {
                let parts = self.pop(if opcode == 0x92 { 3 } else { 2 })?;
                self.total = self.total.saturating_add(parts.text.saturating_mul(parts.calls));
                self.push(Entry { calls: parts.calls.saturating_add(1), ..parts }, 0);
            }
            // BUILD, after which the memo has a copy of what was built
            b'b' => {
                let state = self.pop(1)?;
                let object = self.stack.pop()?;
                let built = sum(&[object, state]);
                if let Some(slot) = object.slot {
                    self.remember(slot, built);
                }
                self.stack.push(built);
            }
            // Those that no checkpoint has: objects of protocol 0 without a call, extensions, buffers.
            _ => return None,
        }
        Some(false)
    }

    /// Pushes an object of these parts, which were counted, and so many bytes of its own.
    fn push(&mut self, parts: Entry, own: u64) {
        self.total = self.total.saturating_add(OBJECT + own);
        self.stack.push(Entry { bytes: parts.bytes.saturating_add(OBJECT + own), ..parts });
    }

    fn push_text(&mut self, text: &[u8]) {
        let own = text.len() as u64;
        self.push(Entry { text: own, ..Entry::default() }, own);
    }

    fn copy(&mut self, entry: Entry) {
        self.total = self.total.saturating_add(entry.bytes);
        self.stack.push(entry);
    }

    /// Puts parts into the object on top.
    fn add(&mut self, parts: Entry) -> Option<()> {
        let top = self.stack.last_mut()?;
        *top = Entry { slot: top.slot, ..sum(&[*top, parts]) };
        Some(())
    }

    fn pop(&mut self, count: usize) -> Option<Entry> {
        self.items_from(self.stack.len().checked_sub(count)?, false)
    }

    fn items_from_mark(&mut self, named: bool) -> Option<Entry> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len())?;
        self.items_from(mark, named)
    }

    /// Takes what lies from `first` on; with `named`, keys and values, of which each call in a value copies the key. Without, it copies its place.
    fn items_from(&mut self, first: usize, named: bool) -> Option<Entry> {
        // What lies below a mark is out of reach.
        if self.marks.last().is_some_and(|&mark| first < mark) {
            return None;
        }
        let items = self.stack.split_off(first);
        if named {
            for pair in items.chunks(2) {
                let [key, value] = pair else { return None };
                self.total = self.total.saturating_add(key.bytes.saturating_mul(value.calls));
            }
        }
        let items = sum(&items);
        self.total = self.total.saturating_add(items.calls.saturating_mul(INDEX));
        Some(items)
    }

    fn get(&mut self, index: u32) -> Option<()> {
        let entry = *self.memo.get(&index)?;
        self.copy(entry);
        Some(())
    }

    fn put(&mut self, index: u32) -> Option<()> {
        let top = self.stack.last_mut()?;
        top.slot = Some(index);
        let entry = *top;
        self.remember(index, entry);
        Some(())
    }

    /// The memo has a copy.
    fn remember(&mut self, slot: u32, entry: Entry) {
        self.total = self.total.saturating_add(OBJECT + entry.bytes);
        self.memo.insert(slot, Entry { slot: Some(slot), ..entry });
    }
}

fn sum(entries: &[Entry]) -> Entry {
    entries.iter().fold(Entry::default(), |all, entry| Entry {
        bytes: all.bytes.saturating_add(entry.bytes),
        calls: all.calls.saturating_add(entry.calls),
        text: all.text.max(entry.text),
        slot: None,
    })
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(taken)
}

fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    take(rest, end + 1).map(|line| &line[..end])
}

fn counted<'a>(rest: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let count = little_endian(take(rest, width)?);
    take(rest, usize::try_from(count).ok()?)
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn number(digits: &[u8]) -> Option<u32> {
    str::from_utf8(digits).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pickle_ends_where_it_stops() {
        // {'generator': {}}, in protocol 2, and what follows it.
        let pickle = b"\x80\x02}X\x09\0\0\0generator}s.and more";
        assert_eq!(measure(pickle), Ok(pickle.len() - 8));
        for end in 0..pickle.len() - 8 {
            assert!(measure(&pickle[..end]).expect_err("cut").contains("damaged"), "{end}");
        }
        for damaged in [&b"t."[..], b"(0h\x00.", b"s.", b"N(s.", b"\x82\x01.", b"}(Nu.", b"Nq\x05h\x01."] {
            assert!(measure(damaged).is_err(), "{damaged:?}");
        }
    }

    #[test]
    fn what_unfolds_is_refused() {
        let class = [b"c".to_vec(), vec![b'a'; 4000], b"\nb\nq\0".to_vec()].concat();
        let copies = [class, b"h\0".repeat(100_000), b".".to_vec()].concat();
        // Each tuple has the one before twice.
        let doubled = [b"N".to_vec(), b"q\0h\0\x86".repeat(40), b".".to_vec()].concat();
        // Each tensor within gets all keys for a name.
        let key = [b"X".to_vec(), 50_000u32.to_le_bytes().to_vec(), vec![b'k'; 50_000]].concat();
        let tensors = [b"}".to_vec(), key.clone(), b"](".to_vec(), b"ca\nb\n)R".repeat(10_000), b"es.".to_vec()].concat();
        let pairs = [&b"ca\nb\n(](("[..], &key, b"](", &b"ca\nb\n)R".repeat(10_000), b"etetR."].concat();
        // Each tensor within gets its place in each of these.
        let lists = [b"](".to_vec(), b"ca\nb\n)R".repeat(20_000), b"e".to_vec(), b"\x85".repeat(900), b".".to_vec()].concat();
        for bomb in [copies, doubled, tensors, pairs, lists, b"}".repeat(1_000_000)] {
            let error = measure(&bomb).expect_err("a bomb");
            assert!(error.contains("more than 128 MiB"), "{error}");
        }
    }
}

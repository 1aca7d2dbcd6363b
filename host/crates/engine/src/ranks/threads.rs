//! Ranks that are threads of one process: what tests have where there is no MPI.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Integers, Ranks};

/// What a rank brings to a call.
#[derive(Clone, Debug)]
enum Brought {
    Floats(Vec<f32>),
    Bytes(Vec<u8>),
    Sums(Integers),
}

#[derive(Default)]
struct Table {
    /// By rank, until all have brought theirs.
    bringing: Vec<Option<Brought>>,
    /// What all brought to the last call, and to how many calls they did.
    brought: Arc<Vec<Brought>>,
    calls: u64,
    is_over: bool,
}

struct Room {
    table: Mutex<Table>,
    changed: Condvar,
}

/// One of the threads.
pub struct Thread {
    rank: usize,
    room: Arc<Room>,
    sums: VecDeque<Integers>,
    waited: Duration,
    count: usize,
}

/// So many ranks.
pub fn ranks(count: usize) -> Vec<Thread> {
    let table = Table { bringing: vec![None; count], ..Table::default() };
    let room = Arc::new(Room { table: Mutex::new(table), changed: Condvar::new() });
    (0..count).map(|rank| Thread { rank, room: room.clone(), sums: VecDeque::new(), waited: Duration::ZERO, count }).collect()
}

impl Thread {
    /// What all ranks bring to this call.
    fn meet(&mut self, own: Brought) -> Arc<Vec<Brought>> {
        let began = Instant::now();
        let mut table = self.room.table.lock().unwrap_or_else(PoisonError::into_inner);
        let call = table.calls;
        table.bringing[self.rank] = Some(own);
        if table.bringing.iter().all(Option::is_some) {
            let brought = table.bringing.iter_mut().filter_map(Option::take).collect();
            table.brought = Arc::new(brought);
            table.calls += 1;
            self.room.changed.notify_all();
        }
        while table.calls == call && !table.is_over {
            table = self.room.changed.wait(table).unwrap_or_else(PoisonError::into_inner);
        }
        assert!(table.calls > call, "rank {}: another one has ended", self.rank);
        let brought = table.brought.clone();
        drop(table);
        self.waited += began.elapsed();
        brought
    }
}

impl Drop for Thread {
    /// Others that still wait for it would wait for ever.
    fn drop(&mut self) {
        self.room.table.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        self.room.changed.notify_all();
    }
}

impl Ranks for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.count
    }

    fn exchange(&mut self, from: &[f32], to: &mut [f32]) {
        let len = from.len() / self.count;
        let brought = self.meet(Brought::Floats(from.to_vec()));
        for (to, brought) in to.chunks_exact_mut(len).zip(brought.iter()) {
            let Brought::Floats(values) = brought else { panic!("ranks make other calls") };
            to.copy_from_slice(&values[len * self.rank..][..len]);
        }
    }

    fn gather(&mut self, own: &[u8], all: &mut [u8]) {
        let brought = self.meet(Brought::Bytes(own.to_vec()));
        for (to, brought) in all.chunks_exact_mut(own.len()).zip(brought.iter()) {
            let Brought::Bytes(bytes) = brought else { panic!("ranks make other calls") };
            to.copy_from_slice(bytes);
        }
    }

    fn begin_sum(&mut self, values: Integers) {
        self.sums.push_back(values);
    }

    fn finish_sum(&mut self) -> Integers {
        let own = self.sums.pop_front().expect("a sum that was begun");
        let brought = self.meet(Brought::Sums(own));
        let all = brought.iter().map(|brought| match brought {
            Brought::Sums(integers) => integers,
            _ => panic!("ranks make other calls"),
        });
        all.cloned().reduce(plus).expect("a rank")
    }

    fn waited(&self) -> Duration {
        self.waited
    }
}

/// The sums, which fit, or it panics where overflow is checked.
fn plus(mut one: Integers, other: Integers) -> Integers {
    match (&mut one, &other) {
        (Integers::I8(one), Integers::I8(other)) => one.iter_mut().zip(other).for_each(|(one, other)| *one += other),
        (Integers::I16(one), Integers::I16(other)) => one.iter_mut().zip(other).for_each(|(one, other)| *one += other),
        _ => panic!("sums of other widths"),
    }
    one
}

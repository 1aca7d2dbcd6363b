//! A launch's execution: all blocks of a grid, in order, on all threads of the CPU.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::block::Block;
use super::launch::{Launch, LaunchFault};
use crate::profile::Counters;

/// Executes a launch; on a fault the blocks that have not begun are left out.
pub fn run(launch: &Launch) -> (Counters, Result<(), Box<LaunchFault>>) {
    let blocks: u64 = launch.grid.iter().map(|&n| u64::from(n)).product();
    let next = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let total = Mutex::new((Counters::default(), Ok(())));
    let work = || {
        let mut worker = Block::default();
        while !failed.load(Relaxed) {
            let index = next.fetch_add(1, Relaxed);
            if index >= blocks {
                break;
            }
            let [x, y, _] = launch.grid.map(u64::from);
            let ctaid = [(index % x) as u32, (index / x % y) as u32, (index / x / y) as u32];
            if let Err(fault) = worker.run(launch, ctaid)
                && !failed.swap(true, Relaxed)
            {
                total.lock().expect("no worker panics").1 = Err(fault);
            }
        }
        total.lock().expect("no worker panics").0.add(&worker.counters);
    };
    let workers = blocks.min(rayon::current_num_threads() as u64);
    if workers == 1 {
        work();
    } else {
        rayon::scope(|scope| (0..workers).for_each(|_| scope.spawn(|_| work())));
    }
    total.into_inner().expect("no worker panics")
}

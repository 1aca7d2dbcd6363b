//! Tasks over the threads of a pool that follow each other closely: a token is some hundred products of some microseconds.
//!
//! Each thread begins with a range of tasks of its own, so that it goes through memory in order, and then takes what others have left.
//!
//! A thread that ran a task waits for the next one awake, for [`PATIENCE`], and only then goes back to its pool, which puts it to sleep. Who has tasks
//! begins with them at once, and waits for nobody to wake up.

use std::any::Any;
use std::cell::Cell;
use std::hint::spin_loop;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::thread::yield_now;
use std::time::{Duration, Instant};

use rayon::prelude::*;

/// How long a thread waits for another task before it sleeps.
const PATIENCE: Duration = Duration::from_micros(50);
/// Looks for a task between looks at the clock.
const LOOKS: usize = 32;
/// Looks for the end of the others' tasks before the processor is given to another thread.
const LOOKS_AT_END: usize = 10_000;

thread_local! {
    /// The team that a thread leads, while it leads it not.
    static TEAM: Cell<Option<Arc<Team>>> = const { Cell::new(None) };
}

/// Runs the tasks `0..tasks`, in any order, on the threads of the caller's pool. Tasks do not depend on each other.
pub fn for_each(tasks: usize, run: impl Fn(usize) + Sync) {
    let threads = rayon::current_num_threads();
    if tasks <= 1 || threads == 1 {
        return (0..tasks).for_each(run);
    }
    let Some(leader) = rayon::current_thread_index() else { return (0..tasks).into_par_iter().for_each(&run) };
    // A task that has tasks of its own leads another team.
    let team = TEAM.take().unwrap_or_default();
    team.run(leader, threads, tasks, &run);
    TEAM.set(Some(team));
}

/// Calls a closure of that type on the number of a task.
type Call = unsafe fn(*const (), usize);

/// # Safety
/// `run` is a live closure of that type.
unsafe fn call<F: Fn(usize)>(run: *const (), task: usize) {
    // SAFETY: by the caller's contract.
    unsafe { (*run.cast::<F>())(task) }
}

/// Ranges that tasks are divided into, at most.
const RANGES: usize = 16;

/// Tasks that follow each other: the end of them in the upper half, the next one that nobody took in the lower half. Alone in its lines of the cache.
#[derive(Default)]
#[repr(align(128))]
struct Tasks(AtomicU64);

impl Tasks {
    /// Whoever takes one of them from now on sees what was written before.
    fn set(&self, tasks: Range<usize>) {
        let [start, end] = [tasks.start, tasks.end].map(|task| u32::try_from(task).expect("a number of tasks"));
        self.0.store(u64::from(end) << 32 | u64::from(start), Ordering::Release);
    }

    /// The number of a task that is the caller's from now on.
    fn take(&self) -> Option<usize> {
        let open = |state: u64| (state as u32) < (state >> 32) as u32;
        // A look first, so that many do not count the lower half up.
        let state = open(self.0.load(Ordering::Relaxed)).then(|| self.0.fetch_add(1, Ordering::Acquire))?;
        open(state).then_some(state as u32 as usize)
    }
}

/// What a leader shares with those that help it.
#[derive(Default)]
struct Team {
    tasks: [Tasks; RANGES],
    /// The closure that runs them, and its [`Call`]; both belong to the tasks and live until the last of them is done.
    run: AtomicPtr<()>,
    call: AtomicPtr<()>,
    done: AtomicUsize,
    /// Threads that wait for tasks, or were asked to.
    awake: AtomicUsize,
    panicked: AtomicBool,
}

impl Team {
    fn run<F: Fn(usize) + Sync>(self: &Arc<Self>, leader: usize, threads: usize, tasks: usize, run: &F) {
        let function: Call = call::<F>;
        self.run.store(std::ptr::from_ref(run).cast_mut().cast(), Ordering::Relaxed);
        self.call.store(function as *mut (), Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        let ranges = threads.min(RANGES);
        for (i, range) in self.tasks[..ranges].iter().enumerate() {
            range.set(i * tasks / ranges..(i + 1) * tasks / ranges);
        }
        for _ in self.awake.load(Ordering::Relaxed)..(threads - 1).min(tasks - 1) {
            self.awake.fetch_add(1, Ordering::Relaxed);
            let team = self.clone();
            rayon::spawn(move || team.help(leader));
        }
        let mut failure: Option<Box<dyn Any + Send>> = None;
        while let Some(task) = self.take(leader) {
            if let Err(error) = catch_unwind(AssertUnwindSafe(|| run(task))) {
                failure = Some(error);
            }
            self.done.fetch_add(1, Ordering::Release);
        }
        let mut looks = 0;
        while self.done.load(Ordering::Acquire) < tasks {
            looks += 1;
            if looks < LOOKS_AT_END { spin_loop() } else { yield_now() }
        }
        if let Some(error) = failure {
            resume_unwind(error);
        }
        assert!(!self.panicked.swap(false, Ordering::Relaxed), "a task panicked on another thread");
    }

    /// A task for the thread of that number: one of its own, or of the next that has some.
    fn take(&self, thread: usize) -> Option<usize> {
        (thread..thread + RANGES).find_map(|range| self.tasks[range % RANGES].take())
    }

    /// Runs tasks of this team until there has been none for a while.
    fn help(&self, leader: usize) {
        // The leader may find this job itself, while it waits for others of its pool.
        let mut since = Instant::now();
        let mut looks = 0;
        let thread = rayon::current_thread_index().filter(|&thread| thread != leader);
        while let Some(thread) = thread {
            if let Some(task) = self.take(thread) {
                let (run, function) = (self.run.load(Ordering::Relaxed), self.call.load(Ordering::Relaxed));
                // SAFETY: a `Call` was stored there before the tasks that one was taken of, and a taken task that is not done keeps its closure alive,
                // and the leader from storing another.
                let result = catch_unwind(AssertUnwindSafe(|| unsafe { std::mem::transmute::<*mut (), Call>(function)(run, task) }));
                if result.is_err() {
                    self.panicked.store(true, Ordering::Relaxed);
                }
                self.done.fetch_add(1, Ordering::Release);
                (since, looks) = (Instant::now(), 0);
                continue;
            }
            looks += 1;
            if looks % LOOKS == 0 && since.elapsed() > PATIENCE {
                break;
            }
            spin_loop();
        }
        self.awake.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_on_some_thread() {
        for threads in [1, 2, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| {
                for round in 0..2000 {
                    let counts: Vec<AtomicUsize> = (0..round % 40).map(|_| AtomicUsize::new(0)).collect();
                    for_each(counts.len(), |task| {
                        counts[task].fetch_add(1, Ordering::Relaxed);
                        if task == 5 && round % 100 == 6 {
                            // Tasks within a task.
                            for_each(3, |inner| {
                                counts[inner].fetch_add(1000, Ordering::Relaxed);
                            });
                        }
                    });
                    let nested = round % 100 == 6 && counts.len() > 5;
                    for (task, count) in counts.iter().enumerate() {
                        let expected = if nested && task < 3 { 1001 } else { 1 };
                        assert_eq!(count.load(Ordering::Relaxed), expected, "round {round}, task {task}, {threads} threads");
                    }
                    if round % 500 == 0 {
                        std::thread::sleep(4 * PATIENCE);
                    }
                }
            });
        }
    }

    #[test]
    fn a_panic_of_a_task_is_one_of_the_caller() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
        pool.install(|| {
            for bad in [0, 1, 50, 99] {
                let run = || for_each(100, |task| assert!(task != bad, "task {task}"));
                assert!(catch_unwind(run).is_err(), "task {bad}");
            }
            for_each(100, |_| ());
        });
    }
}

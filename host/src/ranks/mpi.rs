//! Ranks by MPI: the one file that calls it. Errors of MPI itself end all ranks, which is what MPI does unless it is told otherwise.

use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::time::{Duration, Instant};

use mpi::ffi;
use mpi::topology::{Communicator, SimpleCommunicator};
use primal_engine::ranks::{Integers, Place, Ranks};

use super::HERE;
use crate::output::warn;
use crate::{Error, Result};

/// Exit code of a rank that panicked, as that of a program that does.
const PANICKED: c_int = 101;
/// Values of one call, and bytes of a part of a sum, at most: MPI counts in `int`.
const MOST: usize = 1 << 30;
/// What all ranks fail with, the first one tells; another one waits so long before it does.
const FIRST_TELLS: Duration = Duration::from_millis(500);

/// Ends all ranks at once.
fn abort(code: c_int) -> ! {
    // SAFETY: MPI was begun; this returns to nobody.
    unsafe { ffi::MPI_Abort(ffi::RSMPI_COMM_WORLD, code) };
    std::process::abort()
}

/// Ends all ranks if this one is left by a panic: else it would wait for them where MPI ends.
struct NoPanic;

impl Drop for NoPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            abort(PANICKED);
        }
    }
}

/// Does `work` as one of the ranks; see [`together`](super::together).
pub(super) fn together(launched: usize, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let begun = mpi::initialize_with_threading(mpi::Threading::Serialized);
    let Some((universe, threading)) = begun else { return Err(Error::failed("MPI was begun before", "start the program anew")) };
    let _no_panic = NoPanic;
    let world = universe.world();
    let place = Place { rank: world.rank() as usize, count: world.size() as usize };
    if place.count != launched {
        let hint = "start it with the mpirun of the MPI that it was built with";
        return Err(Error::bad_input("processes started together", launched, format!("MPI knows of {}", place.count), hint));
    }
    if threading < mpi::Threading::Serialized {
        return Err(Error::failed("this MPI lets only the main thread call it", "use one with MPI_THREAD_SERIALIZED"));
    }
    HERE.set(place).expect("begun once");
    match work() {
        // All that there is to say is said, and all ranks have agreed to it. None leaves before the first one has written: a launcher may end all for it.
        done @ (Ok(()) | Err(Error::Ended(_))) => {
            Mpi::default().largest(0);
            done
        }
        Err(error) => {
            if place.rank > 0 {
                std::thread::sleep(FIRST_TELLS);
            }
            warn(format!("primal-host: rank {} of {}: {error}", place.rank, place.count));
            abort(error.exit_code().into())
        }
    }
}

/// A sum that is under way. The values stay where they are while it is: a vector does not move what it holds.
struct Pending {
    _own: Integers,
    sums: Integers,
    /// One for each part that a call can count.
    requests: Vec<ffi::MPI_Request>,
}

/// All processes of MPI.
pub struct Mpi {
    world: SimpleCommunicator,
    pending: VecDeque<Pending>,
    waited: Duration,
}

impl Default for Mpi {
    fn default() -> Self {
        Self { world: SimpleCommunicator::world(), pending: VecDeque::new(), waited: Duration::ZERO }
    }
}

/// What MPI says unless all is well, which it then ends for.
fn require(code: c_int) {
    assert_eq!(code, ffi::MPI_SUCCESS as c_int, "an error of MPI");
}

fn count(values: usize) -> c_int {
    assert!(values <= MOST, "{values} values in one call of MPI");
    values as c_int
}

/// Begins to add up values of a type of MPI, whose owner keeps both until the requests are done: see [`Pending`].
fn begin_sums<T>(own: &[T], sums: &mut [T], kind: ffi::MPI_Datatype) -> Vec<ffi::MPI_Request> {
    let begin = |(own, sums): (&[T], &mut [T])| {
        let (from, to, len) = (own.as_ptr().cast::<c_void>(), sums.as_mut_ptr().cast::<c_void>(), count(own.len()));
        // SAFETY: a request is a plain handle or pointer, which the call writes.
        let mut request = unsafe { ffi::RSMPI_REQUEST_NULL };
        // SAFETY: both have as many values, and stay until the request is done: `pending` holds them, and whoever drops it before ends the process.
        require(unsafe { ffi::MPI_Iallreduce(from, to, len, kind, ffi::RSMPI_SUM, ffi::RSMPI_COMM_WORLD, &raw mut request) });
        request
    };
    let part = MOST / size_of::<T>();
    own.chunks(part).zip(sums.chunks_mut(part)).map(begin).collect()
}

impl Mpi {
    /// Does a call that waits for others, and counts its time.
    fn waiting<T>(&mut self, call: impl FnOnce(&mut Self) -> T) -> T {
        let began = Instant::now();
        let answer = call(self);
        self.waited += began.elapsed();
        answer
    }

    /// Lets MPI go on with what is under way: it does so only when it is called.
    fn progress(&mut self) {
        for request in self.pending.iter_mut().flat_map(|pending| &mut pending.requests) {
            let mut is_done = 0;
            // SAFETY: a request of our own that is not finished, or none by now, which is done; the status is not wanted.
            require(unsafe { ffi::MPI_Test(&raw mut *request, &raw mut is_done, ffi::RSMPI_STATUS_IGNORE) });
        }
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        if !self.pending.is_empty() {
            // MPI would write to what is freed here.
            abort(PANICKED);
        }
    }
}

impl Ranks for Mpi {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn count(&self) -> usize {
        self.world.size() as usize
    }

    fn exchange(&mut self, from: &[f32], to: &mut [f32]) {
        assert!(from.len() == to.len() && from.len().is_multiple_of(self.count()), "{} values to {}", from.len(), to.len());
        let part = count(from.len() / self.count());
        self.waiting(|_| {
            // SAFETY: both are as long as the parts of all ranks, and not written by others meanwhile.
            require(unsafe {
                let (from, to) = (from.as_ptr().cast::<c_void>(), to.as_mut_ptr().cast::<c_void>());
                ffi::MPI_Alltoall(from, part, ffi::RSMPI_FLOAT, to, part, ffi::RSMPI_FLOAT, ffi::RSMPI_COMM_WORLD)
            });
        });
    }

    fn gather(&mut self, own: &[u8], all: &mut [u8]) {
        assert_eq!(own.len() * self.count(), all.len(), "bytes of all ranks");
        let part = count(own.len());
        self.waiting(|_| {
            // SAFETY: one part is sent, and there is room for those of all ranks.
            require(unsafe {
                let (own, all) = (own.as_ptr().cast::<c_void>(), all.as_mut_ptr().cast::<c_void>());
                ffi::MPI_Allgather(own, part, ffi::RSMPI_UINT8_T, all, part, ffi::RSMPI_UINT8_T, ffi::RSMPI_COMM_WORLD)
            });
        });
    }

    fn begin_sum(&mut self, own: Integers) {
        let began = Instant::now();
        let mut sums = own.zeros();
        let requests = match (&own, &mut sums) {
            // SAFETY: a constant of MPI.
            (Integers::I8(own), Integers::I8(sums)) => begin_sums(own, sums, unsafe { ffi::RSMPI_INT8_T }),
            // SAFETY: as above.
            (Integers::I16(own), Integers::I16(sums)) => begin_sums(own, sums, unsafe { ffi::RSMPI_INT16_T }),
            _ => unreachable!("sums are as wide as what they are of"),
        };
        self.pending.push_back(Pending { _own: own, sums, requests });
        self.progress();
        self.waited += began.elapsed();
    }

    fn finish_sum(&mut self) -> Integers {
        let mut pending = self.pending.pop_front().expect("a sum that was begun");
        self.waiting(|_| {
            for request in &mut pending.requests {
                // SAFETY: our own request; the status is not wanted.
                require(unsafe { ffi::MPI_Wait(&raw mut *request, ffi::RSMPI_STATUS_IGNORE) });
            }
        });
        pending.sums
    }

    fn waited(&self) -> Duration {
        self.waited
    }
}

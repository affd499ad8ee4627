//! A training step allocates nothing of its own.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]
#![expect(unsafe_code, reason = "an allocator can only be watched from inside")]

use lethe::nn::{
    BatchReport, Faults, Features, Observer, Problem, Recipe, Reference, Samples, Standard, train,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// Counts what each thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator unchanged; counting touches only a
// thread-local number that needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Notes the most that was allocated between two mini-batches of one epoch.
struct Steps {
    before: u64,
    most: u64,
    steps: u64,
    n_threads: usize,
}

impl Observer for Steps {
    fn on_batch(&mut self, report: &BatchReport) -> ControlFlow<()> {
        let now = ALLOCATIONS.with(Cell::get);
        // the first step of the first epoch may still grow a buffer, the first of any epoch follows a shuffle
        if report.batch > 2 {
            self.most = self.most.max(now - self.before);
            self.steps += 1;
        }
        self.before = ALLOCATIONS.with(Cell::get);
        ControlFlow::Continue(())
    }

    fn threads(&mut self) -> NonZeroUsize {
        NonZeroUsize::new(self.n_threads).unwrap()
    }
}

fn most_in_a_step(recipe: &Recipe, n_threads: usize) -> u64 {
    let pixels: Vec<u8> = (0..400 * 60).map(|i| if i % 7 < 3 { (i % 251) as u8 } else { 0 }).collect();
    let labels: Vec<u32> = (0..400).map(|i| i % 5).collect();
    let samples = Samples::new(Features::U8(&pixels), &labels, 60, 5);
    let mut steps = Steps { before: 0, most: 0, steps: 0, n_threads };
    train(recipe, &Problem { train: samples, excluded: &[], test: samples }, &mut steps).unwrap();
    assert!(steps.steps > 20);
    steps.most
}

#[test]
fn the_reference_modes_allocate_nothing_in_a_step() {
    for faults in [Faults::NN, Faults::DEBUG] {
        let recipe = Reference { hidden: 30, epochs: 2, faults, ..Reference::nn(1) };
        assert_eq!(most_in_a_step(&Recipe::Nn(recipe.clone()), 1), 0);
        assert_eq!(most_in_a_step(&Recipe::Debug(recipe), 1), 0);
    }
}

/// The threads that help are not watched: they run the same kernels.
#[test]
fn a_standard_step_allocates_nothing_on_any_number_of_threads() {
    for hidden in [vec![], vec![30], vec![200, 10]] {
        for n_threads in [1, 2] {
            let recipe = Standard { epochs: 2, batch_size: 10, holdout: 0.0, ..Standard::new(1) };
            let recipe = Recipe::Standard(Standard { hidden: hidden.clone(), ..recipe });
            assert_eq!(most_in_a_step(&recipe, n_threads), 0, "{hidden:?}, {n_threads} threads");
        }
    }
}

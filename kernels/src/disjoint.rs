//! One output slice written by several threads, each its own elements.

use std::marker::PhantomData;

/// A mutable slice whose disjoint ranges may be written from several threads at once.
pub(crate) struct Disjoint<'a> {
    start: *mut f32,
    len: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: `range` is the only access, and its contract makes concurrent ranges disjoint.
unsafe impl Sync for Disjoint<'_> {}

impl<'a> Disjoint<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// The elements `at..at + len`. Panics when they lie outside the slice.
    ///
    /// # Safety
    ///
    /// No other live reference, from this or another thread, may cover any of these elements.
    #[inline]
    #[allow(clippy::mut_from_ref)] // the point of the type; see the contract above
    pub(crate) unsafe fn range(&self, at: usize, len: usize) -> &mut [f32] {
        assert!(at <= self.len && len <= self.len - at);
        // SAFETY: in bounds by the line above; exclusive by the caller's promise; the borrow
        // cannot outlive the slice, whose lifetime `self` carries.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), len) }
    }
}

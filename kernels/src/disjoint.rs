//! One output slice written by several threads, each its own elements.

use std::marker::PhantomData;

/// A mutable slice whose disjoint ranges may be written from several threads at once.
pub(crate) struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: `range` is the only access, and its contract makes concurrent ranges disjoint.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// The elements `at..at + len`. Panics when they lie outside the slice.
    ///
    /// # Safety
    ///
    /// No other live reference, from this or another thread, may cover any of these elements.
    #[inline]
    #[allow(clippy::mut_from_ref)] // the point of the type; see the contract above
    pub(crate) unsafe fn range(&self, at: usize, len: usize) -> &mut [T] {
        assert!(at <= self.len && len <= self.len - at);
        // SAFETY: in bounds by the line above; exclusive by the caller's promise; the borrow
        // cannot outlive the slice, whose lifetime `self` carries.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), len) }
    }
}

//! Two hints to the machine about memory. They only change how long something takes; on a platform without them they do
//! nothing.

use std::mem::MaybeUninit;

use crate::index::atomic::AtomicU64;

/// Starts to fetch the cache line of this word. A load would do that, too, but the processor retires later instructions
/// only after the load has its value, and so has no room to hash meanwhile.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
pub(super) fn prefetch(word: &AtomicU64) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    // SAFETY: every x86-64 processor has the instruction, and it reads nothing that a program sees, wherever it points.
    #[allow(unsafe_code, reason = "there is no safe way to say it")]
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(word).cast());
    }
}

/// On other platforms the standard library has no such instruction yet, so this is a load whose value nothing uses.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
#[inline(always)]
pub(super) fn prefetch(word: &AtomicU64) {
    word.load(crate::index::atomic::Ordering::Relaxed);
}

/// Requests pages of 2 MiB for memory that is not written yet. A look-up in a table of many megabytes finds neither the
/// line nor its page-table entries in a cache: with pages of 4 KiB the processor reads up to four levels of page tables
/// first, and in a virtual machine the host's, too. Linux gives large pages mostly to programs that request them.
#[cfg(all(target_os = "linux", not(miri)))]
pub(super) fn large_pages<T>(memory: &mut [MaybeUninit<T>]) {
    use rustix::mm::{Advice, madvise};

    let begin: *mut u8 = memory.as_mut_ptr().cast();
    // Take only pages that lie wholly within: other memory shares the rest.
    let skipped = begin.align_offset(LARGE);
    let length = size_of_val(memory).saturating_sub(skipped) / LARGE * LARGE;
    if length == 0 {
        return;
    }
    // SAFETY: the pages lie within memory to which this reference has exclusive access, and the advice changes neither
    // their content nor the access to them.
    #[allow(unsafe_code, reason = "there is no safe way to say it")]
    let advised = unsafe { madvise(begin.wrapping_add(skipped).cast(), length, Advice::LinuxHugepage) };
    if let Err(error) = advised {
        tracing::debug!(%error, "the index has small pages");
    }
}

/// A large page, where small ones have 4 KiB; a multiple of every small one.
#[cfg(all(target_os = "linux", not(miri)))]
const LARGE: usize = 2 << 20;

/// Other platforms have no such call.
#[cfg(not(all(target_os = "linux", not(miri))))]
pub(super) fn large_pages<T>(_: &mut [MaybeUninit<T>]) {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wherever the memory begins and ends, what is beside it, and what is written to it afterwards, stays.
    #[test]
    fn memory_is_what_it_was() {
        const PAGE: usize = 2 << 20;
        for length in [0, 1, PAGE - 1, PAGE, 3 * PAGE + 5] {
            for before in [0, 1, 4096] {
                let mut memory: Vec<u8> = Vec::with_capacity(before + length);
                memory.resize(before, 7);
                large_pages(memory.spare_capacity_mut());
                memory.resize(before + length, 9);
                assert!(memory[..before].iter().all(|byte| *byte == 7));
                assert!(memory[before..].iter().all(|byte| *byte == 9));
            }
        }
    }
}

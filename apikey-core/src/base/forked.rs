//! Whether this process is the one that created a value, or a child that was forked since.

/// Knows the process that created it. A child that `fork` makes has the memory of its parent, and none of its threads.
///
/// On Linux the kernel wipes a page of memory in every child, so the question costs one load. Elsewhere every process
/// counts as the first.
#[derive(Debug)]
pub(crate) struct FirstProcess(imp::Page);

impl FirstProcess {
    pub(crate) fn this() -> Self {
        Self(imp::Page::new())
    }

    /// Whether this is still the process that created the value.
    #[inline]
    pub(crate) fn is_this(&self) -> bool {
        self.0.is_kept()
    }
}

#[cfg(all(target_os = "linux", not(miri)))]
mod imp {
    use std::ptr::{NonNull, null_mut};
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

    const PAGE: usize = 4096;

    /// A page that is empty in every child; `None` if the kernel has no such pages.
    #[derive(Debug)]
    pub(super) struct Page(Option<NonNull<AtomicU64>>);

    // SAFETY: the page is owned by this value, and holds one atomic word.
    #[allow(unsafe_code, reason = "a page of one's own has no safe owner in the standard library")]
    unsafe impl Send for Page {}
    // SAFETY: as above.
    #[allow(unsafe_code, reason = "a page of one's own has no safe owner in the standard library")]
    unsafe impl Sync for Page {}

    impl Page {
        pub(super) fn new() -> Self {
            let page = map().inspect_err(|error| {
                tracing::warn!(%error, "a child of this process that uses its store could accept keys that were revoked");
            });
            let page = Self(page.ok());
            if let Some(flag) = page.flag() {
                flag.store(1, Ordering::Release);
            }
            page
        }

        #[inline]
        pub(super) fn is_kept(&self) -> bool {
            self.flag().is_none_or(|flag| flag.load(Ordering::Relaxed) == 1)
        }

        #[inline]
        fn flag(&self) -> Option<&AtomicU64> {
            // SAFETY: the page is mapped as long as this value is there, aligned, and zeros at first.
            #[allow(unsafe_code, reason = "there is no safe way to say it")]
            self.0.map(|flag| unsafe { flag.as_ref() })
        }
    }

    impl Drop for Page {
        fn drop(&mut self) {
            if let Some(flag) = self.0.take() {
                // SAFETY: the page is this value's own, and no reference to it is left.
                #[allow(unsafe_code, reason = "there is no safe way to say it")]
                let _ = unsafe { munmap(flag.as_ptr().cast(), PAGE) };
            }
        }
    }

    fn map() -> rustix::io::Result<NonNull<AtomicU64>> {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new page, which nothing else refers to; the advice concerns children alone.
        #[allow(unsafe_code, reason = "there is no safe way to say it")]
        let page = unsafe {
            let page = mmap_anonymous(null_mut(), PAGE, protection, flags)?;
            if let Err(error) = madvise(page, PAGE, Advice::LinuxWipeOnFork) {
                let _ = munmap(page, PAGE);
                return Err(error);
            }
            page
        };
        NonNull::new(page.cast()).ok_or(rustix::io::Errno::NOMEM)
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
mod imp {
    #[derive(Debug)]
    pub(super) struct Page;

    impl Page {
        pub(super) fn new() -> Self {
            Self
        }

        pub(super) fn is_kept(&self) -> bool {
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_created_it_is_the_first() {
        let first = FirstProcess::this();
        assert!(first.is_this());
        drop(first);
        assert!(FirstProcess::this().is_this());
    }
}

//! What the system does with memory: in what pages it comes, and when it goes back.

use std::ptr;

/// A page that takes one entry of the processor's table of pages where 512 small ones take as many (x86-64, and
/// ARM with small pages of 4 kB).
const LARGE_PAGE_LEN: usize = 2 << 20;

/// From this size on an allocation is a mapping of its own, which goes back to the system when it is freed. The
/// arrays of a table are larger.
#[cfg(target_env = "gnu")]
const MAPPED_FROM_LEN: libc::c_int = 1 << 20;

/// So much free memory at the end of a heap stays for what comes next; more goes back.
#[cfg(target_env = "gnu")]
const KEPT_LEN: libc::c_int = 4 << 20;

/// Has glibc give memory back that is freed. Left alone, it takes the largest block that was ever freed for the
/// measure of what to keep, so one load of a large zone would make the process keep hundreds of megabytes, and
/// every reload some more. Says whether it will; other allocators have their own ways.
pub fn return_freed_memory() -> bool {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: `mallopt` takes two integers and no memory of ours.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM_LEN) == 1
                && libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_LEN) == 1
        }
    }
    #[cfg(not(target_env = "gnu"))]
    false
}

/// Has the kernel put an array into large pages, as far as it fills them: for arrays that are read all over.
/// Small arrays, and kernels before Linux 6.1 or without large pages, leave everything as it is.
pub fn prefer_large_pages<T>(array: &[T]) {
    let start = ptr::from_ref(array).cast::<u8>();
    let skip = start.align_offset(LARGE_PAGE_LEN);
    let len = size_of_val(array).saturating_sub(skip) & !(LARGE_PAGE_LEN - 1);
    if len > 0 {
        let first = start.wrapping_add(skip).cast_mut().cast();
        // SAFETY: `first` and `len` are within `array`, whose contents neither advice changes. What the kernel
        // can not do it refuses.
        unsafe {
            libc::madvise(first, len, libc::MADV_HUGEPAGE);
            libc::madvise(first, len, libc::MADV_COLLAPSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_in_large_pages_is_the_same_array() {
        for len in [0, 1, LARGE_PAGE_LEN, 3 * LARGE_PAGE_LEN + 17] {
            let array: Vec<u32> = (0..len as u32 / 4).collect();
            prefer_large_pages(&array);
            assert!(array.iter().zip(0..).all(|(value, at)| *value == at));
        }
    }

    #[cfg(target_env = "gnu")]
    #[test]
    fn the_allocator_listens() {
        assert!(return_freed_memory());
        // Still so after a large block was freed, which would have raised the threshold.
        drop(vec![0u8; 8 << 20]);
        assert!(return_freed_memory());
    }
}

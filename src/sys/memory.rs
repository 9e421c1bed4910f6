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

/// Heaps that threads share. Nobody allocates on the way of an answer.
#[cfg(target_env = "gnu")]
const HEAPS_MAX: libc::c_int = 2;

/// Has glibc give memory back that is freed. Left alone, it takes the largest block that was ever freed for the
/// measure of what to keep, so one load of a large zone would make the process keep hundreds of megabytes, and
/// every reload some more; and it gives threads heaps of their own, so that what one reload freed is of no use to the
/// next (10 000 services: 1.7 GB after eight reloads, where 0.4 GB do). Before there are other threads. Says whether
/// it will; other allocators have their own ways.
pub fn return_freed_memory() -> bool {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: `mallopt` takes two integers and no memory of ours.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, HEAPS_MAX) == 1
                && libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM_LEN) == 1
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

/// Asks the processor to fetch what will be read soon, and does not wait for it. Elsewhere than on x86-64 it does
/// nothing.
#[inline]
pub fn prefetch<T>(soon: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching is a hint, which reads nothing and faults at no address; SSE is part of x86-64.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(ptr::from_ref(soon).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = soon;
}

/// Has glibc give back all pages that lie free between what is in use. Reading many files leaves more behind
/// than is kept of them, and what is kept pins a page here and there, so the end of a heap never comes free by
/// itself. Takes some 20 ms for each hundred megabytes, and holds up whoever allocates: not for the answer path.
/// Says whether anything came free; other allocators have their own ways.
pub fn give_memory_back() -> bool {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: `malloc_trim` takes an integer and no memory of ours.
        unsafe { libc::malloc_trim(0) == 1 }
    }
    #[cfg(not(target_env = "gnu"))]
    false
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

    #[cfg(all(target_env = "gnu", target_os = "linux"))]
    #[test]
    fn what_lies_free_between_what_is_kept_goes_back() {
        const BLOCKS: usize = 100_000;
        const BLOCK_LEN: usize = 1000;
        let resident = || {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
        };
        let mut blocks: Vec<Vec<u8>> = (0..BLOCKS).map(|_| vec![1; BLOCK_LEN]).collect();
        // The last one stays: without it the heap would end sooner, and shrink.
        blocks.drain(..BLOCKS - 1);
        let before = resident();
        assert!(give_memory_back());
        let after = resident();
        // Tests beside this one take and give as well: half is enough.
        assert!(after + BLOCKS * BLOCK_LEN / 2 < before, "{before} octets before, {after} after");
        assert_eq!(blocks[0], [1; BLOCK_LEN]);
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

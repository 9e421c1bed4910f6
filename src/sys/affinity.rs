//! Keeping a thread on one processor.

use std::io;

/// The processors that this thread may run on, by number; empty when the kernel does not say.
pub fn allowed_cpus() -> Vec<usize> {
    // SAFETY: ZERO.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: FRESH, EXACT. 0 is the calling thread.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    if result != 0 {
        return Vec::new();
    }
    // SAFETY: `CPU_ISSET` indexes a fixed array by the number, and every number here is below its bits.
    (0..cpus_max()).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

/// Keeps the calling thread on processor number `cpu`. An error when there is no such processor, or when
/// the container does not grant it.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    if cpu >= cpus_max() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: ZERO.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `CPU_SET` indexes a fixed array by the number, which was just found to be below its bits.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: FRESH, EXACT. 0 is the calling thread.
    match unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn cpus_max() -> usize {
    8 * size_of::<libc::cpu_set_t>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_can_be_kept_on_a_processor_that_it_may_use_and_on_no_other() {
        std::thread::spawn(|| {
            let cpu = *allowed_cpus().last().expect("this test runs on a processor");
            pin_to_cpu(cpu).unwrap();
            assert_eq!(allowed_cpus(), [cpu]);
            assert!(pin_to_cpu(cpus_max()).is_err());
        })
        .join()
        .unwrap();
    }
}

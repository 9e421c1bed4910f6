//! Who comes first when a processor is full.

use std::io;

/// Makes the calling thread, and those that it starts from then on, give way to others by `niceness` more
/// (`setpriority`): of a processor that others keep busy it gets 1 / (1 + 1.25^niceness) of what one of them has
/// with it, and all that they leave. It needs no privilege, and can not be taken back without one. Elsewhere than on
/// Linux priorities are the whole process', so nothing is done.
pub fn give_way(niceness: i32) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        // 0 is the calling thread; the number stays below the kernel's most, which is 19.
        // SAFETY: integers alone.
        let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, own() + niceness) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn own() -> i32 {
    // SAFETY: integers alone. -1 may be a niceness or an error; of the calling thread there is none.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_and_those_that_it_starts_give_way_and_no_other_does() {
        let before = own();
        let there = std::thread::spawn(move || {
            give_way(3).unwrap();
            (own(), std::thread::spawn(own).join().unwrap())
        });
        let is = (before + 3).min(19);
        assert_eq!(there.join().unwrap(), (is, is));
        assert_eq!(own(), before);
    }
}

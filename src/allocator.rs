//! How the system's allocator gives memory back.
//!
//! glibc gives a large buffer back when it is freed, at first; but with each one it learns to keep the next, and a
//! worker that once sent a part of a large binary would hold those megabytes for ever. With many workers, that is
//! more than everything else. The two limits are set here, and so are not learnt.

/// Buffers from this size on, such as the parts of large objects, are the system's again once they are freed.
const GIVEN_BACK_FROM: i32 = 1024 * 1024;

/// The most that each of the allocator's heaps keeps at its end for the next time.
const KEPT: i32 = 2 * 1024 * 1024;

/// Sets the limits. Before the first threads, so that none has a heap yet.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(
    unsafe_code,
    reason = "there is no other way to speak to the allocator of the system"
)]
pub(crate) fn set_limits() {
    // SAFETY: mallopt takes two numbers, and sets one of its own.
    let taken = unsafe {
        [
            libc::mallopt(libc::M_MMAP_THRESHOLD, GIVEN_BACK_FROM),
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT),
        ]
    };
    if taken != [1, 1] {
        log::warn!("the allocator does not take its limits; more memory may be kept than is used");
    }
}

/// Other allocators have no such limits.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn set_limits() {}

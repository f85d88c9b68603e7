# Release, kernel, libc, clock, memory, disk and what waits for a reboot.

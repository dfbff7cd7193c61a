//! The state of one task: its stores, the overlay that buffers writes until the transaction commits, the write-back
//! cache between the commit and the disk, and what the disk is complete up to.

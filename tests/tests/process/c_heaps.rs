//! The programs in `tests/c` that use heaps with handles: see [`c_common`].

use crate::c_common::{assert_dumped, runs_silently, says_on_stderr_what_it_expects};

#[test]
fn a_mapped_heap_is_like_the_process_s() {
    runs_silently("heap_mapped");
}

#[test]
fn a_heap_in_a_buffer_stays_inside_of_it() {
    runs_silently("heap_in_buffer");
}

#[test]
fn a_heap_is_as_its_options_say() {
    runs_silently("heap_options");
}

#[test]
fn what_is_no_handle_is_refused() {
    runs_silently("heap_wrong_handles");
}

#[test]
fn a_heap_that_reports_names_every_fault() {
    says_on_stderr_what_it_expects("heap_wrong_frees");
}

#[test]
fn a_destroyed_heap_leaves_nothing_mapped() {
    runs_silently("heap_destroy");
}

#[test]
fn threads_share_a_heap_and_have_one_each() {
    runs_silently("heap_threads");
}

#[test]
fn a_heap_is_dumped_as_the_process_s_is() {
    assert_dumped("heap_dump");
}

#[test]
fn a_walk_shows_every_slot_and_every_block_to_a_callback_that_may_use_the_heap() {
    runs_silently("heap_walk");
}

#[test]
fn a_signal_handler_inside_a_heap_is_refused_by_every_function_of_it() {
    runs_silently("heap_signal_handler");
}

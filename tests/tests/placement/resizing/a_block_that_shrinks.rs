use super::resize_first_in_place;

#[test]
fn frees_a_tail_of_32_bytes() {
    resize_first_in_place("XXXXX XX|", 32, "XXX OO XX|");
}

#[test]
fn keeps_a_tail_of_16_bytes() {
    resize_first_in_place("XXXX XX|", 32, "XXXX XX|");
    resize_first_in_place("XXX OO XX|", 16, "XXX OO XX|");
}

#[test]
fn joins_its_tail_with_the_free_block_behind() {
    resize_first_in_place("XXXX OO XX|", 16, "XX OOOO XX|");
}

#[test]
fn takes_the_rover_along_when_it_stood_at_the_free_block_behind() {
    resize_first_in_place("XXXX |OO XX", 16, "XX |OOOO XX");
}

#[test]
fn leaves_the_rover_behind_it_when_the_next_block_is_used() {
    resize_first_in_place("XXXX |XX XX", 16, "XX OO |XX XX");
}

#[test]
fn frees_a_tail_at_the_end_of_the_segment() {
    resize_first_in_place("XXXXXX|", 16, "XX OOOO|");
}

#[test]
fn shrinks_to_a_block_of_32_bytes_for_a_size_of_0() {
    resize_first_in_place("XXXXXX XX|", 0, "XX OOOO XX|");
}

#[test]
fn stays_when_the_size_stays() {
    resize_first_in_place("XXX OO XX|", 32, "XXX OO XX|");
}
